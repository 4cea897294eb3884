"""A search from what is asked to its record: trials, confirmation, the winner as a recipe."""

from __future__ import annotations

from collections.abc import Callable
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
from research.tuning.confirm import Confirmed, confirm, forget, open_test, spec_of, winner
from research.tuning.plan import SearchPlan, prepare_search
from research.tuning.recipe import recipe_study, write_recipe
from research.tuning.record import content_of, keep
from research.tuning.search import Search, best_first, carry_out_search, opening_of
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
    study, _ = open_search(plan, where, project, fresh=request.fresh)
    tracker = connect(project)
    reconcile(tracker)
    observe(plan)
    opening = opening_of(plan, study.study_name)
    with hosted(opening, tracker, project.runs / "leases") as parent:
        search = Search(plan, study, parent, request, project)
        confirmed: list[Confirmed] = []
        failed: list[Outcome] = []
        recipe: Path | None = None
        tested: dict[str, list[float]] = {}
        try:
            carry_out_search(search, executor, crew, where, observe)
            confirmed, failed = confirm(search, where, executor, crew, observe)
            recipe = _written(search, confirmed, project) if write else None
            won = winner(confirmed, plan.options.metric)
            if plan.options.test and won is not None:
                tested, more = open_test(search, won, where, executor, crew, observe)
                failed += more
                forget(search, confirmed)
        finally:
            content = content_of(search, where, confirmed, tested, recipe)
            keep(content, search, recipe)
        parent.failed = bool(failed)
    return Searched(plan, content, parent.run_id, tuple(failed))


def _written(search: Search, confirmed: list[Confirmed], project: Project) -> Path | None:
    """The winner's recipe, in the project's studies: of the confirmed, else the best trial."""
    plan = search.plan
    won = winner(confirmed, plan.options.metric)
    if won is not None and won.trial is None:
        spec, how = plan.start, "the start itself, which no confirmed setting beat"
    else:
        found = best_first(trials_of(search.study), plan.options.metric)
        if not found:
            return None
        number = found[0].number if won is None else won.trial
        trial = next(one for one in found if one.number == number)
        spec, how = spec_of(search, trial), f"trial {number}"
    if won is None:
        how += ", which was not confirmed with fresh seeds"
    else:
        scores = ", ".join(f"{score:.4f}" for score in won.scores)
        how += f"; {plan.options.metric} with {len(won.scores)} fresh seeds: {scores}"
    about = f"The winner of the search {search.study.study_name}: {how}."
    made = recipe_study(plan, spec, about)
    return write_recipe(made, project.root / "ablations", plan.key[:8])
