"""Jobs one after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from research.executors import Event, Runner, Started, conduct
from research.registry import executors


@executors.register(most=1)
def inline(run: Runner, jobs: Iterable[Any], workers: int) -> Iterator[Event]:
    """One job after the other, in this process."""
    own = run.share(0, workers)
    try:
        for job in jobs:
            yield Started(job)
            yield from conduct(own, job)
    finally:
        own.finish()
