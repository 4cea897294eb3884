"""A study's frame to the pictures of its report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from research import figures
from research.reporting.frame import Frame
from research.reporting.wording import metric_name
from research.stats import Effect


def forest(frame: Frame, effects: Sequence[Effect]) -> Figure | None:
    """Every contrast with its intervals; None where there is none to draw."""
    shown = [effect for effect in effects if np.isfinite(effect.effect)]
    if not shown:
        return None
    return figures.forest(
        [effect.cell for effect in shown],
        np.array([effect.effect for effect in shown]),
        np.array([[effect.low, effect.high] for effect in shown]),
        np.array([[effect.low_adjusted, effect.high_adjusted] for effect in shown]),
        [effect.verdict for effect in shown],
        frame.study.margin,
        f"change in {metric_name(frame.study.metric)}, percentage points",
    )


def points(frame: Frame) -> Figure:
    """The score of every cell and seed."""
    names = [cell["name"] for cell in frame.plan["cells"]]
    scores = frame.table(names, frame.study.metric)
    return figures.points(names, scores, f"{metric_name(frame.study.metric)}, %")


def curves(frame: Frame, metric: str, scale: float = 1.0) -> Figure:
    """A metric by epoch: each cell's mean over its runs, and their range."""
    series = {}
    for cell in frame.plan["cells"]:
        found = [frame.finished(cell["name"], seed) or [] for seed in frame.seeds]
        runs = [run for one in found for run in one]
        lines = [[point.value for point in frame.curve(run, metric)] for run in runs]
        if any(lines):
            longest = max(map(len, lines))
            padded = [line + [np.nan] * (longest - len(line)) for line in lines]
            series[cell["name"]] = np.array(padded, dtype=float)
    unit = ", %" if scale == 100 else ""
    return figures.learning_curves(series, f"{metric_name(metric)}{unit}", scale)
