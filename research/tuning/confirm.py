"""The best settings of a search, trained again with seeds that no trial has seen.

The best of many noisy trials is better than it will ever be again; only fresh seeds tell what it is
worth, and the start with the same seeds whether it is worth more than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from research.checkpoint import Checkpoint
from research.execution import execute_jobs
from research.executors import Outcome
from research.run import Job
from research.spec import RunSpec
from research.stats import Effect, many_to_one, t_quantile
from research.tracking.recording import mark_failed
from research.tuning import CANDIDATES
from research.tuning.search import Observer, Search, best_first, runner_of
from research.tuning.storage import trials_of

START = "start"


@dataclass(frozen=True)
class Confirming:
    """Settings are about to be trained with fresh seeds."""

    settings: int
    seeds: int
    runs: int


@dataclass(frozen=True)
class Confirmed:
    """A setting with fresh seeds: its ``scores`` by seed, NaN where a run failed or diverged."""

    cell: str
    trial: int | None  # None: the start
    scores: tuple[float, ...]
    run_ids: tuple[str, ...]

    def mean(self) -> float:
        """The mean over seeds, NaN where a seed is missing."""
        return float(np.mean(self.scores))

    def interval(self) -> tuple[float, float]:
        """The 95 % t interval of the mean, over seeds alone."""
        n, values = len(self.scores), np.array(self.scores)
        half = t_quantile(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
        return float(values.mean() - half), float(values.mean() + half)


def candidates(search: Search) -> list[FrozenTrial]:
    """The best trials with different settings, the start not among them."""
    own = search.plan.own
    found = best_first(trials_of(search.study), search.plan.options.metric)
    others = [trial for trial in found if own is None or dict(trial.params) != dict(own)]
    return others[:CANDIDATES]


def confirm(
    search: Search, where: str, executor: str, workers: int, observe: Observer
) -> tuple[list[Confirmed], list[Outcome]]:
    """The start and the best settings, each with every fresh seed; and the runs that failed."""
    chosen = candidates(search)
    if not chosen or not search.plan.options.confirm:
        return [], []
    specs: dict[str, tuple[int | None, RunSpec]] = {START: (None, search.plan.start)}
    for trial in chosen:
        specs[f"trial-{trial.number}"] = (trial.number, spec_of(search, trial))
    seeds = search.plan.seeds()
    jobs = [
        _job(search, cell, spec, seed, kind="confirmation", keep=search.plan.options.test)
        for seed in seeds
        for cell, (_, spec) in specs.items()
    ]
    observe(Confirming(len(specs), len(seeds), len(jobs)))
    scores, ids, failed = _scores(
        search, jobs, where, executor, workers, observe, selected(search.plan.options.metric)
    )
    return [
        Confirmed(
            cell,
            number,
            tuple(scores.get((cell, seed), float("nan")) for seed in seeds),
            tuple(ids.get((cell, seed), "") for seed in seeds),
        )
        for cell, (number, _) in specs.items()
    ], failed


def spec_of(search: Search, trial: FrozenTrial) -> RunSpec:
    """The spec that a trial was trained by, in halves of a batch where it needed that."""
    spec = search.plan.recipe(trial.params)
    return (
        spec.override({"training.accumulate": 2}) if "out_of_memory" in trial.user_attrs else spec
    )


def selected(metric: str) -> str:
    """What a run calls the value that its selected epoch had."""
    return f"selected/{metric.replace('/', '_')}"


def open_test(
    search: Search,
    won: Confirmed,
    where: str,
    executor: str,
    workers: int,
    observe: Observer,
) -> tuple[dict[str, list[float]], list[Outcome]]:
    """The winner's and the start's test scores by seed, each run tested once; and what failed.

    What the confirmations were trained to is taken over where it is still there.
    """
    specs = {START: search.plan.start}
    if won.trial is not None:
        specs[won.cell] = spec_of(search, trials_of(search.study)[won.trial])
    seeds = search.plan.seeds()
    jobs = [
        _job(search, cell, spec, seed, kind="run", inherits=True)
        for seed in seeds
        for cell, spec in specs.items()
    ]
    observe(Confirming(len(specs), len(seeds), len(jobs)))
    name = search.plan.study.metric
    scores, _, failed = _scores(search, jobs, where, executor, workers, observe, name)
    for job in jobs:
        Checkpoint(search.project.runs / "checkpoints" / job.labels.fingerprint).clear()
    return {
        cell: [scores.get((cell, seed), float("nan")) for seed in seeds] for cell in specs
    }, failed


def forget(search: Search, confirmed: Sequence[Confirmed]) -> None:
    """Clears what confirmations were kept for, once nothing more is made of them."""
    tracker = search.parent.tracker
    for run_id in (run_id for one in confirmed for run_id in one.run_ids if run_id):
        run = tracker.get(run_id)
        if run is not None:
            identity = run.tags["fingerprint"]
            Checkpoint(search.project.runs / "checkpoints" / identity).clear()


def _scores(
    search: Search,
    jobs: Sequence[Job],
    where: str,
    executor: str,
    workers: int,
    observe: Observer,
    metric: str,
) -> tuple[dict[tuple[str, int], float], dict[tuple[str, int], str], list[Outcome]]:
    """Jobs to a metric by cell and seed, their run ids, and the runs that failed."""
    runner, tracker = runner_of(search, where), search.parent.tracker
    ids: dict[tuple[str, int], str] = {}
    failed: list[Outcome] = []
    for event in execute_jobs(jobs, runner, tracker, search.project, executor, workers):
        observe(event)
        if not isinstance(event, Outcome) or event.status == "taken":
            continue
        labels = event.job.labels
        if event.status == "failed":
            failed.append(event)
            mark_failed(tracker, labels.fingerprint, event.error)
        else:
            ids[labels.cell, labels.seed] = event.run_id or ""
    found = {key: tracker.get(run_id) for key, run_id in ids.items()}
    scores = {key: run.metrics.get(metric, float("nan")) for key, run in found.items() if run}
    return scores, ids, failed


def winner(confirmed: Sequence[Confirmed], metric: str) -> Confirmed | None:
    """The best of the confirmed settings by their means, the start among them; None of none."""
    whole = [one for one in confirmed if not np.isnan(one.mean())]
    sign = -1 if metric == "val/loss" else 1
    return max(whole, key=lambda one: sign * one.mean(), default=None)


def against_start(confirmed: Sequence[Confirmed], metric: str, margin: float) -> list[Effect]:
    """Each setting against the start, paired by seed, larger being better; none without a start.

    The statistics are those of a study's contrasts: paired t tests with Holm's correction. Of a
    loss it is what the loss falls by. Seeds that some setting lacks are left out.
    """
    if len(confirmed) < 2:
        return []
    table: NDArray[np.float64] = np.array([one.scores for one in confirmed])
    table = table[:, ~np.isnan(table).any(axis=0)] * (-1 if metric == "val/loss" else 1)
    if table.shape[1] < 2:
        return []
    # A margin of accuracy says nothing of a loss, of which nothing is called equivalent.
    effects = many_to_one(table, margin=1e-12 if metric == "val/loss" else margin)
    names = [one.cell for one in confirmed[1:]]
    return [replace(effect, cell=name) for effect, name in zip(effects, names, strict=True)]


def _job(search: Search, cell: str, spec: RunSpec, seed: int, *, kind: str, **how: bool) -> Job:
    seeded = RunSpec.model_validate(spec.model_dump() | {"seed": seed})
    return search.job(seeded, cell, kind, {}, {}, **how)
