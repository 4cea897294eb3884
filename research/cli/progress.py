"""Live progress of a study: runs done, left and the time to go; the running epoch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from research.executors import Outcome, Started
from research.executors import Progress as Reported
from research.planning import Plan, Tuning
from research.records import Epoch, Step
from research.reporting.wording import duration
from research.tracking.recording import Labels


@dataclass
class RunLine:
    """What is shown of a running job: how far it is, and what its last epoch gave."""

    epochs: int
    text: str = ""
    part: float = 0.0  # of its epochs, in [0, 1]
    last: str = ""

    def show(self, record: Epoch | Step) -> None:
        """Takes a record in."""
        if isinstance(record, Step):
            inside = record.done / record.total
            self.part = (record.epoch - 1 + inside) / self.epochs
            self.text = f"epoch {record.epoch} of {self.epochs}, {100 * inside:.0f} %{self.last}"
        else:
            self.part = record.number / self.epochs
            self.text = f"epoch {record.number} of {self.epochs}: {epoch_text(record)}"
            self.last = f"; before it {epoch_text(record)}"


def epoch_text(epoch: Epoch) -> str:
    """An epoch in a line."""
    return (
        f"loss {epoch.train_loss:.3f}, validation accuracy {100 * epoch.val_accuracy:.1f} %, "
        f"{epoch.images_per_s:.0f} images/s"
    )


def live_bars(console: Console) -> Progress:
    """Bars with a name before and a text behind; they go when they are done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[text]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


class StudyProgress:
    """A live line for the study and for each running job; without a terminal, a line a run."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars = live_bars(console)
        self.total = self.done = self.failed = 0
        self.started = time.monotonic()
        self.study: Any = None
        self.rows: dict[str, Any] = {}  # fingerprint of a running job to its bar
        self.lines: dict[str, RunLine] = {}

    def __enter__(self) -> StudyProgress:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def __call__(self, event: Any) -> None:
        """Shows an event."""
        if isinstance(event, Plan):
            self._plan(event)
        elif isinstance(event, Started):
            self._start(event)
        elif isinstance(event, Reported):
            self._report(event)
        elif isinstance(event, Outcome):
            self._end(event)
        elif isinstance(event, Tuning):
            self._tuning(event)

    def _plan(self, plan: Plan) -> None:
        if self.study is not None:  # what was tuned before
            self.bars.remove_task(self.study)
            self.study = None
        self.total, self.done, self.failed = len(plan.todo), 0, 0
        self.started = time.monotonic()
        if self.total:
            self.study = self.bars.add_task(plan.study.name, total=self.total, text="")

    def _tuning(self, event: Tuning) -> None:
        self.total, self.done, self.started = event.trials, 0, time.monotonic()
        text = f"tuning {event.cell}, {event.number} of {event.cells} cells: {event.trials} trials"
        self.console.print(text, markup=False)
        if self.study is not None:
            self.bars.remove_task(self.study)
        self.study = self.bars.add_task(f"tuning {event.cell}", total=self.total, text="")

    def _start(self, event: Started) -> None:
        labels: Labels = event.job.labels
        self.lines[labels.fingerprint] = RunLine(event.job.spec.training.epochs)
        self.rows[labels.fingerprint] = self.bars.add_task(labels.name, total=1.0, text="")
        self._study_line()

    def _report(self, event: Reported) -> None:
        identity = event.job.labels.fingerprint
        line = self.lines[identity]
        line.show(event.record)
        self.bars.update(self.rows[identity], completed=line.part, text=line.text)
        self._study_line()

    def _end(self, outcome: Outcome) -> None:
        labels: Labels = outcome.job.labels
        row = self.rows.pop(labels.fingerprint, None)
        line = self.lines.pop(labels.fingerprint, None)
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
        elif not self.console.is_terminal:
            passed = time.monotonic() - self.started
            left = duration(passed / self.done * (self.total - self.done))
            more = f"; {duration(passed)} passed, about {left} left" if self.total > 1 else ""
            last = f", {line.text.partition(': ')[2]}" if line is not None and line.text else ""
            self.console.print(f"[{self.done}/{self.total}] {text}{last}{more}", markup=False)
        self._study_line()

    def _study_line(self) -> None:
        if self.study is None:
            return
        passed = time.monotonic() - self.started
        done = self.done + sum(line.part for line in self.lines.values())
        left = f", about {duration(passed / done * (self.total - done))} left" if done else ""
        failed = f", {self.failed} failed" if self.failed else ""
        text = f"{self.done} of {self.total} runs{failed}, {duration(passed)}{left}"
        self.bars.update(self.study, completed=done, text=text)
