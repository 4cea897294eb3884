"""Optimisers and schedules by name.

An optimiser is a function ``(parameters, *, lr, ...) -> Optimizer``. A schedule is a function
``(epochs, *, ...) -> (time, scores) -> factor of lr``: of the time in epochs from 0, a fraction
within an epoch, and of the validation scores of the epochs so far, larger being better. It is a
pure function of them, so that a resumed run needs no state of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import nn

from research.registry import Count, Fraction, NonNegative, Positive, optimisers, schedules

Parameters = Iterable[nn.Parameter]
Schedule = Callable[[float, Sequence[float]], float]


@optimisers.register()
def adam(
    parameters: Parameters,
    *,
    lr: Positive = 1e-3,
    weight_decay: NonNegative = 0.0,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015); weight decay is added to the gradient."""
    betas = (beta1, beta2)
    return torch.optim.Adam(parameters, lr, betas, weight_decay=weight_decay, fused=True)


@optimisers.register()
def adamw(
    parameters: Parameters,
    *,
    lr: Positive = 1e-3,
    weight_decay: NonNegative = 0.01,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019); weight decay apart from the gradient."""
    betas = (beta1, beta2)
    return torch.optim.AdamW(parameters, lr, betas, weight_decay=weight_decay, fused=True)


@optimisers.register()
def sgd(
    parameters: Parameters,
    *,
    lr: Positive = 0.01,
    momentum: Fraction = 0.9,
    weight_decay: NonNegative = 0.0,
    nesterov: bool = False,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum."""
    return torch.optim.SGD(
        parameters, lr, momentum, weight_decay=weight_decay, nesterov=nesterov, fused=True
    )


@schedules.register()
def constant(epochs: int) -> Schedule:
    """The same learning rate throughout."""
    return lambda time, scores: 1.0


@schedules.register()
def step(epochs: int, *, every: Count = 10, factor: Positive = 0.1) -> Schedule:
    """The learning rate times ``factor`` every so many epochs."""
    return lambda time, scores: factor ** (int(time) // every)


@schedules.register()
def linear(epochs: int, *, floor: Fraction = 0.0) -> Schedule:
    """From the full learning rate straight down to ``floor`` of it, step by step."""
    return lambda time, scores: 1 - (1 - floor) * min(time / epochs, 1.0)


@schedules.register()
def cosine(epochs: int, *, floor: Fraction = 0.0) -> Schedule:
    """Half a cosine from the full learning rate to ``floor`` of it (Loshchilov and Hutter 2017)."""
    return lambda time, scores: _half_cosine(int(time) / epochs, floor)


@schedules.register()
def warm_restarts(
    epochs: int, *, first: Count = 5, times: Count = 2, floor: Fraction = 0.0
) -> Schedule:
    """Half cosines, of ``first`` epochs, each ``times`` as long (Loshchilov and Hutter 2017)."""

    def factor(time: float, scores: Sequence[float]) -> float:
        start, length = 0, first
        while int(time) >= start + length:
            start, length = start + length, length * times
        return _half_cosine((int(time) - start) / length, floor)

    return factor


@schedules.register()
def one_cycle(
    epochs: int, *, rise: Fraction = 0.3, start: Fraction = 0.04, end: Fraction = 0.0
) -> Schedule:
    """Up from ``start`` of the full rate, then down to ``end``, by cosines, step by step.

    ``rise`` is the share of the epochs that go up (Smith and Topin 2018).
    """

    def factor(time: float, scores: Sequence[float]) -> float:
        done = min(time / epochs, 1.0)
        if done < rise:
            return _half_cosine(1 - done / rise, start)
        return _half_cosine((done - rise) / (1 - rise), end) if rise < 1 else 1.0

    return factor


@schedules.register()
def plateau(
    epochs: int, *, factor: Fraction = 0.75, patience: Count = 5, threshold: NonNegative = 1e-4
) -> Schedule:
    """The rate times ``factor`` after more than ``patience`` epochs without a better score.

    Better is by more than ``threshold``, as a share. The score is what selects the tested epoch, on
    validation; where that is ``last``, it is the accuracy.
    """

    def rate(time: float, scores: Sequence[float]) -> float:
        now, best, bad = 1.0, -math.inf, 0
        for score in scores[: int(time)]:
            if score > best + threshold * abs(best) or best == -math.inf:
                best, bad = score, 0
            else:
                bad += 1
            if bad > patience:
                now, bad = now * factor, 0
        return now

    return rate


def _half_cosine(done: float, floor: float) -> float:
    return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2
