"""What a report says, on studies that were planted in a tracker."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from research import reporting
from research.design import cells, seeded
from research.errors import InvalidInput
from research.project import Project
from research.reporting import wording
from research.reporting.classes import class_effects
from research.reporting.frame import read_frame
from research.study import Study
from research.tracking import Point, Tracker
from research.tracking.memory import MemoryTracker

CLASSES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
IMAGES = 400
Plant = Callable[..., tuple[Tracker, Project]]


@pytest.fixture
def plant(tiny: Study, tmp_path: Path) -> Plant:
    """A study whose cells get the accuracies that are given, image by image."""

    def plant(
        accuracy: dict[str, float],
        seeds: int = 5,
        change: Callable[[str, int, dict[str, Any]], None] = lambda cell, seed, entry: None,
        synthetic: bool = True,
        **asked: Any,
    ) -> tuple[Tracker, Project]:
        tracker = MemoryTracker()
        study = tiny.replaced(**asked)
        made = cells(study)
        tags = {"kind": "study", "study": "tiny", "study_hash": "a" * 32}
        parent = tracker.create("ablate/tiny", "tiny", tags)
        generator = np.random.default_rng(0)
        labels = np.arange(IMAGES) % 7
        easy = generator.uniform(size=IMAGES)
        entries = []
        for seed in range(1, seeds + 1):
            for cell in made:
                wrong = 0.7 * easy + 0.3 * generator.uniform(size=IMAGES) > accuracy[cell.name]
                said = np.where(wrong, (labels + 1) % 7, labels)
                entry = {
                    "cell": cell.name,
                    "fold": None,
                    "seed": seed,
                    "fingerprint": f"{cell.name}{seed}",
                    "code_digest": "c",
                    "run_id": None,
                    "stale": None,
                    "status": "FINISHED",
                    "tags": {"device": "cpu: x", "versions": "{}", "test_accesses": '["once"]'},
                }
                change(cell.name, seed, entry)
                status, own = entry.pop("status"), entry.pop("tags")
                if status != "MISSING" and entry["stale"] is None:
                    entry["run_id"] = run = tracker.create("ablate/tiny", cell.name, own)
                    tracker.set_status(run, status)
                    _fill(tracker, run, labels, said, 1000 if cell.name == "control" else 900)
                entries.append(entry)
        plan = {
            "study": "tiny",
            "study_hash": "a" * 32,
            "profile": "quick",
            "design": study.design,
            "resolved": {"precision": "fp32", "memory_format": "contiguous"},
            "seeds": list(range(1, seeds + 1)),
            "data": {
                "source": "embedded",
                "digest": "d",
                "synthetic": synthetic,
                "classes": CLASSES,
                "images": {"train": 1, "val": 1, "test": IMAGES},
            },
            "cells": [
                {
                    "name": cell.name,
                    "role": cell.role,
                    "levels": cell.levels,
                    "recipe": seeded(cell.recipe, 1).model_dump(mode="json"),
                }
                for cell in made
            ],
            "runs": entries,
        }
        tracker.files[parent]["plan.json"] = json.dumps(plan).encode()
        text = yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False)
        tracker.files[parent]["study.yaml"] = text.encode()
        return tracker, Project(tmp_path)

    return plant


def _fill(
    tracker: MemoryTracker, run: str, labels: np.ndarray, said: np.ndarray, parameters: int
) -> None:
    logits = np.zeros((IMAGES, 7), np.float16)
    logits[np.arange(IMAGES), said] = 1
    buffer = io.BytesIO()
    np.savez(buffer, split=np.full(IMAGES, "test"), label=labels, logits=logits)
    tracker.files[run]["predictions.npz"] = buffer.getvalue()
    once = {"test/accuracy": float((said == labels).mean()), "model/parameters": parameters}
    once |= {"model/macs": 5e6, "best_epoch": 2, "test/macro_f1": 0.5}
    once |= {f"test/f1/{name}": 0.5 for name in CLASSES}
    tracker.log(run, [Point(name, float(value)) for name, value in once.items()])
    for epoch in (1, 2):
        for name in ("train/loss", "val/loss", "val/accuracy", "epoch_s"):
            tracker.log(run, [Point(name, 1 / epoch, epoch)])


TRUTH = {"control": 0.7, "no-batch_norm": 0.55, "no-smoothing": 0.7}


def test_planted_truth_is_recovered(plant: Plant) -> None:
    report = reporting.report("tiny", *plant(TRUTH))
    table = report.effects.set_index("cell")
    assert report.complete
    assert table.loc["no-batch_norm", "verdict"] == "hurts"
    assert table.loc["no-smoothing", "verdict"] in ("equivalent", "unresolved")
    assert table.loc["no-batch_norm", "effect"] == pytest.approx(-0.22, abs=0.05)
    assert table.loc["no-batch_norm", "d_parameters"] == -100
    assert table.loc["no-batch_norm", "d_macs"] == 0
    assert any(sentence.startswith("no-batch_norm hurts") for sentence in report.sentences)


class Checker(HTMLParser):
    """Collects what a page would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in ("script", "link", "iframe", "img", "object", "embed"):
            self.outside.append(tag)
        for name in ("src", "href", "xlink:href"):
            value = found.get(name) or ""
            if value and not value.startswith(("#", "data:")):
                self.outside.append(value)
        if "id" in found:
            self.ids.append(str(found["id"]))


def test_a_factorial_is_told_by_its_terms(plant: Plant) -> None:
    truth = {"control": 0.7, "smoothing-absent": 0.7}
    truth |= {"batch_norm-absent": 0.6, "batch_norm-absent__smoothing-absent": 0.6}
    made = reporting.report("tiny", *plant(truth, design="full_factorial"))
    table = made.effects.set_index("cell")
    assert list(table.index) == ["batch_norm", "smoothing", "batch_norm__smoothing"]
    assert list(table["kind"]) == ["main", "main", "interaction"]
    assert table.loc["batch_norm", "verdict"] == "hurts"
    assert table.loc["batch_norm", "d_parameters"] == -50  # of four cells, one the control
    assert [row["term"] for row in made.terms][2] == "batch_norm x smoothing"
    assert "batch_norm absent (on average over the other factors) hurts" in made.sentences[0]
    page = made.html.read_text()
    assert "<h2>Terms</h2>" in page and "aliased with" not in page


def test_the_latex_table_has_the_same_numbers(plant: Plant) -> None:
    made = reporting.report("tiny", *plant(TRUTH))
    text = made.html.with_name("effects.tex").read_text()
    assert text.count(r"\\") == 3 and r"no-batch\_norm & $-$" in text
    assert r"SYNTHETIC data." in text and r"\bottomrule" in text
    for row in made.effects.itertuples():
        assert wording.points(row.effect).replace("−", "$-$") in text


def test_classes_that_change_are_screened_together(plant: Plant) -> None:
    tracker, project = plant(TRUTH)
    generator = np.random.default_rng(1)
    for run in list(tracker.runs.values()):
        if run.name.startswith("no-batch_norm"):
            worse = [Point("test/f1/fear", 0.3 + 0.01 * generator.normal())]
            tracker.log(run.run_id, worse)
    made = reporting.report("tiny", tracker, project)
    found = class_effects(read_frame(tracker.get(made.parent_run_id), tracker))
    assert [(cell, CLASSES[label]) for cell, label, _ in found.found()] == [
        ("no-batch_norm", "fear")
    ]
    assert found.differences[0, 2] == pytest.approx(-0.2, abs=0.02)
    page, text = made.html.read_text(), made.html.with_name("report.md").read_text()
    assert "no-batch_norm: F1 of fear by −" in page and "no-batch_norm: F1 of fear" in text


def test_runs_that_were_still_getting_better_are_told(plant: Plant) -> None:
    notes = " ".join(reporting.report("tiny", *plant(TRUTH)).notes)
    assert "The budget, not the part, may decide" in notes  # best of two epochs is the second


def test_a_declared_dunnett_tells_how_evenly_cells_vary(plant: Plant) -> None:
    notes = " ".join(reporting.report("tiny", *plant(TRUTH, method="blocked_dunnett")).notes)
    assert "the largest SD is" in notes


def test_a_factor_whose_effect_varies_more_from_seed_to_seed_is_told(plant: Plant) -> None:
    cells = ("control", "smoothing-absent", "batch_norm-absent")
    truth = dict.fromkeys((*cells, "batch_norm-absent__smoothing-absent"), 0.7)
    tracker, project = plant(truth, design="full_factorial", metric="test/macro_f1")
    seeds, generator = dict.fromkeys(truth, 0), np.random.default_rng(2)
    for run in list(tracker.runs.values()):
        if run.name in truth:
            seed = seeds[run.name] = seeds[run.name] + 1
            wide = 0.05 * (-1) ** seed if run.name.startswith("batch_norm-absent") else 0.0
            odd = 0.001 * generator.normal()
            tracker.log(run.run_id, [Point("test/macro_f1", 0.6 + wide + odd)])
    notes = " ".join(reporting.report("tiny", tracker, project).notes)
    assert "batch_norm: varies over 3 times as much from seed to seed" in notes


def test_an_interaction_is_told_as_one(plant: Plant) -> None:
    truth = dict.fromkeys(["control", "smoothing-absent", "batch_norm-absent"], 0.75)
    truth["batch_norm-absent__smoothing-absent"] = 0.5
    made = reporting.report("tiny", *plant(truth, seeds=10, design="full_factorial"))
    assert made.effects["verdict"].tolist() == ["hurts"] * 3
    assert "the two together give test accuracy less than the sum" in made.sentences[2]


def test_the_page_is_one_file_that_fetches_and_runs_nothing(plant: Plant) -> None:
    report = reporting.report("tiny", *plant(TRUTH))
    text = report.html.read_text()
    checker = Checker()
    checker.feed(text)
    assert checker.outside == []
    assert "@import" not in text and "url(http" not in text
    assert "forest" in checker.ids


def test_the_files_of_a_report_agree(plant: Plant) -> None:
    tracker, project = plant(TRUTH)
    report = reporting.report("tiny", tracker, project)
    names = {file.name for file in report.html.parent.iterdir()}
    tables = {"effects.csv", "cells.csv", "effects.tex"}
    assert names == tables | {"report.html", "report.md", "forest.png"}
    parent = tracker.get(report.parent_run_id)
    assert parent is not None
    for row in report.effects.to_dict("records"):
        assert parent.metrics[f"effect/{row['cell']}"] == row["effect"]
        assert parent.metrics[f"p_adjusted/{row['cell']}"] == row["p_adjusted"]
    for name in names:
        assert tracker.read_file(parent.run_id, name)
    assert "no-batch_norm hurts" in parent.tags["mlflow.note.content"]
    again = reporting.report("tiny", tracker, project)
    assert again.html.read_text() == report.html.read_text()
    assert again.effects.equals(report.effects)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("MISSING", "not run yet: no-smoothing/s2"),
        ("FAILED", "failed: no-smoothing/s2"),
        ("KILLED", "stopped before the end: no-smoothing/s2"),
        ("RUNNING", "still running: no-smoothing/s2"),
    ],
)
def test_a_hole_is_named_at_the_top_and_never_averaged_away(
    plant: Plant, status: str, words: str
) -> None:
    def spoil(cell: str, seed: int, entry: dict[str, Any]) -> None:
        if (cell, seed) == ("no-smoothing", 2):
            entry["status"] = status

    report = reporting.report("tiny", *plant(TRUTH, change=spoil))
    assert not report.complete
    assert any(words in note for note in report.notes)
    text = report.html.read_text()
    assert text.index("Incomplete") < text.index("What each part is worth</h2>")
    table = report.effects.set_index("cell")
    assert table.loc["no-smoothing", "n"] == 4 and not table.loc["no-smoothing", "complete"]
    assert table.loc["no-batch_norm", "n"] == 5 and table.loc["no-batch_norm", "complete"]


def test_stale_diverged_mixed_and_twice_opened_runs_are_told(plant: Plant) -> None:
    def spoil(cell: str, seed: int, entry: dict[str, Any]) -> None:
        if (cell, seed) == ("no-smoothing", 1):
            entry["stale"] = "old"
        if (cell, seed) == ("no-smoothing", 2):
            entry["tags"] |= {"diverged": "true", "device": "cuda: y"}
        if (cell, seed) == ("no-smoothing", 3):
            entry["tags"] |= {"test_accesses": '["once", "again"]', "git_dirty": "true"}

    notes = " ".join(reporting.report("tiny", *plant(TRUTH, change=spoil)).notes)
    for words in (
        "made by other code",
        "1 runs diverged",
        "different hardware: cpu: x, cuda: y",
        "opened more than once by no-smoothing/s3",
        "1 runs were made from code that is not committed",
    ):
        assert words in notes


def test_a_step_that_changed_a_part_of_the_images_is_told(plant: Plant) -> None:
    tracker, project = plant(TRUTH)
    for run in list(tracker.runs.values()):
        if run.name == "no-smoothing":
            tracker.log(run.run_id, [Point("preprocess/align_eyes", 0.71)])
    (note,) = [
        note for note in reporting.report("tiny", tracker, project).notes if "align_eyes" in note
    ]
    assert note.startswith("align_eyes changed 71.0 % of the test images")


def test_synthetic_numbers_are_called_synthetic_and_real_ones_not(plant: Plant) -> None:
    for synthetic in (True, False):
        tracker, project = plant(TRUTH, synthetic=synthetic)
        report = reporting.report("tiny", tracker, project)
        note = tracker.find(kind="study")[0].tags["mlflow.note.content"]
        for text in (report.html.read_text(), note, (report.html.parent / "report.md").read_text()):
            assert ("ynthetic" in text) == synthetic


def test_under_three_seeds_no_verdict_is_told(plant: Plant) -> None:
    report = reporting.report("tiny", *plant(TRUTH, seeds=2))
    assert all("no verdict under 3 seeds" in sentence for sentence in report.sentences)


def test_what_is_not_there_is_told(plant: Plant) -> None:
    tracker, project = plant(TRUTH)
    with pytest.raises(InvalidInput, match="there are tiny"):
        reporting.report("tinny", tracker, project)
    (parent,) = tracker.find(kind="study")
    assert isinstance(tracker, MemoryTracker)
    del tracker.files[parent.run_id]["plan.json"]
    with pytest.raises(InvalidInput, match=r"has no plan\.json"):
        read_frame(parent, tracker)


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (wording.points(-0.0123), "−1.2"),
        (wording.points(0.0004), "0.0"),
        (wording.points(float("nan")), "–"),
        (wording.p_text(0.0004), "< .001"),
        (wording.p_text(0.0406), ".041"),
        (wording.p_text(1.0), "1.000"),
        (wording.amount(8_915_015), "8.92 M"),
        (wording.amount(1_014_088_704), "1.01 G"),
        (wording.amount(-2_752), "−2.75 k"),
        (wording.duration(3.21), "3.2 s"),
        (wording.duration(59.7), "60 s"),
        (wording.duration(90), "2 min"),
        (wording.duration(3_700), "1 h 02 min"),
        (wording.metric_name("test/macro_f1"), "test macro F1"),
    ],
)
def test_numbers_are_written_as_people_read_them(made: str, text: str) -> None:
    assert made == text
