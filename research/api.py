"""The package's public functions, which the command line calls as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from research import design, reporting
from research.ablation import DEFAULT_EXECUTOR, Observer, carry_out
from research.data.cache import load
from research.data.folds import count_of
from research.data.location import locate
from research.planning import read_params
from research.project import Project
from research.reporting import Report
from research.reporting.search import TuneResult, search_report
from research.request import MAX_SEEDS, Request
from research.spec import RunSpec
from research.studies import load_study
from research.study import Study
from research.tracking.database import connect
from research.validation import complete_cells


def plan(
    study: str | Study, tuned: Mapping[str, Mapping[str, Any]] | None = None
) -> tuple[RunSpec, ...]:
    """A study, or its name, to its run specs, every default filled in, identical ones once.

    ``tuned`` maps a cell's name to dotted paths and values of that cell alone. Raises
    `research.InvalidInput` with everything that is wrong.
    """
    if isinstance(study, str):
        study, origin = load_study(study, Project.find())
        with origin.locating():
            return plan(study, tuned)
    cells = design.tuned_cells(design.cells(study), tuned or {})
    location = locate(study.base.data.name, Project.find().root)
    cells = complete_cells(study, cells, location.source)
    if study.folds is not None:
        folds = count_of(load(location, read_params(cells[0].recipe)), study.folds)
        study, cells = design.with_folds(study, cells, folds)
        return design.replicate(cells, study.seeds, folds)
    return design.replicate(cells, study.seeds)


def ablate(
    study: str | Study,
    *,
    data: str | None = None,
    design: str | None = None,
    factors: Sequence[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    epochs: int | None = None,
    changes: Mapping[str, Any] | None = None,
    profile: Literal["quick", "full"] | None = None,
    variant: str | None = None,
    device: str | None = None,
    executor: str = DEFAULT_EXECUTOR,
    workers: int | None = None,
    fresh: bool = False,
    accept_code: bool = False,
    until_resolved: bool = False,
    max_seeds: int = MAX_SEEDS,
    root: str | Path | None = None,
    observe: Observer = lambda event: None,
) -> Report:
    """Plans a study, runs what is not finished, and reports it.

    ``until_resolved`` adds seeds in rounds, at most ``max_seeds``, to cells that are not decided.
    Raises `research.InvalidInput` before anything is started, KeyboardInterrupt when stopped; a
    run that fails does not stop the others and stands in the report.
    """
    request = Request(
        data=data,
        design=design,
        factors=factors,
        seeds=list(seeds) if isinstance(seeds, Sequence) else seeds,
        epochs=epochs,
        changes=changes or {},
        profile=profile,
        variant=variant,
        device=device,
        fresh=fresh,
        accept_code=accept_code,
    )
    project = Project.find(Path(root) if root else None)
    given: dict[str, Any] = {"executor": executor, "workers": workers, "observe": observe}
    if until_resolved:
        from research.resolving import resolve

        done = resolve(study, request, project, max_seeds=max_seeds, **given)
    else:
        done = carry_out(study, request, project, **given)
    return reporting.report(done.parent, connect(project), project)


def tune(
    study: str | Study,
    *,
    trials: int,
    timeout_s: float | None = None,
    sampler: str = "tpe",
    pruner: str = "hyperband",
    metric: str = "val/accuracy",
    seed: int = 0,
    confirm: int = 5,
    test: bool = False,
    storage: str | None = None,
    data: str | None = None,
    epochs: int | None = None,
    changes: Mapping[str, Any] | None = None,
    profile: Literal["quick", "full"] | None = None,
    variant: str | None = None,
    device: str | None = None,
    executor: str = DEFAULT_EXECUTOR,
    workers: int | None = None,
    fresh: bool = False,
    accept_code: bool = False,
    root: str | Path | None = None,
    observe: Callable[[Any], None] = lambda event: None,
) -> TuneResult:
    """Seeks the best settings of a study's control, confirms them, reports; ``trials`` in all.

    The test split is opened with ``test`` alone. Raises `research.InvalidInput` before anything is
    started, KeyboardInterrupt when stopped; asked again, it goes on.
    """
    from research.tuning import Options
    from research.tuning.conduct import tune as conduct

    request = Request(
        data=data,
        epochs=epochs,
        changes=changes or {},
        profile=profile,
        variant=variant,
        device=device,
        fresh=fresh,
        accept_code=accept_code,
    )
    options = Options(
        trials=trials,
        timeout_s=timeout_s,
        sampler=sampler,
        pruner=pruner,
        metric=metric,
        seed=seed,
        confirm=confirm,
        test=test,
        storage=storage,
    )
    project = Project.find(Path(root) if root else None)
    done = conduct(
        study, request, options, project, executor=executor, workers=workers, observe=observe
    )
    return search_report(done.parent, connect(project), project)


def report(study_name: str, *, root: str | Path | None = None) -> Report:
    """A study's name, or a parent run's id, to its report, from tracked runs alone."""
    project = Project.find(Path(root) if root else None)
    return reporting.report(study_name, connect(project, create=False), project)


def train(spec: RunSpec, *, device: str | None = None, root: str | Path | None = None) -> str:
    """Trains and tests one spec, tracked under ``train/<model>``; gives its run id.

    A finished run of the same spec and data is not trained again.
    """
    from research.single import train_one

    project = Project.find(Path(root) if root else None)
    return train_one(spec, replace(Request(), device=device), project).run_id
