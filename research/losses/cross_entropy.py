"""Cross-entropy with class weights and label smoothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from research.losses.weighting import check_length, class_weights
from research.registry import Fraction, NonNegative, losses


class CrossEntropy(nn.Module):
    """Mean cross-entropy: over the sum of weights for labels, over N for probabilities."""

    weight: Tensor | None

    def __init__(self, weight: Tensor | None, label_smoothing: float) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits ``(N, K)`` and labels ``(N,)`` or probabilities ``(N, K)`` to a scalar."""
        check_length(self.weight, logits, "cross_entropy: weight")
        return functional.cross_entropy(
            logits, targets, weight=self.weight, label_smoothing=self.label_smoothing
        )


@losses.register()
def cross_entropy(
    class_counts: Sequence[int] | None,
    *,
    weight: Literal["balanced"] | list[NonNegative] | None = None,
    label_smoothing: Fraction = 0.0,
) -> nn.Module:
    """Cross-entropy; ``weight`` is a value a class, or ``balanced`` by the training images."""
    return CrossEntropy(class_weights(weight, class_counts), label_smoothing)
