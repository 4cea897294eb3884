"""Looks at growing numbers of seeds: boundaries that hold the error over all of them.

Alpha is spent over the looks (Lan and DeMets 1983) as alpha times the share of the seeds to a power
(Kim and DeMets 1987); boundaries are those of normal scores at these looks, found by integrating
over one look after the other (Armitage, McPherson and Rowe 1969), and a t test is compared with
them by its p value (Jennison and Turnbull 2000, section 4.4). A contrast's p over several looks is
the smallest alpha at which it would have been found by now (Liu and Anderson 2008); Holm's
correction of these holds the family's error (Maurer and Bretz 2013).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from scipy import optimize, special

from research.stats.effect import Floats

# t statistics of successive looks are less alike than the sums of normal scores that boundaries are
# made for: simulated from 3 seeds on, errors were 1.09 to 1.19 times what was spent.
INFLATION = 1.2
POWER_OF_SPENDING = 2.0  # few seeds spend little, as their t tests find little
GRID = 201  # places of the integration; boundaries are right to 1e-4
REACH = 8.0  # standard deviations that it covers
SMALLEST = 1e-12


def spent(shares: Sequence[float], alpha: float) -> list[float]:
    """Shares of the most seeds at each look to the alpha that is spent by then.

    A single look at the most seeds spends all of it; several leave some for t tests' inflation.
    """
    if len(shares) == 1 and shares[0] >= 1:
        return [alpha]
    return [alpha / INFLATION * min(1.0, share) ** POWER_OF_SPENDING for share in shares]


@functools.lru_cache(maxsize=4096)
def boundaries(
    looks: tuple[int, ...], most: int, alpha: float, sides: int = 2
) -> tuple[float, ...]:
    """Seeds at each look, and at most, to the normal score that finds an effect there.

    The chance of ever reaching one of them, where there is no effect, is what is spent by then.
    """
    totals = spent([look / most for look in looks], alpha)
    made: list[float] = []
    density = places = None
    before = 0.0
    for number, look in enumerate(looks):
        exit_now = max(totals[number] - before, SMALLEST)
        before = totals[number]
        if density is None or places is None:
            bound = -float(special.ndtri(exit_now / sides))
        else:
            step = math.sqrt(look - looks[number - 1])
            bound = _next_bound(places, density, look, step, exit_now, sides)
        made.append(bound)
        # Sums of scores that go on: S = z sqrt(n), inside the boundary.
        edge = bound * math.sqrt(look)
        low = -edge if sides == 2 else -REACH * math.sqrt(look)
        fresh = np.linspace(low, edge, GRID)
        if density is None or places is None:
            kept = np.exp(-(fresh**2) / (2 * look)) / math.sqrt(2 * math.pi * look)
        else:
            step = math.sqrt(look - looks[number - 1])
            kept = _convolved(places, density, fresh, step)
        places, density = fresh, kept
    return tuple(made)


def _convolved(places: Floats, density: Floats, fresh: Floats, step: float) -> Floats:
    """The density of sums after a further step, at fresh places (Simpson's rule)."""
    kernel = np.exp(-(((fresh[:, None] - places) / step) ** 2) / 2) / (
        step * math.sqrt(2 * math.pi)
    )
    return kernel @ (density * _simpson(places))


def _simpson(places: Floats) -> Floats:
    weights = np.ones(len(places))
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    return weights * float(places[1] - places[0]) / 3


def _next_bound(
    places: Floats, density: Floats, look: int, step: float, exit_now: float, sides: int
) -> float:
    """The score at a look that is reached, by what has not stopped before, with a given chance."""
    weights = density * _simpson(places)

    def excess(bound: float) -> float:
        edge = bound * math.sqrt(look)
        over = weights @ special.ndtr((places - edge) / step)
        under = weights @ special.ndtr((-edge - places) / step) if sides == 2 else 0.0
        return float(over + under) - exit_now

    if excess(REACH) > 0:
        return REACH
    return float(optimize.brentq(excess, 0.0, REACH, xtol=1e-6))


def sequential_p(p_values: Sequence[float], looks: Sequence[int], most: int) -> float:
    """Two-sided p values at each look so far to the p of all looks together."""
    scores = [-float(special.ndtri(max(p, 1e-300) / 2)) for p in p_values]
    seen = tuple(looks[: len(scores)])

    def found(alpha: float) -> bool:
        bounds = boundaries(seen, most, alpha)
        return any(score >= bound for score, bound in zip(scores, bounds, strict=True))

    if not found(1 - 1e-9):
        return 1.0
    low, high = math.log(SMALLEST), 0.0
    if found(SMALLEST):
        return SMALLEST
    for _ in range(24):  # found() rises with alpha
        middle = (low + high) / 2
        low, high = (low, middle) if found(math.exp(middle)) else (middle, high)
    return math.exp(high)


def nominal(look: int, looks: Sequence[int], most: int, alpha: float, sides: int = 2) -> float:
    """The p that finds an effect at one of the looks so far, two-sided or one-sided."""
    seen = tuple(one for one in looks if one <= look)
    bound = boundaries(seen, most, alpha, sides)[-1]
    return float(sides * special.ndtr(-bound))
