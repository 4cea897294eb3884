"""A search from what is tracked of it: sentences, tables, one self-contained page."""

from __future__ import annotations

import json
import math
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from research import figures
from research.errors import InvalidInput
from research.project import Project
from research.reporting import search_pictures as pictures
from research.reporting import wording
from research.reporting.markdown import rows_of
from research.tracking import VIEW, Tracked, Tracker, mark_of

FILE = "search.json"
Content = Mapping[str, Any]
RUN_ID = re.compile(r"[0-9a-f]{32}")
STATES = ("finished", "pruned", "failed")
PICTURES: Mapping[str, Callable[[Content], Figure | None]] = {
    "history": pictures.history,
    "importances": pictures.importances,
    "slices": pictures.slices,
    "parallel": pictures.parallel,
    "contour": pictures.contour,
}
SHOWN = ("number", "value", "state", "epochs", "seconds")


@dataclass(frozen=True)
class TuneResult:
    """A search judged: ``trials`` has a row for each, ``html`` is the page.

    ``best`` has ``params`` and ``value`` of the best trial, ``confirmed`` mean, interval and number
    of fresh seeds of the winner, or is None; ``recipe`` is the winner's study file.
    """

    study: str
    parent_run_id: str
    counts: dict[str, int]
    best: dict[str, Any] | None
    confirmed: dict[str, Any] | None
    winner: str | None
    recipe: Path | None
    trials: pd.DataFrame
    sentences: list[str]
    synthetic: bool
    html: Path
    view: str

    def as_json(self) -> dict[str, Any]:
        """The result as INTERFACE promises it to programs."""
        return {
            "study": self.study,
            "parent_run_id": self.parent_run_id,
            "trials": self.counts,
            "best": self.best,
            "confirmed": self.confirmed,
            "winner": self.winner,
            "recipe": None if self.recipe is None else str(self.recipe),
            "report": str(self.html),
        }


def search_report(parent: str, tracker: Tracker, project: Project) -> TuneResult:
    """A search's parent run to its report, written, and kept with that run."""
    content = read_content(parent, tracker)
    run = tracker.get(parent)
    assert run is not None
    folder = project.runs / "reports" / f"{content['search']}"
    mark = mark_of(run.tags["study_hash"])
    view = tracker.share_view(
        parent, mark, content["study"], f"selected/{content['metric'].replace('/', '_')}",
        sorted({d["path"] for d in content["space"].values() if d.get("path")}), by="",
    )  # fmt: skip
    sentences = told(content)
    trials = pd.DataFrame(content["trials"])
    with tempfile.TemporaryDirectory() as name:
        beside = Path(name)
        (beside / "report.html").write_text(_page(content, sentences), encoding="utf-8")
        (beside / "report.md").write_text(_markdown(content, sentences), encoding="utf-8")
        flat = trials.drop(columns=["curve", "params"]).join(
            pd.json_normalize(list(trials["params"]))  # a column for each dimension
        ) if len(trials) else trials  # fmt: skip
        flat.to_csv(beside / "trials.csv", index=False)
        for name_of_picture, draw in PICTURES.items():
            figure = draw(content)
            if figure is not None:
                figure.savefig(beside / f"{name_of_picture}.png", dpi=110)
        table = {"columns": list(flat.columns), "data": _plain(flat)}
        (beside / "trials.json").write_text(json.dumps(table), encoding="utf-8")
        tracker.log_files(parent, beside)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(beside, folder)
        folder.chmod(0o755)
    note = "\n".join(f"- {sentence}" for sentence in sentences)
    picture = f"![](get-artifact?path=history.png&run_uuid={parent})"
    text = f"{note[:7000]}\n\n{picture}\n\n[The trials]({view})\n"
    tracker.set_tags(parent, {"mlflow.note.content": text, VIEW: view})
    return TuneResult(
        study=content["study"],
        parent_run_id=parent,
        counts=counts(content),
        best=_best(content),
        confirmed=_confirmed(content),
        winner=content["winner"],
        recipe=None if content["recipe"] is None else Path(content["recipe"]),
        trials=trials,
        sentences=sentences,
        synthetic=bool(content["data"]["synthetic"]),
        html=folder / "report.html",
        view=view,
    )


def _plain(table: pd.DataFrame) -> list[list[Any]]:
    """The rows of a table as MLflow's own tables have them: NaN is null."""
    rows: list[list[Any]] = json.loads(table.to_json(orient="values"))
    return rows


def find_search(name: str, tracker: Tracker) -> str | None:
    """``tune/NAME`` or a search's parent run id to that id; None where it is none of a search.

    Raises `InvalidInput` where no search has that name.
    """
    if name.startswith("tune/"):
        every = tracker.find(kind="search")
        names = [f"tune/{run.tags['study']}{_of_cell(run)}" for run in every]
        found = [run for run, one in zip(every, names, strict=True) if one == name]
        if not found:
            known = sorted(set(names))
            more = f"; there are {', '.join(known)}" if known else ""
            raise InvalidInput(f"'{name}': there is no such search{more}")
        return found[0].run_id
    run = tracker.get(name) if RUN_ID.fullmatch(name) else None
    return name if run is not None and run.tags.get("kind") == "search" else None


def _of_cell(run: Tracked) -> str:
    """What the name of a search for one cell of a study ends with."""
    return f".{run.tags['cell']}" if run.tags.get("cell") else ""


def read_content(parent: str, tracker: Tracker) -> dict[str, Any]:
    """The record of a search from its parent run. Raises `InvalidInput`."""
    text = tracker.read_file(parent, FILE)
    if text is None:
        raise InvalidInput(f"run {parent}: has no {FILE}; it is no search, or its files are gone")
    content: dict[str, Any] = json.loads(text)
    return content


def counts(content: Content) -> dict[str, int]:
    """Trials by how they ended."""
    return {state: sum(t["state"] == state for t in content["trials"]) for state in STATES}


def best_trial(content: Content) -> Mapping[str, Any] | None:
    """The best finished trial, the first of equals."""
    sign = 1 if content["goal"] == "minimize" else -1
    done = pictures.finished(content)
    return min(done, key=lambda t: (sign * t["value"], t["number"]), default=None)


def _best(content: Content) -> dict[str, Any] | None:
    found = best_trial(content)
    if found is None:
        return None
    return {"trial": found["number"], "params": found["params"], "value": found["value"]}


def _confirmed(content: Content) -> dict[str, Any] | None:
    for one in content["confirmed"]:
        if one["cell"] == content["winner"]:
            return {name: one[name] for name in ("mean", "low", "high")} | {
                "n": len(one["scores"]),
                "cell": one["cell"],
            }
    return None


def score(content: Content, value: float | None, digits: int = 1) -> str:
    """A value of the metric as people read it."""
    if value is None or not math.isfinite(value):
        return "–"
    if content["metric"] == "val/loss":
        return f"{value:.4f}"
    return f"{wording.percent(value, digits)} %"


def told(content: Content) -> list[str]:
    """What the search came to, in sentences."""
    number = counts(content)
    metric = wording.metric_name(content["metric"])
    best = best_trial(content)
    ended = ", ".join(f"{count} {state}" for state, count in number.items() if count)
    many = sum(number.values())
    asked = f"{many} trials" if many >= content["asked"] else f"{many} of {content['asked']} trials"
    lines = [f"{asked}: {ended or 'none has ended'}."]
    if best is None:
        return [*lines, "No trial was trained to its end, so there is nothing to recommend."]
    lines.append(
        f"Trial {best['number']} was the best: {metric} {score(content, best['value'])}. The best "
        "of many trials is partly luck, so this is too good to be expected again."
    )
    return [*lines, *_of_confirmation(content)]


def _of_confirmation(content: Content) -> list[str]:
    """What fresh seeds made of the best, against the start."""
    metric = wording.metric_name(content["metric"])
    if not content["confirmed"]:
        if not content["confirm"]:
            return ["Nothing was confirmed with fresh seeds: --confirm 0.", *_of_test(content)]
        why = "no setting but the start was trained to its end, or it was stopped before"
        return [f"Nothing was confirmed with fresh seeds: {why}.", *_of_test(content)]
    if content["winner"] is None:
        return ["No setting has a score with every fresh seed, so none is confirmed."]
    one = next(c for c in content["confirmed"] if c["cell"] == content["winner"])
    n = len(one["scores"])
    bounds = f"{score(content, one['low'])} to {score(content, one['high'])}"
    means = [c["mean"] for c in content["confirmed"]]
    equal = means.count(one["mean"]) > 1
    lines = [
        f"With {n} fresh seeds {named(content['winner'])} is "
        f"{'as good as any' if equal else 'the best'} of the {len(means)} confirmed: {metric} "
        f"{score(content, one['mean'])} (95 % interval of the mean over seeds {bounds}). As the "
        "best of several, on images that the search chose by, this too leans a little high."
    ]
    if content["confirmed_of"] != content["asked"]:
        lines.append(f"That was after {content['confirmed_of']} trials, not after those asked now.")
    lines += [_against(content, effect) for effect in content["effects"]]
    return [*lines, *_of_test(content)]


def _of_test(content: Content) -> list[str]:
    """What the test split said, where that was asked."""
    if content["data"]["tested_on_val"]:
        return ["The test images are the validation images, which the search chose by."]
    openings = content["tested"]["openings"]
    if not openings:
        return ["All of it is on validation images; the test split was not opened."]
    scores = openings[-1]["scores"]
    metric = wording.metric_name(content["tested"]["metric"])
    lines = []
    for cell, values in scores.items():
        known = [value for value in values if math.isfinite(value)]
        mean = sum(known) / len(known) if known else math.nan
        each = ", ".join(wording.percent(value) for value in values)
        name = named(cell)
        lines.append(
            f"{name[0].upper()}{name[1:]} has {metric} {wording.percent(mean)} % ({each})."
        )
    first = f"What was confirmed after {openings[-1]['trials']} trials was tested, on request."
    if len(openings) > 1:
        first += (
            f" The test split had been opened for this search {len(openings) - 1} times before: "
            "what was chosen since is chosen after the test was seen."
        )
    if content["folds"] is not None:
        lines.append(
            "The study has folds: images of other folds' tests were among those sought on."
        )
    return [first, *lines]


def _against(content: Content, effect: Content) -> str:
    """One confirmed setting against the start."""
    name = named(effect["cell"])
    if content["metric"] == "val/loss":
        change = f"{effect['effect']:+.4f} of loss it falls by"
        bounds = f"{effect['low']:+.4f} to {effect['high']:+.4f}"
    else:
        change = f"{wording.points(effect['effect'])} points"
        bounds = wording.interval(effect["low"], effect["high"])
    if not math.isfinite(effect["p"]):
        return f"{name} against the start: {change}; too few seeds, or none that differ, to judge."
    more = f"({change}; 95 % interval {bounds}, adjusted p {wording.p_text(effect['p_adjusted'])})"
    if effect["verdict"] == "helps":
        return f"{name} beats the start {more}."
    if effect["verdict"] == "hurts":
        return f"{name} is worse than the start {more}."
    if effect["verdict"] == "equivalent":
        return f"{name} is as good as the start, within the margin {more}."
    return f"{name} is not shown to differ from the start {more}."


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


def _page(content: Content, sentences: list[str]) -> str:
    environment = Environment(
        loader=PackageLoader("research.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("search.html.j2").render(
        study=content["study"],
        profile=content["profile"],
        metric=wording.metric_name(content["metric"]),
        synthetic=content["data"]["synthetic"],
        sentences=sentences,
        **{name: _drawn(draw(content)) for name, draw in PICTURES.items()},
        confirmed=confirmed_rows(content),
        names=list(content["space"]),
        space=[(name, one["told"], one.get("path", "")) for name, one in content["space"].items()],
        own=content["own"],
        trials=trial_rows(content),
        rests=rests(content),
    )


def _markdown(content: Content, sentences: list[str]) -> str:
    lines = [f"# Search of {content['study']}", ""]
    if content["data"]["synthetic"]:
        lines += ["**Synthetic data: says nothing about photographs of people.**", ""]
    lines += [f"- {sentence}" for sentence in sentences]
    if content["confirmed"]:
        columns = ("mean", "interval", "scores", "gain", "p", "verdict")
        lines += ["", *rows_of("setting", confirmed_rows(content), columns)]
    columns = (*SHOWN[1:], *content["space"], "reason")
    lines += ["", *rows_of("number", trial_rows(content), columns)]
    return "\n".join([*lines, "", *(f"- {name}: {value}" for name, value in rests(content)), ""])


def _drawn(figure: Figure | None) -> Markup | None:
    return None if figure is None else Markup(figures.svg(figure))  # noqa: S704
