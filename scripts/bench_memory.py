"""Resident memory of a 48-px run on the CPU, and what a second worker adds."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from figure import Row, show

GB = 1e9
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


def most(model: str, data: str, workers: int) -> float:
    """The most that a study's processes hold together, in bytes; pages that they share count once
    for each process."""
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "memory.yaml"
        study.write_text(STUDY.replace("MODEL", model).replace("DATA", data), encoding="utf-8")
        how = "inline" if workers == 1 else "processes"
        command = [sys.executable, "-m", "research", "ablate", str(study)]
        command += ["--workers", str(workers), "--executor", how]
        running = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        found = 0
        while running.poll() is None:
            try:
                parent = psutil.Process(running.pid)
                family = [parent, *parent.children(recursive=True)]
                found = max(found, sum(one.memory_info().rss for one in family))
            except psutil.NoSuchProcess:
                continue
            time.sleep(0.1)
        assert running.returncode == 0
        return float(found)


def rows(data: str = "embedded") -> Iterator[Row]:
    """Memory of the compact net and of a large one."""
    for model in ("compact", "resnet18_d2l"):
        one = most(model, data, 1) / GB
        two, three = (most(model, data, workers) / GB for workers in (2, 3))
        yield Row(f"memory: a 48-px run of {model}", f"{one:.2f} GB", "under 1.5 GB", one < 1.5)
        more = three - two
        yield Row(
            f"memory: one more worker of {model}", f"{more:.2f} GB", "under 0.8 GB", more < 0.8
        )


if __name__ == "__main__":
    show(rows(*sys.argv[1:2]))
