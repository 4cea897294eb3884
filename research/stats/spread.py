"""How sure an effect is: standard errors from seeds, from seeds and images, from persons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from research.stats.effect import CONFIDENCE, POWER, Effect, Floats


class Spread(NamedTuple):
    """The standard error of an effect and its degrees of freedom."""

    error: float
    df: float


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


def images_part(hits: NDArray[np.float64]) -> tuple[float, int]:
    """Differences ``(seeds, images)`` to the part of the mean's variance that new images add.

    And its degrees of freedom. The component of images over their number; 0 where it is negative.
    """
    n, images = hits.shape
    rows, columns = hits.mean(1), hits.mean(0)
    rest = hits - rows[:, None] - columns[None, :] + hits.mean()
    ms_rest = float((rest**2).sum()) / ((n - 1) * (images - 1))
    ms_images = n * float(columns.var(ddof=1))
    return max(0.0, ms_images - ms_rest) / (n * images), images - 1


def with_images(found: Spread, each: Floats) -> Spread:
    """An error of seeds with what new images add; degrees of freedom after Satterthwaite.

    ``each`` ``(seeds, images)`` are the differences image by image; of one image, or one seed,
    nothing is told about others.
    """
    if min(each.shape) < 2:
        return found
    more, df = images_part(each)
    seeds = found.error**2
    total = seeds + more
    if not total > 0:
        return found
    return Spread(math.sqrt(total), total**2 / (seeds**2 / found.df + more**2 / df))


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


def detectable(
    spread: Spread,
    *,
    alpha: float = 0.05,
    power: float = POWER,
    critical: float | None = None,
) -> float:
    """The effect that a two-sided t test of level ``alpha`` finds with ``power``.

    ``critical`` is the value that t is compared with where it is not that of ``alpha``.
    """
    if not (spread.error > 0 and spread.df > 0):
        return 0.0 if spread.error == 0 else math.nan
    if critical is None:
        critical = t_quantile(1 - alpha / 2, spread.df)
    # The noncentrality at which t stays under the critical value in 1 - power of the cases.
    return float(special.nctdtrinc(spread.df, 1 - power, critical)) * spread.error


def measured(
    base: Effect, found: Sequence[Spread], *, family: int, margin: float, alpha: float
) -> Effect:
    """An effect with its intervals, p, detectable effect; each the least sure of those ``found``.

    ``family`` is how many comparisons the adjusted interval holds for together (Bonferroni). Where
    nothing varies nothing tells how sure the effect is: then there is no p, interval or verdict.
    """
    if not max(one.error for one in found) > 0:
        return base
    half = max(one.error * t_quantile(0.5 + CONFIDENCE / 2, one.df) for one in found)
    wide = max(one.error * t_quantile(1 - alpha / (2 * family), one.df) for one in found)
    equivalent = all(inside(base.effect, one, margin, alpha) for one in found)
    return replace(
        base,
        low=base.effect - half,
        high=base.effect + half,
        low_adjusted=base.effect - wide,
        high_adjusted=base.effect + wide,
        p=max(p_value(base.effect, one) for one in found),
        mde=max(detectable(one, alpha=alpha / family) for one in found),
        verdict="equivalent" if equivalent else "unresolved",
    )


def inside(effect: float, found: Spread, margin: float, alpha: float) -> bool:
    """Two one-sided tests (Schuirmann 1987): the 1 - 2 alpha interval lies inside the margin."""
    half = found.error * t_quantile(1 - alpha, found.df)
    return -margin < effect - half and effect + half < margin


def p_value(effect: float, found: Spread) -> float:
    """The two-sided p of a t test against 0."""
    if found.error == 0:
        return 1.0 if effect == 0 else 0.0
    return float(2 * special.stdtr(found.df, -abs(effect / found.error)))


def t_quantile(probability: float, df: float) -> float:
    """Student's t quantile; any positive degrees of freedom."""
    return float(special.stdtrit(df, probability))
