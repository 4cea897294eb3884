"""Steps of a recipe that are timed before anything is trained; nothing is tracked."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence

import torch

from research.arithmetic import (
    Arithmetic,
    give_freed_memory_back,
    keep_freed_memory,
    reproducible,
)
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
        self, recipe: Recipe, arithmetic: Arithmetic, splits: Splits, *, whole: bool = False
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


def quickest(
    ways: Sequence[tuple[Recipe, Arithmetic]], splits: Splits, *, gain: float, whole: bool = False
) -> int:
    """The place of the way to train that is quickest; the first one, but for a ``gain`` of times.

    Each is measured beside the best so far, in turns, and of the steps of each the one that was
    disturbed least counts: so on a busy machine none is chosen for the moment that it was measured
    in, and no more than two are in memory.
    """
    try:
        return _quickest(ways, splits, gain, whole)
    finally:
        give_freed_memory_back()


def _quickest(
    ways: Sequence[tuple[Recipe, Arithmetic]], splits: Splits, gain: float, whole: bool
) -> int:
    best, held = 0, Probe(*ways[0], splits, whole=whole)
    for place, way in enumerate(ways[1:], start=1):
        other = Probe(*way, splits, whole=whole)
        seconds, others = _in_turns(held, other)
        if seconds > others * (1.0 if best else gain):
            best, held = place, other
        del other  # before the next one is made
    return best


def _in_turns(*probes: Probe) -> list[float]:
    """The least that a step of each takes, in seconds an image."""
    taken = [[probe.step_s() for probe in probes]]
    long = max(taken[0]) * len(probes[0].few) > LONG_STEP_S
    taken += [[probe.step_s() for probe in probes] for _ in range(1 if long else TURNS - 1)]
    return [min(each) for each in zip(*taken, strict=True)]


def as_it_is(recipe: Recipe, splits: Splits, arithmetic: Arithmetic) -> tuple[float, float]:
    """Seconds an image of training, and of evaluation by a single view, as the machine is now."""
    probe = Probe(recipe, arithmetic, splits)
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
