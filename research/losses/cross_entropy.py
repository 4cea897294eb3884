"""Cross-entropy with class weights and label smoothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from research.losses.weighting import check_length, class_weights, smoothing_over
from research.registry import Fraction, NonNegative, losses


class CrossEntropy(nn.Module):
    """Mean cross-entropy: over the sum of weights for labels, over N for probabilities."""

    weight: Tensor | None

    def __init__(self, weight: Tensor | None, label_smoothing: float, over: str) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.label_smoothing, self.over = label_smoothing, over

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits ``(N, K)`` and labels ``(N,)`` or probabilities ``(N, K)`` to a scalar."""
        check_length(self.weight, logits, "cross_entropy: weight")
        smoothing = smoothing_over(self.label_smoothing, self.over, logits.shape[1])
        return functional.cross_entropy(
            logits, targets, weight=self.weight, label_smoothing=smoothing
        )


@losses.register()
def cross_entropy(
    class_counts: Sequence[int] | None,
    *,
    weight: Literal["balanced"] | list[NonNegative] | None = None,
    label_smoothing: Fraction = 0.0,
    smoothed_over: Literal["all", "others"] = "all",
) -> nn.Module:
    """Cross-entropy; ``weight`` is a value a class, or ``balanced`` by the training images.

    ``smoothed_over``: all K classes share ``label_smoothing``, or only those that are not labelled.
    """
    return CrossEntropy(class_weights(weight, class_counts), label_smoothing, smoothed_over)
