"""Who trains what: a lock that dies with its process, and a note of it that others can read.

The lock is a file of the project, held by the operating system, so a killed process leaves none
behind. The note (host, process, its start, last sign of life) is a tag of the run: it tells another
machine, or another folder with the same server, whether a run that is marked RUNNING still is.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

TAG = "lease"
BEAT_EVERY_S = 30
SILENT_AFTER_S = 600  # a sign of life older than this, on another machine, is a death


class Taken(Exception):
    """Another process holds the lease; says which, if it is known."""


def note() -> str:
    """This process, as the text of a tag."""
    process = psutil.Process()
    return json.dumps(
        {
            "host": platform.node(),
            "pid": process.pid,
            "started": round(process.create_time(), 1),
            "heartbeat": round(time.time(), 1),
        }
    )


def beaten(text: str) -> str:
    """A note with a sign of life of now."""
    return json.dumps(json.loads(text) | {"heartbeat": round(time.time(), 1)})


def is_alive(text: str | None) -> bool:
    """Whether the process that wrote a note still runs, as far as can be told from here."""
    try:
        lease = json.loads(text or "")
        host, pid, started = str(lease["host"]), int(lease["pid"]), float(lease["started"])
        heartbeat = float(lease["heartbeat"])
    except (ValueError, KeyError, TypeError):
        return False
    if host != platform.node():
        return time.time() - heartbeat < SILENT_AFTER_S
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and (
            abs(process.create_time() - started) < 2
        )
    except psutil.Error:
        return False


def is_mine(text: str | None) -> bool:
    """Whether this very process wrote a note."""
    try:
        lease = json.loads(text or "")
        return bool(lease["host"] == platform.node() and lease["pid"] == os.getpid())
    except (ValueError, KeyError, TypeError):
        return False


@contextlib.contextmanager
def hold(folder: Path, name: str) -> Iterator[None]:
    """Holds the lock ``name``; raises `Taken` at once where another process has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            raise Taken(stream.read().strip() or "another process") from None
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {platform.node()}")
        stream.flush()
        yield


@contextlib.contextmanager
def wait_for(folder: Path, name: str) -> Iterator[None]:
    """Holds the lock ``name``, waiting for it; for what takes a moment."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def is_free(folder: Path, name: str) -> bool:
    """Whether no process of this machine holds the lock ``name``."""
    try:
        with hold(folder, name):
            return True
    except Taken:
        return False


@contextlib.contextmanager
def share(folder: Path, name: str) -> Iterator[Callable[[], bool]]:
    """Stands among those who work on ``name``.

    Gives a function that tells whether no one else does; after it said so, others wait at the door.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)

        def alone() -> bool:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        yield alone


def whose(text: str) -> str:
    """A note, for people: ``process 12 on host``."""
    try:
        lease = json.loads(text)
        return f"process {int(lease['pid'])} on {lease['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
