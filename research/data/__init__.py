"""Data sets: one file a source; here what every source gives, and `load_data`.

A source is a function ``(path, *, ...) -> Decoded`` in a file of this folder, registered with
``@sources.register()``; beside it stands ``accepts(path) -> bool``, which tells whether a file or
folder is of its layout; of several that accept one, the one declared with the highest ``rank``
reads it. A source of several files has ``reads(path, *, ...) -> list[Path]`` too. What it decodes
is kept in a cache by the content of what it read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "val", "test")
# What sets in use call their splits, in lower case.
PARTS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "publictest"),
    "test": ("test", "testing", "privatetest"),
}
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
Found = Mapping[str, Mapping[str, int]]  # "sizes" and "modes" to how many images have each


@dataclass(frozen=True)
class Split:
    """Images ``(N, H, W, C)`` uint8 and labels ``(N,)`` int64 of one part of a data set.

    ``soft_labels`` ``(N, K)`` float32 are probabilities of the classes, ``groups`` ``(N,)`` int64
    the persons; None where a set has none. ``leaked`` ``(N,)`` bool: the same pixels stand in an
    earlier split too.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    soft_labels: NDArray[np.float32] | None = None
    groups: NDArray[np.int64] | None = None
    leaked: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Split({len(self)} images {self.images.shape[1:]})"

    def take(self, rows: NDArray[np.int64]) -> Split:
        """Only the rows given, in their order."""
        parts = (self.images, self.labels, self.soft_labels, self.groups, self.leaked)
        return Split(*(None if part is None else part[rows] for part in parts))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Decoded:
    """What a source reads: its splits, the names of the classes by label.

    A split that the source does not have is None and is held out of ``train``
    (`research.data.splitting`). ``names`` are what the source calls its splits, ``persons`` the
    names of the groups, ``found`` the sizes and modes of the images before they were decoded.
    """

    train: Split
    val: Split | None
    test: Split | None
    classes: tuple[str, ...]
    names: Mapping[str, str] = field(default_factory=dict)
    persons: tuple[str, ...] = ()
    found: Found = field(default_factory=dict)


@dataclass(frozen=True)
class Splits:
    """A data set, decoded: training, validation and test parts, memory-mapped from the cache.

    ``digest`` identifies the decoded arrays, whatever file they came from; ``source`` is what they
    were read from; ``synthetic`` is true of pictures that were drawn, not taken. ``own`` names the
    splits that the source has itself; ``tested_on_val``: the test images are the validation images.
    The rest as in `Decoded`.
    """

    train: Split
    val: Split
    test: Split
    classes: tuple[str, ...]
    digest: str
    source: str
    synthetic: bool = False
    own: tuple[str, ...] = SPLITS
    tested_on_val: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    persons: tuple[str, ...] = ()
    found: Found = field(default_factory=dict)

    def named(self, split: str) -> str:
        """What the source calls ``train``, ``val`` or ``test``."""
        return self.names.get(split, split)

    def class_counts(self) -> NDArray[np.int64]:
        """Training images of each class, ``(K,)``."""
        return np.bincount(self.train.labels, minlength=len(self.classes))

    def limited(self, train: int | None, evaluation: int | None) -> Splits:
        """At most so many images a split, every class in its proportion, the first ones of each."""
        if train is None and evaluation is None:
            return self
        return replace(
            self,
            train=first(self.train, train),
            val=first(self.val, evaluation),
            test=first(self.test, evaluation),
        )


def first(split: Split, limit: int | None) -> Split:
    """First images of each class, in its proportion but at least one; ``limit`` in all."""
    if limit is None or limit >= len(split):
        return split
    labels = np.asarray(split.labels)
    present, counts = np.unique(labels, return_counts=True)
    exact = limit * counts / len(labels)
    taken = np.maximum(1, np.floor(exact).astype(int))
    for place in np.argsort(taken - exact)[: max(0, limit - taken.sum())]:
        taken[place] += 1  # the largest remainders
    kept = [
        np.flatnonzero(labels == label)[:count] for label, count in zip(present, taken, strict=True)
    ]
    return split.take(np.sort(np.concatenate(kept)))


def load_data(name_or_path: str | Path = "auto", **params: Any) -> Splits:
    """A data set's name or a path (csv, npz, folder) to its splits; decoded once, then mapped.

    ``params`` are those of the source that reads it, such as ``side``, and of
    `research.spec.Holdout`, such as ``val_fraction``. Raises `research.errors.InvalidInput` with
    file, line and value where something is wrong.
    """
    from research.data.cache import load
    from research.data.location import locate

    return load(locate(str(name_or_path)), params)
