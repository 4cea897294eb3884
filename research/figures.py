"""Arrays to pictures. A leaf: run and reporting both draw with it. No pyplot, so threads may."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
CHARACTER = 0.085  # inches of a character of a label
ROW = 0.34  # inches of a cell's row


def confusion_matrix(counts: NDArray[np.int64], classes: Sequence[str]) -> Figure:
    """Counts ``(K, K)``, rows the labels, to a heat map of row shares."""
    room = 0.4 + CHARACTER * max(map(len, classes))
    side = 0.55 * len(classes)
    figure = new(room + side + 0.2, side + room + 0.4, left=room, bottom=room)
    axes = figure.add_subplot()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
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
    return figure


def save_run(
    folder: Path,
    counts: NDArray[np.int64],
    classes: Sequence[str],
    history: Sequence[Mapping[str, float]],
    best: int,
) -> None:
    """The pictures of a run, into a folder: its confusion matrix, and its curves if it has some."""
    confusion_matrix(counts, classes).savefig(folder / "confusion_matrix.png", dpi=100)
    if history:
        curves(history, best).savefig(folder / "curves.png", dpi=100)


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
    label: str,
) -> Figure:
    """Effects ``(n,)`` with intervals ``(n, 2)`` marginal and adjusted, as fractions, to a forest.

    Drawn in percentage points, the margin of equivalence as a band.
    """
    axes = _rows(names, label)
    axes.axvspan(-100 * margin, 100 * margin, color=GREY, alpha=0.18, lw=0)
    axes.axvline(0, color="black", lw=0.8)
    known = {"hurts": BAD, "helps": GOOD, "equivalent": NEUTRAL}
    colours = [known.get(verdict, GREY) for verdict in verdicts]
    rows = np.arange(len(names))
    for bounds, width, alpha in ((adjusted, 1.0, 0.6), (intervals, 3.0, 1.0)):
        low, high = 100 * bounds[:, 0], 100 * bounds[:, 1]
        axes.hlines(rows, low, high, colors=colours, linewidth=width, alpha=alpha)
    axes.scatter(100 * effects, rows, c=colours, s=36, zorder=3)
    return _figure(axes)


def points(names: Sequence[str], scores: Floats, label: str) -> Figure:
    """Scores ``(cells, seeds)`` as fractions to every point, one colour a seed, and the means."""
    axes = _rows(names, label)
    rows = np.arange(len(names))
    for column in range(scores.shape[1]):
        colour = COLOURS[column % len(COLOURS)]
        axes.plot(100 * scores[:, column], rows, ".", color=colour, ms=7, alpha=0.8)
    known = np.isfinite(scores).any(axis=1)
    means = 100 * np.nanmean(scores[known], axis=1)
    axes.vlines(means, rows[known] - 0.3, rows[known] + 0.3, color="black", linewidth=1.4)
    return _figure(axes)


def learning_curves(series: Mapping[str, Floats], label: str, scale: float = 1.0) -> Figure:
    """Cells' curves ``(seeds, epochs)``, NaN after an early stop, to means and ranges."""
    legend = 0.6 + CHARACTER * max(map(len, series), default=0)
    figure = new(8.0, 3.4, right=legend)
    axes = figure.add_subplot()
    for number, (name, values) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        style = ("-", "--", ":")[number // len(COLOURS) % 3]
        epochs = np.arange(1, values.shape[1] + 1)
        shown = np.isfinite(values).any(0)
        values, epochs = scale * values[:, shown], epochs[shown]
        if not len(epochs):
            continue
        dot = "." if len(epochs) == 1 else ""  # a line of one point is not seen
        mean = np.nanmean(values, 0)
        axes.plot(epochs, mean, style, color=colour, label=name, lw=1.6, marker=dot)
        axes.fill_between(
            epochs, np.nanmin(values, 0), np.nanmax(values, 0), color=colour, alpha=0.10, lw=0
        )
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(label)
    if axes.lines:
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    bare(axes)
    return figure


def sheet(rows: Mapping[str, Sequence[NDArray[np.uint8]]], side: int = 64) -> Figure:
    """Rows of images ``(H, W, C)`` by name to one sheet, ``side`` pixels an image on screen."""
    columns = max(map(len, rows.values()), default=1)
    room = 0.3 + CHARACTER * max(map(len, rows), default=0)
    width, height = columns * side / 100, len(rows) * side / 100
    figure = new(room + width + 0.1, height + 0.3, left=room, right=0.1, bottom=0.15)
    axes = figure.add_subplot()
    for row, images in enumerate(rows.values()):
        for column, image in enumerate(images):
            extent = (column, column + 1, row + 1, row)
            shown = image[..., 0] if image.shape[2] == 1 else image
            axes.imshow(shown, cmap="gray", vmin=0, vmax=255, extent=extent, aspect="auto")
    axes.set_xlim(0, columns)
    axes.set_ylim(len(rows), 0)
    axes.set_xticks([])
    axes.set_yticks([row + 0.5 for row in range(len(rows))], list(rows))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def svg(figure: Figure) -> str:
    """A figure to an SVG element: text stays text, nothing is fetched, the same every time."""
    settings = {"svg.fonttype": "none", "svg.hashsalt": "research", "font.family": "sans-serif"}
    with rc_context(settings):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def new(
    width: float, height: float, *, left: float = 0.7, right: float = 0.2, bottom: float = 0.55
) -> Figure:
    """An empty figure; all lengths in inches.

    Margins are set, not found by trial layouts, which take longer than the drawing itself.
    """
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    figure.subplots_adjust(
        left=left / width,
        right=1 - right / width,
        bottom=bottom / height,
        top=1 - 0.15 / height,
        wspace=0.25,
    )
    return figure


def _rows(names: Sequence[str], label: str) -> Axes:
    """Axes with a row for each name, the first on top."""
    left = 0.3 + CHARACTER * max(map(len, names))
    figure = new(8.0, 0.75 + ROW * len(names), left=left)
    axes = figure.add_subplot()
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(label)
    bare(axes)
    axes.grid(axis="x", alpha=0.25, lw=0.6)
    axes.grid(axis="y", visible=False)
    return axes


def _figure(axes: Axes) -> Figure:
    figure = axes.figure
    assert isinstance(figure, Figure)
    return figure


def bare(axes: Axes) -> None:
    """Takes away the lines that say nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25, lw=0.6)


def costs(costs: Mapping[str, Floats], means: Floats, sds: Floats, label: str) -> Figure:
    """Means and SDs ``(cells,)`` over each cost ``(cells,)``, numbered; the first is the control.

    What is numbered stands in the caption, where it has room.
    """
    figure = new(8.0, 3.2, left=0.75, right=0.15)
    panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for axes, (title, values) in zip(panels, costs.items(), strict=True):
        axes.errorbar(values, 100 * means, 100 * sds, fmt="none", ecolor=GREY, lw=0.8)
        axes.plot(values[1:], 100 * means[1:], "o", color=NEUTRAL, ms=5)
        axes.plot(values[:1], 100 * means[:1], "D", color="black", ms=6)
        for place in range(len(means)):
            if np.isfinite(values[place]) and np.isfinite(means[place]):
                spot = (values[place], 100 * means[place])
                axes.annotate(
                    str(place + 1), spot, xytext=(5, 3), textcoords="offset points", size=7
                )
        known = values[np.isfinite(values) & (values > 0)]
        if len(known) and known.max() / known.min() > 5:
            axes.set_xscale("log")
        axes.set_xlabel(title)
        bare(axes)
    panels[0].set_ylabel(label)
    return figure


class Pair(NamedTuple):
    """The levels of two factors, the control's first, and the means ``(rows, columns)`` there."""

    rows: Sequence[str]
    columns: Sequence[str]
    means: Floats


def interactions(pairs: Mapping[tuple[str, str], Pair], label: str) -> Figure:
    """Means of pairs of factors to line plots: a line a level of the first.

    Lines that are parallel say that two factors do not depend on each other.
    """
    columns = min(4, len(pairs))
    rows = -(-len(pairs) // columns)
    figure = new(2.1 * columns + 0.9, 1.9 * rows + 0.5, left=0.75, bottom=0.5)
    figure.subplots_adjust(hspace=0.55, wspace=0.35)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, ((first, second), pair) in zip(panels, pairs.items(), strict=False):
        for row, level in enumerate(pair.rows):
            axes.plot(
                range(len(pair.columns)),
                100 * pair.means[row],
                "-" if row == 0 else "--",
                color=NEUTRAL if row == 0 else (BAD if row == 1 else f"C{row}"),
                marker="o",
                ms=4,
                label=f"{first} {level}",
            )
        axes.set_xticks(range(len(pair.columns)), pair.columns, size=7)
        axes.set_xlim(-0.25, len(pair.columns) - 0.75)
        axes.set_xlabel(second, size=8)
        axes.legend(frameon=False, fontsize=6)
        bare(axes)
    for axes in panels[len(pairs) :]:
        axes.set_visible(False)
    figure.text(0.01, 0.5, label, rotation=90, va="center", size=9)
    return figure


def half_normal(names: Sequence[str], effects: Floats, label: str) -> Figure:
    """Absolute effects ``(terms,)`` against half-normal quantiles (Daniel 1959).

    What is noise lies on a line through the origin; what is not lies above it.
    """
    from statistics import NormalDist

    sizes = 100 * np.abs(effects)
    order = np.argsort(sizes)
    ranks = (np.arange(len(order)) + 0.5) / len(order)
    quantiles = np.array([NormalDist().inv_cdf(0.5 + rank / 2) for rank in ranks])
    figure = new(7.0, 3.4, left=0.75, right=0.4 + CHARACTER * max(map(len, names)))
    axes = figure.add_subplot()
    axes.plot(quantiles, sizes[order], "o", color=NEUTRAL, ms=5)
    for quantile, place in zip(quantiles, order, strict=True):
        label_of: dict[str, Any] = {"xytext": (5, 2), "textcoords": "offset points", "rotation": 20}
        axes.annotate(names[place], (quantile, sizes[place]), size=7, color=GREY, **label_of)
    middle = float(np.median(sizes)) / 0.6745  # a normal's median absolute value
    axes.plot([0, quantiles[-1]], [0, middle * quantiles[-1]], color=GREY, lw=0.8, ls="--")
    axes.set_xlabel("half-normal quantile")
    axes.set_ylabel(label)
    bare(axes)
    return figure
