"""Steps on pixels where they stand: grey, histogram, contrast, blur, scale."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from research.errors import InvalidInput
from research.preprocess import Images
from research.registry import Count, Positive, preprocessing


@preprocessing.register(stage="once")
def equalize(images: Images) -> Images:
    """Histogram equalisation; of the brightness alone where there is colour."""
    return _per_image(images, cv2.equalizeHist)


@preprocessing.register(stage="once")
def clahe(images: Images, *, clip_limit: Positive = 2.0, tiles: Count = 8) -> Images:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld 1994)."""
    return _per_image(images, cv2.createCLAHE(clip_limit, (tiles, tiles)).apply)


@preprocessing.register(stage="once")
def grey(images: Images) -> Images:
    """Colour to its weighted grey, ``(N, H, W, 1)``; a net that wants three channels repeats it."""
    if images.shape[3] == 1:
        return images
    planes = [cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY) for image in images]
    return np.stack(planes)[..., None]


@preprocessing.register(stage="once")
def blur(images: Images, *, sigma: Positive = 0.8, side: Count = 3) -> Images:
    """Gaussian blur with a kernel of ``side`` pixels, an odd number."""
    if side % 2 == 0:
        raise InvalidInput(f"preprocess.blur.side: {side} is even; give an odd number of pixels")
    made = np.empty_like(images)
    for place, image in enumerate(images):
        made[place] = cv2.GaussianBlur(image, (side, side), sigma).reshape(image.shape)
    return made


@preprocessing.register(stage="batch")
def normalize(
    *, mean: float | list[float] = 0.5, std: Positive | list[Positive] = 0.5
) -> tuple[float | list[float], float | list[float]]:
    """Pixels from 0 to 1, less ``mean``, over ``std``: one number, or one a channel."""
    return mean, std


def _per_image(images: Images, change: Callable[[Images], Images]) -> Images:
    """A change of single grey planes to all images; colour changes in its luma only."""
    made = np.empty_like(images)
    for place, image in enumerate(images):
        if image.shape[2] == 1:
            made[place, :, :, 0] = change(np.ascontiguousarray(image[:, :, 0]))
        else:
            luma = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2YCrCb)
            luma[:, :, 0] = change(np.ascontiguousarray(luma[:, :, 0]))
            made[place] = cv2.cvtColor(luma, cv2.COLOR_YCrCb2RGB)
    return made
