"""A study's frame to one self-contained page: no script, nothing fetched, readable on paper."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from research import figures
from research.designs import is_crossed
from research.reporting import pictures, tables, wording
from research.reporting.cautions import cautions, incomplete
from research.reporting.classes import class_effects
from research.reporting.effects import Answers, correct
from research.reporting.frame import Frame
from research.spec import TestViews
from research.stats import Effect

METHOD = (
    "Each contrast is a cell against the control, paired by seed; p-values are of paired t tests, "
    "adjusted by Holm over the declared contrasts. {estimand} Under three seeds there is no "
    "verdict."
)
DUNNETT = (
    "Each contrast is a cell against the control; all cells are taken to vary alike, seeds are "
    "blocks, and p-values are adjusted by Dunnett's test over the declared contrasts. {estimand} "
    "Under three seeds there is no verdict."
)
ROUNDS = (
    "Each contrast is a cell against the control, paired by seed, at every look; alpha is spent "
    "over the looks (Lan and DeMets), p-values are those of all looks together, adjusted by Holm "
    "over the declared contrasts, and intervals hold at every look. {estimand}"
)
TERMS = (
    "Effects are least squares of all runs on the factors in -1 / +1 coding, seeds as blocks, with "
    "one residual for all terms; p-values are adjusted by Holm over main effects and interactions "
    "of two factors. {estimand} "
    "Under three seeds there is no verdict."
)
IMAGES_AND_SEEDS = (
    "Verdicts are about new seeds on new test {what}. Two errors are worked out of the runs, that "
    "of new seeds on new images and that of new seeds on these very images; p, intervals and "
    "verdict are each of the one that is less sure."
)
IMAGES_ADDED = (
    "Verdicts are about new seeds on new test images: what new images add to the variance of each "
    "term is added."
)
CLUSTERED = " Images of one person, or of one fold, are not counted as independent."
SEEDS_ALONE = (
    "Verdicts are about new seeds on these very test images; about new images nothing is said, "
    "because the metric is not a mean over images or predictions are missing."
)


def page(
    frame: Frame,
    effects: Sequence[Effect],
    context: Sequence[Effect],
    cells: pd.DataFrame,
    yaml_text: str,
) -> str:
    """Everything that a report says, as HTML."""
    environment = Environment(
        loader=PackageLoader("research.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    forest = pictures.forest(frame, effects)
    by_class = class_effects(frame)
    return environment.get_template("page.html.j2").render(
        study=frame.study,
        synthetic=frame.synthetic,
        facts=facts(frame, effects, context),
        missing=incomplete(frame),
        cautions=cautions(frame),
        verdicts=[(effect.verdict, wording.sentence(effect, frame)) for effect in effects],
        forest=_drawn(forest),
        points=_drawn(pictures.points(frame, effects)),
        curves=[
            ("Validation accuracy", _drawn(pictures.curves(frame, "val/accuracy", effects, 100))),
            ("Training loss", _drawn(pictures.curves(frame, "train/loss", effects))),
            ("Validation loss", _drawn(pictures.curves(frame, "val/loss", effects))),
        ],
        cells=tables.cell_rows(cells, effects, context),
        bites=tables.bite_rows(frame),
        costs=_drawn(pictures.costs(frame, cells)),
        half_normal=_drawn(pictures.half_normal(frame, effects)),
        interactions=_drawn(pictures.interactions(frame, effects)),
        class_effects=tables.class_changes(by_class),
        class_found=tables.class_sentences(frame, by_class),
        moved=tables.confusion_changes(frame, effects),
        terms=tables.term_rows(effects),
        generators=frame.plan.get("generators"),
        aliases=tables.alias_rows(frame),
        classes=frame.classes,
        per_class=tables.class_scores(frame),
        confusions=tables.confusions(frame),
        runs=tables.run_rows(frame),
        rests=rests(frame),
        yaml=yaml_text,
    )


def facts(frame: Frame, effects: Sequence[Effect], context: Sequence[Effect]) -> dict[str, Any]:
    """What the page says of the study as a whole."""
    images = frame.plan["data"]["images"]
    everything = [cell["name"] for cell in frame.plan["cells"] if cell["role"] != "context"]
    answers = correct(frame, everything) if frame.study.metric == "test/accuracy" else None
    wrong = frame.plan["data"].get("wrong_labels")
    counts = f"{images['train']} training, {images['val']} validation, {images['test']} test images"
    if len(frame.folds) > 1:
        tested = frame.images_tested
        counts = (
            f"{'' if tested is None else f'{tested} images in '}{len(frame.folds)} folds, each "
            f"tested once (in the first: {counts}); the folds of a seed are judged together. Nets "
            "of different folds share most of their training images"
        )
    return {
        "profile": frame.plan["profile"],
        "design": frame.plan["design"].replace("_", " "),
        "cells": len(frame.plan["cells"]),
        "runs": len(frame.runs),
        "seeds": ", ".join(map(str, frame.seeds)),
        "images": counts
        + (f"; {100 * wrong:.0f} % of the labels are wrong on purpose" if wrong else ""),
        "metric": wording.metric_name(frame.study.metric),
        "margin": wording.percent(frame.study.margin),
        "method": _method(frame).format(estimand=_estimand(frame, answers)),
        "crossed": is_crossed(frame.study),
        "context": bool(context),
    }


def _method(frame: Frame) -> str:
    if is_crossed(frame.study):
        return TERMS
    if frame.rule is not None:
        return ROUNDS
    return DUNNETT if frame.study.method == "blocked_dunnett" else METHOD


def _estimand(frame: Frame, answers: Answers | None) -> str:
    """What verdicts are about."""
    if answers is None:
        return SEEDS_ALONE
    if is_crossed(frame.study):
        return IMAGES_ADDED
    if answers.clusters is None:
        one = frame.persons_tested == 1
        return IMAGES_AND_SEEDS.format(what="images of this one person" if one else "images")
    what = "persons" if frame.plan["data"].get("persons") else "folds of images"
    return IMAGES_AND_SEEDS.format(what=what) + CLUSTERED


def rests(frame: Frame) -> list[tuple[str, str]]:
    """Data, code, machine and the command that repeats the study."""
    data, resolved = frame.plan["data"], frame.plan["resolved"]
    ended = frame.runs[frame.runs["status"] == "FINISHED"]
    versions = json.loads(ended["versions"].iloc[0]) if len(ended) else {}
    images = ", ".join(f"{count} {name}" for name, count in data["images"].items())
    if len(frame.folds) > 1:
        images = f"{len(frame.folds)} folds, the first of {images}"
    return [
        ("data", f"{data['source']}: {images} images, digest {data['digest']}"),
        ("test", _views(frame.study.base.test)),
        ("audit", _audit(data)),
        ("arithmetic", _arithmetic(resolved)),
        ("hardware", "; ".join(sorted(set(ended["device"])))),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("code", "; ".join(sorted(set(ended["commit"]))) or "not in a repository"),
        ("parent run", frame.parent.run_id),
        ("study hash", frame.plan["study_hash"]),
        ("test split", f"opened {int(frame.runs['test_accesses'].sum())} times in all"),
        ("repeat it with", shlex.join(repeat(frame))),
    ]


def _audit(data: Mapping[str, Any]) -> str:
    """What is known of the data's own leaks."""
    leaked = data.get("leaked")
    if leaked is None:
        return f"not known; research data inspect {data['source']}"
    return (
        f"{leaked} of {data['images']['test']} test images stand in training or validation too, "
        "pixel for pixel; accuracy without them stands beside each run. More: research data "
        f"inspect {data['source']}"
    )


def _views(test: TestViews) -> str:
    """Which views of a test image are averaged, and what of them."""
    if test.views == "single":
        return "one view of each image"
    many = {"flip": "each image and its mirror", "ten_crop": "five crops and their mirrors"}
    return f"{many[test.views]}, {test.average} averaged; the single view is tracked beside it"


def repeat(frame: Frame) -> list[str]:
    """The command that repeats a study of an unchanged study file."""
    command = [*frame.plan.get("command", [])]
    if frame.rule is not None:
        return [*command, "--until-resolved", "--max-seeds", str(frame.rule.most)]
    return [*command, "--seeds", f"{','.join(map(str, frame.seeds))}"]


def _drawn(figure: Figure | None) -> Markup | None:
    # The drawing is ours; cells' names in it are slugs.
    return None if figure is None else Markup(figures.svg(figure))  # noqa: S704


def _arithmetic(resolved: Mapping[str, str]) -> str:
    words = [resolved["precision"], resolved["memory_format"]]
    return ", ".join([*words, "compiled"] if resolved.get("compile") == "on" else words)
