"""How many runs one GPU takes side by side: processes are added for as long as that pays.

A small net leaves most of a GPU idle while the host prepares its next step. What more processes
bring is measured: each trains the study's recipe for a few seconds, all of them at once.
``python -m research.packing PIPE`` is one of them.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

import psutil
import torch

from research.arithmetic import Arithmetic, keep_freed_memory, reproducible
from research.assembly import assemble, resident
from research.data.cache import load
from research.data.location import Location
from research.design import seeded
from research.planning import read_params
from research.spec import Recipe
from research.training import train_step

GAIN = 1.15  # times as many images a second: what twice as many processes must bring
MOST = 8
SECONDS = 3.0  # of a measurement
SPARE = 0.8  # of the free memory, which is all that may be taken
CONTEXT_BYTES = 600 * 1024**2  # of a process on a GPU, beside its tensors
log = logging.getLogger("research")


@dataclass(frozen=True)
class Trial:
    """A complete recipe to be trained for a few seconds, and on what."""

    recipe: Recipe
    location: Location
    device: str
    threads: int = 1
    seconds: float = SECONDS


@dataclass
class Trainee:
    """A process that trains when told to; ``needs`` bytes of memory, of ``free`` ones."""

    process: subprocess.Popen[bytes]
    pipe: Connection
    needs: float = 0.0
    free: float = 0.0


def runs_at_once(trial: Trial, cores: int) -> int:
    """Runs that a device takes side by side: a power of two, no more than there are cores.

    1 where the first process cannot train, so that the run itself tells why.
    """
    crew: list[Trainee] = []
    best, count = 0.0, 1
    try:
        while True:
            crew += [_start(trial) for _ in range(count - len(crew))]
            rate = _rate(crew)
            log.info("%d at once on %s: %.0f images/s", count, trial.device, rate)
            if rate < GAIN * best:
                return count // 2
            best, first = rate, crew[0]
            if 2 * count > min(cores, MOST) or 2 * count * first.needs > SPARE * first.free:
                return count
            count *= 2
    except (EOFError, OSError):  # one of them died: there is no room for so many
        return max(1, count // 2)
    finally:
        for trainee in crew:
            trainee.process.kill()
            trainee.process.wait()
            trainee.pipe.close()


def _start(trial: Trial) -> Trainee:
    """A new process that is given its trial, and not waited for."""
    ours, theirs = multiprocessing.Pipe()
    number = theirs.fileno()
    command = [sys.executable, "-m", "research.packing", str(number)]
    process = subprocess.Popen(command, pass_fds=[number], stderr=subprocess.DEVNULL)
    theirs.close()
    with contextlib.suppress(OSError):  # a process that died is noticed when it is waited for
        ours.send(trial)
    return Trainee(process, ours)


def _rate(crew: list[Trainee]) -> float:
    """Images a second of all together."""
    for trainee in crew:
        if not trainee.needs:
            trainee.needs, trainee.free = trainee.pipe.recv()
    for trainee in crew:
        trainee.pipe.send("train")
    return sum(float(trainee.pipe.recv()) for trainee in crew)


def train(pipe: Connection) -> None:
    """Serves one pipe: says what memory it takes, then trains each time it is asked to."""
    trial: Trial = pipe.recv()
    torch.set_num_threads(trial.threads)
    keep_freed_memory()
    recipe, device = trial.recipe, torch.device(trial.device)
    arithmetic = Arithmetic(device, recipe.training.precision, recipe.training.memory_format)  # type: ignore[arg-type]
    splits = load(trial.location, read_params(recipe)).limited(recipe.training.batch_size, 1)
    with reproducible(device, arithmetic.precision):
        state = assemble(seeded(recipe, 0), splits, arithmetic)
        state.net.train()
        few = resident(splits, "train", recipe, device)
        train_step(state, few.images, few.labels, few.targets)
        pipe.send(_memory(device))
        while True:
            pipe.recv()
            number, started = 0, time.perf_counter()
            while time.perf_counter() - started < trial.seconds:
                loss, _ = train_step(state, few.images, few.labels, few.targets)
                loss.item()  # else a GPU's queue would grow until the time is up
                number += len(few)
            pipe.send(number / (time.perf_counter() - started))


def _memory(device: torch.device) -> tuple[float, float]:
    """Bytes that this process takes of the device's memory, and those that were free before."""
    if device.type == "cuda":
        needs = torch.cuda.max_memory_reserved(device) + CONTEXT_BYTES
        return float(needs), float(torch.cuda.mem_get_info(device)[0] + needs)
    needs = psutil.Process().memory_info().rss
    return float(needs), float(psutil.virtual_memory().available + needs)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it decides
    with contextlib.suppress(EOFError, OSError):
        train(Connection(int(sys.argv[1])))
