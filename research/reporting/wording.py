"""Numbers to words: what a report, a note and the terminal say of an effect, in the same terms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

import numpy as np

from research.designs import is_crossed
from research.reporting.effects import effects
from research.reporting.frame import Frame
from research.stats import MIN_SEEDS, Effect, spread_ratio

TESTED_ON_VAL = (
    "The test images are the validation images, as this protocol was published: the scores are of "
    "images that chose the epoch, and are too high."
)
FEW_PERSONS = 5  # so few say little of people
LATE = 0.1  # share of the epochs that are the end
MOST_UNEVEN, MOST_UNEVEN_TERM = 2.0, 3.0  # times the median SD, of cells and of terms
ONE_CLASS = 0.99  # share of the answers from which on a net is said to know one class only


def percent(value: float, digits: int = 1) -> str:
    """A fraction as percent, or a dash."""
    return f"{100 * value:.{digits}f}" if math.isfinite(value) else "–"


def points(value: float) -> str:
    """A difference of fractions as signed percentage points, or a dash."""
    if not math.isfinite(value):
        return "–"
    text = f"{100 * value:+.1f}".replace("-", "−")
    return "0.0" if text in ("+0.0", "−0.0") else text


def interval(low: float, high: float) -> str:
    """Two bounds as percentage points."""
    return f"{points(low)} to {points(high)}" if math.isfinite(low) else "–"


def p_text(p: float) -> str:
    """A p-value with three decimals."""
    if not math.isfinite(p):
        return "–"
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def amount(value: float) -> str:
    """A count with thousands, millions or billions."""
    if not math.isfinite(value):
        return "–"
    for scale, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= scale:
            return f"{value / scale:.2f}{unit}".replace("-", "−")
    return f"{value:.0f}".replace("-", "−")


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if not math.isfinite(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def metric_name(metric: str) -> str:
    """``test/macro_f1`` to ``test macro F1``."""
    return metric.replace("/", " ").replace("_", " ").replace("f1", "F1")


def term_name(effect: Effect) -> str:
    """What a comparison is called in a table or picture."""
    return effect.cell if effect.kind == "contrast" else " x ".join(effect.cell.split("__"))


def named(effect: Effect) -> str:
    """What a comparison is called in a sentence."""
    factors, levels = effect.factor.split(), effect.level.split()
    parts = [f"{name} {level}" for name, level in zip(factors, levels, strict=True)]
    if effect.kind == "main":
        return f"{parts[0]} (on average over the other factors)"
    return f"{' with '.join(parts)} (interaction)" if effect.kind == "interaction" else effect.cell


def _together(effect: Effect, frame: Frame) -> str:
    """What an interaction came to: how much more or less two changes do than each by itself."""
    metric = metric_name(frame.study.metric)
    bounds = (
        f"95 % interval {interval(effect.low, effect.high)}, adjusted p {p_text(effect.p_adjusted)}"
    )
    if effect.n < MIN_SEEDS:
        return f"{named(effect)}: {points(effect.effect)} points of {metric}; no verdict yet."
    if effect.verdict in ("hurts", "helps"):
        how = "less" if effect.effect < 0 else "more"
        return (
            f"{named(effect)}: the two together give {metric} {how} than the sum of each alone, by "
            f"{points(2 * effect.effect)} points; as an effect {points(effect.effect)} ({bounds})."
        )
    if effect.verdict == "equivalent":
        margin = percent(frame.study.margin)
        return f"{named(effect)}: none beyond ±{margin} points ({bounds})."
    return (
        f"{named(effect)} is not decided: {points(effect.effect)} points ({bounds}); one of "
        f"{percent(effect.mde)} points would be found in 4 of 5 studies."
    )


def sentence(effect: Effect, frame: Frame) -> str:
    """What one comparison came to, in a sentence."""
    if effect.kind == "interaction" and effect.n:
        return _together(effect, frame)
    what = f"{metric_name(frame.study.metric)} by {points(effect.effect)} points"
    bounds = (
        f"95 % interval {interval(effect.low, effect.high)}, adjusted p {p_text(effect.p_adjusted)}"
    )
    if effect.n == 0:
        return f"{named(effect)}: no finished pair of runs yet."
    if effect.n < MIN_SEEDS:
        seeds = f"{effect.n} seed{'s' if effect.n > 1 else ''}"
        return f"{named(effect)}: changes {what}; no verdict under {MIN_SEEDS} seeds ({seeds})."
    if effect.verdict in ("hurts", "helps"):
        small = ", but within the margin: negligible" if effect.negligible else ""
        return f"{named(effect)} {effect.verdict}: it changes {what} ({bounds}){small}."
    margin = percent(frame.study.margin)
    if effect.verdict == "equivalent":
        return f"{named(effect)} makes no difference beyond ±{margin} points ({bounds})."
    return (
        f"{named(effect)} is not decided: {points(effect.effect)} points ({bounds}); with these "
        f"runs an effect of {percent(effect.mde)} points would be found in 4 of 5 studies."
    )


def incomplete(frame: Frame) -> list[str]:
    """What is missing or failed, and what a reader must know before the first number."""
    notes = []
    for status, text in (
        ("MISSING", "not run yet"),
        ("STALE", "made by other code, so not counted (run again, or use --accept-code)"),
        ("RUNNING", "still running"),
        ("KILLED", "stopped before the end"),
        ("FAILED", "failed"),
    ):
        rows = frame.runs[frame.runs["status"] == status]
        if not rows.empty:
            names = list(rows["name"])
            notes.append(f"{len(names)} of {len(frame.runs)} runs {text}: {_some(names)}.")
    anew = frame.runs[(frame.runs["status"] == "FINISHED") & (frame.runs["error"] != "")]
    if not anew.empty:
        names = list(anew["name"])
        notes.append(
            f"{len(names)} runs failed when they were trained anew; earlier ones are shown: "
            f"{_some(names)}."
        )
    diverged = frame.runs[frame.runs["diverged"]]
    if not diverged.empty:
        names = list(diverged["name"])
        notes.append(
            f"{len(names)} runs diverged (loss not finite) and are scored at their best epoch "
            f"before that, or at chance: {_some(names)}."
        )
    return notes


def _collapsed(frame: Frame) -> list[str]:
    """Which cells' nets each say one class of nearly every test image; what that alone scores."""
    found, commonest = [], 0.0
    for cell in frame.plan["cells"]:
        counts = frame.confusions(cell["name"])
        if counts and all(one.sum(0).max() >= ONE_CLASS * one.sum() for one in counts):
            found.append(cell["name"])
            total = frame.confusion(cell["name"])
            commonest = total.sum(1).max() / total.sum()
    if not found:
        return []
    return [
        f"{_some(found)}: the nets answer with one class whatever they see: they have not learnt "
        f"(the commonest class alone gives {percent(commonest)} % accuracy). An effect of such a "
        "cell is that of no training at all in this budget, not the worth of the part."
    ]


def _beyond(frame: Frame) -> list[str]:
    """Cells that change more than their factors are meant to."""
    notes = []
    for cell in frame.plan["cells"]:
        bite = cell.get("bite") or {"beyond": []}
        if bite["beyond"] and cell["role"] == "contrast":
            parts = "; ".join(f"{part} ({bite['differs'][part]})" for part in bite["beyond"])
            notes.append(
                f"{cell['name']} changes more than its factor is meant to: {parts}. Its effect is "
                "that of all of it."
            )
    return notes


def _partly_preprocessed(frame: Frame) -> list[str]:
    """Steps of preprocessing that found what they look for on a part of the images only."""
    shares: dict[str, list[float]] = {}
    for run_id in frame.runs["run_id"].dropna():
        for name, share in frame.tracked[run_id].metrics.items():
            if name.startswith("preprocess/") and share < 1:
                shares.setdefault(name.removeprefix("preprocess/"), []).append(share)
    return [
        f"{steps} changed {percent(float(np.mean(found)))} % of the test images; the others stayed "
        "as they were, as it did not find there what it looks for. Its effect is that on all of "
        "them together."
        for steps, found in sorted(shares.items())
    ]


def _rising(frame: Frame) -> list[str]:
    """Cells whose runs were mostly best at their very end."""
    cells = []
    for cell in frame.plan["cells"]:
        epochs = cell["recipe"]["training"]["epochs"]
        best = frame.table([cell["name"]], "best_epoch")[0]
        best = best[np.isfinite(best)]
        late = best > (1 - LATE) * epochs
        if len(best) and late.mean() > 0.5 and epochs > 1:
            cells.append(cell["name"])
    if not cells:
        return []
    return [
        f"{_some(cells)}: most runs were best in the last tenth of their epochs, so they were "
        "still getting better when they ended. The budget, not the part, may decide."
    ]


def _uneven_terms(frame: Frame) -> list[str]:
    """Whether the effect of one factor varies more from seed to seed than the rest."""
    if not is_crossed(frame.study):
        return []
    known = [one for one in effects(frame) if one.n >= MIN_SEEDS and math.isfinite(one.sd)]
    middle = median(one.sd for one in known) if known else 0.0
    wide = [term_name(one) for one in known if one.sd > MOST_UNEVEN_TERM * middle > 0]
    if not wide:
        return []
    return [
        f"{_some(wide)}: varies over {MOST_UNEVEN_TERM:.0f} times as much from seed to seed as the "
        "middle of the terms. One variance is taken for all, so its p value and interval are surer "
        "than they should be."
    ]


def _uneven(frame: Frame) -> list[str]:
    """Whether one cell varies more than a blocked Dunnett can bear."""
    if frame.study.method != "blocked_dunnett":
        return []
    table = frame.table([c["name"] for c in frame.cells("control", "contrast")], frame.study.metric)
    table = table[:, np.isfinite(table).all(axis=0)]
    ratio = spread_ratio(table) if table.shape[1] >= MIN_SEEDS else 1.0
    text = f"Dunnett's test takes one variance for all cells; the largest SD is {ratio:.1f} times "
    if ratio <= MOST_UNEVEN:
        return [f"{text}the median of them."]
    return [
        f"{text}the median of them: its p values are too small where one cell varies so much more. "
        "Use method: paired_t_holm."
    ]


def by_rule(frame: Frame) -> list[str]:
    """How seeds were added in rounds, and which cells were given no more."""
    before = frame.plan.get("after_rounds")
    if frame.rule is None and before:
        looks = ", ".join(map(str, before["looks"]))
        return [
            f"Seeds were added in rounds first (looks at {looks}), then by hand: the p values and "
            "intervals here are those of one look, and do not pay for the looks before."
        ]
    if frame.rule is None:
        return []
    looks = ", ".join(map(str, frame.rule.looks))
    notes = [
        f"Seeds were added in rounds, with looks at {looks} of at most {frame.rule.most} seeds, to "
        "cells that were not decided; p values and intervals hold over all looks."
    ]
    if frame.looks:
        seen = ", ".join(map(str, frame.looks))
        notes.append(
            f"Results had been looked at with {seen} seeds, outside the rounds: what was seen then "
            "is not paid for."
        )
    stops: dict[tuple[str, int], list[str]] = {}
    for name, (n, why) in frame.stopped.items():
        stops.setdefault((why, n), []).append(name)
    for (why, n), names in stops.items():
        notes.append(f"Stopped after {n} seeds ({why}): {_some(names)}.")
    begun = frame.plan["rounds"].get("begun_with")
    if begun is not None:
        notes.append(
            f"The rounds were begun with at most {begun} seeds and went on with "
            f"{frame.rule.most}: what alpha was spent on then is not counted."
        )
    return notes


def cautions(frame: Frame) -> list[str]:
    """What makes runs of a table differ in more than their cell, or mean less than they seem."""
    notes = _collapsed(frame) + _rising(frame) + _uneven(frame) + _uneven_terms(frame)
    notes += _beyond(frame)
    notes += _partly_preprocessed(frame) + by_rule(frame)
    if frame.plan["data"].get("tested_on_val"):
        notes.append(TESTED_ON_VAL)
    if frame.persons_tested is not None and frame.persons_tested < FEW_PERSONS:
        notes.append(
            f"The test images are of {frame.persons_tested} person"
            f"{'s' if frame.persons_tested > 1 else ''}: what is said here need not hold for "
            "others. With folds (folds: subjects) every person is tested."
        )
    ended = frame.runs[frame.runs["status"] == "FINISHED"]
    for column, text in (
        ("device", "different hardware"),
        ("versions", "different versions of libraries"),
        ("commit", "different commits"),
    ):
        if ended[column].nunique() > 1:
            notes.append(
                f"The runs come from {text}: {_some(sorted(map(str, ended[column].unique())))}."
            )
    if ended["dirty"].any():
        notes.append(f"{int(ended['dirty'].sum())} runs were made from code that is not committed.")
    twice = ended[ended["test_accesses"] > 1]
    if not twice.empty:
        names = list(twice["name"])
        notes.append(f"The test split was opened more than once by {_some(names)}.")
    if ended["other_code"].any():
        rows = ended[ended["other_code"]]
        names = list(rows["name"])
        notes.append(
            f"{len(names)} runs were made by other code than the rest and are counted because "
            f"--accept-code was given: {_some(names)}."
        )
    looks = [] if frame.rule is not None else frame.looks
    if len(looks) > 1:
        steps = " then ".join(map(str, looks))
        notes.append(
            f"Seeds were added after a look at the results ({steps}): extended after "
            f"{len(looks) - 1} look{'s' if len(looks) > 2 else ''}."
        )
    return notes


def _some(names: Sequence[str], limit: int = 8) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
