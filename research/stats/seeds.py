"""How many seeds a question needs, and the chance that an answer is `equivalent`."""

from __future__ import annotations

import math

from scipy import special

from research.errors import InvalidInput
from research.stats.effect import MIN_SEEDS, POWER
from research.stats.spread import Spread, detectable, t_quantile

MAX_SEEDS = 100_000
MOST_LISTED = 500  # seeds that a plan thinks of
NODES = 400  # of an integral over what the variance may come out as


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


def expected(sd_of_difference: float, n: int, images: float = 0.0) -> Spread:
    """The standard error of a mean of ``n`` differences; ``images`` is what new images add to it.

    ``images`` is a variance that more seeds do not lessen. Degrees of freedom after Satterthwaite,
    those of the images taken as endless.
    """
    seeds = sd_of_difference**2 / n
    total = seeds + images
    return Spread(math.sqrt(total), (n - 1) * (total / seeds) ** 2 if seeds else math.inf)


def seeds_to_detect(
    effect: float,
    sd_of_difference: float,
    images: float = 0.0,
    *,
    contrasts: int = 1,
    power: float = POWER,
    alpha: float = 0.05,
) -> int | None:
    """The fewest seeds, at least 3, that find an effect on new images; None where none do."""
    for n in range(MIN_SEEDS, MOST_LISTED + 1):
        found = expected(sd_of_difference, n, images)
        if not math.isfinite(found.df) or found.error == 0:
            found = Spread(found.error, 1e9)
        if detectable(found, alpha=alpha / contrasts, power=power) <= abs(effect):
            return n
    return None


def chance_of_equivalent(
    sd_of_difference: float,
    n: int,
    *,
    margin: float = 0.01,
    alpha: float = 0.05,
    images: float = 0.0,
) -> float:
    """The chance that two one-sided tests of ``n`` seeds end in `equivalent` where nothing differs.

    The mean is normal and its variance chi-square, independent of it: integrated over the latter.
    """
    if n < 2:
        return 0.0
    if sd_of_difference == 0 and images == 0:
        return 1.0
    error, df = expected(sd_of_difference, n, images)
    df = min(df, 1e6)
    bound = t_quantile(1 - alpha, df)
    total = 0.0
    for place in range(NODES):
        scale = math.sqrt(2 * float(special.gammaincinv(df / 2, (place + 0.5) / NODES)) / df)
        room = margin / error - bound * scale
        total += max(0.0, 2 * float(special.ndtr(room)) - 1) if room > 0 else 0.0
    return total / NODES
