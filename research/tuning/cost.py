"""What a search costs at most: every trial trained to its end, then the confirmations."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from research.arithmetic import Arithmetic, find_device
from research.inspection import estimate_run_s
from research.provenance import hardware
from research.tuning import CANDIDATES
from research.tuning.plan import SearchPlan


@dataclass(frozen=True)
class SearchCost:
    """Seconds of a run of the start, of everything; how many confirmations there are."""

    run_s: float
    confirmations: int
    total_s: float


def cost_of_search(plan: SearchPlan, workers: int, device: str | None) -> SearchCost:
    """A plan to what it costs with so many workers, told by the start's own speed."""
    torch.set_num_threads(max(1, int(hardware()["cores"]) // workers))
    training = plan.start.training
    arithmetic = Arithmetic(find_device(device), training.precision, training.memory_format)  # type: ignore[arg-type]
    run_s = estimate_run_s(plan.start, plan.splits, arithmetic)
    confirmations = (CANDIDATES + 1) * plan.options.confirm
    total_s = (plan.options.trials + confirmations) * run_s / workers
    if plan.options.timeout_s is not None:
        total_s = min(plan.options.timeout_s, plan.options.trials * run_s / workers)
        total_s += confirmations * run_s / workers
    return SearchCost(run_s, confirmations, total_s)
