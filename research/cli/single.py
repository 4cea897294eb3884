"""What ``research train`` does: a dry run, or one run, printed."""

from __future__ import annotations

import shlex

import typer

from research.arithmetic import Arithmetic, find_device
from research.cli import console, heading
from research.cli.progress import RunLine, live_bars
from research.inspection import count, estimate_run_s
from research.project import Project
from research.provenance import busy
from research.records import Epoch, Step
from research.reporting import wording
from research.request import Request, find_control
from research.run import Done
from research.single import Ready, make_ready, train_one
from research.spec import RunSpec
from research.study import Study
from research.tracking.database import connect
from research.tracking.lease import Taken

SHOWN = (
    *("test/accuracy", "test/accuracy_single_view", "test/accuracy_no_leak", "test/macro_f1"),
    *("test/log_loss", "test/ece"),
)


def show_plan(name: str, seed: int, request: Request, *, as_json: bool) -> None:
    """Prints what would be trained and what it would cost; tracks nothing."""
    project = Project.find()
    study, origin, profile, spec, _ = find_control(name, seed, request, project)
    with origin.locating():
        ready = make_ready(spec, request, project, connect(project, create=False))
    training = ready.spec.training
    device = find_device(request.device)
    seconds = None
    if ready.state != "finished":
        console.err().print("measuring a few steps ...")
        arithmetic = Arithmetic(device, training.precision, training.memory_format)  # type: ignore[arg-type]
        seconds = estimate_run_s(ready.spec, ready.splits, arithmetic)
    if as_json:
        cost = count(ready.spec, len(ready.splits.classes))
        console.print_json(
            {
                "state": ready.state,
                "fingerprint": ready.labels.fingerprint,
                "spec": ready.spec.model_dump(mode="json"),
                "data": {"source": ready.location.name, "synthetic": ready.location.synthetic},
                "parameters": cost.parameters,
                "macs": cost.macs,
                "estimated_s": seconds,
            }
        )
        return
    for line in _heading(study, profile, request, ready):
        console.out().print(line, markup=False)
    if seconds is not None:
        text = f"time      about {wording.duration(seconds)} on {device.type}"
        console.out().print(text, markup=False)
        if found := busy():
            console.out().print(f"machine   {found}", markup=False)


def conduct(name: str, seed: int, request: Request, *, as_json: bool) -> None:
    """Trains the control of a study, prints its scores."""
    project = Project.find()
    study, origin, profile, spec, _ = find_control(name, seed, request, project)
    try:
        with origin.locating():
            done = _train(study, profile, spec, request, project)
    except KeyboardInterrupt:
        command = shlex.join(console.again())
        console.err().print(f"stopped; go on with: {command}", markup=False)
        raise typer.Exit(130) from None
    except Taken as other:
        text = f"{other} trains this very run; ask again when it is done"
        console.err().print(text, markup=False)
        raise typer.Exit(1) from None
    _print(done, project, as_json=as_json)


def _heading(study: Study, profile: str, request: Request, ready: Ready) -> list[str]:
    cost = count(ready.spec, len(ready.splits.classes))
    return heading.of_run(study, profile, request.variant or "", ready, cost)


def _train(study: Study, profile: str, spec: RunSpec, request: Request, project: Project) -> Done:
    err = console.err()
    with live_bars(err) as bars:
        line = RunLine(spec.training.epochs)
        row = bars.add_task(spec.model.name, total=1.0, text="")

        def observe(record: Ready | Epoch | Step) -> None:
            if isinstance(record, Ready):
                for text in _heading(study, profile, request, record):
                    err.print(text, markup=False)
                return
            line.show(record)
            bars.update(row, completed=line.part, text=line.text)
            if isinstance(record, Epoch):
                err.print(line.text, markup=False)

        return train_one(spec, request, project, observe)


def _print(done: Done, project: Project, *, as_json: bool) -> None:
    tracker = connect(project)
    run = tracker.get(done.run_id)
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
    if best := run.metrics.get("best_epoch"):
        out.print(f"{'epoch tested':27}{best:.0f}", markup=False)
    for name in SHOWN:
        if name in run.metrics:
            value = run.metrics[name]
            text = f"{value:.3f}" if name == "test/log_loss" else f"{wording.percent(value)} %"
            out.print(f"{wording.metric_name(name):27}{text}", markup=False)
    how = "finished before" if done.how == "reused" else done.how
    out.print(f"run       {done.run_id} ({how})", markup=False)
    out.print(f"files     {tracker.artifacts(done.run_id)}", markup=False)
    out.print(console.browse(), markup=False)
