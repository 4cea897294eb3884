"""A split for data that comes without one: stratified, copies kept together, seed of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from research.data import Split
from research.errors import InvalidInput

# The split never depends on a run's seed: all runs of all studies share it.
SPLIT_SEED = 2013


def held_out(
    labels: NDArray[np.int64], fraction: float, copies: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Labels ``(N,)`` and ids of equal images ``(N,)`` to a mask ``(N,)`` of about ``fraction``.

    Every class gives its share, at least one image where it has two; images with the same pixels
    go to the same side, so that none is learnt by heart and then asked for.
    """
    generator = np.random.default_rng(SPLIT_SEED)
    _, firsts, members = np.unique(copies, return_index=True, return_inverse=True)
    sizes = np.bincount(members)
    chosen = np.zeros(len(firsts), dtype=bool)
    for label in np.unique(labels):
        groups = generator.permutation(np.flatnonzero(labels[firsts] == label))
        wanted = fraction * sizes[groups].sum()
        before = np.cumsum(sizes[groups]) - sizes[groups]
        take = before + sizes[groups] / 2 <= wanted
        if len(groups) > 1:
            take[0], take[-1] = True, False
        chosen[groups[take]] = True
    return chosen[members]


def copies_of(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Images ``(N, ...)`` to ids ``(N,)``: equal pixels, equal id."""
    ids: dict[bytes, int] = {}
    return np.array([ids.setdefault(image.tobytes(), len(ids)) for image in images], dtype=np.int64)


def split_off(split: Split, fraction: float) -> tuple[Split, Split]:
    """A split to (the rest, about ``fraction`` of it held out), persons and copies undivided."""
    together = copies_of(split.images) if split.groups is None else split.groups
    out = held_out(split.labels, fraction, together)
    return split.take(np.flatnonzero(~out)), split.take(np.flatnonzero(out))


def three_ways(split: Split, val: float, test: float) -> tuple[Split, Split, Split]:
    """A split to training, validation and test parts of the fractions given."""
    if val + test >= 1:
        raise InvalidInput(
            f"data.params.val_fraction {val} and test_fraction {test}: nothing is left to train on"
        )
    rest, tested = split_off(split, test)
    return (*split_off(rest, val / (1 - test)), tested)
