"""Reports from tracked runs alone: effects, one self-contained page, a table for the terminal."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from research.project import Project
from research.reporting import latex, pictures, wording
from research.reporting.cautions import cautions, incomplete
from research.reporting.effects import cells_table, context, effects, effects_table
from research.reporting.frame import LOOKS, Frame, find_parent, read_frame
from research.reporting.markdown import markdown
from research.reporting.page import page
from research.reporting.tables import cell_rows, term_rows
from research.stats import Effect
from research.tracking import VIEW, Point, Tracker, mark_of


@dataclass(frozen=True)
class Report:
    """A study judged: ``effects`` has the columns of ``effects.csv``, ``html`` is the page."""

    study: str
    parent_run_id: str
    complete: bool
    effects: pd.DataFrame
    cells: pd.DataFrame
    runs: pd.DataFrame
    rows: list[dict[str, str]]  # the table of cells, as text
    terms: list[dict[str, str]]  # that of a factorial's terms
    sentences: list[str]
    notes: list[str]
    synthetic: bool
    html: Path
    older: tuple[str, ...] = ()
    view: str = ""  # the fragment of MLflow's address that shows the runs by cell

    def as_json(self) -> dict[str, Any]:
        """The report as INTERFACE promises it to programs."""
        columns = ["cell", "fold", "seed", "run_id", "status", "fingerprint"]
        runs = self.runs[columns].astype(object)
        rows = self.effects.astype(object)
        failed = self.runs[(self.runs["status"] == "FAILED") | (self.runs["error"] != "")]
        failed = failed[["cell", "fold", "seed", "run_id", "error"]].astype(object)
        return {
            "study": self.study,
            "parent_run_id": self.parent_run_id,
            "complete": self.complete,
            "runs": runs.where(runs.notna(), None).to_dict("records"),
            "effects": rows.where(rows.notna(), None).to_dict("records"),
            "failed": failed.where(failed.notna(), None).to_dict("records"),
            "report": str(self.html),
        }


def report(name: str, tracker: Tracker, project: Project) -> Report:
    """A study's name or a parent's run id to its report, written, and kept with the parent run."""
    parent, older = find_parent(name, tracker)
    frame = read_frame(parent, tracker)
    found, other = effects(frame), context(frame)
    cells = cells_table(frame)
    folder = project.runs / "reports" / f"{frame.study.name}-{frame.plan['study_hash'][:8]}"
    with tempfile.TemporaryDirectory() as name_of_folder:
        beside = Path(name_of_folder)
        _write(beside, frame, found, other, cells)
        tracker.log_files(parent.run_id, beside)
        view = _share(frame)
        _log(frame, found, cells, view)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(beside, folder)
        folder.chmod(0o755)  # a temporary folder is its owner's alone
    missing = incomplete(frame)
    return Report(
        study=frame.study.name,
        parent_run_id=parent.run_id,
        complete=bool(((frame.runs["status"] == "FINISHED") & (frame.runs["error"] == "")).all()),
        effects=effects_table(found),
        cells=cells,
        runs=frame.runs,
        rows=cell_rows(cells, found, other),
        terms=term_rows(found),
        sentences=[wording.sentence(effect, frame) for effect in found],
        notes=missing + cautions(frame),
        synthetic=frame.synthetic,
        html=folder / "report.html",
        older=tuple(run.run_id for run in older),
        view=view,
    )


def _write(
    folder: Path, frame: Frame, found: list[Effect], other: list[Effect], cells: pd.DataFrame
) -> None:
    """The files of a report."""
    yaml_text = (frame.tracker.read_file(frame.parent.run_id, "study.yaml") or b"").decode()
    html = page(frame, found, other, cells, yaml_text)
    (folder / "report.html").write_text(html, encoding="utf-8")
    effects_table(found).to_csv(folder / "effects.csv", index=False)
    cells.to_csv(folder / "cells.csv", index=False)
    (folder / "effects.tex").write_text(latex.table(frame, found), encoding="utf-8")
    (folder / "report.md").write_text(markdown(frame, found, other, cells), encoding="utf-8")
    forest = pictures.forest(frame, found)
    if forest is not None:
        forest.savefig(folder / "forest.png", dpi=110)


def _share(frame: Frame) -> str:
    """Keeps a view of the runs, grouped by cell, in MLflow; gives how its address ends."""
    paths = sorted({path for factor in frame.study.factors.values() for path in factor.paths})
    mark = mark_of(frame.plan["study_hash"])
    for run_id in frame.runs["run_id"].dropna().unique():
        if frame.tracked[run_id].tags.get(mark) != "true":  # another study made it
            frame.tracker.set_tags(run_id, {mark: "true"})
    return frame.tracker.share_view(
        frame.parent.run_id, mark, frame.study.name, frame.study.metric, paths
    )


def _log(frame: Frame, found: list[Effect], cells: pd.DataFrame, view: str) -> None:
    """Effects, means and SDs on the parent run, and its note."""
    values = {}
    for effect in found:
        values[f"effect/{effect.cell}"] = effect.effect
        values[f"effect_low/{effect.cell}"] = effect.low
        values[f"effect_high/{effect.cell}"] = effect.high
        values[f"p_adjusted/{effect.cell}"] = effect.p_adjusted
    for row in cells.to_dict("records"):
        values[f"mean/{row['cell']}"] = row["mean"]
        values[f"sd/{row['cell']}"] = row["sd"]
    now = int(time.time() * 1000)
    known = frame.parent.metrics
    kinds = ("effect", "effect_low", "effect_high", "p_adjusted", "mean", "sd")
    gone = {name: float("nan") for name in known if name.split("/")[0] in kinds}  # if not told now
    points = [
        Point(name, float(value), 0, now)
        for name, value in (gone | values).items()
        if not _same(known.get(name), value)
    ]
    frame.tracker.log(frame.parent.run_id, points)
    tags = {"mlflow.note.content": _note(frame, found, view), LOOKS: json.dumps(frame.looks)}
    tags |= {VIEW: view}
    frame.tracker.set_tags(frame.parent.run_id, tags)


def _same(before: float | None, now: float) -> bool:
    """Whether a metric need not be logged: it stands already, or was never there."""
    if before is None or pd.isna(before):
        return bool(pd.isna(now))
    return before == now


def _note(frame: Frame, found: list[Effect], view: str) -> str:
    picture = f"![](get-artifact?path=forest.png&run_uuid={frame.parent.run_id})"
    warning = ["**Synthetic data.**", ""] if frame.synthetic else []
    notes = [f"- {note}" for note in incomplete(frame) + cautions(frame)]
    lines = [f"- {wording.sentence(effect, frame)}" for effect in found]
    text = "\n".join([*warning, *notes, *lines])
    return f"{text[:7000]}\n\n{picture}\n\n[The runs, by cell]({view})\n"
