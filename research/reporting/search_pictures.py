"""A search's record to pictures: its course, what mattered, and where the good values lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import NDArray

from research.figures import BAD, CHARACTER, COLOURS, GREY, NEUTRAL, bare, new

Content = Mapping[str, Any]
MOST_AXES = 10  # dimensions side by side
COLUMNS = 4
ENOUGH = 6  # finished trials for a map of two dimensions


def finished(content: Content) -> list[Mapping[str, Any]]:
    """Trials with a value that were trained to their end."""
    return [t for t in content["trials"] if t["state"] == "finished" and t["value"] is not None]


def scale_of(content: Content) -> float:
    """What values are multiplied with to be shown: accuracies are percent, a loss is itself."""
    return 1.0 if content["metric"] == "val/loss" else 100.0


def label_of(content: Content) -> str:
    """The metric as an axis names it."""
    unit = "" if content["metric"] == "val/loss" else ", %"
    return f"{content['metric'].replace('/', ' ').replace('_', ' ')}{unit}"


def history(content: Content) -> Figure | None:
    """Every trial's value by its number, and the best so far; crosses were given up half-way."""
    done = finished(content)
    if not done:
        return None
    figure = new(8.0, 3.2)
    axes = figure.add_subplot()
    scale = scale_of(content)
    pruned = [t for t in content["trials"] if t["state"] == "pruned" and t["value"] is not None]
    axes.plot([t["number"] for t in pruned], [scale * t["value"] for t in pruned], "x",
              color=GREY, ms=5, label="given up, its last value")  # fmt: skip
    numbers = [t["number"] for t in done]
    values = np.array([scale * t["value"] for t in done])
    axes.plot(numbers, values, "o", color=NEUTRAL, ms=4, label="trained to the end")
    best = (np.minimum if content["goal"] == "minimize" else np.maximum).accumulate(values)
    axes.step(numbers, best, where="post", color=BAD, lw=1.4, label="best so far")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial")
    axes.set_ylabel(label_of(content))
    axes.legend(frameon=False, fontsize=8)
    bare(axes)
    return figure


def importances(content: Content) -> Figure | None:
    """The share of each dimension, a bar for each way to work it out."""
    found: Mapping[str, Mapping[str, float]] = content["importances"]
    if not found:
        return None
    names = list(next(iter(found.values())))[::-1]
    left = 0.3 + CHARACTER * max(map(len, names))
    figure = new(7.0, 0.7 + 0.34 * len(names), left=left, bottom=0.5)
    axes = figure.add_subplot()
    rows = np.arange(len(names))
    height = 0.8 / len(found)
    for place, (way, shares) in enumerate(found.items()):
        values = [100 * shares.get(name, 0.0) for name in names]
        text = {"ped_anova": "PED-ANOVA", "fanova": "fANOVA"}.get(way, way)
        axes.barh(rows - place * height, values, height, color=COLOURS[place], label=text)
    axes.set_yticks(rows - 0.4 + height / 2, names)
    axes.set_xlabel("share, %")
    axes.legend(frameon=False, fontsize=8)
    bare(axes)
    return figure


def slices(content: Content) -> Figure | None:
    """Every dimension by itself: its values and what the trials with them came to."""
    done, names = finished(content), _varied(content)
    if not done or not names:
        return None
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = new(2.1 * columns + 0.8, 1.8 * rows + 0.4, left=0.7, bottom=0.55)
    figure.subplots_adjust(hspace=0.65, wspace=0.2)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, name in zip(panels, names, strict=False):
        having = [t for t in done if name in t["params"]]
        places = _places(content, name, [t["params"][name] for t in having], axes)
        values = [scale_of(content) * t["value"] for t in having]
        axes.scatter(places, values, c=[t["number"] for t in having], s=14, cmap="viridis")
        axes.set_xlabel(name, size=8)
        bare(axes)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    figure.text(0.01, 0.5, label_of(content), rotation=90, va="center", size=9)
    return figure


def parallel(content: Content) -> Figure | None:
    """Every finished trial as a line through its values, the better the darker."""
    done, names = finished(content), _varied(content)[:MOST_AXES]
    if len(done) < 2 or len(names) < 2:
        return None
    figure = new(9.0, 3.6, left=0.4, right=0.6, bottom=0.7)
    axes = figure.add_subplot()
    columns: list[NDArray[np.float64]] = []
    for place, name in enumerate(names):
        ends, made = _shares(content, name, [t["params"].get(name) for t in done])
        columns.append(made)
        for at, text in ends:
            axes.text(place, at, f" {text}", size=6, color=GREY, va="center")
    values = np.array([t["value"] for t in done], dtype=float)
    ranks = values.argsort().argsort() / (len(values) - 1)
    ranks = 1 - ranks if content["goal"] == "minimize" else ranks
    table = np.stack(columns)
    for number in np.argsort(ranks):
        share = float(ranks[number])
        colour = BAD if share == 1 else NEUTRAL
        axes.plot(table[:, number], color=colour, alpha=0.08 + 0.8 * share**3, lw=0.6 + share)
    axes.set_xticks(range(len(names)), names, rotation=25, ha="right", size=8)
    axes.set_yticks([])
    axes.set_xlim(-0.1, len(names) - 0.6)
    for place in range(len(names)):
        axes.axvline(place, color=GREY, lw=0.5)
    bare(axes)
    return figure


def contour(content: Content) -> Figure | None:
    """The two ranges that mattered most against each other, with the value between the trials."""
    names = [n for n in _varied(content) if not content["space"][n].get("choices")][:2]
    done = [t for t in finished(content) if all(name in t["params"] for name in names)]
    if len(names) < 2 or len(done) < ENOUGH:
        return None
    figure = new(5.6, 3.8, right=1.0)
    axes = figure.add_subplot()
    x, y = (np.array([float(t["params"][name]) for t in done]) for name in names)
    values = scale_of(content) * np.array([t["value"] for t in done])
    flat = [np.log10(v) if content["space"][n].get("log") else v
            for n, v in zip(names, (x, y), strict=True)]  # fmt: skip
    if all(len(np.unique(one)) > 2 for one in flat):
        try:
            shades = axes.tricontourf(x, y, values, levels=8, cmap="viridis", alpha=0.7)
            figure.colorbar(shades, ax=axes, label=label_of(content))
        except (RuntimeError, ValueError):  # all trials on a line: there is no area between them
            pass
    axes.scatter(x, y, c="black", s=8)
    for name, set_scale, set_label in (
        (names[0], axes.set_xscale, axes.set_xlabel),
        (names[1], axes.set_yscale, axes.set_ylabel),
    ):
        set_label(name)
        if content["space"][name].get("log"):
            set_scale("log")
    for axis, span in ((axes.xaxis, x), (axes.yaxis, y)):
        if span.max() > 10 * span.min() > 0:  # names of the decades do; more would overlap
            axis.set_minor_formatter(NullFormatter())
    bare(axes)
    return figure


def _varied(content: Content) -> list[str]:
    """Dimensions with several values among the finished trials, the most important first."""
    done = finished(content)
    order = list(next(iter(content["importances"].values()), {}))
    names = [*order, *(name for name in content["space"] if name not in order)]
    return [
        name
        for name in names
        if len({str(t["params"][name]) for t in done if name in t["params"]}) > 1
    ]


def _places(content: Content, name: str, values: Sequence[Any], axes: Axes) -> Sequence[float]:
    """Values to places on an axis, which is labelled for them."""
    space = content["space"][name]
    if not space.get("choices"):
        if space.get("log"):
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(NullFormatter())  # which overlap where there are few
        room = 1.15 if space.get("log") else 0.05 * (space["high"] - space["low"])
        low, high = float(space["low"]), float(space["high"])
        ends = (low / room, high * room) if space.get("log") else (low - room, high + room)
        axes.set_xlim(*ends)
        axes.tick_params(axis="x", labelsize=7)
        return [float(value) for value in values]
    labels = [str(label) for label in space["choices"]]
    turned = sum(map(len, labels)) > 16
    axes.set_xticks(
        range(len(labels)), labels, size=6, rotation=30 if turned else 0,
        ha="right" if turned else "center",
    )  # fmt: skip
    axes.set_xlim(-0.5, len(labels) - 0.5)
    return [labels.index(str(value)) for value in values]


def _shares(
    content: Content, name: str, values: Sequence[Any]
) -> tuple[list[tuple[float, str]], NDArray[np.float64]]:
    """Values to their height between 0 and 1, NaN where a trial has none; with what ends mean."""
    space = content["space"][name]
    if space.get("choices"):
        labels = [str(label) for label in space["choices"]]
        top = max(1, len(labels) - 1)
        heights = [np.nan if v is None else labels.index(str(v)) / top for v in values]
        return [(at / top, text) for at, text in enumerate(labels)], np.array(heights)
    low, high = float(space["low"]), float(space["high"])
    bend = np.log if space.get("log") else np.asarray
    numbers = np.array([np.nan if v is None else float(v) for v in values])
    made = (bend(numbers) - bend(low)) / (bend(high) - bend(low))
    return [(0.0, f"{low:.2g}"), (1.0, f"{high:.2g}")], np.asarray(made, dtype=np.float64)
