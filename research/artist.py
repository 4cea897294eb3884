"""Pictures of runs, drawn in a process of its own, so that drawing holds up no training.

``python -m research.artist PIPE`` is that process: it is sent what to draw and answers with an
empty text or what went wrong, until no one listens.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Less urgent than training, a tenth of a core where that takes all; the very least would mean no
# picture, and a study that waits for it, as long as others keep the machine busy.
LESS_URGENT = 10
STOP_S = 20.0


class Artist:
    """Draws one run after the other; its process starts with the first."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None

    def draw(
        self,
        folder: Path,
        counts: NDArray[np.int64],
        classes: Sequence[str],
        history: Sequence[Mapping[str, float]],
        best: int,
    ) -> None:
        """`research.figures.save_run` there. Raises RuntimeError where that fails."""
        with self._turn:
            pipe = self._pipe or self._start()
            try:
                pipe.send((folder, counts, tuple(classes), history, best))
                problem = pipe.recv()
            except (EOFError, OSError):
                self.close()  # the next picture gets a new process
                raise RuntimeError("the process that draws died") from None
        if problem:
            raise RuntimeError(problem)

    def _start(self) -> Connection:
        # A program of its own: multiprocessing would first run the user's own script again.
        self._pipe, theirs = multiprocessing.Pipe()
        command = [sys.executable, "-m", "research.artist", str(theirs.fileno())]
        # In a group of its own, which Ctrl-C does not reach; it ends with its parent's pipe.
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], process_group=0)
        theirs.close()
        return self._pipe

    def close(self) -> None:
        """Ends the process, if there is one."""
        if self._pipe is None or self._process is None:
            return
        self._pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        self._process.kill()
        self._process.wait()
        self._pipe = self._process = None


@functools.cache
def artist() -> Artist:
    """This process's own, whatever it trains; it waits for more until the process ends."""
    one = Artist()
    atexit.register(one.close)
    return one


def serve(pipe: Connection) -> None:
    """Draws what it is sent."""
    from research.figures import save_run

    while True:
        work = pipe.recv()
        try:
            save_run(*work)
            pipe.send("")
        except Exception as error:
            pipe.send(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    os.nice(LESS_URGENT)
    with contextlib.suppress(EOFError, OSError):
        serve(Connection(int(sys.argv[1])))
