"""What each cell does to each class: differences of F1 to the control, screened together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from research.reporting.frame import Frame
from research.stats import MIN_SEEDS, benjamini_hochberg
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
    """Every cell against the control, class by class; exploratory (Benjamini and Hochberg)."""
    cells = tuple(cell["name"] for cell in frame.cells("contrast", "context"))
    shape = (len(cells), len(frame.classes))
    differences, p = np.full(shape, np.nan), np.full(shape, np.nan)
    for column, name in enumerate(frame.classes):
        table = frame.table(["control", *cells], f"test/f1/{name}")
        for row in range(len(cells)):
            paired = table[row + 1] - table[0]
            paired = paired[np.isfinite(paired)]
            if len(paired):
                differences[row, column] = paired.mean()
            if len(paired) >= MIN_SEEDS:
                p[row, column] = p_value(float(paired.mean()), spread(paired))
    adjusted = np.array(benjamini_hochberg(list(p.ravel()))).reshape(shape)
    return ClassEffects(cells, differences, adjusted)
