"""Splits that a data set does not bring: persons and copies kept together, a seed of their own."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from research.data import Decoded, Split
from research.errors import InvalidInput
from research.spec import Holdout

# A split never depends on a run's seed: all runs of all studies share it.
SPLIT_SEED = 2013
MOST_PARTS = 10  # that persons are dealt to, to hold some out


def completed(decoded: Decoded, holdout: Holdout) -> tuple[Split, Split, Split]:
    """What a source has to (train, val, test), what it has not held out of its training images."""
    train, val, test = decoded.train, decoded.val, decoded.test
    of_rest, of_all = holdout.val_fraction, holdout.test_fraction
    if test is None and of_all:
        if val is None and of_rest + of_all >= 1:
            raise InvalidInput(
                f"data.params.val_fraction {of_rest} and test_fraction {of_all}: nothing is left "
                "to train on"
            )
        of_rest /= 1 - of_all
        train, test = split_off(train, of_all, holdout.holdout)
    if val is None:
        train, val = split_off(train, of_rest, holdout.holdout)
    return train, val, val if test is None else test


def split_off(split: Split, fraction: float, by: str = "persons") -> tuple[Split, Split]:
    """A split to (the rest, about ``fraction`` of it held out); ``by`` as in `Holdout`."""
    n = len(split)
    if by == "last":
        out = np.arange(n) >= n - round(fraction * n)
        if len(np.unique(split.labels[out])) < len(np.unique(split.labels)):
            raise InvalidInput(
                "data.params.holdout: last: the last images are not of every class, as they are in "
                "the order of classes; give persons or images"
            )
    elif by == "persons" and split.groups is not None:
        out = persons_out(split.labels, split.groups, fraction)
    else:
        out = held_out(split.labels, fraction, copies_of(split.images))
    return split.take(np.flatnonzero(~out)), split.take(np.flatnonzero(out))


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


def persons_out(
    labels: NDArray[np.int64], persons: NDArray[np.int64], fraction: float
) -> NDArray[np.bool_]:
    """Labels and persons ``(N,)`` to a mask ``(N,)`` of about ``fraction``, in whole persons.

    Persons are dealt to parts with classes as even as they allow, and parts are taken until there
    is enough; at least one person is on either side.
    """
    count = len(np.unique(persons))
    if count < 2:
        raise InvalidInput(
            "all images that are left are of one person: none can be held out by person; give "
            "data.params.holdout=images, or more persons"
        )
    shares = [(k, n) for n in range(2, min(count, MOST_PARTS) + 1) for k in range(1, n)]
    taken, parts = min(shares, key=lambda share: abs(share[0] / share[1] - fraction))
    return persons_apart(labels, persons, parts) < taken


def persons_apart(
    labels: NDArray[np.int64], persons: NDArray[np.int64], parts: int
) -> NDArray[np.int64]:
    """Labels and persons ``(N,)`` to a part ``(N,)`` from 0, classes as even as persons allow.

    With as many parts as persons each person is one, in order.
    """
    names, members = np.unique(persons, return_inverse=True)
    parts = min(parts, len(names))
    if parts == len(names):
        return members.astype(np.int64)
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold  # takes seconds

    few = parts > np.bincount(labels).max()  # too few of every class to be dealt evenly
    kind = GroupKFold if few else StratifiedGroupKFold
    folds = kind(parts, shuffle=True, random_state=SPLIT_SEED)
    part = np.zeros(len(labels), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a class is rarer than there are parts
        for number, (_, rows) in enumerate(folds.split(labels, labels, persons)):
            part[rows] = number
    return part


def copies_apart(
    labels: NDArray[np.int64], copies: NDArray[np.int64], parts: int
) -> NDArray[np.int64]:
    """Labels and ids of equal images ``(N,)`` to a part ``(N,)`` from 0, each class dealt out."""
    generator = np.random.default_rng(SPLIT_SEED)
    _, firsts, members = np.unique(copies, return_index=True, return_inverse=True)
    part = np.zeros(len(firsts), dtype=np.int64)
    dealt = 0
    for label in np.unique(labels):
        groups = generator.permutation(np.flatnonzero(labels[firsts] == label))
        part[groups] = (dealt + np.arange(len(groups))) % parts
        dealt += len(groups)  # the next class goes on where this one ended
    return part[members]


def copies_of(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Images ``(N, ...)`` to ids ``(N,)``: equal pixels, equal id."""
    ids: dict[bytes, int] = {}
    return np.array([ids.setdefault(image.tobytes(), len(ids)) for image in images], dtype=np.int64)
