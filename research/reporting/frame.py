"""Tracked runs to one frame: what a study's parent says belongs to it, and what the runs say."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from research.errors import InvalidInput
from research.spec import Study
from research.tracking import Point, Tracked, Tracker
from research.tracking.recording import TEST_ACCESSES
from research.yaml_source import parse_yaml

LOOKS = "looks"  # the parent's tag
CURVES = ("train/loss", "val/loss", "train/accuracy", "val/accuracy")


@dataclass(frozen=True)
class Frame:
    """A study as it is tracked. ``runs`` has a row for each cell and seed that belongs to it."""

    tracker: Tracker
    parent: Tracked
    study: Study
    plan: Mapping[str, Any]
    runs: pd.DataFrame
    tracked: Mapping[str, Tracked]

    @property
    def seeds(self) -> list[int]:
        """Every seed of the study, in order."""
        return [int(seed) for seed in self.plan["seeds"]]

    @property
    def looks(self) -> list[int]:
        """With how many seeds verdicts were looked at, this look included; only additions count."""
        before: list[int] = json.loads(self.parent.tags.get(LOOKS, "[]"))
        ended = self.runs["status"] == "FINISHED"
        now = int(ended.groupby(self.runs["seed"]).all().sum())
        return before if not now or (before and now <= before[-1]) else [*before, now]

    @property
    def classes(self) -> list[str]:
        """The names of the classes by label."""
        return list(self.plan["data"]["classes"])

    @property
    def synthetic(self) -> bool:
        """Whether the images were drawn, not taken."""
        return bool(self.plan["data"]["synthetic"])

    def cells(self, *roles: str) -> list[Mapping[str, Any]]:
        """The cells of the given roles, in the study's order."""
        return [cell for cell in self.plan["cells"] if cell["role"] in roles]

    def table(self, cells: Sequence[str], metric: str) -> NDArray[np.float64]:
        """A metric of finished runs as ``(cells, seeds)``, NaN where there is none."""
        values = np.full((len(cells), len(self.seeds)), np.nan)
        for row, cell in enumerate(cells):
            for column, seed in enumerate(self.seeds):
                run = self.finished(cell, seed)
                if run is not None:
                    values[row, column] = run.metrics.get(metric, np.nan)
        return values

    def finished(self, cell: str, seed: int) -> Tracked | None:
        """The finished run of a cell and seed, or None."""
        return self._finished.get((cell, seed))

    @functools.cached_property
    def _finished(self) -> dict[tuple[str, int], Tracked]:
        ended = self.runs[self.runs["status"] == "FINISHED"]
        rows = zip(ended["cell"], ended["seed"], ended["run_id"], strict=True)
        return {(cell, int(seed)): self.tracked[run_id] for cell, seed, run_id in rows}

    def predictions(self, run: Tracked) -> dict[str, NDArray[Any]] | None:
        """Labels and classes said ``(N,)`` of a run's test images, or None; read once."""
        if run.run_id not in self._read:
            self._read[run.run_id] = self._predictions(run)
        return self._read[run.run_id]

    @functools.cached_property
    def _read(self) -> dict[str, dict[str, NDArray[Any]] | None]:
        return {}

    def _predictions(self, run: Tracked) -> dict[str, NDArray[Any]] | None:
        content = self.tracker.read_file(run.run_id, "predictions.npz")
        if content is None:
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            rows = arrays["split"] == "test"
            return {"label": arrays["label"][rows], "said": arrays["logits"][rows].argmax(1)}

    def confusion(self, cell: str) -> NDArray[np.int64]:
        """Test images by label and by class said, over a cell's finished seeds, ``(K, K)``."""
        size = len(self.classes)
        total = np.zeros(size * size, dtype=np.int64)
        for seed in self.seeds:
            run = self.finished(cell, seed)
            found = self.predictions(run) if run else None
            if found is not None:
                flat = found["label"].astype(np.int64) * size + found["said"]
                total += np.bincount(flat, minlength=size * size)
        return total.reshape(size, size)

    def curve(self, run: Tracked, metric: str) -> list[Point]:
        """A run's metric by epoch."""
        return self.tracker.history(run.run_id, metric)


def find_parent(name: str, tracker: Tracker) -> tuple[Tracked, list[Tracked]]:
    """A study's name, or a parent's run id, to (its latest parent, the older ones)."""
    parents = tracker.find(kind="study", study=name)
    if parents:
        return parents[0], parents[1:]
    one = tracker.get(name)
    if one is not None and one.tags.get("kind") == "study":
        return one, []
    known = sorted({run.tags["study"] for run in tracker.find(kind="study")})
    raise InvalidInput(
        f"'{name}': no such study was run, and no such parent run; "
        + (f"there are {', '.join(known)}" if known else "nothing was run here yet")
    )


def read_frame(parent: Tracked, tracker: Tracker) -> Frame:
    """A parent run to all that a report needs but predictions and curves."""
    plan_text = tracker.read_file(parent.run_id, "plan.json")
    study_text = tracker.read_file(parent.run_id, "study.yaml")
    if plan_text is None or study_text is None:
        raise InvalidInput(
            f"run {parent.run_id}: has no plan.json and study.yaml; are its artifacts where the "
            "tracking store says they are?"
        )
    plan = json.loads(plan_text)
    content, _ = parse_yaml(study_text.decode(), "study.yaml")
    ids = {entry["run_id"] for entry in plan["runs"] if entry["run_id"]}
    # One search is much faster than a look-up each; runs that other studies made come singly.
    found: dict[str, Tracked | None] = {
        run.run_id: run for run in tracker.find(study=plan["study"], kind="run")
    }
    found |= {run_id: tracker.get(run_id) for run_id in sorted(ids - set(found))}
    tracked = {run_id: run for run_id, run in found.items() if run is not None}
    rows = [_row(entry, tracked) for entry in plan["runs"]]
    return Frame(tracker, parent, Study.model_validate(content), plan, pd.DataFrame(rows), tracked)


def _row(entry: Mapping[str, Any], tracked: Mapping[str, Tracked]) -> dict[str, Any]:
    """One cell and seed: what was planned and what became of it."""
    run = tracked.get(entry["run_id"] or "")
    status = run.status if run is not None else ("STALE" if entry["stale"] else "MISSING")
    error = entry.get("error", "")
    if error and status != "FINISHED":
        status = "FAILED"
    tags = run.tags if run is not None else {}
    return {
        "cell": entry["cell"],
        "fold": entry["fold"],
        "seed": entry["seed"],
        "run_id": run.run_id if run is not None else None,
        "status": status,
        "fingerprint": entry["fingerprint"],
        "diverged": tags.get("diverged") == "true",
        "error": error or tags.get("error", ""),
        "other_code": status == "FINISHED" and _is_other_code(entry),
        "device": tags.get("device", ""),
        "versions": tags.get("versions", ""),
        "commit": tags.get("git_commit", ""),
        "dirty": tags.get("git_dirty") == "true",
        "test_accesses": len(json.loads(tags.get(TEST_ACCESSES, "[]"))),
    }


def _is_other_code(entry: Mapping[str, Any]) -> bool:
    return bool(entry["code_digest"] != entry.get("code_today", entry["code_digest"]))
