"""Scores to effects, intervals and verdicts. Pure functions of arrays; fractions in [0, 1].

Contrasts are many-to-one: each cell against the control, paired by seed, with Holm's correction
(Holm 1979). With the test images at hand the variance is that of new seeds on new images: seeds and
images are crossed random effects of the paired difference, and p, intervals, minimum detectable
effect and verdict rest on that variance alike; none of them is surer than the seeds alone would be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from research.errors import InvalidInput, suggest

Floats = NDArray[np.float64]
Verdict = Literal["hurts", "helps", "equivalent", "unresolved"]

METHODS = ("paired_t_holm",)
MIN_SEEDS = 3  # under this there is no verdict, only the difference
MAX_SEEDS = 100_000
POWER = 0.8
CONFIDENCE = 0.95  # of marginal intervals, whatever alpha is


@dataclass(frozen=True)
class Effect:
    """One contrast, with the columns of ``effects.csv``; NaN where a number cannot be told.

    ``effect`` is the cell less the control; ``low`` and ``high`` bound it with 95 % each, the
    adjusted ones all contrasts together with 1 - alpha; ``mde`` is found with 80 % power.
    """

    kind: Literal["contrast", "main", "interaction"] = "contrast"
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


class Spread(NamedTuple):
    """The standard error of an effect and its degrees of freedom."""

    error: float
    df: float


def many_to_one(
    scores: ArrayLike,
    *,
    correct: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    margin: float = 0.01,
    alpha: float = 0.05,
    method: str = "paired_t_holm",
) -> list[Effect]:
    """Scores ``(cells, seeds)``, row 0 the control, to one effect for each other row.

    NaN tails stand for seeds that a cell was not run with. ``correct`` ``(cells, seeds, images)``
    bool says which test images each run got right; ``clusters`` ``(images,)`` which of them belong
    together, as those of one person do: then it is new persons that verdicts are about. Raises
    `InvalidInput` for a table that is none.
    """
    if method not in METHODS:
        raise InvalidInput(f"method '{method}' is not known{suggest(method, METHODS)}")
    table = np.asarray(scores, dtype=np.float64)
    hits = None if correct is None else np.asarray(correct)
    if table.ndim != 2 or (hits is not None and hits.shape[:2] != table.shape):
        shape = "" if hits is None else f" and of correct {hits.shape}"
        raise InvalidInput(
            f"scores of the shape {table.shape}{shape}; give (cells, seeds) and "
            "(cells, seeds, images)"
        )
    together = None if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    contrasts = max(1, len(table) - 1)
    rows = range(1, len(table))
    effects = [_contrast(table, row, hits, together, contrasts, margin, alpha) for row in rows]
    # A contrast that could not be tested was declared all the same, and counts as 1.
    adjusted = holm([one.p if math.isfinite(one.p) else 1.0 for one in effects])
    return [
        _judged(replace(one, p_adjusted=p_adjusted), margin, alpha) if math.isfinite(one.p) else one
        for one, p_adjusted in zip(effects, adjusted, strict=True)
    ]


def spread(differences: Floats, hits: NDArray[np.float64] | None = None) -> Spread:
    """Paired differences ``(seeds,)`` to the standard error of their mean.

    ``hits`` ``(seeds, images)`` are the differences image by image. Then the variance is that of a
    mean over crossed random seeds and images (Searle, Casella and McCulloch 1992, section 4.7):
    (MS_seeds + MS_images - MS_rest) / (S I), with Satterthwaite's degrees of freedom; a component
    whose estimate is negative is left out.
    """
    n = len(differences)
    if hits is None:
        return Spread(float(differences.std(ddof=1)) / math.sqrt(n), n - 1)
    images = hits.shape[1]
    grand, rows, columns = hits.mean(), hits.mean(1), hits.mean(0)
    ms_seeds = images * float(rows.var(ddof=1))
    ms_images = n * float(columns.var(ddof=1))
    rest = hits - rows[:, None] - columns[None, :] + grand
    df_rest = (n - 1) * (images - 1)
    ms_rest = float((rest**2).sum()) / df_rest
    if ms_images <= ms_rest:
        return Spread(math.sqrt(ms_seeds / (n * images)), n - 1)
    if ms_seeds <= ms_rest:
        return Spread(math.sqrt(ms_images / (n * images)), images - 1)
    total = ms_seeds + ms_images - ms_rest
    noise = ms_seeds**2 / (n - 1) + ms_images**2 / (images - 1) + ms_rest**2 / df_rest
    return Spread(math.sqrt(total / (n * images)), total**2 / noise)


def by_cluster(hits: Floats, clusters: NDArray[np.int64]) -> Floats:
    """Differences ``(seeds, images)`` to those of clusters ``(seeds, clusters)``, of equal weight.

    A mean over images is a ratio of totals where clusters differ in size; each cluster gets its
    linear part in it (Cochran 1977, section 6.3), so that the rows keep their means.
    """
    sizes = np.bincount(clusters)
    totals = np.stack([np.bincount(clusters, row) for row in hits])
    grand = hits.mean()
    linear: Floats = grand + (totals - grand * sizes) * len(sizes) / hits.shape[1]
    return linear


def holm(p_values: list[float]) -> list[float]:
    """P-values to those adjusted for their number, step down (Holm 1979)."""
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return [float(value) for value in adjusted]


def detectable(spread: Spread, *, alpha: float = 0.05, power: float = POWER) -> float:
    """The effect that a two-sided t test of level ``alpha`` finds with ``power``."""
    if not (spread.error > 0 and spread.df > 0):
        return 0.0 if spread.error == 0 else math.nan
    critical = t_quantile(1 - alpha / 2, spread.df)
    # The noncentrality at which t stays under the critical value in 1 - power of the cases.
    return float(special.nctdtrinc(spread.df, 1 - power, critical)) * spread.error


def seeds_needed(
    effect: float,
    sd_of_difference: float,
    *,
    contrasts: int = 1,
    power: float = POWER,
    alpha: float = 0.05,
) -> int:
    """The fewest seeds, at least 3, with which a paired t test finds an effect.

    ``alpha`` is shared among the contrasts. Raises `InvalidInput` for an effect of 0.
    """
    if effect == 0 or not math.isfinite(effect) or not sd_of_difference >= 0:
        raise InvalidInput(
            f"effect {effect} with a standard deviation of {sd_of_difference}: give an effect "
            "other than 0 and a deviation of 0 or more"
        )

    def finds(n: int) -> bool:
        found = Spread(sd_of_difference / math.sqrt(n), n - 1)
        return detectable(found, alpha=alpha / contrasts, power=power) <= abs(effect)

    few = MIN_SEEDS - 1
    many = MIN_SEEDS
    while not finds(many):
        if many > MAX_SEEDS:
            raise InvalidInput(f"an effect of {effect} needs more than {MAX_SEEDS:,} seeds")
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if finds(middle) else (middle, many)
    return many


def t_quantile(probability: float, df: float) -> float:
    """Student's t quantile; any positive degrees of freedom."""
    return float(special.stdtrit(df, probability))


def mean_and_sd(scores: Floats) -> tuple[float, float]:
    """Scores ``(seeds,)``, NaN where there is none, to their mean and sample SD."""
    own = scores[np.isfinite(scores)]
    mean = float(own.mean()) if len(own) else math.nan
    return mean, float(own.std(ddof=1)) if len(own) > 1 else math.nan


def _contrast(
    table: Floats,
    row: int,
    hits: NDArray[np.bool_] | None,
    clusters: NDArray[np.int64] | None,
    contrasts: int,
    margin: float,
    alpha: float,
) -> Effect:
    mean, sd = mean_and_sd(table[row])
    both = np.isfinite(table[row]) & np.isfinite(table[0])
    n = int(both.sum())
    differences = table[row][both] - table[0][both]
    effect = float(differences.mean()) if n else math.nan
    base = Effect(n=n, mean=mean, sd=sd, effect=effect, complete=n == table.shape[1])
    if n < MIN_SEEDS:
        return base
    paired = None if hits is None else hits[row][both].astype(float) - hits[0][both].astype(float)
    if paired is not None and clusters is not None:
        paired = by_cluster(paired, clusters)
    # With few seeds their variance can come out small by luck, and the crossed form then takes the
    # images' degrees of freedom: no answer is surer than that of the seeds alone.
    found = [spread(differences)] + ([] if paired is None else [spread(differences, paired)])
    half = max(one.error * t_quantile(0.5 + CONFIDENCE / 2, one.df) for one in found)
    wide = max(one.error * t_quantile(1 - alpha / (2 * contrasts), one.df) for one in found)
    equivalent = all(_inside(effect, one, margin, alpha) for one in found)
    return replace(
        base,
        low=effect - half,
        high=effect + half,
        low_adjusted=effect - wide,
        high_adjusted=effect + wide,
        p=max(_p_value(effect, one) for one in found),
        mde=max(detectable(one, alpha=alpha / contrasts) for one in found),
        verdict="equivalent" if equivalent else "unresolved",
    )


def _judged(effect: Effect, margin: float, alpha: float) -> Effect:
    """An effect with its verdict; ``equivalent`` stands only where nothing is significant."""
    if not effect.p_adjusted < alpha:
        return effect
    negligible = -margin < effect.low and effect.high < margin
    return replace(effect, verdict="hurts" if effect.effect < 0 else "helps", negligible=negligible)


def _inside(effect: float, found: Spread, margin: float, alpha: float) -> bool:
    """Two one-sided tests (Schuirmann 1987): the 1 - 2 alpha interval lies inside the margin."""
    half = found.error * t_quantile(1 - alpha, found.df)
    return -margin < effect - half and effect + half < margin


def _p_value(effect: float, found: Spread) -> float:
    if found.error == 0:
        return 1.0 if effect == 0 else 0.0
    return float(2 * special.stdtr(found.df, -abs(effect / found.error)))
