"""VGG (Simonyan and Zisserman, ICLR 2015) at the size of faces, and a smaller one without norm."""

from __future__ import annotations

from typing import Literal

from torch import nn

from research.models.attention import attend
from research.models.layers import ACTIVATIONS, Hidden, classifier, norm, scaled
from research.registry import Fraction, Positive, models

VGG_SMALL = ((32, 32), (64, 64, 64), (128, 128, 128))
STAGES = (64, 128, 256, 512, 512)


@models.register(
    family="vgg",
    size=48,
    channels=1,
    factors={
        "batch_norm": {},
        "dropout": {},
        "head": {"removed": "pool_linear"},
        "attention": {"levels": ["none", "cbam"], "removed": "cbam"},
    },
)
def vgg_small(
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
    """Eight convolutions in three blocks and two layers of 4096: 36.2 M parameters."""
    bias = bias_before_norm or not batch_norm
    features = _features(
        VGG_SMALL, in_channels, width, batch_norm, activation, attention, bias=bias
    )
    hidden = Hidden((4096, 4096), (0.0, dropout), dropout, ACTIVATIONS[activation])
    return classifier(features, (in_channels, size), num_classes, head, hidden)


@models.register(
    family="vgg",
    size=48,
    channels=1,
    factors={
        "batch_norm": {},
        "dropout": {"levels": {"none": 0.0, "half": 0.5}, "removed": "half"},
        "attention": {"levels": ["none", "cbam"], "removed": "cbam"},
    },
    variants={
        "vgg11": {"convs": (1, 1, 2, 2, 2)},
        "vgg13": {"convs": (2, 2, 2, 2, 2)},
        "vgg16": {"convs": (2, 2, 3, 3, 3)},
        "vgg19": {"convs": (2, 2, 4, 4, 4)},
    },
)
def vgg(
    num_classes: int,
    size: int,
    in_channels: int,
    *,
    convs: tuple[int, ...],
    batch_norm: bool = True,
    activation: Literal["relu", "rrelu", "leaky_relu", "elu", "gelu"] = "relu",
    dropout: Fraction = 0.0,
    attention: Literal["none", "cbam", "cbam_published"] = "none",
    pooling: Literal["global", "flatten"] = "global",
    width: Positive = 1.0,
    bias_before_norm: bool = True,
) -> nn.Module:
    """VGG's convolutions with batch norm, five poolings and one layer: 9.2 to 20.0 M parameters.

    ``pooling``: the last map's average, or the whole map; one and the same under 64 pixels.
    ``bias_before_norm`` keeps the biases that a batch norm cancels, as published.
    """
    stages = tuple((full,) * count for full, count in zip(STAGES, convs, strict=True))
    bias = bias_before_norm or not batch_norm
    features = _features(stages, in_channels, width, batch_norm, activation, attention, bias=bias)
    hidden = Hidden((), (), dropout)
    head = "pool_mlp" if pooling == "global" else "flatten_mlp"
    return classifier(features, (in_channels, size), num_classes, head, hidden)


def _features(
    stages: tuple[tuple[int, ...], ...],
    channels: int,
    width: float,
    batch_norm: bool,
    activation: str,
    attention: str,
    *,
    bias: bool,
) -> nn.Sequential:
    """Stages of 3x3 convolutions, each with its pooling, attention before that."""
    layers: list[nn.Module] = []
    for stage in stages:
        for full in stage:
            out = scaled(full, width)
            layers += [nn.Conv2d(channels, out, 3, padding=1, bias=bias), *norm(out, batch_norm)]
            layers.append(ACTIVATIONS[activation]())
            channels = out
        layers += [*attend(channels, attention), nn.MaxPool2d(2)]
    return nn.Sequential(*layers)
