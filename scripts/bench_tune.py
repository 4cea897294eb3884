"""What a search costs beside training, what survives kills, what giving up half-way saves.

Runs in folders of its own on the embedded set, on the CPU; about half an hour on two cores. Prints
one table, each figure beside what it should be.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from figure import Row, show
from scipy import stats

import research
from research.project import Project
from research.reporting.search import read_content
from research.tracking.database import connect
from research.tuning.search import Told

TINY = """\
name: tiny
base:
  data:
    name: embedded
    params: {size: 24, channels: 1, train_images: 350, val_images: 350, test_images: 70}
  model: {name: resnet20, params: {width: 0.25}}
  optim: {name: adam, params: {lr: 2e-3, weight_decay: 1e-4}}
  schedule: cosine
  preprocess: {normalize: {mean: 0.5, std: 0.5}}
  augment: {flip: {}}
  training: {epochs: 27, batch_size: 32, precision: fp32, memory_format: contiguous}
factors:
  flip: {path: augment.flip, levels: {present: {}, absent: null}, control: present}
search:
  lr: {path: optim.params.lr, low: 1e-4, high: 3e-2, log: true}
  weight_decay: {path: optim.params.weight_decay, low: 1e-6, high: 1e-1, log: true}
  batch: {path: training.batch_size, choices: [16, 32, 64]}
  label_smoothing: {path: loss.params.label_smoothing, low: 0.0, high: 0.3}
"""


def project(folder: Path) -> Path:
    (folder / "ablations").mkdir(parents=True, exist_ok=True)
    (folder / "ablations" / "tiny.yaml").write_text(TINY)
    return folder


def overhead(folder: Path) -> Row:
    """Seconds of a trial that are no training, in one process, from the first to the last."""
    ended: list[float] = []
    research.tune(
        "tiny", trials=24, epochs=1, confirm=0, pruner="none", executor="inline",
        root=project(folder),
        observe=lambda event: ended.append(time.monotonic()) if isinstance(event, Told) else None,
    )  # fmt: skip
    runs = connect(Project(folder)).find(kind="trial")
    trained = {int(run.tags["trial"]): run.metrics["epoch_s"] for run in runs}
    each = [now - before - trained[place] for place, (before, now)
            in enumerate(itertools.pairwise(ended), 1)]  # fmt: skip
    low, middle, high = np.percentile(each, [5, 50, 95])
    text = f"{middle:.2f} s ({low:.2f} to {high:.2f}), n = {len(each)}"
    return Row("a trial beside its training", text, "under 0.3 s", bool(middle < 0.3))


def kills(folder: Path) -> Row:
    """Thirty trials, four workers and once the program itself killed, then asked again."""
    command = [sys.executable, "-m", "research", "tune", "tiny", "--trials", "30", "--epochs", "2",
               "--confirm", "0", "--workers", "2", "--json"]  # fmt: skip
    project(folder)
    chance = random.Random(0)  # noqa: S311
    killed = 0
    while True:
        running = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        while running.poll() is None and killed < 5:
            time.sleep(chance.uniform(8, 14))
            try:
                workers = psutil.Process(running.pid).children()
            except psutil.NoSuchProcess:
                break
            if killed == 4:
                os.kill(running.pid, signal.SIGKILL)
            elif workers:
                chance.choice(workers).kill()
            killed += 1
        out, _ = running.communicate()
        if running.returncode == 0:
            break
    found = json.loads(out)["trials"]
    runs = connect(Project(folder)).find(kind="trial")
    done = [run.tags["fingerprint"] for run in runs if run.status == "FINISHED"]
    text = (
        f"{found['finished']} finished, {found['pruned']} given up, {found['failed']} failed; "
        f"{len(done) - len(set(done))} trained twice; {killed} kills"
    )
    counted = found["finished"] + found["pruned"] + found["failed"]
    met = counted == 30 and len(done) == len(set(done))
    return Row("30 trials with kills", text, "30 counted, none lost, none twice", met)


def pruning(folder: Path, trials: int, searches: int) -> list[Row]:
    """Searches of 27 epochs with Hyperband and without: epochs trained, fresh seeds' scores."""
    shares: list[float] = []
    scores: dict[str, list[float]] = {"hyperband": [], "none": []}
    for seed in range(searches):
        for pruner, kept in scores.items():
            place = project(folder / f"{pruner}{seed}")
            made = research.tune("tiny", trials=trials, pruner=pruner, seed=seed, root=place)
            content = read_content(made.parent_run_id, connect(Project(place)))
            won = next(one for one in content["confirmed"] if one["cell"] == made.winner)
            kept += won["scores"]
            if pruner == "hyperband":
                shares.append(float(made.trials["epochs"].sum()) / (27 * trials))
    found = stats.ttest_ind(scores["hyperband"], scores["none"], equal_var=False)
    low, high = (100 * bound for bound in found.confidence_interval())
    change = 100 * (np.mean(scores["hyperband"]) - np.mean(scores["none"]))
    means = ", ".join(f"{name} {100 * np.mean(values):.1f} %" for name, values in scores.items())
    text = f"{change:+.1f} points (95 % interval {low:+.1f} to {high:+.1f}); {means}; n = "
    epochs = ", ".join(f"{100 * share:.0f} %" for share in shares)
    named = f"epochs of {trials} trials with Hyperband"
    return [
        Row(named, epochs, "at most 40 % of all", float(np.mean(shares)) <= 0.4),
        Row(
            "fresh seeds with it less without",
            f"{text}{len(scores['none'])} each", "not worse", bool(high >= 0),
        ),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--searches", type=int, default=1, help="with and without pruning, each")
    parser.add_argument("--folder", type=Path, help="kept, so that a search can go on")
    parser.add_argument("figures", nargs="*", default=["overhead", "kills", "pruning"])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = (asked.folder or Path(name)).resolve()
        rows = [overhead(folder / "overhead")] if "overhead" in asked.figures else []
        rows += [kills(folder / "kills")] if "kills" in asked.figures else []
        if "pruning" in asked.figures:
            rows += pruning(folder / "pruning", asked.trials, asked.searches)
        show(rows)


if __name__ == "__main__":
    main()
