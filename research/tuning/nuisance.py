"""Nuisance values of a study: tuned for each cell alone, by the same trials, before its seeds run.

Every cell gets the same number of trials at the same points of a low-discrepancy sequence, its own
value first, all on validation: a part is not blamed for a rate that suits another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from research.design import Cell, seeded
from research.errors import InvalidInput
from research.planning import Plan, Tuning
from research.project import Project
from research.request import Request
from research.space import Dimension, Space
from research.tuning import Options
from research.tuning.conduct import carry_out
from research.tuning.plan import SearchPlan, check_space, settle
from research.tuning.search import best_first
from research.tuning.storage import counted, find_search, open_search, storage_of, trials_of

SEED = 0  # of the trials: one that no study counts from
Tuned = Mapping[str, Mapping[str, Any]]  # a cell's name to paths and values


def tune_cells(
    plan: Plan,
    request: Request,
    project: Project,
    *,
    executor: str,
    crew: int,
    observe: Callable[[Any], None],
) -> Tuned:
    """A plan to what was found for each of its cells; searches that are done cost nothing.

    Raises `InvalidInput` where no trial of a cell was trained to its end.
    """
    found: dict[str, Mapping[str, Any]] = {}
    problems = []
    asked = searches(plan)
    if request.fresh:  # all at once: one that is stopped half-way then goes on without being asked
        for search in asked.values():
            open_search(search, storage_of(search, project), project, fresh=True)
    for number, (cell, search) in enumerate(asked.items(), 1):
        observe(Tuning(cell, number, len(asked), search.options.trials))
        done = carry_out(
            search, request, project, executor=executor, crew=crew, observe=observe, write=False
        )
        values = _best(search, done.content["trials"])
        if values is None:
            reasons = {trial["reason"] for trial in done.content["trials"] if trial["reason"]}
            problems.append(
                f"nuisance: no trial of cell '{cell}' was trained to its end: "
                f"{'; '.join(sorted(reasons)[:3])}"
            )
        else:
            found[cell] = search.space.assignments(values)
    if problems:
        raise InvalidInput(*problems)
    return found


def tuned_so_far(plan: Plan, project: Project) -> Tuned | None:
    """What was found for the cells of a plan, or None while some search of them is not done."""
    found: dict[str, Mapping[str, Any]] = {}
    for cell, search in searches(plan).items():
        where = storage_of(search, project)
        if not Path(where).is_file():
            return None
        study = find_search(search, where)
        trials = [] if study is None else counted(trials_of(study))
        ended = [trial for trial in trials if trial.state.is_finished()]
        best = best_first(tuple(ended), search.options.metric)
        if len(ended) < search.options.trials or not best:
            return None
        found[cell] = search.space.assignments(best[0].params)
    return found


def searches(plan: Plan) -> dict[str, SearchPlan]:
    """A plan of a study with nuisance values to the search of each cell. Raises `InvalidInput`."""
    problems: list[str] = []
    made = {}
    for cell in plan.cells:
        try:
            made[cell.name] = _search(plan, cell)
        except InvalidInput as error:
            problems += [
                f"nuisance, in cell '{cell.name}': {problem.removeprefix('search.')}"
                for problem in error.problems
            ]
    if problems:
        raise InvalidInput(*problems)
    return made


def _search(plan: Plan, cell: Cell) -> SearchPlan:
    nuisance = plan.study.nuisance
    assert nuisance is not None
    folds = plan.study.folds
    start = seeded(cell.recipe, SEED, None if folds is None else 1)
    data = plan.data[next(run.data_digest for run in plan.runs if run.cell.name == cell.name)]
    dimensions = {
        path: Dimension(path=path, **one.model_dump()) for path, one in nuisance.paths.items()
    }
    space = Space.of(dimensions, start)
    check_space(space, start, plan.location, data)
    by = start.training.select_by
    return SearchPlan(
        study=plan.study,
        profile=plan.profile,
        location=plan.location,
        splits=data,
        start=start,
        declared=start.training,
        space=space,
        own=space.at(start, settle(plan.location)),
        options=replace(
            Options(nuisance.trials, sampler="qmc", pruner="none", confirm=0),
            metric="val/accuracy" if by == "last" else by,
        ),
        resolved=plan.resolved,
        declared_hash=plan.declared_hash,
        command=plan.command,
        label=f".{cell.name}",
    )


def _best(search: SearchPlan, trials: list[dict[str, Any]]) -> Mapping[str, Any] | None:
    """The values of the best trial; of equals the first, which is the cell's own."""
    sign = 1 if search.options.metric == "val/loss" else -1
    done = [trial for trial in trials if trial["state"] == "finished"]
    best = min(done, key=lambda trial: (sign * trial["value"], trial["number"]), default=None)
    return None if best is None else best["params"]
