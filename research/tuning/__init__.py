"""A search for the best settings of a recipe: Optuna asks, the same runs answer.

`plan` says what is searched, `search` carries it out, `confirm` trains the best with fresh seeds,
`record` keeps what a report needs. Everything is judged on validation: the test split stays closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

METRICS = ("val/accuracy", "val/macro_f1", "val/loss")
SAMPLERS = ("tpe", "gp", "cmaes", "random", "qmc", "grid")
PRUNERS = ("hyperband", "median", "none")
CANDIDATES = 3  # of the best configurations are confirmed
Goal = Literal["minimize", "maximize"]


@dataclass(frozen=True)
class Options:
    """How a search goes about it, beside what it is of; none of it changes which search it is."""

    trials: int
    timeout_s: float | None = None
    sampler: str = "tpe"
    pruner: str = "hyperband"
    metric: str = "val/accuracy"
    seed: int = 0
    confirm: int = 5
    test: bool = False
    storage: str | None = None


def goal(metric: str) -> Goal:
    """Whether a metric is to be small or large."""
    return "minimize" if metric == "val/loss" else "maximize"
