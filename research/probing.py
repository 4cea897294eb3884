"""Steps of a recipe that are timed before anything is trained; nothing is tracked."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence

import torch

from research.arithmetic import Arithmetic, keep_freed_memory, reproducible
from research.assembly import assemble, resident
from research.data import Splits
from research.design import seeded
from research.spec import Recipe
from research.training import EVALUATION_BATCH, predict, train_step

STEPS = 3
TURNS = 6
IMAGES = 128  # images and windows of images in a batch, at most
LONG_STEP_S = 2.0  # a step that is no shorter is measured once, or twice in turns


class Probe:
    """Steps on a few images of a recipe's; ``whole``: on a batch of its own size."""

    def __init__(
        self, recipe: Recipe, splits: Splits, arithmetic: Arithmetic, *, whole: bool = False
    ) -> None:
        keep_freed_memory()
        self.arithmetic = arithmetic
        with reproducible(arithmetic.device, arithmetic.precision):
            self.state = assemble(seeded(recipe, 0), splits, arithmetic)
            wanted = recipe.training.batch_size
            if not whole:
                wanted = min(wanted, IMAGES // len(self.state.view.places))
            few = splits.limited(wanted, None)
            self.few = resident(few, "train", recipe, arithmetic.device)
        self.step_s()  # the first one is slower

    def step_s(self) -> float:
        """Seconds an image of one step of training."""
        few, net = self.few, self.state.net.train()
        step = functools.partial(train_step, self.state, few.images, few.labels, few.targets())
        seconds = self._seconds(step)
        net.eval()
        return seconds / len(few)

    def forward_s(self) -> float:
        """Seconds an image of evaluation by a single view."""
        images = self.few.images[:EVALUATION_BATCH]
        look = functools.partial(predict, self.state.net, self.state.view, images, self.arithmetic)
        return self._seconds(look) / len(images)

    def _seconds(self, work: Callable[[], object]) -> float:
        device = self.arithmetic.device
        with reproducible(device, self.arithmetic.precision):
            return _seconds(work, device)


def by_turns(
    ways: Sequence[tuple[Recipe, Arithmetic]], splits: Splits, *, whole: bool = False
) -> list[float]:
    """Seconds an image of each way to train: of steps in turns the one that was disturbed least.

    So that on a busy machine none is chosen for the moment that it was measured in.
    """
    probes = [Probe(recipe, splits, arithmetic, whole=whole) for recipe, arithmetic in ways]
    taken = [[probe.step_s() for probe in probes]]
    long = max(taken[0]) * len(probes[0].few) > LONG_STEP_S
    taken += [[probe.step_s() for probe in probes] for _ in range(1 if long else TURNS - 1)]
    return [min(each) for each in zip(*taken, strict=True)]


def as_it_is(recipe: Recipe, splits: Splits, arithmetic: Arithmetic) -> tuple[float, float]:
    """Seconds an image of training, and of evaluation by a single view, as the machine is now."""
    probe = Probe(recipe, splits, arithmetic)
    taken = [probe.step_s()]
    while taken[0] * len(probe.few) < LONG_STEP_S and len(taken) < STEPS:
        taken.append(probe.step_s())
    return sorted(taken)[len(taken) // 2], probe.forward_s()


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
