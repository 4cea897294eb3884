"""What each cell does to each class: differences of F1 to the control, screened together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from research.reporting.frame import Frame
from research.stats import MIN_SEEDS, benjamini_hochberg
from research.stats.contrasts import clustered
from research.stats.spread import p_value, spread

FALSE_SHARE = 0.05  # of false findings that is held


@dataclass(frozen=True)
class ClassEffects:
    """Mean paired differences ``(cells, K)`` of F1, and their p ``(cells, K)`` after screening."""

    cells: tuple[str, ...]
    differences: NDArray[np.float64]
    adjusted: NDArray[np.float64]

    def found(self) -> list[tuple[str, int, float]]:
        """(cell, class, difference) of those that hold, the largest first."""
        held = np.argwhere(self.adjusted < FALSE_SHARE)
        rows = [(self.cells[r], int(c), float(self.differences[r, c])) for r, c in held]
        return sorted(rows, key=lambda row: -abs(row[2]))


def class_effects(frame: Frame) -> ClassEffects:
    """Every cell against the control, class by class; exploratory (Benjamini and Hochberg).

    A p is the larger of that about new seeds on these images and that about new images too.
    """
    cells = tuple(cell["name"] for cell in frame.cells("contrast", "context"))
    shape = (len(cells), len(frame.classes))
    differences, p = np.full(shape, np.nan), np.full(shape, np.nan)
    for column, name in enumerate(frame.classes):
        table = frame.table(["control", *cells], f"test/f1/{name}")
        for row in range(len(cells)):
            paired = table[row + 1] - table[0]
            both = np.isfinite(paired)
            paired = paired[both]
            if len(paired):
                differences[row, column] = paired.mean()
            if len(paired) < MIN_SEEDS or not paired.any():
                continue
            seeds = [seed for seed, kept in zip(frame.seeds, both, strict=True) if kept]
            by_image = _by_image(frame, cells[row], seeds, column)
            if by_image is None:  # nothing is known about other images, so no star
                continue
            found = [spread(paired), spread(paired, by_image)]
            p[row, column] = max(p_value(float(paired.mean()), one) for one in found)
    adjusted = np.array(benjamini_hochberg(list(p.ravel()))).reshape(shape)
    return ClassEffects(cells, differences, adjusted)


def _by_image(frame: Frame, cell: str, seeds: list[int], label: int) -> NDArray[np.float64] | None:
    """A cell's change of one class's F1 as parts of the images ``(seeds, images or clusters)``."""
    rows = []
    clusters = None
    for seed in seeds:
        before, after = frame.predictions("control", seed), frame.predictions(cell, seed)
        if before is None or after is None or len(before["label"]) != len(after["label"]):
            return None
        clusters = after.get("cluster")
        rows.append(f1_parts(after, label) - f1_parts(before, label))
    if len({len(row) for row in rows}) != 1:
        return None
    each = clustered(np.stack(rows), clusters)
    return each if each.shape[1] > 1 else None


def f1_parts(found: Mapping[str, NDArray[Any]], label: int) -> NDArray[np.float64]:
    """Answers to each image's part ``(images,)`` in the F1 of a class; their mean is that F1.

    F1 is a ratio of totals, 2 TP / (said + there are); each image gets its linear part in it
    (Cochran 1977, section 6.3).
    """
    said, true = found["said"] == label, found["label"] == label
    both = said.astype(float) + true
    if not both.any():
        return np.zeros(len(both))
    right = 2.0 * (said & true)
    f1 = right.sum() / both.sum()
    parts: NDArray[np.float64] = f1 + (right - f1 * both) / both.mean()
    return parts
