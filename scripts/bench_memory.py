"""Resident memory of a 48-px run on the CPU, and what one more worker adds.

Pages that processes share, as those of libraries and of the data's cache, are counted once for each
process in what is resident, and once in all (proportional set size) in what a worker adds.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from figure import Row, at_most, show, spread

GB, ROUNDS = 1e9, 2
STUDY = """
name: memory
base:
  data: {name: DATA, params: {size: 48, channels: 1, train_limit: 6000, eval_limit: 1000}}
  model: MODEL
  preprocess: {normalize: {mean: 0.5, std: 0.5}}
  augment: {flip: {}}
  training: {epochs: 1, batch_size: 64}
factors:
  flip: {path: augment.flip, levels: {present: {}, absent: null}, control: present}
seeds: 2
"""


def most(model: str, data: str, workers: int) -> tuple[float, float]:
    """The most that a study's processes hold together, in bytes: resident; shared pages once."""
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "memory.yaml"
        study.write_text(STUDY.replace("MODEL", model).replace("DATA", data), encoding="utf-8")
        how = "inline" if workers == 1 else "processes"
        command = [sys.executable, "-m", "research", "ablate", str(study)]
        command += ["--workers", str(workers), "--executor", how]
        running = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        resident = shared_once = 0.0
        while running.poll() is None:
            try:
                parent = psutil.Process(running.pid)
                family = [parent, *parent.children(recursive=True)]
                found = [one.memory_full_info() for one in family]
            except psutil.NoSuchProcess:
                found = []
            resident = max(resident, sum(one.rss for one in found))
            shared_once = max(shared_once, sum(one.pss for one in found))
            time.sleep(0.2)
        assert running.returncode == 0
        return resident, shared_once


def rows(data: str = "embedded") -> Iterator[Row]:
    """Memory of the compact net and of a large one."""
    for model in ("compact", "resnet18_d2l"):
        ones = [most(model, data, 1)[0] / GB for _ in range(ROUNDS)]
        yield at_most(f"memory: a 48-px run of {model}, resident", ones, 1.5, " GB")
        taken = [[most(model, data, workers) for workers in (2, 3)] for _ in range(ROUNDS)]
        resident = [(three[0] - two[0]) / GB for two, three in taken]
        more = [(three[1] - two[1]) / GB for two, three in taken]
        name = f"memory: a third worker of {model} adds"
        yield at_most(f"{name}, shared pages counted once", more, 0.8, " GB")
        yield Row(f"{name}, resident", spread(resident, unit=" GB"), "-", None)


if __name__ == "__main__":
    show(rows(*sys.argv[1:2]))
