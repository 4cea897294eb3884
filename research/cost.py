"""What a plan costs: sizes of nets, seconds of runs, bytes of disk."""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from research.arithmetic import Arithmetic, find_device
from research.data import Splits
from research.data.folds import used
from research.design import Cell
from research.errors import InvalidInput
from research.inspection import Cost, check_buildable, count, estimate_run_s
from research.planning import Plan
from research.provenance import hardware
from research.request import Request
from research.run import device_name

START_S = 8.0  # of a study: libraries, processes, the report
OVERHEAD_S = 0.5  # of a run: its start, its record, its artifacts
PICTURES_BYTES = 120_000
ADAM_COPIES = 4  # weights, two moments, the selected weights


@dataclass(frozen=True)
class PlanCost:
    """Of each cell; and of all that is still to be run, in seconds and in bytes of disk."""

    cells: Mapping[str, Cost]
    total_s: float
    disk_bytes: int
    device: str


def cost_of(plan: Plan, request: Request, workers: int) -> PlanCost:
    """A plan to its cost with so many workers.

    Seconds are of finished runs on this device, else of steps measured with a worker's share of it.
    """
    device = find_device(request.device)
    torch.set_num_threads(max(1, int(hardware()["cores"]) // workers))
    open_runs = {run.fingerprint: run.cell.name for run in plan.todo}
    cells: dict[str, Cost] = {}
    problems: list[str] = []
    for cell in plan.cells:
        data = _data_of(plan, cell)
        try:
            check_buildable(cell.recipe, data)
            cells[cell.name] = count(cell.recipe, len(data.classes))
        except InvalidInput as error:
            problems += [f"cell '{cell.name}': {problem}" for problem in error.problems]
    if problems:
        raise InvalidInput(*problems)
    here = f"{device.type}: {device_name(device)}"
    for cell in plan.cells:
        seconds = _tracked_run_s(plan, cell, here)
        if seconds is None and cell.name in open_runs.values():
            training = cell.recipe.training
            arithmetic = Arithmetic(device, training.precision, training.memory_format)  # type: ignore[arg-type]
            seconds = estimate_run_s(cell.recipe, _data_of(plan, cell), arithmetic)
        cells[cell.name] = replace(cells[cell.name], run_s=seconds)
    return PlanCost(
        cells=cells,
        total_s=_total_s([cells[name].run_s or 0 for name in open_runs.values()], workers),
        disk_bytes=_disk_bytes(plan, cells, list(open_runs.values())),
        device=here,
    )


def cost_of_seeds(
    plan: Plan, cost: PlanCost, seeds: Mapping[str, int], workers: int
) -> tuple[int, float, int]:
    """Runs, seconds and bytes of disk for so many seeds of each cell, less what is finished."""
    folds = plan.study.folds if isinstance(plan.study.folds, int) else 1
    open_runs: list[str] = []
    seconds: list[float] = []
    for name, wanted in seeds.items():
        runs = [run for run in plan.runs if run.cell.name == name]
        done = sum(run.state == "finished" for run in runs)
        more = max(0, wanted * folds - done)
        open_runs += [name] * more
        seconds += [_run_s(plan, cost, name)] * more
    total = _total_s(seconds, workers)
    return len(open_runs), total, _disk_bytes(plan, cost.cells, open_runs)


def _run_s(plan: Plan, cost: PlanCost, name: str) -> float:
    """Seconds of a cell's run; of one that was not measured, as finished elsewhere, the middle."""
    known = [one.run_s for one in cost.cells.values() if one.run_s is not None]
    return cost.cells[name].run_s or (statistics.median(known) if known else 0.0)


def _total_s(runs_s: list[float], workers: int) -> float:
    """Seconds of runs that are handed to workers one by one as these get free."""
    free_at = [0.0] * workers
    for run_s in runs_s:
        heapq.heapreplace(free_at, free_at[0] + run_s + OVERHEAD_S)
    return max(free_at) + START_S if runs_s else 0.0


def _tracked_run_s(plan: Plan, cell: Cell, device: str) -> float | None:
    """The median seconds of a cell's finished runs on this device, or None."""
    runs = [run for run in plan.runs if run.cell.name == cell.name and run.state == "finished"]
    seconds = [
        run.tracked.metrics["epoch_s"] * cell.recipe.training.epochs
        for run in runs
        if run.tracked is not None
        and run.tracked.tags.get("device") == device
        and "epoch_s" in run.tracked.metrics
    ]
    return statistics.median(seconds) if seconds else None


def _disk_bytes(plan: Plan, cells: Mapping[str, Cost], open_runs: list[str]) -> int:
    """Predictions and pictures of every run, weights that are kept, the largest checkpoint."""
    if not open_runs:
        return 0
    kept_data = used(plan.control_data, plan.cells[0].recipe.data.params)
    rows = len(kept_data.val) + len(kept_data.test)
    each = rows * (2 * len(kept_data.classes) + 4) + PICTURES_BYTES
    kept = open_runs if plan.study.save == "all" else sorted(set(open_runs))
    weights = sum(cells[name].weights_bytes for name in kept) if plan.study.save != "none" else 0
    checkpoint = ADAM_COPIES * max(cells[name].weights_bytes for name in open_runs)
    return len(open_runs) * each + 2 * weights + checkpoint


def _data_of(plan: Plan, cell: Cell) -> Splits:
    digest = next(run.data_digest for run in plan.runs if run.cell.name == cell.name)
    return plan.data[digest]
