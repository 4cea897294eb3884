"""What a report of a search needs, as one file beside its parent run: ``search.json``."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from research.executors import Outcome
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


@dataclass
class Made:
    """What a command has made of a search after its trials, as far as it came.

    ``tested`` are test scores by seed, if these were asked.
    """

    confirmed: list[Confirmed] = field(default_factory=list)
    tested: dict[str, list[float]] = field(default_factory=dict)
    recipe: Path | None = None
    failed: list[Outcome] = field(default_factory=list)


def read_record(search: Search) -> dict[str, Any]:
    """What an earlier command recorded of a search; empty where there was none."""
    text = search.parent.tracker.read_file(search.parent.run_id, FILE)
    try:
        found: dict[str, Any] = json.loads(text) if text else {}
    except ValueError:  # cut off by a full disk
        found = {}
    return found


def content_of(
    search: Search, storage: str, made: Made, before: Mapping[str, Any]
) -> dict[str, Any]:
    """A search as it stands, JSON-like, with what an earlier command confirmed or tested."""
    plan = search.plan
    data, metric = plan.splits, plan.options.metric
    trials = counted(trials_of(search.study))
    openings = list(before.get("tested", {}).get("openings", []))
    if made.tested:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        openings.append({"at": now, "trials": len(trials), "scores": made.tested})
    return {
        "study": plan.study.name,
        "title": plan.study.title,
        "search": search.study.study_name,
        "cell": plan.label.removeprefix("."),
        "storage": storage,
        "profile": plan.profile,
        "command": list(plan.command),
        "folds": plan.study.folds,
        "data": {
            "source": plan.location.name,
            "digest": data.digest,
            "synthetic": data.synthetic,
            "tested_on_val": data.tested_on_val,
            "images": {name: len(getattr(data, name)) for name in ("train", "val", "test")},
        },
        "metric": metric,
        "goal": goal(metric),
        "margin": plan.study.margin,
        "asked": plan.options.trials,
        "confirm": plan.options.confirm,
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
        "trials": [trial_row(trial) for trial in trials],
        "importances": importances(trials, plan.space, goal(metric)),
        **_confirmed(plan, made, before),
        "tested": {"metric": plan.study.metric, "openings": openings},
        "versions": versions(),
        "hardware": hardware(),
    }


def _confirmed(plan: SearchPlan, made: Made, before: Mapping[str, Any]) -> dict[str, Any]:
    """What was confirmed, and what became of it; where nothing was now, what was before."""
    names = ("confirmed", "effects", "winner", "recipe", "confirmed_of")
    if not made.confirmed and before.get("confirmed"):
        return {name: before.get(name) for name in names}
    metric = plan.options.metric
    won = winner(made.confirmed, metric)
    effects = against_start(made.confirmed, metric, plan.study.margin)
    return {
        "confirmed": [
            asdict(one)
            | dict(zip(("low", "high"), one.interval(), strict=True))
            | {"mean": one.mean()}
            for one in made.confirmed
        ],
        "effects": [asdict(effect) for effect in effects],
        "winner": None if won is None else won.cell,
        "recipe": None if made.recipe is None else str(made.recipe),
        "confirmed_of": plan.options.trials if made.confirmed else None,
    }


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
