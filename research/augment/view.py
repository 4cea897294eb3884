"""From resident uint8 images to what a net sees: resized, augmented per sample, on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from research.augment import identities, uniform
from research.augment.geometry import CORNERS, centre
from research.augment.mixing import Mixed
from research.augment.pixels import LUMA
from research.registry import augmentations, preprocessing

Steps = Mapping[str, Mapping[str, Any]]


class View:
    """What a net sees of resident images ``(N, C, H, W)`` uint8: float, resized, normalised.

    ``size`` is the side in pixels, ``channels`` 1 or 3; ``canvas`` the side that images are resized
    to before their middle is taken, ``size`` where there is no crop.
    """

    def __init__(
        self, size: int, channels: int, preprocess: Steps, augment: Steps, canvas: int | None = None
    ) -> None:
        self.size, self.channels, self.canvas = size, channels, canvas or size
        self.kept = (size / self.canvas,) * 2
        mean, std = 0.0, 1.0
        if "normalize" in preprocess:
            mean, std = preprocessing.get("normalize")(**preprocess["normalize"])
        self.mean = torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1)
        self.std = torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1)
        kinds = {name: augmentations.entry(name).declared["kind"] for name in augment}

        def of(*wanted: str) -> list[tuple[str, Any, Mapping[str, Any]]]:
            chosen = [name for name in augment if kinds[name] in wanted]
            return [(kinds[name], augmentations.get(name), augment[name]) for name in chosen]

        self.geometry, self.pixels, self.erase = of("affine", "window"), of("pixels"), of("erase")
        self.mix, self.many = of("mix"), of("many")

    @property
    def places(self) -> tuple[tuple[float, float], ...]:
        """The windows of each image that a training batch holds, as fractions of the room."""
        for _, change, params in self.many:
            return tuple(change(**params))
        return ((0.0, 0.0),)

    @property
    def mixes(self) -> bool:
        """Whether training targets are mixed, so that no training accuracy can be told."""
        return bool(self.mix)

    def plain(self, images: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` uint8 to ``(N, channels, size, size)`` float, nothing random."""
        return self._finish(self._window(self._resized(self._grey(images)), (0.0, 0.0)))

    def views(self, images: Tensor, kind: str) -> list[Tensor]:
        """Images uint8 to the views of each that are averaged: ``single``, ``flip``, ``ten_crop``.

        Ten crops are the middle, the four corners, and their mirrors (Krizhevsky et al. 2012).
        """
        if kind != "ten_crop":
            seen = self.plain(images)
            return [seen, seen.flip(-1)] if kind == "flip" else [seen]
        whole = self._resized(self._grey(images))
        crops = [self._finish(self._window(whole, place)) for place in CORNERS]
        return [*crops, *(one.flip(-1) for one in crops)]

    def augmented(
        self, images: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | Mixed]:
        """Images uint8 and targets to a training batch, every sample with its own changes."""
        images = self._grey(images)
        places = self.places
        if self.geometry:
            matrices = self._changes(len(images), generator)
            parts = [self._sampled(images, matrices, place) for place in places]
        else:
            whole = self._resized(images)
            parts = [self._window(whole, place) for place in places]
        seen = torch.cat(parts) if len(parts) > 1 else parts[0]
        for _, change, params in self.pixels:
            seen = change(seen / 255, generator, **params) * 255
        seen = self._finish(seen)
        for _, change, params in self.erase:
            seen = change(seen, generator, **params)
        targets = targets.repeat(len(places), *[1] * (targets.ndim - 1))
        if not self.mix:
            return seen, targets
        which = int(uniform((), generator) * len(self.mix)) if len(self.mix) > 1 else 0
        _, change, params = self.mix[which]
        mixed: tuple[Tensor, Mixed] = change(seen, targets, generator, **params)
        return mixed

    def _grey(self, images: Tensor) -> Tensor:
        images = images.float()
        if self.channels == 1 and images.shape[1] == 3:
            weights = torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)
            return (images * weights).sum(1, keepdim=True)
        return images

    def _resized(self, images: Tensor) -> Tensor:
        side = (self.canvas, self.canvas)
        if images.shape[-2:] == side:
            return images
        shrinks = min(images.shape[-2:]) > self.canvas
        return functional.interpolate(images, side, mode="bilinear", antialias=shrinks)

    def _window(self, images: Tensor, place: tuple[float, float]) -> Tensor:
        """The part of whole images that a net sees, ``place`` as a fraction of its room."""
        room = self.canvas - self.size
        if not room:
            return images
        left, top = (round((1 + one) * room / 2) for one in place)
        return images[:, :, top : top + self.size, left : left + self.size]

    def _changes(self, n: int, generator: torch.Generator) -> Tensor:
        """Every geometric change of ``n`` images but the window, ``(n, 3, 3)``."""
        matrices = identities(n, generator)
        for kind, change, params in self.geometry:
            window = (self.kept,) if kind == "window" else ()
            matrices = matrices @ change(n, generator, *window, **params)
        return matrices

    def _sampled(self, images: Tensor, matrices: Tensor, place: tuple[float, float]) -> Tensor:
        """Resizing and every geometric change in one bilinear sampling; black outside.

        Several windows of an image are those of one and the same change of it.
        """
        n = len(images)
        if self.many or not any(kind == "window" for kind, *_ in self.geometry):
            window_at = centre(n, matrices.device, self.kept)
            window_at[:, 0, 2] = place[0] * (1 - self.kept[0])
            window_at[:, 1, 2] = place[1] * (1 - self.kept[1])
            matrices = matrices @ window_at
        if min(images.shape[-2:]) > self.canvas:
            images = self._resized(images)
        shape = [n, images.shape[1], self.size, self.size]
        grid = functional.affine_grid(matrices[:, :2], shape, align_corners=False)
        # Edges are held and what lies beyond is blackened, so that where nothing is changed the
        # result is that of plain resizing.
        sampled = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
        return sampled * (grid.abs() <= 1).all(-1).unsqueeze(1)

    def _finish(self, images: Tensor) -> Tensor:
        if self.mean.device != images.device:
            self.mean, self.std = self.mean.to(images.device), self.std.to(images.device)
        seen = images.mul(1 / (255 * self.std)).sub_(self.mean / self.std)
        return seen.expand(-1, self.channels, -1, -1)
