"""The runs of a plan that are not finished: jobs to an executor, and its events back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import psutil
import torch

from research import executors, registry
from research.arithmetic import find_device, give_freed_memory_back
from research.errors import InvalidInput
from research.executors import Event, Outcome
from research.inspection import count, steps_of
from research.packing import Sample, runs_at_once
from research.parent import Parent
from research.planning import Plan, PlannedRun, read_params
from research.project import Project
from research.provenance import hardware
from research.request import Request
from research.run import Job
from research.runner import Runner
from research.tracking import Tracked, Tracker, experiment_name, lease, mark_of
from research.tracking.recording import Labels, finished, serving
from research.tracking.recording import taken as taken_by

POLL_S = 2.0  # between looks at what another process trains
PROBED_STEPS = 100_000  # of all runs together: what is worth a minute of measuring
MOST_ON_A_GPU = 8
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
    jobs = [job_of(planned, plan, request, parent) for planned in plan.todo]
    yield from execute_jobs(jobs, runner, parent.tracker, project, executor, workers)
    if jobs:
        give_freed_memory_back()  # a report needs some more


@dataclass
class Queue:
    """Jobs that were put back, then new ones as they come."""

    new: Iterator[Job]
    back: list[Job] = field(default_factory=list)

    def __iter__(self) -> Iterator[Job]:
        return self

    def __next__(self) -> Job:
        return self.back.pop(0) if self.back else next(self.new)


def execute_jobs(
    jobs: Iterable[Job],
    runner: executors.Runner,
    tracker: Tracker,
    project: Project,
    executor: str,
    workers: int,
) -> Iterator[Event]:
    """Jobs to their events; what another process trains is waited for, and then taken over."""
    queue = Queue(iter(jobs))
    while True:
        taken: list[Job] = []
        for event in registry.executors.get(executor)(runner, queue, workers):
            if isinstance(event, Outcome) and event.status == "taken":
                taken.append(event.job)
            yield event
        if not taken:
            return
        free: list[Job] = []
        while not free:
            time.sleep(POLL_S)
            free = [job for job in taken if _is_free(job, tracker, project)]
        for job in free:
            done = _finished_elsewhere(job, tracker)
            if done is not None:
                yield Outcome(job, "reused", done.run_id, done.tags.get("diverged") == "true")
                taken = [other for other in taken if other is not job]
        queue.back = taken


def _is_free(job: Job, tracker: Tracker, project: Project) -> bool:
    """Whether no living process trains a job, here or, as far as the store tells, elsewhere."""
    identity = job.labels.fingerprint
    if not lease.is_free(project.runs / "leases", identity):
        return False
    return taken_by(tracker.find(fingerprint=identity)) is None


def _finished_elsewhere(job: Job, tracker: Tracker) -> Tracked | None:
    """The run that another process has finished in the meantime, or None."""
    found = serving(tracker.find(fingerprint=job.labels.fingerprint), job.labels.kind)
    usable, _ = finished(found, job.labels.code_digest, accept_code=job.accept_code)
    return usable


def crew_of(
    executor: str, workers: int | None, device: str | None, plan: Plan | None = None
) -> int:
    """How many workers an executor has; raises `InvalidInput` where it cannot have so many.

    By default one a core: side by side, nets of this size train faster than one after the other on
    all cores. Or one a GPU, and several on each where a probe of the plan's largest cell says that
    it pays.
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
        gpus = torch.cuda.device_count() if device in (None, "cuda") else 1
        return gpus if plan is None else gpus * _runs_on_each(plan, gpus, device)
    memory = psutil.virtual_memory().total
    return max(1, min(int(hardware()["cores"]), memory // WORKER_BYTES))


def _runs_on_each(plan: Plan, gpus: int, device: str | None) -> int:
    """Runs side by side on each GPU: 1 without a probe where there is too little to train."""
    splits = plan.control_data
    largest = max(plan.cells, key=lambda cell: count(cell.recipe, len(splits.classes)).macs)
    cores, memory = int(hardware()["cores"]), psutil.virtual_memory().total // WORKER_BYTES
    most = min(MOST_ON_A_GPU, min(cores, memory, len(plan.todo)) // gpus)
    if most < 2 or len(plan.todo) * steps_of(largest.recipe, splits) < PROBED_STEPS:
        return 1
    first = device if device not in (None, "cuda") else "cuda:0"
    return runs_at_once(Sample(largest.recipe, plan.location, first), most)


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
        more={mark_of(plan.study_hash): "true"},
    )
    return Job(planned.spec, labels, request.fresh, request.accept_code)
