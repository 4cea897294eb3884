"""DenseNet (Huang et al., CVPR 2017) with a 3x3 stem, for small images."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from research.models.attention import attend
from research.models.layers import ACTIVATIONS, Classifier, map_numbers, norm, scaled
from research.registry import Fraction, Positive, models


class Dense(nn.Module):
    """A bottleneck whose maps are added to those before it."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(N, C, H, W)`` to ``(N, growth + C, H, W)``."""
        return torch.cat([self.body(x), x], 1)


@models.register(
    family="densenet",
    size=48,
    channels=1,
    factors={
        "batch_norm": {},
        "attention": {"levels": ["none", "cbam"], "removed": "cbam"},
        "pooling": {
            "removed": "flatten",
            "about": "of the whole map, of its first 4 x 4 as published, or none",
        },
        "dropout": {"levels": {"none": 0.0, "half": 0.5}, "removed": "half"},
    },
    variants={
        "densenet121": {"blocks": (6, 12, 24, 16), "growth": 32},
        "densenet169": {"blocks": (6, 12, 32, 32), "growth": 32},
        "densenet201": {"blocks": (6, 12, 48, 32), "growth": 32},
        "densenet161": {"blocks": (6, 12, 36, 24), "growth": 48},
        "densenet_cifar": {"blocks": (6, 12, 24, 16), "growth": 12},
    },
)
def densenet(
    num_classes: int,
    size: int,
    in_channels: int,
    *,
    blocks: tuple[int, ...],
    growth: int,
    batch_norm: bool = True,
    activation: Literal["relu", "rrelu", "leaky_relu", "elu", "gelu"] = "relu",
    attention: Literal["none", "cbam", "cbam_published"] = "none",
    pooling: Literal["global", "published", "flatten"] = "global",
    dropout: Fraction = 0.0,
    reduction: Fraction = 0.5,
    width: Positive = 1.0,
) -> nn.Module:
    """Dense blocks of pre-activation bottlenecks, halved between them: 1.0 to 26.5 M parameters.

    ``width`` scales the growth; attention stands after each block; ``pooling``: ``published`` takes
    4x4 places, which drops the border of a 6x6 map; ``flatten`` takes the whole map.
    """
    act, growth = ACTIVATIONS[activation], scaled(growth, width)
    channels = 2 * growth
    bias = not batch_norm
    layers: list[nn.Module] = [nn.Conv2d(in_channels, channels, 3, padding=1, bias=bias)]
    for number, count in enumerate(blocks):
        for _ in range(count):
            body = nn.Sequential(
                *norm(channels, batch_norm),
                act(),
                nn.Conv2d(channels, 4 * growth, 1, bias=bias),
                *norm(4 * growth, batch_norm),
                act(),
                nn.Conv2d(4 * growth, growth, 3, padding=1, bias=bias),
            )
            layers.append(Dense(body))
            channels += growth
        layers += [*attend(channels, attention), *norm(channels, batch_norm), act()]
        if number < len(blocks) - 1:
            out = max(1, int(channels * reduction))
            layers += [nn.Conv2d(channels, out, 1, bias=bias), nn.AvgPool2d(2)]
            channels = out
    if pooling != "flatten":
        layers.append(nn.AvgPool2d(4) if pooling == "published" else nn.AdaptiveAvgPool2d(1))
    features = nn.Sequential(*layers)
    inputs = map_numbers(features, in_channels, size)
    drop = [nn.Dropout(dropout)] if dropout else []
    return Classifier(features, nn.Sequential(nn.Flatten(), *drop, nn.Linear(inputs, num_classes)))
