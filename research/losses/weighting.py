"""Weights of classes and targets as probabilities: what the losses share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from research.errors import InvalidInput

ClassWeights = str | float | list[float] | None


def class_weights(weight: ClassWeights, counts: Sequence[int] | None) -> Tensor | None:
    """``balanced``, a number, a list or None to weights ``(K,)``, a scalar ``()`` or None.

    Balanced weights are N / (K n_k), so that they average to 1 over the training images.
    """
    if weight is None or isinstance(weight, (int, float)):
        return None if weight is None else torch.tensor(float(weight))
    if not isinstance(weight, str):
        return torch.tensor(weight, dtype=torch.float32)
    if counts is None:
        raise InvalidInput("class weights 'balanced' need the class counts of the training set")
    numbers = torch.tensor(list(counts), dtype=torch.float64)
    return (numbers.sum() / (len(numbers) * numbers)).float()


def check_length(weights: Tensor | None, logits: Tensor, what: str) -> None:
    """Refuses a vector of weights of another length than the classes; it would broadcast."""
    if weights is not None and weights.ndim and len(weights) != logits.shape[1]:
        raise InvalidInput(f"{what} has {len(weights)} values for {logits.shape[1]} classes")


def smoothing_over(share: float, over: str, classes: int) -> float:
    """Label smoothing of ``share`` to that of the usual form, which spreads over all K classes.

    ``others`` gives e / (K - 1) to each class but the labelled one, which keeps 1 - e: that is the
    usual form with e K / (K - 1).
    """
    if over == "all":
        return share
    usual = share * classes / (classes - 1)
    if usual > 1:
        raise InvalidInput(
            f"label_smoothing {share} over the others: the labelled class of {classes} would get "
            f"less than they; give at most {(classes - 1) / classes:.3f}"
        )
    return usual


def probabilities(targets: Tensor, classes: int, smoothing: float) -> Tensor:
    """Labels ``(N,)`` or probabilities ``(N, K)`` to smoothed probabilities ``(N, K)``.

    q = (1 - e) p + e / K: Szegedy et al. 2016, section 7.
    """
    if targets.ndim == 1:
        targets = functional.one_hot(targets, classes).float()
    return targets * (1 - smoothing) + smoothing / classes if smoothing else targets
