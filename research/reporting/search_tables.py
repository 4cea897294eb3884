"""A search's record to its tables, as text."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from typing import Any

from research.reporting import search_pictures as pictures
from research.reporting import wording

Content = Mapping[str, Any]
STATES = ("finished", "pruned", "failed")


def counts(content: Content) -> dict[str, int]:
    """Trials by how they ended."""
    return {state: sum(t["state"] == state for t in content["trials"]) for state in STATES}


def best_trial(content: Content) -> Mapping[str, Any] | None:
    """The best finished trial, the first of equals."""
    sign = 1 if content["goal"] == "minimize" else -1
    done = pictures.finished(content)
    return min(done, key=lambda t: (sign * t["value"], t["number"]), default=None)


def score(content: Content, value: float | None, digits: int = 1) -> str:
    """A value of the metric as people read it."""
    if value is None or not math.isfinite(value):
        return "–"
    if content["metric"] == "val/loss":
        return f"{value:.4f}"
    return f"{wording.percent(value, digits)} %"


def named(cell: str | None) -> str:
    """``trial-7`` as people say it."""
    return "the start" if cell == "start" else f"Trial {str(cell).removeprefix('trial-')}"


def trial_rows(content: Content, most: int | None = None) -> list[dict[str, str]]:
    """The table of trials, the best first, then those that were given up, then the failed."""
    sign = 1 if content["goal"] == "minimize" else -1
    order = {state: place for place, state in enumerate(STATES)}

    def rank(trial: Content) -> tuple[int, float, int]:
        value = trial["value"]
        known = value is not None and math.isfinite(value)
        return order.get(trial["state"], 9), sign * value if known else 0.0, trial["number"]

    rows = []
    for trial in sorted(content["trials"], key=rank)[:most]:
        seconds = trial["seconds"]
        state = trial["state"]
        if trial["duplicate_of"] is not None:
            state += f", as trial {trial['duplicate_of']}"
        if trial["halves"]:
            state += ", in halves of a batch"
        row = {
            "number": str(trial["number"]),
            "value": score(content, trial["value"]),
            "state": state,
            "epochs": str(trial["epochs"] or "–"),
            "seconds": wording.duration(seconds) if seconds is not None else "–",
            "reason": trial["reason"],
        }
        for name in content["space"]:
            row[name] = value_text(trial["params"].get(name, "–"))
        rows.append(row)
    return rows


def value_text(value: Any) -> str:
    """A dimension's value in few characters."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return value if isinstance(value, str) else json.dumps(value)


def confirmed_rows(content: Content) -> list[dict[str, str]]:
    """The table of confirmed settings."""
    effects = {effect["cell"]: effect for effect in content["effects"]}
    rows = []
    for one in content["confirmed"]:
        effect = effects.get(one["cell"])
        loss = content["metric"] == "val/loss"
        change = "–" if effect is None else (
            f"{effect['effect']:+.4f}" if loss else wording.points(effect["effect"])
        )  # fmt: skip
        rows.append(
            {
                "setting": "start" if one["trial"] is None else f"trial {one['trial']}",
                "mean": score(content, one["mean"]),
                "interval": f"{score(content, one['low'])} to {score(content, one['high'])}",
                "scores": ", ".join(score(content, value) for value in one["scores"]),
                "gain": change,
                "p": "–" if effect is None else wording.p_text(effect["p_adjusted"]),
                "verdict": "" if effect is None else effect["verdict"],
            }
        )
    return rows


def rests(content: Content) -> list[tuple[str, str]]:
    """Data, sampler, seeds, versions and the command that repeats the search."""
    data = content["data"]
    images = ", ".join(f"{count} {name}" for name, count in data["images"].items())
    hardware = content["hardware"]
    return [
        ("data", f"{data['source']}: {images} images, digest {data['digest']}"),
        ("sampler", f"{content['sampler']}, seed {content['seed']}"),
        ("pruner", content["pruner"]),
        ("seed of trials", str(content["training_seed"])),
        ("epochs", str(content["epochs"])),
        ("trials kept in", content["storage"]),
        ("winner", content["recipe"] or "none yet"),
        ("hardware", f"{hardware['processor']}, {hardware['cores']} cores"),
        ("versions", ", ".join(f"{name} {v}" for name, v in content["versions"].items())),
        ("repeat it with", shlex.join(content["command"])),
    ]
