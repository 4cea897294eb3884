"""A training step here beside the best loop that one would write by hand, and beside Lightning.

The bare loop has the batch as normalised floats on the device; ours makes it from bytes at each
step. Every loop has the same net, weights, order and fused optimiser; that they train alike is
checked by their losses.
"""

from __future__ import annotations

import copy
import itertools
import logging
import time
import warnings
from collections.abc import Iterator

import lightning
import numpy as np
import torch
from figure import Row, by_turns, ratios, show, spread
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import research
from research.arithmetic import Arithmetic, keep_freed_memory, reproducible
from research.assembly import assemble
from research.data import Split, Splits
from research.inspection import choose_arithmetic
from research.spec import RunSpec
from research.training import State, train_step

BATCH, ROUNDS = 64, 9
# Model, side, channels, steps in a turn.
NETS = {
    "resnet18_d2l": (48, 1, 1),
    "resnet20": (48, 1, 3),
    "alexnet_pro": (64, 3, 4),
    "facecnn": (48, 1, 4),
}
SAME = 0.02  # of a loss: other layouts round otherwise, and training adds that up


def spec_of(model: str, size: int, channels: int, steps: int) -> RunSpec:
    """The model with Adam and cross-entropy, nothing random but its start."""
    study = {
        "name": "bench",
        "base": {
            "data": {"name": "embedded", "params": {"size": size, "channels": channels}},
            "model": model,
            "optim": {"name": "adam", "params": {"lr": 1e-4}},
            "preprocess": {"normalize": {"mean": 0.5, "std": 0.25}},
            "training": {"batch_size": BATCH, "epochs": 1},
        },
        "factors": {"lr": {"path": "optim.params.lr", "levels": {"a": 1e-4}, "control": "a"}},
    }
    return research.plan(research.Study.model_validate(study))[0]


def images_of(size: int, channels: int) -> Splits:
    """Random images that need no resizing."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (4 * BATCH, size, size, channels), dtype=np.uint8)
    labels = generator.integers(0, 7, 4 * BATCH)
    split = Split(images, labels)
    classes = research.load_data("embedded").classes
    return Splits(split, split, split, classes, digest="random", source="random")


class Bare:
    """The loop by hand."""

    def __init__(self, state: State, splits: Splits, precision: str, layout: str) -> None:
        self.net = copy.deepcopy(state.net).train()
        kind = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        self.net = self.net.to(memory_format=kind)
        self.optimizer = torch.optim.Adam(self.net.parameters(), 1e-4, fused=True)
        self.bf16 = precision == "bf16"
        pixels = torch.from_numpy(splits.train.images).permute(0, 3, 1, 2)
        floats = ((pixels / 255 - 0.5) / 0.25).split(BATCH)
        self.batches = [one.contiguous(memory_format=kind) for one in floats]
        self.labels = torch.from_numpy(splits.train.labels).split(BATCH)
        self.place = itertools.count()
        self.losses: list[Tensor] = []

    def step(self) -> None:
        place = next(self.place) % len(self.batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            logits = self.net(self.batches[place])
        loss = functional.cross_entropy(logits.float(), self.labels[place])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.losses.append(loss.detach())


class Ours:
    """The step of this program, from bytes."""

    def __init__(self, spec: RunSpec, splits: Splits, arithmetic: Arithmetic) -> None:
        self.state = assemble(spec, splits, arithmetic)
        self.state.net.train()
        self.images = torch.from_numpy(splits.train.images).permute(0, 3, 1, 2)
        self.labels = torch.from_numpy(splits.train.labels)
        self.place = itertools.count()
        self.losses: list[Tensor] = []

    def step(self) -> None:
        first = next(self.place) % (len(self.labels) // BATCH) * BATCH
        rows = torch.arange(first, first + BATCH)
        loss, _ = train_step(self.state, self.images[rows], self.labels[rows])
        self.losses.append(loss)


class Lit(lightning.LightningModule):
    """The same net for Lightning's Trainer, which notes when steps begin."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.began: list[float] = []

    def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
        self.began.append(time.perf_counter())
        images, labels = batch
        return functional.cross_entropy(self.net(images).float(), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.net.parameters(), 1e-4, fused=True)


def lightning_steps(bare: Bare, steps: int) -> float:
    """Seconds that a step takes in Lightning's Trainer, the first two left out."""
    module = Lit(copy.deepcopy(bare.net))
    data = TensorDataset(torch.cat(bare.batches), torch.cat(bare.labels))
    trainer = lightning.Trainer(
        max_steps=steps + 3, accelerator="cpu", devices=1, logger=False,
        precision="bf16-mixed" if bare.bf16 else "32-true", enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, max_epochs=-1,
    )  # fmt: skip
    trainer.fit(module, DataLoader(data, BATCH))
    return (module.began[-1] - module.began[2]) / (len(module.began) - 3)


def of_net(model: str) -> Iterator[Row]:
    """Ratios of one net."""
    size, channels, steps = NETS[model]
    spec, splits = spec_of(model, size, channels, steps), images_of(size, channels)
    device = torch.device("cpu")
    chosen = choose_arithmetic(spec, splits, device)
    arithmetic = Arithmetic(device, chosen["precision"], chosen["memory_format"])  # type: ignore[arg-type]
    with reproducible(device, arithmetic.precision):
        ours = Ours(spec, splits, arithmetic)
        start = assemble(spec, splits, Arithmetic(device))
        precisions = {"fp32", arithmetic.precision}
        bare = {
            (precision, layout): Bare(start, splits, precision, layout)
            for precision in sorted(precisions, reverse=True)
            for layout in ("contiguous", "channels_last")
        }
        torch.use_deterministic_algorithms(False)  # the bare loops are free of it

        def turn(one: Bare | Ours) -> None:
            torch.manual_seed(0)  # of dropout
            for _ in range(steps):
                one.step()

        works = [lambda one=one: turn(one) for one in (ours, *bare.values())]
        taken, *rest = by_turns(*works, rounds=ROUNDS)
        alone = dict(zip(bare, rest, strict=True))
        best = min(alone, key=lambda way: sorted(alone[way])[ROUNDS // 2])
        same = alone[arithmetic.precision, arithmetic.memory_format]
        theirs = [lightning_steps(bare[arithmetic.precision, arithmetic.memory_format], steps)
                  for _ in range(3)]  # fmt: skip
    losses = [float(one) for one in ours.losses]
    wanted = [float(one) for one in bare[arithmetic.precision, arithmetic.memory_format].losses]
    apart = max(abs(a - b) / b for a, b in zip(losses, wanted, strict=True))
    how = f"{arithmetic.precision}, {arithmetic.memory_format}"
    yield Row(
        f"step: {model} ({how}), losses apart from the bare loop's",
        f"{100 * apart:.2f} % at most in {len(losses)} steps",
        f"under {100 * SAME:.0f} %",
        apart < SAME,
    )
    speed = sorted(ratios(alone[best], taken))
    yield Row(
        f"step: {model}, speed against the best bare loop ({', '.join(best)})",
        spread(speed, unit="x"), "at least 0.95x", speed[ROUNDS // 2] >= 0.95,
    )  # fmt: skip
    plain = sorted(ratios(alone["fp32", "contiguous"], taken))
    yield Row(
        f"step: {model}, against the plain fp32 loop",
        spread(plain, unit="x"), "at least 1x", plain[ROUNDS // 2] >= 1,
    )  # fmt: skip
    ratio = sorted(theirs)[1] / (sorted(taken)[ROUNDS // 2] / steps)
    same_ratio = sorted(same)[ROUNDS // 2] / sorted(taken)[ROUNDS // 2]
    yield Row(
        f"step: {model}, against Lightning {lightning.__version__} in the same arithmetic",
        f"{ratio:.2f}x (the bare loop: {same_ratio:.2f}x)", "at least 1x", ratio >= 1,
    )  # fmt: skip


def rows() -> Iterator[Row]:
    """Every figure of the training step."""
    keep_freed_memory()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for model in NETS:
        yield from of_net(model)


if __name__ == "__main__":
    show(rows())
