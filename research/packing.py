"""How many runs one GPU takes side by side: processes are added for as long as that pays.

A small net leaves most of a GPU idle while the host prepares its next step. What more processes
bring is measured: each trains a recipe of the study for a few seconds, all of them at once.
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
from research.data.folds import used
from research.data.location import Location
from research.design import seeded
from research.errors import InvalidInput
from research.planning import read_params
from research.spec import Recipe
from research.training import EVALUATION_BATCH, predict, train_step

GAIN = 1.15  # times as many images a second: what twice as many processes must bring
SECONDS = 3.0  # of a measurement
START_S = 180.0  # that a process may take until it trains
WAIT_EVERY = 25  # steps, after which a process waits for the device, as training hardly ever does
SPARE = 0.8  # of the free memory, which is all that may be taken
CONTEXT_BYTES = 600 * 1024**2  # of a process on a GPU, beside its tensors
log = logging.getLogger("research")


@dataclass(frozen=True)
class Sample:
    """A complete recipe that is trained for a few seconds, and on what."""

    recipe: Recipe
    location: Location
    device: str
    seconds: float = SECONDS


@dataclass
class Process:
    """One that trains when told to; it takes ``needs`` bytes of memory, of ``free`` ones."""

    process: subprocess.Popen[bytes]
    pipe: Connection
    needs: float = 0.0
    free: float = 0.0


def runs_at_once(sample: Sample, most: int) -> int:
    """Runs that a device takes side by side: a power of two, at most ``most``.

    As many as were measured last where a process cannot train or does not answer.
    """
    crew: list[Process] = []
    best, count = 0.0, 1
    try:
        while True:
            while len(crew) < count:
                crew.append(_start(sample))
            rate = _rate(crew, sample.seconds)
            log.info("%d at once on %s: %.1f images/s", count, sample.device, rate)
            if rate < GAIN * best:
                return count // 2
            best, first = rate, crew[0]
            if 2 * count > most or 2 * count * first.needs > SPARE * first.free:
                return count
            count *= 2
    except (EOFError, OSError, InvalidInput) as error:
        kept = max(1, count // 2)
        why = str(error) or "a process ended"
        log.warning("%d runs at once on %s were not measured (%s)", count, sample.device, why)
        return kept
    finally:
        for one in crew:
            one.process.kill()
            one.process.wait()
            one.pipe.close()


def _start(sample: Sample) -> Process:
    """A new process that is given its sample, and not waited for."""
    ours, theirs = multiprocessing.Pipe()
    number = theirs.fileno()
    command = [sys.executable, "-m", "research.packing", str(number)]
    process = subprocess.Popen(command, pass_fds=[number], stderr=subprocess.DEVNULL)
    theirs.close()
    with contextlib.suppress(OSError):  # a process that died is noticed when it is waited for
        ours.send(sample)
    return Process(process, ours)


def _rate(crew: list[Process], seconds: float) -> float:
    """Images a second of all together."""
    for one in crew:
        if not one.needs:
            one.needs, one.free = _answer(one, START_S)
    for one in crew:
        one.pipe.send("train")
    return sum(_answer(one, START_S + seconds)[0] for one in crew)


def _answer(one: Process, seconds: float) -> tuple[float, float]:
    """Two numbers of a process; raises `InvalidInput` with what went wrong there."""
    if not one.pipe.poll(seconds):
        raise InvalidInput(f"a process did not answer in {seconds:.0f} s")
    answer: tuple[float, float] | str = one.pipe.recv()
    if isinstance(answer, str):
        raise InvalidInput(answer)
    return answer


def train(sample: Sample, pipe: Connection) -> None:
    """Trains each time it is asked to, and says how quickly; at first, what memory it takes."""
    torch.set_num_threads(1)
    keep_freed_memory()
    recipe, device = sample.recipe, torch.device(sample.device)
    arithmetic = Arithmetic(device, recipe.training.precision, recipe.training.memory_format)  # type: ignore[arg-type]
    splits = used(load(sample.location, read_params(recipe)), recipe.data.params)
    with reproducible(device, arithmetic.precision):
        state = assemble(seeded(recipe, 0), splits, arithmetic)
        split = resident(splits, "train", recipe, device)
        size = min(recipe.training.batch_size, len(split))
        images, labels, targets = (
            part[:size] for part in (split.images, split.labels, split.targets())
        )
        predict(state.net, state.view, split.images[:EVALUATION_BATCH], arithmetic, recipe.test)
        state.net.train()

        def rate() -> float:
            number, started = 0, time.perf_counter()
            while number == 0 or time.perf_counter() - started < sample.seconds:
                for _ in range(WAIT_EVERY):
                    loss, _ = train_step(state, images, labels, targets)
                    number += size
                    if time.perf_counter() - started > sample.seconds:
                        break
                loss.item()
            return number / (time.perf_counter() - started)

        rate()  # a device warms up
        pipe.send(_memory(device))
        while True:
            pipe.recv()
            pipe.send((rate(), 0.0))


def _memory(device: torch.device) -> tuple[float, float]:
    """Bytes that this process takes of the device's memory, and those that were free before."""
    if device.type == "cuda":
        needs = torch.cuda.max_memory_reserved(device) + CONTEXT_BYTES
        return float(needs), float(torch.cuda.mem_get_info(device)[0] + needs)
    needs = psutil.Process().memory_info().rss
    return float(needs), float(psutil.virtual_memory().available + needs)


def main(pipe: Connection) -> None:
    """Serves one pipe, until no one listens; what goes wrong is told through it."""
    try:
        train(pipe.recv(), pipe)
    except (EOFError, OSError):
        return
    except Exception as error:  # of whatever the recipe runs
        pipe.send((str(error) or type(error).__name__).splitlines()[0])


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it decides
    with contextlib.suppress(OSError):
        main(Connection(int(sys.argv[1])))
