"""Convolution blocks, each halving the map, and a deep head: FaceCNN and its wider relative."""

from __future__ import annotations

from typing import Literal

from torch import nn

from research.models.attention import attend
from research.models.layers import ACTIVATIONS, Hidden, classifier, norm, scaled
from research.registry import Fraction, Positive, models

HIDDEN = (4096, 1024, 256)
CONV_STD = 0.04
POOLS = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}


@models.register(
    family="facecnn",
    size=48,
    channels=1,
    factors={
        "batch_norm": {},
        "activation": {"removed": "relu"},
        "dropout": {},
        "head": {"removed": "pool_linear"},
        "attention": {"levels": ["none", "cbam"], "removed": "cbam"},
    },
)
def facecnn(
    num_classes: int,
    size: int,
    in_channels: int,
    *,
    batch_norm: bool = True,
    activation: Literal["rrelu", "relu", "leaky_relu", "elu", "gelu"] = "rrelu",
    dropout: Fraction = 0.5,
    head: Literal["flatten_mlp", "pool_mlp", "pool_linear"] = "flatten_mlp",
    attention: Literal["none", "cbam", "cbam_published"] = "none",
    pool: Literal["max", "average"] = "max",
    width: Positive = 1.0,
    bias_before_norm: bool = True,
) -> nn.Module:
    """Three blocks of 64, 128, 256 and four fully connected layers with RReLU: 42.6 M parameters.

    ``dropout`` is that of the second hidden layer; the first has two fifths of it, as published.
    ``bias_before_norm`` keeps the biases that a batch norm cancels, as published.
    """
    channels = (64, 128, 256)
    bias = bias_before_norm or not batch_norm
    features = _blocks(
        in_channels, channels, width, batch_norm, activation, attention, pool, bias=bias
    )
    hidden = Hidden(HIDDEN, (0.4 * dropout, dropout, 0.0), activation=ACTIVATIONS[activation])
    net = classifier(features, (in_channels, size), num_classes, head, hidden)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0.0, CONV_STD)
    return net


@models.register(
    family="facecnn",
    size=48,
    channels=3,
    factors={
        "batch_norm": {},
        "pool": {"removed": "average"},
        "dropout": {},
        "head": {"removed": "pool_linear"},
        "softmax_before_loss": {"about": "a softmax in front of a loss that has its own"},
        "attention": {"levels": ["none", "cbam"], "removed": "cbam"},
    },
)
def fer_cnn(
    num_classes: int,
    size: int,
    in_channels: int,
    *,
    batch_norm: bool = True,
    activation: Literal["relu", "rrelu", "leaky_relu", "elu", "gelu"] = "relu",
    dropout: Fraction = 0.5,
    head: Literal["flatten_mlp", "pool_mlp", "pool_linear"] = "flatten_mlp",
    attention: Literal["none", "cbam", "cbam_published"] = "none",
    pool: Literal["max", "average"] = "max",
    softmax_before_loss: bool = False,
    width: Positive = 1.0,
    bias_before_norm: bool = True,
) -> nn.Module:
    """Four blocks of 64, 128, 256, 512 and four fully connected layers: 24.9 M parameters.

    ``softmax_before_loss`` gives probabilities where logits belong, which the write-up found worse.
    """
    channels = (64, 128, 256, 512)
    bias = bias_before_norm or not batch_norm
    features = _blocks(
        in_channels, channels, width, batch_norm, activation, attention, pool, bias=bias
    )
    hidden = Hidden(HIDDEN, (0.4 * dropout, dropout, 0.0), activation=ACTIVATIONS[activation])
    net = classifier(features, (in_channels, size), num_classes, head, hidden)
    if softmax_before_loss:
        net.head.append(nn.Softmax(1))
    return net


def _blocks(
    in_channels: int,
    channels: tuple[int, ...],
    width: float,
    batch_norm: bool,
    activation: str,
    attention: str,
    pool: str,
    *,
    bias: bool,
) -> nn.Sequential:
    """Convolution, norm, activation, attention and pooling for each of ``channels``."""
    layers: list[nn.Module] = []
    for full in channels:
        out = scaled(full, width)
        layers += [nn.Conv2d(in_channels, out, 3, padding=1, bias=bias), *norm(out, batch_norm)]
        layers += [ACTIVATIONS[activation](), *attend(out, attention), POOLS[pool](2)]
        in_channels = out
    return nn.Sequential(*layers)
