"""Which window of an image is seen, and the quick way to it where only whole pixels move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from research.augment import send


@dataclass(frozen=True)
class Window:
    """A square of ``size`` pixels in an image of ``canvas`` pixels, no smaller."""

    size: int
    canvas: int

    @property
    def room(self) -> int:
        """Pixels by which the window can move."""
        return self.canvas - self.size

    def offset(self, place: float) -> int:
        """A place from -1 to 1, as a fraction of the room from the middle, to its first pixel."""
        return round((1 + place) * self.room / 2)

    def at(self, first: Tensor) -> Tensor:
        """First pixels ``(n, 2)``, x and y, to the matrices ``(n, 3, 3)`` of the windows there."""
        kept = self.size / self.canvas
        one = torch.tensor([[kept, 0, 0], [0, kept, 0], [0, 0, 1]])
        matrices = one.expand(len(first), 3, 3).clone()
        matrices[:, :2, 2] = (2 * first + self.size) / self.canvas - 1
        return matrices

    def cut(self, images: Tensor, place: tuple[float, float]) -> Tensor:
        """The window at a place, x and y, of images ``(n, C, canvas, canvas)``."""
        left, top = self.offset(place[0]), self.offset(place[1])
        return images[:, :, top : top + self.size, left : left + self.size]


def moves(matrices: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """Matrices that move whole pixels to what they do, each ``(n, 2)``, across and down.

    First whether an image is mirrored; then the first pixel of its window once that is done.
    """
    mirrored = matrices.diagonal(dim1=1, dim2=2)[:, :2] < 0
    half = window.canvas / 2
    first = (matrices[:, :2, 2] * half + (half - window.size / 2)).round().long()
    return mirrored, torch.where(mirrored, window.room - first, first)


def mirror(images: Tensor, mirrored: Tensor) -> Tensor:
    """Each image mirrored across, as ``(n, 2)`` says, and down."""
    n = len(images)
    for axis, which in ((-1, mirrored[:, 0]), (-2, mirrored[:, 1])):
        if which.any():  # whole images are copied, a third of the time of choosing every pixel
            rows = torch.arange(n) + n * which
            images = torch.cat([images, images.flip(axis)]).index_select(0, send(rows, images))
    return images


def black(images: Tensor, width: int) -> Tensor:
    """Images ``(n, C, H, W)`` with a black margin around them."""
    return functional.pad(images, (width,) * 4)


def crop(
    images: Tensor,
    first: Tensor,
    window: Window,
    margin: int = 0,
    around: Callable[[Tensor, int], Tensor] = black,
) -> Tensor:
    """Each image's window from its first pixel ``(n, 2)``, at most ``margin`` pixels outside.

    What lies there is what ``around`` puts there.
    Rows of windows are copied whole: any stretch of memory of a row's length is one row of a view
    of all of them.
    """
    if not window.room and not margin:
        return images
    images = (around(images, margin) if margin else images).contiguous()
    n, channels, side, _ = images.shape
    first = first + margin
    stretches = images.view(-1).unfold(0, window.size, 1)
    down = torch.arange(window.size)
    planes = torch.arange(n * channels).view(n, channels, 1) * side**2
    rows = planes + ((first[:, 1:] + down) * side + first[:, :1])[:, None]
    return stretches.index_select(0, send(rows.view(-1), images)).view(
        n, channels, window.size, window.size
    )


def grid(matrices: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Matrices ``(n, 3, 3)`` to where pixels are sampled: x and y, each ``(n, size, size)``.

    As `torch.nn.functional.affine_grid` without corners aligned, in a fifth of the time: a sum of
    what a row and what a column adds.
    """
    middles = (2 * torch.arange(size, device=matrices.device) + 1) / size - 1
    column = matrices[:, :2, :1] * middles + matrices[:, :2, 2:]  # (n, 2, size)
    row = matrices[:, :2, 1:2] * middles
    x, y = (column.unsqueeze(2) + row.unsqueeze(3)).unbind(1)
    return x, y
