"""A tracker that forgets: for plans before there is a database, and for tests."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from research.tracking import Point, Status, Tracked


class MemoryTracker:
    """Runs in memory, by the `research.tracking.Tracker` contract."""

    def __init__(self) -> None:
        self.runs: dict[str, Tracked] = {}
        self.points: dict[str, list[Point]] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        self.models: dict[str, bytes] = {}
        self._ids = (f"{number:032x}" for number in itertools.count(1))

    @property
    def uri(self) -> str:
        return "memory"

    def find(self, **tags: str) -> list[Tracked]:
        found = [run for run in self.runs.values() if tags.items() <= dict(run.tags).items()]
        return found[::-1]

    def get(self, run_id: str) -> Tracked | None:
        return self.runs.get(run_id)

    def running(self) -> list[Tracked]:
        return [run for run in self.find() if run.status == "RUNNING"]

    def create(self, experiment: str, name: str, tags: Mapping[str, str]) -> str:
        run_id = next(self._ids)
        now = int(time.time() * 1000)
        self.runs[run_id] = Tracked(run_id, experiment, name, "RUNNING", now, dict(tags))
        self.points[run_id], self.files[run_id] = [], {}
        return run_id

    def set_status(self, run_id: str, status: Status) -> None:
        self.runs[run_id] = replace(self.runs[run_id], status=status)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        run = self.runs[run_id]
        self.runs[run_id] = replace(run, tags={**run.tags, **tags})

    def log(
        self, run_id: str, points: Sequence[Point] = (), params: Mapping[str, str] | None = None
    ) -> None:
        run = self.runs[run_id]
        self.points[run_id] += points
        metrics = {**run.metrics, **{point.name: point.value for point in points}}
        self.runs[run_id] = replace(run, metrics=metrics, params={**run.params, **(params or {})})

    def log_data(self, run_id: str, name: str, digest: str, about: Mapping[str, str]) -> None:
        self.files[run_id]["data"] = f"{name} {digest}".encode()

    def log_model(self, run_id: str, file: Path, about: Mapping[str, str]) -> None:
        self.models[run_id] = file.read_bytes()
        self.set_tags(run_id, {"model_id": f"m-{run_id}"})

    def log_files(self, run_id: str, folder: Path) -> None:
        for file in sorted(folder.iterdir()):
            self.files[run_id][file.name] = file.read_bytes()

    def read_file(self, run_id: str, name: str) -> bytes | None:
        return self.files.get(run_id, {}).get(name)

    def history(self, run_id: str, metric: str) -> list[Point]:
        points = (point for point in self.points[run_id] if point.name == metric)
        return sorted(points, key=lambda point: point.step)

    def artifacts(self, run_id: str) -> str:
        return f"memory/{run_id}"

    def share_view(
        self, run_id: str, mark: str, study: str, metric: str, paths: list[str], by: str = "cell"
    ) -> str:
        return f"#/{study}/{mark}"

    def experiment_url(self, run_id: str) -> str:
        return f"#/runs/{run_id}"
