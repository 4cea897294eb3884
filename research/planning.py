"""A study, as asked for, to a plan: what is to be run, what is finished, what it rests on.

Nothing is tracked here; the only thing that may be written is the cache of decoded data.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from research import design
from research.data import Splits
from research.data.cache import load
from research.data.folds import check_folds, count_of
from research.data.location import Location
from research.design import Cell, seeded
from research.errors import InvalidInput
from research.project import Project
from research.registry import code_digest
from research.request import Request, Rounds, find_study
from research.spec import Holdout, Input, Recipe, RunSpec, content_hash, fingerprint
from research.study import Study
from research.tracking import Tracked, Tracker
from research.tracking.recording import finished, resumable, serving, taken
from research.validation import complete_cells

log = logging.getLogger("research")
PlannedState = Literal["finished", "stale", "begun", "taken", "new"]

ARITHMETIC = ("precision", "memory_format", "compile")  # what may be `auto`
COMPILED_STEPS = 5_000  # of a run, from which on it is measured whether compiling pays


@dataclass(frozen=True)
class PlannedRun:
    """One cell, seed and fold: its complete spec, its identity, what is known of it already."""

    cell: Cell
    seed: int
    fold: int | None
    spec: RunSpec
    fingerprint: str
    data_digest: str
    code_digest: str
    state: PlannedState
    tracked: Tracked | None = None  # the run that counts, is gone on with, or is stale
    error: str = ""  # why it failed just now

    @property
    def run_id(self) -> str | None:
        """The id of that run."""
        return self.tracked.run_id if self.tracked else None


@dataclass(frozen=True)
class Bite:
    """What of a cell differs from the control, with how; and which of it no factor is meant to."""

    differs: Mapping[str, str]
    beyond: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """A study ready to be run; ``resolved`` is what its ``auto`` values stand for."""

    study: Study
    profile: Literal["quick", "full"]
    location: Location
    data: Mapping[str, Splits]
    cells: tuple[Cell, ...]
    runs: tuple[PlannedRun, ...]
    resolved: Mapping[str, str]
    declared_hash: str
    study_hash: str
    command: tuple[str, ...]  # what asks for it again
    bites: Mapping[str, Bite] = field(default_factory=dict)  # by cell, once they are looked at
    rounds: Rounds | None = None
    tuned: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by cell

    @property
    def waits(self) -> bool:
        """Whether nuisance values are to be tuned before anything can be run."""
        return bool(design.to_be_tuned(self.study, self.tuned))

    @property
    def control_data(self) -> Splits:
        """The data of the control cell."""
        return self.data[self.runs[0].data_digest]

    @property
    def todo(self) -> tuple[PlannedRun, ...]:
        """Runs that are not finished, identical ones once."""
        open_runs = (run for run in self.runs if run.state != "finished")
        return tuple({run.fingerprint: run for run in reversed([*open_runs])}.values())[::-1]

    @property
    def distinct(self) -> int:
        """How many different runs there are."""
        return len({run.fingerprint for run in self.runs})


@dataclass(frozen=True)
class Tuning:
    """A cell's nuisance values are about to be tuned: which of how many, by how many trials."""

    cell: str
    number: int
    cells: int
    trials: int


def prepare(
    name: str | Study,
    request: Request,
    project: Project,
    tracker: Tracker,
    tuned: Mapping[str, Mapping[str, Any]] | None = None,
) -> Plan:
    """A study and what is asked of it to a plan. Raises `InvalidInput` with all that is wrong.

    ``tuned`` is what was found for each cell of a study with nuisance values: its name to paths and
    values.
    """
    study, origin, location = find_study(name, request, project)
    profile = request.profile or ("quick" if location.synthetic else "full")
    with origin.locating():
        study = _located(study, location)
        cells = complete_cells(study, design.cells(study), location.source)
        _check_differ(study, cells)
        if tuned:
            cells = design.tuned_cells(cells, tuned)
            cells = complete_cells(study, cells, location.source)
    data = {cell.name: load(location, read_params(cell.recipe)) for cell in cells}
    folds = None
    with origin.locating():
        if study.folds is not None:
            folds = min(count_of(splits, study.folds) for splits in data.values())
            study, cells = design.with_folds(study, cells, folds)
        for cell in cells:
            check_folds(data[cell.name], cell.recipe.data.params)
    digest = data["control"].digest
    declared = arithmetic_hash(cells[0].recipe, digest)
    resolved = resolve(cells[0].recipe, data["control"], declared, request, tracker, project)
    study, cells = _with_resolved(study, cells, resolved)
    study_hash = content_hash([study.question_hash, digest])
    runs = tuple(
        _look_up(cell, seed, fold, data[cell.name].digest, request, tracker)
        for seed, fold, cell in design.replicates(cells, study.seeds, folds)
        if request.rounds is None or request.rounds.given(cell, study.seeds.index(seed))
    )
    return Plan(
        study=study,
        profile=profile,
        location=location,
        data={splits.digest: splits for splits in data.values()},
        cells=cells,
        runs=runs,
        resolved=resolved,
        declared_hash=declared,
        study_hash=study_hash,
        command=_command(name, request, location),
        rounds=request.rounds,
        tuned=tuned or {},
    )


def _located(study: Study, location: Location) -> Study:
    """A study that names where its data was found."""
    data = study.base.data.model_copy(update={"name": location.name})
    return study.model_copy(update={"base": study.base.model_copy(update={"data": data})})


def _check_differ(study: Study, cells: tuple[Cell, ...]) -> None:
    """Refuses a contrast that is the control under another name."""
    control, *others = cells
    problems = []
    for cell in others:
        if cell.role == "contrast" and cell.recipe == control.recipe:
            changed = design.changes(study, control.levels, cell.levels)
            place = f"factors.{changed[0]}.levels.{cell.levels[changed[0]]}"
            problems.append(f"{place}: changes nothing: the cell '{cell.name}' is the control")
    if problems:
        raise InvalidInput(*problems)


def own_params(recipe: Recipe) -> dict[str, Any]:
    """The parameters of a recipe's data that its source alone has."""
    return {k: v for k, v in recipe.data.params.items() if k not in Input.model_fields}


def read_params(recipe: Recipe) -> dict[str, Any]:
    """The parameters of a recipe's data that decide what is decoded and how it is split."""
    common = Input.model_fields.keys() - Holdout.model_fields.keys()
    return {k: v for k, v in recipe.data.params.items() if k not in common}


def resolve(
    recipe: Recipe,
    splits: Splits,
    declared: str,
    request: Request,
    tracker: Tracker,
    project: Project,
) -> dict[str, str]:
    """What ``auto`` stands for: as runs of the same have it, else the fastest here.

    ``measured`` is in it where it was measured whether compiling pays.
    """
    asked = {name: getattr(recipe.training, name) for name in ARITHMETIC}
    auto = {name for name, value in asked.items() if value == "auto"}
    if not auto:
        return asked
    known = resolved_before(tracker, declared)
    from research.arithmetic import find_device, keep_compiled
    from research.inspection import choose_compile, precisions, remembered_arithmetic, steps_of

    device = find_device(request.device)
    if auto - {"compile"}:
        found = known[0] if known else remembered_arithmetic(declared, recipe, splits, device)
        asked |= {name: found[name] for name in auto - {"compile"}}
        if "precision" in auto and found["precision"] not in precisions(device):
            log.warning(
                "runs of the same are in %s, slow on this device, and so are further ones; "
                "--set training.precision=fp32 makes runs of their own",
                found["precision"],
            )
    if "compile" not in auto:
        return asked
    if steps_of(recipe, splits) < COMPILED_STEPS:
        return asked | {"compile": "off"}
    before = next((one["compile"] for one in known if "measured" in one), None)
    if before is None:
        keep_compiled(project.runs)
        settled = recipe.override({f"training.{name}": asked[name] for name in asked})
        before = choose_compile(declared, settled, splits, device)
    return asked | {"compile": before, "measured": "compile"}


def arithmetic_hash(recipe: Recipe, data_digest: str) -> str:
    """Hash of what ``auto`` is decided by: net, input, batch, and what is asked of arithmetic.

    Designs, factors and seeds of one system share it, so that they share their runs as well.
    """
    training = recipe.training.model_dump(include={"batch_size", "precision", "memory_format"})
    return content_hash([recipe.model.model_dump(), recipe.data.params, training, data_digest])


def resolved_before(tracker: Tracker, declared: str) -> list[dict[str, str]]:
    """What ``auto`` was taken for whenever it was decided by the same."""
    return [json.loads(run.tags["resolved"]) for run in tracker.find(declared_hash=declared)]


def _with_resolved(
    study: Study, cells: tuple[Cell, ...], resolved: Mapping[str, str]
) -> tuple[Study, tuple[Cell, ...]]:
    """A study and its cells with ``auto`` replaced; what a cell sets itself is kept."""

    def settle(recipe: Recipe) -> Recipe:
        open_values = {k: resolved[k] for k in ARITHMETIC if getattr(recipe.training, k) == "auto"}
        training = recipe.training.model_copy(update=open_values)
        return recipe.model_copy(update={"training": training})

    settled = tuple(replace(cell, recipe=settle(cell.recipe)) for cell in cells)
    return study.model_copy(update={"base": settle(study.base)}), settled


def _look_up(
    cell: Cell, seed: int, fold: int | None, data_digest: str, request: Request, tracker: Tracker
) -> PlannedRun:
    """A cell, seed and fold to what the store knows of it."""
    spec = seeded(cell.recipe, seed, fold)
    identity, code = fingerprint(spec, data_digest), code_digest(spec)
    state, tracked = state_of(identity, code, request, tracker)
    return PlannedRun(cell, seed, fold, spec, identity, data_digest, code, state, tracked)


def state_of(
    identity: str, code: str, request: Request, tracker: Tracker
) -> tuple[PlannedState, Tracked | None]:
    """A fingerprint and a code digest to what is known of such a run, and which run says so."""
    tracked = tracker.find(fingerprint=identity)
    found = serving(tracked, "run")
    usable, stale = finished(found, code, accept_code=request.accept_code)
    begun, other = resumable(found, code), taken(tracked)
    if usable is not None and not request.fresh:
        return "finished", usable
    if other is not None:
        return "taken", None
    if begun is not None and not request.fresh:
        return "begun", begun
    return ("new", None) if stale is None else ("stale", stale)


def refreshed(
    plan: Plan, tracker: Tracker, request: Request, identity: str, error: str = ""
) -> Plan:
    """A plan with what the store now knows of the runs of one fingerprint, and why they failed."""
    look = replace(request, fresh=False)  # what was trained anew counts
    runs = tuple(
        replace(_look_up(run.cell, run.seed, run.fold, run.data_digest, look, tracker), error=error)
        if run.fingerprint == identity
        else run
        for run in plan.runs
    )
    return replace(plan, runs=runs)


def _command(name: str | Study, request: Request, location: Location) -> tuple[str, ...]:
    """The command line that asks for the same, but for its seeds."""
    words = ["research", "ablate", name.name if isinstance(name, Study) else name]
    words += ["--data", location.name]
    words += ["--variant", request.variant] if request.variant else []
    words += ["--profile", request.profile] if request.profile else []
    words += ["--design", request.design] if request.design else []
    words += ["--factors", ",".join(request.factors)] if request.factors else []
    words += ["--epochs", str(request.epochs)] if request.epochs else []
    for path, value in request.changes.items():
        words += ["--set", f"{path}={value if isinstance(value, str) else json.dumps(value)}"]
    return tuple(words)
