"""What is wrong or uneven in a data set: copies, leaks between splits, conflicts, persons."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from research.data import SPLITS, Found, Split, Splits
from research.data.folds import joined
from research.data.near import near_pairs
from research.data.splitting import copies_of

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Audit:
    """Findings about a data set; rows count all of its images, training first.

    ``copies`` are groups of rows with the same pixels, ``near`` pairs ``(P, 2)`` of rows with
    nearly the same; faces that a program drew are all alike, so that of those none are looked for.
    Both leave out ``blank`` rows, where every pixel has one value, but for exact copies.
    """

    splits: Splits
    whole: Split
    part: NDArray[np.str_]  # the split of each row, by the source's own name
    blank: Rows
    copies: tuple[Rows, ...]
    near: Rows

    @property
    def names(self) -> tuple[str, ...]:
        """The splits by the source's own names, training first."""
        shown = SPLITS[:2] if self.splits.tested_on_val else SPLITS
        return tuple(self.splits.named(name) for name in shown)

    @property
    def conflicting(self) -> tuple[Rows, ...]:
        """Copies with more than one label."""
        return tuple(g for g in self.copies if len(np.unique(self.whole.labels[g])) > 1)

    def counts(self) -> dict[str, dict[str, int]]:
        """Images by split and class."""
        size = len(self.splits.classes)
        return {
            name: dict(
                zip(
                    self.splits.classes,
                    np.bincount(self.whole.labels[self.part == name], minlength=size).tolist(),
                    strict=True,
                )
            )
            for name in self.names
        }

    def imbalance(self) -> float:
        """Training images of the commonest class for each of the rarest."""
        counts = self.splits.class_counts()
        return float(counts.max() / counts.min())

    def leaks(self) -> dict[str, int]:
        """Images of a later split whose very pixels stand in an earlier one."""
        found = {
            f"{late} in {early}": len(_across(self.copies, self.part, early, late))
            for early, late in itertools.combinations(self.names, 2)
        }
        if self.splits.tested_on_val:
            found[f"test in {self.splits.named('val')}"] = len(self.splits.test)
        return found

    def near_leaks(self) -> dict[str, int]:
        """Images of a later split that are nearly, but not quite, one of an earlier split."""
        groups = tuple(self._near_groups())
        return {
            f"{late} near {early}": len(_across(groups, self.part, early, late))
            for early, late in itertools.combinations(self.names, 2)
        }

    def near_conflicts(self) -> Rows:
        """Near-duplicates with two labels, ``(P, 2)``."""
        labels = self.whole.labels[self.near]
        conflicting: Rows = self.near[labels[:, 0] != labels[:, 1]]
        return conflicting

    def shared_persons(self) -> dict[str, list[str]]:
        """Persons who stand in a later and in an earlier split."""
        groups = self.whole.groups
        if groups is None:
            return {}
        found = {}
        for early, late in itertools.combinations(self.names, 2):
            both = np.intersect1d(groups[self.part == early], groups[self.part == late])
            found[f"{late} in {early}"] = [self.splits.persons[one] for one in both]
        return found

    def suspected_persons(self) -> list[tuple[str, str]]:
        """Pairs of persons who may be one: a picture of each is nearly the other's."""
        groups = self.whole.groups
        if groups is None:
            return []
        pairs = np.concatenate([self.near, *(_pairs(group) for group in self.copies)])
        both = np.unique(np.sort(groups[pairs], axis=1), axis=0)
        names = self.splits.persons
        return [(names[a], names[b]) for a, b in both if a != b]

    def _near_groups(self) -> Iterator[Rows]:
        """Each pair with the exact copies of both."""
        copies = {int(row): group for group in self.copies for row in group}
        for pair in self.near.tolist():
            yield np.concatenate([copies.get(row, np.array([row])) for row in pair])

    def table(self) -> list[tuple[str, int, str, int, str]]:
        """Every image found: finding, group, split, place in the split from 0, class.

        Findings are blank, copy and near; images of one group belong together.
        """
        groups = [("blank", np.array([row])) for row in self.blank]
        groups += [("copy", group) for group in self.copies]
        groups += [("near", pair) for pair in self.near]
        starts = {name: int(np.argmax(self.part == name)) for name in self.names}
        classes, labels = self.splits.classes, self.whole.labels
        return [
            (what, number, str(split), int(row) - starts[str(split)], classes[labels[row]])
            for number, (what, rows) in enumerate(groups, 1)
            for row, split in zip(rows, self.part[rows], strict=True)
        ]

    def as_json(self) -> dict[str, Any]:
        """The findings for programs."""
        counts = self.counts()
        conflicting = self.conflicting
        persons = None
        if self.whole.groups is not None:
            persons = {
                "count": len(self.splits.persons),
                "shared": {name: len(who) for name, who in self.shared_persons().items()},
                "suspected_same": [list(pair) for pair in self.suspected_persons()],
            }
        found: Found = self.splits.found
        return {
            "source": self.splits.source,
            "digest": self.splits.digest,
            "synthetic": self.splits.synthetic,
            "images": len(self.whole),
            "size": list(self.whole.images.shape[1:]),
            "classes": list(self.splits.classes),
            "splits": {
                name: {"images": sum(by_class.values()), "classes": by_class}
                for name, by_class in counts.items()
            },
            "held_out": [self.splits.named(n) for n in SPLITS if n not in self.splits.own],
            "imbalance": self.imbalance(),
            "sizes": dict(found.get("sizes", {})),
            "modes": dict(found.get("modes", {})),
            "blank": len(self.blank),
            "duplicates": {
                "groups": len(self.copies),
                "images": sum(map(len, self.copies)),
                "surplus": sum(map(len, self.copies)) - len(self.copies),
                "conflicting_groups": len(conflicting),
                "conflicting_images": sum(map(len, conflicting)),
            },
            "leaks": self.leaks(),
            "near_duplicates": {
                "pairs": len(self.near),
                "images": len(np.unique(self.near)),
                "conflicting_pairs": len(self.near_conflicts()),
                "leaks": self.near_leaks(),
            },
            "persons": persons,
        }


def audit(splits: Splits) -> Audit:
    """A data set to what there is to know before it is trusted."""
    whole = joined(splits)
    names = SPLITS[:2] if splits.tested_on_val else SPLITS
    part = np.concatenate(
        [np.full(len(getattr(splits, name)), splits.named(name)) for name in names]
    )
    flat = whole.images.reshape(len(whole), -1)
    is_blank = flat.max(1) == flat.min(1)
    ids = copies_of(whole.images)
    order = np.argsort(ids, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(ids[order])) + 1)
    firsts = np.array([g[0] for g in groups if not is_blank[g[0]]], dtype=np.int64)
    return Audit(
        splits=splits,
        whole=whole,
        part=part,
        blank=np.flatnonzero(is_blank),
        copies=tuple(group for group in groups if len(group) > 1),
        near=_no_pairs() if splits.synthetic else firsts[near_pairs(whole.images[firsts])],
    )


def _across(
    groups: Sequence[Rows], part: NDArray[np.str_], early: str, late: str
) -> NDArray[np.int64]:
    """Rows of the split ``late`` in groups that hold a row of ``early`` too."""
    found: set[int] = set()
    for group in groups:
        if (part[group] == early).any():
            found.update(group[part[group] == late].tolist())
    return np.array(sorted(found), dtype=np.int64)


def _no_pairs() -> Rows:
    return np.zeros((0, 2), dtype=np.int64)


def _pairs(group: Rows) -> Rows:
    return np.array([*itertools.combinations(group.tolist(), 2)], dtype=np.int64)
