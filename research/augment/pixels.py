"""What the pixels of a view are: light and colour, parts erased."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from research.augment import send, uniform
from research.registry import Fraction, NonNegative, Positive, augmentations

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: the weighted grey of a colour image
# From RGB to YIQ, where a turn about the first axis changes the hue and keeps the brightness.
YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


@augmentations.register(kind="pixels")
def jitter(
    images: Tensor,
    generator: torch.Generator,
    *,
    brightness: NonNegative = 0.2,
    contrast: NonNegative = 0.2,
    saturation: NonNegative = 0.0,
    hue: Fraction = 0.0,
) -> Tensor:
    """Brightness, contrast, saturation times 1 - x to 1 + x; hue by up to so much of a circle.

    Contrast is about the mean brightness of each image. Saturation and hue need colour; the hue is
    turned in YIQ.
    """
    n = len(images)
    images = images * send(_factors(n, generator, brightness), images)
    mean = _luma(images).mean((1, 2, 3), keepdim=True)
    images = (images - mean) * send(_factors(n, generator, contrast), images) + mean
    if images.shape[1] == 3 and (saturation or hue):
        grey = _luma(images)
        images = (images - grey) * send(_factors(n, generator, saturation), images) + grey
        turn = send(_hue_matrices(n, generator, hue), images)
        images = torch.einsum("nij,njhw->nihw", turn, images)
    return images.clamp(0, 1)


@augmentations.register(kind="erase")
def erasing(
    images: Tensor,
    generator: torch.Generator,
    *,
    p: Fraction = 0.5,
    scale_min: Fraction = 0.02,
    scale_max: Fraction = 0.33,
    ratio: Positive = 3.3333,
) -> Tensor:
    """A rectangle of each image set to the mean, with probability ``p`` (Zhong et al. 2020).

    Its area is ``scale_min`` to ``scale_max`` of the image, its sides at up to ``ratio``.
    """
    n, _, height, width = images.shape
    area = uniform((n,), generator, scale_min, scale_max)
    stretch = torch.exp(uniform((n,), generator, -1, 1) * math.log(ratio) / 2)
    hit = uniform((n,), generator) < p
    across = _inside(width, area.sqrt() * stretch, uniform((n,), generator))
    down = _inside(height, area.sqrt() / stretch, uniform((n,), generator))
    hole = hit[:, None, None] & down[:, :, None] & across[:, None, :]
    return images.masked_fill(send(hole[:, None], images), 0.0)


def _inside(side: int, fraction: Tensor, place: Tensor) -> Tensor:
    """Which of ``side`` pixels are covered by ``fraction`` of them at ``place``, ``(n, side)``."""
    length = (fraction.clamp_max(1.0) * side).round()
    start = (place * (side - length)).round()
    steps = torch.arange(side)
    return (steps >= start[:, None]) & (steps < (start + length)[:, None])


def _factors(n: int, generator: torch.Generator, strength: float) -> Tensor:
    low = max(0.0, 1 - strength)
    return uniform((n, 1, 1, 1), generator, low, 1 + strength)


def _luma(images: Tensor) -> Tensor:
    if images.shape[1] == 1:
        return images
    return (images * send(torch.tensor(LUMA), images).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _hue_matrices(n: int, generator: torch.Generator, hue: float) -> Tensor:
    """A turn of hue for each image, ``(n, 3, 3)``, from RGB to RGB."""
    angle = uniform((n,), generator, -1, 1) * hue * 2 * math.pi
    turn = torch.zeros(n, 3, 3)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = torch.cos(angle)
    turn[:, 2, 1] = torch.sin(angle)
    turn[:, 1, 2] = -turn[:, 2, 1]
    to_yiq = torch.tensor(YIQ)
    matrices: Tensor = torch.linalg.inv(to_yiq) @ turn @ to_yiq
    return matrices
