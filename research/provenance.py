"""What a number came from: digests of sources, state of the repository, versions, hardware."""

from __future__ import annotations

import ast
import functools
import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).parent
BUSY = 1.5  # jobs a core
VERSIONED = ("research", "torch", "torchvision", "numpy", "mlflow", "opencv-python-headless")


def source_digest(files: Mapping[Path, frozenset[str]]) -> str:
    """Python files, each without the functions named, to 16 hexadecimal digits.

    Comments, docstrings and layout do not count. A file that is edited later keeps its digest in
    this process, which goes on with the code that it has loaded.
    """
    text = "\n".join(_meaning(file, files[file]) for file in sorted(files))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def _meaning(file: Path, without: frozenset[str]) -> str:
    """A file to its syntax, written the same by every Python version."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.FunctionDef) and node.name in without)
    ]
    return f"{file.name}:{_outline(tree)}"


def _outline(node: object) -> str:
    if isinstance(node, ast.AST):
        parts = []
        for field, value in ast.iter_fields(node):
            if field == "body" and isinstance(value, list):
                value = [part for part in value if not _is_text(part)]
            if value not in (None, []) and field not in ("kind", "type_comment", "ctx"):
                parts.append(f"{field}={_outline(value)}")
        return f"{type(node).__name__}({','.join(parts)})"
    if isinstance(node, list):
        return f"[{','.join(map(_outline, node))}]"
    return repr(node)


def _is_text(node: object) -> bool:
    """Whether a statement is only a string: a docstring, which says much and does nothing."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@functools.cache
def git_state(folder: Path) -> tuple[str, bool]:
    """A folder to (commit or "", whether tracked Python or YAML files differ from it)."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(folder), *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "HEAD")
    return commit, bool(
        commit and git("status", "--porcelain", "--untracked-files=no", "--", "*.py", "*.yaml")
    )


@functools.cache
def versions() -> dict[str, str]:
    """The versions that a result depends on: Python and the packages that compute it."""
    found = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def busy() -> str:
    """That the machine is busy, and how much, or nothing where it is not."""
    jobs = os.getloadavg()[0] / int(hardware()["cores"])  # of the last minute
    return f"busy ({jobs:.1f} jobs a core): times will vary" if jobs > BUSY else ""


@functools.cache
def hardware() -> dict[str, str | int]:
    """The processor's name, its cores that this process may use, the system."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        "system": platform.platform(),
        "host": platform.node(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
