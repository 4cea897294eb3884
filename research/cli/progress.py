"""Live progress of a study: runs done, left and the time to go; the running epoch."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from research.executors import Event, Outcome, Started
from research.executors import Progress as Reported
from research.planning import Plan
from research.reporting.wording import duration
from research.tracking.recording import Labels


class StudyProgress:
    """Two live lines in a terminal; elsewhere one plain line a run."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = console.is_terminal
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}"),
            console=console,
            transient=True,
        )
        self.total = self.done = self.failed = self.begun = 0
        self.started = time.monotonic()
        self.study: Any = None
        self.rows: dict[str, Any] = {}  # fingerprint of a running job to its line
        self.epochs: dict[str, int] = {}

    def __enter__(self) -> StudyProgress:
        if self.live:
            self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.bars.stop()

    def __call__(self, event: Plan | Event) -> None:
        """Shows an event."""
        if isinstance(event, Plan):
            self._plan(event)
        elif isinstance(event, Started):
            self._start(event)
        elif isinstance(event, Reported):
            self._report(event)
        else:
            self._end(event)

    def _plan(self, plan: Plan) -> None:
        self.total = len(plan.todo)
        self.started = time.monotonic()
        if self.total:
            self.study = self.bars.add_task(plan.study.name, total=self.total, text="")

    def _start(self, event: Started) -> None:
        labels: Labels = event.job.labels
        epochs = event.job.spec.training.epochs
        self.epochs[labels.fingerprint] = 0
        self.rows[labels.fingerprint] = self.bars.add_task(labels.name, total=epochs, text="")
        self._study_line()

    def _report(self, event: Reported) -> None:
        labels: Labels = event.job.labels
        row, record = self.rows[labels.fingerprint], event.record
        if hasattr(record, "done"):  # a step within an epoch
            part = record.epoch - 1 + record.done / record.total
            text = f"epoch {record.epoch}, {record.done} of {record.total} images"
            self.bars.update(row, completed=part, text=text)
        else:
            self.epochs[labels.fingerprint] = record.number
            text = (
                f"epoch {record.number}: loss {record.train_loss:.3f}, validation accuracy "
                f"{100 * record.val_accuracy:.1f} %, {record.images_per_s:.0f} images/s"
            )
            self.bars.update(row, completed=record.number, text=text)

    def _end(self, outcome: Outcome) -> None:
        labels: Labels = outcome.job.labels
        row = self.rows.pop(labels.fingerprint, None)
        if row is not None:
            self.bars.remove_task(row)
        if outcome.status == "taken":
            self.console.print(f"{labels.name}: trained by {outcome.error}; waiting for it")
            return
        self.done += 1
        self.failed += outcome.status == "failed"
        text = f"{labels.name}: {outcome.status}" + (", diverged" if outcome.diverged else "")
        if outcome.status == "failed":
            self.console.print(f"{text}: {outcome.error}", style="red", markup=False)
        elif not self.live:
            self.console.print(f"[{self.done}/{self.total}] {text}", markup=False)
        self._study_line()

    def _study_line(self) -> None:
        passed = time.monotonic() - self.started
        to_go = passed / max(self.done, 1) * (self.total - self.done)
        left = f", {duration(to_go)} left" if self.done else ""
        failed = f", {self.failed} failed" if self.failed else ""
        text = f"{self.done} of {self.total} runs{failed}, {duration(passed)}{left}"
        self.bars.update(self.study, completed=self.done, text=text)
