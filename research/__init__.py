"""Ablation studies of image classifiers: planned, run, tracked in MLflow, judged and reported.

Importing this is cheap; what is named here is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from research import stats as stats
    from research.api import ablate as ablate
    from research.api import plan as plan
    from research.api import report as report
    from research.api import train as train
    from research.api import tune as tune
    from research.data import load_data as load_data
    from research.errors import InvalidInput as InvalidInput
    from research.losses import build_loss as build_loss
    from research.models import build_model as build_model
    from research.models import model_names as model_names
    from research.reporting import Report as Report
    from research.reporting.search import TuneResult as TuneResult
    from research.spec import RunSpec as RunSpec
    from research.study import Study as Study

__version__ = "0.1.0"

_HOMES = {
    "ablate": "api",
    "plan": "api",
    "report": "api",
    "train": "api",
    "tune": "api",
    "load_data": "data",
    "InvalidInput": "errors",
    "build_loss": "losses",
    "build_model": "models",
    "model_names": "models",
    "Report": "reporting",
    "TuneResult": "reporting.search",
    "RunSpec": "spec",
    "Study": "study",
}
__all__ = [*_HOMES, "stats"]


def __getattr__(name: str) -> Any:
    if name == "stats":
        return importlib.import_module("research.stats")
    if name in _HOMES:
        return getattr(importlib.import_module(f"research.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'research' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
