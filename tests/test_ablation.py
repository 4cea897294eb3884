"""A whole study: planned, run, tracked in a real MLflow database, resumed, reported."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import research
from research import ablation, reporting
from research.ablation import carry_out
from research.errors import InvalidInput
from research.executors import Outcome, Progress
from research.parent import read_plan
from research.planning import Plan, Tuning, prepare
from research.project import Project
from research.provenance import hardware
from research.request import Request
from research.study import Study
from research.tracking import Tracker
from research.tracking.database import connect
from research.tracking.memory import MemoryTracker
from research.tuning.nuisance import tuned_so_far
from tests.conftest import TINY


class Watcher:
    """Keeps what an ablation tells."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.outcomes: list[Outcome] = []
        self.epochs = 0

    def __call__(self, event: object) -> None:
        if isinstance(event, Plan):
            self.plans.append(event)
        elif isinstance(event, Outcome):
            self.outcomes.append(event)
        elif isinstance(event, Progress) and hasattr(event.record, "number"):
            self.epochs += 1


def ablate(**more: Any) -> research.Report:
    return research.ablate("tiny", executor="inline", **more)


@pytest.fixture(scope="module")
def done(
    tmp_path_factory: pytest.TempPathFactory, database: Path
) -> Iterator[tuple[Project, research.Report]]:
    """A project in which the tiny study was run; tests that change it copy it first."""
    root = tmp_path_factory.mktemp("done") / "project"
    (root / "mlruns").mkdir(parents=True)
    (root / "ablations").mkdir()
    (root / "ablations" / "tiny.yaml").write_text(TINY)
    shutil.copy(database, root / "mlruns" / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        report = ablate()
    yield Project(root), report


@pytest.fixture
def copy(
    done: tuple[Project, research.Report], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """That project, moved to a place of this test's own."""
    root = tmp_path / "project"
    shutil.copytree(done[0].root, root, symlinks=True)
    monkeypatch.chdir(root)
    return Project(root)


def children(tracker: Tracker) -> list[tuple[str, str]]:
    return sorted((run.name, run.status) for run in tracker.find(kind="run"))


def test_every_cell_and_seed_is_run_once_under_one_parent(
    done: tuple[Project, research.Report],
) -> None:
    project, report = done
    tracker = connect(project)
    names = [
        f"{cell}/s{seed}"
        for cell in ("control", "no-batch_norm", "no-smoothing")
        for seed in (1, 2, 3)
    ]
    assert children(tracker) == [(name, "FINISHED") for name in names]
    (parent,) = tracker.find(kind="study")
    assert parent.run_id == report.parent_run_id and parent.status == "FINISHED"
    assert parent.experiment == "ablate/tiny"
    for run in tracker.find(kind="run"):
        assert run.tags["mlflow.parentRunId"] == parent.run_id
        assert run.experiment == "ablate/tiny"
    plan = read_plan(tracker, parent.run_id)
    assert plan is not None
    triples = {(run["cell"], run["fold"], run["seed"]): run["run_id"] for run in plan["runs"]}
    assert len(triples) == len(set(triples.values())) == 9
    assert set(triples.values()) == {run.run_id for run in tracker.find(kind="run")}


def test_the_parent_bears_what_the_interface_promises(
    done: tuple[Project, research.Report],
) -> None:
    project, report = done
    tracker = connect(project)
    parent = tracker.get(report.parent_run_id)
    assert parent is not None
    for cell in ("no-batch_norm", "no-smoothing"):
        for name in ("effect", "effect_low", "effect_high", "p_adjusted", "mean", "sd"):
            assert f"{name}/{cell}" in parent.metrics
    assert {"mean/control", "sd/control"} <= set(parent.metrics)
    for name in (
        "study.yaml",
        "plan.json",
        "report.html",
        "report.md",
        "effects.csv",
        "forest.png",
    ):
        assert tracker.read_file(parent.run_id, name), name
    assert "get-artifact?path=forest.png" in parent.tags["mlflow.note.content"]
    assert json.loads(parent.tags["resolved"]) == {
        "precision": "fp32",
        "memory_format": "contiguous",
        "compile": "off",
    }


def test_effects_have_the_promised_columns_and_add_up(
    done: tuple[Project, research.Report],
) -> None:
    project, report = done
    table = pd.read_csv(report.html.parent / "effects.csv")
    assert list(table.columns) == [
        *("kind", "cell", "factor", "level", "n", "mean", "sd", "effect", "low", "high"),
        *("low_adjusted", "high_adjusted", "p", "p_adjusted", "verdict", "mde"),
        *("d_parameters", "d_macs", "d_epoch_s", "complete", "alias", "caution"),
    ]
    assert list(table["cell"]) == ["no-batch_norm", "no-smoothing"]
    assert list(table["factor"]) == ["batch_norm", "smoothing"]
    assert list(table["level"]) == ["absent", "absent"]
    tracker = connect(project)
    scores = {run.name: run.metrics["test/accuracy"] for run in tracker.find(kind="run")}
    for row in table.itertuples():
        pairs = [scores[f"{row.cell}/s{seed}"] - scores[f"control/s{seed}"] for seed in (1, 2, 3)]
        assert row.effect == pytest.approx(np.mean(pairs))
        assert row.n == 3 and row.complete
        assert row.low < row.effect < row.high
        assert row.low_adjusted <= row.low and row.high <= row.high_adjusted
    assert table["d_parameters"].iloc[0] < 0 == table["d_parameters"].iloc[1]


def test_the_best_seed_of_each_cell_keeps_its_weights_and_no_other(
    done: tuple[Project, research.Report],
) -> None:
    project, _ = done
    runs = connect(project).find(kind="run")
    for cell in ("control", "no-batch_norm", "no-smoothing"):
        mine = [run for run in runs if run.tags["cell"] == cell]
        kept = [run for run in mine if run.tags.get("model_id")]
        assert len(kept) == 1
        best = max(run.metrics["selected/val_accuracy"] for run in mine)
        assert kept[0].metrics["selected/val_accuracy"] == best
    assert not list((project.runs / "checkpoints").glob("*/*"))


def test_a_finished_study_is_recognised_without_torch_s_help(copy: Project) -> None:
    watcher = Watcher()
    again = ablate(observe=watcher)
    assert watcher.plans[0].todo == () and not watcher.outcomes
    assert again.complete and len(again.runs) == 9
    assert len(connect(copy).find(kind="study")) == 1


def test_more_seeds_extend_the_same_parent_and_are_named_a_further_look(copy: Project) -> None:
    watcher = Watcher()
    report = ablate(seeds=4, observe=watcher)
    assert [outcome.job.spec.seed for outcome in watcher.outcomes] == [4, 4, 4]
    assert len(connect(copy).find(kind="study")) == 1
    assert (report.effects["n"] == 4).all()
    assert any("(3 then 4): extended after 1 look" in note for note in report.notes)
    fewer = ablate(seeds=2)
    assert (fewer.effects["n"] == 4).all()


def test_other_epochs_are_another_study_and_share_nothing(copy: Project) -> None:
    report = ablate(epochs=1, seeds=1, factors=["batch_norm"])
    tracker = connect(copy)
    assert len(tracker.find(kind="study")) == 2
    assert len(tracker.find(kind="run")) == 9 + 2
    assert reporting.report("tiny", tracker, copy).parent_run_id == report.parent_run_id
    assert reporting.report("tiny", tracker, copy).older


def test_runs_are_reused_whichever_study_made_them(copy: Project) -> None:
    (copy.root / "ablations" / "other.yaml").write_text(TINY.replace("name: tiny", "name: other"))
    watcher = Watcher()
    report = research.ablate("other", executor="inline", factors=["smoothing"], observe=watcher)
    # Its control is at the same levels, so that its runs are those of the first study.
    assert not watcher.outcomes and report.complete
    assert set(report.runs["cell"]) == {"control", "no-smoothing"}


def test_fresh_trains_anew_and_the_newest_counts(copy: Project) -> None:
    before = {run.run_id for run in connect(copy).find(kind="run")}
    watcher = Watcher()
    report = ablate(factors=["smoothing"], seeds=1, fresh=True, observe=watcher)
    assert len(watcher.outcomes) == 2
    assert not set(report.runs["run_id"]) & before


def test_stale_code_is_told_and_run_again_unless_accepted(copy: Project) -> None:
    tracker = connect(copy)
    for run in tracker.find(kind="run", cell="no-smoothing"):
        tracker.set_tags(run.run_id, {"code_digest": "old"})
    states = [run.state for run in prepare("tiny", Request(), copy, tracker).runs]
    assert states.count("stale") == 3 and states.count("finished") == 6
    accepted = Watcher()
    ablate(accept_code=True, observe=accepted)
    assert not accepted.outcomes
    watcher = Watcher()
    report = ablate(observe=watcher)
    assert [outcome.job.labels.cell for outcome in watcher.outcomes] == ["no-smoothing"] * 3
    assert report.complete and len(tracker.find(kind="run")) == 12


def test_a_failing_cell_is_told_and_does_not_stop_the_others(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from research import evaluation
    from research import run as running

    real = evaluation.predict_split

    def fail(state: Any, *rest: Any) -> Any:
        if not any("BatchNorm" in type(m).__name__ for m in state.net.modules()):
            raise MemoryError("no room")
        return real(state, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(running, "predict_split", fail)
        done = carry_out("tiny", Request(seeds=1), project, executor="inline")
    assert [outcome.error for outcome in done.failed] == ["MemoryError: no room"]
    tracker = connect(project)
    assert dict(children(tracker)) == {
        "control/s1": "FINISHED",
        "no-batch_norm/s1": "FAILED",
        "no-smoothing/s1": "FINISHED",
    }
    assert tracker.find(kind="study")[0].status == "FAILED"
    report = reporting.report(done.parent, tracker, project)
    assert not report.complete
    assert any("failed: no-batch_norm/s1" in note for note in report.notes)
    assert "MemoryError: no room" in report.html.read_text()
    assert report.as_json()["failed"][0]["error"] == "MemoryError: no room"
    assert ablate(seeds=1).complete


def test_an_interrupted_study_is_killed_and_goes_on(project: Project) -> None:
    class Stop(Watcher):
        def __call__(self, event: object) -> None:
            super().__call__(event)
            if self.epochs == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ablate(observe=Stop())
    tracker = connect(project)
    assert tracker.find(kind="study")[0].status == "KILLED"
    assert not tracker.running()
    assert not reporting.report("tiny", tracker, project).complete
    plan = prepare("tiny", Request(), project, tracker)
    assert [run.state for run in plan.runs].count("finished") == 1
    watcher = Watcher()
    report = ablate(observe=watcher)
    assert report.complete and len(tracker.find(kind="run")) == 9
    assert watcher.epochs < 18 + 1


def test_runs_of_dead_processes_are_marked_at_the_next_start(copy: Project) -> None:
    tracker = connect(copy)
    dead = tracker.create("ablate/tiny", "control/s9", {"kind": "run"})
    ablate()
    found = tracker.get(dead)
    assert found is not None and found.status == "KILLED"


def test_identical_cells_share_their_runs(project: Project) -> None:
    file = project.root / "ablations" / "tiny.yaml"
    file.write_text(TINY + "context: {twin: {model.params.batch_norm: false}}\n")
    watcher = Watcher()
    report = ablate(seeds=1, observe=watcher)
    assert len(watcher.outcomes) == 3
    by_cell = dict(zip(report.runs["cell"], report.runs["run_id"], strict=True))
    assert by_cell["twin"] == by_cell["no-batch_norm"]


def test_a_contrast_that_changes_nothing_is_refused(project: Project) -> None:
    file = project.root / "ablations" / "tiny.yaml"
    same = TINY.replace("levels: {e_0.1: 0.1, absent: 0.0}", "levels: {e_0.1: 0.1, absent: 0.10}")
    file.write_text(same)
    with pytest.raises(InvalidInput, match=r"changes nothing: the cell 'no-smoothing'"):
        ablate()


def test_side_by_side_gives_the_same_numbers_as_one_after_the_other(
    done: tuple[Project, research.Report], project: Project
) -> None:
    watcher = Watcher()
    cores = int(hardware()["cores"])
    report = research.ablate("tiny", seeds=1, executor="processes", workers=1, observe=watcher)
    assert len(watcher.outcomes) == 3 and watcher.epochs == 6
    expected = {run.name: run.metrics["test/log_loss"] for run in connect(done[0]).find(kind="run")}
    tracker = connect(project)
    for run in tracker.find(kind="run"):
        assert run.metrics["test/log_loss"] == expected[run.name]
        assert run.tags["threads"] == str(cores)
        assert tracker.read_file(run.run_id, "curves.png")
    assert report.complete


def test_nothing_is_made_where_the_input_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "empty"
    root.mkdir()
    monkeypatch.chdir(root)
    for wrong in (
        {"study": "alexnet_por"},
        {"study": "alexnet_pro", "changes": {"training.epoch": 3}},
        {"study": "alexnet_pro", "epochs": 0},
        {"study": "alexnet_pro", "seeds": 0},
        {"study": "alexnet_pro", "factors": ["mixp"]},
        {"study": "alexnet_pro", "design": "leave_one_in"},
        {"study": "alexnet_pro", "data": "nowhere.csv"},
        {"study": "alexnet_pro", "executor": "cluster"},
        {"study": "alexnet_pro", "executor": "inline", "workers": 2},
        {"study": "alexnet_pro", "workers": 0},
        {"study": "alexnet_pro", "device": "tpu"},
        {
            "study": "alexnet_pro",
            "changes": {
                "data.params.size": 40,
                "training.precision": "fp32",
                "training.memory_format": "contiguous",
            },
        },
    ):
        given = dict(wrong)
        few = {f"data.params.{name}_images": 70 for name in ("train", "val", "test")}
        given["changes"] = few | given.get("changes", {}) if "data" not in given else {}
        with pytest.raises(InvalidInput):
            research.ablate(given.pop("study"), **given)
    assert not list(root.iterdir())


def test_auto_is_resolved_once_for_a_study(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([{"precision": "fp32", "memory_format": "channels_last"}])
    monkeypatch.setattr("research.inspection.choose_arithmetic", lambda *args: next(answers))
    file = project.root / "ablations" / "tiny.yaml"
    file.write_text(TINY.replace("precision: fp32, memory_format: contiguous", "precision: auto"))
    first = ablate(seeds=1)
    again = ablate(seeds=1)  # would ask for another answer, of which there is none
    assert first.parent_run_id == again.parent_run_id
    tracker = connect(project)
    assert tracker.find(kind="run")[0].params["training.memory_format"] == "channels_last"


def test_a_plan_without_a_database_tracks_nothing(project: Project) -> None:
    (project.runs / "mlflow.db").unlink()
    plan = prepare("tiny", Request(), project, connect(project, create=False))
    assert {run.state for run in plan.runs} == {"new"} and plan.distinct == 9
    assert not list(project.runs.iterdir())
    assert isinstance(connect(project, create=False), MemoryTracker)


def test_the_module_and_the_function_do_not_shadow_each_other() -> None:
    assert callable(research.ablate) and ablation.carry_out is carry_out


def test_a_run_that_fails_when_trained_anew_is_told_though_an_older_one_stands(
    copy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("research.run.assemble", fail)
    report = ablate(fresh=True)
    assert not report.complete and len(report.as_json()["failed"]) == 9
    assert any("9 runs failed when they were trained anew" in note for note in report.notes)
    assert "no room" in report.as_json()["failed"][0]["error"]


def test_runs_of_other_code_that_are_accepted_are_named(
    copy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("research.planning.code_digest", lambda spec: "0" * 16)
    report = ablate(accept_code=True)
    assert report.complete
    assert any("9 runs were made by other code than the rest" in note for note in report.notes)


def test_a_deleted_run_is_no_part_of_the_report(copy: Project) -> None:
    tracker = connect(copy)
    (run,) = tracker.find(kind="run", cell="control", seed="1")
    tracker._client.delete_run(run.run_id)  # type: ignore[attr-defined]
    report = research.report("tiny")
    assert not report.complete and any("1 of 9 runs not run yet" in one for one in report.notes)


def test_the_page_tells_the_command_that_repeats_the_study(copy: Project) -> None:
    more = {"changes": {"optim.params.lr": 0.002}, "factors": ["batch_norm"], "epochs": 1}
    page = ablate(seeds=1, **more).html.read_text()
    told = "research ablate tiny --data embedded --factors batch_norm --epochs 1 "
    assert told + "--set optim.params.lr=0.002 --seeds 1" in page


def test_a_plan_that_is_cut_off_is_written_anew(copy: Project) -> None:
    (parent,) = connect(copy).find(kind="study")
    (file,) = (copy.runs / "artifacts").rglob("plan.json")
    file.write_text(file.read_text()[:500])
    assert ablate().complete
    assert read_plan(connect(copy), parent.run_id)


def test_an_interrupted_wish_for_more_seeds_leaves_no_holes_in_a_smaller_one(
    copy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(event: object) -> None:
        if isinstance(event, Outcome):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ablate(seeds=5, observe=stop)
    report = ablate(seeds=3)
    assert report.complete and len(report.runs) == 9


def test_subsets_designs_and_seeds_share_what_auto_was_taken_for(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = MemoryTracker()
    auto = {"training.memory_format": "auto"}
    first = prepare("tiny", Request(changes=auto), project, tracker)
    tags = {"resolved": json.dumps(first.resolved), "declared_hash": first.declared_hash}
    tracker.create("ablate/tiny", "tiny", tags)
    monkeypatch.setattr("research.inspection.choose_arithmetic", lambda *args: 1 / 0)
    for more in ({"factors": ["smoothing"]}, {"seeds": 7}, {"design": "full_factorial"}):
        plan = prepare("tiny", Request(changes=auto, **more), project, tracker)  # type: ignore[arg-type]
        assert plan.runs[0].fingerprint == first.runs[0].fingerprint


def test_cells_that_know_one_class_only_are_told(copy: Project) -> None:
    tracker = connect(copy)
    for run in tracker.find(kind="run", cell="no-batch_norm"):
        content = tracker.read_file(run.run_id, "predictions.npz")
        assert content is not None
        with np.load(io.BytesIO(content)) as arrays:
            parts = dict(arrays)
        parts["logits"][:, 3] = 1000
        (place,) = (copy.runs / "artifacts").rglob(f"{run.run_id}/artifacts/predictions.npz")
        np.savez_compressed(place, **parts)
    notes = research.report("tiny").notes
    assert any(note.startswith("no-batch_norm: the nets answer with one class") for note in notes)


def test_seeds_are_added_in_rounds_until_contrasts_are_decided(project: Project) -> None:
    watcher = Watcher()
    report = research.ablate(
        "tiny", factors=["smoothing"], executor="inline", until_resolved=True, max_seeds=6,
        changes={"training.epochs": 1, "data.params.test_images": 42}, observe=watcher,
    )  # fmt: skip
    (row,) = report.effects.to_dict("records")
    looks = [plan.rounds.looks for plan in watcher.plans if plan.rounds is not None]
    assert looks[0] == (3,) and row["n"] in (3, 5, 6) and row["complete"]
    notes = " ".join(report.notes)
    assert f"Stopped after {row['n']} seeds" in notes and "of at most 6 seeds" in notes
    assert "extended after" not in notes
    runs = len(connect(project).find(kind="run"))
    assert runs == 2 * row["n"] == len(watcher.outcomes)
    again = Watcher()
    same = research.ablate(
        "tiny", factors=["smoothing"], executor="inline", until_resolved=True, max_seeds=6,
        changes={"training.epochs": 1, "data.params.test_images": 42}, observe=again,
    )  # fmt: skip
    assert not again.outcomes and same.effects.equals(report.effects)
    more = research.ablate(
        "tiny", factors=["smoothing"], executor="inline", seeds=4,
        changes={"training.epochs": 1, "data.params.test_images": 42},
    )  # fmt: skip
    assert "do not pay for the looks before" in " ".join(more.notes)


def test_rounds_are_judged_alike_whatever_else_is_finished(project: Project) -> None:
    asked: dict[str, Any] = {
        "executor": "inline",
        "factors": ["smoothing"],
        "changes": {"training.epochs": 1, "data.params.test_images": 42},
    }
    research.ablate("tiny", seeds=4, **asked)  # a look outside the rounds
    first = research.ablate("tiny", until_resolved=True, max_seeds=5, **asked)
    again = research.ablate("tiny", until_resolved=True, max_seeds=5, **asked)
    assert first.effects.equals(again.effects)
    tracker = connect(project)
    for made in (first, again):
        plan = json.loads(tracker.read_file(made.parent_run_id, "plan.json") or b"")
        assert plan["seeds"] == list(range(1, plan["rounds"]["looks"][-1] + 1))
        assert "looked at with 4 seeds, outside the rounds" in " ".join(made.notes)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"seeds": 5}, "the rounds decide how many"),
        ({"max_seeds": 3}, "give 4 to 100"),
        ({"fresh": True}, "every round would train all anew"),
        ({"design": "full_factorial"}, "is for contrasts"),
    ],
)
def test_rounds_that_cannot_be_are_refused(
    project: Project, more: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        research.ablate("tiny", until_resolved=True, **more)


def test_nuisance_values_are_tuned_for_each_cell_and_recorded(
    project: Project, tiny: Study
) -> None:
    paths = {"optim.params.lr": {"low": 1e-4, "high": 3e-2, "log": True}}
    study = tiny.replaced(nuisance={"paths": paths, "trials": 3})
    watcher = Watcher()
    report = research.ablate(study, seeds=1, executor="inline", observe=watcher)
    tracker = connect(project)
    trials = tracker.find(kind="trial")
    assert len(trials) == 9 and not any("test/accuracy" in run.metrics for run in trials)
    by_cell: dict[str, list[float]] = {}
    for run in trials:
        by_cell.setdefault(run.tags["search"].split("-")[0], []).append(
            float(run.params["optim.params.lr"])
        )
    rates = [sorted(found) for found in by_cell.values()]
    assert len({rate for found in rates for rate in found}) == 3  # the same points, its own first
    plan = json.loads(tracker.read_file(report.parent_run_id, "plan.json") or b"")
    for cell in plan["cells"]:
        rate = cell["tuned"]["optim.params.lr"]
        assert cell["recipe"]["optim"]["params"]["lr"] == rate and rate in rates[0]
        assert "optimiser" not in (cell["bite"] or {"beyond": []})["beyond"]
    assert any(note.startswith("optim.params.lr: tuned for each cell") for note in report.notes)
    again = research.ablate(study, seeds=2, executor="inline")  # nothing is tuned anew
    assert again.parent_run_id == report.parent_run_id
    assert len(tracker.find(kind="trial")) == 9 and len(tracker.find(kind="run")) == 6


def test_fresh_nuisance_values_that_are_interrupted_are_all_tuned_anew(
    project: Project, tiny: Study
) -> None:
    paths = {"optim.params.lr": {"low": 1e-4, "high": 3e-2, "log": True}}
    study = tiny.replaced(nuisance={"paths": paths, "trials": 2})
    research.ablate(study, seeds=1, executor="inline")
    before = {run.run_id for run in connect(project).find(kind="trial")}

    def stop(event: Any) -> None:
        if isinstance(event, Tuning) and event.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        research.ablate(study, seeds=1, fresh=True, executor="inline", observe=stop)
    planned = prepare(study, Request(), project, connect(project))
    assert tuned_so_far(planned, project) is None  # the values of before are none of the fresh ones
    assert len({run.run_id for run in connect(project).find(kind="trial")} - before) == 2


def test_nuisance_values_that_no_cell_can_have_are_refused(project: Project, tiny: Study) -> None:
    rate = {"paths": {"optim.params.rate": {"low": 1e-4, "high": 1e-1}}}
    with pytest.raises(InvalidInput, match=r"nuisance, in cell 'control': optim\.params\.rate"):
        research.ablate(tiny.replaced(nuisance=rate), executor="inline")
    assert not connect(project).find()
