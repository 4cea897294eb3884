"""Regular fractions of two-level factorials, 2^(k-p): few cells that still tell of every factor.

Box, Hunter and Hunter 2005, chapter 6. A word is a set of factors whose product is constant over
the cells, as a bit mask; the length of the shortest word is the resolution: at III main effects are
aliased with interactions of two, at IV only these with each other, at V neither.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from research.errors import InvalidInput

MAX_FACTORS = 16
MAX_STEPS = 2_000_000  # words that a search looks at; for up to 12 factors it needs fewer
Word = int


@dataclass(frozen=True)
class Fraction:
    """So many factors in ``2^base`` cells; each further factor is the product of a generator."""

    factors: int
    base: int
    generators: tuple[Word, ...]

    @property
    def words(self) -> tuple[Word, ...]:
        """Every word but the empty one: the products of the generators' own words."""
        made = [0]
        for place, generator in enumerate(self.generators):
            own = generator | 1 << (self.base + place)
            made += [word ^ own for word in made]
        return tuple(made[1:])

    @property
    def resolution(self) -> int | None:
        """The length of the shortest word, or None where nothing is left out."""
        return min((word.bit_count() for word in self.words), default=None)

    def settings(self) -> list[tuple[int, ...]]:
        """0 or 1 for each factor of each cell; the first cell has 0 throughout."""
        made = []
        for cell in range(2**self.base):
            bits = [cell >> (self.base - 1 - factor) & 1 for factor in range(self.base)]
            for generator in self.generators:
                bits.append(sum(bits[f] for f in members(generator)) % 2)
            made.append(tuple(bits))
        return made

    def aliases(self) -> dict[tuple[int, ...], list[tuple[int, ...]]]:
        """Main effects and interactions of two to those that cannot be told from them."""
        count = self.factors
        pairs = [1 << a | 1 << b for a in range(count) for b in range(a + 1, count)]
        terms = [1 << one for one in range(count)] + pairs
        return {
            members(term): [
                members(term ^ word) for word in self.words if (term ^ word).bit_count() <= 2
            ]
            for term in terms
        }


def members(word: Word) -> tuple[int, ...]:
    """A word to the numbers of its factors."""
    return tuple(place for place in range(word.bit_length()) if word >> place & 1)


@functools.lru_cache(maxsize=64)
def fraction(factors: int, resolution: int | None = None, cells: int | None = None) -> Fraction:
    """The fewest cells of a resolution, or the best fraction of so many cells.

    Of fractions of one resolution that with the fewest shortest words (Fries and Hunter 1980).
    Raises `InvalidInput` where there is none.
    """
    if not 2 <= factors <= MAX_FACTORS:
        raise InvalidInput(f"a fraction of {factors} factors; give 2 to {MAX_FACTORS}")
    if cells is not None:
        return _of_cells(factors, cells)
    wanted = 4 if resolution is None else resolution
    for base in range(max(1, math.ceil(math.log2(factors + 1))), factors):
        found = _search(factors, base, wanted)
        if found is not None:
            return found
    return Fraction(factors, factors, ())


def _of_cells(factors: int, cells: int) -> Fraction:
    base = cells.bit_length() - 1
    least = math.ceil(math.log2(factors + 1))
    if cells != 2**base or not least <= base <= factors:
        choices = ", ".join(str(2**power) for power in range(least, factors + 1))
        raise InvalidInput(f"a fraction of {cells} cells for {factors} factors; give {choices}")
    if base == factors:
        return Fraction(factors, factors, ())
    for resolution in range(base + 1, 2, -1):
        found = _search(factors, base, resolution)
        if found is not None:
            return found
    raise AssertionError("products of all factors of the base give resolution III")


def _search(factors: int, base: int, resolution: int) -> Fraction | None:
    """The fraction of at least a resolution with the fewest shortest words, depth first."""
    candidates = sorted(
        (word for word in range(1, 2**base) if word.bit_count() >= resolution - 1),
        key=lambda word: (-word.bit_count(), word),
    )
    best: tuple[tuple[int, ...], tuple[Word, ...]] | None = None
    steps = 0

    def deepen(chosen: tuple[Word, ...], words: tuple[Word, ...], start: int) -> None:
        nonlocal best, steps
        place = len(chosen)
        if place == factors - base:
            lengths = tuple(sorted(word.bit_count() for word in words[1:]))
            pattern = tuple(lengths.count(n) for n in range(resolution, factors + 1))
            if best is None or pattern < best[0]:
                best = pattern, chosen
            return
        for number in range(start, len(candidates)):
            steps += len(words)
            if steps > MAX_STEPS:
                return
            own = candidates[number] | 1 << (base + place)
            more = tuple(word ^ own for word in words)
            if all(word.bit_count() >= resolution for word in more):
                deepen((*chosen, candidates[number]), words + more, number + 1)

    deepen((), (0,), 0)
    return None if best is None else Fraction(factors, base, best[1])
