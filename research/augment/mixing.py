"""Images of a batch mixed with each other, and the targets with them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from research.augment import send, uniform
from research.registry import Positive, augmentations


@dataclass(frozen=True)
class Mixed:
    """Targets of mixed images, labels ``(N,)`` or probabilities ``(N, K)``.

    ``first`` weighs ``lam``, ``second`` the rest.
    """

    first: Tensor
    second: Tensor
    lam: float


@augmentations.register(kind="mix")
def mixup(
    images: Tensor, targets: Tensor, generator: torch.Generator, *, alpha: Positive = 0.2
) -> tuple[Tensor, Mixed]:
    """Pairs of images blended by lam ~ Beta(alpha, alpha), one a batch (Zhang et al. 2018)."""
    lam = _beta(alpha, generator)
    other = send(torch.randperm(len(images), generator=generator), images)
    return images.lerp(images[other], 1 - lam), Mixed(targets, targets[other], lam)


@augmentations.register(kind="mix")
def cutmix(
    images: Tensor, targets: Tensor, generator: torch.Generator, *, alpha: Positive = 1.0
) -> tuple[Tensor, Mixed]:
    """A rectangle of each image from another one, its area 1 - lam (Yun et al. 2019)."""
    lam = _beta(alpha, generator)
    other = send(torch.randperm(len(images), generator=generator), images)
    height, width = images.shape[-2:]
    across, down = uniform((2,), generator).tolist()
    part = (1 - lam) ** 0.5 / 2
    left, right = (round(width * min(max(across + s * part, 0), 1)) for s in (-1, 1))
    top, bottom = (round(height * min(max(down + s * part, 0), 1)) for s in (-1, 1))
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[other, :, top:bottom, left:right]
    kept = 1 - (bottom - top) * (right - left) / (height * width)
    return mixed, Mixed(targets, targets[other], kept)


def _beta(alpha: float, generator: torch.Generator) -> float:
    """One draw of Beta(alpha, alpha), from two gamma draws."""
    shape = torch.full((2,), alpha, dtype=torch.float64)
    a, b = torch._standard_gamma(shape, generator=generator).tolist()
    return a / (a + b) if a + b else 0.5
