"""Focal loss of several classes: Lin et al. 2017, section 3, carried over to the softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from research.losses.weighting import check_length, class_weights, probabilities, smoothing_over
from research.registry import Fraction, NonNegative, losses


class Focal(nn.Module):
    """``mean over N of -sum over k of q_k alpha_k (1 - p_k)^gamma log p_k``, p the softmax.

    Linear in the targets' probabilities q. With gamma 0 and alpha None or 1 it is cross-entropy.
    """

    alpha: Tensor | None

    def __init__(
        self, gamma: float, alpha: Tensor | None, label_smoothing: float, over: str
    ) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("alpha", alpha)
        self.label_smoothing, self.over = label_smoothing, over

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits ``(N, K)`` and labels ``(N,)`` or probabilities ``(N, K)`` to a scalar."""
        check_length(self.alpha, logits, "focal: alpha")
        smoothing = smoothing_over(self.label_smoothing, self.over, logits.shape[1])
        if not self.gamma and self.alpha is None:
            return functional.cross_entropy(logits, targets, label_smoothing=smoothing)
        log_p = functional.log_softmax(logits, 1)
        # 1 - p from the other classes' log-probabilities would be exact near p = 1, and so is
        # -expm1(log p); a plain 1 - exp(log p) is not. Its power has no gradient at 0.
        weight = (-torch.expm1(log_p)).clamp_min(1e-12) ** self.gamma if self.gamma else 1.0
        if self.alpha is not None:
            weight = weight * self.alpha
        q = probabilities(targets, logits.shape[1], smoothing)
        return -(q * weight * log_p).sum(1).mean()


@losses.register()
def focal(
    class_counts: Sequence[int] | None,
    *,
    gamma: NonNegative = 2.0,
    alpha: Literal["balanced"] | NonNegative | list[NonNegative] | None = None,
    label_smoothing: Fraction = 0.0,
    smoothed_over: Literal["all", "others"] = "all",
) -> nn.Module:
    """Focal loss; ``alpha`` is one scale, a value a class, or ``balanced`` by training images.

    ``smoothed_over``: all K classes share ``label_smoothing``, or only those that are not labelled.
    """
    weights = None if alpha == 1.0 else class_weights(alpha, class_counts)
    return Focal(gamma, weights, label_smoothing, smoothed_over)
