"""One run by itself, tracked under ``train/<model>``."""

from __future__ import annotations

import json
from collections.abc import Callable

from research.arithmetic import find_device
from research.checkpoint import Checkpoint
from research.data.cache import load
from research.data.folds import check_folds
from research.errors import InvalidInput
from research.inspection import check_buildable, choose_arithmetic
from research.planning import arithmetic_hash, read_params, resolved_before
from research.project import Project
from research.records import Epoch, Step
from research.registry import code_digest
from research.request import Request, whereabouts
from research.run import Done, Job
from research.runner import Runner
from research.spec import RunSpec, fingerprint
from research.tracking import experiment_name
from research.tracking.database import connect
from research.tracking.recording import Labels, reconcile
from research.validation import complete


def train_one(
    spec: RunSpec,
    request: Request,
    project: Project,
    observe: Callable[[RunSpec | Epoch | Step], None] = lambda record: None,
) -> Done:
    """A spec to its finished run; goes on with one that was stopped. Raises `InvalidInput`."""
    location = whereabouts(request, spec.data.name, project)
    recipe, problems = complete(spec, location.source)
    if problems:
        raise InvalidInput(*(f"{path}: {text}" for path, text in problems))
    splits = load(location, read_params(recipe))
    check_folds(splits, recipe.data.params)
    device = find_device(request.device)
    check_buildable(recipe, splits)
    tracker = connect(project)
    reconcile(tracker)
    declared = arithmetic_hash(recipe, splits.digest)
    arithmetic = resolved_before(tracker, declared)
    if arithmetic is None:
        arithmetic = choose_arithmetic(recipe, splits, device)
    spec = RunSpec.model_validate(
        recipe.model_dump()
        | {
            "seed": spec.seed,
            "training": recipe.training.model_dump() | arithmetic,
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
    observe(spec)
    runner = Runner(project, location, (read_params(recipe),), request.device)
    running = runner(Job(spec, labels, request.fresh, request.accept_code))
    try:
        while True:
            observe(next(running))
    except StopIteration as stop:
        done: Done = stop.value
        _keep(done, labels, project)
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
