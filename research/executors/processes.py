"""Jobs side by side, each in a process of its own; a killed process costs only its own job."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from research.executors import Event, Outcome, Runner, Started
from research.registry import executors

log = logging.getLogger("research")
STOP_S = 20.0  # for a process to record that it was stopped
PICTURES_S = 600.0  # for a process to draw its last pictures, where others keep the machine busy
TRIES = 2  # a job whose process dies is begun once more


@dataclass
class Worker:
    """A process, the pipe to it, the job that it has and which try of that it is."""

    process: subprocess.Popen[bytes]
    pipe: Connection
    job: Any = None
    tried: int = 0


@dataclass
class Waiting:
    """Jobs that no one has yet: those that are begun once more, then new ones."""

    new: Iterator[Any]
    again: deque[tuple[Any, int]] = field(default_factory=deque)

    def next(self) -> tuple[Any, int] | None:
        """The next job and which try it is, or None where there is none now."""
        if self.again:
            return self.again.popleft()
        job = next(self.new, None)
        return None if job is None else (job, 1)


@executors.register()
def processes(run: Runner, jobs: Iterable[Any], workers: int) -> Iterator[Event]:
    """Jobs side by side, each in a process of its own."""
    waiting = Waiting(iter(jobs))
    crew: dict[int, Worker] = {}  # by place
    try:
        yield from _occupy(run, crew, waiting, workers)
        while busy := [worker.pipe for worker in crew.values() if worker.job is not None]:
            ready = wait(busy)
            for place, worker in [*crew.items()]:
                if worker.pipe not in ready:
                    continue
                try:
                    event = worker.pipe.recv()
                except (EOFError, OSError):
                    del crew[place]
                    yield from _bury(worker, waiting)
                else:
                    yield event
                    if not isinstance(event, Outcome):
                        continue
                    worker.job = None
                yield from _occupy(run, crew, waiting, workers)
        for worker in crew.values():
            with contextlib.suppress(OSError):  # one that died idle is not missed
                worker.pipe.send(None)
        until = time.monotonic() + PICTURES_S
        for worker in crew.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, until - time.monotonic()))
    finally:
        _dismiss([*crew.values()])


def _occupy(
    run: Runner, crew: dict[int, Worker], waiting: Waiting, workers: int
) -> Iterator[Started]:
    """Gives every place without a job one, as long as there are any: what ended may bring several.

    A place has a process from its first job on.
    """
    for place in range(workers):
        if place in crew and crew[place].job is not None:
            continue
        if (job := waiting.next()) is None:
            return
        if place not in crew:
            crew[place] = _hire(run, place, workers)
        yield _hand_out(crew[place], job)


def _hire(run: Runner, place: int, workers: int) -> Worker:
    """A new process at one of the ``workers`` places.

    Started as a program of its own, not by multiprocessing, which would first run the user's own
    script again.
    """
    ours, theirs = multiprocessing.Pipe()
    number = theirs.fileno()
    command = [sys.executable, "-m", "research.executors.worker", str(number)]
    process = subprocess.Popen(command, pass_fds=[number])
    theirs.close()
    with contextlib.suppress(OSError):
        ours.send(run.share(place, workers))
    return Worker(process, ours)


def _hand_out(worker: Worker, given: tuple[Any, int]) -> Started:
    job, worker.tried = given
    worker.job = job
    # A process that died since is noticed at the next look at its pipe.
    with contextlib.suppress(OSError):
        worker.pipe.send(job)
    return Started(job)


def _bury(worker: Worker, waiting: Waiting) -> Iterator[Outcome]:
    """A process died: its job goes to the front of the queue, or, the second time, has failed."""
    code = worker.process.wait()
    worker.pipe.close()
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    if worker.tried < TRIES:
        log.warning("a worker died (%s); its run is begun once more", how)
        waiting.again.append((worker.job, worker.tried + 1))
        return
    text = f"its process died {TRIES} times ({how}); is there enough memory? fewer --workers help"
    yield Outcome(worker.job, "failed", error=text)


def _dismiss(crew: Sequence[Worker]) -> None:
    """Stops whoever still works, giving each time to record it."""
    for worker in crew:
        worker.process.terminate()
    for worker in crew:
        try:
            worker.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
        worker.pipe.close()
