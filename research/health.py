"""Whether this machine and project can do what the commands ask of them: a finding for each."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from research.arithmetic import find_device
from research.data.location import EMBEDDED, locate
from research.errors import InvalidInput
from research.project import Project, cache_folder
from research.provenance import busy, git_state, hardware, versions
from research.tracking import lease
from research.tracking.database import connect
from research.tracking.memory import MemoryTracker

Verdict = Literal["ok", "note", "wrong"]
LITTLE_DISK = 2 * 1024**3
LITTLE_MEMORY = 2 * 1024**3


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it stands, and, where that is needed, the cure."""

    name: str
    verdict: Verdict
    text: str


def examine(project: Project) -> list[Finding]:
    """Looks at everything; what cannot be looked at is a finding as well. Changes nothing."""
    looks: dict[str, Callable[[Project], Finding]] = {
        "versions": _versions,
        "machine": _machine,
        "memory": _memory,
        "device": _device,
        "project": _project,
        "disk": _disk,
        "cache": _cache,
        "data": _data,
        "tracking": _tracking,
        "code": _code,
    }
    found = []
    for name, look in looks.items():
        try:
            found.append(look(project))
        except InvalidInput as error:
            found.append(Finding(name, "wrong", "; ".join(error.problems)))
        except OSError as error:
            found.append(Finding(name, "wrong", f"{error.filename}: {error.strerror}"))
    return found


def _versions(project: Project) -> Finding:
    return Finding("versions", "ok", ", ".join(f"{k} {v}" for k, v in versions().items()))


def _machine(project: Project) -> Finding:
    about = hardware()
    text = f"{about['processor']}, {about['cores']} cores"
    if found := busy():
        return Finding("machine", "note", f"{text}, {found}")
    return Finding("machine", "ok", text)


def _memory(project: Project) -> Finding:
    free = psutil.virtual_memory().available
    text = f"{free / 1024**3:.1f} GiB free"
    if free < LITTLE_MEMORY:
        return Finding("memory", "note", f"{text}; give fewer --workers")
    return Finding("memory", "ok", text)


def _device(project: Project) -> Finding:
    import torch

    device = find_device(None)
    if device.type != "cuda":
        return Finding("device", "ok", "cpu: no GPU that this torch can use")
    names = [torch.cuda.get_device_name(one) for one in range(torch.cuda.device_count())]
    return Finding("device", "ok", ", ".join(names))


def _project(project: Project) -> Finding:
    place = project.runs if project.runs.is_dir() else project.root
    if not os.access(place, os.W_OK):
        text = f"{place} cannot be written to; change to a folder that can"
        return Finding("project", "wrong", text)
    return Finding("project", "ok", str(project.root))


def _disk(project: Project) -> Finding:
    place = project.runs if project.runs.is_dir() else project.root
    free = shutil.disk_usage(place).free
    text = f"{free / 1024**3:.1f} GiB free for runs"
    verdict: Verdict = "ok" if free > LITTLE_DISK else "note"
    return Finding("disk", verdict, text + ("" if verdict == "ok" else "; save: none keeps less"))


def _cache(project: Project) -> Finding:
    folder = cache_folder()
    nearest = next(place for place in (folder, *folder.parents) if place.is_dir())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        text = f"{nearest}: {error.strerror}; name another folder by RESEARCH_CACHE"
        return Finding("cache", "wrong", text)
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # another process may just have moved it
                size += Path(place, name).stat().st_size
    return Finding("cache", "ok", f"{folder}, {size / 1e6:,.0f} MB")


def _data(project: Project) -> Finding:
    found = locate("auto", project.root)
    if found.source == EMBEDDED:
        text = "no FER2013 found: studies take the embedded synthetic set; --data or RESEARCH_DATA"
        return Finding("data", "note", text)
    return Finding("data", "ok", f"{found.name} ({found.why})")


def _tracking(project: Project) -> Finding:
    tracker = connect(project, create=False)
    if isinstance(tracker, MemoryTracker):
        return Finding("tracking", "ok", "nothing is tracked here yet; made with the first run")
    running = tracker.running()
    dead = [run for run in running if not lease.is_alive(run.tags.get(lease.TAG))]
    text = f"{tracker.uri}: {len(running) - len(dead)} runs going on"
    if dead:
        more = f"{len(dead)} were killed and are marked so by the next command, which goes on"
        return Finding("tracking", "note", f"{text}; {more}")
    return Finding("tracking", "ok", text)


def _code(project: Project) -> Finding:
    commit, dirty = git_state(project.root)
    if not commit:
        return Finding("code", "note", "not in a git repository: runs cannot name a commit")
    if dirty:
        return Finding("code", "note", f"{commit[:10]}, with changes that are not committed")
    return Finding("code", "ok", commit[:10])
