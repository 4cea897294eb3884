"""Cross-validation as an axis of a study: planned, run, pooled in the report, and refused."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

import research
from research import design, metrics
from research.errors import InvalidInput
from research.planning import prepare
from research.project import Project
from research.reporting.effects import correct
from research.reporting.frame import read_frame
from research.request import Request
from research.spec import RunSpec
from research.stats import by_cluster, many_to_one
from research.studies import read_study
from research.study import Study
from research.tracking.database import connect
from tests import layouts

STUDY = """\
name: persons
base:
  data: {params: {size: 48, channels: 1}}
  model: {name: resnet20, params: {width: 0.1}}
  optim: {name: adam, params: {lr: 3e-3}}
  preprocess: {normalize: {}}
  augment: {flip: {}}
  training: {epochs: 1, batch_size: 32, precision: fp32, memory_format: contiguous}
factors:
  flip:
    path: augment.flip
    levels: {present: {}, absent: null}
    control: present
seeds: 2
folds: 3
"""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    file = tmp_path / "persons.yaml"
    file.write_text(STUDY)
    return read_study(file)[0]


def test_cells_times_folds_times_seeds(study: Study) -> None:
    specs = design.plan(study)
    assert len(specs) == 2 * 3 * 2
    first = [(s.seed, s.data.params["fold"], "flip" in s.augment) for s in specs[:3]]
    assert [one[:2] for one in first] == [(1, 1), (1, 1), (1, 2)]
    assert {spec.data.params["folds"] for spec in specs} == {3}
    assert isinstance(specs[0], RunSpec)


def test_how_many_subjects_there_are_only_the_data_tells(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = study.replaced(folds="subjects")
    with pytest.raises(InvalidInput, match="only the data tells"):
        design.plan(asked)
    monkeypatch.setenv("RESEARCH_DATA", str(layouts.jaffe(tmp_path / "jaffe")))
    specs = research.plan(asked)
    assert len(specs) == 2 * 8 * 2
    assert {spec.spec_hash for spec in research.plan(study.replaced(folds=8))} == {
        spec.spec_hash for spec in specs
    }


@pytest.mark.parametrize("path", ["data.params.fold", "data.params.folds"])
def test_a_fold_of_its_own_is_refused_where_the_study_has_folds(study: Study, path: str) -> None:
    changed = design.with_base(study, {path: 3})
    with pytest.raises(InvalidInput, match=f"base: {path}: the study's folds decide it"):
        design.cells(changed)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"fold": 2}, "data.params.fold: 2 of how many"),
        ({"fold": 5, "folds": 4}, "5 is more than the 4 folds; give 1 to 4"),
        ({"fold": 1, "folds": 200}, "112 images; give 3"),
    ],
)
def test_a_run_of_a_fold_that_is_none_is_not_started(
    study: Study, params: dict[str, int], words: str, tmp_path: Path, project: Project
) -> None:
    place = str(layouts.npz(tmp_path / "data"))
    changes = {f"data.params.{name}": value for name, value in params.items()}
    spec = design.seeded(study.base.override({"data.name": place, **changes}), 1)
    with pytest.raises(InvalidInput, match=words):
        research.train(spec)
    assert not connect(project).find(kind="run")


def test_a_run_may_be_of_one_fold(study: Study, tmp_path: Path, project: Project) -> None:
    place = str(layouts.jaffe(tmp_path / "jaffe"))
    changes = {"data.name": place, "data.params.folds": 8, "data.params.fold": 3}
    run_id = research.train(design.seeded(study.base.override(changes), 1))
    content = connect(project).read_file(run_id, "predictions.npz")
    with np.load(io.BytesIO(content or b"")) as arrays:
        assert set(arrays["group"][arrays["split"] == "test"]) == {2}
        assert set(arrays["group"][arrays["split"] == "val"]) == {3}


def test_more_folds_than_persons_start_nothing(
    study: Study, tmp_path: Path, project: Project
) -> None:
    place = str(layouts.jaffe(tmp_path / "jaffe"))
    request = Request(data=place)
    with pytest.raises(InvalidInput, match=r"folds: 9: .* has 8 persons; give 3"):
        prepare(study.replaced(folds=9), request, project, connect(project))


def test_folds_are_run_tracked_and_judged_together(
    study: Study, tmp_path: Path, project: Project
) -> None:
    place = str(layouts.jaffe(tmp_path / "jaffe"))
    report = research.ablate(study, data=place, executor="inline")
    assert report.complete and len(report.runs) == 12
    content = report.as_json()
    assert {run["fold"] for run in content["runs"]} == {1, 2, 3}
    assert json.loads(json.dumps(content)) == content
    tracker = connect(project)
    parent = tracker.get(report.parent_run_id)
    assert parent is not None
    frame = read_frame(parent, tracker)
    for cell in ("control", "no-flip"):  # the weights of every fold of one seed
        kept = [run for run in tracker.find(kind="run", cell=cell) if run.tags.get("model_id")]
        assert len(kept) == 3 and len({run.tags["seed"] for run in kept}) == 1
    runs = frame.finished("control", 1)
    assert runs is not None and [run.tags["fold"] for run in runs] == ["1", "2", "3"]
    assert [run.name for run in runs] == [f"control/f{fold}/s1" for fold in range(1, 4)]
    found = frame.predictions("control", 1)
    assert found is not None
    assert len(found["label"]) == 112 and np.bincount(found["label"]).tolist() == [16] * 7
    assert np.bincount(found["cluster"]).tolist() == [14] * 8  # persons, not folds
    said = np.eye(7)[found["said"]]
    table = frame.table(["control"], "test/macro_f1")
    assert table[0, 0] == pytest.approx(metrics.macro_f1(found["label"], said))
    table = frame.table(["control"], "test/accuracy")
    assert table[0, 0] == pytest.approx(np.mean(found["label"] == found["said"]))
    answers = correct(frame, ["control", "no-flip"])
    assert answers is not None and answers.right.shape == (2, 2, 112)
    page = report.html.read_text()
    assert "112 images in 3 folds, each tested once" in page
    assert "new seeds on new test persons" in page
    planned = prepare(study, Request(data=place), project, tracker)
    assert not planned.todo and {run.run_id for run in planned.runs} == set(report.runs["run_id"])

    lost = read_frame(parent, tracker)
    lost._read[runs[1].run_id] = None  # one fold's predictions are gone
    for metric in ("test/accuracy", "test/macro_f1"):  # a mean of F1s is not the F1 of all
        assert np.isnan(lost.table(["control"], metric)[0]).tolist() == [True, False]

    plan = json.loads(tracker.read_file(report.parent_run_id, "plan.json") or b"")
    assert plan["folds"] == 3
    plan["runs"][0]["run_id"] = None  # one fold of one cell and seed is missing
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    (tmp_path / "only").mkdir()
    (tmp_path / "plan.json").rename(tmp_path / "only" / "plan.json")
    tracker.log_files(report.parent_run_id, tmp_path / "only")
    frame = read_frame(parent, tracker)
    assert np.isnan(frame.table(["control"], "test/accuracy")[0]).tolist() == [True, False]
    holed = research.report(report.parent_run_id)
    assert not holed.complete and holed.effects["complete"].tolist() == [False]


def test_clusters_of_one_image_change_nothing_and_rows_keep_their_means() -> None:
    generator = np.random.default_rng(0)
    hits = generator.normal(size=(5, 60))
    np.testing.assert_allclose(by_cluster(hits, np.arange(60)), hits)
    clusters = generator.integers(0, 7, 60)
    np.testing.assert_allclose(by_cluster(hits, clusters).mean(1), hits.mean(1))
    right = generator.random((2, 5, 60)) < 0.6
    scores = right.mean(2)
    alone = many_to_one(scores, correct=right)
    assert many_to_one(scores, correct=right, clusters=np.arange(60)) == alone


def test_persons_who_differ_do_not_raise_false_alarms() -> None:
    """Two cells that differ person by person, but not over all persons there are."""
    generator = np.random.default_rng(1)
    alarms = {"images": 0, "persons": 0}
    studies = 400
    for _ in range(studies):
        persons = np.repeat(np.arange(12), 30)
        easier = generator.normal(0, 0.15, (12, 1))[persons][:, 0]
        share = np.stack([np.full(360, 0.6), np.clip(0.6 + easier, 0, 1)])
        right = generator.random((2, 5, 360)) < share[:, None, :]
        scores = right.mean(2)
        for name, clusters in (("images", None), ("persons", persons)):
            (effect,) = many_to_one(scores, correct=right, clusters=clusters)
            alarms[name] += effect.p_adjusted < 0.05
    assert alarms["persons"] / studies < 0.05 + 2 * np.sqrt(0.05 * 0.95 / studies)
    assert alarms["images"] / studies > 0.15
