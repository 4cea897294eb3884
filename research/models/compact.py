"""A small net of our own, made for few cores: it halves the map before it normalises."""

from __future__ import annotations

import itertools
from typing import Literal

from torch import Tensor, nn

from research.models.attention import attend
from research.models.layers import ACTIVATIONS, Classifier, map_numbers, norm, scaled
from research.registry import Count, Fraction, Positive, models

CHANNELS = (32, 64, 128, 128)  # of the stem, then of each stage


class Around(nn.Module):
    """A body and what goes around it unchanged."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(N, C, H, W)`` to the next ones."""
        out: Tensor = x + self.body(x)
        return out


@models.register(
    family="compact",
    size=44,
    channels=1,
    factors={
        "batch_norm": {},
        "shortcut": {"removed": "none"},
        "attention": {"levels": ["none", "cbam"], "removed": "cbam"},
        "pooling": {"removed": "flatten"},
        "dropout": {"levels": {"none": 0.0, "half": 0.5}, "removed": "half"},
    },
)
def compact(
    num_classes: int,
    size: int,
    in_channels: int,
    *,
    batch_norm: bool = True,
    activation: Literal["relu", "rrelu", "leaky_relu", "elu", "gelu"] = "relu",
    shortcut: Literal["identity", "none"] = "identity",
    attention: Literal["none", "cbam", "cbam_published"] = "none",
    pooling: Literal["global", "flatten"] = "global",
    dropout: Fraction = 0.0,
    stem_stride: Count = 2,
    blocks: Count = 2,
    width: Positive = 1.0,
) -> nn.Module:
    """A net for laptops, our own: a stem of stride 2, three stages: 0.9 M parameters, 45 M MACs.

    A stage is a convolution, the largest of 2x2 places, then ``blocks`` convolutions with an
    identity around each; in the order of K. Jordan's airbench (2024), whose nets the stages follow.
    """
    widths = [scaled(channels, width) for channels in CHANNELS]
    act = ACTIVATIONS[activation]

    def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
        return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=not batch_norm)

    layers = [conv(in_channels, widths[0], stem_stride), *norm(widths[0], batch_norm), act()]
    for inputs, outputs in itertools.pairwise(widths):
        layers += [conv(inputs, outputs), nn.MaxPool2d(2, ceil_mode=True)]
        layers += [*norm(outputs, batch_norm), act()]
        for _ in range(blocks):
            body = nn.Sequential(
                conv(outputs, outputs), *norm(outputs, batch_norm), act(),
                *attend(outputs, attention),
            )  # fmt: skip
            layers.append(Around(body) if shortcut == "identity" else body)
    features = nn.Sequential(*layers)
    if pooling == "global":
        features.append(nn.AdaptiveAvgPool2d(1))
    inputs = map_numbers(features, in_channels, size)
    drop = [nn.Dropout(dropout)] if dropout else []
    return Classifier(features, nn.Sequential(nn.Flatten(), *drop, nn.Linear(inputs, num_classes)))
