"""What every benchmark here shares: work timed by turns, one row a figure, what it was taken on."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from research.provenance import git_state, hardware, versions

Work = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """A figure: what, as measured, as wanted, whether that is reached; None where it cannot be."""

    name: str
    measured: str
    wanted: str
    met: bool | None


def spread(values: Sequence[float], form: str = "{:.2f}", unit: str = "") -> str:
    """Median, range and number of some values."""
    low, middle, high = (form.format(f(values)) for f in (min, statistics.median, max))
    return f"{middle}{unit} ({low} to {high}, n = {len(values)})"


def by_turns(*works: Work, rounds: int, warm_up: int = 1) -> list[list[float]]:
    """Seconds of each piece of work in each round; they take turns, so that noise meets all.

    Work that gives a number has timed itself.
    """
    for work in works:
        for _ in range(warm_up):
            work()
    taken: list[list[float]] = [[] for _ in works]
    for number in range(rounds):
        order = range(len(works)) if number % 2 else reversed(range(len(works)))
        for place in order:
            started = time.perf_counter()
            own = works[place]()
            seconds = time.perf_counter() - started
            taken[place].append(own if isinstance(own, float) else seconds)
    return taken


def ratios(slow: Sequence[float], quick: Sequence[float]) -> list[float]:
    """How many times as long the one took as the other, round by round."""
    return [one / other for one, other in zip(slow, quick, strict=True)]


def at_least(name: str, values: Sequence[float], wanted: float, unit: str = "x") -> Row:
    """A ratio whose median should be no smaller."""
    met = statistics.median(values) >= wanted
    return Row(name, spread(values, unit=unit), f"at least {wanted:g}{unit}", met)


def at_most(name: str, values: Sequence[float], wanted: float, unit: str) -> Row:
    """A cost whose median should be no larger."""
    met = statistics.median(values) <= wanted
    return Row(name, spread(values, unit=unit), f"at most {wanted:g}{unit}", met)


def show(rows: Iterable[Row]) -> None:
    """Rows as a table, under the machine and the commit that they are of."""
    about, machine = versions(), hardware()
    commit, dirty = git_state(Path(__file__).parent)
    named = ", ".join(f"{name} {about[name]}" for name in sorted(about))
    print(f"{machine['processor']}, {machine['cores']} cores; {named}; ", end="")
    print(f"commit {commit[:7]}{' with changes' if dirty else ''}\n")
    print("| figure | measured | wanted | reached |\n|---|---|---|---|")
    for row in rows:
        word = {True: "yes", False: "no", None: "not measured"}[row.met]
        if row.wanted == "-":  # told beside a figure that has something to reach
            word = "-"
        print(f"| {row.name} | {row.measured} | {row.wanted} | {word} |", flush=True)
