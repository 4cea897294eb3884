"""An ablation: a plan to its runs, each tracked, under one parent run, and to what it cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from research import registry
from research.errors import InvalidInput
from research.executors import Outcome
from research.parent import parent_run
from research.planning import Plan, prepare, refreshed
from research.project import Project
from research.request import Request
from research.study import Study
from research.tracking.database import connect
from research.tracking.recording import mark_failed, reconcile

DEFAULT_EXECUTOR = "processes"
WRITE_EVERY_S = 5.0  # at most so often is the plan's record brought up to date
Observer = Callable[[Any], None]  # of plans and events


@dataclass(frozen=True)
class Carried:
    """An ablation that was carried out: its plan as it stands, its parent run, what failed."""

    plan: Plan
    parent: str
    failed: tuple[Outcome, ...]


def carry_out(
    study: str | Study,
    request: Request,
    project: Project,
    *,
    executor: str = DEFAULT_EXECUTOR,
    workers: int | None = None,
    observe: Observer = lambda event: None,
) -> Carried:
    """A study, or the name of a study or model, to its finished runs.

    What is finished already is not run again; a run that fails does not stop the others. Raises
    `InvalidInput` before anything is made, KeyboardInterrupt when stopped.
    """
    registry.executors.entry(executor)
    plan = prepare(study, request, project, connect(project, create=False))
    if plan.study.nuisance is not None:
        plan = _tuned(plan, study, request, project, executor, workers, observe)
    crew = 1
    if plan.todo:
        from research.bite import bites  # these import torch, which a finished study spares
        from research.execution import crew_of

        check_sizes(plan)
        if plan.rounds is None or len(plan.rounds.looks) == 1:  # else they were looked at before
            plan = replace(plan, bites=bites(plan))
        crew = crew_of(executor, workers, request.device, plan)
    tracker = connect(project)
    reconcile(tracker)
    observe(plan)
    failed: list[Outcome] = []
    with parent_run(plan, tracker, project.runs / "leases") as parent:
        if plan.todo:
            from research.execution import execute
            from research.weights import drop_others

            written = time.monotonic()
            try:
                for event in execute(plan, request, project, parent, executor, crew):
                    observe(event)
                    if not isinstance(event, Outcome) or event.status == "taken":
                        continue
                    identity = event.job.labels.fingerprint
                    if event.status == "failed":
                        failed.append(event)
                        mark_failed(tracker, identity, event.error)
                    plan = refreshed(plan, tracker, request, identity, event.error)
                    drop_others(plan, project, event.job.labels.cell)
                    if time.monotonic() - written > WRITE_EVERY_S:
                        parent.write(plan)
                        written = time.monotonic()
            finally:
                parent.write(plan)
        if any((project.runs / "checkpoints").glob("*")):
            from research.weights import keep_weights

            keep_weights(plan, tracker, project)
        parent.failed = bool(failed)
    return Carried(plan, parent.run_id, tuple(failed))


def _tuned(
    plan: Plan,
    study: str | Study,
    request: Request,
    project: Project,
    executor: str,
    workers: int | None,
    observe: Observer,
) -> Plan:
    """A plan whose nuisance values are tuned for each cell, which takes a search of each."""
    from research.execution import crew_of  # these import torch, which a finished study spares
    from research.tuning.nuisance import tune_cells, tuned_so_far

    found = None if request.fresh else tuned_so_far(plan, project)
    if found is None:
        check_sizes(plan)
        crew = crew_of(executor, workers, request.device)
        found = tune_cells(plan, request, project, executor=executor, crew=crew, observe=observe)
    return prepare(study, request, project, connect(project, create=False), found)


def check_sizes(plan: Plan) -> None:
    """Refuses a plan with nets that cannot take their input, naming all of them."""
    from research.inspection import check_buildable

    problems: list[str] = []
    for cell in plan.cells:
        try:
            check_buildable(cell.recipe, plan.control_data)
        except InvalidInput as error:
            problems += [f"cell '{cell.name}': {problem}" for problem in error.problems]
    if problems:
        raise InvalidInput(*problems)
