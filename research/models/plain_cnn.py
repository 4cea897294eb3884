"""Two convolutions and a large head: the plainest nets of two write-ups."""

from __future__ import annotations

from typing import Literal

from torch import nn

from research.models.attention import attend
from research.models.layers import ACTIVATIONS, Hidden, classifier, norm, scaled
from research.registry import Fraction, Positive, models


@models.register(
    family="plain_cnn",
    size=48,
    channels=1,
    factors={
        "batch_norm": {},
        "dropout": {"levels": {"none": 0.0, "half": 0.5}, "removed": "half"},
        "head": {"removed": "pool_linear"},
        "attention": {"levels": ["none", "cbam"], "removed": "cbam"},
    },
)
def plain_cnn(
    num_classes: int,
    size: int,
    in_channels: int,
    *,
    batch_norm: bool = False,
    activation: Literal["relu", "rrelu", "leaky_relu", "elu", "gelu"] = "relu",
    dropout: Fraction = 0.0,
    head: Literal["flatten_mlp", "pool_mlp", "pool_linear"] = "flatten_mlp",
    attention: Literal["none", "cbam", "cbam_published"] = "none",
    width: Positive = 1.0,
    bias_before_norm: bool = True,
) -> nn.Module:
    """Convolutions of 64 and 256 without padding, fully connected 4096, 1024: 55.7 M parameters."""
    layers: list[nn.Module] = []
    channels = in_channels
    for full, pool in ((64, 2), (256, 3)):
        out = scaled(full, width)
        bias = bias_before_norm or not batch_norm
        layers += [nn.Conv2d(channels, out, 3, bias=bias), *norm(out, batch_norm)]
        layers += [ACTIVATIONS[activation](), *attend(out, attention), nn.MaxPool2d(pool)]
        channels = out
    hidden = Hidden((4096, 1024), (dropout, dropout), activation=ACTIVATIONS[activation])
    features = nn.Sequential(*layers)
    return classifier(features, (in_channels, size), num_classes, head, hidden)


@models.register(
    family="plain_cnn",
    size=48,
    channels=3,
    factors={
        "batch_norm": {},
        "dropout": {},
        "head": {"removed": "pool_linear"},
        "attention": {"levels": ["none", "cbam"], "removed": "cbam"},
    },
)
def simple_cnn(
    num_classes: int,
    size: int,
    in_channels: int,
    *,
    batch_norm: bool = False,
    activation: Literal["relu", "rrelu", "leaky_relu", "elu", "gelu"] = "relu",
    dropout: Fraction = 0.5,
    head: Literal["flatten_mlp", "pool_mlp", "pool_linear"] = "flatten_mlp",
    attention: Literal["none", "cbam", "cbam_published"] = "none",
    width: Positive = 1.0,
    bias_before_norm: bool = True,
) -> nn.Module:
    """Convolutions of 32 and 64, fully connected 256: 2.4 M parameters at 48 pixels.

    As published it was hard-wired to a map of 55 x 55, which its own input of 224 does not give;
    here the head's size follows from the input's.
    """
    layers: list[nn.Module] = []
    channels = in_channels
    for full in (32, 64):
        out = scaled(full, width)
        bias = bias_before_norm or not batch_norm
        layers += [nn.Conv2d(channels, out, 3, padding=1, bias=bias), *norm(out, batch_norm)]
        layers += [ACTIVATIONS[activation](), *attend(out, attention), nn.MaxPool2d(2)]
        channels = out
    hidden = Hidden((256,), (0.0,), dropout, ACTIVATIONS[activation])
    features = nn.Sequential(*layers)
    return classifier(features, (in_channels, size), num_classes, head, hidden)
