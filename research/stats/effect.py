"""What one comparison comes to, and the numbers that every rule shares."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Kind = Literal["contrast", "main", "interaction"]
Verdict = Literal["hurts", "helps", "equivalent", "unresolved"]

MIN_SEEDS = 3  # under this there is no verdict, only the difference
POWER = 0.8
CONFIDENCE = 0.95  # of marginal intervals, whatever alpha is


@dataclass(frozen=True)
class Effect:
    """One comparison, with the columns of ``effects.csv``; NaN where a number cannot be told.

    Of a contrast ``effect`` is the cell less the control, of a main effect what a factor's level
    changes on average over the other factors, of an interaction half of what one factor changes in
    the effect of another. ``low`` and ``high`` bound it with 95 % each, the adjusted ones all
    comparisons together with 1 - alpha; ``mde`` is found with 80 % power.
    """

    kind: Kind = "contrast"
    cell: str = ""
    factor: str = ""
    level: str = ""
    n: int = 0
    mean: float = math.nan
    sd: float = math.nan
    effect: float = math.nan
    low: float = math.nan
    high: float = math.nan
    low_adjusted: float = math.nan
    high_adjusted: float = math.nan
    p: float = math.nan
    p_adjusted: float = math.nan
    verdict: Verdict = "unresolved"
    mde: float = math.nan
    d_parameters: float = math.nan
    d_macs: float = math.nan
    d_epoch_s: float = math.nan
    complete: bool = True
    negligible: bool = False
    alias: str = ""  # of a fraction's term: what cannot be told from it
    caution: str = ""  # why it is not what it seems


def judged(effect: Effect, margin: float, alpha: float) -> Effect:
    """An effect with its verdict; ``equivalent`` stands only where nothing is significant."""
    if not effect.p_adjusted < alpha:
        return effect
    negligible = -margin < effect.low and effect.high < margin
    return replace(effect, verdict="hurts" if effect.effect < 0 else "helps", negligible=negligible)


def mean_and_sd(scores: Floats) -> tuple[float, float]:
    """Scores ``(seeds,)``, NaN where there is none, to their mean and sample SD."""
    own = scores[np.isfinite(scores)]
    mean = float(own.mean()) if len(own) else math.nan
    return mean, float(own.std(ddof=1)) if len(own) > 1 else math.nan
