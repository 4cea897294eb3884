"""Small nets side by side: `--executor processes` beside bare loops in processes of their own.

``bench_packing.py bare THREADS SECONDS`` is one bare loop: it prints how many images it trained.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import torch
from figure import Row, show, spread
from torch.nn import functional

import research
from research.arithmetic import keep_freed_memory
from research.executors import Progress, Started
from research.models import build_model
from research.records import Epoch

MODEL, WIDTH, SIDE, BATCH, IMAGES = "resnet20", 0.5, 48, 64, 700
EPOCHS, RUNS = 24, 4  # a run of some twenty seconds; what short ones cost, bench_study tells
SECONDS, ROUNDS = 15.0, 3


def bare(threads: int, seconds: float) -> int:
    """Images that a loop by hand trains in so many seconds, once warm, in channels last."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    torch.manual_seed(0)
    net = build_model(MODEL, 7, size=SIDE, in_channels=1, width=WIDTH)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.randn(IMAGES, 1, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 7, (IMAGES,))
    optimizer = torch.optim.Adam(net.parameters(), 1e-3, fused=True)

    def step() -> None:
        rows = torch.randint(0, IMAGES, (BATCH,))
        loss = functional.cross_entropy(net(images[rows]), labels[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    step()
    print("ready", flush=True)
    sys.stdin.readline()
    number, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        step()
        number += BATCH
    return number


def bare_rate(processes: int, threads: int) -> float:
    """Images a second of so many bare loops at once."""
    command = [sys.executable, __file__, "bare", str(threads), str(SECONDS)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    loops = [subprocess.Popen(command, **pipes) for _ in range(processes)]  # type: ignore[call-overload]
    for loop in loops:
        assert loop.stdout.readline().strip() == "ready"
    for loop in loops:
        loop.stdin.write("go\n")
        loop.stdin.flush()
    return sum(int(loop.communicate()[0]) for loop in loops) / SECONDS


class Clock:
    """Starts once every worker has ended an epoch, counts those that come after, stops at the last
    run's end."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.waited: list[str] = []  # for an epoch of: each worker's first run
        self.begun = 0
        self.epochs, self.started, self.ended = 0, 0.0, 0.0

    def __call__(self, event: object) -> None:
        self.ended = time.perf_counter()
        if isinstance(event, Started) and self.begun < self.workers:
            self.begun += 1
            self.waited.append(event.job.labels.cell)
        if isinstance(event, Progress) and isinstance(event.record, Epoch):
            if self.started:
                self.epochs += 1
            elif event.job.labels.cell in self.waited:
                self.waited.remove(event.job.labels.cell)
                if not self.waited:
                    self.started = self.ended


def our_rate(workers: int) -> float:
    """Images a second of a study's workers, until all of its last run is written."""
    levels = {f"lr{number}": 1e-3 * (number + 1) for number in range(RUNS)}
    study = research.Study.model_validate(
        {
            "name": "packing",
            "base": {
                "data": {"name": "embedded",
                         "params": {"size": SIDE, "channels": 1, "train_images": IMAGES,
                                    "val_images": 70, "test_images": 70}},
                "model": {"name": MODEL, "params": {"width": WIDTH}},
                "preprocess": {"normalize": {"mean": 0.5, "std": 0.5}},
                "training": {"epochs": EPOCHS, "batch_size": BATCH, "precision": "fp32",
                             "memory_format": "channels_last"},
            },
            "factors": {"lr": {"path": "optim.params.lr", "levels": levels, "control": "lr0"}},
            "design": "one_at_a_time",
            "seeds": 1,
        }
    )  # fmt: skip
    clock = Clock(workers)
    with tempfile.TemporaryDirectory() as folder:
        research.ablate(study, executor="processes", workers=workers, root=folder, observe=clock)
    return clock.epochs * IMAGES / (clock.ended - clock.started)


def rows() -> Iterator[Row]:
    """Every figure of packing; on a GPU, see bench_gpu.py."""
    cores = torch.get_num_threads()
    one, two, ours = [], [], []
    for _ in range(ROUNDS):
        one.append(bare_rate(1, cores))
        two.append(bare_rate(cores, 1))
        ours.append(our_rate(cores))
    gain = [b / a for a, b in zip(one, two, strict=True)]
    share = [b / a for a, b in zip(two, ours, strict=True)]
    yield Row(
        f"packing: {cores} bare loops side by side, against one on all cores",
        spread(gain, unit="x"), "-", None,
    )  # fmt: skip
    yield Row(
        f"packing: --workers {cores}, against {cores} bare loops, all of a run included",
        spread(share, unit="x"), "at least 0.9x", statistics.median(share) >= 0.9,
    )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["bare"]:
        print(bare(int(sys.argv[2]), float(sys.argv[3])))
    else:
        show(rows())
