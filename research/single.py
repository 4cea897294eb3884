"""One run by itself, tracked under ``train/<model>``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from research.arithmetic import find_device
from research.checkpoint import Checkpoint
from research.data import Splits
from research.data.cache import load
from research.data.folds import check_folds
from research.data.location import Location
from research.errors import InvalidInput
from research.inspection import check_buildable
from research.planning import (
    ARITHMETIC,
    PlannedState,
    arithmetic_hash,
    read_params,
    resolve,
    state_of,
)
from research.project import Project
from research.records import Epoch, Step
from research.registry import code_digest
from research.request import Request, whereabouts
from research.run import Done, Job
from research.runner import Runner
from research.spec import RunSpec, fingerprint
from research.tracking import Tracker, experiment_name
from research.tracking.database import connect
from research.tracking.recording import Labels, reconcile
from research.validation import complete


@dataclass(frozen=True)
class Ready:
    """One run, ready to be trained: its complete spec, its data, what is known of it already."""

    spec: RunSpec
    location: Location
    splits: Splits
    labels: Labels
    state: PlannedState


def make_ready(spec: RunSpec, request: Request, project: Project, tracker: Tracker) -> Ready:
    """A spec and what is asked of it to a run; starts nothing. Raises `InvalidInput`."""
    location = whereabouts(request, spec.data.name, project)
    recipe, problems = complete(spec, location.source)
    if problems:
        raise InvalidInput(*(f"{path}: {text}" for path, text in problems))
    splits = load(location, read_params(recipe))
    check_folds(splits, recipe.data.params)
    find_device(request.device)  # a wrong one is told before anything is measured
    check_buildable(recipe, splits)
    declared = arithmetic_hash(recipe, splits.digest)
    arithmetic = resolve(recipe, splits, declared, request, tracker, project)
    spec = RunSpec.model_validate(
        recipe.model_dump()
        | {
            "seed": spec.seed,
            "training": recipe.training.model_dump()
            | {name: arithmetic[name] for name in ARITHMETIC},
            "data": {"name": location.name, "params": recipe.data.params},
        }
    )
    labels = Labels(
        experiment=experiment_name("train", spec.model.name),
        study=spec.model.name,
        cell="control",
        factors={},
        seed=spec.seed,
        fingerprint=fingerprint(spec, splits.digest),
        data_digest=splits.digest,
        code_digest=code_digest(spec),
        more={"declared_hash": declared, "resolved": json.dumps(arithmetic)},
    )
    state, _ = state_of(labels.fingerprint, labels.code_digest, request, tracker)
    return Ready(spec, location, splits, labels, state)


def train_one(
    spec: RunSpec,
    request: Request,
    project: Project,
    observe: Callable[[Ready | Epoch | Step], None] = lambda record: None,
) -> Done:
    """A spec to its finished run; goes on with one that was stopped. Raises `InvalidInput`."""
    ready = make_ready(spec, request, project, connect(project, create=False))
    reconcile(connect(project))
    observe(ready)
    params = read_params(ready.spec)
    runner = Runner(project, ready.location, (params,), request.device)
    running = runner(Job(ready.spec, ready.labels, request.fresh, request.accept_code))
    try:
        while True:
            observe(next(running))
    except StopIteration as stop:
        done: Done = stop.value
        _keep(done, ready.labels, project)
        return done
    finally:
        running.close()
        runner.finish()


def _keep(done: Done, labels: Labels, project: Project) -> None:
    """Logs the weights of the selected epoch as the run's model, once."""
    tracker = connect(project)
    run = tracker.get(done.run_id)
    checkpoint = Checkpoint(project.runs / "checkpoints" / labels.fingerprint)
    if run is None:
        return
    file = checkpoint.weights_file(int(run.metrics.get("best_epoch", 0)))
    if file.is_file() and not run.tags.get("model_id"):
        tracker.log_model(done.run_id, file, {"cell": labels.cell, "seed": str(labels.seed)})
    checkpoint.clear()
