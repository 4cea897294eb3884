"""Jobs side by side, each in a process of its own; a killed process costs only its own job."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any

from research.errors import Interrupted
from research.executors import Event, Outcome, Runner, Started, conduct
from research.registry import executors

STOP_S = 20.0  # for a process to record that it was stopped
TRIES = 2  # a job whose process dies is begun once more


@dataclass
class Worker:
    """A process, the pipe to it, and the job that it has."""

    process: SpawnProcess
    pipe: Connection
    job: Any = None


@executors.register()
def processes(run: Runner, jobs: Sequence[Any], workers: int) -> Iterator[Event]:
    """Jobs side by side, each in a process of its own."""
    waiting = deque(jobs)
    tries: dict[int, int] = {}
    crew = [_hire(run, place, workers) for place in range(min(workers, len(waiting)))]
    try:
        for worker in crew:
            yield from _hand_out(worker, waiting)
        while any(worker.job is not None for worker in crew):
            ready = wait([worker.pipe for worker in crew if worker.job is not None])
            for place, worker in enumerate(crew):
                if worker.pipe not in ready:
                    continue
                try:
                    event = worker.pipe.recv()
                except (EOFError, ConnectionResetError):
                    yield from _bury(worker, waiting, tries)
                    crew[place] = worker = _hire(run, place, workers)
                    yield from _hand_out(worker, waiting)
                    continue
                yield event
                if isinstance(event, Outcome):
                    worker.job = None
                    yield from _hand_out(worker, waiting)
        for worker in crew:
            worker.pipe.send(None)
        for worker in crew:
            worker.process.join()
    finally:
        _dismiss(crew)


def _hire(run: Runner, place: int, workers: int) -> Worker:
    """A new process at one of the ``workers`` places."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, run.share(place, workers)))
    process.start()
    theirs.close()
    return Worker(process, ours)


def _hand_out(worker: Worker, waiting: deque[Any]) -> Iterator[Started]:
    if waiting:
        worker.job = waiting.popleft()
        # A process that died since is noticed at the next look at its pipe.
        with contextlib.suppress(BrokenPipeError):
            worker.pipe.send(worker.job)
        yield Started(worker.job)


def _bury(worker: Worker, waiting: deque[Any], tries: dict[int, int]) -> Iterator[Outcome]:
    """A process died: its job goes to the front of the queue, or, the second time, has failed."""
    worker.process.join()
    code = worker.process.exitcode or 0
    tries[id(worker.job)] = tries.get(id(worker.job), 0) + 1
    if tries[id(worker.job)] < TRIES:
        waiting.appendleft(worker.job)
        return
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    text = f"its process died {TRIES} times ({how}); is there enough memory? fewer --workers help"
    yield Outcome(worker.job, "failed", error=text)


def _dismiss(crew: Sequence[Worker]) -> None:
    """Stops whoever still works, giving each time to record it."""
    for worker in crew:
        if worker.process.is_alive():
            worker.process.terminate()
    for worker in crew:
        worker.process.join(STOP_S)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.pipe.close()


def _work(pipe: Connection, run: Runner) -> None:
    """A process's life: jobs from the pipe, events back, until there is none or no one listens."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process decides
    signal.signal(signal.SIGTERM, _stop)
    try:
        while (job := pipe.recv()) is not None:
            with contextlib.closing(conduct(run, job)) as events:
                for event in events:
                    pipe.send(event)
        run.finish()
    except (Interrupted, EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(1)  # the run in hand is recorded as KILLED; pictures are not waited for


def _stop(number: int, frame: FrameType | None) -> None:
    raise Interrupted
