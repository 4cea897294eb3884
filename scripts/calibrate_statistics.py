"""Simulates the statistics of a report with known truth; writes docs/statistics.md.

Scores are normal with a seed SD of 0.6 points, cells of one seed correlated by ``r``; with
predictions, images are drawn too. Seeds of the generator are fixed. About ten minutes on one core.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy import stats as scipy_stats

from research import stats
from research.provenance import hardware, versions
from research.resolving import looks_of
from research.stats.sequential import boundaries

Floats = NDArray[np.float64]
CONTRASTS, SD, MARGIN = 8, 0.006, 0.01
TIMES, TIMES_WITH_IMAGES, TIMES_IN_ROUNDS = 2000, 400, 2000
TARGET = Path(__file__).parents[1] / "docs" / "statistics.md"


def drawn(
    generator: np.random.Generator,
    seeds: int,
    r: float,
    wide: float = 1.0,
    cells: int = CONTRASTS + 1,
) -> Floats:
    """Scores ``(cells, seeds)`` without any effect; the last cell's own SD is ``wide`` times."""
    shared = math.sqrt(r) * generator.normal(size=(1, seeds))
    own = math.sqrt(1 - r) * generator.normal(size=(cells, seeds))
    scores = SD * (shared + own)
    scores[-1] *= wide
    return 0.7 + scores


def error_of(share: float, times: int) -> float:
    return math.sqrt(max(share * (1 - share), 1e-9) / times)


def no_effect() -> Iterator[list[str]]:
    """Family-wise error, coverage and wrong `equivalent` of each setting."""
    for method in ("paired_t_holm", "blocked_dunnett"):
        for seeds in (5, 10):
            for r, wide in ((0.0, 1.0), (0.3, 1.0), (0.8, 1.0), (0.3, 4.0)):
                generator = np.random.default_rng([seeds, int(10 * r), int(wide)])
                alarms, inside, together = 0, 0, 0
                for _ in range(TIMES):
                    found = stats.many_to_one(drawn(generator, seeds, r, wide), method=method)
                    alarms += any(one.verdict in ("hurts", "helps") for one in found)
                    inside += sum(one.low <= 0 <= one.high for one in found)
                    together += all(one.low_adjusted <= 0 <= one.high_adjusted for one in found)
                yield [
                    method.replace("_", " "),
                    str(seeds),
                    f"{r}",
                    f"{wide:.0f}",
                    percent(alarms / TIMES),
                    percent(inside / TIMES / CONTRASTS),
                    percent(together / TIMES),
                ]


def wrongly_equivalent() -> Iterator[list[str]]:
    """How often a contrast whose true effect is the margin itself is called equivalent."""
    for seeds in (5, 10):
        for r in (0.0, 0.3, 0.8):
            generator = np.random.default_rng([7, seeds, int(10 * r)])
            wrong = 0
            for _ in range(TIMES):
                table = drawn(generator, seeds, r, cells=2)
                table[1] += MARGIN
                wrong += stats.many_to_one(table, margin=MARGIN)[0].verdict == "equivalent"
            yield [str(seeds), f"{r}", percent(wrong / TIMES)]


def power() -> Iterator[list[str]]:
    """How often an effect of so many SDs of its paired difference is found."""
    for contrasts in (1, CONTRASTS):
        for seeds in (5, 10):
            shares = []
            for d_z in (1.0, 1.5, 2.0, 3.0):
                generator = np.random.default_rng([3, contrasts, seeds, int(10 * d_z)])
                found = 0
                for _ in range(TIMES):
                    table = drawn(generator, seeds, 0.3, cells=contrasts + 1)
                    table[1] -= d_z * SD * math.sqrt(2 * 0.7)
                    found += stats.many_to_one(table)[0].verdict == "hurts"
                shares.append(percent(found / TIMES, 0))
            yield [str(contrasts), str(seeds), *shares]


def with_images() -> Iterator[list[str]]:
    """Cells that differ image by image, but not in the mean over all images there could be."""
    for seeds in (5, 10, 20):
        generator = np.random.default_rng([5, seeds])
        told = alone = covered = 0
        for _ in range(TIMES_WITH_IMAGES):
            ease = generator.normal(0, 1.0, (1, 1, 1000))
            taste = generator.normal(0, 0.6, (2, 1, 1000))  # which images a cell is good at
            right = ease + taste + generator.normal(0, 0.4, (2, seeds, 1000)) > -0.6
            table = right.mean(2)
            one = stats.many_to_one(table, correct=right)[0]
            told += one.verdict in ("hurts", "helps")
            covered += one.low <= 0 <= one.high
            alone += stats.many_to_one(table)[0].verdict in ("hurts", "helps")
        times = TIMES_WITH_IMAGES
        yield [str(seeds), percent(told / times), percent(covered / times), percent(alone / times)]


def of_factorials() -> Iterator[list[str]]:
    """Three factors, full factorial, answers known: any alarm, coverage, power of a main effect."""
    settings = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    for seeds in (3, 5):
        generator = np.random.default_rng([11, seeds])
        alarms = inside = found = 0
        for _ in range(TIMES_WITH_IMAGES):
            ease = generator.normal(0, 1.0, (1, 1, 1000))
            right = ease + generator.normal(0, 0.3, (8, seeds, 1000)) > -0.6
            table = right.mean(2) + generator.normal(0, SD, (8, seeds))
            null = [one for _, one in stats.factorial(table, settings, correct=right)]
            alarms += any(one.verdict in ("hurts", "helps") for one in null)
            inside += sum(one.low <= 0 <= one.high for one in null)
            worse = table - 0.01 * settings[:, :1]
            effects = stats.factorial(worse, settings, correct=right)
            found += effects[0][1].verdict == "hurts"
        times = TIMES_WITH_IMAGES
        yield [
            str(seeds),
            percent(alarms / times),
            percent(inside / times / 6),
            percent(found / times, 0),
        ]


def equivalent_in_rounds() -> Iterator[list[str]]:
    """How often a contrast whose true effect is the margin is called equivalent at any look."""
    for most in (10, 20):
        generator = np.random.default_rng([13, most])
        looks = looks_of(most)
        wrong = 0
        for _ in range(TIMES_WITH_IMAGES):
            table = drawn(generator, most, 0.3, cells=2)
            table[1] += MARGIN
            rule = stats.Rule(looks, most)
            wrong += stats.in_rounds(table, rule, margin=MARGIN)[0].verdict == "equivalent"
        yield [str(most), percent(wrong / TIMES_WITH_IMAGES)]


def rounds(real: int, d_z: float, most: int, times: int, seed: int) -> tuple[float, float]:
    """Share of real effects found (of any alarm where there is none), and runs of a study."""
    generator = np.random.default_rng([9, real, int(100 * d_z), most, seed])
    looks = looks_of(most)
    found = total = 0.0
    for _ in range(times):
        d = generator.normal(size=(CONTRASTS, most))
        d[:real] += d_z
        rejected, runs = one_study(d, looks, most)
        found += rejected[:real].mean() if real else float(rejected.any())
        total += runs
    return found / times, total / times


def one_study(d: Floats, looks: tuple[int, ...], most: int) -> tuple[NDArray[np.bool_], int]:
    """Differences ``(contrasts, seeds)`` through the rounds: what is found, and how many runs.

    The program's own rule without its margin, worked out by boundaries instead of p values, which
    is a hundred times quicker; a test holds it against the program's.
    """
    rejected = np.zeros(len(d), dtype=bool)
    given = np.full(len(d), most)
    still_open = set(range(len(d)))
    last = looks[0]
    for number, look in enumerate(looks):
        last = look
        part = d[:, :look]
        mean, sd = part.mean(1), part.std(1, ddof=1)
        p = 2 * special.stdtr(look - 1, -np.abs(mean / (sd / math.sqrt(look))))
        again = True
        while again:  # Holm: what is found leaves its alpha to the others
            again = False
            alpha = 0.05 / max(1, len(d) - int(rejected.sum()))
            bound = boundaries(looks[: number + 1], most, alpha)[-1]
            for one in sorted(still_open):
                if -special.ndtri(p[one] / 2) >= bound:
                    rejected[one], again = True, True
                    given[one] = look
                    still_open.discard(one)
        if look < most:
            rule = stats.Rule(looks[: number + 1], most)
            for one in sorted(still_open):
                effect = stats.Effect(n=look, effect=float(mean[one]))
                chance = stats.chance_to_decide(
                    effect, float(sd[one]) / math.sqrt(look), 0.0, rule,
                    contrasts=len(d) - int(rejected.sum()), margin=1e-9,
                )  # fmt: skip
                if chance < stats.FUTILE:
                    given[one] = look
                    still_open.discard(one)
        if not still_open:
            break
    return rejected, int(given.sum()) + last


def fixed_power(real: int, d_z: float, times: int) -> float:
    generator = np.random.default_rng([4, real, int(100 * d_z)])
    found = 0.0
    for _ in range(times):
        d = generator.normal(size=(CONTRASTS, 10))
        d[:real] += d_z
        p = scipy_stats.ttest_1samp(d, 0, axis=1).pvalue
        found += np.mean(np.array(stats.holm(list(p)))[:real] < 0.05)
    return found / times


def at_power(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising function is 0.8."""
    for _ in range(7):
        middle = (low + high) / 2
        low, high = (low, middle) if function(middle) > 0.8 else (middle, high)
    return (low + high) / 2


def sequential() -> Iterator[list[str]]:
    """Rounds against ten fixed seeds, at the effect that those find in 80 %, and at d_z = 3."""
    fixed = 10 * (CONTRASTS + 1)
    for real in (1, 4, CONTRASTS):
        d_z = at_power(lambda one, real=real: fixed_power(real, one, 1000), 0.8, 2.0)  # type: ignore[misc]
        most = next(n for n in range(9, 30) if rounds(real, d_z, n, 400, 0)[0] >= 0.8)
        share, runs = rounds(real, d_z, most, TIMES_IN_ROUNDS, 1)
        high, few = rounds(real, 3.0, most, TIMES_IN_ROUNDS, 1)
        yield [
            str(real), f"{d_z:.2f}", str(most), percent(share, 0), f"{runs:.1f}",
            percent(1 - runs / fixed, 0), percent(high, 0), percent(1 - few / fixed, 0),
        ]  # fmt: skip


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f}"


def table(head: list[str], rows: Iterator[list[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"|{'---:|' * len(head)}"]
    for row in rows:
        lines.append(f"| {' | '.join(row)} |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    started = time.time()
    about = versions()
    lines = [
        "# The statistics, checked by simulation",
        "",
        "Made by `scripts/calibrate_statistics.py`; generators have fixed seeds. Scores are normal "
        f"with a seed SD of {100 * SD:.1f} points; `r` is the correlation of two cells of one "
        f"seed; there are {CONTRASTS} contrasts with one control unless said. numpy "
        f"{about['numpy']}, {hardware()['processor']}.",
        "",
        "## Nothing differs",
        "",
        f"{TIMES:,} studies a row, so the error of a share of 5 % is "
        f"{percent(error_of(0.05, TIMES))} points. `4` is a study whose last cell has 4 times the "
        "SD of the others: there a blocked Dunnett must not be used, and a report says so.",
        "",
        *table(
            ["method", "seeds", "r", "widest SD", "any alarm, %", "95 % covers, %", "all cover, %"],
            no_effect(),
        ),
        "",
        "## Called equivalent at the edge of the margin",
        "",
        f"The true effect is the margin, {100 * MARGIN:.0f} point; at most 5 % may be called "
        f"equivalent. {TIMES:,} studies a row.",
        "",
        *table(["seeds", "r", "equivalent, %"], wrongly_equivalent()),
        "",
        "## Power",
        "",
        f"How often, in %, an effect of so many SDs of the paired difference (d_z) is found. "
        f"{TIMES:,} studies each, r = 0.3.",
        "",
        *table(["contrasts", "seeds", "d_z 1", "d_z 1.5", "d_z 2", "d_z 3"], power()),
        "",
        "## Cells that differ image by image",
        "",
        "Two cells of the same accuracy over all images there could be, each good at some of its "
        f"own; 1,000 test images, {TIMES_WITH_IMAGES} studies a row. With predictions the verdict "
        "is about new images; seeds alone alarm the more, the more seeds there are.",
        "",
        *table(
            ["seeds", "alarm with predictions, %", "95 % covers, %", "alarm from seeds alone, %"],
            with_images(),
        ),
        "",
        "## Factorials",
        "",
        "Three factors at two levels, 8 cells, six terms as one family, 1,000 test images whose "
        "answers are known; power is of a main effect of one point. "
        f"{TIMES_WITH_IMAGES} studies a row.",
        "",
        *table(["seeds", "any alarm, %", "95 % covers, %", "found, %"], of_factorials()),
        "",
        "## Seeds in rounds",
        "",
        "Looks at 3, 5, 7 ... seeds, alpha spent as the square of their share. Without any effect "
        "the chance of any alarm over all looks, in %:",
        "",
    ]
    alarms = [
        [str(most), percent(rounds(0, 0.0, most, TIMES_IN_ROUNDS, 2)[0])] for most in (10, 20)
    ]
    lines += table(["most seeds", "any alarm, %"], iter(alarms))
    lines += [
        "",
        "A contrast whose true effect is the margin, called equivalent at any look, "
        f"{TIMES_WITH_IMAGES} studies a row:",
        "",
        *table(["most seeds", "equivalent, %"], equivalent_in_rounds()),
        "",
        f"Against ten fixed seeds ({10 * (CONTRASTS + 1)} runs, the control's included): the "
        "effect is the one that those find in 80 % of the cases, and the most seeds are chosen so "
        "that rounds find as much. Contrasts that are hopeless stop early, which is where most is "
        f"saved; where all are real there is little to save. {TIMES_IN_ROUNDS:,} studies a row.",
        "",
        *table(
            [
                *("real effects", "d_z", "most seeds", "found, %", "runs", "fewer runs, %"),
                *("found at d_z 3, %", "fewer runs at d_z 3, %"),
            ],
            sequential(),
        ),
        "",
        f"It took {(time.time() - started) / 60:.0f} minutes.",
        "",
    ]
    TARGET.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
