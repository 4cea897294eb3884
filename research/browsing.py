"""MLflow's pages on the project's runs: one worker, no job runners, for this machine alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import typer

from research.errors import InvalidInput
from research.project import Project
from research.tracking import VIEW, Tracker
from research.tracking.database import connect

HOST = "127.0.0.1"
MOST_VIEWS = 10  # that are told at the start


def serve(project: Project, port: int) -> None:
    """Runs the server until it is stopped; raises `InvalidInput` where it cannot be started."""
    chosen = os.environ.get("MLFLOW_TRACKING_URI")
    if chosen and chosen.startswith(("http://", "https://")):
        raise InvalidInput(f"runs are tracked by the server {chosen}: open that address")
    if not 1 <= port <= 65535:
        raise InvalidInput(f"--port {port}: give 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise InvalidInput(f"--port {port}: {error.strerror}; name another one") from None
    tracker = connect(project)
    uri = tracker.uri
    command = [sys.executable, "-m", "mlflow", "ui", "--host", HOST, "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", uri]
    command += ["--default-artifact-root", (project.runs / "artifacts").as_uri()]
    light = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    typer.echo(f"MLflow at http://{HOST}:{port} (stop it with Ctrl-C)", err=True)
    for study, view in _views(tracker).items():
        typer.echo(f"  {study}: http://{HOST}:{port}/{view}", err=True)
    server = subprocess.Popen(command, env=os.environ | light)
    try:
        server.wait()
    finally:
        if server.poll() is None:
            server.terminate()
            server.wait(timeout=10)
    if server.returncode:
        raise InvalidInput(f"the MLflow server ended with code {server.returncode}; see above")


def _views(tracker: Tracker) -> dict[str, str]:
    """The latest studies and searches and the ends of their views' addresses."""
    found: dict[str, str] = {}
    both = tracker.find(kind="study") + tracker.find(kind="search")
    for run in sorted(both, key=lambda run: -run.started_ms):
        if view := run.tags.get(VIEW):
            found.setdefault(run.experiment, view)
    return dict(list(found.items())[:MOST_VIEWS])
