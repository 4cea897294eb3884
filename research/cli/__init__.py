"""The command line: parses, calls the package's functions, prints. Imports nothing heavy.

A command's heavy imports stand inside its body, so that ``--help`` answers at once.
"""

from __future__ import annotations

import atexit
import gc
import logging
import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from research.cli import ablate, data, look, report, train, tune
from research.errors import Interrupted, InvalidInput

app = typer.Typer(
    name="research",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (ablate, tune, train, report, data, look):
    module.add_to(app)


def _version(wanted: bool) -> None:
    if wanted:
        from research import __version__

        typer.echo(f"research {__version__}")
        raise typer.Exit


@app.callback()
def research(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Prints it.")
    ] = False,
) -> None:
    """Ablation studies of image classifiers: planned, run, tracked in MLflow, reported."""


def main() -> None:
    """Runs a command and exits: 0 done, 1 some runs failed, 2 wrong input, 130 interrupted."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("research").setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as it is under nohup
        signal.signal(signal.SIGHUP, _stop)  # the terminal was closed
    _collect_seldom()
    try:
        app()
    except InvalidInput as error:
        for problem in error.problems:
            typer.echo(f"error: {problem}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except PermissionError as error:
        typer.echo(f"error: {error.filename}: {error.strerror}; make it accessible", err=True)
        sys.exit(2)
    except (FileExistsError, FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        typer.echo(f"error: {error.filename}: {error.strerror}; give another place", err=True)
        sys.exit(2)


def _collect_seldom() -> None:
    """Half a million objects are imported and none is garbage: looking through them takes long.

    Leaving a finished study alone took 1.3 s, and takes 0.1 s.
    """
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Interrupted
