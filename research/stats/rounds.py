"""Contrasts whose seeds were added in rounds: what is found, and what is worth a further round.

Each look compares the seeds so far; see `research.stats.sequential` for the error over all looks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from research.stats.contrasts import holm, paired
from research.stats.effect import MIN_SEEDS, Effect, Floats, judged
from research.stats.sequential import nominal, sequential_p
from research.stats.spread import Spread, detectable, inside, p_value, spread, t_quantile

FUTILE = 0.1  # a smaller chance to be decided by the last look ends a contrast


@dataclass(frozen=True)
class Rule:
    """Seeds at each look so far, and the most that any cell is given."""

    looks: tuple[int, ...]
    most: int


def in_rounds(
    scores: ArrayLike,
    rule: Rule,
    *,
    correct: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    margin: float = 0.01,
    alpha: float = 0.05,
    expected: Sequence[int] | None = None,
) -> list[Effect]:
    """As `research.stats.many_to_one`, of cells that were given seeds until they were decided.

    ``expected`` is how many seeds each row but the control's was given; else all of the last look.

    Intervals are those that hold at every look (Jennison and Turnbull 1989). ``equivalent`` stands
    where two one-sided tests were passed at some look, with alpha spent over the looks likewise.
    """
    table = np.asarray(scores, dtype=np.float64)
    hits = None if correct is None else np.asarray(correct)
    contrasts = max(1, len(table) - 1)
    effects, overall = [], []
    for row in range(1, len(table)):
        base, found, looks = _looked(table, row, hits, clusters, rule)
        wanted = rule.looks[-1] if expected is None else expected[row - 1]
        if not found or not max(one.error for one in found[-1][1]) > 0:
            effects.append(replace(base, complete=bool(found) and base.n >= wanted))
            overall.append(1.0)
            continue
        p_values = [max(p_value(effect, s) for s in spreads) for effect, spreads in found]
        overall.append(sequential_p(p_values, looks, rule.most))
        judged_at = _at_last(base, found, looks, rule, contrasts, margin, alpha)
        effects.append(replace(judged_at, complete=base.n >= wanted))
    adjusted = holm(overall)
    return [
        judged(replace(one, p=p, p_adjusted=p_all), margin, alpha)
        if math.isfinite(one.low)
        else one
        for one, p, p_all in zip(effects, overall, adjusted, strict=True)
    ]


Look = tuple[float, list[Spread]]


def _looked(
    table: Floats, row: int, hits: np.ndarray | None, clusters: ArrayLike | None, rule: Rule
) -> tuple[Effect, list[Look], list[int]]:
    """A contrast at its last whole look, its effect and spreads at each, and which these are.

    A look counts where the cell and the control have every seed of it.
    """
    looks = [
        look
        for look in rule.looks
        if MIN_SEEDS <= look <= table.shape[1] and np.isfinite(table[[0, row], :look]).all()
    ]
    found: list[Look] = []
    base = paired(table, row, None, None)[0]
    for look in looks:
        part = None if hits is None else hits[:, :look]
        base, differences, each = paired(table[:, :look], row, part, clusters)
        spreads = [spread(differences)]
        spreads += [] if each is None else [spread(differences, each)]
        found.append((base.effect, spreads))
    return base, found, looks


def _at_last(
    base: Effect,
    found: Sequence[Look],
    looks: Sequence[int],
    rule: Rule,
    contrasts: int,
    margin: float,
    alpha: float,
) -> Effect:
    """A contrast at its last look: intervals, the detectable effect, whether it is equivalent."""
    effect, spreads = found[-1]
    marginal = nominal(looks[-1], looks, rule.most, 0.05)
    together = nominal(looks[-1], looks, rule.most, alpha / contrasts)
    half = max(one.error * t_quantile(1 - marginal / 2, one.df) for one in spreads)
    wide = max(one.error * t_quantile(1 - together / 2, one.df) for one in spreads)
    same = any(
        all(
            inside(at, one, margin, nominal(look, looks, rule.most, alpha, sides=1))
            for one in parts
        )
        for look, (at, parts) in zip(looks, found, strict=True)
    )
    return replace(
        base,
        effect=effect,
        low=effect - half,
        high=effect + half,
        low_adjusted=effect - wide,
        high_adjusted=effect + wide,
        mde=max(detectable(one, alpha=together) for one in spreads),
        verdict="equivalent" if same else "unresolved",
    )


def chance_to_decide(
    effect: Effect, error: float, fixed: float, rule: Rule, *, contrasts: int, margin: float,
    alpha: float = 0.05,
) -> float:  # fmt: skip
    """The chance that a contrast is decided by the most seeds, given what is known of it now.

    ``error`` is its standard error now, ``fixed`` the part of that variance that more seeds do not
    lessen (new images). The predictive distribution of the last mean is normal about today's.
    """
    if error == 0:  # every seed gave the same difference: more of them tell nothing
        return 0.0
    n, most = effect.n, rule.most
    last = math.sqrt(max(error**2 - fixed, 0.0) * n / most + fixed)
    looks = (*rule.looks, most) if most > rule.looks[-1] else rule.looks
    found = t_quantile(1 - nominal(most, looks, most, alpha / contrasts) / 2, most - 1) * last
    same = margin - t_quantile(1 - nominal(most, looks, most, alpha, sides=1), most - 1) * last
    sd = math.sqrt(max(error**2 - last**2, 1e-18))

    def below(bound: float) -> float:
        return float(special.ndtr((bound - effect.effect) / sd))

    decided = below(-found) + 1 - below(found)
    return decided + (max(0.0, below(same) - below(-same)) if same > 0 else 0.0)
