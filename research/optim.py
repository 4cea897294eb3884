"""Optimisers and schedules by name.

An optimiser is a function ``(parameters, *, lr, ...) -> Optimizer``. A schedule is a function
``(epochs, *, ...) -> (time, scores) -> factor of lr``: of the time in epochs from 0, a fraction
within an epoch, and of the validation scores of the epochs so far, larger being better. It is a
pure function of them, so that a resumed run needs no state of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from research.registry import Count, Fraction, NonNegative, Positive, optimisers, schedules

LEAST_SIDE = 16  # of a weight, as a matrix, that is worth an orthogonal step
# Of the quintic that in so many steps drives singular values towards 1 (Jordan et al. 2024).
QUINTIC, STEPS = (3.4445, -4.7750, 2.0315), 5
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


@optimisers.register()
def muon(
    parameters: Parameters,
    *,
    lr: Positive = 0.02,
    momentum: Fraction = 0.9,
    weight_decay: NonNegative = 0.01,
    rest_lr: Positive = 0.05,
) -> torch.optim.Optimizer:
    """Momentum with orthogonal steps for filters and matrices, plain with ``rest_lr`` for the rest.

    The rest are biases, norms, and weights of fewer than 16 rows or columns, as a first layer of
    one channel and the last layer are.
    """
    given = list(parameters)
    matrices = [one for one in given if is_matrix(one)]
    decayed = [one for one in given if one.ndim > 1 and not is_matrix(one)]
    others = [one for one in given if one.ndim <= 1]
    ratio = rest_lr / lr
    groups = [
        {"params": matrices, "orthogonal": True, "weight_decay": weight_decay, "scale": 1.0},
        {"params": decayed, "orthogonal": False, "weight_decay": weight_decay, "scale": ratio},
        {"params": others, "orthogonal": False, "weight_decay": 0.0, "scale": ratio},
    ]
    return Muon(groups, lr, momentum)


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


class Muon(torch.optim.Optimizer):
    """Nesterov momentum whose steps are made nearly orthogonal (Jordan et al., "Muon", 2024).

    torch's own takes matrices alone and computes in bfloat16, which a CPU may not have. A group's
    learning rate is the first one's times its ``scale``; weight decay is apart from the gradient.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, momentum: float) -> None:
        groups = [group | {"lr": lr * group["scale"]} for group in groups if group["params"]]
        super().__init__(groups, {"momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Moves every parameter that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                if "momentum" not in self.state[weight]:
                    self.state[weight]["momentum"] = torch.zeros_like(weight)
                speed = self.state[weight]["momentum"]
                speed.mul_(group["momentum"]).add_(weight.grad)
                step = weight.grad.add(speed, alpha=group["momentum"])
                if group["orthogonal"]:
                    step = orthogonal(step.flatten(1)).view_as(step)
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(step, alpha=-group["lr"])


def is_matrix(weight: Tensor) -> bool:
    """Whether a weight is a matrix, or filters that are one, of 16 rows and columns or more."""
    return weight.ndim > 1 and min(len(weight), weight[0].numel()) >= LEAST_SIDE


def orthogonal(matrix: Tensor) -> Tensor:
    """A matrix to one of the same singular vectors, all of its singular values about 1.

    Newton and Schulz's iteration. All of its factors are polynomials of the matrix times its
    transpose, so it is that square which is iterated, small where filters are wide. Of a matrix
    with more rows than columns the result is larger by the root of their ratio, so that what goes
    in changes what comes out by as much.
    """
    rows, columns = matrix.shape
    wide = matrix.T if rows > columns else matrix
    wide = wide / (wide.norm() + 1e-7)
    square = wide @ wide.T
    made = factor = _quintic(square)
    for _ in range(STEPS - 1):
        square = factor @ square @ factor
        factor = _quintic(square)
        made = factor @ made
    wide = made @ wide
    step: Tensor = wide.T * math.sqrt(rows / columns) if rows > columns else wide
    return step


def _quintic(square: Tensor) -> Tensor:
    """What a matrix is multiplied with in one step, of the matrix times its transpose."""
    one, three, five = QUINTIC
    factor = torch.addmm(square, square, square, beta=three, alpha=five)
    factor.diagonal().add_(one)
    return factor


def _half_cosine(done: float, floor: float) -> float:
    return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2
