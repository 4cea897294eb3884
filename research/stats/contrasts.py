"""Cells against the control, paired by seed, with Holm's correction or a blocked Dunnett's.

With the test images at hand the variance is that of new seeds on new images: seeds and images are
crossed random effects of the paired difference, and p, intervals, minimum detectable effect and
verdict rest on that variance alike; none of them is surer than the seeds alone would be.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from research.errors import InvalidInput, suggest
from research.stats import dunnett
from research.stats.effect import MIN_SEEDS, Effect, Floats, judged, mean_and_sd
from research.stats.spread import (
    by_cluster,
    detectable,
    measured,
    spread,
    with_images,
)

METHODS = ("paired_t_holm", "blocked_dunnett")


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
    together, as those of one person do: then it is new persons that verdicts are about. ``method``:
    ``paired_t_holm``, each contrast by itself (Holm 1979), or ``blocked_dunnett``, which takes the
    variance of all cells for one and is wrong where one cell varies more. Raises `InvalidInput` for
    a table that is none.
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
    if method == "blocked_dunnett":
        return _dunnett(table, hits, clusters, margin, alpha)
    contrasts = max(1, len(table) - 1)
    effects = [
        _contrast(table, row, hits, clusters, contrasts, margin, alpha)
        for row in range(1, len(table))
    ]
    # A contrast that could not be tested was declared all the same, and counts as 1.
    adjusted = holm([one.p if math.isfinite(one.p) else 1.0 for one in effects])
    return [
        judged(replace(one, p_adjusted=p_adjusted), margin, alpha) if math.isfinite(one.p) else one
        for one, p_adjusted in zip(effects, adjusted, strict=True)
    ]


def holm(p_values: list[float]) -> list[float]:
    """P-values to those adjusted for their number, step down (Holm 1979)."""
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return [float(value) for value in adjusted]


def clustered(hits: Floats, clusters: ArrayLike | None) -> Floats:
    """Differences ``(seeds, images)`` to those of clusters, where there are some."""
    if clusters is None:
        return hits
    return by_cluster(hits, np.unique(np.asarray(clusters), return_inverse=True)[1])


def paired(
    table: Floats, row: int, hits: NDArray[np.bool_] | None, clusters: ArrayLike | None
) -> tuple[Effect, Floats, Floats | None]:
    """A row against row 0: what is known without a test, differences by seed, and by image."""
    mean, sd = mean_and_sd(table[row])
    both = np.isfinite(table[row]) & np.isfinite(table[0])
    n = int(both.sum())
    differences = table[row][both] - table[0][both]
    effect = float(differences.mean()) if n else math.nan
    base = Effect(n=n, mean=mean, sd=sd, effect=effect, complete=n == table.shape[1])
    if hits is None or n < MIN_SEEDS:
        return base, differences, None
    each = clustered(hits[row][both].astype(float) - hits[0][both].astype(float), clusters)
    # Of one image, or one person, nothing is told about others.
    return base, differences, each if each.shape[1] > 1 else None


def _contrast(
    table: Floats,
    row: int,
    hits: NDArray[np.bool_] | None,
    clusters: ArrayLike | None,
    contrasts: int,
    margin: float,
    alpha: float,
) -> Effect:
    base, differences, each = paired(table, row, hits, clusters)
    if base.n < MIN_SEEDS:
        return base
    # With few seeds their variance can come out small by luck, and the crossed form then takes the
    # images' degrees of freedom: no answer is surer than that of the seeds alone.
    found = [spread(differences)] + ([] if each is None else [spread(differences, each)])
    return measured(base, found, family=contrasts, margin=margin, alpha=alpha)


def _dunnett(
    table: Floats,
    hits: NDArray[np.bool_] | None,
    clusters: ArrayLike | None,
    margin: float,
    alpha: float,
) -> list[Effect]:
    """Every row against row 0 by one variance; only seeds that every cell was run with count."""
    whole = np.isfinite(table).all(axis=0)
    kept = np.where(whole, table, np.nan)
    contrasts = max(1, len(table) - 1)
    effects = []
    for row in range(1, len(table)):
        base, _, each = paired(kept, row, hits, clusters)
        if base.n < MIN_SEEDS:
            effects.append(base)
            continue
        found = dunnett.blocked_spread(table[:, whole])
        if each is not None:
            found = with_images(found, each)
        one = measured(base, [found], family=contrasts, margin=margin, alpha=alpha)
        if not found.error > 0:
            effects.append(one)
            continue
        critical = dunnett.critical_value(contrasts, found.df, alpha)
        t = abs(base.effect) / found.error
        one = replace(
            one,
            low_adjusted=base.effect - critical * found.error,
            high_adjusted=base.effect + critical * found.error,
            p_adjusted=dunnett.adjusted_p(t, contrasts, found.df),
            mde=detectable(found, critical=critical),
        )
        effects.append(judged(one, margin, alpha))
    return effects
