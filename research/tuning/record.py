"""What a report of a search needs, as one file beside its parent run: ``search.json``."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from research.provenance import hardware, versions
from research.tuning import goal
from research.tuning.confirm import Confirmed, against_start, winner
from research.tuning.importance import importances
from research.tuning.plan import SearchPlan
from research.tuning.search import Search
from research.tuning.storage import counted, trials_of

FILE = "search.json"
STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


def content_of(
    search: Search,
    storage: str,
    confirmed: Sequence[Confirmed],
    tested: Mapping[str, Sequence[float]],
    recipe: Path | None,
) -> dict[str, Any]:
    """A search as it stands, JSON-like; ``tested`` are test scores by seed, if these were asked."""
    plan = search.plan
    data = plan.splits
    metric = plan.options.metric
    effects = against_start(confirmed, metric, plan.study.margin)
    won = winner(confirmed, metric)
    return {
        "study": plan.study.name,
        "title": plan.study.title,
        "search": search.study.study_name,
        "storage": storage,
        "profile": plan.profile,
        "command": list(plan.command),
        "data": {
            "source": plan.location.name,
            "digest": data.digest,
            "synthetic": data.synthetic,
            "images": {name: len(getattr(data, name)) for name in ("train", "val", "test")},
        },
        "metric": plan.options.metric,
        "goal": goal(plan.options.metric),
        "margin": plan.study.margin,
        "asked": plan.options.trials,
        "sampler": plan.options.sampler,
        "pruner": plan.options.pruner,
        "seed": plan.options.seed,
        "training_seed": plan.start.seed,
        "epochs": plan.start.training.epochs,
        "start": plan.start.model_dump(mode="json"),
        "own": None if plan.own is None else dict(plan.own),
        "space": {
            name: {**asdict_of(dimension), "told": dimension.told()}
            for name, dimension in plan.space.dimensions.items()
        },
        "trials": [trial_row(trial) for trial in counted(trials_of(search.study))],
        "confirmed": [
            asdict(one) | dict(zip(("low", "high"), one.interval(), strict=True))
            | {"mean": one.mean()}
            for one in confirmed
        ],
        "importances": importances(
            counted(trials_of(search.study)), plan.space, goal(plan.options.metric)
        ),
        "effects": [asdict(effect) for effect in effects],
        "tested": {"metric": plan.study.metric, "scores": dict(tested)},
        "winner": None if won is None else won.cell,
        "recipe": None if recipe is None else str(recipe),
        "versions": versions(),
        "hardware": hardware(),
    }  # fmt: skip


def asdict_of(dimension: Any) -> dict[str, Any]:
    """A dimension, JSON-like."""
    content: dict[str, Any] = dimension.model_dump(mode="json", exclude_defaults=True)
    return content


def trial_row(trial: FrozenTrial) -> dict[str, Any]:
    """A trial as a report shows it; ``value`` is that of the selected epoch, or the last one."""
    duration = trial.duration
    steps: Mapping[int, float] = trial.intermediate_values
    done = trial.state == TrialState.COMPLETE
    last = steps[max(steps)] if steps else None
    return {
        "number": trial.number,
        "state": STATES[trial.state],
        "value": trial.value if done else last,
        "params": dict(trial.params),
        "run_id": trial.user_attrs.get("run_id", ""),
        "reason": trial.user_attrs.get("reason", ""),
        "duplicate_of": trial.user_attrs.get("duplicate_of"),
        "halves": "out_of_memory" in trial.user_attrs,
        "epochs": max(steps, default=0),
        "seconds": None if duration is None else duration.total_seconds(),
        "curve": [[step, value] for step, value in sorted(steps.items())],
    }


def keep(content: Mapping[str, Any], search: Search, recipe: Path | None) -> None:
    """Keeps a search's content, and the recipe, beside its parent run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = json.dumps(content, indent=1, allow_nan=True)
        (folder / FILE).write_text(text, encoding="utf-8")
        if recipe is not None:
            (folder / "recipe.yaml").write_bytes(recipe.read_bytes())
        search.parent.tracker.log_files(search.parent.run_id, folder)


def plan_facts(plan: SearchPlan) -> list[tuple[str, str]]:
    """Each dimension with what it may be."""
    return [(name, dimension.told()) for name, dimension in plan.space.dimensions.items()]
