"""Factorials: what each factor changes on average over the others, and what two change together.

Least squares of the scores on the terms in -1 / +1 coding, seeds as blocks (Box, Hunter and Hunter
2005, chapters 5 and 6): every run tells of every factor.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from research.errors import InvalidInput
from research.stats.contrasts import clustered, holm
from research.stats.effect import MIN_SEEDS, Effect, Floats, judged
from research.stats.spread import Spread, measured, with_images


@dataclass(frozen=True)
class Term:
    """A main effect or an interaction of two factors: their numbers, their levels', its weights.

    ``weights`` ``(cells,)`` sum to 0 and make the effect of the cells' means. ``aliases`` are terms
    that this design cannot tell from it, as they are; their own are this one's. ``signs`` says of
    each alias whether it counts with (1) or against (-1) the term.
    """

    factors: tuple[int, ...]
    levels: tuple[int, ...]
    weights: Floats
    aliases: tuple[tuple[int, ...], ...] = ()
    signs: tuple[int, ...] = ()


def terms(settings: ArrayLike) -> list[Term]:
    """Levels ``(cells, factors)``, 0 the control's, to the terms that balanced cells can tell.

    Main effects first, then interactions; one that equals an earlier one up to its sign is that
    one's alias. Raises `InvalidInput` where cells are missing, so that factors are not balanced.
    """
    table = np.asarray(settings, dtype=np.int64)
    made: list[Term] = []
    counts = range(table.shape[1])
    for members in [(f,) for f in counts] + list(itertools.combinations(counts, 2)):
        for levels in itertools.product(*(range(1, table[:, f].max() + 1) for f in members)):
            weights = _weights(table, members, levels)
            before = [
                place
                for place, one in enumerate(made)
                if np.allclose(one.weights, weights) or np.allclose(one.weights, -weights)
            ]
            if before and len(members) == 1:
                raise InvalidInput(f"factors {members[0]} and {made[before[0]].factors[0]} are one")
            if before:
                one = made[before[0]]
                sign = 1 if np.allclose(one.weights, weights) else -1
                made[before[0]] = replace(
                    one, aliases=(*one.aliases, members), signs=(*one.signs, sign)
                )
            else:
                made.append(Term(members, levels, weights))
    return made


def _weights(table: NDArray[np.int64], members: tuple[int, ...], levels: tuple[int, ...]) -> Floats:
    """The product of (at its level less at the control's), each a mean; halved for two factors."""
    weights = np.zeros(len(table))
    for signs in itertools.product((1, 0), repeat=len(members)):
        wanted = [level if sign else 0 for sign, level in zip(signs, levels, strict=True)]
        at = (table[:, members] == wanted).all(axis=1)
        if not at.any():
            raise InvalidInput(
                f"factors {', '.join(map(str, members))}: no cell has the levels {wanted}"
            )
        weights += (-1) ** (len(members) - sum(signs)) * at / at.sum()
    return weights / len(members)


def factorial(
    scores: ArrayLike,
    settings: ArrayLike,
    *,
    correct: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    margin: float = 0.01,
    alpha: float = 0.05,
) -> list[tuple[Term, Effect]]:
    """Scores ``(cells, seeds)`` and levels ``(cells, factors)`` to one effect for each term.

    Only seeds that every cell was run with count. The residual is of all cells and seeds together;
    with ``correct`` ``(cells, seeds, images)`` what new images add to the variance of each term is
    added to it. Terms are one family (Holm).
    """
    table, found = np.asarray(scores, dtype=np.float64), terms(settings)
    whole = np.isfinite(table).all(axis=0)
    kept = table[:, whole]
    n = kept.shape[1]
    residual = _residual(kept, found) if n >= MIN_SEEDS else None
    hits = None if correct is None else np.asarray(correct)[:, whole]
    effects = []
    for term in found:
        each = term.weights @ kept
        base = Effect(
            kind="main" if len(term.factors) == 1 else "interaction",
            n=n,
            effect=float(each.mean()) if n else math.nan,
            sd=float(each.std(ddof=1)) if n > 1 else math.nan,
            complete=bool(whole.all()),
        )
        if residual is None:
            effects.append(base)
            continue
        error = residual.error * math.sqrt(float((term.weights**2).sum()) / n)
        sure = Spread(error, residual.df)
        if hits is not None:
            paired = np.tensordot(term.weights, hits.astype(float), 1)
            sure = with_images(sure, clustered(paired, clusters))
        effects.append(measured(base, [sure], family=len(found), margin=margin, alpha=alpha))
    adjusted = holm([one.p if math.isfinite(one.p) else 1.0 for one in effects])
    return [
        (
            term,
            judged(replace(one, p_adjusted=p), margin, alpha) if math.isfinite(one.p) else one,
        )
        for term, one, p in zip(found, effects, adjusted, strict=True)
    ]


def _residual(kept: Floats, found: Sequence[Term]) -> Spread:
    """The SD of one run about the terms and its seed, and its degrees of freedom."""
    cells, n = kept.shape
    means = kept - kept.mean(axis=0)
    columns = np.stack([term.weights for term in found], axis=1)
    fitted = columns @ np.linalg.lstsq(columns, means, rcond=None)[0].mean(axis=1, keepdims=True)
    df = cells * n - n - int(np.linalg.matrix_rank(columns))
    return Spread(math.sqrt(float(((means - fitted) ** 2).sum()) / df), df)
