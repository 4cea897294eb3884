"""A study on a real MLflow server, which keeps runs and artifacts of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import research
from research.project import Project
from research.tracking.mlflow_store import MlflowTracker


@pytest.fixture
def server(tmp_path: Path, database: Path) -> Iterator[str]:
    """The address of an MLflow server with an empty store."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = tmp_path / "server.db"
    shutil.copy(database, store)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{store}"]
    command += ["--artifacts-destination", str(tmp_path / "artifacts")]
    light = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    log = (tmp_path / "server.log").open("wb")
    running = subprocess.Popen(command, env=light, stderr=log, stdout=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.wait(30)
        log.close()


def test_a_study_is_kept_by_a_server_and_stdout_holds_one_document(
    server: str, project: Project
) -> None:
    def ablate(*more: str) -> dict[str, object]:
        command = [sys.executable, "-m", "research", "ablate", "tiny", "--json"]
        command += ["--seeds", "1", "--factors", "smoothing"]
        environment = os.environ | {"MLFLOW_TRACKING_URI": server}
        done = subprocess.run(
            [*command, "--executor", "inline", *more],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "View run" not in done.stderr and "Downloading" not in done.stderr
        found: dict[str, object] = json.loads(done.stdout)
        return found

    first = ablate()
    assert first["complete"] and not any(project.runs.glob("artifacts/*"))
    tracker = MlflowTracker(server, artifacts=None)
    assert len(tracker.find(kind="run")) == 2
    assert tracker.read_file(str(first["parent_run_id"]), "report.html")
    assert ablate()["runs"] == first["runs"]


@pytest.mark.skipif(
    not (shutil.which("chromium") and os.environ.get("RESEARCH_BROWSER")),
    reason="needs Chromium on the path and RESEARCH_BROWSER=1, as it takes half a minute",
)
def test_the_view_of_a_study_opens_grouped_by_cell(
    server: str, project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    report = research.ablate("tiny", seeds=1, factors=["smoothing"], executor="inline")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]
    command += ["--no-first-run", "--disable-background-networking", "--disable-sync"]
    command += [f"--user-data-dir={tmp_path / 'browser'}", "--window-size=1500,1300"]
    command += ["--virtual-time-budget=15000", "--dump-dom", f"{server}/{report.view}"]
    page = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    for words in ("Group: control", "Group: no-smoothing", "tiny by cell"):
        assert words in page
