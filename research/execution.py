"""The runs of a plan that are not finished: jobs to an executor, and its events back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import psutil
import torch

from research import registry
from research.arithmetic import find_device
from research.errors import InvalidInput
from research.executors import Event, Outcome
from research.parent import Parent
from research.planning import Plan, PlannedRun, read_params
from research.project import Project
from research.provenance import hardware
from research.request import Request
from research.run import Job
from research.runner import Runner
from research.tracking import Tracked, experiment_name, lease
from research.tracking.recording import Labels, finished
from research.tracking.recording import taken as taken_by

POLL_S = 2.0  # between looks at what another process trains
WORKER_BYTES = 2 * 1024**3  # what a process with torch, data and a net may take


def execute(
    plan: Plan,
    request: Request,
    project: Project,
    parent: Parent,
    executor: str,
    workers: int,
) -> Iterator[Event]:
    """Runs everything that is not finished; waits for what another process trains."""
    params = {json.dumps(p): p for p in (read_params(cell.recipe) for cell in plan.cells)}
    runner = Runner(project, plan.location, tuple(params.values()), request.device)
    pending = [job_of(planned, plan, request, parent) for planned in plan.todo]
    while pending:
        taken: list[Job] = []
        for event in registry.executors.get(executor)(runner, pending, workers):
            if isinstance(event, Outcome) and event.status == "taken":
                taken.append(event.job)
            yield event
        pending = taken
        free: list[Job] = []
        while pending and not free:
            time.sleep(POLL_S)
            free = [job for job in pending if _is_free(job, parent, project)]
        for job in free:
            done = _finished_elsewhere(job, parent)
            if done is not None:
                yield Outcome(job, "reused", done.run_id, done.tags.get("diverged") == "true")
                pending = [other for other in pending if other is not job]


def _is_free(job: Job, parent: Parent, project: Project) -> bool:
    """Whether no living process trains a job, here or, as far as the store tells, elsewhere."""
    identity = job.labels.fingerprint
    if not lease.is_free(project.runs / "leases", identity):
        return False
    return taken_by(parent.tracker.find(fingerprint=identity)) is None


def _finished_elsewhere(job: Job, parent: Parent) -> Tracked | None:
    """The run that another process has finished in the meantime, or None."""
    found = parent.tracker.find(fingerprint=job.labels.fingerprint)
    usable, _ = finished(found, job.labels.code_digest, accept_code=job.accept_code)
    return usable


def crew_of(executor: str, workers: int | None, device: str | None) -> int:
    """How many workers an executor has; raises `InvalidInput` where it cannot have so many.

    By default one a core or one a GPU: side by side, nets of this size train faster than one after
    the other on all cores.
    """
    most = registry.executors.entry(executor).declared.get("most")
    if workers is not None and not 1 <= workers <= (most or workers):
        few = (
            f"the executor '{executor}' has {most}" if most and workers > most else "give 1 or more"
        )
        raise InvalidInput(f"--workers {workers}: {few}")
    if workers is not None or most is not None:
        return workers or int(most or 1)
    if find_device(device).type == "cuda":
        return torch.cuda.device_count() if device in (None, "cuda") else 1
    memory = psutil.virtual_memory().total
    return max(1, min(int(hardware()["cores"]), memory // WORKER_BYTES))


def job_of(planned: PlannedRun, plan: Plan, request: Request, parent: Parent) -> Job:
    """A planned run to the job that an executor takes."""
    labels = Labels(
        experiment=experiment_name("ablate", plan.study.name),
        study=plan.study.name,
        cell=planned.cell.name,
        factors=planned.cell.levels,
        seed=planned.seed,
        fold=planned.fold,
        fingerprint=planned.fingerprint,
        data_digest=planned.data_digest,
        code_digest=planned.code_digest,
        parent=parent.run_id,
    )
    return Job(planned.spec, labels, request.fresh, request.accept_code)
