"""A study's frame to one self-contained page: no script, nothing fetched, readable on paper."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from research import figures
from research.designs import fraction_of, is_crossed
from research.reporting import pictures, wording
from research.reporting.classes import FALSE_SHARE, ClassEffects, class_effects
from research.reporting.effects import Answers, correct
from research.reporting.frame import Frame
from research.spec import TestViews
from research.stats import Effect

MOST_CLASSES, MOST_MOVED = 12, 3  # that are told, that are shown
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
    "Effects are least squares of all runs on the factors in -1 / +1 coding, seeds as blocks; "
    "p-values are adjusted by Holm over main effects and interactions of two factors. {estimand} "
    "Under three seeds there is no verdict."
)
IMAGES_AND_SEEDS = (
    "Verdicts are about new seeds on new test {what}: their variance is told from the runs' own "
    "predictions, and where that of new seeds on these very images is larger, that one is taken."
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
        missing=wording.incomplete(frame),
        cautions=wording.cautions(frame),
        verdicts=[(effect.verdict, wording.sentence(effect, frame)) for effect in effects],
        forest=_drawn(forest),
        points=_drawn(pictures.points(frame)),
        curves=[
            ("Validation accuracy", _drawn(pictures.curves(frame, "val/accuracy", effects, 100))),
            ("Training loss", _drawn(pictures.curves(frame, "train/loss", effects))),
            ("Validation loss", _drawn(pictures.curves(frame, "val/loss", effects))),
        ],
        cells=cell_rows(cells, effects, context),
        bites=_bites(frame),
        costs=_drawn(pictures.costs(frame, cells)),
        half_normal=_drawn(pictures.half_normal(frame, effects)),
        interactions=_drawn(pictures.interactions(frame, effects)),
        class_effects=_class_rows(by_class),
        class_found=class_sentences(frame, by_class),
        moved=_moved(frame, effects),
        terms=term_rows(effects),
        generators=frame.plan.get("generators"),
        aliases=_aliases(frame),
        classes=frame.classes,
        per_class=_per_class(frame),
        confusions=_confusions(frame),
        runs=_runs(frame),
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
    if answers.clusters is None:
        one = frame.persons_tested == 1
        return IMAGES_AND_SEEDS.format(what="images of this one person" if one else "images")
    what = "persons" if frame.plan["data"].get("persons") else "folds of images"
    return IMAGES_AND_SEEDS.format(what=what) + CLUSTERED


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
                "n": str(cell["n"]),
                "mean": wording.percent(cell["mean"]),
                "sd": wording.percent(cell["sd"]),
                "effect": wording.points(effect.effect) if effect else "–",
                "interval": wording.interval(effect.low, effect.high) if effect else "–",
                "p": wording.p_text(effect.p_adjusted) if effect and judged else "–",
                "better": wording.percent(cell["better"], 0),
                "verdict": effect.verdict if effect and judged else "",
                "parameters": wording.amount(cell["parameters"]),
                "macs": wording.amount(cell["macs"]),
                "epoch_s": f"{cell['epoch_s']:.1f}" if math.isfinite(cell["epoch_s"]) else "–",
            }
        )
    return rows


def term_rows(effects: Sequence[Effect]) -> list[dict[str, str]]:
    """The table of a factorial's terms, as text; empty of other designs."""
    return [
        {
            "term": wording.term_name(effect),
            "kind": effect.kind,
            "level": effect.level,
            "n": str(effect.n),
            "effect": wording.points(effect.effect),
            "interval": wording.interval(effect.low, effect.high),
            "together": wording.interval(effect.low_adjusted, effect.high_adjusted),
            "p": wording.p_text(effect.p_adjusted),
            "verdict": effect.verdict,
            "mde": wording.percent(effect.mde),
        }
        for effect in effects
        if effect.kind != "contrast"
    ]


def _per_class(frame: Frame) -> list[dict[str, Any]]:
    rows = []
    names = [f"test/f1/{name}" for name in frame.classes] + ["test/macro_f1"]
    for cell in frame.plan["cells"]:
        tables = (frame.table([cell["name"]], name) for name in names)
        means = (pd.Series(table[0]).mean() for table in tables)
        values = [wording.percent(mean) for mean in means]
        rows.append({"cell": cell["name"], "role": cell["role"], "values": values})
    return rows


def _class_rows(found: ClassEffects) -> list[dict[str, Any]]:
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


def _moved(frame: Frame, effects: Sequence[Effect]) -> list[dict[str, Any]]:
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


def _confusions(frame: Frame) -> list[dict[str, Any]]:
    """Of each cell: shares of every label's test images by the class said, all seeds together."""
    tables = []
    for cell in frame.plan["cells"]:
        counts = frame.confusion(cell["name"])
        if counts.any():
            shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
            tables.append({"cell": cell["name"], "shares": shares.tolist()})
    return tables


def _runs(frame: Frame) -> list[dict[str, str]]:
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


def _aliases(frame: Frame) -> list[tuple[str, str]]:
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


def _bites(frame: Frame) -> list[dict[str, Any]]:
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
        ("arithmetic", f"{resolved['precision']}, {resolved['memory_format']}"),
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
    return [*frame.plan.get("command", []), "--seeds", f"{','.join(map(str, frame.seeds))}"]


def _drawn(figure: Figure | None) -> Markup | None:
    # The drawing is ours; cells' names in it are slugs.
    return None if figure is None else Markup(figures.svg(figure))  # noqa: S704
