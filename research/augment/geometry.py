"""Where the pixels of a view come from: flips, shifts, rotations, crops."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from research.augment import identities, send, uniform
from research.augment.window import Window
from research.registry import Fraction, NonNegative, Positive, augmentations


@augmentations.register(kind="affine", exact=True)
def flip(n: int, generator: torch.Generator, *, p: Fraction = 0.5) -> Tensor:
    """Left and right exchanged, each image with probability ``p``."""
    matrices = identities(n)
    matrices[:, 0, 0] = 1 - 2 * (uniform((n,), generator) < p).float()
    return matrices


@augmentations.register(kind="affine")
def shift(n: int, generator: torch.Generator, *, fraction: Fraction = 0.1) -> Tensor:
    """Each image moved by up to ``fraction`` of its side, across and up or down."""
    matrices = identities(n)
    matrices[:, :2, 2] = uniform((n, 2), generator, -1, 1) * 2 * fraction
    return matrices


@augmentations.register(kind="affine")
def rotation(n: int, generator: torch.Generator, *, degrees: NonNegative = 10.0) -> Tensor:
    """Each image turned by up to so many degrees to either side."""
    angle = uniform((n,), generator, -1, 1) * math.radians(degrees)
    matrices = identities(n)
    matrices[:, 0, 0] = matrices[:, 1, 1] = torch.cos(angle)
    matrices[:, 1, 0] = torch.sin(angle)
    matrices[:, 0, 1] = -matrices[:, 1, 0]
    return matrices


@augmentations.register(kind="window", exact=True)
def crop(n: int, generator: torch.Generator, window: Window, *, padding: Fraction = 0.0) -> Tensor:
    """A window at a place of its own in each image; how large is ``data.params.canvas``.

    Places are whole pixels. ``padding`` is how far windows reach beyond the image, as a fraction of
    its side.
    """
    around = round(padding * window.canvas)
    places = window.room + 2 * around + 1
    drawn = (uniform((n, 2), generator) * places).floor().clamp_max(places - 1) - around
    return window.at(drawn)


@augmentations.register(kind="window")
def resized_crop(
    n: int,
    generator: torch.Generator,
    window: Window,
    *,
    scale: Fraction = 0.8,
    ratio: Positive = 1.3333,
) -> Tensor:
    """A window of ``scale`` to all of the area, sides at up to ``ratio``, resized to the input.

    Below .8 the mouth of a face may be cut off.
    """
    area = uniform((n,), generator, scale, 1.0)
    stretch = torch.exp(uniform((n,), generator, -1, 1) * math.log(ratio) / 2)
    sides = torch.stack([area.sqrt() * stretch, area.sqrt() / stretch], 1).clamp_max(1.0)
    matrices = identities(n)
    matrices[:, 0, 0], matrices[:, 1, 1] = sides[:, 0], sides[:, 1]
    matrices[:, :2, 2] = uniform((n, 2), generator, -1, 1) * (1 - sides)
    return matrices


# Places of a window, as fractions of the room that it has, from the middle.
CORNERS = ((0.0, 0.0), (-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0))


@augmentations.register(kind="many")
def five_crop() -> tuple[tuple[float, float], ...]:
    """Each image's middle and four corners, so that a batch is five times as large."""
    return CORNERS


@augmentations.register(kind="margin", sampled="reflection")
def mirrored(images: Tensor, width: int) -> Tensor:
    """What a shift, rotation or crop brings in is the image mirrored at its edges, not black.

    The edge itself comes twice, as when sampling between whole pixels.
    """
    rows, columns = (
        send(_mirrored(torch.arange(-width, side + width), side), images)
        for side in images.shape[-2:]
    )
    return images.index_select(2, rows).index_select(3, columns)


def _mirrored(places: Tensor, side: int) -> Tensor:
    """Whole pixels at any distance to those inside."""
    places = places.remainder(2 * side)
    return torch.minimum(places, 2 * side - 1 - places)
