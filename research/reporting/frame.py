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

from research import metrics
from research.errors import InvalidInput
from research.stats import Rule
from research.study import Study
from research.tracking import Tracked, Tracker
from research.tracking.recording import TEST_ACCESSES, run_name
from research.yaml_source import parse_yaml

LOOKS = "looks"  # the parent's tag
ONE_CLASS = 0.99  # share of the answers from which on a net is said to know one class only
CURVES = ("train/loss", "val/loss", "train/accuracy", "val/accuracy")


@dataclass(frozen=True)
class Frame:
    """A study as it is tracked; ``runs`` has a row for each cell, seed and fold that belongs to it.

    The folds of a cell and seed are judged together: their test images are one set, each image
    once.
    """

    tracker: Tracker
    parent: Tracked
    study: Study
    plan: Mapping[str, Any]
    runs: pd.DataFrame
    tracked: Mapping[str, Tracked]

    @functools.cached_property
    def seeds(self) -> list[int]:
        """Every seed of the study, in order."""
        return [int(seed) for seed in self.plan["seeds"]]

    @functools.cached_property
    def folds(self) -> list[int | None]:
        """Every fold, or a single None where the study has none."""
        count = self.plan.get("folds")
        return [None] if count is None else list(range(1, count + 1))

    @property
    def looks(self) -> list[int]:
        """With how many seeds verdicts were looked at, this look included; only additions count."""
        before: list[int] = json.loads(self.parent.tags.get(LOOKS, "[]"))
        if self.rule is not None:
            return before  # the looks of rounds are paid for
        now = self._judged_seeds()
        return before if not now or (before and now <= before[-1]) else [*before, now]

    def _judged_seeds(self) -> int:
        """The most seeds that some contrast has in common with the control."""
        ended: dict[tuple[str, int], bool] = {}
        for run in self.runs.to_dict("records"):
            key = run["cell"], int(run["seed"])
            ended[key] = ended.get(key, True) and run["status"] == "FINISHED"  # every fold
        have: dict[str, set[int]] = {}
        for (cell, seed), whole in ended.items():
            have.setdefault(cell, set()).update([seed] if whole else [])
        control = have.get("control", set())
        names = [cell["name"] for cell in self.cells("contrast")]
        return max((len(control & have.get(name, set())) for name in names), default=0)

    @property
    def classes(self) -> list[str]:
        """The names of the classes by label."""
        return list(self.plan["data"]["classes"])

    @property
    def synthetic(self) -> bool:
        """Whether the images were drawn, not taken."""
        return bool(self.plan["data"]["synthetic"])

    @functools.cached_property
    def persons_tested(self) -> int | None:
        """How many persons the control's test images are of; None where that is not known."""
        if not self.plan["data"].get("persons"):
            return None
        for seed in self.seeds:
            found = self.predictions("control", seed)
            if found is not None and "cluster" in found:
                return len(np.unique(found["cluster"]))
        return None

    @functools.cached_property
    def images_tested(self) -> int | None:
        """How many images the control was tested on, all folds together; None if not known."""
        for seed in self.seeds:
            found = self.predictions("control", seed)
            if found is not None:
                return len(found["label"])
        return None

    @functools.cached_property
    def collapsed(self) -> list[str]:
        """Cells whose nets each say one class of nearly every test image."""
        found = []
        for cell in self.plan["cells"]:
            counts = self.confusions(cell["name"])
            if counts and all(one.sum(0).max() >= ONE_CLASS * one.sum() for one in counts):
                found.append(cell["name"])
        return found

    @functools.cached_property
    def same_answers(self) -> list[str]:
        """Contrasts whose nets answer every test image as the control's do, in every seed."""
        found = []
        for cell in self.cells("contrast"):
            pairs = [
                (self.predictions("control", seed), self.predictions(cell["name"], seed))
                for seed in self.seeds
            ]
            whole = [(one["said"], two["said"]) for one, two in pairs if one and two]
            if whole and all(np.array_equal(one, two) for one, two in whole):
                found.append(cell["name"])
        return found

    @property
    def rule(self) -> Rule | None:
        """At which looks seeds were added, where they were added in rounds by rule."""
        rounds = self.plan.get("rounds")
        if rounds is None:
            return None
        return Rule(tuple(rounds["looks"]), rounds["most"])

    @property
    def stopped(self) -> dict[str, tuple[int, str]]:
        """Cells that were given no more seeds, with how many they have, and why."""
        rounds = self.plan.get("rounds") or {"stopped": {}}
        return {name: (int(n), str(why)) for name, (n, why) in rounds["stopped"].items()}

    def cells(self, *roles: str) -> list[Mapping[str, Any]]:
        """The cells of the given roles, in the study's order."""
        return [cell for cell in self.plan["cells"] if cell["role"] in roles]

    def table(self, cells: Sequence[str], metric: str) -> NDArray[np.float64]:
        """A metric of finished runs as ``(cells, seeds)``, NaN where there is none."""
        values = np.full((len(cells), len(self.seeds)), np.nan)
        for row, cell in enumerate(cells):
            for column, seed in enumerate(self.seeds):
                values[row, column] = self._score(cell, seed, metric)
        return values

    def _score(self, cell: str, seed: int, metric: str) -> float:
        """A metric of a cell and seed: of all folds' test images together, else their mean."""
        runs = self.finished(cell, seed)
        if runs is None:
            return float("nan")
        if len(self.folds) > 1 and metric.startswith("test/"):
            pooled = self._pooled(cell, seed)
            if not pooled:  # predictions are missing, and a mean of F1s is not the F1 of all
                return float("nan")
            if metric.removeprefix("test/") in pooled:
                return pooled[metric.removeprefix("test/")]
        values = [run.metrics.get(metric, np.nan) for run in runs]
        return values[0] if len(values) == 1 else float(np.mean(values))

    def _pooled(self, cell: str, seed: int) -> dict[str, float]:
        if (cell, seed) not in self._scores:
            counts = self._counts(cell, seed)
            scores = metrics.pooled(counts, self.classes) if counts is not None else {}
            self._scores[cell, seed] = scores
        return self._scores[cell, seed]

    @functools.cached_property
    def _scores(self) -> dict[tuple[str, int], dict[str, float]]:
        return {}

    def finished(self, cell: str, seed: int) -> list[Tracked] | None:
        """The finished runs of a cell and seed, one a fold; None unless all are finished."""
        runs = [self._finished.get((cell, seed, fold)) for fold in self.folds]
        found = [run for run in runs if run is not None]
        return found if len(found) == len(runs) else None

    @functools.cached_property
    def _finished(self) -> dict[tuple[str, int, int | None], Tracked]:
        ended = self.runs[self.runs["status"] == "FINISHED"]
        return {
            (row["cell"], row["seed"], row["fold"]): self.tracked[row["run_id"]]
            for row in ended.astype(object).to_dict("records")
        }

    def predictions(self, cell: str, seed: int) -> dict[str, NDArray[Any]] | None:
        """Of all test images of a cell and seed: label, class said, and what belongs together.

        ``cluster`` is there where persons are known (their numbers), or folds (theirs). None where
        a run or its predictions are missing.
        """
        runs = self.finished(cell, seed)
        found = [self._predictions(run) for run in runs or []]
        parts = [one for one in found if one is not None]
        if not parts or len(parts) < len(found):
            return None
        whole = {name: np.concatenate([one[name] for one in parts]) for name in ("label", "said")}
        if all("group" in one for one in parts):
            whole["cluster"] = np.concatenate([one["group"] for one in parts])
        elif len(parts) > 1:
            sizes = [len(one["label"]) for one in parts]
            whole["cluster"] = np.repeat(np.arange(len(parts)), sizes)
        return whole

    def _predictions(self, run: Tracked) -> dict[str, NDArray[Any]] | None:
        """Of a run's test images; read once."""
        if run.run_id not in self._read:
            content = self.tracker.read_file(run.run_id, "predictions.npz")
            self._read[run.run_id] = None if content is None else _unpacked(content)
        return self._read[run.run_id]

    @functools.cached_property
    def _read(self) -> dict[str, dict[str, NDArray[Any]] | None]:
        return {}

    def _counts(self, cell: str, seed: int) -> NDArray[np.int64] | None:
        """Test images of a cell and seed by label and by class said, ``(K, K)``."""
        found = self.predictions(cell, seed)
        return None if found is None else self._counted(found)

    def _counted(self, found: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
        size = len(self.classes)
        flat = found["label"].astype(np.int64) * size + found["said"]
        return np.bincount(flat, minlength=size * size).reshape(size, size)

    def confusions(self, cell: str) -> list[NDArray[np.int64]]:
        """The same of each finished run of a cell by itself."""
        runs = [run for seed in self.seeds for run in self.finished(cell, seed) or []]
        found = [self._predictions(run) for run in runs]
        return [self._counted(one) for one in found if one is not None]

    def confusion(self, cell: str) -> NDArray[np.int64]:
        """Test images by label and by class said, over a cell's finished seeds, ``(K, K)``."""
        total = np.zeros((len(self.classes),) * 2, dtype=np.int64)
        for seed in self.seeds:
            counts = self._counts(cell, seed)
            if counts is not None:
                total += counts
        return total

    def curve(self, run: Tracked, metric: str) -> list[float]:
        """A run's metric by epoch, NaN where an epoch has none."""
        if run.run_id not in self._histories:
            content = self.tracker.read_file(run.run_id, "history.json")
            self._histories[run.run_id] = None if content is None else json.loads(content)
        known = self._histories[run.run_id]
        if known is None:  # of a run that kept none
            return [point.value for point in self.tracker.history(run.run_id, metric)]
        return [float("nan") if one is None else one for one in known.get(metric, [])]

    @functools.cached_property
    def _histories(self) -> dict[str, dict[str, list[float | None]] | None]:
        return {}


def _unpacked(content: bytes) -> dict[str, NDArray[Any]]:
    """The file of a run's predictions to those of its test images."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        rows = arrays["split"] == "test"
        found = {"label": arrays["label"][rows], "said": arrays["logits"][rows].argmax(1)}
        return found | ({"group": arrays["group"][rows]} if "group" in arrays else {})


def find_parent(name: str, tracker: Tracker) -> tuple[Tracked, list[Tracked]]:
    """A study's name, or a parent's run id, to (its latest parent, the older ones)."""
    parents = tracker.find(kind="study", study=name)
    if parents:
        return parents[0], parents[1:]
    one = tracker.get(name)
    if one is not None and one.tags.get("kind") == "study":
        return one, []
    known = sorted({run.tags["study"] for run in tracker.find(kind="study")})
    sought = sorted({f"tune/{run.tags['study']}" for run in tracker.find(kind="search")})
    if not known and sought:
        raise InvalidInput(f"'{name}': no such study was run; there are {', '.join(sought)}")
    raise InvalidInput(
        f"'{name}': no such study was run, and no such parent run; "
        + (f"there are {', '.join(known)}" if known else "nothing was run here yet")
        + " (research train makes no study)"
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
    """One cell, seed and fold: what was planned and what became of it."""
    run = tracked.get(entry["run_id"] or "")
    status = run.status if run is not None else ("STALE" if entry["stale"] else "MISSING")
    error = entry.get("error", "")
    if error and status != "FINISHED":
        status = "FAILED"
    tags = run.tags if run is not None else {}
    return {
        "name": run_name(entry["cell"], entry["seed"], entry["fold"]),
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
