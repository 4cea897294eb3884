"""The life of a worker process: ``python -m research.executors.worker PIPE``.

It is sent a runner, then jobs, and sends events back, until it is sent None or no one listens: when
its parent is killed the run in hand is recorded as KILLED and the process ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from multiprocessing.connection import Connection
from types import FrameType

from research.errors import Interrupted
from research.executors import conduct


def work(pipe: Connection) -> None:
    """Serves one pipe."""
    run = pipe.recv()
    try:
        while (job := pipe.recv()) is not None:
            with contextlib.closing(conduct(run, job)) as events:
                for event in events:
                    pipe.send(event)
        run.finish()
    except (Interrupted, EOFError, OSError):
        run.finish()  # the run in hand is recorded, and those before it get their pictures
        os._exit(1)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Interrupted


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process decides
    signal.signal(signal.SIGTERM, _stop)
    with contextlib.suppress(EOFError, OSError, Interrupted):
        work(Connection(int(sys.argv[1])))
