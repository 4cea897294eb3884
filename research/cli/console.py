"""Where things are printed: results to stdout, progress to stderr, plain text in a pipe."""

from __future__ import annotations

import json
import math
import os
import sys
from typing import IO, Any

from rich.console import Console

PLAIN_WIDTH = 160  # lines of a pipe or a file are not cut at 80


def console(stream: IO[str]) -> Console:
    """A console on a stream; colours and folding only for a terminal."""
    width = None if stream.isatty() else PLAIN_WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=not stream.isatty())


def out() -> Console:
    """For results."""
    return console(sys.stdout)


def err() -> Console:
    """For progress."""
    return console(sys.stderr)


def again() -> list[str]:
    """The command that goes on with what this one began; ``--fresh`` would begin anew."""
    return ["research", *(word for word in sys.argv[1:] if word != "--fresh")]


def browse() -> str:
    """Where runs can be looked at, as a line."""
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    return f"browse    {server if server.startswith('http') else 'research ui'}"


def address() -> str:
    """Where MLflow's pages are: the server, or where ``research ui`` puts them."""
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    return server.rstrip("/") if server.startswith("http") else "http://127.0.0.1:5000"


def print_json(content: Any) -> None:
    """One JSON document on stdout; NaN, which JSON has not, as null."""
    sys.stdout.write(json.dumps(_finite(content), indent=2) + "\n")


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    if hasattr(content, "item"):  # a number of numpy's
        content = content.item()
    return None if isinstance(content, float) and not math.isfinite(content) else content
