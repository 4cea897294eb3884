"""What a report says, on studies that were planted in a tracker."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.metrics import f1_score

from research import reporting
from research.design import cells, seeded
from research.errors import InvalidInput
from research.project import Project
from research.reporting import wording
from research.reporting.classes import class_effects, f1_parts
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


def test_runs_that_were_still_getting_better_are_told(plant: Plant, tiny: Study) -> None:
    text = "The budget, not the part, may decide"
    base = tiny.base.override({"training.epochs": 20}).model_dump(mode="json")
    for best, told in ((20, True), (9, False)):
        tracker, project = plant(TRUTH, base=base)
        for run in list(tracker.runs.values()):
            tracker.log(run.run_id, [Point("best_epoch", best)])
        assert (text in " ".join(reporting.report("tiny", tracker, project).notes)) == told
    # Of very few epochs the last one is best as a rule.
    assert text not in " ".join(reporting.report("tiny", *plant(TRUTH)).notes)


THIRD = {"path": "training.clip_norm", "levels": {"none": None, "at_1": 1.0}, "control": "none"}


def factors(tiny: Study, **more: dict[str, Any]) -> dict[str, Any]:
    return {**tiny.model_dump(mode="json")["factors"], **more}


def test_a_fraction_names_what_it_cannot_tell_apart(plant: Plant, tiny: Study) -> None:
    asked = {"design": "fractional_factorial", "fraction": {"resolution": 3}}
    asked["factors"] = factors(tiny, clip=THIRD)
    names = [cell.name for cell in cells(tiny.replaced(**asked))]
    truth = {name: 0.5 if "batch_norm" in name else 0.75 for name in names}
    made = reporting.report("tiny", *plant(truth, **asked))
    row = made.effects.set_index("cell").loc["batch_norm"]
    assert row["alias"] in ("smoothing x clip", "less smoothing x clip")
    assert f"not told apart from {row['alias']}" in made.sentences[0]
    folder = made.html.parent
    for name in ("report.md", "report.html", "effects.tex", "effects.csv"):
        assert "smoothing x clip" in (folder / name).read_text()
    assert "a fraction of it" in (folder / "effects.tex").read_text()


def test_levels_of_a_factor_stay_apart_in_the_picture_of_an_interaction(
    plant: Plant, tiny: Study
) -> None:
    third = THIRD | {"levels": {"none": None, "at_1": 1.0, "at_5": 5.0}}
    asked = {"design": "full_factorial", "factors": factors(tiny, clip=third)}
    del asked["factors"]["smoothing"]
    names = [cell.name for cell in cells(tiny.replaced(**asked))]
    truth = dict.fromkeys(names, 0.6)
    truth["batch_norm-absent__clip-at_1"], truth["batch_norm-absent__clip-at_5"] = 0.8, 0.4
    page = reporting.report("tiny", *plant(truth, **asked)).html.read_text()
    assert all(f">{level}<" in page for level in ("none", "at_1", "at_5"))


def same_as_control(tracker: Tracker, cell: str) -> None:
    """Gives a cell's runs the answers of the control's."""
    assert isinstance(tracker, MemoryTracker)
    runs = sorted(tracker.runs.values(), key=lambda run: run.run_id)
    pairs = zip(*([r for r in runs if r.name == name] for name in ("control", cell)), strict=True)
    for control, other in pairs:
        tracker.files[other.run_id]["predictions.npz"] = tracker.files[control.run_id][
            "predictions.npz"
        ]
        tracker.log(other.run_id, [Point("test/accuracy", control.metrics["test/accuracy"])])


def test_a_part_that_took_no_effect_gets_no_verdict(plant: Plant) -> None:
    tracker, project = plant(TRUTH)
    same_as_control(tracker, "no-smoothing")
    made = reporting.report("tiny", tracker, project)
    row = made.effects.set_index("cell").loc["no-smoothing"]
    assert row["verdict"] == "unresolved" and np.isnan(row["p"])
    assert row["caution"] == "answers as the control does"
    assert any("what was changed took no effect" in note for note in made.notes)
    assert made.rows[2]["verdict"] == "none (answers as the control does)"
    assert "so nothing tells how sure it is" in made.sentences[1]


def test_runs_that_were_judged_under_another_question_are_told(plant: Plant) -> None:
    tracker, project = plant(TRUTH)
    first = reporting.report("tiny", tracker, project)
    assert not any("other questions" in note for note in first.notes)
    assert isinstance(tracker, MemoryTracker)
    tags = {"kind": "study", "study": "tiny", "study_hash": "b" * 32}
    later = tracker.create("ablate/tiny", "tiny", tags)
    tracker.runs[later] = replace(
        tracker.runs[later], started_ms=tracker.runs[first.parent_run_id].started_ms + 1
    )
    tracker.files[later] = dict(tracker.files[first.parent_run_id])
    notes = reporting.report(later, tracker, project).notes
    assert any("judged before under other questions: 15 of them in 2" in note for note in notes)


def test_a_look_counts_where_one_cell_fails_throughout(plant: Plant) -> None:
    def spoil(cell: str, seed: int, entry: dict[str, Any]) -> None:
        if cell == "no-smoothing":
            entry["status"] = "FAILED"

    tracker, project = plant(TRUTH, change=spoil)
    made = reporting.report("tiny", tracker, project)
    assert json.loads(tracker.runs[made.parent_run_id].tags["looks"]) == [5]


def test_numbers_that_do_not_hold_any_more_are_taken_back(plant: Plant) -> None:
    tracker, project = plant(TRUTH)
    made = reporting.report("tiny", tracker, project)
    assert isinstance(tracker, MemoryTracker)
    plan = json.loads(tracker.files[made.parent_run_id]["plan.json"])
    for run in plan["runs"]:
        run["stale"], run["run_id"] = run["run_id"], None
    tracker.files[made.parent_run_id]["plan.json"] = json.dumps(plan).encode()
    reporting.report("tiny", tracker, project)
    metrics = tracker.runs[made.parent_run_id].metrics
    names = ("effect/no-batch_norm", "p_adjusted/no-batch_norm", "mean/control")
    assert np.isnan([metrics[name] for name in names]).all()


def test_every_image_has_its_part_in_the_f1_of_a_class() -> None:
    generator = np.random.default_rng(3)
    label, said = generator.integers(0, 4, (2, 300))
    parts = f1_parts({"label": label, "said": said}, 2)
    assert parts.mean() == pytest.approx(f1_score(label == 2, said == 2))
    # What they say of new images is what drawing images anew says.
    again = []
    for _ in range(400):
        rows = generator.integers(0, 300, 300)
        again.append(f1_score(label[rows] == 2, said[rows] == 2))
    assert np.std(again) == pytest.approx(parts.std() / np.sqrt(300), rel=0.15)
    assert not f1_parts({"label": label, "said": said}, 7).any()


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
    assert any("The two need not add up" in note for note in report.notes)
    assert report.rows[2]["n"] == "4 (incomplete)" and report.rows[0]["n"] == "5"
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
