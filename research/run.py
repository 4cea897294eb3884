"""One run: the one place where a spec meets effects (data, device, checkpoint, tracker)."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from research.arithmetic import Arithmetic, reproducible, threads
from research.assembly import assemble, preprocessed, resident
from research.checkpoint import Checkpoint
from research.data import Splits
from research.data.folds import used
from research.evaluation import Predictions, pack, predict_split, scores, select_best
from research.inspection import count
from research.metrics import confusion, per_class
from research.provenance import git_state, hardware, versions
from research.records import Epoch, Step
from research.spec import RunSpec, flatten
from research.tracking import Tracker, lease
from research.tracking.recording import (
    Labels,
    Pruned,
    Recording,
    finished,
    recording,
    resumable,
    serving,
    taken,
)
from research.training import State, fit


def save_run(*given: Any) -> None:
    """`research.figures.save_run`, whose library takes a second to be loaded."""
    from research import figures

    figures.save_run(*given)


Report = Literal["finished", "reused", "pruned"]
Draw = Callable[[Callable[[], None]], object]
Pictures = Callable[
    [Path, NDArray[np.int64], Sequence[str], Sequence[Mapping[str, float]], int], None
]


@dataclass(frozen=True)
class Job:
    """A complete spec, what it is called, and whether a finished run of it will not do."""

    spec: RunSpec
    labels: Labels
    fresh: bool = False
    accept_code: bool = False
    keep: bool = False  # what it could go on from, for a run that inherits it
    inherits: bool = False  # what another run of the same spec was trained to, if it is kept

    @property
    def tested(self) -> bool:
        """Whether it ends with the test split; the runs of a search never see that."""
        return self.labels.kind == "run"


@dataclass(frozen=True)
class Place:
    """Where runs happen: what every run of a study shares."""

    tracker: Tracker
    data: Mapping[str, Splits]  # by digest
    device: torch.device
    folder: Path  # the project's mlruns/
    draw: Draw = lambda work: work()  # when pictures are drawn
    pictures: Pictures = save_run  # by whom


@dataclass(frozen=True)
class Done:
    """How a run ended: trained by this call, found finished by another, or given up half-way."""

    run_id: str
    how: Report
    diverged: bool = False


def run(job: Job, place: Place) -> Generator[Epoch | Step, None, Done]:
    """Trains a spec, tests it once, records everything; yields as it goes, returns how it ended.

    Raises `research.tracking.lease.Taken` where another process trains the same. Whoever throws
    `Pruned` into it ends it half-way: its curve is kept, what it could go on from is not.
    """
    labels = job.labels
    with lease.hold(place.folder / "leases", labels.fingerprint):
        found = place.tracker.find(fingerprint=labels.fingerprint)
        other = taken(found)
        found = serving(found, labels.kind)
        if other is not None:
            raise lease.Taken(lease.whose(other.tags[lease.TAG]))
        usable, _ = finished(found, labels.code_digest, accept_code=job.accept_code)
        if usable is not None and not job.fresh:
            return Done(usable.run_id, "reused", usable.tags.get("diverged") == "true")
        begun = None if job.fresh else resumable(found, labels.code_digest)
        training = job.spec.training
        arithmetic = Arithmetic(place.device, training.precision, training.memory_format)  # type: ignore[arg-type]
        params = flatten(job.spec.model_dump(mode="json"))
        same = int(begun.tags["threads"]) if begun else None  # or it would not end bit for bit
        with (
            threads(same),
            recording(place.tracker, labels, params, _tags(job, place), begun) as log,
        ):
            resume = begun is not None or job.inherits
            diverged = yield from _train(job, place, arithmetic, log, resume=resume)
        return Done(log.run_id, "finished", diverged)


def _train(
    job: Job, place: Place, arithmetic: Arithmetic, log: Recording, *, resume: bool
) -> Generator[Epoch | Step, None, bool]:
    """The training itself, inside a recording; returns whether it diverged."""
    spec = job.spec
    splits = used(place.data[job.labels.data_digest], spec.data.params)
    checkpoint = Checkpoint(place.folder / "checkpoints" / job.labels.fingerprint)
    _log_start(job, splits, log)
    with reproducible(place.device, arithmetic.precision):
        state = assemble(spec, splits, arithmetic)
        if not (resume and checkpoint.load(state, job.labels.code_digest)):
            checkpoint.clear()
        try:
            for epoch in state.history:
                log.epoch(epoch.number, epoch.metrics(), epoch.ended_ms)
                yield epoch
            train = resident(splits, "train", spec, place.device)
            val = resident(splits, "val", spec, place.device)
            for record in fit(state, train, val):
                if isinstance(record, Epoch):
                    checkpoint.keep(state, job.labels.code_digest)
                    log.epoch(record.number, record.metrics(), record.ended_ms)
                else:
                    log.beat()
                yield record
        except Pruned:
            checkpoint.clear()
            raise
        _judge_once(job, splits, state, place, log)
    if job.tested:
        checkpoint.keep_only_weights(state)
    elif job.keep:
        checkpoint.save(state, job.labels.code_digest)
    else:
        checkpoint.clear()
    return state.diverged


def _log_start(job: Job, splits: Splits, log: Recording) -> None:
    """What is known before the first epoch."""
    cost = count(job.spec, len(splits.classes))
    numbers = {"model/parameters": cost.parameters, "model/macs": cost.macs}
    about = {"classes": ", ".join(splits.classes), "synthetic": str(splits.synthetic).lower()}
    about["images"] = f"{len(splits.train)} train, {len(splits.val)} val, {len(splits.test)} test"
    log.begin(numbers, (Path(splits.source).name, splits.digest, about))


def _judge_once(job: Job, splits: Splits, state: State, place: Place, log: Recording) -> None:
    """Scores the selected epoch, on the test split if it is tested, and keeps what later needs.

    Of a trial the curve says all that a search asks, so nothing is predicted once more.
    """
    spec = job.spec
    select_best(state)
    views = None if spec.test.views == "single" else spec.test
    number = len(splits.classes)

    def predicted(name: str) -> Predictions:
        part = resident(splits, name, spec, place.device)
        found = predict_split(state, part, views, number)
        return replace(found, groups=getattr(splits, name).groups)

    predictions = {} if job.labels.kind == "trial" else {"val": predicted("val")}
    values: dict[str, float] = {}
    if job.tested:
        log.test_opened()
        predictions["test"] = predicted("test")
        test = resident(splits, "test", spec, place.device)
        single = predict_split(state, test, None, number) if views else None
        values = scores(predictions["test"], single, splits)
        _, shares = preprocessed(splits.test.images, spec.preprocess)  # type: ignore[arg-type]
        values |= {f"preprocess/{name}": share for name, share in shares.items()}
    tags = {"diverged": "true"} if state.diverged else {}
    log.result({**values, **_selected(state), "best_epoch": state.best}, tags)
    with tempfile.TemporaryDirectory() as name:
        _write_files(Path(name), spec, splits, predictions, place)
        _write_json(Path(name) / "history.json", by_metric(state.history))
        log.files(Path(name))
    history = [epoch.metrics() for epoch in state.history]
    if job.tested:  # of a search's many runs MLflow's own curves do
        # Not a closure: it would hold the net and its optimiser while the next run has its own.
        about = place.pictures, log, predictions["test"], splits, history, state.best
        place.draw(functools.partial(_draw, *about))


def _selected(state: State) -> dict[str, float]:
    """The validation scores of the selected epoch."""
    if not state.best:
        return {}
    found = state.history[state.best - 1].metrics()
    names = ("val/loss", "val/accuracy", "val/macro_f1")
    return {f"selected/{name.replace('/', '_')}": found[name] for name in names}


def _write_files(
    folder: Path,
    spec: RunSpec,
    splits: Splits,
    predictions: dict[str, Predictions],
    place: Place,
) -> None:
    _write_json(folder / "spec.json", spec.model_dump(mode="json"))
    _write_json(folder / "environment.json", environment(place, splits))
    if not predictions:
        return
    judged = predictions.get("test", predictions["val"])
    table: dict[str, Any] = per_class(judged.labels, judged.logits)
    rows = [
        [name, *(table[column][number] for column in table)]
        for number, name in enumerate(splits.classes)
    ]
    # The form of MLflow's own tables, which it shows side by side across runs.
    _write_json(folder / "per_class.json", {"columns": ["class", *table], "data": rows})
    np.savez_compressed(folder / "predictions.npz", **pack(predictions))  # type: ignore[arg-type]


def _draw(
    save: Pictures,
    log: Recording,
    test: Predictions,
    splits: Splits,
    history: list[dict[str, float]],
    best: int,
) -> None:
    """The run's pictures, as artifacts."""
    with tempfile.TemporaryDirectory() as name:
        counts = confusion(test.labels, test.logits)
        save(Path(name), counts, splits.classes, history, best)
        log.files(Path(name))


def by_metric(history: list[Epoch]) -> dict[str, list[float | None]]:
    """Every metric of a run by epoch, None where an epoch has none; quicker read than a store."""
    records = [epoch.metrics() for epoch in history]
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


def environment(place: Place, splits: Splits) -> dict[str, Any]:
    """Versions, hardware and data of a run."""
    return {
        "versions": versions(),
        "hardware": hardware(),
        "device": device_name(place.device),
        "threads": torch.get_num_threads(),
        "data": {"source": splits.source, "digest": splits.digest},
    }


def device_name(device: torch.device) -> str:
    """``cpu``, or the GPU's name."""
    if device.type != "cuda":
        return str(hardware()["processor"])
    return torch.cuda.get_device_name(device)


def _tags(job: Job, place: Place) -> dict[str, str]:
    commit, dirty = git_state(place.folder.parent)
    splits = place.data[job.labels.data_digest]
    return {
        "git_commit": commit,
        "git_dirty": str(dirty).lower(),
        "device": f"{place.device.type}: {device_name(place.device)}",
        "versions": json.dumps(versions()),
        "threads": str(torch.get_num_threads()),
        "synthetic": str(splits.synthetic).lower(),
        "tested_on_val": str(splits.tested_on_val and not job.spec.data.params["folds"]).lower(),
    }


def _write_json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=1), encoding="utf-8")
