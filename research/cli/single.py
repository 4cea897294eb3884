"""What ``research train`` does: one run, printed."""

from __future__ import annotations

import shlex

import typer

from research import design
from research.cli import console
from research.cli.progress import RunLine, live_bars
from research.project import Project
from research.records import Epoch, Step
from research.reporting import wording
from research.request import Request, find_study
from research.run import Done
from research.single import train_one
from research.spec import RunSpec
from research.tracking.database import connect
from research.tracking.lease import Taken

SHOWN = (
    *("test/accuracy", "test/accuracy_single_view", "test/accuracy_no_leak", "test/macro_f1"),
    *("test/log_loss", "test/ece"),
)


def conduct(name: str, seed: int, request: Request, *, as_json: bool) -> None:
    """Trains the control of a study, prints its scores."""
    project = Project.find()
    study, origin, location = find_study(name, request, project)
    console.err().print(f"data      {location.name} ({location.why})", markup=False)
    if study.folds is not None:
        text = "folds     of the study are left out: this is one run, of one split"
        console.err().print(text, markup=False)
    alone = study.model_copy(update={"folds": None})  # one run is of one split
    with origin.locating():
        spec = design.seeded(design.cells(alone)[0].recipe, seed)
    try:
        done = _train(spec, request, project)
    except KeyboardInterrupt:
        command = shlex.join(console.again())
        console.err().print(f"stopped; go on with: {command}", markup=False)
        raise typer.Exit(130) from None
    except Taken as other:
        text = f"{other} trains this very run; ask again when it is done"
        console.err().print(text, markup=False)
        raise typer.Exit(1) from None
    _print(done, project, as_json=as_json)


def _train(spec: RunSpec, request: Request, project: Project) -> Done:
    err = console.err()
    with live_bars(err) as bars:
        line = RunLine(spec.training.epochs)
        row = bars.add_task(spec.model.name, total=1.0, text="")

        def observe(record: RunSpec | Epoch | Step) -> None:
            if isinstance(record, RunSpec):
                return
            line.show(record)
            bars.update(row, completed=line.part, text=line.text)
            if isinstance(record, Epoch):
                err.print(line.text, markup=False)

        return train_one(spec, request, project, observe)


def _print(done: Done, project: Project, *, as_json: bool) -> None:
    run = connect(project).get(done.run_id)
    assert run is not None
    if as_json:
        metrics = {k: v for k, v in run.metrics.items() if k.startswith(("test/", "selected/"))}
        content = {"run_id": done.run_id, "status": done.how, "diverged": done.diverged}
        console.print_json({**content, "metrics": metrics})
        return
    out = console.out()
    if run.tags.get("synthetic") == "true":
        out.print("SYNTHETIC data: these numbers say nothing about photographs of people.")
    if run.tags.get("tested_on_val") == "true":
        out.print(wording.TESTED_ON_VAL, style="yellow", markup=False)
    for name in SHOWN:
        if name in run.metrics:
            value = run.metrics[name]
            text = f"{value:.3f}" if name == "test/log_loss" else f"{wording.percent(value)} %"
            out.print(f"{wording.metric_name(name):24}{text}", markup=False)
    out.print(f"run       {done.run_id} ({done.how})", markup=False)
    out.print(console.browse(), markup=False)
