"""Attention inside convolutional nets: CBAM, as in the paper and as one write-up published it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Attention = Literal["none", "cbam", "cbam_published"]
REDUCTION = 16


class ChannelGate(nn.Module):
    """Weighs channels by an MLP of their means and, in the paper's form, of their maxima too."""

    def __init__(self, channels: int, reduction: int, maximum: bool) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.mlp = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )
        self.maximum = maximum

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(N, C, H, W)`` to themselves, weighed by channel."""
        gate = self.mlp(x.mean((2, 3)))
        if self.maximum:
            gate = gate + self.mlp(x.amax((2, 3)))
        return x * torch.sigmoid(gate)[:, :, None, None]


class SpatialGate(nn.Module):
    """Weighs places by a 7x7 convolution of the mean and the maximum over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(N, C, H, W)`` to themselves, weighed by place."""
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.conv(pooled))


class CBAM(nn.Sequential):
    """Convolutional block attention (Woo et al., ECCV 2018): channel gate, then spatial gate.

    ``published`` is the write-up's form, whose channel gate sees the means alone.
    """

    def __init__(
        self, channels: int, *, reduction: int = REDUCTION, published: bool = False
    ) -> None:
        super().__init__(ChannelGate(channels, reduction, not published), SpatialGate())


def attend(channels: int, kind: str) -> list[nn.Module]:
    """An attention block for maps of so many channels, or nothing."""
    if kind == "none":
        return []
    return [CBAM(channels, published=kind == "cbam_published")]
