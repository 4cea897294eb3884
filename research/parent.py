"""A study's parent run: its tags, ``study.yaml``, and ``plan.json``, which says what belongs to it.

Reports read ``plan.json``, never the nesting of runs: a run that another study made counts too.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from research import designs
from research.data.folds import used
from research.planning import Plan, PlannedRun, own_params
from research.registry import sources, understood
from research.spec import flatten
from research.study import Study
from research.tracking import Status, Tracker, experiment_name, lease
from research.tracking.recording import describe

PLAN, STUDY = "plan.json", "study.yaml"


@dataclass
class Parent:
    """The open parent run of a study; ``failed`` says how it will end."""

    tracker: Tracker
    run_id: str
    locks: Path
    study_hash: str
    failed: bool = False

    def write(self, plan: Plan) -> None:
        """Records what belongs to the study as it stands; commands at once do so by turns."""
        with self.alone(), tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            study = yaml.safe_dump(
                plan.study.model_dump(mode="json"), sort_keys=False, allow_unicode=True
            )
            (folder / STUDY).write_text(study, encoding="utf-8")
            content = merged(plan_content(plan), read_plan(self.tracker, self.run_id))
            (folder / PLAN).write_text(json.dumps(content, indent=1), encoding="utf-8")
            self.tracker.log_files(self.run_id, folder)
            tags = {"seeds": json.dumps(content["seeds"]), lease.TAG: lease.note()}
            self.tracker.set_tags(self.run_id, tags)

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """No other command touches the study's parent run inside."""
        return lease.wait_for(self.locks, f"study-{self.study_hash}")


@dataclass(frozen=True)
class Opening:
    """A parent run as it is made: ``identity`` is the hash by which it is found again."""

    experiment: str
    name: str
    identity: str
    tags: Mapping[str, str]
    params: Mapping[str, Any]


@contextlib.contextmanager
def parent_run(plan: Plan, tracker: Tracker, locks: Path) -> Iterator[Parent]:
    """The study's parent run, new or known."""
    opening = Opening(
        experiment=experiment_name("ablate", plan.study.name),
        name=f"{plan.study.name} ({plan.profile})",
        identity=plan.study_hash,
        tags=_tags(plan),
        params=flatten(plan.study.base.model_dump(mode="json")),
    )
    with hosted(opening, tracker, locks) as parent:
        parent.write(plan)
        yield parent


@contextlib.contextmanager
def hosted(opening: Opening, tracker: Tracker, locks: Path) -> Iterator[Parent]:
    """A parent run, new or known; the last command to leave it ends it.

    It ends as FINISHED, FAILED or KILLED.
    """
    with lease.share(locks, f"study-{opening.identity}-users") as is_last:
        with lease.wait_for(locks, f"study-{opening.identity}"):  # two at once share one
            parent = _opened(opening, tracker, locks)
        status: Status = "FAILED"
        try:
            yield parent
            status = "FAILED" if parent.failed else "FINISHED"
        except (KeyboardInterrupt, GeneratorExit):
            status = "KILLED"
            raise
        except Exception as error:
            tracker.set_tags(parent.run_id, {"error": describe(error)})
            raise
        finally:
            if is_last():
                tracker.set_status(parent.run_id, status)


def _opened(opening: Opening, tracker: Tracker, locks: Path) -> Parent:
    """The parent run, marked RUNNING."""
    identity, tags = opening.identity, {**opening.tags, lease.TAG: lease.note()}
    kind = {"kind": opening.tags["kind"], "study_hash": identity}
    known = tracker.find(**kind)
    if known:
        tracker.set_tags(known[0].run_id, tags | {"error": ""})
        tracker.set_status(known[0].run_id, "RUNNING")
        return Parent(tracker, known[0].run_id, locks, identity)
    run_id = tracker.create(opening.experiment, opening.name, tags)
    earlier = tracker.find(**kind)[-1]
    if earlier.run_id != run_id:  # another machine was quicker at the same server
        tracker.set_tags(run_id, {"kind": "superseded"})
        tracker.set_status(run_id, "KILLED")
        return Parent(tracker, earlier.run_id, locks, identity)
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in opening.params.items()}
    tracker.log(run_id, params=texts)
    return Parent(tracker, run_id, locks, identity)


def read_plan(tracker: Tracker, parent: str) -> dict[str, Any] | None:
    """The recorded plan of a parent run, or None."""
    text = tracker.read_file(parent, PLAN)
    try:
        return None if text is None else json.loads(text)
    except ValueError:  # cut off by a full disk: what is planned now is written anew
        return None


def plan_content(plan: Plan) -> dict[str, Any]:
    """A plan as it is recorded."""
    control = plan.cells[0].recipe
    source = plan.location.source
    own = sources.params(source, understood(source, own_params(control)))
    splits = used(plan.control_data, control.data.params)
    return {
        "study": plan.study.name,
        "study_hash": plan.study_hash,
        "profile": plan.profile,
        "design": plan.study.design,
        "generators": _generators(plan.study),
        "resolved": dict(plan.resolved),
        "seeds": list(plan.study.seeds),
        "rounds": None if plan.rounds is None else asdict(plan.rounds),
        "folds": plan.study.folds,
        "command": list(plan.command),
        "data": {
            "source": plan.location.name,
            "wrong_labels": own.get("wrong_labels"),
            "digest": splits.digest,
            "synthetic": splits.synthetic,
            "tested_on_val": splits.tested_on_val,
            "persons": len(splits.persons),
            "classes": list(splits.classes),
            "leaked": None if splits.test.leaked is None else int(splits.test.leaked.sum()),
            "images": {name: len(getattr(splits, name)) for name in ("train", "val", "test")},
        },
        "cells": [
            {
                "name": cell.name,
                "role": cell.role,
                "levels": cell.levels,
                "recipe": cell.recipe.model_dump(mode="json"),
                "tuned": plan.tuned.get(cell.name),
                "bite": asdict(plan.bites[cell.name]) if cell.name in plan.bites else None,
            }
            for cell in plan.cells
        ],
        "runs": [_entry(run) for run in plan.runs],
    }


def _generators(study: Study) -> list[str] | None:
    return designs.generators(study) if study.design == "fractional_factorial" else None


def merged(content: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """A plan's record with what an earlier one of the same study has of other whole replicates."""
    if before is None:
        return content
    rounds, earlier = content.get("rounds"), before.get("rounds")
    if rounds and earlier and (earlier.get("begun_with") or earlier["most"]) != rounds["most"]:
        rounds["begun_with"] = earlier.get("begun_with") or earlier["most"]
    if rounds is None:
        content["after_rounds"] = before.get("after_rounds") or earlier
    known = {cell["name"]: cell.get("bite") for cell in before["cells"]}
    for cell in content["cells"]:
        cell["bite"] = cell["bite"] or known.get(cell["name"])
    code = {run["cell"]: run["code_today"] for run in content["runs"]}
    here = {run["seed"] for run in content["runs"]}
    other: dict[int, list[dict[str, Any]]] = {}
    for run in before["runs"]:
        if run["seed"] not in here:
            other.setdefault(run["seed"], []).append(run)
    kept = [
        run
        for _, runs in sorted(other.items())
        if not content.get("rounds")  # a round is judged by its own seeds, whatever else there is
        and all(one["run_id"] and one.get("code_today") == code.get(one["cell"]) for one in runs)
        for run in runs
    ]
    seeds = content["seeds"] + sorted({run["seed"] for run in kept})
    return content | {"runs": content["runs"] + kept, "seeds": seeds}


def _entry(run: PlannedRun) -> dict[str, Any]:
    own = run.tracked.tags.get("code_digest") if run.state == "finished" and run.tracked else None
    return {
        "cell": run.cell.name,
        "fold": run.fold,
        "seed": run.seed,
        "fingerprint": run.fingerprint,
        "code_digest": own or run.code_digest,
        "code_today": run.code_digest,
        "run_id": None if run.state == "stale" else run.run_id,
        "stale": run.run_id if run.state == "stale" else None,
        "error": run.error,
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
        "data_digest": plan.control_data.digest,
        "synthetic": str(plan.location.synthetic).lower(),
    }
