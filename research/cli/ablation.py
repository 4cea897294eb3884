"""What ``research ablate`` does: a dry run's plan, or the study itself, printed."""

from __future__ import annotations

import math
import shlex
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from research import reporting
from research.ablation import carry_out, check_sizes
from research.cli import console, heading
from research.cli.progress import StudyProgress
from research.cli.report import print_report
from research.design import changes
from research.planning import Plan, PlannedRun, prepare
from research.project import Project
from research.provenance import busy
from research.reporting import wording
from research.request import Request
from research.tracking.database import connect

if TYPE_CHECKING:
    from research.cost import PlanCost
    from research.foresight import Foresight

MARKS = {"finished": "✓", "new": "·", "begun": "…", "stale": "!", "taken": "↻"}
LEGEND = "✓ finished   · to run   … begun, goes on   ! made by other code   ↻ running elsewhere"


def show_plan(
    name: str,
    request: Request,
    executor: str,
    workers: int | None,
    detect: float | None = None,
    most: int | None = None,
    *,
    as_json: bool,
) -> None:
    """Prints what would be run and what it would cost; tracks nothing."""
    from research.cost import cost_of  # these import torch, which a finished study spares
    from research.execution import crew_of
    from research.resolving import looks_of

    project = Project.find()
    tracker = connect(project, create=False)
    plan = prepare(name, request, project, tracker)
    if plan.study.nuisance is not None:
        from research.tuning.nuisance import tuned_so_far

        found = tuned_so_far(plan, project)
        plan = prepare(name, request, project, tracker, found) if found else plan
    if detect is not None:
        from research.foresight import check_detect

        check_detect(plan.study, detect)
    crew = crew_of(executor, workers, request.device)
    if plan.todo:
        from research.bite import bites

        console.err().print("comparing cells, measuring a few steps of each ...")
        check_sizes(plan)
        plan = replace(plan, bites=bites(plan))
    cost = cost_of(plan, request, crew)
    foresight = None
    if detect is not None:
        from research.foresight import foresee, told

        foresight = foresee(plan, detect, tracker)
    if as_json:
        content = plan_as_json(plan, cost)
        if foresight is not None:
            content["detect"] = {"effect": detect, "contrasts": [asdict(one) for one in foresight]}
        console.print_json(content)
        return
    out = console.out()
    for line in heading.of_plan(plan):
        out.print(line, markup=False)
    out.print(_plan_table(plan, cost))
    out.print(LEGEND, style="dim")
    for line in _beyond(plan):
        out.print(line, style="yellow", markup=False)
    if foresight is not None and detect is not None:
        out.print()
        out.print(told(detect, foresight), markup=False)
        out.print(_foresight_table(plan, foresight))
        out.print(_of_more_seeds(plan, cost, crew, wanted_seeds(plan, foresight)), markup=False)
        out.print()
    if most is not None:
        looks = ", ".join(map(str, looks_of(most)))
        text = f"rounds    looks at {looks} seeds; what is decided, or hopeless, gets no more"
        out.print(text, markup=False)
        every = {cell.name: most for cell in plan.cells if cell.role != "context"}
        text = _of_more_seeds(plan, cost, crew, every)
        out.print(f"          at the very most {text.removeprefix('that is ')}", markup=False)
    todo, finished = len(plan.todo), plan.distinct - len(plan.todo)
    line = f"{plan.distinct} runs: {finished} finished, {todo} to run"
    if plan.waits and plan.study.nuisance is not None:
        trials = plan.study.nuisance.trials
        spent = trials * sum(cost.cells[cell.name].run_s or 0.0 for cell in plan.cells) / crew
        text = f"{len(plan.cells)} cells x {trials} trials"
        out.print(f"tuning    {text} before them: about {wording.duration(spent)}", markup=False)
    if todo:
        line += (
            f"; about {wording.duration(cost.total_s)} with {crew} at a time on {cost.device}, "
            f"{cost.disk_bytes / 1e6:,.0f} MB of disk"
        )
    out.print(line, markup=False)
    if todo and (crowd := busy()):
        out.print(f"machine   {crowd}", markup=False)


def conduct(
    name: str,
    request: Request,
    executor: str,
    workers: int | None,
    most: int | None = None,
    *,
    as_json: bool,
) -> None:
    """Carries the study out, prints its table; exits with 1 if a run failed, 130 if stopped."""
    project = Project.find()
    err = console.err()

    def observe(event: object) -> None:
        if isinstance(event, Plan):
            again = event.rounds is not None and len(event.rounds.looks) > 1
            for line in heading.of_round(event) if again else heading.of_plan(event):
                err.print(line, markup=False)
        progress(event)

    try:
        with StudyProgress(err) as progress:
            if most is None:
                done = carry_out(
                    name, request, project, executor=executor, workers=workers, observe=observe
                )
            else:
                from research.resolving import resolve

                done = resolve(
                    name,
                    request,
                    project,
                    max_seeds=most,
                    executor=executor,
                    workers=workers,
                    observe=observe,
                )
    except KeyboardInterrupt:
        command = shlex.join(console.again())
        err.print(f"stopped; what is finished is kept. Go on with: {command}", markup=False)
        raise typer.Exit(130) from None
    report = reporting.report(done.parent, connect(project), project)
    if as_json:
        console.print_json(report.as_json())
    else:
        print_report(report, project)
    if done.failed:
        raise typer.Exit(1)


def plan_as_json(plan: Plan, cost: PlanCost) -> dict[str, object]:
    """A dry run for programs."""
    return {
        "study": plan.study.name,
        "profile": plan.profile,
        "data": {"source": plan.location.name, "synthetic": plan.location.synthetic},
        "cells": [
            {
                "name": cell.name,
                "role": cell.role,
                "levels": cell.levels,
                "parameters": cost.cells[cell.name].parameters,
                "macs": cost.cells[cell.name].macs,
                "run_s": cost.cells[cell.name].run_s,
                "bite": asdict(plan.bites[cell.name]) if cell.name in plan.bites else None,
                "runs": [
                    {
                        "fold": run.fold,
                        "seed": run.seed,
                        "state": run.state,
                        "fingerprint": run.fingerprint,
                    }
                    for run in plan.runs
                    if run.cell.name == cell.name
                ],
            }
            for cell in plan.cells
        ],
        "runs": plan.distinct,
        "finished": plan.distinct - len(plan.todo),
        "estimated_s": cost.total_s,
        "disk_bytes": cost.disk_bytes,
    }


def _plan_table(plan: Plan, cost: PlanCost) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("cell", "changes"):
        table.add_column(column)
    for column in ("parameters", "MACs", "a run"):
        table.add_column(column, justify="right")
    table.add_column("seeds")
    for cell in plan.cells:
        one = cost.cells[cell.name]
        runs = [run for run in plan.runs if run.cell.name == cell.name]
        table.add_row(
            cell.name,
            _changes(plan, cell.name),
            wording.amount(one.parameters),
            wording.amount(one.macs),
            wording.duration(one.run_s) if one.run_s is not None else "–",
            " ".join(_marks(runs, seed) for seed in plan.study.seeds),
        )
    return table


def _foresight_table(plan: Plan, found: list[Foresight]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("contrast")
    table.add_column("SD of a difference", justify="right")
    table.add_column("of new images alone", justify="right")
    table.add_column("seeds needed", justify="right")
    n = len(plan.study.seeds)
    margin = wording.percent(plan.study.margin)
    title = f"chance of 'equivalent' (±{margin}) with {n} seeds, if nothing differs"
    table.add_column(title, justify="right")
    table.add_column("from")
    for one in found:
        seeds = "too few test images" if one.seeds is None else str(one.seeds)
        chance = f"{wording.percent(one.equivalent, 0)} %"
        images = wording.percent(math.sqrt(one.images), 2)
        table.add_row(one.cell, wording.percent(one.sd, 2), images, seeds, chance, one.source)
    return table


def wanted_seeds(plan: Plan, found: list[Foresight]) -> dict[str, int]:
    """Seeds of each cell that find an effect where some number does; the control has the most."""
    seeds = {one.cell: one.seeds for one in found if one.seeds is not None}
    return {plan.cells[0].name: max(seeds.values()), **seeds} if seeds else {}


def _of_more_seeds(plan: Plan, cost: PlanCost, crew: int, seeds: dict[str, int]) -> str:
    """What so many seeds of each cell would cost, in words."""
    from research.cost import cost_of_seeds

    if not seeds:
        return "no number of seeds is enough with these test images"
    runs, seconds, size = cost_of_seeds(plan, cost, seeds, crew)
    many = max(seeds.values())
    return (
        f"that is {runs} runs more than are finished, with up to {many} seeds: about "
        f"{wording.duration(seconds)} with {crew} at a time, {size / 1e6:,.0f} MB of disk"
    )


def _changes(plan: Plan, name: str) -> str:
    control, cell = plan.cells[0], next(c for c in plan.cells if c.name == name)
    if cell.role == "context" and not cell.levels:
        return "context, outside the contrasts"
    before = {name: factor.control for name, factor in plan.study.factors.items()} | control.levels
    changed = [
        f"{factor}: {before[factor]} → {cell.levels[factor]}"
        for factor in changes(plan.study, control.levels, cell.levels)
    ]
    same = _same_as(plan, name)
    return "; ".join(changed) + (f" (the same runs as {same})" if same else "") or "–"


def _beyond(plan: Plan) -> list[str]:
    """Cells that change more than their factors are meant to."""
    return [
        f"{name} changes more than its factor: "
        + "; ".join(f"{part} ({bite.differs[part]})" for part in bite.beyond)
        for name, bite in plan.bites.items()
        if bite.beyond
    ]


def _same_as(plan: Plan, name: str) -> str:
    """An earlier cell with the same recipe, whose runs serve this one too."""
    mine = next(cell for cell in plan.cells if cell.name == name)
    for cell in plan.cells:
        if cell.name == name:
            return ""
        if cell.recipe.spec_hash == mine.recipe.spec_hash:
            return cell.name
    return ""


def _marks(runs: list[PlannedRun], seed: int) -> str:
    """A seed with the state of its run, or of each fold's."""
    return f"{seed}{''.join(MARKS[run.state] for run in runs if run.seed == seed)}"
