"""What a run records, and when: the same for every store."""

from __future__ import annotations

import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from research.errors import InvalidInput
from research.tracking import Point, Status, Tracked, Tracker, lease

TEST_ACCESSES = "test_accesses"
MOST_UNWRITTEN = 50  # words that wait to be written; then training waits


class Pruned(Exception):
    """A run is not worth being trained to its end; ``run_id`` once it is recorded as such."""

    run_id: str = ""


def run_name(cell: str, seed: int, fold: int | None = None) -> str:
    """What a run is called: its cell, its fold if there are some, its seed."""
    return f"{cell}/s{seed}" if fold is None else f"{cell}/f{fold}/s{seed}"


@dataclass(frozen=True)
class Labels:
    """What a run is called: its study, cell and seed, what identifies it, and ``more`` tags."""

    experiment: str
    study: str
    cell: str
    factors: Mapping[str, str]
    seed: int
    fingerprint: str
    data_digest: str
    code_digest: str
    fold: int | None = None
    kind: str = "run"
    parent: str | None = None
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The run's name in MLflow."""
        return run_name(self.cell, self.seed, self.fold)

    def tags(self) -> dict[str, str]:
        """The labels as tags of the run."""
        tags = {
            "kind": self.kind,
            "study": self.study,
            "cell": self.cell,
            "factors": json.dumps(dict(self.factors)),
            "fold": "" if self.fold is None else str(self.fold),
            "seed": str(self.seed),
            "fingerprint": self.fingerprint,
            "data_digest": self.data_digest,
            "code_digest": self.code_digest,
            "diverged": "false",
            "pruned": "false",
            **self.more,
        }
        return tags | ({"mlflow.parentRunId": self.parent} if self.parent else {})


class Recording:
    """A run that is being recorded.

    What is told while it trains is written beside that, in order; what fails there is raised at the
    next word, or when the run ends.
    """

    def __init__(self, tracker: Tracker, run_id: str, resumed: Tracked | None) -> None:
        self.tracker, self.run_id = tracker, run_id
        self._known = dict(resumed.metrics) if resumed else {}
        self._accesses = json.loads(resumed.tags.get(TEST_ACCESSES, "[]")) if resumed else []
        logged = tracker.history(run_id, "val/loss") if resumed else []
        self._last = logged[-1].step if logged else 0
        self._beat = time.monotonic()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="record")
        self._written: deque[Future[None]] = deque()
        self._broken = False

    def _later(self, write: Callable[..., None], *given: Any) -> None:
        while self._written and (self._written[0].done() or len(self._written) >= MOST_UNWRITTEN):
            self._written.popleft().result()
        self._written.append(self._writer.submit(self._write, write, *given))

    def _write(self, write: Callable[..., None], *given: Any) -> None:
        """Writes, unless something before could not be: what is recorded has no holes."""
        if self._broken:
            return
        try:
            write(self.run_id, *given)
        except BaseException:
            self._broken = True
            raise

    def settle(self) -> None:
        """Waits until all that was told is written; raises what failed."""
        while self._written:
            self._written.popleft().result()

    def close(self) -> None:
        """Waits for what is being written; what is not yet begun is left out."""
        self._writer.shutdown(wait=True, cancel_futures=True)

    def begin(self, metrics: Mapping[str, float], data: tuple[str, str, Mapping[str, str]]) -> None:
        """Records what is known before the first epoch; of the data name, digest, and words."""
        self._later(self.tracker.log, self._points(metrics))
        self._later(self.tracker.log_data, *data)

    def epoch(self, number: int, metrics: Mapping[str, float], ended_ms: int) -> None:
        """Records an epoch's metrics, unless the run has them from before it was killed."""
        if number > self._last:
            points = [Point(name, v, number, ended_ms) for name, v in metrics.items()]
            self._later(self.tracker.log, points)
            self._last = number
        self.beat()

    def beat(self) -> None:
        """A sign of life, now and then."""
        if time.monotonic() - self._beat > lease.BEAT_EVERY_S:
            self._beat = time.monotonic()
            self._later(self.tracker.set_tags, {lease.TAG: lease.note()})

    def test_opened(self) -> None:
        """Records that the test split is looked at, before it is."""
        self.settle()
        self._accesses.append(datetime.now(UTC).isoformat(timespec="seconds"))
        self.tracker.set_tags(self.run_id, {TEST_ACCESSES: json.dumps(self._accesses)})

    def result(self, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Records what has no epoch; what a run has from before it was killed is left."""
        self._later(self.tracker.log, self._points(metrics))
        if tags:
            self._later(self.tracker.set_tags, tags)

    def _points(self, metrics: Mapping[str, float]) -> list[Point]:
        now = int(time.time() * 1000)
        new = {name: value for name, value in metrics.items() if self._known.get(name) != value}
        return [Point(name, value, 0, now) for name, value in new.items()]

    def files(self, folder: Path) -> None:
        """Keeps the files of a folder."""
        self.tracker.log_files(self.run_id, folder)


@contextlib.contextmanager
def recording(
    tracker: Tracker,
    labels: Labels,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    resumed: Tracked | None,
) -> Iterator[Recording]:
    """Opens a run, new or resumed, and ends it as FINISHED, FAILED or KILLED, whatever happens."""
    held = {lease.TAG: lease.note()}
    if resumed is None:
        run_id = tracker.create(labels.experiment, labels.name, {**labels.tags(), **tags, **held})
        tracker.log(run_id, params={name: _text(value) for name, value in params.items()})
    else:
        run_id = resumed.run_id
        error = {"error": ""} if resumed.tags.get("error") else {}
        tracker.set_tags(run_id, {**tags, **held, **error})
        tracker.set_status(run_id, "RUNNING")
    status: Status = "FAILED"
    try:
        log = Recording(tracker, run_id, resumed)
    except BaseException:
        tracker.set_status(run_id, status)
        raise
    try:
        yield log
        log.settle()
        status = "FINISHED"
    except (KeyboardInterrupt, GeneratorExit):
        status = "KILLED"
        raise
    except Pruned as pruned:
        status, pruned.run_id = "KILLED", run_id
        log.close()
        tracker.set_tags(run_id, {"pruned": "true"})
        raise
    except Exception as error:
        log.close()
        tracker.set_tags(run_id, {"error": describe(error)})
        raise
    finally:
        log.close()
        tracker.set_status(run_id, status)


def describe(error: BaseException) -> str:
    """An error in a line."""
    if isinstance(error, InvalidInput):
        return "; ".join(error.problems)
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def reconcile(tracker: Tracker) -> list[Tracked]:
    """Marks runs KILLED that are RUNNING but whose process is gone; gives them."""
    dead = [run for run in tracker.running() if not lease.is_alive(run.tags.get(lease.TAG))]
    for run in dead:
        tracker.set_status(run.run_id, "KILLED")
    return dead


def mark_failed(tracker: Tracker, fingerprint: str, error: str) -> None:
    """Ends as FAILED the run of a process that died without a word."""
    for run in tracker.find(fingerprint=fingerprint):
        if run.status == "RUNNING" and not lease.is_alive(run.tags.get(lease.TAG)):
            tracker.set_tags(run.run_id, {"error": error})
            tracker.set_status(run.run_id, "FAILED")


def serving(found: Sequence[Tracked], kind: str) -> list[Tracked]:
    """Runs of one fingerprint that may stand for a run of this kind, or be gone on with as one.

    The runs of a search were never tested, so they serve no study; a study's finished runs serve a
    search.
    """
    return [
        run
        for run in found
        if run.tags.get("kind", kind) == kind or (kind != "run" and run.status == "FINISHED")
    ]


def resumable(found: Sequence[Tracked], code_digest: str) -> Tracked | None:
    """The newest unfinished run of today's code, to go on with; None where there is none."""
    for run in found:
        given_up = run.status == "FINISHED" or run.tags.get("pruned") == "true"
        if not given_up and run.tags.get("code_digest") == code_digest:
            return run
    return None


def finished(
    found: Sequence[Tracked], code_digest: str, *, accept_code: bool = False
) -> tuple[Tracked | None, Tracked | None]:
    """Runs of one fingerprint, newest first, to (the one that counts, a stale one)."""
    ended = [run for run in found if run.status == "FINISHED"]
    current = [run for run in ended if run.tags.get("code_digest") == code_digest]
    if current:
        return current[0], None
    if ended and accept_code:
        return ended[0], None
    return None, ended[0] if ended else None


def taken(found: Sequence[Tracked]) -> Tracked | None:
    """The run of another living process, or None."""
    for run in found:
        note = run.tags.get(lease.TAG)
        if run.status == "RUNNING" and lease.is_alive(note) and not lease.is_mine(note):
            return run
    return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
