"""Faces turned and cut by the line between the eyes, as one write-up published it."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from research.preprocess import Images
from research.registry import Positive, preprocessing

CASCADE = Path(cv2.__file__).parent / "data" / "haarcascade_eye.xml"
DETECT_SIDE = 192  # small faces are enlarged to this before eyes are looked for
# Where eyes are and how far apart, of the image's side; how steep their line may be; how much
# larger one may seem than the other; how far apart they are in widths of what is found of an eye.
LOWEST, NEAREST, FARTHEST, STEEPEST = 0.6, 0.22, 0.65, 0.5
UNEVEN, CLOSEST, WIDEST = 1.7, 1.1, 3.2
log = logging.getLogger("research")
Point = tuple[float, float]


class Eyes(NamedTuple):
    """The middles of both eyes, the one on the left of the image first, ``(x, y)`` in pixels."""

    left: Point
    right: Point


class Spot(NamedTuple):
    """What may be an eye: its middle and size as shares of the image's side, and how surely."""

    x: float
    y: float
    size: float
    weight: float


@preprocessing.register(stage="once", slow=True)
def align_eyes(
    images: Images, *, beside: Positive = 1.0, above: Positive = 0.5, below: Positive = 1.5
) -> Images:
    """Turned so that the eyes are level, and cut by their distance d around their middle.

    ``beside`` times d to the left and to the right, ``above`` and ``below`` times d over and under
    the eyes; resized to what they were. Images on which no two eyes are found stay as they are.
    Eyes are found by OpenCV's cascade (Viola and Jones 2001).
    """
    finder = cv2.CascadeClassifier(str(CASCADE))
    made, found = np.array(images), 0
    for place, image in enumerate(images):
        eyes = find_eyes(image, finder)
        if eyes is not None:
            made[place] = cut(image, eyes, (beside, above, below))
            found += 1
    log.info("align_eyes: eyes found on %d of %d images; others stay", found, len(images))
    return made


def find_eyes(image: NDArray[np.uint8], finder: Any) -> Eyes | None:
    """An image ``(H, W, C)`` to its eyes, or None; of several pairs the surest."""
    grey = image[..., 0] if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = max(1.0, DETECT_SIDE / min(grey.shape))
    large = cv2.resize(np.ascontiguousarray(grey), None, fx=scale, fy=scale)
    side = min(large.shape)
    smallest = (side // 10, side // 10)
    boxes, _, weights = finder.detectMultiScale3(
        cv2.equalizeHist(large), 1.1, 3, minSize=smallest, outputRejectLevels=True
    )
    spots = [
        Spot((x + w / 2) / side, (y + h / 2) / side, w / side, float(weight))
        for (x, y, w, h), weight in zip(boxes, weights, strict=True)
    ]
    pairs = [(a, b) for a in spots for b in spots if _is_pair(a, b)]
    if not pairs:
        return None
    left, right = max(pairs, key=lambda pair: pair[0].weight + pair[1].weight)
    unit = side / scale
    return Eyes((left.x * unit, left.y * unit), (right.x * unit, right.y * unit))


def cut(
    image: NDArray[np.uint8], eyes: Eyes, room: tuple[float, float, float]
) -> NDArray[np.uint8]:
    """An image to the part around its eyes, level, of the image's own size."""
    height, width = image.shape[:2]
    (x1, y1), (x2, y2) = eyes
    d, angle = math.hypot(x2 - x1, y2 - y1), math.atan2(y2 - y1, x2 - x1)
    beside, above, below = (part * d for part in room)
    # From places in the result to places in the image: scaled, moved, turned about the middle.
    across, down = 2 * beside / width, (above + below) / height
    cosine, sine = math.cos(angle), math.sin(angle)
    start = np.array([across / 2 - beside, down / 2 - above])  # of the first pixel's middle
    turn = np.array([[cosine, -sine], [sine, cosine]])
    middle = np.array([(x1 + x2) / 2, (y1 + y2) / 2])
    matrix = np.column_stack([turn @ np.diag([across, down]), turn @ start + middle])
    made: NDArray[np.uint8] = cv2.warpAffine(
        np.ascontiguousarray(image),
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
    )
    return made.reshape(image.shape)


def _is_pair(left: Spot, right: Spot) -> bool:
    across, down = right.x - left.x, abs(right.y - left.y)
    size = (left.size + right.size) / 2
    return (
        NEAREST < across < FARTHEST
        and down < STEEPEST * across
        and max(left.y, right.y) < LOWEST
        and max(left.size, right.size) < UNEVEN * min(left.size, right.size)
        and CLOSEST * size < across < WIDEST * size
    )
