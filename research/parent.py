"""A study's parent run: its tags, ``study.yaml``, and ``plan.json``, which says what belongs to it.

Reports read ``plan.json``, never the nesting of runs: a run that another study made counts too.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from research.planning import Plan, PlannedRun
from research.spec import flatten
from research.tracking import Status, Tracker, experiment_name, lease
from research.tracking.recording import describe

PLAN, STUDY = "plan.json", "study.yaml"


@dataclass
class Parent:
    """The open parent run of a study; ``failed`` says how it will end."""

    tracker: Tracker
    run_id: str
    failed: bool = False

    def write(self, plan: Plan) -> None:
        """Records what belongs to the study as it stands."""
        before = read_plan(self.tracker, self.run_id)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            study = yaml.safe_dump(
                plan.study.model_dump(mode="json"), sort_keys=False, allow_unicode=True
            )
            (folder / STUDY).write_text(study, encoding="utf-8")
            content = json.dumps(merged(plan_content(plan), before), indent=1)
            (folder / PLAN).write_text(content, encoding="utf-8")
            self.tracker.log_files(self.run_id, folder)


@contextlib.contextmanager
def parent_run(plan: Plan, tracker: Tracker, locks: Path) -> Iterator[Parent]:
    """The study's parent run, new or known; it ends as FINISHED, FAILED or KILLED."""
    with lease.wait_for(locks, f"study-{plan.study_hash}"):  # two commands at once share one
        parent = _opened(plan, tracker)
    status: Status = "FAILED"
    try:
        parent.write(plan)
        yield parent
        status = "FAILED" if parent.failed else "FINISHED"
    except (KeyboardInterrupt, GeneratorExit):
        status = "KILLED"
        raise
    except Exception as error:
        tracker.set_tags(parent.run_id, {"error": describe(error)})
        raise
    finally:
        tracker.set_status(parent.run_id, status)


def _opened(plan: Plan, tracker: Tracker) -> Parent:
    """The study's parent run, marked RUNNING."""
    known = tracker.find(kind="study", study_hash=plan.study_hash)
    if known:
        tracker.set_tags(known[0].run_id, _tags(plan) | {"error": ""})
        tracker.set_status(known[0].run_id, "RUNNING")
        return Parent(tracker, known[0].run_id)
    name = f"{plan.study.name} ({plan.profile})"
    experiment = experiment_name("ablate", plan.study.name)
    parent = Parent(tracker, tracker.create(experiment, name, _tags(plan)))
    params = flatten(plan.study.base.model_dump(mode="json"))
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in params.items()}
    tracker.log(parent.run_id, params=texts)
    return parent


def read_plan(tracker: Tracker, parent: str) -> dict[str, Any] | None:
    """The recorded plan of a parent run, or None."""
    text = tracker.read_file(parent, PLAN)
    return None if text is None else json.loads(text)


def plan_content(plan: Plan) -> dict[str, Any]:
    """A plan as it is recorded."""
    params = plan.cells[0].recipe.data.params
    splits = plan.control_data.limited(params["train_limit"], params["eval_limit"])  # type: ignore[arg-type]
    return {
        "study": plan.study.name,
        "study_hash": plan.study_hash,
        "profile": plan.profile,
        "design": plan.study.design,
        "resolved": dict(plan.resolved),
        "seeds": list(plan.study.seeds),
        "looks": [list(plan.study.seeds)],
        "data": {
            "source": plan.location.name,
            "digest": splits.digest,
            "synthetic": splits.synthetic,
            "classes": list(splits.classes),
            "images": {name: len(getattr(splits, name)) for name in ("train", "val", "test")},
        },
        "cells": [
            {
                "name": cell.name,
                "role": cell.role,
                "levels": cell.levels,
                "recipe": cell.recipe.model_dump(mode="json"),
            }
            for cell in plan.cells
        ],
        "runs": [_entry(run) for run in plan.runs],
    }


def merged(content: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """A plan's record with what an earlier one of the same study has of other seeds."""
    if before is None:
        return content
    code = {run["cell"]: run["code_digest"] for run in content["runs"]}
    here = {(run["cell"], run["fold"], run["seed"]) for run in content["runs"]}
    kept = [
        run
        for run in before["runs"]
        if (run["cell"], run["fold"], run["seed"]) not in here
        and run["code_digest"] == code.get(run["cell"])
    ]
    looks = before["looks"] + [look for look in content["looks"] if look != before["looks"][-1]]
    seeds = content["seeds"] + sorted({run["seed"] for run in kept} - set(content["seeds"]))
    return content | {"runs": content["runs"] + kept, "seeds": seeds, "looks": looks}


def _entry(run: PlannedRun) -> dict[str, Any]:
    return {
        "cell": run.cell.name,
        "fold": None,
        "seed": run.seed,
        "fingerprint": run.fingerprint,
        "code_digest": run.code_digest,
        "run_id": None if run.state == "stale" else run.run_id,
        "stale": run.run_id if run.state == "stale" else None,
    }


def _tags(plan: Plan) -> dict[str, str]:
    return {
        "kind": "study",
        "study": plan.study.name,
        "study_hash": plan.study_hash,
        "declared_hash": plan.declared_hash,
        "resolved": json.dumps(dict(plan.resolved)),
        "profile": plan.profile,
        "design": plan.study.design,
        "seeds": json.dumps(list(plan.study.seeds)),
        "data_digest": plan.control_data.digest,
        "synthetic": str(plan.location.synthetic).lower(),
        lease.TAG: lease.note(),
    }
