"""The trials of a search, kept by Optuna: opened, gone on with, mended after a death."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from research.errors import InvalidInput
from research.project import Project
from research.tracking import lease
from research.tuning import goal
from research.tuning.plan import SearchPlan
from research.tuning.samplers import make_pruner, quiet

FOLDER = "searches"  # of the project's runs
LEASE, DIED, RETRY_OF, STOPPED = "lease", "died", "retry_of", "stopped"
SPACE = "space"
GRACE_S = 30.0  # between a trial's beginning and the note of who trains it


def storage_of(plan: SearchPlan, project: Project) -> str:
    """Where a search's trials are: an address as Optuna takes it, or the path of a journal."""
    if plan.options.storage:
        return plan.options.storage
    return str(project.runs / FOLDER / f"{plan.name}.journal")


def open_storage(where: str) -> BaseStorage:
    """An address such as ``postgresql://...``, or a journal's path, to a storage."""
    with quiet():
        if "://" in where:
            try:
                return optuna.storages.get_storage(where)
            except Exception as error:
                text = str(error).strip().splitlines()[0]
                raise InvalidInput(f"--storage {where}: {text}") from None
        file = Path(where).expanduser()
        try:
            _check_journal(file, where)
            file.parent.mkdir(parents=True, exist_ok=True)
            return JournalStorage(JournalFileBackend(str(file)))
        except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
            if isinstance(error, InvalidInput):
                raise
            text = getattr(error, "strerror", None) or "is not a journal of Optuna's"
            raise InvalidInput(f"--storage {where}: {text}; give another place") from None


def _check_journal(file: Path, where: str) -> None:
    """Refuses a file that is something else, before a byte of it is touched."""
    if not file.exists() or not file.stat().st_size:
        return
    with file.open("rb") as stream:
        first = stream.readline(1_000_000)
    if first.startswith(b"SQLite format 3"):
        raise InvalidInput(f"--storage {where}: is an SQLite file; did you mean sqlite:///{where}?")
    try:
        found = json.loads(first)
    except ValueError:
        found = None
    if not isinstance(found, dict) or "op_code" not in found:
        raise InvalidInput(f"--storage {where}: is not a journal of Optuna's; give another place")


def _mend(file: Path) -> None:
    """Cuts off a last line that was not written whole: the disk was full, or the process killed.

    Whoever asks holds the search's lock, and the file is known to be a journal.
    """
    if not file.exists() or not file.stat().st_size:
        return
    with file.open("rb+") as stream:
        stream.seek(-1, os.SEEK_END)
        if stream.read(1) == b"\n":
            return
        stream.seek(0)
        content = stream.read()
        stream.truncate(content.rfind(b"\n") + 1)


def open_search(plan: SearchPlan, where: str, project: Project, *, fresh: bool) -> optuna.Study:
    """A search's study in Optuna, new or known.

    Raises `InvalidInput` where it was begun with another space; ``fresh`` begins anew.
    """
    with lease.wait_for(project.runs / "leases", f"search-{plan.key}"), quiet():
        if "://" not in where:
            file = Path(where).expanduser()
            _check_journal(file, where)
            with contextlib.suppress(OSError):  # told when it is opened
                _mend(file)
        storage = open_storage(where)
        names = {study.study_name for study in storage.get_all_studies()}
        name = _numbered(plan.name, _latest(plan, names) + (fresh and plan.name in names))
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction=goal(plan.options.metric),
            sampler=RandomSampler(),
            load_if_exists=True,
        )
        known = study.user_attrs.get(SPACE)
        if known is None:
            study.set_user_attr(SPACE, json.dumps(plan.space.as_json()))
            study.set_user_attr("metric", plan.options.metric)
            study.set_metric_names([plan.options.metric])
        else:
            _check_same(plan, name, known)
        return study


def _check_same(plan: SearchPlan, name: str, known: str) -> None:
    if differences := plan.space.differences(json.loads(known)):
        raise InvalidInput(
            f"search: {name} was begun with another space: {'; '.join(differences)}; put it "
            "back to go on, or begin anew with --fresh"
        )


def ended_before(plan: SearchPlan, project: Project) -> int:
    """How many trials of a search have ended, in a journal; a database is not looked into.

    Raises `InvalidInput` where it was begun with another space.
    """
    where = storage_of(plan, project)
    if "://" in where or not Path(where).expanduser().is_file():
        return 0
    with quiet():
        names = {study.study_name for study in open_storage(where).get_all_studies()}
        if plan.name not in names:
            return 0
        name = _numbered(plan.name, _latest(plan, names))
        study = load_search(where, name, make_pruner("none", 1))
        _check_same(plan, name, study.user_attrs.get(SPACE, "{}"))
        return sum(trial.state.is_finished() for trial in counted(trials_of(study)))


def _latest(plan: SearchPlan, names: Collection[str]) -> int:
    """How often a search was begun, once at least."""
    number = 1
    while _numbered(plan.name, number + 1) in names:
        number += 1
    return number


def find_search(plan: SearchPlan, where: str) -> optuna.Study | None:
    """A search's study in Optuna as it stands, or None where it was not begun with this space."""
    with quiet():
        storage = open_storage(where)
        names = {study.study_name for study in storage.get_all_studies()}
        if plan.name not in names:
            return None
        name = _numbered(plan.name, _latest(plan, names))
        study = optuna.load_study(study_name=name, storage=storage, sampler=RandomSampler())
        known = json.loads(study.user_attrs.get(SPACE, "{}"))
        return None if plan.space.differences(known) else study


def load_search(where: str, name: str, pruner: BasePruner) -> optuna.Study:
    """A search's study in Optuna, for who reports to it."""
    with quiet():
        return optuna.load_study(
            study_name=name, storage=open_storage(where), sampler=RandomSampler(), pruner=pruner
        )


def trials_of(study: optuna.Study) -> list[FrozenTrial]:
    """Trials in order, those that were begun again included."""
    return study.get_trials(deepcopy=False)


def is_superseded(trial: FrozenTrial) -> bool:
    """Whether another trial stands for this one, which died or was stopped."""
    return DIED in trial.user_attrs and trial.user_attrs[DIED] == "again"


def counted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that a search is made of: each setting once, whatever happened on the way."""
    return [trial for trial in trials if not is_superseded(trial)]


def requeue_dead(study: optuna.Study) -> list[int]:
    """Queues anew the trials whose process is gone; gives the numbers of these.

    One that died twice without an epoch more in between has failed. Whoever asks holds the search's
    lock.
    """
    dead = []
    trials = trials_of(study)
    for trial in trials:
        if trial.state == TrialState.RUNNING and _is_dead(trial):
            dead.append(trial.number)
            before = trial.user_attrs.get(RETRY_OF)
            epochs = -1 if before is None else len(trials[before].intermediate_values)
            _end(study, trial, again=len(trial.intermediate_values) > epochs)
    _queue_lost(study)
    return dead


def _is_dead(trial: FrozenTrial) -> bool:
    """Whether no one trains a running trial; one that was just asked for has no note yet."""
    note = trial.user_attrs.get(LEASE)
    if note is None and trial.datetime_start is not None:
        return (datetime.now() - trial.datetime_start).total_seconds() > GRACE_S
    return not lease.is_alive(note)


def requeue_stopped(study: optuna.Study) -> None:
    """Queues anew the trials of this process, which was asked to stop."""
    for trial in trials_of(study):
        if trial.state == TrialState.RUNNING and lease.is_mine(trial.user_attrs.get(LEASE)):
            _end(study, trial, again=True, stopped=True)
    _queue_lost(study)


def set_attrs(study: optuna.Study, trial: FrozenTrial, **attrs: Any) -> None:
    """Notes of an unfinished trial."""
    noted = optuna.trial.Trial(study, trial._trial_id)
    with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):  # taken over elsewhere
        for name, value in attrs.items():
            noted.set_user_attr(name, value)


def _end(study: optuna.Study, trial: FrozenTrial, *, again: bool, stopped: bool = False) -> None:
    reason = "its process died twice" if not again else "its process died"
    attrs: dict[str, Any] = {DIED: "again" if again else "for good"}
    attrs["reason"] = "stopped" if stopped else reason
    # Another machine may be as quick: one of the two is refused.
    with contextlib.suppress(RuntimeError, ValueError, optuna.exceptions.OptunaError), quiet():
        set_attrs(study, trial, **attrs)
        study.tell(trial.number, state=TrialState.FAIL)


def _queue_lost(study: optuna.Study) -> None:
    """Queues what ended to be tried again and is not queued yet."""
    trials = trials_of(study)
    again = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    again |= {trial.user_attrs.get(STOPPED) for trial in trials}
    for trial in trials:
        if is_superseded(trial) and trial.number not in again:
            stopped = trial.user_attrs.get("reason") == "stopped"
            kept = {k: v for k, v in trial.user_attrs.items() if k == RETRY_OF}
            attrs = kept | {STOPPED if stopped else RETRY_OF: trial.number}
            with quiet():
                study.enqueue_trial(dict(trial.params), user_attrs=attrs)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}.{number}"


@contextlib.contextmanager
def asking(study: optuna.Study, project: Project) -> Iterator[None]:
    """No other command of this machine asks the search for a trial inside."""
    with lease.wait_for(project.runs / "leases", f"ask-{study.study_name}"), quiet():
        yield
