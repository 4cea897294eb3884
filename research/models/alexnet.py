"""AlexNet: Krizhevsky, Sutskever and Hinton, NeurIPS 2012, the single-column net."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from research.models.attention import attend
from research.models.layers import ACTIVATIONS, init_weights, map_size, norm
from research.registry import Count, Fraction, Positive, models

STEM = 96
CONVS = ((256, 5), (384, 3), (384, 3), (256, 3))  # channels and kernel after the stem


class AlexNet(nn.Module):
    """Five convolutions and three fully connected layers, no batch norm."""

    def __init__(self, features: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` to logits ``(N, K)``."""
        logits: Tensor = self.classifier(torch.flatten(self.features(x), 1))
        return logits


@models.register(
    family="alexnet",
    size=227,
    channels=3,
    factors={
        "dropout": {
            "path": "model.params.dropout",
            "levels": {"half": 0.5, "none": 0.0},
            "control": "half",
            "removed": "none",
            "about": "dropout before the first two fully connected layers",
        },
        "response_norm": {
            "path": "model.params.local_response_norm",
            "levels": {"present": True, "absent": False},
            "control": "present",
            "removed": "absent",
            "about": "local response normalisation after the first two convolutions",
        },
        "batch_norm": {},
        "head": {"levels": ["flatten_mlp", "pool_linear"], "removed": "pool_linear"},
        "attention": {"levels": ["none", "cbam"], "removed": "cbam"},
    },
)
def alexnet(
    num_classes: int,
    size: int,
    in_channels: int,
    *,
    local_response_norm: bool = True,
    batch_norm: bool = False,
    activation: Literal["relu", "rrelu", "leaky_relu", "elu", "gelu"] = "relu",
    dropout: Fraction = 0.5,
    head: Literal["flatten_mlp", "pool_mlp", "pool_linear"] = "flatten_mlp",
    attention: Literal["none", "cbam", "cbam_published"] = "none",
    stem_stride: Count = 4,
    width: Positive = 1.0,
    bias_before_norm: bool = True,
) -> nn.Module:
    """The 2012 single-column net: 58.3 M parameters at 227 pixels.

    ``width`` scales every convolution; ``attention`` stands after each of them but the first two.
    """
    act, bias = ACTIVATIONS[activation], bias_before_norm or not batch_norm
    channels = max(1, round(STEM * width))
    stem = nn.Conv2d(in_channels, channels, 11, stem_stride, padding=2, bias=bias)
    layers: list[nn.Module] = [stem, *norm(channels, batch_norm), act()]
    for number, (full, kernel) in enumerate(CONVS):
        out = max(1, round(full * width))
        if number < 2:
            if local_response_norm:  # section 3.3: k 2, n 5, alpha 1e-4, beta .75
                layers.append(nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2.0))
            layers.append(nn.MaxPool2d(3, 2))
        layers += [nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=bias)]
        layers += [*norm(out, batch_norm), act()]
        layers += attend(out, attention) if number else []
        channels = out
    features = nn.Sequential(*layers, nn.MaxPool2d(3, 2))
    if head != "flatten_mlp":
        features.append(nn.AdaptiveAvgPool2d(1))
    inputs = channels * map_size(features, in_channels, size) ** 2
    if head == "pool_linear":
        return init_weights(AlexNet(features, nn.Linear(inputs, num_classes)))
    classifier = nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(inputs, 4096),
        act(),
        nn.Dropout(dropout),
        nn.Linear(4096, 4096),
        act(),
        nn.Linear(4096, num_classes),
    )
    return init_weights(AlexNet(features, classifier))
