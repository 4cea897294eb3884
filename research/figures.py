"""Arrays to pictures. A leaf: run and reporting both draw with it. No pyplot, so threads may."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Okabe and Ito's colours, told apart by the colour-blind and on paper.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
GOOD, BAD, NEUTRAL, GREY = "#009E73", "#D55E00", "#0072B2", "#888888"


def confusion_matrix(counts: NDArray[np.int64], classes: Sequence[str]) -> Figure:
    """Counts ``(K, K)``, rows the labels, to a heat map of row shares."""
    figure = new(1.0 + 0.62 * len(classes), 0.8 + 0.56 * len(classes))
    draw_confusion(figure.add_subplot(), counts, classes)
    return figure


def draw_confusion(axes: Axes, counts: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Counts ``(K, K)`` onto axes."""
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(classes))
    axes.set_xticks(places, classes, rotation=45, ha="right")
    axes.set_yticks(places, classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    for row in places:
        for column in places:
            share = shares[row, column]
            colour = "white" if share > 0.5 else "black"
            axes.text(column, row, f"{share:.0%}", ha="center", va="center", color=colour, size=7)


def curves(history: Sequence[Mapping[str, float]], best: int) -> Figure:
    """A run's metrics by epoch to its curves of loss and accuracy; ``best`` is the epoch kept."""
    figure = new(8.0, 3.0)
    left, right = figure.subplots(1, 2)
    epochs = np.arange(1, len(history) + 1)
    for axes, what in ((left, "loss"), (right, "accuracy")):
        for part, colour in (("train", GREY), ("val", NEUTRAL)):
            values = [record.get(f"{part}/{what}", np.nan) for record in history]
            if np.isfinite(values).any():
                axes.plot(epochs, values, color=colour, marker=".", label=part)
        if best:
            axes.axvline(best, color=BAD, lw=0.8, ls="--", label="selected")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel(what)
        axes.legend(frameon=False, fontsize=8)
        bare(axes)
    return figure


def forest(
    names: Sequence[str],
    effects: Floats,
    intervals: Floats,
    adjusted: Floats,
    verdicts: Sequence[str],
    margin: float,
    unit: str,
) -> Figure:
    """Effects ``(n,)`` with intervals ``(n, 2)`` marginal and adjusted, as fractions, to a forest.

    Drawn in percentage points, the margin of equivalence as a band.
    """
    figure = new(8.0, 1.1 + 0.36 * len(names))
    axes = figure.add_subplot()
    axes.axvspan(-100 * margin, 100 * margin, color=GREY, alpha=0.18, lw=0)
    axes.axvline(0, color="black", lw=0.8)
    for row, verdict in enumerate(verdicts):
        colour = {"hurts": BAD, "helps": GOOD, "equivalent": NEUTRAL}.get(verdict, GREY)
        axes.plot(100 * adjusted[row], [row, row], color=colour, lw=1.0, alpha=0.6)
        axes.plot(100 * intervals[row], [row, row], color=colour, lw=3.0, solid_capstyle="butt")
        axes.plot(100 * effects[row], row, "o", color=colour, ms=6)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(unit)
    bare(axes)
    axes.grid(axis="x", alpha=0.25, lw=0.6)
    axes.grid(axis="y", visible=False)
    return figure


def points(names: Sequence[str], scores: Floats, label: str) -> Figure:
    """Scores ``(cells, seeds)`` as fractions to every point, one colour a seed, and the means."""
    figure = new(8.0, 1.1 + 0.36 * len(names))
    axes = figure.add_subplot()
    for column in range(scores.shape[1]):
        colour = COLOURS[column % len(COLOURS)]
        rows = np.arange(len(names))
        axes.plot(100 * scores[:, column], rows, ".", color=colour, ms=7, alpha=0.8)
    for row, values in enumerate(scores):
        if np.isfinite(values).any():
            mean = 100 * float(np.nanmean(values))
            axes.plot([mean, mean], [row - 0.3, row + 0.3], color="black", lw=1.4)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(label)
    bare(axes)
    axes.grid(axis="x", alpha=0.25, lw=0.6)
    return figure


def learning_curves(series: Mapping[str, Floats], label: str, scale: float = 1.0) -> Figure:
    """Cells' curves ``(seeds, epochs)``, NaN after an early stop, to means and ranges."""
    figure = new(8.0, 3.6)
    axes = figure.add_subplot()
    for number, (name, values) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        style = ("-", "--", ":")[number // len(COLOURS) % 3]
        epochs = np.arange(1, values.shape[1] + 1)
        shown = np.isfinite(values).any(0)
        values, epochs = scale * values[:, shown], epochs[shown]
        if not len(epochs):
            continue
        axes.plot(epochs, np.nanmean(values, 0), style, color=colour, label=name, lw=1.6)
        axes.fill_between(
            epochs, np.nanmin(values, 0), np.nanmax(values, 0), color=colour, alpha=0.10, lw=0
        )
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(label)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    bare(axes)
    return figure


def svg(figure: Figure) -> str:
    """A figure to an SVG element: text stays text, nothing is fetched, the same every time."""
    settings = {"svg.fonttype": "none", "svg.hashsalt": "research", "font.family": "sans-serif"}
    with rc_context(settings):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def new(width: float, height: float) -> Figure:
    """An empty figure, inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def bare(axes: Axes) -> None:
    """Takes away the lines that say nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25, lw=0.6)
