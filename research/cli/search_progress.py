"""Live progress of a search: its running trials, the best so far, what mattered so far."""

from __future__ import annotations

import time

from optuna.trial import FrozenTrial
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from research.cli import heading
from research.cli.progress import StudyProgress
from research.executors import Event, Outcome
from research.reporting.search_tables import value_text
from research.tracking.recording import Labels
from research.tuning import goal
from research.tuning.confirm import Confirming
from research.tuning.importance import importances
from research.tuning.plan import SearchPlan
from research.tuning.search import Told, best_first

BEST = 5  # trials of the live table
STATES = {"COMPLETE": "finished", "PRUNED": "given up", "FAIL": "failed"}


class SearchProgress(StudyProgress):
    """As `StudyProgress`, of trials: with a live table of the best and what mattered so far."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.plan: SearchPlan | None = None
        self.trials: tuple[FrozenTrial, ...] = ()
        self.known, self.mattered = -1, ""  # number of trials that it was worked out of
        self.live = Live(console=console, transient=True, auto_refresh=False)

    def __enter__(self) -> SearchProgress:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def __call__(self, event: SearchPlan | Event | Told | Confirming) -> None:
        """Shows an event."""
        if isinstance(event, SearchPlan):
            self.plan, self.total = event, event.options.trials
            for line in heading.of_search(event):
                self.console.print(line, markup=False)
            self.started = time.monotonic()
            self.study = self.bars.add_task("trials", total=self.total, text="")
        elif isinstance(event, Confirming):
            self.done, self.total, self.started = 0, event.runs, time.monotonic()
            text = f"confirming {event.settings} settings with {event.seeds} fresh seeds"
            self.console.print(text, markup=False)
            self.bars.update(self.study, description="confirmation", total=event.runs)
        elif isinstance(event, Told):
            self.trials = event.trials
            # Trials that ended before this command count as done, but took none of its time.
            self._told(event)
        else:
            super().__call__(event)
        if self.console.is_terminal and self.plan is not None:
            self.live.update(Group(*self._tables(), self.bars), refresh=True)

    def _told(self, event: Told) -> None:
        trial = next(one for one in event.trials if one.number == event.number)
        value = f", {trial.value:.4f}" if trial.state.name == "COMPLETE" else ""
        self.done = ended = sum(one.state.is_finished() for one in event.trials)
        why = trial.user_attrs.get("reason", "")
        if not self.console.is_terminal or why:
            text = f"[{ended}/{self.total}] trial {trial.number}: "
            text += f"{STATES.get(trial.state.name, trial.state.name)}{value}"
            self.console.print(text + (f": {why}" if why else ""), markup=False)

    def _end(self, outcome: Outcome) -> None:
        """The running line goes; what a trial came to is told when the search knows it."""
        labels: Labels = outcome.job.labels
        if labels.kind != "trial":
            super()._end(outcome)
            return
        row = self.rows.pop(labels.fingerprint, None)
        self.lines.pop(labels.fingerprint, None)
        if row is not None:
            self.bars.remove_task(row)
        if outcome.status != "taken":
            self.done += 1
            self.failed += outcome.status == "failed"
        self._study_line()

    def _tables(self) -> list[RenderableType]:
        """The best trials and what mattered, once there are some."""
        assert self.plan is not None
        metric = self.plan.options.metric
        best = best_first(self.trials, metric)[:BEST]
        if not best:
            return []
        names = list(self.plan.space.dimensions)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("trial", metric, *names):
            table.add_column(column, justify="right")
        for trial in best:
            values = (value_text(trial.params.get(name, "–")) for name in names)
            table.add_row(str(trial.number), f"{trial.value:.4f}", *values)
        if len(self.trials) != self.known:
            self.known = len(self.trials)
            found = importances(self.trials, self.plan.space, goal(metric), ["ped_anova"])
            shares = found.get("ped_anova", {})
            told = (f"{name} {100 * share:.0f} %" for name, share in shares.items())
            self.mattered = ", ".join(told)
        return [table, Text(f"matters   {self.mattered}")] if self.mattered else [table]
