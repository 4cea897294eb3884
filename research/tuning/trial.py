"""A trial where it is trained: its epochs go to Optuna, which may give it up."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import optuna

from research.records import Epoch, Step
from research.run import Done, Job
from research.runner import Runner
from research.tracking import lease
from research.tracking.recording import Pruned
from research.tuning.samplers import make_pruner, quiet
from research.tuning.storage import LEASE, load_search, trials_of

TRIAL = "trial"  # the tag with a trial's number


@dataclass(frozen=True)
class TrialRunner:
    """Runs jobs as its ``runner`` does; trials report to the search ``name`` at ``where``."""

    runner: Runner
    where: str
    name: str
    metric: str
    pruner: str
    epochs: int

    def __call__(self, job: Job) -> Generator[Epoch | Step, None, Done]:
        """A job to its records; a trial that is given up ends as ``pruned``."""
        if job.labels.kind != "trial":
            return (yield from self.runner(job))
        running = self.runner(job)
        trial = self._trial(int(job.labels.more[TRIAL]))
        known = set(trial.study.trials[trial.number].intermediate_values)
        beat = time.monotonic()
        try:
            while True:
                record = next(running)
                yield record
                beat = self._beat(trial, beat)
                if not isinstance(record, Epoch):
                    continue
                if record.number not in known:  # from before it was stopped
                    _report(trial, record.metrics()[self.metric], record.number)
                if record.number < job.spec.training.epochs and self._is_hopeless(trial):
                    running.throw(Pruned())
        except StopIteration as stop:
            done: Done = stop.value
            if done.how == "reused":
                found = self.runner.place.tracker.history(done.run_id, self.metric)
                for point in (one for one in found if one.step not in known):
                    _report(trial, point.value, point.step)
            return done
        except Pruned as pruned:
            return Done(pruned.run_id, "pruned")
        finally:
            running.close()

    def share(self, place: int, workers: int) -> TrialRunner:
        """Its part of the machine for one of ``workers``."""
        return replace(self, runner=self.runner.share(place, workers))

    def finish(self) -> None:
        """Waits for what the runner does beside the runs."""
        self.runner.finish()

    @functools.cached_property
    def study(self) -> optuna.Study:
        """The search, opened once in each process."""
        return load_search(self.where, self.name, make_pruner(self.pruner, self.epochs))

    def _trial(self, number: int) -> optuna.trial.Trial:
        return optuna.trial.Trial(self.study, trials_of(self.study)[number]._trial_id)

    def _beat(self, trial: optuna.trial.Trial, last: float) -> float:
        """Says now and then that the trial is alive, for other machines; when it last did."""
        now, note = time.monotonic(), trial.user_attrs.get(LEASE)
        if note is None or now - last < lease.BEAT_EVERY_S:
            return last
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
            trial.set_user_attr(LEASE, lease.beaten(note))
        return now

    def _is_hopeless(self, trial: optuna.trial.Trial) -> bool:
        with quiet():
            return trial.should_prune()

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def _report(trial: optuna.trial.Trial, value: float, epoch: int) -> None:
    with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
        trial.report(value, epoch)
