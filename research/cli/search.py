"""What ``research tune`` does: a dry run, or the search with its progress, its result printed."""

from __future__ import annotations

import errno
import shlex

import typer
from rich.table import Table

from research.cli import console, heading
from research.cli.search_progress import SearchProgress
from research.execution import crew_of
from research.project import Project
from research.reporting.search import TuneResult, read_content, search_report
from research.reporting.search_tables import confirmed_rows, trial_rows
from research.request import Request
from research.spec import value_at
from research.tracking.database import connect
from research.tuning import Options
from research.tuning.conduct import tune
from research.tuning.plan import SearchPlan, prepare_search
from research.tuning.storage import ended_before

SHOWN = 8  # trials of the final table


def show_plan(
    name: str,
    request: Request,
    options: Options,
    executor: str,
    workers: int | None,
    *,
    as_json: bool,
) -> None:
    """Prints what would be sought and what it would cost at most; tracks nothing."""
    from research.tuning.cost import cost_of_search

    project = Project.find()
    crew = crew_of(executor, workers, request.device)
    plan = prepare_search(name, request, options, project, connect(project, create=False))
    done = 0 if request.fresh else min(ended_before(plan, project), options.trials)
    console.err().print("measuring a few steps ...")
    cost = cost_of_search(plan, crew, request.device)
    if as_json:
        console.print_json(
            {
                "study": plan.study.name,
                "search": plan.name,
                "space": plan.space.as_json(),
                "start": plan.start.model_dump(mode="json"),
                "trials": options.trials,
                "ended": done,
                "confirmations": cost.confirmations,
                "estimated_s": cost.total_s,
            }
        )
        return
    out = console.out()
    for line in heading.of_search(plan):
        out.print(line, markup=False)
    out.print(space_table(plan))
    out.print(heading.cost_of_search(plan, cost, crew), markup=False)
    if done:
        out.print(f"{done} of {options.trials} trials have ended; it goes on from these")


def space_table(plan: SearchPlan) -> Table:
    """Each dimension, what it may be, what the start has."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("dimension", "values", "path", "the start has"):
        table.add_column(column)
    for name, dimension in plan.space.dimensions.items():
        when = "; ".join(
            f"where {other} is {' or '.join(map(str, allowed))}"
            for other, allowed in dimension.when.items()
        )
        held = value_at(plan.start, dimension.path) if dimension.path else None
        own = held if plan.own is None else plan.own.get(name)
        own = "–" if own is None else own
        told = f"{dimension.told()}{f' ({when})' if when else ''}"
        table.add_row(name, told, dimension.path or "several", str(own))
    return table


def conduct(
    name: str,
    request: Request,
    options: Options,
    executor: str,
    workers: int | None,
    *,
    as_json: bool,
) -> None:
    """Carries a search out and prints what it found; exits with 1 if a confirmation failed."""
    project = Project.find()
    err = console.err()
    try:
        with SearchProgress(err) as progress:
            done = tune(
                name, request, options, project, executor=executor, workers=workers,
                observe=progress,
            )  # fmt: skip
    except KeyboardInterrupt:
        command = shlex.join(console.again())
        ended = sum(trial.state.is_finished() for trial in progress.trials)
        what = f"after {ended} of {options.trials} trials, which are kept"
        err.print(f"stopped {what}. Go on with: {command}", markup=False)
        raise typer.Exit(130) from None
    except Exception as error:
        if not is_full(error):
            raise
        err.print(
            "the disk is full; what was told to the search is kept: make room, and ask again",
            style="red",
        )
        raise typer.Exit(1) from None
    tracker = connect(project)
    made = search_report(done.parent, tracker, project)
    if as_json:
        console.print_json(made.as_json())
    else:
        print_search(made, read_content(done.parent, tracker))
    if done.failed or not made.counts["finished"]:
        raise typer.Exit(1)


def is_full(error: BaseException | None) -> bool:
    """Whether an error comes of a disk without room, however deep that is."""
    while error is not None:
        if getattr(error, "errno", None) == errno.ENOSPC or "disk is full" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def print_search(made: TuneResult, content: dict[str, object]) -> None:
    """A search's best trials, what was confirmed, and where all of it is."""
    out = console.out()
    if made.synthetic:
        out.print(
            "SYNTHETIC data: these numbers say nothing about photographs of people.", style="yellow"
        )
    space = list(content["space"])  # type: ignore[call-overload]
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    for column in ("trial", "value", "state", "epochs", *space):
        table.add_column(column, justify="left" if column == "state" else "right")
    for row in trial_rows(content, SHOWN):
        table.add_row(*(row[name] for name in ("number", "value", "state", "epochs", *space)))
    out.print(table)
    if len(made.trials) > SHOWN:
        out.print(f"and {len(made.trials) - SHOWN} more, all in the report")
    rows = confirmed_rows(content)
    if rows:
        out.print()
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("setting", "mean", "interval", "gain", "p", "verdict"):
            table.add_column(column, justify="left" if column == "verdict" else "right")
        for row in rows:
            names = ("setting", "mean", "interval", "gain", "p", "verdict")
            table.add_row(*(row[name] for name in names))
        out.print(table)
    out.print()
    for sentence in made.sentences:
        out.print(sentence, markup=False)
    out.print()
    if made.recipe is not None:
        out.print(f"recipe    {made.recipe}", markup=False)
        out.print(f"          research train {made.recipe.stem}", markup=False)
        if "\nfactors:" in made.recipe.read_text(encoding="utf-8"):
            out.print(f"          research ablate {made.recipe.stem}", markup=False)
    out.print(f"report    {made.html}", markup=False)
    out.print(f"trials    optuna-dashboard {content['storage']}", markup=False)
    out.print(console.browse(), markup=False)
    out.print(f"view      {console.address()}/{made.view}", markup=False)
