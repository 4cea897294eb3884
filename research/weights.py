"""Which trained weights a study keeps: of each cell the seed that is best on validation."""

from __future__ import annotations

import statistics

from research.checkpoint import Checkpoint
from research.planning import Plan, PlannedRun
from research.project import Project
from research.tracking import Tracked, Tracker


def drop_others(plan: Plan, project: Project, cell: str) -> None:
    """Removes the files of a cell's finished runs that will not be kept, so that disks last."""
    kept = _kept(plan, cell)
    for run, one in _finished(plan, cell):
        if one.run_id not in kept:
            checkpoint_of(run, project).clear()


def keep_weights(plan: Plan, tracker: Tracker, project: Project) -> None:
    """Logs the weights that the study's ``save`` asks for as models; drops the files."""
    for cell in plan.cells:
        kept = _kept(plan, cell.name)
        for run, one in _finished(plan, cell.name):
            checkpoint = checkpoint_of(run, project)
            file = checkpoint.weights_file(int(one.metrics.get("best_epoch", 0)))
            if one.run_id in kept and not one.tags.get("model_id") and file.is_file():
                about = {"cell": cell.name, "seed": str(run.seed), "study": plan.study.name}
                tracker.log_model(one.run_id, file, about)
            checkpoint.clear()


def checkpoint_of(run: PlannedRun, project: Project) -> Checkpoint:
    """Where a run's state and weights stand."""
    return Checkpoint(project.runs / "checkpoints" / run.fingerprint)


def _finished(plan: Plan, cell: str) -> list[tuple[PlannedRun, Tracked]]:
    runs = [run for run in plan.runs if run.cell.name == cell and run.state == "finished"]
    return [(run, run.tracked) for run in runs if run.tracked is not None]


def _kept(plan: Plan, cell: str) -> set[str]:
    """Ids of the runs whose weights are kept; on equal scores those of the earliest.

    Folds are validated on other images each: all folds of the seed with the best mean are kept.
    """
    finished = _finished(plan, cell)
    if plan.study.save != "best":
        return {run.run_id for _, run in finished} if plan.study.save == "all" else set()
    recipe = next(one.recipe for one in plan.cells if one.name == cell)
    by = recipe.training.select_by
    name = f"selected/{'val_accuracy' if by == 'last' else by.replace('/', '_')}"
    sign = -1 if recipe.training.select_by == "val/loss" else 1
    seeds: dict[int, list[Tracked]] = {}
    for planned, run in finished:
        if name in run.metrics:
            seeds.setdefault(planned.seed, []).append(run)

    def rank(runs: list[Tracked]) -> tuple[float, int]:
        mean = statistics.fmean(run.metrics[name] for run in runs)
        return -sign * mean, min(run.started_ms for run in runs)

    return {run.run_id for run in min(seeds.values(), key=rank)} if seeds else set()
