"""Deterministic preprocessing of whole sets, done once on the host; scaling is done on the device.

A step is a function ``(images, *, ...) -> images``, ``(N, H, W, C)`` uint8 both, in a file of this
folder, registered with ``@preprocessing.register(stage="once")``; what it makes is kept on disk
where it is declared ``slow``. ``normalize`` is of the stage ``batch``: it works on floats, so
`research.augment` applies it to each batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from research.registry import preprocessing

Images = NDArray[np.uint8]
Steps = Mapping[str, Mapping[str, Any]]


def steps_once(steps: Steps) -> dict[str, Mapping[str, Any]]:
    """Those steps that are done once, in order."""
    return {
        name: params
        for name, params in steps.items()
        if preprocessing.entry(name).declared["stage"] == "once"
    }


def is_slow(name: str) -> bool:
    """Whether a step takes so long that its result is worth keeping on disk."""
    return bool(preprocessing.entry(name).declared.get("slow"))


def apply_once(images: Images, steps: Steps) -> Images:
    """Images ``(N, H, W, C)`` through every step of the stage ``once``, in order."""
    for name, params in steps_once(steps).items():
        images = preprocessing.get(name)(images, **params)
    return images
