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
from dataclasses import replace

import lightning
import numpy as np
import torch
from figure import Row, at_least, by_turns, ratios, show
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

import research
from research.arithmetic import Arithmetic, keep_freed_memory, reproducible
from research.assembly import assemble
from research.data import Split, Splits
from research.inspection import choose_arithmetic, precisions
from research.models.rrelu import RReLU
from research.spec import RunSpec
from research.training import State, train_step

BATCH, BATCHES, ROUNDS = 64, 24, 21
AHEAD = 2  # steps of a turn that are not counted, in any loop
# Model, side, channels, steps in a turn.
NETS = {
    "resnet18_d2l": (48, 1, 3),
    "resnet20": (48, 1, 3),
    "alexnet_pro": (64, 3, 4),
    "facecnn": (48, 1, 4),
}
SAME, SAME_STEPS = 0.02, 8  # sums in another order, which training adds up


def spec_of(model: str, size: int, channels: int) -> RunSpec:
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
        "factors": {
            "flip": {"path": "augment.flip", "levels": {"no": None, "yes": {}}, "control": "no"}
        },
    }
    return research.plan(research.Study.model_validate(study))[0]


def images_of(size: int, channels: int) -> Splits:
    """Random images that need no resizing."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (BATCHES * BATCH, size, size, channels), dtype=np.uint8)
    labels = generator.integers(0, 7, BATCHES * BATCH)
    split = Split(images, labels)
    classes = research.load_data("embedded").classes
    return Splits(split, split, split, classes, digest="random", source="random")


def with_torchs_own(net: nn.Module) -> nn.Module:
    """The same net of PyTorch's own modules, as one would write it by hand."""
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, RReLU):
                setattr(module, name, nn.RReLU(child.lower, child.upper))
    return net


class Bare:
    """The loop by hand."""

    def __init__(self, state: State, splits: Splits, precision: str, layout: str) -> None:
        self.net = with_torchs_own(copy.deepcopy(state.net)).train()
        kind = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        self.net = self.net.to(memory_format=kind)
        self.optimizer = torch.optim.Adam(self.net.parameters(), 1e-4, fused=True)
        self.bf16 = precision == "bf16"
        pixels = torch.from_numpy(splits.train.images).permute(0, 3, 1, 2)
        floats = ((pixels / 255 - 0.5) / 0.25).split(BATCH)
        self.batches = [torch.empty(one.shape, memory_format=kind).copy_(one) for one in floats]
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
        self.losses: list[Tensor] = []

    def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
        self.began.append(time.perf_counter())
        images, labels = batch
        loss = functional.cross_entropy(self.net(images).float(), labels)
        self.losses.append(loss.detach())
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.net.parameters(), 1e-4, fused=True)


class Trainer:
    """Lightning's Trainer on the bare loop's batches."""

    def __init__(self, bare: Bare) -> None:
        self.module = Lit(copy.deepcopy(bare.net))
        # As they are, since putting images together anew would lose their layout.
        self.batches = DataLoader([*zip(bare.batches, bare.labels, strict=True)], batch_size=None)
        self.precision = "bf16-mixed" if bare.bf16 else "32-true"

    def steps(self, number: int) -> float:
        """Seconds of so many steps, once there were some."""
        self.module.began.clear()
        trainer = lightning.Trainer(
            max_steps=AHEAD + number + 1, accelerator="cpu", devices=1, logger=False, max_epochs=-1,
            precision=self.precision, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(self.module, self.batches)
        return self.module.began[-1] - self.module.began[AHEAD]


def apart(spec: RunSpec, splits: Splits, arithmetic: Arithmetic) -> float:
    """How far losses of ours and of Lightning are from the bare loop's, of how far these move.

    The same two batches in turn, without chance inside the net: rounding decides how many numbers
    RReLU draws.
    """
    splits = replace(splits, train=splits.train.take(np.arange(2 * BATCH)))
    ours = Ours(spec, splits, arithmetic)
    for module in ours.state.net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.RReLU):
            module.lower = module.upper = (module.lower + module.upper) / 2
    bare = Bare(ours.state, splits, arithmetic.precision, arithmetic.memory_format)
    trainer = Trainer(bare)
    trainer.steps(SAME_STEPS - AHEAD - 1)
    for _ in range(SAME_STEPS):
        ours.step()
        bare.step()
    theirs = torch.stack(bare.losses)
    others = torch.stack([torch.stack(ours.losses), torch.stack(trainer.module.losses)])
    return float((others - theirs).abs().max() / (theirs[-2:] - theirs[:2]).abs().max())


def of_net(model: str) -> Iterator[Row]:
    """Ratios of one net."""
    size, channels, steps = NETS[model]
    spec, splits = spec_of(model, size, channels), images_of(size, channels)
    device = torch.device("cpu")
    chosen = choose_arithmetic(spec, splits, device)
    way = chosen["precision"], chosen["memory_format"]
    arithmetic = Arithmetic(device, *way)  # type: ignore[arg-type]
    ours = Ours(spec, splits, arithmetic)
    start = assemble(spec, splits, Arithmetic(device))
    bare = {
        (precision, layout): Bare(start, splits, precision, layout)
        for precision in precisions(device)
        for layout in ("contiguous", "channels_last")
    }
    trainer = Trainer(bare[way])

    def our_turn() -> float:
        with reproducible(device, way[0]):  # as in a run
            return turn(ours)

    def turn(one: Bare | Ours) -> float:
        for _ in range(AHEAD):
            one.step()
        started = time.perf_counter()
        for _ in range(steps):
            one.step()
        return time.perf_counter() - started

    loops = [lambda one=one: turn(one) for one in bare.values()]
    taken, theirs, *rest = by_turns(our_turn, lambda: trainer.steps(steps), *loops, rounds=ROUNDS)
    alone = dict(zip(bare, rest, strict=True))
    best = min(alone, key=lambda each: sorted(alone[each])[ROUNDS // 2])
    most = apart(spec, splits, arithmetic)
    yield Row(
        f"step: {model} ({', '.join(way)}), losses of all loops apart, chance aside",
        f"{100 * most:.2f} % of what they move in {SAME_STEPS} steps",
        f"under {100 * SAME:.0f} %",
        most < SAME,
    )
    name = f"step: {model}, speed against"
    yield at_least(
        f"{name} the best bare loop ({', '.join(best)})", ratios(alone[best], taken), 0.95
    )
    yield at_least(f"{name} the plain fp32 loop", ratios(alone["fp32", "contiguous"], taken), 1.0)
    version = f"Lightning {lightning.__version__}"
    yield at_least(f"{name} {version} in the same arithmetic", ratios(theirs, taken), 1.0)


def rows() -> Iterator[Row]:
    """Every figure of the training step."""
    keep_freed_memory()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    for model in NETS:
        yield from of_net(model)


if __name__ == "__main__":
    show(rows())
