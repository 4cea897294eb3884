"""A report as Markdown: verdicts, the tables, what they rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from research.reporting import wording
from research.reporting.cautions import cautions, incomplete
from research.reporting.classes import class_effects
from research.reporting.frame import Frame
from research.reporting.page import facts, rests
from research.reporting.tables import cell_rows, class_sentences, term_rows
from research.stats import Effect

CELLS = ("n", "mean", "sd", "effect", "interval", "p", "verdict", "better")
COSTS = ("parameters", "macs", "epoch_s")
TERMS = ("kind", "level", "n", "effect", "interval", "p", "verdict", "mde", "alias")
TITLES = {
    "mean": "mean, %",
    "sd": "SD over seeds",
    "effect": "effect, points",
    "interval": "95 % interval",
    "p": "p, adjusted",
    "better": "runs better than the control's, %",
    "macs": "MACs an image",
    "epoch_s": "s an epoch",
    "mde": "found in 4 of 5 studies, points",
    "alias": "not told apart from",
}


def markdown(
    frame: Frame, effects: Sequence[Effect], context: Sequence[Effect], cells: pd.DataFrame
) -> str:
    """Everything of a report that is no picture."""
    about = facts(frame, effects, context)
    lines = [f"# {frame.study.title or frame.study.name}", ""]
    if frame.synthetic:
        lines += ["**Synthetic data: says nothing about photographs of people.**", ""]
    lines += [
        f"Study {frame.study.name}, {about['profile']} profile, {about['design']}: "
        f"{about['cells']} cells, {about['runs']} runs, seeds {about['seeds']}; {about['images']}.",
        f"Metric: {about['metric']}; margin ±{about['margin']} points.",
        "",
    ]
    lines += [f"- {note}" for note in incomplete(frame) + cautions(frame)]
    lines += [f"- {wording.sentence(effect, frame)}" for effect in effects]
    lines += ["", about["method"], ""]
    lines += rows_of("cell", cell_rows(cells, effects, context), CELLS + COSTS)
    terms = term_rows(effects)
    lines += ["", *rows_of("term", terms, TERMS)] if terms else []
    by_class = class_sentences(frame, class_effects(frame))
    if by_class:
        found = "; ".join(by_class)
        lines += ["", f"By class (exploratory, Benjamini and Hochberg): {found}."]
    lines += ["", *(f"- {name}: {value}" for name, value in rests(frame)), ""]
    return "\n".join(lines)


def rows_of(first: str, rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> list[str]:
    """A table's lines, its first column named ``first``."""
    head = [
        f"| {first} | " + " | ".join(TITLES.get(c, c) for c in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    return head + [
        f"| {row[first]} | " + " | ".join(row[c] for c in columns) + " |" for row in rows
    ]
