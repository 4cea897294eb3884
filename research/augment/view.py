"""From resident uint8 images to what a net sees: resized, augmented per sample, on the device."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from research.augment import send, uniform
from research.augment.geometry import CORNERS
from research.augment.mixing import Mixed
from research.augment.pixels import LUMA
from research.augment.window import Window, black, crop, grid, mirror, moves
from research.registry import augmentations, preprocessing

Steps = Mapping[str, Mapping[str, Any]]
SMALLEST = 8  # pixels a side of a batch of small images
PARTS = 100
TOGETHER = 2**20  # pixels at most of batches that are changed at once, where they are largest


class View:
    """What a net sees of resident images ``(N, C, H, W)`` uint8: float, resized, normalised.

    ``size`` is the side in pixels, ``channels`` 1 or 3; ``canvas`` the side that images are resized
    to before their middle is taken, ``size`` where there is no crop.
    """

    def __init__(
        self, size: int, channels: int, preprocess: Steps, augment: Steps, canvas: int | None = None
    ) -> None:
        self.channels, self.window = channels, Window(size, canvas or size)
        mean, std = 0.0, 1.0
        if "normalize" in preprocess:
            mean, std = preprocessing.get("normalize")(**preprocess["normalize"])
        self.mean = torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1)
        self.std = torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1)
        self.mean = self.mean.expand_as(self.mean + self.std)
        self.std = self.std.expand_as(self.mean)
        self.alike = float(1 / (255 * self.std)) if self.std.numel() == 1 else None
        declared = {name: augmentations.entry(name).declared for name in augment}
        kinds = {name: one["kind"] for name, one in declared.items()}

        def of(*wanted: str) -> list[tuple[str, Any, Mapping[str, Any]]]:
            chosen = [name for name in augment if kinds[name] in wanted]
            return [(kinds[name], augmentations.get(name), augment[name]) for name in chosen]

        self.geometry, self.pixels, self.erase = of("affine", "window"), of("pixels"), of("erase")
        self.mix, self.many, self.sides = of("mix"), of("many"), of("side")
        self.windowed = any(kind == "window" for kind, *_ in self.geometry)
        moving = [name for name in augment if kinds[name] in ("affine", "window")]
        # Whether no geometric change does more than move whole pixels.
        self.exact = all(declared[name].get("exact", False) for name in moving)
        padded = [augment[name].get("padding", 0.0) for name in moving]
        self.margin = round(max(padded, default=0.0) * self.window.canvas)
        self.around, self.sampled = black, ""
        for name in (name for name in augment if kinds[name] == "margin"):
            self.around = functools.partial(augmentations.get(name), **augment[name])
            self.sampled = declared[name]["sampled"]

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

    def side(self, progress: float) -> int:
        """The side in pixels of a training batch, ``progress`` being the share of steps done."""
        size = self.window.size
        for _, change, params in self.sides:
            size = max(SMALLEST, round(size * change(progress, **params)))
        return min(size, self.window.size)

    def area(self) -> float:
        """How large a training batch is on average, as a share of the full input's area."""
        sides = [self.side((2 * part + 1) / (2 * PARTS)) for part in range(PARTS)]
        return sum(side**2 for side in sides) / PARTS / self.window.size**2

    def plain(self, images: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` uint8 to ``(N, channels, size, size)`` float, nothing random."""
        return self.views(images, "single")[0]

    def views(self, images: Tensor, kind: str) -> list[Tensor]:
        """Images uint8 to the views of each that are averaged: ``single``, ``flip``, ``ten_crop``.

        Ten crops are the middle, the four corners, and their mirrors (Krizhevsky et al. 2012).
        """
        images, finish = self._begun(images)
        whole = self._resized(images)
        places = CORNERS if kind == "ten_crop" else CORNERS[:1]
        crops = [finish(self.window.cut(whole, place)) for place in places]
        return crops if kind == "single" else [*crops, *(one.flip(-1) for one in crops)]

    def batches(
        self, images: Tensor, order: Tensor, size: int, generator: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """An epoch: the rows ``(size,)`` of each batch, in the order given, and its images changed.

        Several batches are changed at once, as small operations cost the same for one as for many.
        What concerns a batch as a whole is left to `batch`.
        """
        channels = max(images.shape[1], self.channels)
        largest = max(images[0].numel(), channels * self.window.canvas**2)
        together = 1 if self.many else max(1, TOGETHER // (size * largest))
        for group in torch.split(order, size * together):
            seen = self.changed(images.index_select(0, group), generator)
            parts = torch.split(seen, size * len(self.places))
            yield from zip(torch.split(group, size), parts, strict=True)

    def augmented(
        self,
        images: Tensor,
        targets: Tensor,
        generator: torch.Generator,
        progress: float = 1.0,
    ) -> tuple[Tensor, Tensor | Mixed]:
        """Images uint8 and targets to a training batch, every sample with its own changes.

        ``progress`` is the share of the training's steps that are done.
        """
        return self.batch(self.changed(images, generator), targets, generator, progress)

    def changed(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Images uint8, every sample with its own changes, to floats at the input's full side."""
        images, finish = self._begun(images)
        if not self.geometry:
            whole = self._resized(images)
            parts = [self.window.cut(whole, place) for place in self.places]
        elif self.exact:
            parts = self._moved(images, generator)
        else:
            parts = self._sampled(images, generator)
        seen = torch.cat(parts) if len(parts) > 1 else parts[0]
        for _, change, params in self.pixels:
            seen = change(seen / 255, generator, **params) * 255
        seen = finish(seen)
        for _, change, params in self.erase:
            seen = change(seen, generator, **params)
        return seen

    def batch(
        self, seen: Tensor, targets: Tensor, generator: torch.Generator, progress: float = 1.0
    ) -> tuple[Tensor, Tensor | Mixed]:
        """A batch of `changed` images and its targets, as small as they are so far, and mixed."""
        places, side = self.places, self.side(progress)
        if side < self.window.size:
            seen = functional.interpolate(seen, (side, side), mode="bilinear", antialias=True)
        targets = targets.repeat(len(places), *[1] * (targets.ndim - 1))
        if not self.mix:
            return seen, targets
        which = int(uniform((), generator) * len(self.mix)) if len(self.mix) > 1 else 0
        _, change, params = self.mix[which]
        mixed: tuple[Tensor, Mixed] = change(seen, targets, generator, **params)
        return mixed

    def _begun(self, images: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Images to start from, of the channels wanted or one, and what is to be done at the end.

        Images that grow are normalised while they are small: resizing is a mean, so that it comes
        to the same, but where something is done to pixels or black comes in from outside.
        """
        images = self._grey(images)
        kept = not self.margin and (self.exact or not self.geometry)
        whole = not self.pixels and (kept or self.around is not black)
        grows = max(images.shape[-2:]) < self.window.canvas
        if whole and grows and self.mean.shape[1] in (1, images.shape[1]):
            return self._normal(images), self._spread
        return images, lambda seen: self._spread(self._normal(seen))

    def _grey(self, images: Tensor) -> Tensor:
        if self.channels == 1 and images.shape[1] == 3:
            weights = send(torch.tensor(LUMA), images).view(1, 3, 1, 1)
            return (images * weights).sum(1, keepdim=True)
        return images

    def _resized(self, images: Tensor) -> Tensor:
        canvas = self.window.canvas
        if images.shape[-2:] == (canvas, canvas):
            return images
        shrinks = min(images.shape[-2:]) > canvas
        return functional.interpolate(
            images.float(), (canvas, canvas), mode="bilinear", antialias=shrinks
        )

    def _changes(self, n: int, generator: torch.Generator) -> list[Tensor]:
        """Every geometric change of ``n`` images, ``(n, 3, 3)``, one for each window of an image.

        Several windows of an image are those of one and the same change of it.
        """
        made = []
        for kind, change, params in self.geometry:
            window = (self.window,) if kind == "window" else ()
            made.append(change(n, generator, *window, **params))
        matrices = functools.reduce(torch.matmul, made)
        if not self.many and (self.windowed or not self.window.room):
            return [matrices]
        firsts = [[self.window.offset(one) for one in place] for place in self.places]
        return [matrices @ self.window.at(torch.tensor([first])) for first in firsts]

    def _moved(self, images: Tensor, generator: torch.Generator) -> list[Tensor]:
        """What `_sampled` gives where only whole pixels move, without arithmetic on pixels."""
        changes = [moves(one, self.window) for one in self._changes(len(images), generator)]
        mirrored, _ = changes[0]
        whole = self._resized(mirror(images, mirrored))
        return [crop(whole, first, self.window, self.margin, self.around) for _, first in changes]

    def _sampled(self, images: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Resizing and every geometric change in one bilinear sampling."""
        changes = self._changes(len(images), generator)
        if min(images.shape[-2:]) > self.window.canvas:
            images = self._resized(images)
        images, parts = images.float(), []
        for matrices in changes:
            x, y = grid(send(matrices, images), self.window.size)
            at = torch.stack([x, y], -1)
            # Where it is to be black, edges are held and what lies beyond is blackened, so that
            # where nothing is changed the result is that of plain resizing.
            made = functional.grid_sample(
                images, at, padding_mode=self.sampled or "border", align_corners=False
            )
            if not self.sampled:
                inside = torch.maximum(x.abs(), y.abs()).le_(1)  # floats: bools are slow to make
                made.mul_(inside.unsqueeze(1))
            parts.append(made)
        return parts

    def _normal(self, images: Tensor) -> Tensor:
        if self.mean.device != images.device:
            self.mean, self.std = self.mean.to(images.device), self.std.to(images.device)
        if self.alike is not None:
            return torch.add(-self.mean / self.std, images.float(), alpha=self.alike)
        return images.mul(1 / (255 * self.std)).sub_(self.mean / self.std)

    def _spread(self, images: Tensor) -> Tensor:
        """Grey images to as many channels as the net takes."""
        return images.expand(-1, self.channels, -1, -1)
