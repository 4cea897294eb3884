"""What is asked for, to the study that is meant, at its size, and to its data."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from research import design
from research.data.location import EMBEDDED, Location, locate
from research.errors import InvalidInput
from research.project import Project
from research.spec import RunSpec
from research.studies import Origin, load_study
from research.study import Study
from research.validation import complete_cells

Size = Literal["quick", "full"]
MAX_SEEDS = 20  # of a cell, where nobody says how many rounds may add


@dataclass(frozen=True)
class Rounds:
    """Seeds that are added in rounds: looks so far, the most seeds, cells that have stopped.

    ``stopped`` has the number of seeds that a cell was given, and why it was given no more.
    """

    looks: tuple[int, ...]
    most: int
    stopped: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    def given(self, cell: design.Cell, number: int) -> bool:
        """Whether a cell gets its seed of this number, from 0; context has those of one look."""
        if cell.role == "context":
            return number < self.looks[0]
        return cell.name not in self.stopped or number < self.stopped[cell.name][0]


@dataclass(frozen=True)
class Request:
    """What was asked for, beside the study itself; None is the study's own."""

    data: str | None = None
    design: str | None = None
    factors: Sequence[str] | None = None
    seeds: Any = None
    epochs: int | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    profile: Literal["quick", "full"] | None = None
    variant: str | None = None
    rounds: Rounds | None = None
    device: str | None = None
    fresh: bool = False
    accept_code: bool = False


def find_study(
    name: str | Study, request: Request, project: Project
) -> tuple[Study, Origin, Location]:
    """A study or its name to the study that is asked for, at its size, and its data.

    Raises `InvalidInput` with everything that is wrong with what is asked.
    """
    if isinstance(name, Study):
        study, origin = name, Origin(Path(), {})
    else:
        study, origin = load_study(name, project)
    problems: list[str] = []
    location = Location(EMBEDDED, None, "")
    try:
        location = whereabouts(request, study.base.data.name, project)
    except InvalidInput as error:
        problems += error.problems
    profile = request.profile or ("quick" if location.synthetic else "full")
    origin = replace(origin, asked=_asked(study, profile, request))
    for step in _steps(study, profile, request):
        try:
            with origin.locating():
                study = step(study)
        except InvalidInput as error:
            problems += error.problems
    if problems:  # and what a further look finds, so that all is told at once
        with contextlib.suppress(InvalidInput):
            settings = design.cells(study)
            try:
                with origin.locating():
                    complete_cells(study, settings, location.source)
            except InvalidInput as error:
                problems += error.problems
        raise InvalidInput(*problems)
    return study, origin, location


def find_control(
    name: str | Study, seed: int | None, request: Request, project: Project
) -> tuple[Study, Origin, Size, RunSpec, Location]:
    """A study and what is asked to the study, where it was read, its size, its control, its data.

    The control is a run of ``seed``, or of the study's first.

    Factors vary nothing here, so what is asked is set on the control itself, even where a factor of
    the study decides it.
    """
    study, origin, location = find_study(name, replace(request, changes={}), project)
    alone = study.model_copy(update={"folds": None})  # one run is of one split
    with origin.locating():
        recipe = design.cells(alone)[0].recipe
    try:
        changed = recipe.override(request.changes)
    except InvalidInput as error:
        raise InvalidInput(*(f"--set {problem}" for problem in error.problems)) from None
    try:
        spec = design.seeded(changed, study.seeds[0] if seed is None else seed)
    except InvalidInput as error:
        raise InvalidInput(*(f"--{problem}" for problem in error.problems)) from None
    asked = {**origin.asked, **dict.fromkeys(request.changes, "--set")}
    profile: Size = request.profile or ("quick" if location.synthetic else "full")
    return study, replace(origin, asked=asked), profile, spec, location


def _asked(study: Study, profile: str, request: Request) -> dict[str, str]:
    """The paths that are set on a study's base, each with the place or option that sets it."""
    asked: dict[str, str] = {}
    if request.variant in study.variants:
        form = study.variants[request.variant]
        asked |= dict.fromkeys(form.set, f"variants.{request.variant}.set")
    asked |= dict.fromkeys(getattr(study.profiles, profile).set, f"profiles.{profile}.set")
    asked |= {} if request.design is None else {"design": "--design"}
    asked |= {} if request.seeds is None else {"seeds": "--seeds"}
    asked |= {} if request.epochs is None else {"training.epochs": "--epochs"}
    return asked | dict.fromkeys(request.changes, "--set")


def _steps(
    study: Study, profile: Literal["quick", "full"], request: Request
) -> Iterator[Callable[[Study], Study]]:
    """What is asked of a study, one change after the other."""
    chosen = getattr(study.profiles, profile)
    yield lambda study: design.with_variant(study, request.variant)
    if request.design is not None:
        yield lambda study: study.replaced(design=request.design)
    if request.factors is not None:
        names = request.factors
        yield lambda study: design.select(study, names)
    yield lambda study: design.with_base(study, chosen.set, f"profiles.{profile}.set:")
    if chosen.context is not None and request.factors is None:
        yield lambda study: study.model_copy(update={"context": chosen.context})
    if chosen.folds is not None:
        folds = None if chosen.folds == "none" else chosen.folds
        yield lambda study: study.replaced(folds=folds)
    seeds = request.seeds if request.seeds is not None else chosen.seeds
    if seeds is not None:
        yield lambda study: study.replaced(seeds=seeds)
    if request.epochs is not None:
        epochs = {"training.epochs": request.epochs}
        yield lambda study: design.with_base(study, epochs, "--epochs:")
    # One by one, so that the rest is looked at too where one is wrong; whole references first.
    for path, value in sorted(request.changes.items(), key=lambda change: change[0].count(".")):
        yield functools.partial(_set, path=path, value=value)


def _set(study: Study, *, path: str, value: Any) -> Study:
    return design.with_base(study, {path: value})


def whereabouts(request: Request, name: str, project: Project) -> Location:
    """Where the data is: as asked from where the user stands, else as the study has it."""
    if request.data is not None:
        return locate(request.data, Path.cwd(), name)
    return locate(name, project.root)
