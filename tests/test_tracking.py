"""A contract over every tracker; leases; and what MLflow itself shows of a run."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from mlflow import MlflowClient

from research.errors import InvalidInput
from research.project import Project
from research.tracking import Point, Tracker, lease
from research.tracking.database import connect
from research.tracking.memory import MemoryTracker
from research.tracking.recording import Labels, describe, finished, reconcile, recording, resumable


def labels(**more: object) -> Labels:
    given = {
        "experiment": "ablate/x",
        "study": "x",
        "cell": "no-mixup",
        "factors": {"mixup": "absent"},
        "seed": 3,
        "fingerprint": "f1",
        "data_digest": "d1",
        "code_digest": "c1",
        **more,
    }
    return Labels(**given)  # type: ignore[arg-type]


def test_runs_are_made_found_tagged_and_ended(tracker: Tracker) -> None:
    first = tracker.create("ablate/x", "one", {"kind": "run", "fingerprint": "f"})
    time.sleep(0.01)
    second = tracker.create("train/y", "two", {"kind": "run", "fingerprint": "f"})
    assert [run.run_id for run in tracker.find(fingerprint="f")] == [second, first]
    assert [run.run_id for run in tracker.find(fingerprint="f", kind="run")] == [second, first]
    assert not tracker.find(fingerprint="g")
    tracker.set_tags(first, {"cell": "control"})
    found = tracker.get(first)
    assert found is not None and (found.status, found.experiment) == ("RUNNING", "ablate/x")
    assert found.tags["cell"] == "control" and found.name == "one"
    tracker.set_status(first, "FINISHED")
    assert [run.run_id for run in tracker.running()] == [second]
    tracker.set_status(first, "RUNNING")
    assert len(tracker.running()) == 2
    assert tracker.get("0" * 32) is None


def test_metrics_params_files_data_and_models_are_kept(tracker: Tracker, tmp_path: Path) -> None:
    run = tracker.create("ablate/x", "a.b/s1", {})
    tracker.log(run, [Point("val/loss", 0.5, 2, 2000), Point("val/loss", 0.7, 1, 1000)], {"a": "1"})
    tracker.log(run, [Point("effect/no-mixup", -0.1, 0, 1)])
    history = [(p.step, p.value, p.at_ms) for p in tracker.history(run, "val/loss")]
    assert history == [(1, 0.7, 1000), (2, 0.5, 2000)]
    found = tracker.get(run)
    assert found is not None and found.params["a"] == "1"
    assert found.metrics["effect/no-mixup"] == -0.1
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "plan.json").write_text("{}")
    tracker.log_files(run, folder)
    assert tracker.read_file(run, "plan.json") == b"{}"
    assert tracker.read_file(run, "absent.json") is None
    tracker.log_data(run, "fer2013.csv", "a" * 32, {"classes": "a, b"})
    weights = tmp_path / "best-1.safetensors"
    weights.write_bytes(b"weights")
    tracker.log_model(run, weights, {"cell": "control"})
    found = tracker.get(run)
    assert found is not None and found.tags["model_id"]


def test_more_than_a_page_of_runs_is_found(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("research.tracking.mlflow_store.PAGE", 3)
    made = {tracker.create(f"ablate/{n % 5}", "x", {"kind": "run"}) for n in range(8)}
    assert {run.run_id for run in tracker.find(kind="run")} == made


@pytest.mark.parametrize(
    ("error", "status"),
    [(None, "FINISHED"), (ValueError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED")],
)
def test_a_recording_ends_as_what_it_was(
    tracker: Tracker, error: BaseException | None, status: str
) -> None:
    def record() -> None:
        with recording(
            tracker, labels(parent="p"), {"lr": 0.1, "name": "x"}, {"device": "cpu"}, None
        ):
            if error:
                raise error

    if error is None:
        record()
    else:
        with pytest.raises(type(error)):
            record()
    (run,) = tracker.find(fingerprint="f1")
    assert run.status == status
    assert run.tags["mlflow.parentRunId"] == "p" and run.tags["device"] == "cpu"
    assert json.loads(run.tags["factors"]) == {"mixup": "absent"}
    assert run.params == {"lr": "0.1", "name": "x"}
    assert run.tags.get("error", "") == ("ValueError: no" if status == "FAILED" else "")


def test_what_counts_as_finished_and_what_is_gone_on_with() -> None:
    tracker = MemoryTracker()
    for code, status in (
        ("c0", "FINISHED"),
        ("c1", "KILLED"),
        ("c1", "FINISHED"),
        ("c1", "FAILED"),
    ):
        run = tracker.create("ablate/x", code, {"fingerprint": "f", "code_digest": code})
        tracker.set_status(run, status)  # type: ignore[arg-type]
    found = tracker.find(fingerprint="f")
    ids = list(tracker.runs)
    usable, stale = finished(found, "c1")
    assert usable is not None and (usable.run_id, stale) == (ids[2], None)
    usable, stale = finished(found, "c9")
    assert usable is None and stale is not None and stale.run_id == ids[2]
    usable, _ = finished(found, "c9", accept_code=True)
    assert usable is not None and usable.run_id == ids[2]
    begun = resumable(found, "c1")
    assert begun is not None and begun.run_id == ids[3]
    assert resumable(found, "c9") is None


def test_dead_runs_are_marked_and_living_ones_left(tracker: Tracker) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "from research.tracking import lease; print(lease.note())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    far = json.dumps({**json.loads(dead), "host": "elsewhere"})
    silent = json.dumps({**json.loads(far), "heartbeat": time.time() - 10_000})
    again = json.dumps({**json.loads(lease.note()), "started": 1.0})
    notes = {"dead": dead, "far": far, "silent": silent, "mine": lease.note(), "none": ""}
    notes |= {"pid used again": again}
    ids = {name: tracker.create("ablate/x", name, {lease.TAG: n}) for name, n in notes.items()}
    gone = {run.name for run in reconcile(tracker)}
    assert gone == {"dead", "silent", "none", "pid used again"}
    for name, run_id in ids.items():
        found = tracker.get(run_id)
        assert found is not None and found.status == ("KILLED" if name in gone else "RUNNING")


def test_a_lock_is_held_once_and_dies_with_its_process(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys; from research.tracking import lease\n"
        "with lease.hold(pathlib.Path(sys.argv[1]), 'x'):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(lease.Taken, match=f"process {holder.pid}"), lease.hold(tmp_path, "x"):
        pass
    with lease.hold(tmp_path, "y"):
        pass
    holder.kill()
    holder.communicate()
    with lease.hold(tmp_path, "x"):
        pass


def test_the_database_is_where_a_plain_mlflow_ui_looks(project: Project) -> None:
    connect(project)
    link = project.root / "mlflow.db"
    assert link.is_symlink() and link.resolve() == project.runs / "mlflow.db"
    link.unlink()
    link.write_text("the user's own")
    connect(project)
    assert link.read_text() == "the user's own"


def test_no_database_is_made_where_none_is_asked_for(tmp_path: Path) -> None:
    project = Project(tmp_path / "new")
    assert isinstance(connect(project, create=False), MemoryTracker)
    assert not project.root.exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "mlruns").write_text("a file")
    with pytest.raises(InvalidInput, match=r"mlruns: runs cannot be kept there"):
        connect(Project(tmp_path))


def test_a_server_that_does_not_answer_is_told_at_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(InvalidInput, match="does not answer"):
        connect(project)
    assert time.monotonic() - started < 10


def test_a_file_that_is_no_database_is_told(project: Project) -> None:
    (project.runs / "mlflow.db").write_bytes(b"no database at all, but long enough" * 100)
    with pytest.raises(InvalidInput, match=r"mlflow\.db"):
        connect(project)


def test_a_deleted_experiment_is_told(project: Project) -> None:
    tracker = connect(project)
    tracker.create("ablate/x", "x", {})
    import mlflow

    client = mlflow.MlflowClient(tracker.uri)
    client.delete_experiment(client.get_experiment_by_name("ablate/x").experiment_id)
    with pytest.raises(InvalidInput, match="is deleted; restore it"):
        connect(project).create("ablate/x", "x", {})


def test_a_moved_project_still_reads_its_files(project: Project, tmp_path: Path) -> None:
    tracker = connect(project)
    run = tracker.create("ablate/x", "x", {})
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.json").write_text("1")
    tracker.log_files(run, folder)
    moved = Project(tmp_path / "moved")
    os.chdir(tmp_path)
    project.root.rename(moved.root)
    assert connect(moved).read_file(run, "a.json") == b"1"


def test_errors_are_told_in_a_line() -> None:
    assert describe(ValueError("a\nb")) == "ValueError: a"
    assert describe(InvalidInput("a", "b")) == "a; b"
    assert describe(MemoryError()) == "MemoryError"


def test_a_view_of_a_study_is_kept_once_and_can_be_read(project: Project) -> None:
    tracker = connect(project)
    run = tracker.create("ablate/tiny", "tiny", {"kind": "study", "study": "tiny"})
    ends = [tracker.share_view(run, "k", "tiny", "test/accuracy", ["loss.name"]) for _ in "ab"]
    assert ends[0] == ends[1] and "viewStateShareKey=research-k&compareRunsMode=CHART" in ends[0]
    client = MlflowClient(tracker.uri)
    tags = client.get_experiment_by_name("ablate/tiny").tags
    (content,) = [
        json.loads(v) for n, v in tags.items() if n == "mlflow.sharedViewState.research-k"
    ]
    packed = base64.b64decode(content["state"].removeprefix("deflate;"))
    state = json.loads(zlib.decompress(packed))
    assert state["searchFilter"] == "tags.`k` = 'true'"
    assert state["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "cell"}]
    (parallel,) = [chart for chart in state["compareRunCharts"] if chart["type"] == "PARALLEL"]
    assert parallel["selectedParams"] == ["loss.name"]
