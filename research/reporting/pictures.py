"""A study's frame to the pictures of its report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from research import figures
from research.reporting.frame import Frame
from research.reporting.wording import metric_name, term_name
from research.stats import Effect

MOST_PAIRS = 12  # of factors that are drawn
MOST_ROWS = 60  # of cells in one picture; the tables have all
MOST_CURVES = 11  # beside the control


def forest(frame: Frame, effects: Sequence[Effect]) -> Figure | None:
    """Every contrast with its intervals, of very many the largest; None where there is none."""
    known = [effect for effect in effects if np.isfinite(effect.effect)]
    if not known:
        return None
    largest = {one.cell for one in sorted(known, key=lambda one: -abs(one.effect))[:MOST_ROWS]}
    shown = [effect for effect in known if effect.cell in largest]
    return figures.forest(
        [term_name(effect) for effect in shown],
        np.array([effect.effect for effect in shown]),
        np.array([[effect.low, effect.high] for effect in shown]),
        np.array([[effect.low_adjusted, effect.high_adjusted] for effect in shown]),
        [effect.verdict for effect in shown],
        frame.study.margin,
        f"change in {metric_name(frame.study.metric)}, percentage points",
    )


def points(frame: Frame, effects: Sequence[Effect]) -> Figure:
    """The score of every cell and seed; of very many cells the control and the largest effects."""
    names = [cell["name"] for cell in frame.plan["cells"]]
    if len(names) > MOST_ROWS:
        known = [one for one in effects if np.isfinite(one.effect)]
        largest = {one.cell for one in sorted(known, key=lambda one: -abs(one.effect))[:MOST_ROWS]}
        names = [name for name in names if name in {"control", *largest}] or names[:MOST_ROWS]
    scores = frame.table(names, frame.study.metric)
    return figures.points(names, scores, f"{metric_name(frame.study.metric)}, %")


def curves(frame: Frame, metric: str, effects: Sequence[Effect], scale: float = 1.0) -> Figure:
    """A metric by epoch: each cell's mean over its runs, and their range.

    Of many cells the control and those with the largest effects, which can be told apart.
    """
    series = {}
    known = [one for one in effects if one.kind == "contrast" and np.isfinite(one.effect)]
    largest = {one.cell for one in sorted(known, key=lambda one: -abs(one.effect))[:MOST_CURVES]}
    cells = frame.plan["cells"]
    if len(cells) > MOST_CURVES + 1:
        first = {cell["name"] for cell in cells[: MOST_CURVES + 1]} if not largest else set()
        cells = [c for c in cells if c["name"] in {"control", *largest, *first}]
    for cell in cells:
        found = [frame.finished(cell["name"], seed) or [] for seed in frame.seeds]
        runs = [run for one in found for run in one]
        lines = [frame.curve(run, metric) for run in runs]
        if any(lines):
            longest = max(map(len, lines))
            padded = [line + [np.nan] * (longest - len(line)) for line in lines]
            series[cell["name"]] = np.array(padded, dtype=float)
    unit = ", %" if scale == 100 else ""
    return figures.learning_curves(series, f"{metric_name(metric)}{unit}", scale)


def costs(frame: Frame, cells: pd.DataFrame) -> Figure:
    """Each cell's score over its parameters, MACs and seconds an epoch."""
    return figures.costs(
        {
            "parameters, M": cells["parameters"].to_numpy(dtype=float) / 1e6,
            "MACs an image, M": cells["macs"].to_numpy(dtype=float) / 1e6,
            "seconds an epoch": cells["epoch_s"].to_numpy(dtype=float),
        },
        cells["mean"].to_numpy(dtype=float),
        cells["sd"].fillna(0).to_numpy(dtype=float),
        f"{metric_name(frame.study.metric)}, %",
    )


def half_normal(frame: Frame, effects: Sequence[Effect]) -> Figure | None:
    """A factorial's terms by size; None of other designs, or of fewer than four terms."""
    terms = [one for one in effects if one.kind != "contrast" and np.isfinite(one.effect)]
    if len(terms) < 4:
        return None
    names = [term_name(one) for one in terms]
    sizes = np.array([one.effect for one in terms])
    return figures.half_normal(names, sizes, f"|effect| on {metric_name(frame.study.metric)}")


def interactions(frame: Frame, effects: Sequence[Effect]) -> Figure | None:
    """Means of every two factors' levels, the pairs that depend most on each other first."""
    terms = [one for one in effects if one.kind == "interaction" and np.isfinite(one.effect)]
    if not terms:
        return None
    cells = frame.cells("control", "contrast")
    names = [cell["name"] for cell in cells]
    table = frame.table(names, frame.study.metric)
    whole = np.isfinite(table).all(axis=0)
    means = table[:, whole].mean(axis=1)
    pairs: dict[tuple[str, str], figures.Pair] = {}
    for term in sorted(terms, key=lambda one: -abs(one.effect)):
        first, second = term.factor.split()
        if (first, second) in pairs or len(pairs) == MOST_PAIRS:
            continue
        rows, columns = (
            list(dict.fromkeys(cell["levels"][name] for cell in cells)) for name in (first, second)
        )
        grid = [
            [
                np.mean(
                    [
                        mean
                        for cell, mean in zip(cells, means, strict=True)
                        if (cell["levels"][first], cell["levels"][second]) == (a, b)
                    ]
                )
                for b in columns
            ]
            for a in rows
        ]
        pairs[first, second] = figures.Pair(rows, columns, np.array(grid))
    return figures.interactions(pairs, f"{metric_name(frame.study.metric)}, %")
