"""A study's frame to the pictures of its report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

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
    """Every run's score."""
    names = [cell["name"] for cell in frame.plan["cells"]]
    scores = frame.table(names, frame.study.metric)
    return figures.points(names, scores, f"{metric_name(frame.study.metric)}, %")


def curves(frame: Frame, metric: str, scale: float = 1.0) -> Figure:
    """A metric by epoch: each cell's mean over its seeds, and their range."""
    series = {}
    for cell in frame.plan["cells"]:
        found = [frame.finished(cell["name"], seed) for seed in frame.seeds]
        lines = [[point.value for point in frame.curve(run, metric)] for run in found if run]
        if any(lines):
            longest = max(map(len, lines))
            padded = [line + [np.nan] * (longest - len(line)) for line in lines]
            series[cell["name"]] = np.array(padded, dtype=float)
    unit = ", %" if scale == 100 else ""
    return figures.learning_curves(series, f"{metric_name(metric)}{unit}", scale)


def confusion_of(frame: Frame, cell: str) -> NDArray[np.int64] | None:
    """Test images by label and by class said, over a cell's seeds, ``(K, K)``."""
    size = len(frame.classes)
    total = np.zeros(size * size, dtype=np.int64)
    for seed in frame.seeds:
        run = frame.finished(cell, seed)
        found = frame.predictions(run) if run else None
        if found is not None:
            flat = found["label"].astype(np.int64) * size + found["said"]
            total += np.bincount(flat, minlength=size * size)
    return total.reshape(size, size) if total.any() else None


def confusions(frame: Frame) -> Figure | None:
    """The confusion matrix of every cell, three a row."""
    found = {cell["name"]: confusion_of(frame, cell["name"]) for cell in frame.plan["cells"]}
    shown = {name: counts for name, counts in found.items() if counts is not None}
    if not shown:
        return None
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = figures.new(4.0 * columns, 3.9 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, counts) in zip(grid, shown.items(), strict=False):
        figures.draw_confusion(axes, counts, frame.classes)
        axes.set_title(name, fontsize=10)
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    return figure
