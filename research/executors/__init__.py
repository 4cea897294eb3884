"""Who runs the jobs of a study: one file a way; here what all obey.

An executor is a function ``(run, jobs, workers) -> Iterator[Event]`` registered with
``@executors.register()``. ``run`` is a `Runner`; a job ends as an `Outcome`: failures are values,
an interruption is raised. A job is taken from ``jobs`` when someone is free to begin it, so what
comes next may depend on what has ended; an iterator that has none now may have one later.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self

from research.tracking.lease import Taken
from research.tracking.recording import describe

Status = Literal["finished", "reused", "pruned", "failed", "taken"]
log = logging.getLogger("research")


class Runner(Protocol):
    """Runs a job: a generator of records that returns how it ended. Can be sent to a process."""

    def __call__(self, job: Any) -> Generator[Any, None, Any]:
        """A job to its records."""

    def share(self, place: int, workers: int) -> Self:
        """Itself for one of ``workers`` that work side by side: its part of the machine."""

    def finish(self) -> None:
        """Waits for what it does beside the runs."""


@dataclass(frozen=True)
class Started:
    """A job was begun."""

    job: Any


@dataclass(frozen=True)
class Progress:
    """A record that a running job yielded."""

    job: Any
    record: Any


@dataclass(frozen=True)
class Outcome:
    """How a job ended. ``taken``: another process trains the same."""

    job: Any
    status: Status
    run_id: str | None = None
    diverged: bool = False
    error: str = ""


Event = Started | Progress | Outcome


def conduct(run: Runner, job: Any) -> Generator[Progress | Outcome, None, None]:
    """One job to its progress and its outcome."""
    with contextlib.closing(run(job)) as running:
        try:
            while True:
                yield Progress(job, next(running))
        except StopIteration as stop:
            done = stop.value
            yield Outcome(job, done.how, done.run_id, done.diverged)
        except Taken as other:
            yield Outcome(job, "taken", error=str(other))
        except Exception as error:
            log.debug("run failed", exc_info=True)
            yield Outcome(job, "failed", error=describe(error))
