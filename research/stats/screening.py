"""Many secondary numbers at once, and two given runs: exploratory, and labelled so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from research.errors import InvalidInput


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """P-values to those at which the share of false findings is held (Benjamini, Hochberg 1995).

    NaN stays NaN and does not count.
    """
    p = np.asarray(p_values, dtype=float)
    made = np.full(len(p), np.nan)
    known = np.isfinite(p)
    if known.any():
        order = np.flatnonzero(known)[np.argsort(p[known])]
        raised = p[order] * len(order) / np.arange(1, len(order) + 1)
        made[order] = np.minimum(1.0, np.minimum.accumulate(raised[::-1])[::-1])
    return [float(value) for value in made]


def mcnemar(first: ArrayLike, second: ArrayLike) -> float:
    """Which images two runs got right, bool ``(images,)`` each, to the exact two-sided p.

    McNemar (1947): whether they err on different numbers of images; of these two runs alone.
    """
    one, other = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if one.ndim != 1 or one.shape != other.shape:
        raise InvalidInput(f"answers of the shapes {one.shape} and {other.shape}; give one image a")
    only_one, only_other = int((one & ~other).sum()), int((other & ~one).sum())
    if only_one + only_other == 0:
        return 1.0
    from scipy import stats  # its import takes a second, and few ask for this

    return float(stats.binomtest(only_one, only_one + only_other).pvalue)


def probability_of_improvement(scores: ArrayLike, control: ArrayLike) -> float:
    """The chance that a run of a cell beats a run of the control, ties half (Mann, Whitney 1947).

    Scores ``(seeds,)`` each, NaN left out; NaN where nothing is left.
    """
    mine, theirs = (np.asarray(one, dtype=float) for one in (scores, control))
    mine, theirs = mine[np.isfinite(mine)], theirs[np.isfinite(theirs)]
    if not len(mine) or not len(theirs):
        return float("nan")
    differences = mine[:, None] - theirs[None, :]
    return float((differences > 0).mean() + 0.5 * (differences == 0).mean())
