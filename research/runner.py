"""Runs a job wherever it is sent: opens data, device and store once in each process."""

from __future__ import annotations

import functools
import logging
from collections.abc import Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import torch

from research.arithmetic import find_device, keep_compiled, keep_freed_memory
from research.artist import artist
from research.data.cache import load
from research.data.location import Location
from research.errors import InvalidInput
from research.project import Project
from research.provenance import hardware
from research.records import Epoch, Step
from research.registry import code_digest
from research.run import Done, Job, Place, run
from research.tracking.database import connect

log = logging.getLogger("research")


@dataclass(frozen=True)
class Runner:
    """What a process needs to run jobs; small, so that it can be sent to another one.

    ``data`` are the parameters that the location is read with, one mapping for each data set.
    """

    project: Project
    location: Location
    data: tuple[Mapping[str, Any], ...]
    device: str | None = None
    threads: int | None = None

    def __call__(self, job: Job) -> Generator[Epoch | Step, None, Done]:
        """A job to its records; returns how it ended."""
        if code_digest(job.spec) != job.labels.code_digest:
            raise InvalidInput("the code was changed since the runs were planned; start them again")
        return (yield from run(job, self.place))

    @functools.cached_property
    def place(self) -> Place:
        """Data, device and store, opened once."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        keep_freed_memory()
        keep_compiled(self.project.runs)
        splits = [load(self.location, params) for params in self.data]
        return Place(
            tracker=connect(self.project),
            data={one.digest: one for one in splits},
            device=find_device(self.device),
            folder=self.project.runs,
            draw=lambda work: self.drawing.submit(work).add_done_callback(_complain),
            pictures=artist().draw,
        )

    @functools.cached_property
    def drawing(self) -> ThreadPoolExecutor:
        """Waits for pictures beside the training."""
        return ThreadPoolExecutor(1, thread_name_prefix="pictures")

    def share(self, place: int, workers: int) -> Runner:
        """Its part of the machine for one of ``workers``: threads, and a GPU if there are some."""
        device = self.device
        if device in (None, "cuda") and torch.cuda.is_available():
            device = f"cuda:{place % torch.cuda.device_count()}"
        threads = max(1, int(hardware()["cores"]) // workers)
        return replace(self, device=device, threads=threads)

    def finish(self) -> None:
        """Waits for the last pictures, if any were begun."""
        if "drawing" in self.__dict__:
            self.__dict__.pop("drawing").shutdown(wait=True)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def _complain(drawn: Future[None]) -> None:
    error = drawn.exception()
    if error is not None:
        log.warning("a run's pictures could not be drawn: %s", error)
