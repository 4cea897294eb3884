"""From resident uint8 images to what a net sees: resized, augmented per sample, on the device.

Geometric augmentations give one 3 x 3 matrix a sample; all of them and the resizing are one
sampling of the image. Coordinates run from -1 to 1 over the image, x to the right, y down; a matrix
takes a place in the output to its place in the input. Random numbers come from the generator that
is passed in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from research.registry import Fraction, NonNegative, Positive, augmentations, preprocessing

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: the weighted grey of a colour image


@augmentations.register(kind="affine")
def flip(n: int, generator: torch.Generator, *, p: Fraction = 0.5) -> Tensor:
    """Left and right exchanged, each image with probability ``p``."""
    matrices = _identities(n, generator)
    matrices[:, 0, 0] = 1 - 2 * (_uniform((n,), generator) < p).float()
    return matrices


@augmentations.register(kind="affine")
def shift(n: int, generator: torch.Generator, *, fraction: Fraction = 0.1) -> Tensor:
    """Each image moved by up to ``fraction`` of its side, across and up or down."""
    matrices = _identities(n, generator)
    matrices[:, :2, 2] = (_uniform((n, 2), generator) * 2 - 1) * 2 * fraction
    return matrices


@augmentations.register(kind="affine")
def rotation(n: int, generator: torch.Generator, *, degrees: NonNegative = 10.0) -> Tensor:
    """Each image turned by up to so many degrees to either side."""
    angle = (_uniform((n,), generator) * 2 - 1) * math.radians(degrees)
    matrices = _identities(n, generator)
    matrices[:, 0, 0] = matrices[:, 1, 1] = torch.cos(angle)
    matrices[:, 1, 0] = torch.sin(angle)
    matrices[:, 0, 1] = -matrices[:, 1, 0]
    return matrices


@augmentations.register(kind="mix")
def mixup(
    images: Tensor, labels: Tensor, generator: torch.Generator, *, alpha: Positive = 0.2
) -> tuple[Tensor, Mixed]:
    """Pairs of images blended by lam ~ Beta(alpha, alpha), one a batch (Zhang et al. 2018)."""
    lam = _beta(alpha, generator)
    other = torch.randperm(len(images), generator=generator, device=generator.device)
    return images.lerp(images[other], 1 - lam), Mixed(labels, labels[other], lam)


@dataclass(frozen=True)
class Mixed:
    """Labels ``(N,)`` of blended images: ``first`` weighs ``lam``, ``second`` the rest."""

    first: Tensor
    second: Tensor
    lam: float


class View:
    """What a net sees of resident images ``(N, C, H, W)`` uint8: float, resized, normalised.

    ``size`` is the side in pixels, ``channels`` 1 or 3.
    """

    def __init__(
        self,
        size: int,
        channels: int,
        preprocess: Mapping[str, Mapping[str, Any]],
        augment: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.size, self.channels = size, channels
        self.mean, self.std = 0.0, 1.0
        if "normalize" in preprocess:
            self.mean, self.std = preprocessing.get("normalize")(**preprocess["normalize"])
        kinds = {name: augmentations.entry(name).declared["kind"] for name in augment}
        self.affine = [(augmentations.get(n), augment[n]) for n in augment if kinds[n] == "affine"]
        self.mix = [(augmentations.get(n), augment[n]) for n in augment if kinds[n] == "mix"]

    @property
    def mixes(self) -> bool:
        """Whether training labels are blended, so that no training accuracy can be told."""
        return bool(self.mix)

    def plain(self, images: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` uint8 to ``(N, channels, size, size)`` float, nothing random."""
        return self._finish(self._resized(self._grey(images)))

    def augmented(
        self, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | Mixed]:
        """Images uint8 and labels to a training batch, every sample with its own changes."""
        images = self._grey(images)
        if self.affine:
            seen = self._finish(self._sampled(images, generator))
        else:
            seen = self._finish(self._resized(images))
        targets: Tensor | Mixed = labels
        for change, params in self.mix:
            seen, targets = change(seen, labels, generator, **params)
        return seen, targets

    def _grey(self, images: Tensor) -> Tensor:
        images = images.float()
        if self.channels == 1 and images.shape[1] == 3:
            weights = torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)
            return (images * weights).sum(1, keepdim=True)
        return images

    def _resized(self, images: Tensor) -> Tensor:
        if images.shape[-2:] == (self.size, self.size):
            return images
        shrinks = min(images.shape[-2:]) > self.size
        size = (self.size, self.size)
        return functional.interpolate(images, size, mode="bilinear", antialias=shrinks)

    def _sampled(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Resizing and every geometric change in one bilinear sampling; black outside."""
        n = len(images)
        matrices = _identities(n, generator)
        for change, params in self.affine:
            matrices = matrices @ change(n, generator, **params)
        if min(images.shape[-2:]) > self.size:
            images = self._resized(images)
        shape = [n, images.shape[1], self.size, self.size]
        grid = functional.affine_grid(matrices[:, :2], shape, align_corners=False)
        # Edges are held and what lies beyond is blackened, so that where nothing is changed the
        # result is that of plain resizing.
        sampled = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
        return sampled * (grid.abs() <= 1).all(-1).unsqueeze(1)

    def _finish(self, images: Tensor) -> Tensor:
        seen = images.mul(1 / (255 * self.std)).sub_(self.mean / self.std)
        return seen.expand(-1, self.channels, -1, -1)


def _identities(n: int, generator: torch.Generator) -> Tensor:
    return torch.eye(3, device=generator.device).expand(n, 3, 3).clone()


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _beta(alpha: float, generator: torch.Generator) -> float:
    """One draw of Beta(alpha, alpha), from two gamma draws."""
    shape = torch.full((2,), alpha, device=generator.device, dtype=torch.float64)
    a, b = torch._standard_gamma(shape, generator=generator).tolist()
    return a / (a + b) if a + b else 0.5
