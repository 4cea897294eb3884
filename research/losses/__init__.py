"""Losses: one file each; here what every loss obeys, and `build_loss`.

A builder is a function ``(class_counts, *, ...) -> nn.Module`` registered with
``@losses.register()``; ``class_counts`` ``(K,)`` are the training images of each class, or None
where they are not known. Its module maps logits ``(N, K)`` and targets, int64 ``(N,)`` or
probabilities ``(N, K)``, to a scalar.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from research import registry


def build_loss(name: str, *, class_counts: Sequence[int] | None = None, **params: Any) -> nn.Module:
    """A loss's name to a module ``(logits (N, K), targets) -> scalar``.

    Raises `InvalidInput` for an unknown name or parameter.
    """
    complete = registry.losses.params(name, params)
    loss: nn.Module = registry.losses.get(name)(class_counts, **complete)
    return loss
