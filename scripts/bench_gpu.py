"""What a GPU should show, and what it does: run it once wherever one is at hand.

Written down before any was: a step waits for nothing (an error where it does); bf16 in channels
last trains residual nets at least twice as quickly as plain fp32; the input costs under 5 % of a
step; our step reaches 95 % of the best bare loop; two small nets side by side give at least 1.2
times one, and a probe says so.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from figure import Row, at_least, at_most, by_turns, ratios, show, spread
from torch import Tensor
from torch.nn import functional

import research
from research.arithmetic import Arithmetic
from research.assembly import assemble
from research.augment.view import View
from research.data.location import locate
from research.execution import MOST_ON_A_GPU
from research.inspection import choose_arithmetic
from research.models import build_model
from research.packing import Sample, runs_at_once
from research.provenance import hardware
from research.spec import RunSpec
from research.training import State, train_step

BATCH, STEPS, ROUNDS = 256, 20, 5
NETS = {"compact": 44, "resnet20": 48, "resnet18_d2l": 48, "resnet18": 48}
AUGMENT = {"crop": {"padding": 0.05}, "flip": {}, "rotation": {}, "jitter": {}, "mixup": {}}


def recipe(model: str, size: int) -> RunSpec:
    """A model with every kind of augmentation."""
    study = {
        "name": "gpu",
        "base": {
            "data": {"name": "embedded", "params": {"size": size, "channels": 1}},
            "model": model,
            "preprocess": {"normalize": {"mean": 0.5, "std": 0.25}},
            "augment": AUGMENT,
            "training": {"batch_size": BATCH, "epochs": 1},
        },
        "factors": {
            "flip": {"path": "augment.flip", "levels": {"yes": {}, "no": None}, "control": "yes"}
        },
    }
    return research.plan(research.Study.model_validate(study))[0]


def turn(step: Callable[[], None]) -> Callable[[], float]:
    """A step to the seconds of many; the GPU is waited for at both ends."""

    def work() -> float:
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(STEPS):
            step()
        torch.cuda.synchronize()
        return time.perf_counter() - started

    return work


def bare(
    model: str, size: int, precision: str, layout: str, device: torch.device
) -> Callable[[], None]:
    """A step of a loop by hand, its batch ready on the GPU."""
    kind = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    net = build_model(model, 7, size=size, in_channels=1).to(device, memory_format=kind)  # type: ignore[call-overload]
    images = torch.empty((BATCH, 1, size, size), device=device, memory_format=kind).normal_()
    labels = torch.randint(0, 7, (BATCH,), device=device)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3, fused=True)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            logits = net(images)
        loss = functional.cross_entropy(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


class Batch:
    """A training with its batch of bytes on the GPU."""

    def __init__(self, spec: RunSpec, device: torch.device) -> None:
        splits = research.load_data("embedded")
        chosen = choose_arithmetic(spec, splits, device)
        arithmetic = Arithmetic(device, chosen["precision"], chosen["memory_format"])  # type: ignore[arg-type]
        self.how = f"{arithmetic.precision}, {arithmetic.memory_format}"
        self.state: State = assemble(spec, splits, arithmetic)
        self.state.net.train()
        self.size = spec.training.batch_size
        pixels = np.random.default_rng(0).integers(0, 256, (self.size, 1, 48, 48), dtype=np.uint8)
        self.images: Tensor = torch.from_numpy(pixels).to(device)
        self.labels = torch.arange(self.size, device=device) % 7
        self.progress = itertools.cycle((0.25, 0.75))  # of small images, if so, and of whole ones

    def step(self) -> None:
        train_step(self.state, self.images, self.labels, None, next(self.progress))

    def input(self) -> None:
        view: View = self.state.view
        view.augmented(self.images, self.labels, self.state.augment)


def own_recipe(name: str) -> RunSpec:
    """A study's control, its weights averaged as well, on images that need no download."""
    changed = {"data.name": "embedded", "training.average": 0.99}
    return research.plan(name)[0].override(changed)


def of_recipe(name: str, device: torch.device) -> Iterator[Row]:
    """Figures of a recipe of our own, with its own optimiser and augmentation."""
    batch = Batch(own_recipe(name), device)
    found = waits(batch)
    yield Row(f"gpu: what a step of {name}'s recipe waits for", found, "nothing",
              found == "nothing")  # fmt: skip
    ours, given = by_turns(turn(batch.step), turn(batch.input), rounds=ROUNDS)
    share = [100 * one for one in ratios(given, ours)]
    yield at_most(f"gpu: share of the input in a step of {name}'s recipe", share, 5, " %")
    speed = [batch.size * STEPS / one for one in ours]
    yield Row(f"gpu: {name}'s recipe ({batch.how})", spread(speed, "{:,.0f}", " images/s"), "-",
              None)  # fmt: skip


def of_net(model: str, size: int, device: torch.device) -> Iterator[Row]:
    """Figures of one net, all loops by turns."""
    batch = Batch(recipe(model, size), device)
    found = waits(batch)
    yield Row(f"gpu: what a step of {model} waits for", found, "nothing", found == "nothing")
    ways = [(p, layout) for p in ("fp32", "bf16") for layout in ("contiguous", "channels_last")]
    loops = [turn(bare(model, size, *way, device)) for way in ways]
    ours, given, *rest = by_turns(turn(batch.step), turn(batch.input), *loops, rounds=ROUNDS)
    share = [100 * one for one in ratios(given, ours)]
    yield at_most(f"gpu: share of the input in a step of {model}", share, 5, " %")
    taken = dict(zip(ways, rest, strict=True))
    best = min(taken, key=lambda way: statistics.median(taken[way]))
    name = f"gpu: {model} ({batch.how})"
    yield at_least(
        f"{name}, against the bare loop ({', '.join(best)})", ratios(taken[best], ours), 0.95
    )
    speed = [BATCH * STEPS / one for one in ours]
    yield Row(name, spread(speed, "{:,.0f}", " images/s"), "-", None)
    gain = ratios(taken["fp32", "contiguous"], taken["bf16", "channels_last"])
    yield at_least(f"gpu: bf16 in channels last against plain fp32, {model}", gain, 2)


def waits(batch: Batch) -> str:
    """What in a step waits for the GPU, or nothing."""
    batch.step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        batch.step()
    except RuntimeError as error:
        return str(error).splitlines()[0]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return "nothing"


def side_by_side(workers: int) -> float:
    """Seconds of eight short runs of compact with so many processes on the GPU."""
    levels = {f"lr{n}": 1e-3 * (n + 1) for n in range(8)}
    factor = {"path": "optim.params.lr", "levels": levels, "control": "lr0"}
    study = {
        "name": "side",
        "base": {"data": {"name": "embedded", "params": {"train_images": 20_000}},
                 "model": "compact", "training": {"epochs": 20, "batch_size": BATCH}},
        "factors": {"lr": factor}, "design": "one_at_a_time", "seeds": 1,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        research.ablate(research.Study.model_validate(study), executor="processes",
                        workers=workers, root=folder)  # fmt: skip
        return time.perf_counter() - started


def rows() -> Iterator[Row]:
    """Every figure of a GPU."""
    if not torch.cuda.is_available():
        yield Row("gpu: every figure", "torch finds no GPU here", "-", None)
        return
    device = torch.device("cuda")
    for model, size in NETS.items():
        yield from of_net(model, size, device)
    yield from of_recipe("compact", device)
    one, two = by_turns(lambda: side_by_side(1), lambda: side_by_side(2), rounds=3)
    yield at_least("gpu: two workers against one", ratios(one, two), 1.2)
    how = {"training.precision": "bf16", "training.memory_format": "channels_last"}
    spec = recipe("compact", NETS["compact"]).override(how)
    sample = Sample(spec, locate("embedded", Path.cwd()), "cuda:0")
    number = runs_at_once(sample, min(MOST_ON_A_GPU, int(hardware()["cores"])))
    yield Row("gpu: runs of compact at once, as measured", f"{number}", "at least 2", number > 1)


if __name__ == "__main__":
    show(rows())
