"""The MLflow store in use: a server where one is named, else the project's own database."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from research.errors import InvalidInput
from research.project import Project
from research.tracking import Tracker
from research.tracking.lease import wait_for
from research.tracking.memory import MemoryTracker

log = logging.getLogger("research")
PATIENCE_S = 5
QUIET = {  # MLflow prints addresses to stdout, where a --json document stands, and bars beside ours
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def connect(project: Project, *, create: bool = True) -> Tracker:
    """The tracker in use. Without ``create``, an empty one where there is no database yet.

    ``MLFLOW_TRACKING_URI`` wins; else it is ``mlruns/mlflow.db`` of the project, with a link to it
    from ``mlflow.db``, which a plain ``mlflow ui`` opens. Raises `InvalidInput` where the folder
    cannot be written or the server does not answer.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    chosen = os.environ.get("MLFLOW_TRACKING_URI")
    file = project.runs / "mlflow.db"
    if not chosen and not create and not file.is_file():
        return MemoryTracker()
    if not chosen:
        _check_writable(project.runs)
    else:
        _check_answers(chosen)
    from research.tracking.mlflow_store import MlflowTracker

    for chatty in ("alembic", "mlflow"):  # MLflow sets its own level when it is imported
        logging.getLogger(chatty).setLevel(logging.WARNING)
    if chosen:
        return MlflowTracker(chosen, artifacts=None)
    # Two processes that open a fresh SQLite database at once break it for good.
    with wait_for(project.runs / "leases", "database"):
        if not file.is_file():
            log.info("creating %s, once", file)
        tracker = MlflowTracker(f"sqlite:///{file}", artifacts=project.runs / "artifacts")
        _link(project.root / "mlflow.db", file)
    return tracker


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InvalidInput(
            f"{folder}: runs cannot be kept there: {error.strerror}; make it writable, or name a "
            "server (MLFLOW_TRACKING_URI)"
        ) from None


def _check_answers(uri: str) -> None:
    """Asks an http server for a connection: MLflow itself would try for minutes."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), PATIENCE_S).close()
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"MLFLOW_TRACKING_URI {uri}: the server does not answer ({error}); start it, or unset "
            "the variable to use mlruns/"
        ) from None


def _link(link: Path, file: Path) -> None:
    """A link that a plain ``mlflow ui`` finds; whatever stands there already is left alone."""
    if not link.exists() and not link.is_symlink():
        link.symlink_to(file.relative_to(link.parent))
