"""The search itself: asks for settings while some are wanted, trains them, tells what came out."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from research.errors import InvalidInput
from research.execution import execute_jobs
from research.executors import Outcome
from research.parent import Opening, Parent
from research.planning import read_params
from research.project import Project
from research.registry import code_digest
from research.request import Request
from research.run import Job
from research.runner import Runner
from research.space import Dimension
from research.spec import RunSpec, content_hash, fingerprint, flatten
from research.tracking import Point, Tracker, experiment_name, lease, mark_of
from research.tracking.recording import Labels, mark_failed
from research.tuning.plan import SearchPlan
from research.tuning.samplers import make_sampler, quiet
from research.tuning.storage import (
    LEASE,
    asking,
    counted,
    requeue_dead,
    requeue_stopped,
    set_attrs,
    trials_of,
)
from research.tuning.trial import TRIAL, TrialRunner

OUT_OF_MEMORY = re.compile(
    r"OutOfMemory|MemoryError|out of memory|can't allocate|not enough memory"
)
CODE = "code_digest"
NO_ROOM = re.compile(r"disk is full|No space left on device")
log = logging.getLogger("research")


@dataclass(frozen=True)
class Told:
    """A trial ended; with all trials as they stand."""

    number: int
    trials: tuple[FrozenTrial, ...]


Observer = Callable[[Any], None]  # of events, of what was told, of what is to be confirmed


@dataclass
class Search:
    """A search that is being carried out by this process, perhaps beside others."""

    plan: SearchPlan
    study: optuna.Study
    parent: Parent
    request: Request
    project: Project
    deadline: float | None = None
    again: deque[Job] = field(default_factory=deque)  # with less memory

    def __iter__(self) -> Iterator[Job]:
        return self

    def __next__(self) -> Job:
        """The next trial to train. Stops where no more are wanted, or the time is over."""
        while True:
            if self.again:
                return self.again.popleft()
            if self.deadline is not None and time.monotonic() > self.deadline:
                raise StopIteration
            asked = self._ask()
            if asked is None:
                raise StopIteration
            job = self._job(*asked)
            if job is not None:
                return job

    def _ask(self) -> tuple[optuna.trial.Trial, dict[str, Any]] | None:
        """The next trial and its values; None where there are as many as wanted."""
        with asking(self.study, self.project):
            trials = trials_of(self.study)
            waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
            if len(counted(trials)) - len(waiting) >= self.plan.options.trials:
                return None
            if not waiting and not self._queue(trials):
                return None
            self.study.sampler = make_sampler(self.plan.options, len(trials))
            trial = self.study.ask()
            trial.set_user_attr(LEASE, lease.note())
            values: dict[str, Any] = {}
            for name, dimension in self.plan.space.dimensions.items():
                if self.plan.space.exists(name, values):
                    values[name] = suggest(trial, name, dimension)
            return trial, values

    def _queue(self, trials: list[FrozenTrial]) -> bool:
        """Queues what is to come next where the sampler does not decide: the start, a grid.

        Gives whether there is anything to come: a grid has an end.
        """
        if not trials and self.plan.own is not None:
            self.study.enqueue_trial(dict(self.plan.own))
        elif self.plan.options.sampler == "grid":
            known = [trial.system_attrs.get("fixed_params", trial.params) for trial in trials]
            grid = self.plan.space.grid()
            np.random.default_rng(self.plan.options.seed).shuffle(grid)
            for values in grid:
                if values not in known:
                    self.study.enqueue_trial(values)
                    return True
            return False
        return True

    def _job(self, trial: optuna.trial.Trial, values: Mapping[str, Any]) -> Job | None:
        """A trial to its job, or None where it can be told without training."""
        try:
            spec = self.plan.recipe(values)
        except InvalidInput as error:
            self._fail(trial.number, "; ".join(error.problems))
            return None
        identity = fingerprint(spec, self.plan.splits.digest)
        for other in trials_of(self.study):
            if other.user_attrs.get("fingerprint") == identity and self._repeats(trial, other):
                return None
        trial.set_user_attr("fingerprint", identity)
        trial.set_user_attr(CODE, code_digest(spec))
        labels = {name: value if isinstance(value, str) else json.dumps(value)
                  for name, value in values.items()}  # fmt: skip
        return self.job(spec, f"trial-{trial.number}", "trial", labels, {TRIAL: str(trial.number)})

    def job(
        self,
        spec: RunSpec,
        cell: str,
        kind: str,
        factors: Mapping[str, str],
        more: Mapping[str, str],
        **how: bool,
    ) -> Job:
        """A spec to a job under this search's parent run."""
        labels = Labels(
            experiment=experiment_name("tune", self.plan.study.name),
            study=self.plan.study.name,
            cell=cell,
            factors=factors,
            seed=spec.seed,
            fingerprint=fingerprint(spec, self.plan.splits.digest),
            data_digest=self.plan.splits.digest,
            code_digest=code_digest(spec),
            kind=kind,
            parent=self.parent.run_id,
            more={
                "search": self.study.study_name,
                mark_of(identity_of(self.plan, self.study.study_name)): "true",
                **more,
            },
        )
        return Job(spec, labels, self.request.fresh, self.request.accept_code, **how)

    def _repeats(self, trial: optuna.trial.Trial, other: FrozenTrial) -> bool:
        """Whether a trial was told what an ended one of the same spec had come to."""
        if other.state not in (TrialState.COMPLETE, TrialState.PRUNED):
            return False
        for step, reported in other.intermediate_values.items():
            trial.report(reported, step)
        trial.set_user_attr("duplicate_of", other.number)
        trial.set_user_attr("run_id", other.user_attrs.get("run_id", ""))
        value = other.value if other.state == TrialState.COMPLETE else None
        self._tell(trial.number, value, other.state)
        return True

    def end(self, outcome: Outcome) -> int | None:
        """Tells the search how a trial ended; its number, or None where it is not over yet."""
        if outcome.job.labels.kind != "trial" or outcome.status == "taken":
            return None
        number = int(outcome.job.labels.more[TRIAL])
        if outcome.status == "failed":
            if NO_ROOM.search(outcome.error):  # no fault of the trial's: it is asked for again
                raise OSError(errno.ENOSPC, outcome.error)
            mark_failed(self.parent.tracker, outcome.job.labels.fingerprint, outcome.error)
            if OUT_OF_MEMORY.search(outcome.error) and outcome.job.spec.training.accumulate == 1:
                self._halve(outcome.job, number, outcome.error)
                return None
            self._fail(number, outcome.error)
            return number
        self._note(number, run_id=outcome.run_id)
        if outcome.status == "pruned":
            self._tell(number, None, TrialState.PRUNED)
            return number
        run = self.parent.tracker.get(outcome.run_id or "")
        name = f"selected/{self.plan.options.metric.replace('/', '_')}"
        value = None if run is None else run.metrics.get(name)
        if outcome.diverged or value is None:
            epoch = 0 if run is None else run.metrics.get("best_epoch", 0)
            self._fail(
                number, f"diverged: its loss was not finite after epoch {epoch:.0f} or later"
            )
        else:
            self._tell(number, value, TrialState.COMPLETE)
        return number

    def _halve(self, job: Job, number: int, error: str) -> None:
        """Puts a trial back that ran out of memory, to be trained in halves of a batch."""
        halves = job.spec.override({"training.accumulate": 2})
        self._note(number, out_of_memory=error)
        log.warning("trial %d ran out of memory; once more, in halves of a batch", number)
        labels = replace(job.labels, fingerprint=fingerprint(halves, job.labels.data_digest))
        self.again.append(replace(job, spec=halves, labels=labels))

    def _fail(self, number: int, reason: str) -> None:
        self._note(number, reason=reason)
        self._tell(number, None, TrialState.FAIL)

    def _note(self, number: int, **attrs: Any) -> None:
        set_attrs(self.study, trials_of(self.study)[number], **attrs)

    def _tell(self, number: int, value: float | None, state: TrialState) -> None:
        with quiet():
            values = None if value is None else [value]
            self.study.tell(number, values, state, skip_if_finished=True)


def check_code(plan: SearchPlan, study: optuna.Study, *, accept: bool) -> None:
    """Refuses to go on with trials that other code made, unless that is accepted."""
    if accept:
        return
    stale = []
    for trial in counted(trials_of(study)):
        if CODE in trial.user_attrs and trial.state == TrialState.COMPLETE:
            with contextlib.suppress(InvalidInput):
                if code_digest(plan.recipe(trial.params)) != trial.user_attrs[CODE]:
                    stale.append(trial.number)
    if stale:
        raise InvalidInput(
            f"search {study.study_name}: {len(stale)} of its trials were made by other code, and "
            "are not to be compared with new ones: --fresh begins anew, --accept-code goes on"
        )


def suggest(trial: optuna.trial.Trial, name: str, dimension: Dimension) -> Any:
    """A trial's value of a dimension, or the label of its choice."""
    if dimension.labels:
        return trial.suggest_categorical(name, list(dimension.labels))
    low, high, step = dimension.low, dimension.high, dimension.step
    assert low is not None and high is not None
    if dimension.integer:
        return trial.suggest_int(name, int(low), int(high), step=int(step or 1), log=dimension.log)
    return trial.suggest_float(name, low, high, step=step, log=dimension.log)


def carry_out_search(
    search: Search, executor: str, workers: int, where: str, observe: Observer
) -> None:
    """Trains trials until there are as many as wanted. Raises KeyboardInterrupt when stopped."""
    plan, tracker = search.plan, search.parent.tracker
    runner = runner_of(search, where)
    with asking(search.study, search.project):
        requeue_dead(search.study)
    if plan.options.timeout_s is not None:
        search.deadline = time.monotonic() + plan.options.timeout_s
    try:
        for event in execute_jobs(search, runner, tracker, search.project, executor, workers):
            observe(event)
            if isinstance(event, Outcome):
                number = search.end(event)
                if number is not None:
                    trials = tuple(counted(trials_of(search.study)))
                    _log_best(trials, search, tracker)
                    observe(Told(number, trials))
    except BaseException:
        # On a full disk this fails as well; the trials are then found dead at the next start.
        with contextlib.suppress(OSError), asking(search.study, search.project):
            requeue_stopped(search.study)
        raise


def runner_of(search: Search, where: str) -> TrialRunner:
    """What runs the jobs of a search."""
    plan = search.plan
    own = Runner(search.project, plan.location, (read_params(plan.start),), search.request.device)
    return TrialRunner(
        runner=own,
        where=where,
        name=search.study.study_name,
        metric=plan.options.metric,
        pruner=plan.options.pruner,
        epochs=plan.start.training.epochs,
    )


def best_first(trials: list[FrozenTrial] | tuple[FrozenTrial, ...], metric: str) -> list[Any]:
    """Trials that were trained to their end, each setting once, the best first."""
    sign = -1 if metric == "val/loss" else 1
    done = [
        trial
        for trial in trials
        if trial.state == TrialState.COMPLETE and "duplicate_of" not in trial.user_attrs
    ]
    return sorted(done, key=lambda trial: (-sign * (trial.value or 0.0), trial.number))


def _log_best(trials: tuple[FrozenTrial, ...], search: Search, tracker: Tracker) -> None:
    """The best value so far on the parent run, by the number of ended trials."""
    best = best_first(trials, search.plan.options.metric)
    ended = sum(trial.state.is_finished() for trial in trials)
    if best:
        point = Point("best", float(best[0].value), ended, int(time.time() * 1000))
        tracker.log(search.parent.run_id, [point])


def identity_of(plan: SearchPlan, name: str) -> str:
    """The hash by which the parent run of a search is found again."""
    return content_hash([plan.key, name, plan.options.storage or ""])


def opening_of(plan: SearchPlan, name: str) -> Opening:
    """The parent run of a search as it is made."""
    return Opening(
        experiment=experiment_name("tune", plan.study.name),
        name=f"{plan.study.name}{plan.label} ({plan.profile})",
        identity=identity_of(plan, name),
        tags={
            "kind": "search",
            "study": plan.study.name,
            "study_hash": identity_of(plan, name),
            "search": name,
            "cell": plan.label.removeprefix("."),
            "declared_hash": plan.declared_hash,
            "resolved": json.dumps(dict(plan.resolved)),
            "profile": plan.profile,
            "data_digest": plan.splits.digest,
            "synthetic": str(plan.location.synthetic).lower(),
        },
        params=flatten(plan.start.model_dump(mode="json")),
    )
