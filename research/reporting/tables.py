"""The tables of a report, as text and shares for its page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from research.designs import fraction_of
from research.reporting import wording
from research.reporting.classes import FALSE_SHARE, ClassEffects
from research.reporting.frame import Frame
from research.stats import Effect

MOST_CLASSES, MOST_MOVED = 12, 3  # that are told, that are shown


def cell_rows(
    cells: pd.DataFrame, effects: Sequence[Effect], context: Sequence[Effect]
) -> list[dict[str, str]]:
    """The table of cells, as text."""
    by_cell = {effect.cell: effect for effect in [*effects, *context]}
    rows = []
    for cell in cells.to_dict("records"):
        effect = by_cell.get(cell["cell"])
        judged = effect is not None and cell["role"] == "contrast"
        rows.append(
            {
                "cell": cell["cell"],
                "role": cell["role"],
                "n": _count(cell["n"], effect),
                "mean": wording.percent(cell["mean"]),
                "sd": wording.percent(cell["sd"]),
                "effect": wording.points(effect.effect) if effect else "–",
                "interval": wording.interval(effect.low, effect.high) if effect else "–",
                "p": wording.p_text(effect.p_adjusted) if effect and judged else "–",
                "better": wording.percent(cell["better"], 0),
                "verdict": verdict_text(effect) if effect and judged else "",
                "parameters": wording.amount(cell["parameters"]),
                "macs": wording.amount(cell["macs"]),
                "epoch_s": f"{cell['epoch_s']:.1f}" if math.isfinite(cell["epoch_s"]) else "–",
            }
        )
    return rows


def verdict_text(effect: Effect) -> str:
    """The verdict, with what makes it less than it seems; none where there was no test."""
    if not math.isfinite(effect.p):
        return f"none ({effect.caution})" if effect.caution else "none"
    return f"{effect.verdict} ({effect.caution})" if effect.caution else effect.verdict


def _count(runs: int, effect: Effect | None) -> str:
    """How many runs; where the effect rests on fewer pairs, that too."""
    if effect is None or (effect.complete and effect.n == runs):
        return str(runs)
    pairs = "" if effect.n == runs else f", {effect.n} pairs"
    return f"{runs}{pairs} (incomplete)"


def term_rows(effects: Sequence[Effect]) -> list[dict[str, str]]:
    """The table of a factorial's terms, as text; empty of other designs."""
    return [
        {
            "term": wording.term_name(effect),
            "kind": effect.kind,
            "level": effect.level,
            "n": _count(effect.n, effect),
            "effect": wording.points(effect.effect),
            "interval": wording.interval(effect.low, effect.high),
            "together": wording.interval(effect.low_adjusted, effect.high_adjusted),
            "p": wording.p_text(effect.p_adjusted),
            "verdict": verdict_text(effect),
            "alias": effect.alias,
            "mde": wording.percent(effect.mde),
        }
        for effect in effects
        if effect.kind != "contrast"
    ]


def class_scores(frame: Frame) -> list[dict[str, Any]]:
    """F1 of every class, and the mean of them, of each cell; means over seeds."""
    rows = []
    names = [f"test/f1/{name}" for name in frame.classes] + ["test/macro_f1"]
    for cell in frame.plan["cells"]:
        tables = (frame.table([cell["name"]], name) for name in names)
        means = (pd.Series(table[0]).mean() for table in tables)
        values = [wording.percent(mean) for mean in means]
        rows.append({"cell": cell["name"], "role": cell["role"], "values": values})
    return rows


def class_changes(found: ClassEffects) -> list[dict[str, Any]]:
    """Differences of F1 in points, how strong their colour is, and whether they hold."""
    size = np.nanmax(np.abs(found.differences), initial=1e-9)
    return [
        {
            "cell": cell,
            "values": [
                {
                    "text": wording.points(value) + ("*" if p < FALSE_SHARE else ""),
                    "share": abs(value) / size if math.isfinite(value) else 0.0,
                    "less": value < 0,
                }
                for value, p in zip(values, adjusted, strict=True)
            ],
        }
        for cell, values, adjusted in zip(
            found.cells, found.differences, found.adjusted, strict=True
        )
    ]


def class_sentences(frame: Frame, found: ClassEffects) -> list[str]:
    """Which cells change which class for sure, the largest first."""
    return [
        f"{cell}: F1 of {frame.classes[label]} by {wording.points(difference)} points"
        for cell, label, difference in found.found()[:MOST_CLASSES]
    ]


def confusion_changes(frame: Frame, effects: Sequence[Effect]) -> list[dict[str, Any]]:
    """Of the largest contrasts: how many more in a hundred of each label are called what."""
    known = [one for one in effects if one.kind == "contrast" and math.isfinite(one.effect)]
    control = frame.confusion("control")
    if not control.any():
        return []
    before = control / np.maximum(control.sum(1, keepdims=True), 1)
    tables = []
    for effect in sorted(known, key=lambda one: -abs(one.effect))[:MOST_MOVED]:
        counts = frame.confusion(effect.cell)
        if counts.any():
            after = counts / np.maximum(counts.sum(1, keepdims=True), 1)
            tables.append({"cell": effect.cell, "shares": (after - before).tolist()})
    return tables


def confusions(frame: Frame) -> list[dict[str, Any]]:
    """Of each cell: shares of every label's test images by the class said, all seeds together."""
    tables = []
    for cell in frame.plan["cells"]:
        counts = frame.confusion(cell["name"])
        if counts.any():
            shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
            tables.append({"cell": cell["name"], "shares": shares.tolist()})
    return tables


def run_rows(frame: Frame) -> list[dict[str, str]]:
    """Every run: how it ended, its scores, and how often the test was opened."""
    rows = []
    for run in frame.runs.to_dict("records"):
        metrics: Mapping[str, float] = {}
        if run["status"] == "FINISHED":
            metrics = frame.tracked[run["run_id"]].metrics
        best = metrics.get("best_epoch", math.nan)
        epoch_s = metrics.get("epoch_s", math.nan)
        rows.append(
            {
                "name": run["name"],
                "status": run["status"].lower() + (", diverged" if run["diverged"] else ""),
                "score": wording.percent(metrics.get(frame.study.metric, math.nan)),
                "no_leak": wording.percent(metrics.get("test/accuracy_no_leak", math.nan)),
                "best_epoch": f"{best:.0f}" if math.isfinite(best) else "–",
                "epoch_s": f"{epoch_s:.1f}" if math.isfinite(epoch_s) else "–",
                "opened": str(run["test_accesses"]),
                "run_id": run["run_id"] or "–",
                "error": run["error"],
            }
        )
    return rows


def alias_rows(frame: Frame) -> list[tuple[str, str]]:
    """Of a fraction: each main effect and interaction, and what cannot be told from it."""
    if frame.study.design != "fractional_factorial":
        return []
    names = list(frame.study.factors)
    return [
        (_product(names, term), " = ".join(_product(names, other) for other in others))
        for term, others in fraction_of(frame.study).aliases().items()
        if others
    ]


def _product(names: Sequence[str], members: Sequence[int]) -> str:
    return " x ".join(names[one] for one in members)


def bite_rows(frame: Frame) -> list[dict[str, Any]]:
    """What of each cell differs from the control, as it was found before any training."""
    return [
        {
            "cell": cell["name"],
            "role": cell["role"],
            "parts": [(p, text, p in bite["beyond"]) for p, text in bite["differs"].items()],
        }
        for cell in frame.plan["cells"]
        if (bite := cell.get("bite"))
    ]
