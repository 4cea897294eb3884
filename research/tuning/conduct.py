"""A search from what is asked to its record: trials, confirmation, the winner as a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from research import registry
from research.execution import crew_of
from research.executors import Outcome
from research.parent import hosted
from research.project import Project
from research.request import Request
from research.study import Study
from research.tracking.database import connect
from research.tracking.recording import reconcile
from research.tuning import Options
from research.tuning.confirm import (
    Confirmed,
    against_start,
    confirm,
    forget,
    open_test,
    spec_of,
    winner,
)
from research.tuning.plan import SearchPlan, prepare_search
from research.tuning.recipe import recipe_study, write_recipe
from research.tuning.record import Made, content_of, keep, read_record
from research.tuning.search import (
    Search,
    best_first,
    carry_out_search,
    check_code,
    opening_of,
)
from research.tuning.storage import open_search, storage_of, trials_of

DEFAULT_EXECUTOR = "processes"
Observer = Callable[[Any], None]  # of the plan, events, what was told, what is to be confirmed


@dataclass(frozen=True)
class Searched:
    """A search that was carried out: its record, its parent run, confirmations that failed."""

    plan: SearchPlan
    content: dict[str, Any]
    parent: str
    failed: tuple[Outcome, ...]


def tune(
    name: str | Study,
    request: Request,
    options: Options,
    project: Project,
    *,
    executor: str = DEFAULT_EXECUTOR,
    workers: int | None = None,
    observe: Observer = lambda event: None,
) -> Searched:
    """A study, or the name of a study or model, to its search.

    Trials that ended are not trained again. Raises `InvalidInput` before anything is made,
    KeyboardInterrupt when stopped.
    """
    registry.executors.entry(executor)
    crew = crew_of(executor, workers, request.device)
    plan = prepare_search(name, request, options, project, connect(project, create=False))
    return carry_out(plan, request, project, executor=executor, crew=crew, observe=observe)


def carry_out(
    plan: SearchPlan,
    request: Request,
    project: Project,
    *,
    executor: str,
    crew: int,
    observe: Observer,
    write: bool = True,
) -> Searched:
    """A plan to its search; ``write`` says whether the winner becomes a recipe."""
    where = storage_of(plan, project)
    study = open_search(plan, where, project, fresh=request.fresh)
    check_code(plan, study, accept=request.accept_code)
    tracker = connect(project)
    reconcile(tracker)
    observe(plan)
    opening = opening_of(plan, study.study_name)
    with hosted(opening, tracker, project.runs / "leases") as parent:
        search = Search(plan, study, parent, request, project)
        before = read_record(search)
        made = Made()
        try:
            carry_out_search(search, executor, crew, where, observe)
            _conclude(search, made, before, where, executor, crew, observe, project, write=write)
        finally:
            content = content_of(search, where, made, before)
            keep(content, search, made.recipe)
        parent.failed = bool(made.failed)
    return Searched(plan, content, parent.run_id, tuple(made.failed))


def _conclude(
    search: Search,
    made: Made,
    before: Mapping[str, Any],
    where: str,
    executor: str,
    crew: int,
    observe: Observer,
    project: Project,
    *,
    write: bool,
) -> None:
    """Confirms the best, writes the recipe, opens the test split if that is asked."""
    options = search.plan.options
    confirmed, failed = confirm(search, where, executor, crew, observe)
    made.confirmed, made.failed = confirmed, failed
    kept = bool(before.get("confirmed")) and not confirmed  # by an earlier command
    if write and not kept:
        made.recipe = _written(search, confirmed, project)
    won = winner(confirmed, options.metric)
    if options.test and won is not None:
        made.tested, more = open_test(search, won, where, executor, crew, observe)
        made.failed += more
        forget(search, confirmed)


def _written(search: Search, confirmed: list[Confirmed], project: Project) -> Path | None:
    """The winner's recipe, in the project's studies: of the confirmed, else the best trial."""
    plan = search.plan
    won = winner(confirmed, plan.options.metric)
    if won is not None and won.trial is None:
        spec, how = plan.start, "the start itself, as no other setting confirmed was better"
    else:
        found = best_first(trials_of(search.study), plan.options.metric)
        if not found:
            return None
        number = found[0].number if won is None else won.trial
        trial = next(one for one in found if one.number == number)
        spec, how = spec_of(search, trial), f"trial {number}"
    made = recipe_study(plan, spec, _about(search, how, won, confirmed))
    return write_recipe(made, project.root / "ablations", plan.key[:8])


def _about(search: Search, how: str, won: Confirmed | None, confirmed: list[Confirmed]) -> str:
    """What a recipe says of where it comes from, and of how sure that is."""
    plan, metric = search.plan, search.plan.options.metric
    images = ", ".join(f"{len(getattr(plan.splits, one))} {one}" for one in ("train", "val"))
    text = (
        f"The winner of the search {search.study.study_name}, by {metric}: {how}. Sought on "
        f"{plan.location.name} ({images} images), {plan.profile} profile, "
        f"{plan.start.training.epochs} epochs; its limits on images are kept here."
    )
    if won is None:
        text += " It was not confirmed with fresh seeds."
    else:
        text += f" With fresh seeds: {', '.join(f'{score:.4f}' for score in won.scores)}."
        for effect in against_start(confirmed, metric, plan.study.margin):
            if effect.cell == won.cell:
                text += f" Against the start: {effect.effect:+.4f}, {effect.verdict}."
    if plan.study.folds is not None:
        text += " It was sought on one split: images of other folds' tests chose it."
    return text
