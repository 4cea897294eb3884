"""Cross-validation: all images of a set divided into parts, each of which is the test once.

Part k is the test, part k + 1 (after the last comes the first) validation, the rest is trained on.
Parts are of whole persons where persons are known; with as many parts as persons this is leaving
one person out, validation being another person, never the tested one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from research.data import SPLITS, Split, Splits
from research.data.splitting import copies_apart, copies_of, persons_apart
from research.errors import InvalidInput

SUBJECTS = "subjects"  # as many parts as persons
# By digest and number of parts: the part of each image, and an id that equal images share.
_known: dict[tuple[str, int], tuple[NDArray[np.int64], NDArray[np.int64]]] = {}


def count_of(splits: Splits, folds: int | str) -> int:
    """What a study asks for, a number or ``subjects``, to a number; raises `InvalidInput`."""
    persons = len(splits.persons)
    if folds == SUBJECTS:
        if not persons:
            raise InvalidInput(
                f"folds: {SUBJECTS}: {splits.source} does not say who is on its images; give a "
                "number of folds, such as folds: 5"
            )
        folds = persons
    most = persons or sum(len(getattr(splits, name)) for name in SPLITS)
    if not 3 <= int(folds) <= most:
        what = f"{most} persons" if persons else f"{most} images"
        raise InvalidInput(
            f"folds: {folds}: {splits.source} has {what}; give 3 (for test, validation and "
            f"training) to {most}"
        )
    return int(folds)


def folded(splits: Splits, folds: int, fold: int) -> Splits:
    """Splits whose test is part ``fold``, from 1; the set's own splits are set aside."""
    whole = joined(splits)
    part, copies = _parts(splits, folds)
    test, val = part == fold - 1, part == fold % folds
    train = ~(test | val)
    return replace(
        splits,
        train=_with_leaks(whole, copies, train, np.zeros_like(train)),
        val=_with_leaks(whole, copies, val, train),
        test=_with_leaks(whole, copies, test, ~test),
        own=(),
        names={},
        tested_on_val=False,
    )


def check_folds(splits: Splits, params: Mapping[str, Any]) -> None:
    """Refuses folds of complete ``data.params`` that cannot be, or leave a class untrained."""
    folds, fold = params["folds"], params["fold"]
    if folds is None:
        return
    count_of(splits, folds)
    part, _ = _parts(splits, folds)
    labels = joined(splits).labels
    problems = []
    for number in range(1, folds + 1) if fold is None else [fold]:
        trained = labels[(part != number - 1) & (part != number % folds)]
        problems += [
            f"data.params.folds: fold {number} of {folds} leaves no image of '{name}' to train on; "
            "give another number of folds, or images of it by more persons"
            for label, name in enumerate(splits.classes)
            if label not in trained
        ]
    if problems:
        raise InvalidInput(*problems)


def used(splits: Splits, params: Mapping[str, Any]) -> Splits:
    """The images that complete ``data.params`` leave of a set: of one fold, within the limits.

    Where there are folds and none is chosen, those of the first, which is as large as any.
    """
    if params["folds"] is not None:
        splits = folded(splits, params["folds"], params["fold"] or 1)
    return splits.limited(params["train_limit"], params["eval_limit"])


def joined(splits: Splits) -> Split:
    """All images of a set as one split, each once."""
    names = [name for name in SPLITS if name != "test" or not splits.tested_on_val]
    parts = [getattr(splits, name) for name in names]
    arrays: dict[str, Any] = {}
    for name in ("images", "labels", "soft_labels", "groups"):
        found = [getattr(part, name) for part in parts]
        arrays[name] = None if found[0] is None else np.concatenate(found)
    return Split(**arrays)


def _with_leaks(
    whole: Split, copies: NDArray[np.int64], chosen: NDArray[np.bool_], seen: NDArray[np.bool_]
) -> Split:
    """The chosen rows, with which of them have copies among the rows seen."""
    leaked = np.isin(copies[chosen], copies[seen])
    return replace(whole.take(np.flatnonzero(chosen)), leaked=leaked)


def _parts(splits: Splits, folds: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if (splits.digest, folds) not in _known:
        whole = joined(splits)
        copies = copies_of(whole.images)
        if whole.groups is None:
            part = copies_apart(whole.labels, copies, folds)
        else:
            part = persons_apart(whole.labels, whole.groups, folds)
        _known[splits.digest, folds] = part, copies
    return _known[splits.digest, folds]
