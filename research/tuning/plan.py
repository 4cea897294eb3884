"""What is asked of a search to its plan: start, space, identity. Nothing is trained or tracked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from research.data import Splits
from research.data.cache import load
from research.data.location import Location
from research.errors import InvalidInput
from research.inspection import check_buildable
from research.planning import ARITHMETIC, arithmetic_hash, read_params, resolve
from research.project import Project
from research.request import Request, find_control
from research.space import Dimension, Settle, Space
from research.spec import Holdout, Input, Recipe, RunSpec, Training, content_hash
from research.studies import Origin, template_search
from research.study import Study
from research.tracking import Tracker
from research.tuning import METRICS, PRUNERS, SAMPLERS, Options
from research.validation import complete

MAX_TRIALS = 100_000
MAX_CONFIRM = 100
# What decides which images there are: all trials are judged on the same.
DATA_PARAMS = Input.model_fields.keys() - Holdout.model_fields.keys() - {"folds", "fold"}


@dataclass(frozen=True)
class SearchPlan:
    """A search ready to be carried out; ``start`` is the recipe that it begins with, complete."""

    study: Study
    profile: Literal["quick", "full"]
    location: Location
    splits: Splits
    start: RunSpec
    space: Space
    declared: Training  # as asked, where auto is auto
    own: Mapping[str, Any] | None  # the start's own values in the space; None: it lies outside
    options: Options
    resolved: Mapping[str, str]
    declared_hash: str
    command: tuple[str, ...]
    label: str = ""  # of a search that is for one cell of a study: a dot and the cell's name

    @property
    def key(self) -> str:
        """Hash of what is searched but for the space: the same search goes on under it."""
        metric = self.options.metric
        return content_hash(["search", self.start.spec_hash, self.splits.digest, metric])

    @property
    def name(self) -> str:
        """What Optuna knows the search by."""
        return f"{self.study.name}{self.label}-{self.key[:8]}"

    def recipe(self, values: Mapping[str, Any]) -> RunSpec:
        """Values to the complete spec of a trial. Raises `InvalidInput`."""
        return completed(self.start, self.space.assignments(values), self.location.source)

    def seeds(self) -> list[int]:
        """Seeds that no trial has seen, for confirmation: the study's, then the next numbers."""
        known = [*self.study.seeds, *range(1, MAX_CONFIRM + 2)]
        fresh = [seed for seed in dict.fromkeys(known) if seed != self.start.seed]
        return fresh[: self.options.confirm]


def prepare_search(
    name: str | Study, request: Request, options: Options, project: Project, tracker: Tracker
) -> SearchPlan:
    """A study's or model's name and what is asked to a plan. Raises `InvalidInput` with all."""
    problems = _wrong_options(options)
    try:
        study, origin, profile, spec, location = find_control(name, None, request, project)
    except InvalidInput as error:
        raise InvalidInput(*problems, *error.problems) from None
    if problems:
        raise InvalidInput(*problems)
    with origin.locating():
        return plan_search(
            study, profile, spec, location, origin, request, options, project, tracker
        )


def plan_search(
    study: Study,
    profile: Literal["quick", "full"],
    spec: RunSpec,
    location: Location,
    origin: Origin,
    request: Request,
    options: Options,
    project: Project,
    tracker: Tracker,
) -> SearchPlan:
    """A study, its control and what is asked to a plan. Raises `InvalidInput`."""
    start, problems = complete(spec, location.source)
    if problems:
        raise InvalidInput(*(f"{path}: {text}" for path, text in problems))
    search = study.search or template_search(start, project)
    if options.metric == "val/loss":
        search = _of_one_loss(search, own=bool(study.search))
    if not search:
        raise InvalidInput(f"search: the study '{study.name}' says nothing of what to seek")
    space = Space.of(search, start)
    splits = load(location, read_params(start))
    if options.test and splits.tested_on_val:
        raise InvalidInput(
            "--test: the test images of this set are its validation images, which the search "
            "chooses by; there is nothing left to test on"
        )
    declared = arithmetic_hash(start, splits.digest)
    check_buildable(start, splits)
    resolved = resolve(start, splits, declared, request, tracker, project)
    asked = start.training
    chosen = {name: resolved[name] for name in ARITHMETIC}
    start = RunSpec.model_validate(
        start.model_dump()
        | {
            "seed": spec.seed,
            "training": start.training.model_dump() | chosen,
            "data": {"name": location.name, "params": start.data.params},
        }
    )
    check_space(space, start, location, splits)
    if options.sampler == "grid":
        space.grid()

    return SearchPlan(
        study=study,
        profile=profile,
        location=location,
        splits=splits,
        start=start,
        space=space,
        declared=asked,
        own=space.at(start, settle(location)),
        options=options,
        resolved=resolved,
        declared_hash=declared,
        command=command_of(request, location, options, study.name),
    )


def _of_one_loss(search: dict[str, Dimension], *, own: bool) -> dict[str, Dimension]:
    """A space whose settings can be compared by their loss: none of them changes what that is.

    Dimensions of the study's own are refused, those of the template left out.
    """
    changing = [name for name, one in search.items() if any(map(is_of_loss, one.paths))]
    if own and changing:
        raise InvalidInput(
            f"--metric val/loss: {', '.join(changing)} changes the loss itself, so that losses are "
            "not of one kind; choose val/accuracy or val/macro_f1, or take it out of search"
        )
    kept = {name: one for name, one in search.items() if name not in changing}
    return {name: one for name, one in kept.items() if not one.when.keys() & set(changing)}


def is_of_loss(path: str) -> bool:
    """Whether a dotted path is in the loss."""
    return path.split(".")[0] == "loss"


def completed(start: RunSpec, changes: Mapping[str, Any], source: str) -> RunSpec:
    """A complete spec with other values, every default filled in again. Raises `InvalidInput`."""
    done, problems = complete(start.override(changes), source)
    if problems:
        raise InvalidInput(*(f"{path}: {text}" for path, text in problems))
    return RunSpec.model_validate(done.model_dump() | {"seed": start.seed})


def settle(location: Location) -> Settle:
    """Fills in every default of a recipe on data of a place; gives None of what cannot be."""

    def settled(recipe: Recipe) -> Recipe | None:
        done, wrong = complete(recipe, location.source)
        return None if wrong else done

    return settled


def check_space(space: Space, start: RunSpec, location: Location, splits: Splits) -> None:
    """Refuses a space with a choice, or an end of a range, that no run can have."""
    problems: list[str] = []
    for name, dimension in space.dimensions.items():
        for path in sorted(dimension.paths):
            field, _, inner = path.removeprefix("data.params.").partition(".")
            if path.startswith("data") and (field not in DATA_PARAMS or inner):
                problems.append(
                    f"search.{name}: {path}: all trials are judged on the same images; "
                    f"of the data only {', '.join(sorted(DATA_PARAMS))} can be sought"
                )
    if problems:
        raise InvalidInput(*problems)
    for name, _, values in space.probes():
        try:
            spec = completed(start, space.assignments(values), location.source)
            check_buildable(spec, splits)
        except InvalidInput as error:
            whole = "" if space.dimensions[name].integer else "; give integer: true"
            problems += [
                f"search.{name}: {problem}{whole * ('valid integer' in problem)}"
                for problem in error.problems
            ]
    if problems:
        raise InvalidInput(*problems)


def _wrong_options(options: Options) -> list[str]:
    """What is wrong with how a search is to go."""
    problems = []
    if not 1 <= options.trials <= MAX_TRIALS:
        problems.append(f"--trials {options.trials}: give 1 to {MAX_TRIALS:,}")
    if options.timeout_s is not None and options.timeout_s <= 0:
        problems.append("--timeout: give more than nothing, as in 2h or 90m")
    if not 0 <= options.confirm <= MAX_CONFIRM or options.confirm == 1:
        problems.append(
            f"--confirm {options.confirm}: give 0 for none, or 2 to {MAX_CONFIRM} seeds: of one "
            "there is no interval"
        )
    if options.test and not options.confirm:
        problems.append("--test: is of what was confirmed; --confirm 0 confirms nothing")
    for option, given, known in (
        ("sampler", options.sampler, SAMPLERS),
        ("pruner", options.pruner, PRUNERS),
    ):
        if given not in known:
            problems.append(f"--{option} {given}: no such {option}; choose from {', '.join(known)}")
    if options.metric.startswith("test/"):
        problems.append(
            f"--metric {options.metric}: the test split is not for choosing; choose from "
            f"{', '.join(METRICS)}"
        )
    elif options.metric not in METRICS:
        problems.append(
            f"--metric {options.metric}: no run logs it; choose from {', '.join(METRICS)}"
        )
    return problems


def command_of(
    request: Request, location: Location, options: Options, name: str
) -> tuple[str, ...]:
    """The command line that asks for the same search."""
    words = ["research", "tune", name, "--trials", str(options.trials), "--data", location.name]
    words += ["--variant", request.variant] if request.variant else []
    words += ["--profile", request.profile] if request.profile else []
    words += ["--storage", options.storage] if options.storage else []
    words += ["--test"] if options.test else []
    words += ["--epochs", str(request.epochs)] if request.epochs else []
    for option in ("sampler", "pruner", "metric", "seed", "confirm"):
        if getattr(options, option) != getattr(Options, option):
            words += [f"--{option}", str(getattr(options, option))]
    for path, value in request.changes.items():
        words += ["--set", f"{path}={value if isinstance(value, str) else json.dumps(value)}"]
    return tuple(words)
