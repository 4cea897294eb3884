"""A search from what is tracked of it: sentences, tables, one self-contained page."""

from __future__ import annotations

import json
import re
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
from research.reporting.search_tables import best_trial, confirmed_rows, counts, rests, trial_rows
from research.reporting.search_wording import told
from research.tracking import VIEW, Tracked, Tracker, mark_of

FILE = "search.json"
Content = Mapping[str, Any]
RUN_ID = re.compile(r"[0-9a-f]{32}")
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
