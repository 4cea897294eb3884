"""What a reader must know before the first number: what is missing, and what may mislead."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import median

import numpy as np

from research.design import changes
from research.designs import FACTORIALS, is_crossed
from research.reporting import wording
from research.reporting.effects import crossed
from research.reporting.frame import LOOKS, Frame
from research.stats import MIN_SEEDS, spread_ratio, terms

FEW_PERSONS = 5  # so few say little of people
LATE = 0.1  # share of the epochs that are the end
FEW_EPOCHS = 5  # of fewer the last one is best as a rule
MOST_UNEVEN, MOST_UNEVEN_TERM = 2.0, 3.0  # times the median SD, of cells and of terms


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
    if notes and frame.runs["status"].eq("FINISHED").any():
        notes.append(
            "Where a cell lacks runs, its mean is over those it has, and its effect over the seeds "
            "that it and the control both have: n says of how many. The two need not add up."
        )
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
    found = frame.collapsed
    if not found:
        return []
    total = frame.confusion(found[0])
    commonest = total.sum(1).max() / total.sum()
    return [
        f"{_some(found)}: the nets answer with one class whatever they see: they have not learnt "
        f"(the commonest class alone gives {wording.percent(commonest)} % accuracy). An effect of "
        "such a cell is that of no training at all in this budget, not the worth of the part."
    ]


def _same(frame: Frame) -> list[str]:
    """Which cells answer as the control does, image by image."""
    found = [name for name in frame.same_answers if name not in frame.collapsed]
    if not found:
        return []
    return [
        f"{_some(found)}: answers every test image as the control does, in every seed: what was "
        "changed took no effect. There is nothing to judge."
    ]


def _several(frame: Frame) -> list[str]:
    """Cells of a design of single changes that change more than one factor."""
    if is_crossed(frame.study) or frame.study.design in ("explicit", *FACTORIALS):
        return []
    control = frame.cells("control")[0]["levels"]
    notes = []
    for cell in frame.cells("contrast"):
        changed = changes(frame.study, control, cell["levels"])
        if len(changed) > 1:
            notes.append(
                f"{cell['name']} changes {' and '.join(changed)}, as one exists only under the "
                "other: its effect is that of both together."
            )
    return notes


def _tuned(frame: Frame) -> list[str]:
    """What was tuned for each cell alone, and what came out."""
    if frame.study.nuisance is None:
        return []
    found = {cell["name"]: cell.get("tuned") or {} for cell in frame.plan["cells"]}
    paths = ", ".join(frame.study.nuisance.paths)
    each = "; ".join(
        f"{name} {', '.join(_number(value) for value in values.values())}"
        for name, values in found.items()
    )
    return [
        f"{paths}: tuned for each cell on validation, {frame.study.nuisance.trials} trials each at "
        f"the same points: {each}."
        + (
            " With folds that was on the first fold, whose validation images other folds test."
            if frame.study.folds is not None
            else ""
        )
    ]


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _judged_before(frame: Frame) -> list[str]:
    """Whether runs of this study had been judged under another question before it was asked."""
    mine = set(frame.runs["run_id"].dropna())
    found = []
    for other in frame.tracker.find(kind="study", study=frame.study.name):
        if other.started_ms >= frame.parent.started_ms or not json.loads(
            other.tags.get(LOOKS, "[]")
        ):
            continue
        text = frame.tracker.read_file(other.run_id, "plan.json")
        plan = json.loads(text) if text else {"runs": [], "cells": []}
        shared = mine & {run["run_id"] for run in plan["runs"]}
        contrasts = sum(cell["role"] == "contrast" for cell in plan["cells"])
        if shared:
            found.append(f"{len(shared)} of them in {contrasts} contrasts ({other.run_id})")
    if not found:
        return []
    return [
        f"Runs of it had been judged before under other questions: {_some(found, 3)}. What is "
        "asked after a look is exploratory: the p values here do not pay for that look."
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
        f"{steps} changed {wording.percent(float(np.mean(found)))} % of the test images; the "
        "others stayed as they were, as it did not find there what it looks for. Its effect is "
        "that on all of them together."
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
        if len(best) and late.mean() > 0.5 and epochs >= FEW_EPOCHS:
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
    names, settings = crossed(frame)
    table = frame.table(names, frame.study.metric)
    table = table[:, np.isfinite(table).all(axis=0)]
    if table.shape[1] < MIN_SEEDS:
        return []
    sds = [(term, float((term.weights @ table).std(ddof=1))) for term in terms(settings)]
    bound = MOST_UNEVEN_TERM * median(sd for _, sd in sds)
    factors = list(frame.study.factors)
    wide = [" x ".join(factors[f] for f in t.factors) for t, sd in sds if sd > bound > 0]
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


def _by_rule(frame: Frame) -> list[str]:
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
    notes = _collapsed(frame) + _same(frame) + _rising(frame) + _uneven(frame)
    notes += (
        _tuned(frame)
        + _uneven_terms(frame)
        + _beyond(frame)
        + _several(frame)
        + _judged_before(frame)
    )
    notes += _partly_preprocessed(frame) + _by_rule(frame)
    if frame.plan["data"].get("tested_on_val"):
        notes.append(wording.TESTED_ON_VAL)
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
