"""Searches: asked, told, pruned, gone on with, confirmed; on real runs of a tiny study."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
import yaml

import research
from research import training
from research.errors import InvalidInput
from research.executors import Outcome
from research.project import Project
from research.reporting.search import read_content
from research.reporting.search_wording import told
from research.request import Request
from research.tracking import lease
from research.tracking.database import connect
from research.tuning import METRICS, SAMPLERS, Options
from research.tuning.importance import importances
from research.tuning.plan import prepare_search
from research.tuning.samplers import make_pruner, make_sampler
from research.tuning.search import Told
from research.tuning.storage import load_search
from tests.conftest import TINY, Call

SEARCH = """\
search:
  lr: {path: optim.params.lr, within: 10}
  batch: {path: training.batch_size, choices: [16, 32]}
  mixup: {path: augment.mixup, choices: {absent: null, present: {}}}
  alpha: {path: augment.mixup.alpha, low: 0.1, high: 1.0, when: {mixup: present}}
"""
GRID = """\
search:
  batch: {path: training.batch_size, choices: [16, 32]}
  mixup: {path: augment.mixup, choices: {absent: null, present: {}}}
"""
INLINE = ("--executor", "inline")


@pytest.fixture
def searched(project: Project) -> Project:
    """The project, with a space in its study."""
    (project.root / "ablations" / "tiny.yaml").write_text(TINY + SEARCH)
    return project


def tune(**more: Any) -> research.TuneResult:
    given: dict[str, Any] = {"trials": 4, "confirm": 0, "pruner": "none", "executor": "inline"}
    return research.tune("tiny", **(given | more))


def journal(project: Project) -> tuple[str, str]:
    """Where the search is and its name."""
    (file,) = (project.runs / "searches").glob("*.journal")
    return str(file), file.stem


def trials(project: Project) -> list[optuna.trial.FrozenTrial]:
    return load_search(*journal(project), make_pruner("none", 2)).get_trials()


class Watcher:
    """Collects what happens, and stops after so many trials."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.outcomes: list[Outcome] = []
        self.told: list[int] = []
        self.stop_after = stop_after

    def __call__(self, event: object) -> None:
        if isinstance(event, Outcome):
            self.outcomes.append(event)
        if isinstance(event, Told):
            self.told.append(event.number)
            if len(self.told) == self.stop_after:
                raise KeyboardInterrupt


def test_a_search_from_the_first_command_to_the_last(call: Call, searched: Project) -> None:
    words = ("tune", "tiny", "--trials", "4", "--confirm", "3", *INLINE)
    code, out, err = call(*words)
    assert code == 0 and "\x1b[" not in out + err
    assert "[4/4] trial" in err and "confirming" in err and "SYNTHETIC" in out
    assert "research ablate tiny_tuned" in out and "the test split was not opened" in out
    tracker = connect(searched)
    (parent,) = tracker.find(kind="search")
    assert parent.status == "FINISHED" and parent.experiment == "tune/tiny"
    runs = tracker.find(kind="trial")
    assert len(runs) == 4 and {run.status for run in runs} == {"FINISHED"}
    assert {run.tags["mlflow.parentRunId"] for run in runs} == {parent.run_id}
    for run in runs + tracker.find(kind="confirmation"):
        assert not any(name.startswith("test/") for name in run.metrics)
        assert "test_accesses" not in run.tags and "val/accuracy" in run.metrics
    assert len(tracker.history(parent.run_id, "best")) == 4
    assert not list((searched.runs / "checkpoints").glob("*/*"))

    code, out, _ = call(*words, "--json")  # nothing is left to do
    content = json.loads(out)
    assert code == 0 and content["trials"] == {"finished": 4, "pruned": 0, "failed": 0}
    assert set(content["confirmed"]) >= {"mean", "low", "high", "n"}
    assert content["confirmed"]["n"] == 3 and set(content["best"]) >= {"params", "value"}
    assert len(connect(searched).find(kind="trial")) == 4

    recipe = Path(content["recipe"])
    assert recipe.name == "tiny_tuned.yaml"
    code, out, _ = call("ablate", "tiny_tuned", "--dry-run", "--json")
    assert code == 0 and json.loads(out)["runs"] >= 6
    names = {"history.png", "slices.png", "parallel.png", "trials.json", "recipe.yaml"}
    assert all(tracker.read_file(parent.run_id, name) for name in names)
    table = json.loads(tracker.read_file(parent.run_id, "trials.json") or b"")
    assert len(table["data"]) == 4 and {"number", "state", "lr"} <= set(table["columns"])
    page = Path(content["report"]).read_text()
    assert "<h2>What was found</h2>" in page and "<script" not in page


def test_the_start_is_the_first_trial_and_seeds_are_fresh(searched: Project) -> None:
    tune(trials=3, confirm=2)
    first = trials(searched)[0]
    assert first.params == {"lr": 3e-3, "batch": 32, "mixup": "present", "alpha": 0.2}
    tracker = connect(searched)
    assert {run.tags["seed"] for run in tracker.find(kind="trial")} == {"1"}
    confirmed = tracker.find(kind="confirmation")
    assert {run.tags["seed"] for run in confirmed} == {"2", "3"}
    cells = Counter(run.tags["cell"] for run in confirmed)
    assert cells["start"] == 2 and set(cells) == {"start", "trial-1", "trial-2"}


def test_a_search_goes_on_where_it_was_and_gives_what_one_go_gives(
    searched: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        tune(observe=Watcher(stop_after=2))
    assert connect(searched).find(kind="search")[0].status == "KILLED"
    watcher = Watcher()
    made = tune(observe=watcher)
    assert watcher.told == [2, 3] and made.counts["finished"] == 4
    more = tune(trials=6)
    assert more.counts["finished"] == 6 and more.parent_run_id == made.parent_run_id
    values = [trial.params for trial in trials(searched)]
    other = tmp_path / "other"
    (other / "ablations").mkdir(parents=True)
    (other / "ablations" / "tiny.yaml").write_text(TINY + SEARCH)
    monkeypatch.chdir(other)
    whole = tune(trials=6)
    assert list(whole.trials["params"]) == values
    assert len({json.dumps(one, sort_keys=True) for one in values}) == 6


def test_a_trial_whose_process_died_is_trained_once_more(searched: Project) -> None:
    tune(trials=2)
    study = load_search(*journal(searched), make_pruner("none", 2))
    dead = json.dumps(json.loads(lease.note()) | {"pid": 2**22 - 1, "started": 1.0})
    for number in (2, 3):
        lost = study.ask()
        lost.suggest_float("lr", 3e-4, 3e-2, log=True)
        lost.suggest_categorical("batch", [16, 32])
        lost.suggest_categorical("mixup", ["absent", "present"])
        if lost.params["mixup"] == "present":
            lost.suggest_float("alpha", 0.1, 1.0)
        lost.set_user_attr("lease", dead)
        if number == 3:
            lost.set_user_attr("retry_of", 1)  # it had died before
    made = tune(trials=4)
    assert made.counts == {"finished": 3, "pruned": 0, "failed": 1}
    found = trials(searched)
    assert found[2].user_attrs["died"] == "again" and found[4].user_attrs["retry_of"] == 2
    assert found[4].params == found[2].params
    assert found[3].user_attrs["reason"] == "its process died twice"


def test_equal_settings_are_trained_once(project: Project) -> None:
    (project.root / "ablations" / "tiny.yaml").write_text(TINY + GRID)
    made = tune(trials=8, sampler="random")
    tracker = connect(project)
    assert made.counts["finished"] == 8 and len(tracker.find(kind="trial")) <= 4
    rows = made.trials[made.trials["duplicate_of"].notna()]
    assert len(rows) >= 4
    for row in rows.to_dict("records"):
        assert row["value"] == made.trials["value"][int(row["duplicate_of"])]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_asks(project: Project, sampler: str) -> None:
    grid = sampler == "grid"
    (project.root / "ablations" / "tiny.yaml").write_text(TINY + (GRID if grid else SEARCH))
    made = tune(trials=3, sampler=sampler, epochs=1)
    assert made.counts["finished"] == 3
    if grid:
        assert len({json.dumps(one) for one in made.trials["params"]}) == 3
    for done in range(20):
        make_sampler(Options(trials=1, sampler=sampler), done)


def test_what_is_hopeless_is_given_up_and_its_curve_is_kept(
    searched: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "research.tuning.trial.TrialRunner._is_hopeless", lambda self, trial: trial.number == 1
    )
    made = tune(trials=3, pruner="median")
    assert made.counts == {"finished": 2, "pruned": 1, "failed": 0}
    tracker = connect(searched)
    (run,) = tracker.find(kind="trial", pruned="true")
    assert run.status == "KILLED" and len(tracker.history(run.run_id, "val/accuracy")) == 1
    assert trials(searched)[1].intermediate_values.keys() == {1}
    # A pruned run is no run of a study, nor one to go on with.
    monkeypatch.undo()
    monkeypatch.chdir(searched.root)
    report = research.ablate("tiny", seeds=1, executor="inline")
    assert report.complete and len(tracker.find(kind="run")) == 3


def test_runs_of_a_search_serve_no_study_but_a_study_s_serve_a_search(searched: Project) -> None:
    tune(trials=1)
    report = research.ablate("tiny", seeds=1, executor="inline")
    tracker = connect(searched)
    assert all("test/accuracy" in run.metrics for run in tracker.find(kind="run"))
    assert report.complete and len(tracker.find(kind="run")) == 3
    watcher = Watcher()
    made = tune(trials=1, fresh=False, metric="val/loss", observe=watcher)  # another search
    assert [one.status for one in watcher.outcomes] == ["reused"] and made.counts["finished"] == 1
    run_id = watcher.outcomes[0].run_id
    files = (searched.runs / "searches").glob("*.journal")
    found = [load_search(str(f), f.stem, make_pruner("none", 2)).get_trials() for f in files]
    (served,) = (one[0] for one in found if one[0].user_attrs["run_id"] == run_id)
    assert served.intermediate_values  # its curve is the pruner's to compare with


def failing(error: Callable[[training.State], Exception | None]) -> Callable[..., Any]:
    """The training step, which raises what ``error`` says."""
    real = training.step

    def step(state: training.State, *args: Any, **more: Any) -> Any:
        found = error(state)
        if found is not None:
            raise found
        return real(state, *args, **more)

    return step


def test_a_trial_without_memory_is_trained_in_halves(
    searched: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def error(state: training.State) -> Exception | None:
        small = state.training.accumulate > 1 or state.training.batch_size == 16
        return None if small else torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(training, "step", failing(error))
    made = tune(trials=3, confirm=2)
    assert made.counts["finished"] == 3
    halves = made.trials[made.trials["halves"]]
    assert 0 in list(halves["number"]) and "in halves of a batch" in made.html.read_text()
    runs = connect(searched).find(kind="trial")
    failed = [run for run in runs if run.status == "FAILED"]
    assert len(failed) == len(halves) and "out of memory" in failed[0].tags["error"]
    assert any(run.params["training.accumulate"] == "2" for run in runs)


def test_failures_are_recorded_with_their_reason(
    searched: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(10**6))

    def error(state: training.State) -> Exception | None:
        if state.training.batch_size == 16:
            return RuntimeError("no such luck")
        if next(calls) > 6:  # of the second epoch on
            with torch.no_grad():
                next(state.net.parameters()).fill_(float("nan"))
        return None

    monkeypatch.setattr(training, "step", failing(error))
    made = tune(trials=4)
    assert made.counts["failed"] == 4 and made.best is None
    reasons = " ".join(made.trials["reason"])
    assert "RuntimeError: no such luck" in reasons and "diverged" in reasons
    assert "nothing to recommend" in " ".join(made.sentences) and made.recipe is None


def test_a_full_disk_is_told_and_costs_no_trial(
    call: Call, searched: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(28, "No space left on device")
    states = iter([None] * 12)

    def error(state: training.State) -> Exception | None:
        return next(states, full)

    monkeypatch.setattr(training, "step", failing(error))
    words = ("tune", "tiny", "--trials", "4", "--confirm", "0", *INLINE)
    code, _, err = call(*words)
    assert code == 1 and "the disk is full; what was told" in err and "Traceback" not in err
    before = len([one for one in trials(searched) if one.state.name == "COMPLETE"])
    assert 0 < before < 4
    monkeypatch.undo()
    monkeypatch.chdir(searched.root)
    assert tune(pruner="hyperband").counts["failed"] == 0
    assert len(connect(searched).find(kind="trial", pruned="false")) >= 3


def test_the_test_split_is_opened_on_request_alone(searched: Project) -> None:
    made = tune(trials=2, confirm=2, test=True)
    tracker = connect(searched)
    runs = tracker.find(kind="run")
    assert len(runs) in (2, 4) and all("test/accuracy" in run.metrics for run in runs)
    assert all(len(json.loads(run.tags["test_accesses"])) == 1 for run in runs)
    confirmed = {run.tags["fingerprint"]: run for run in tracker.find(kind="confirmation")}
    for run in runs:  # what was confirmed is what was tested: it was not trained again
        same = confirmed[run.tags["fingerprint"]]
        assert run.metrics["val/loss"] == same.metrics["val/loss"]
    assert any("was tested, on request" in sentence for sentence in made.sentences)
    later = tune(trials=2, confirm=2)  # what was opened stays told
    assert any("was tested, on request" in sentence for sentence in later.sentences)
    assert not any("was not opened" in sentence for sentence in later.sentences)
    assert not list((searched.runs / "checkpoints").glob("*/last.pt"))


def test_another_space_is_refused_and_fresh_begins_anew(searched: Project) -> None:
    first = tune(trials=1)
    file = searched.root / "ablations" / "tiny.yaml"
    file.write_text(file.read_text().replace("[16, 32]", "[16, 32, 64]"))
    with pytest.raises(InvalidInput, match=r"batch was 16, 32, is 16, 32, 64.*--fresh"):
        tune(trials=1)
    second = tune(trials=1, fresh=True)
    assert second.parent_run_id != first.parent_run_id
    assert tune(trials=2).parent_run_id == second.parent_run_id


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"trials": 0}, "--trials 0: give 1 to"),
        ({"metric": "test/accuracy"}, "the test split is not for choosing"),
        ({"metric": "val/acuracy"}, "no run logs it; choose from val/accuracy"),
        ({"sampler": "bayes"}, "--sampler bayes: no such sampler"),
        ({"pruner": "hyper"}, "--pruner hyper: no such pruner"),
        ({"confirm": 1}, "--confirm 1"),
        ({"test": True}, "--confirm 0 confirms nothing"),
        ({"timeout_s": 0}, "--timeout"),
        ({"sampler": "grid"}, "--sampler grid: search.lr: has no step"),
        ({"executor": "ray"}, "ray"),
        ({"storage": "sqlite:///nowhere/at/all.db"}, "--storage"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    searched: Project, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        tune(**given)
    assert not (searched.runs / "searches").exists()
    assert not connect(searched).find(kind="search")


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ("lr: {path: optim.params.rate, low: 1, high: 2}", r"search\.lr: .*rate"),
        ("size: {path: data.params.train_images, choices: [1, 2]}", "judged on the same images"),
        ("loss: {path: loss, choices: {a: cross_entropy, b: fokal}}", "did you mean 'focal'"),
        ("size: {path: data.params.size, choices: [16, 63]}", r"search\.size: .*"),
    ],
)
def test_a_space_that_no_run_can_have_is_refused(project: Project, search: str, words: str) -> None:
    file = project.root / "ablations" / "tiny.yaml"
    file.write_text(f"{TINY}search:\n  {search}\n")
    with pytest.raises(InvalidInput, match=words):
        tune()


def test_storages_of_optuna_s_own_can_be_named(searched: Project) -> None:
    place = f"sqlite:///{searched.root}/search.db"
    tune(trials=1, storage=place)
    made = tune(trials=2, storage=place)
    assert made.counts["finished"] == 2
    content = read_content(made.parent_run_id, connect(searched))
    assert content["storage"] == place


def test_a_journal_that_was_cut_off_is_mended(searched: Project) -> None:
    tune(trials=2)
    file = Path(journal(searched)[0])
    with file.open("ab") as stream:
        stream.write(b'{"op_code": 8, "worker')
    assert tune(trials=3).counts["finished"] == 3


def test_the_recipe_of_a_person_is_not_written_over(searched: Project) -> None:
    own = searched.root / "ablations" / "tiny_tuned.yaml"
    own.write_text("name: mine\n")
    made = tune(trials=2)
    assert own.read_text() == "name: mine\n" and made.recipe is not None
    content = yaml.safe_load(made.recipe.read_text())
    assert made.recipe.stem == content["name"] != "tiny_tuned"
    assert made.recipe.stem.startswith("tiny_tuned_")


def test_the_recipe_has_what_was_found_and_factors_around_it(searched: Project) -> None:
    made = tune(trials=3)
    assert made.recipe is not None and made.best is not None
    study = research.studies.read_study(made.recipe)[0]
    params = made.best["params"]
    assert study.base.optim.params["lr"] == params["lr"]
    assert study.base.training.batch_size == params["batch"]
    assert study.factors["batch_norm"].control == "present"
    control = research.plan(study)[0]
    assert control.optim.params["lr"] == params["lr"]
    assert control.loss.params["label_smoothing"] == 0.1


def test_importances_find_the_dimension_that_matters(searched: Project) -> None:
    options = Options(trials=1)
    plan = prepare_search("tiny", Request(), options, searched, connect(searched))
    study = optuna.create_study(direction="maximize", sampler=make_sampler(options, 0))
    for number in range(60):
        trial = study.ask()
        lr = trial.suggest_float("lr", 3e-4, 3e-2, log=True)
        trial.suggest_categorical("batch", [16, 32])
        if trial.suggest_categorical("mixup", ["absent", "present"]) == "present":
            trial.suggest_float("alpha", 0.1, 1.0)
        study.tell(trial, 0.7 - abs(lr - 0.01) + 1e-4 * (number % 3))
    for shares in importances(study.trials, plan.space, "maximize").values():
        assert next(iter(shares)) == "lr" and set(shares) == {"lr", "batch", "mixup", "alpha"}
    assert importances(study.trials[:5], plan.space, "maximize") == {}


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_can_be_sought(searched: Project, metric: str) -> None:
    made = tune(trials=2, metric=metric, confirm=3, epochs=1)
    values = list(made.trials["value"])
    assert made.best is not None
    assert made.best["value"] == (min(values) if metric == "val/loss" else max(values))
    assert len(made.sentences) >= 3


def test_a_dry_run_tells_space_and_cost(call: Call, searched: Project) -> None:
    code, out, _ = call("tune", "tiny", "--trials", "5", "--dry-run")
    assert code == 0 and "5 trials and 20 confirmations" in out and "where mixup is present" in out
    code, out, _ = call("tune", "tiny", "--trials", "5", "--dry-run", "--json", "--timeout", "1m")
    assert json.loads(out)["space"]["lr"]["log"] is True
    assert call("tune", "tiny", "--trials", "5", "--timeout", "soon")[0] == 2
    assert not connect(searched).find(kind="search")


def test_a_search_ends_when_its_time_is_over(searched: Project) -> None:
    made = tune(trials=500, timeout_s=2.0)
    assert 1 <= made.counts["finished"] < 100
    assert "of 500 trials" in made.sentences[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"SQLite format 3\x00...", "did you mean sqlite:///"),
        (b"my notes", "is not a journal"),
        (b"1\n", "is not a journal"),
        (b'{"op_code": 99}\n', "is not a journal"),
    ],
)
def test_a_file_that_is_no_journal_is_left_alone(
    searched: Project, content: bytes, words: str
) -> None:
    file = searched.root / "mine.txt"
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match=words):
        tune(storage=str(file))
    assert file.read_bytes() == content


def test_what_was_confirmed_is_not_lost_by_a_command_that_confirms_nothing(
    searched: Project,
) -> None:
    made = tune(trials=3, confirm=2)
    assert made.confirmed is not None and made.recipe is not None
    text = made.recipe.read_text()
    again = tune(trials=4, confirm=0)
    assert again.confirmed == made.confirmed and made.recipe.read_text() == text
    assert any("That was after 3 trials" in sentence for sentence in again.sentences)
    with pytest.raises(KeyboardInterrupt):
        tune(trials=5, confirm=2, observe=Watcher(stop_after=1))
    content = read_content(made.parent_run_id, connect(searched))
    assert content["winner"] == made.winner


def test_trials_of_other_code_are_not_gone_on_with(
    searched: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune(trials=2)
    monkeypatch.setattr("research.tuning.search.code_digest", lambda spec: "other")
    with pytest.raises(InvalidInput, match=r"2 of its trials were made by other code.*--fresh"):
        tune(trials=3)


def test_a_grid_ends_and_a_sequence_varies_what_is_conditional(project: Project) -> None:
    file = project.root / "ablations" / "tiny.yaml"
    file.write_text(TINY + GRID)
    made = tune(trials=9, sampler="grid", epochs=1)
    assert made.counts["finished"] == 4 and "4 of 9 trials" in made.sentences[0]
    file.write_text(TINY + SEARCH)
    drawn = tune(trials=8, sampler="qmc", epochs=1, fresh=True).trials["params"]
    found = [one["alpha"] for one in drawn if "alpha" in one]
    assert len(found) == len(set(found)) > 2


def test_a_search_of_another_metric_writes_a_recipe_of_its_own(searched: Project) -> None:
    first, second = tune(trials=2), tune(trials=2, metric="val/loss")
    assert first.recipe is not None and second.recipe not in (None, first.recipe)
    assert tune(trials=3).recipe == first.recipe


def test_a_search_s_report_is_rebuilt_from_its_runs(call: Call, searched: Project) -> None:
    made = tune(trials=2)
    made.html.unlink()
    for name in ("tune/tiny", made.parent_run_id):
        code, out, _ = call("report", name)
        assert code == 0 and "2 trials: 2 finished" in out and made.html.is_file()
    assert json.loads(call("report", "tune/tiny", "--json")[1])["study"] == "tiny"
    code, _, err = call("report", "tune/tinny")
    assert code == 2 and "there are tune/tiny" in err


def test_losses_of_different_kinds_are_not_compared(searched: Project) -> None:
    file = searched.root / "ablations" / "tiny.yaml"
    space = "  gamma: {path: loss.params.label_smoothing, low: 0.0, high: 0.2}\n"
    file.write_text(f"{TINY}search:\n  lr: {{path: optim.params.lr, within: 10}}\n{space}")
    with pytest.raises(InvalidInput, match="gamma changes the loss itself"):
        tune(metric="val/loss")
    file.write_text(TINY)  # of the template's space what changes the loss is left out
    plan = prepare_search(
        "tiny", Request(), Options(1, metric="val/loss"), searched, connect(searched)
    )
    assert "lr" in plan.space.dimensions
    assert not {"loss", "gamma", "label_smoothing"} & plan.space.dimensions.keys()


def test_a_dry_run_knows_what_has_ended_and_refuses_what_the_search_would(
    call: Call, searched: Project
) -> None:
    tune(trials=2)
    out = json.loads(call("tune", "tiny", "--trials", "3", "--dry-run", "--json")[1])
    assert out["ended"] == 2
    assert "2 of 3 trials have ended" in call("tune", "tiny", "--trials", "3", "--dry-run")[1]
    file = searched.root / "ablations" / "tiny.yaml"
    file.write_text(file.read_text().replace("choices: [16, 32]", "choices: [16, 64]"))
    code, _, err = call("tune", "tiny", "--trials", "3", "--dry-run")
    assert code == 2 and "was begun with another space" in err


def test_trials_that_all_came_to_the_same_have_no_best() -> None:
    trials = [
        {"number": n, "state": "finished", "value": 0.25, "params": {}, "epochs": 1}
        for n in range(3)
    ]
    content: dict[str, Any] = {
        "metric": "val/accuracy", "goal": "maximize", "asked": 3, "trials": trials,
        "confirmed": [], "confirm": 0, "tested": {"openings": []},
        "data": {"tested_on_val": False},
    }  # fmt: skip
    sentences = told(content)
    assert any("nothing that was sought mattered" in one for one in sentences)
    assert not any("was the best" in one for one in sentences)
