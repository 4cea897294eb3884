"""Real programs, stopped and killed in the middle, and two at once."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from research.ablation import carry_out
from research.executors import Outcome, Progress
from research.executors.processes import Waiting, Worker, _bury, _hand_out, processes
from research.project import Project
from research.request import Request
from research.tracking import lease
from research.tracking.database import connect
from tests.conftest import TINY

INLINE = ("--executor", "inline")
EPOCHS = 10
LONG = ("tiny", "--seeds", "1", "--factors", "smoothing", "--epochs", str(EPOCHS))


def program(project: Project, *words: str) -> subprocess.Popen[str]:
    """The real program, in a group of its own, as a terminal starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "research", *words],
        cwd=project.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_for_epochs(project: Project, count: int, seconds: float = 120) -> None:
    """Until some run of the study has so many epochs."""
    tracker = connect(project)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for run in tracker.find(kind="run"):
            if len(tracker.history(run.run_id, "val/loss")) >= count:
                return
        time.sleep(0.05)
    pytest.fail("no run came so far")


@pytest.mark.parametrize(
    ("how", "executor"), [(signal.SIGINT, "processes"), (signal.SIGTERM, "inline")]
)
def test_a_stopped_study_says_how_to_go_on(
    project: Project, how: signal.Signals, executor: str
) -> None:
    running = program(project, "ablate", *LONG, "--executor", executor, "--workers", "1")
    wait_for_epochs(project, 3)
    if how == signal.SIGINT:
        os.killpg(running.pid, how)  # as Ctrl-C in a terminal: to all at once
    else:
        running.send_signal(how)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Go on with: research ablate tiny --seeds 1" in err and "Traceback" not in err
    tracker = connect(project)
    assert not tracker.running()
    assert {run.status for run in tracker.find()} == {"KILLED"}


def long_study(project: Project, seeds: int = 1) -> None:
    """The same study in this process."""
    request = Request(seeds=seeds, factors=["smoothing"], epochs=EPOCHS)
    assert not carry_out("tiny", request, project, executor="inline").failed


def numbers(project: Project) -> dict[str, dict[str, object]]:
    """Every number of every run but those of time."""
    tracker = connect(project)
    found: dict[str, dict[str, object]] = {}
    for run in tracker.find(kind="run"):
        timed = ("epoch_s", "images_per_s")
        found[run.name] = {name: v for name, v in run.metrics.items() if name not in timed}
        for metric in ("train/loss", "val/loss"):
            points = tracker.history(run.run_id, metric)
            found[run.name][f"{metric} by epoch"] = [(p.step, p.value) for p in points]
    return found


def test_what_is_killed_goes_on_bit_for_bit(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 in the middle of a study; its second half ends as if never killed."""
    running = program(project, "ablate", *LONG, *INLINE)
    wait_for_epochs(project, 3)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    tracker = connect(project)
    (killed,) = tracker.find(kind="run")
    assert len(tracker.running()) == 2  # the run and its study: nothing could be recorded
    assert len(tracker.history(killed.run_id, "val/loss")) < EPOCHS
    long_study(project)
    assert killed.run_id in {run.run_id for run in tracker.find(kind="run", cell="control")}
    assert {run.status for run in tracker.find()} == {"FINISHED"}
    assert len(tracker.find(kind="run")) == 2

    whole = Project(tmp_path / "whole")
    (whole.root / "ablations").mkdir(parents=True)
    (whole.root / "ablations" / "tiny.yaml").write_text(TINY)
    monkeypatch.chdir(whole.root)
    long_study(whole)
    assert numbers(project) == numbers(whole)


def test_a_killed_worker_costs_only_its_own_run_and_that_is_begun_once_more(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    """The control's worker is killed once; that of the other cell each time."""
    kills = {"control": 1, "no-smoothing": 9}

    def kill(event: object) -> None:
        if isinstance(event, Progress) and kills[event.job.labels.cell] > 0:
            kills[event.job.labels.cell] -= 1
            for process in psutil.Process().children():
                if "worker" in str(process.cmdline()):
                    process.kill()

    request = Request(seeds=1, factors=["smoothing"])
    done = carry_out("tiny", request, project, executor="processes", workers=1, observe=kill)
    assert [outcome.job.labels.cell for outcome in done.failed] == ["no-smoothing"]
    tracker = connect(project)
    by_cell = {run.tags["cell"]: run for run in tracker.find(kind="run")}
    assert by_cell["control"].status == "FINISHED"
    assert by_cell["no-smoothing"].status == "FAILED"
    assert "died 2 times (signal 9)" in by_cell["no-smoothing"].tags["error"]
    assert caplog.text.count("a worker died (signal 9)") == 2


def test_every_job_has_tries_of_its_own() -> None:
    """Jobs that are made one by one may stand where one that is gone stood before."""
    waiting = Waiting(iter(object() for _ in range(6)))
    ours, theirs = multiprocessing.Pipe()
    for _ in range(6):
        ended = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
        worker = Worker(ended, ours)
        job = waiting.next()
        assert job is not None
        _hand_out(worker, job)
        assert [*_bury(worker, waiting)] == []  # begun once more
        ours, theirs = multiprocessing.Pipe()
        worker = Worker(ended, ours)
        again = waiting.next()
        assert again is not None and again[0] is job[0]
        _hand_out(worker, again)
        (outcome,) = _bury(worker, waiting)
        assert "died 2 times (exit code 3)" in outcome.error
        ours, theirs = multiprocessing.Pipe()
    theirs.close()
    ours.close()


def test_a_worker_that_dies_idle_is_not_missed(project: Project) -> None:
    """Two workers, a long run and a short one: who ends first is killed while it waits."""
    left = {"runs": 2, "killed": 0}
    tracker = connect(project)
    length = "\n  length: {path: training.epochs, levels: {long: 80, short: 1}, control: long}"
    file = project.root / "ablations" / "lengths.yaml"
    file.write_text(TINY.replace("\nfactors:", f"\nfactors:{length}"))

    def kill(event: object) -> None:
        if isinstance(event, Outcome):
            left["runs"] -= 1
        if left["runs"] == 1 and not left["killed"]:
            notes = [run.tags[lease.TAG] for run in tracker.running() if run.tags["kind"] == "run"]
            busy = {json.loads(note)["pid"] for note in notes}
            for process in psutil.Process().children() if len(busy) == 1 else ():
                if "worker" in str(process.cmdline()) and process.pid not in busy:
                    process.kill()
                    left["killed"] += 1

    request = Request(seeds=1, factors=["length"])
    done = carry_out(str(file), request, project, executor="processes", workers=2, observe=kill)
    assert left["killed"] == 1 and not done.failed
    assert {run.status for run in connect(project).find()} == {"FINISHED"}


@dataclass(frozen=True)
class Sleeper:
    """A runner whose jobs are seconds to sleep."""

    def __call__(self, job: float) -> Generator[str, None, SimpleNamespace]:
        yield "begun"
        time.sleep(job)
        return SimpleNamespace(how="finished", run_id=None, diverged=False)

    def share(self, place: int, workers: int) -> Sleeper:
        return self

    def finish(self) -> None:
        pass


class Later:
    """Two jobs, then none until both have ended, then two more, as a search may do."""

    def __init__(self) -> None:
        self.jobs = [0.01, 0.0]
        self.more = [2.0, 2.01]

    def __iter__(self) -> Later:
        return self

    def __next__(self) -> float:
        if not self.jobs:
            raise StopIteration
        return self.jobs.pop()


def test_jobs_that_come_later_go_to_every_worker_that_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    jobs, said, ended = Later(), [], 0
    for event in processes(Sleeper(), jobs, workers=2):
        said.append(type(event).__name__)
        if isinstance(event, Outcome):
            assert event.status == "finished", event.error
            ended += 1
            if ended == 2:
                jobs.jobs = jobs.more
    assert ended == 4
    assert [name for name in said if name != "Progress"][4:] == ["Started"] * 2 + ["Outcome"] * 2


def test_two_commands_at_once_train_nothing_twice(project: Project) -> None:
    other = program(project, "ablate", *LONG, "--seeds", "2", *INLINE)
    wait_for_epochs(project, 1)
    long_study(project, seeds=2)
    _, err = other.communicate(timeout=120)
    assert other.returncode == 0, err
    tracker = connect(project)
    runs = tracker.find(kind="run")
    assert len(runs) == len({run.tags["fingerprint"] for run in runs}) == 4
    assert {run.status for run in runs} == {"FINISHED"}
    for run in runs:
        steps = [point.step for point in tracker.history(run.run_id, "val/loss")]
        assert steps == list(range(1, EPOCHS + 1))
    assert len(tracker.find(kind="study")) == 1


def test_a_search_survives_the_death_of_its_process_and_of_a_worker(project: Project) -> None:
    file = project.root / "ablations" / "tiny.yaml"
    file.write_text(TINY + "search:\n  lr: {path: optim.params.lr, within: 10}\n")
    words = ("tune", "tiny", "--trials", "4", "--confirm", "0", "--workers", "1", "--epochs", "4")
    words += ("--pruner", "none")
    tracker = connect(project)

    def begun(count: int) -> bool:
        return len(tracker.find(kind="trial")) >= count

    running = program(project, *words)
    until(lambda: begun(1))
    worker = psutil.Process(running.pid).children()[0]
    worker.kill()  # its trial is begun once more at once
    until(lambda: begun(2))
    os.kill(running.pid, signal.SIGKILL)
    running.communicate(timeout=60)
    until(lambda: not worker.is_running())
    again = program(project, *words, "--json")
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert json.loads(out)["trials"] == {"finished": 4, "pruned": 0, "failed": 0}
    done = [run.tags["fingerprint"] for run in tracker.find(kind="trial", pruned="false")
            if run.status == "FINISHED"]  # fmt: skip
    assert len(done) == len(set(done)) == 4


def until(true: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_two_searches_at_once_share_the_trials(project: Project) -> None:
    file = project.root / "ablations" / "tiny.yaml"
    file.write_text(TINY + "search:\n  lr: {path: optim.params.lr, within: 10}\n")
    words = ("tune", "tiny", "--trials", "6", "--confirm", "0", "--executor", "inline", "--json")
    both = [program(project, *words, "--pruner", "none") for _ in "ab"]
    found = [json.loads(one.communicate(timeout=120)[0]) for one in both]
    assert {one.returncode for one in both} == {0}
    assert max(one["trials"]["finished"] for one in found) == 6
    runs = connect(project).find(kind="trial")
    assert len(runs) == len({run.tags["trial"] for run in runs}) == 6
