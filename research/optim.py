"""Optimisers and schedules by name.

An optimiser is a function ``(parameters, *, lr, ...) -> Optimizer``. A schedule is a function
``(epochs, *, ...) -> (epoch from 0 -> factor of lr)``: a pure function of the epoch, so that a
resumed run needs no state of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import nn

from research.registry import Count, Fraction, NonNegative, Positive, optimisers, schedules

Parameters = Iterable[nn.Parameter]
Schedule = Callable[[int], float]


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
    return lambda epoch: 1.0


@schedules.register()
def step(epochs: int, *, every: Count = 10, factor: Positive = 0.1) -> Schedule:
    """The learning rate times ``factor`` every so many epochs."""
    return lambda epoch: factor ** (epoch // every)


@schedules.register()
def cosine(epochs: int, *, floor: Fraction = 0.0) -> Schedule:
    """Half a cosine from the full learning rate to ``floor`` of it (Loshchilov and Hutter 2017)."""
    return lambda epoch: floor + (1 - floor) * (1 + math.cos(math.pi * epoch / epochs)) / 2
