"""A study's frame to its effects: each contrast against the control, with what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from research.design import changes
from research.designs import is_crossed
from research.reporting.frame import Frame
from research.stats import (
    Effect,
    Term,
    factorial,
    in_rounds,
    many_to_one,
    mean_and_sd,
    probability_of_improvement,
    spread,
)
from research.stats.contrasts import paired
from research.stats.spread import images_part

COLUMNS = [
    "kind",
    "cell",
    "factor",
    "level",
    "n",
    "mean",
    "sd",
    "effect",
    "low",
    "high",
    "low_adjusted",
    "high_adjusted",
    "p",
    "p_adjusted",
    "verdict",
    "mde",
    "d_parameters",
    "d_macs",
    "d_epoch_s",
    "complete",
    "alias",
    "caution",
]


class Answers(NamedTuple):
    """Bool ``(cells, seeds, images)``; ``clusters`` ``(images,)`` persons or folds, or None."""

    right: NDArray[np.bool_]
    clusters: NDArray[np.int64] | None


COSTS = {"parameters": "model/parameters", "macs": "model/macs", "epoch_s": "epoch_s"}


def effects(frame: Frame) -> list[Effect]:
    """Every comparison of a study on its primary metric: contrasts, or a factorial's terms."""
    if is_crossed(frame.study):
        return _terms(frame)
    found = _against_control(frame, [cell["name"] for cell in frame.cells("contrast")])
    return [replace(effect, caution=_caution(frame, effect.cell)) for effect in found]


def _caution(frame: Frame, cell: str) -> str:
    """Why a contrast is not what it seems, in a few words."""
    if cell in frame.same_answers:
        return "answers as the control does"
    if cell in frame.collapsed:
        return "has not learnt"
    return "the control has not learnt" if "control" in frame.collapsed else ""


def context(frame: Frame) -> list[Effect]:
    """Cells outside the family of contrasts, each for itself: exploratory."""
    return [
        effect
        for cell in frame.cells("context")
        for effect in _against_control(frame, [cell["name"]])
    ]


def effects_table(found: Sequence[Effect]) -> pd.DataFrame:
    """Effects to the columns of ``effects.csv``."""
    return pd.DataFrame([asdict(effect) for effect in found], columns=COLUMNS)


def cells_table(frame: Frame) -> pd.DataFrame:
    """Every cell: runs, mean and SD of the primary metric, parameters, MACs, seconds an epoch."""
    rows = []
    control = frame.table(["control"], frame.study.metric)[0]
    for cell in frame.plan["cells"]:
        scores = frame.table([cell["name"]], frame.study.metric)[0]
        mean, sd = mean_and_sd(scores)
        row = {"cell": cell["name"], "role": cell["role"], "n": int(np.isfinite(scores).sum())}
        costs = {name: _cost(frame, cell["name"], metric) for name, metric in COSTS.items()}
        better = probability_of_improvement(scores, control)
        better = float("nan") if cell["role"] == "control" else better
        rows.append({**row, "mean": mean, "sd": sd, "better": better, **costs})
    return pd.DataFrame(rows)


def correct(frame: Frame, cells: Sequence[str]) -> Answers | None:
    """Which test images each cell and seed got right, and which images belong together.

    None where predictions are missing, or where the cells were not tested on the same images.
    """
    rows: dict[tuple[int, int], NDArray[np.bool_]] = {}
    labels = clusters = None
    for place, cell in enumerate(cells):
        for column, seed in enumerate(frame.seeds):
            if frame.finished(cell, seed) is None:
                continue
            found = frame.predictions(cell, seed)
            if found is None or (labels is not None and not np.array_equal(labels, found["label"])):
                return None
            labels, clusters = found["label"], found.get("cluster")
            rows[place, column] = found["said"] == labels
    if labels is None:
        return None
    table = np.zeros((len(cells), len(frame.seeds), len(labels)), dtype=bool)
    for place_column, right in rows.items():
        table[place_column] = right
    if clusters is not None and len(np.unique(clusters)) < 2:
        clusters = None  # of one person alone, other persons cannot be told
    return Answers(table, clusters)


def _against_control(frame: Frame, names: Sequence[str]) -> list[Effect]:
    if not names:
        return []
    cells = ["control", *names]
    study = frame.study
    scores = frame.table(cells, study.metric)
    right, clusters = _answers(frame, cells)
    if frame.rule is not None:
        judged = in_rounds(
            scores,
            frame.rule,
            correct=right,
            clusters=clusters,
            margin=study.margin,
            alpha=study.alpha,
            expected=[frame.stopped.get(name, (frame.rule.looks[-1], ""))[0] for name in names],
        )
        return [_named(frame, name, one) for name, one in zip(names, judged, strict=True)]
    judged = many_to_one(
        scores,
        correct=right,
        clusters=clusters,
        margin=study.margin,
        alpha=study.alpha,
        method=study.method,
    )
    return [_named(frame, name, effect) for name, effect in zip(names, judged, strict=True)]


def _terms(frame: Frame) -> list[Effect]:
    """Main effects, then interactions of two factors; each named by its factors."""
    names, settings = crossed(frame)
    factors, levels = list(frame.study.factors), _levels(frame)
    right, clusters = _answers(frame, names)
    found = factorial(
        frame.table(names, frame.study.metric),
        settings,
        correct=right,
        clusters=clusters,
        margin=frame.study.margin,
        alpha=frame.study.alpha,
    )
    costs = {
        name: np.array([_cost(frame, cell, metric) for cell in names])
        for name, metric in COSTS.items()
    }
    return [
        replace(
            effect,
            cell="__".join(_pairs(term, factors, levels)),
            factor=" ".join(factors[one] for one in term.factors),
            level=" ".join(levels[f][at] for f, at in zip(term.factors, term.levels, strict=True)),
            alias=_alias(term, factors),
            d_parameters=float(term.weights @ costs["parameters"]),
            d_macs=float(term.weights @ costs["macs"]),
            d_epoch_s=float(term.weights @ costs["epoch_s"]),
        )
        for term, effect in found
    ]


def _alias(term: Term, factors: Sequence[str]) -> str:
    """What a term cannot be told from: its other names, less where they count the other way."""
    names = []
    for members, sign in zip(term.aliases, term.signs, strict=True):
        product = " x ".join(factors[one] for one in members)
        names.append(product if sign > 0 else f"less {product}")
    return ", ".join(names)


def crossed(frame: Frame) -> tuple[list[str], list[list[int]]]:
    """A factorial's cells by name, and the number of each factor's level there, 0 the control's."""
    cells = frame.cells("control", "contrast")
    known = list(zip(frame.study.factors, _levels(frame), strict=True))
    return [cell["name"] for cell in cells], [
        [levels.index(cell["levels"][name]) for name, levels in known] for cell in cells
    ]


def _levels(frame: Frame) -> list[list[str]]:
    """The levels of each factor of a factorial, the control's first."""
    cells = frame.cells("control", "contrast")
    return [
        list(dict.fromkeys(cell["levels"][name] for cell in cells)) for name in frame.study.factors
    ]


def _pairs(term: Term, factors: Sequence[str], levels: Sequence[Sequence[str]]) -> list[str]:
    """A term's factors, with the level where a factor has more than two."""
    return [
        factors[f] if len(levels[f]) == 2 else f"{factors[f]}-{levels[f][at]}"
        for f, at in zip(term.factors, term.levels, strict=True)
    ]


def _answers(
    frame: Frame, cells: Sequence[str]
) -> tuple[NDArray[np.bool_] | None, NDArray[np.int64] | None]:
    """What is known image by image, where the metric is a mean over images."""
    found = correct(frame, cells) if frame.study.metric == "test/accuracy" else None
    return (found.right, found.clusters) if found is not None else (None, None)


def differences_of(frame: Frame, cell: str) -> tuple[NDArray[np.float64], float]:
    """Paired differences of a cell to the control, and what new images add to their variance."""
    table = frame.table(["control", cell], frame.study.metric)
    right, clusters = _answers(frame, ["control", cell])
    _, differences, each = paired(table, 1, right, clusters)
    return differences, 0.0 if each is None else images_part(each)[0]


def error_of(frame: Frame, cell: str) -> tuple[float, float]:
    """The standard error of a contrast, and the part of its variance that is of new images."""
    table = frame.table(["control", cell], frame.study.metric)
    right, clusters = _answers(frame, ["control", cell])
    _, differences, each = paired(table, 1, right, clusters)
    alone = spread(differences)
    if each is None:
        return alone.error, 0.0
    return max(alone.error, spread(differences, each).error), images_part(each)[0]


def _named(frame: Frame, name: str, effect: Effect) -> Effect:
    """An effect with its cell, what was changed there, and what that changes in cost."""
    levels = {cell["name"]: cell["levels"] for cell in frame.plan["cells"]}
    changed = changes(frame.study, levels["control"], levels[name])
    more = {
        cost: _cost(frame, name, metric) - _cost(frame, "control", metric)
        for cost, metric in COSTS.items()
    }
    return replace(
        effect,
        cell=name,
        factor=" ".join(changed),
        level=" ".join(levels[name][factor] for factor in changed),
        d_parameters=more["parameters"],
        d_macs=more["macs"],
        d_epoch_s=more["epoch_s"],
    )


def _cost(frame: Frame, cell: str, metric: str) -> float:
    """The median of a cost over a cell's finished runs, NaN where there is none."""
    values = frame.table([cell], metric)[0]
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else float("nan")
