"""An ablation: a plan to its runs, each tracked, under one parent run, and to what it cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from research import registry
from research.design import to_be_tuned
from research.errors import InvalidInput
from research.executors import Event, Outcome
from research.parent import parent_run
from research.planning import Plan, prepare, refreshed
from research.project import Project
from research.request import Request
from research.study import Study
from research.tracking.database import connect
from research.tracking.recording import mark_failed, reconcile

DEFAULT_EXECUTOR = "processes"
WRITE_EVERY_S = 5.0  # at most so often is the plan's record brought up to date
Observer = Callable[[Plan | Event], None]


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
    waiting = to_be_tuned(plan.study, {})
    if waiting:
        paths = ", ".join(plan.study.nuisance.paths if plan.study.nuisance else ())
        raise InvalidInput(
            f"nuisance: {paths} is to be tuned for {len(waiting)} cells first, which this version "
            "cannot do by itself; leave nuisance out of the study, or run the specs that "
            "research.plan(study, tuned=...) makes of values that you found"
        )
    crew = 1
    if plan.todo:
        from research.bite import bites  # these import torch, which a finished study spares
        from research.execution import crew_of

        crew = crew_of(executor, workers, request.device)
        check_sizes(plan)
        if plan.rounds is None or len(plan.rounds.looks) == 1:  # else they were looked at before
            plan = replace(plan, bites=bites(plan))
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
