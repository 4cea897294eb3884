"""Augmentation on the device, per sample: one file a kind; here what every kind obeys.

An augmentation is a function registered with ``@augmentations.register(kind=...)`` that draws from
the generator it is passed, the host's: random numbers are the same on every device, and are sent
to a GPU without waiting for it. By kind:

``affine``  ``(n, generator, *, ...) -> (n, 3, 3)``: a matrix a sample. Coordinates run from -1 to 1
            over the image, x to the right, y down; a matrix takes a place in the output to its
            place in the input. All of them and the resizing are one sampling of the image.
``window``  the same, but it also decides which window of the image is seen, which is given as the
            fraction of the side that a crop keeps, before ``*``.
``margin``  ``(images, width, *, ...) -> images``: what is put around images where a change reaches
            outside, black where there is none; made of the image's own pixels, as these may be
            normalised before; the last one counts. ``sampled`` is the ``padding_mode`` by which
            `torch.nn.functional.grid_sample` does the same.
``pixels``  ``(images, generator, *, ...) -> images``: floats in [0, 1], before normalising.
``erase``   the same, after normalising.
``mix``     ``(images, targets, generator, *, ...) -> (images, Mixed)``.
``many``    ``(*, ...) -> offsets``: every image is seen several times.
``side``    ``(progress, *, ...) -> fraction``: of the input's side, by the share of steps done.

An ``affine`` or ``window`` that only moves whole pixels is registered as ``exact``.
"""

from __future__ import annotations

import torch
from torch import Tensor


def identities(n: int) -> Tensor:
    """``(n, 3, 3)`` matrices that change nothing."""
    return torch.eye(3).expand(n, 3, 3).clone()


def uniform(
    shape: tuple[int, ...], generator: torch.Generator, low: float = 0.0, high: float = 1.0
) -> Tensor:
    """Numbers from ``low`` to ``high``, on the host."""
    return torch.rand(shape, generator=generator) * (high - low) + low


def send(numbers: Tensor, images: Tensor) -> Tensor:
    """Numbers of the host's to where images are, without waiting for that."""
    if images.is_cuda:
        numbers = numbers.pin_memory()  # else copying waits until the driver has taken them
    return numbers.to(images.device, non_blocking=True)
