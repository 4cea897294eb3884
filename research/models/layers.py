"""Parts that several nets share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from research.models.rrelu import RReLU

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "rrelu": RReLU,
}


class Classifier(nn.Module):
    """Convolutional features, then a head."""

    def __init__(self, features: nn.Module, head: nn.Sequential) -> None:
        super().__init__()
        self.features = features
        self.head = head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images ``(N, C, H, W)`` to logits ``(N, K)``."""
        logits: torch.Tensor = self.head(self.features(x))
        return logits


def scaled(channels: int, width: float) -> int:
    """Channels times a width factor, at least one."""
    return max(1, round(channels * width))


def norm(channels: int, on: bool) -> list[nn.Module]:
    """A batch norm of maps, or nothing."""
    return [nn.BatchNorm2d(channels)] if on else []


@dataclass(frozen=True)
class Hidden:
    """The hidden layers of a head: their widths, the dropout before each and after the last."""

    widths: tuple[int, ...]
    drops: tuple[float, ...]
    last_drop: float = 0.0
    activation: Callable[[], nn.Module] = nn.ReLU

    def layers(self, inputs: int, num_classes: int) -> list[nn.Module]:
        """So many inputs to logits."""
        layers: list[nn.Module] = []
        for width, drop in zip(self.widths, self.drops, strict=True):
            layers += [nn.Dropout(drop)] if drop else []
            layers += [nn.Linear(inputs, width), self.activation()]
            inputs = width
        layers += [nn.Dropout(self.last_drop)] if self.last_drop else []
        return [*layers, nn.Linear(inputs, num_classes)]


def classifier(
    features: nn.Sequential,
    shape: tuple[int, int],
    num_classes: int,
    head: str,
    hidden: Hidden,
) -> Classifier:
    """Features of images of ``shape`` (channels, side), with a head.

    ``flatten_mlp``, ``pool_mlp``, or ``pool_linear``, which has no hidden layer.
    """
    if head != "flatten_mlp":
        features.append(nn.AdaptiveAvgPool2d(1))
    inputs = map_numbers(features, *shape)
    layers = hidden.layers(inputs, num_classes)
    if head == "pool_linear":
        layers = [nn.Linear(inputs, num_classes)]
    return Classifier(features, nn.Sequential(nn.Flatten(), *layers))


def map_numbers(features: nn.Module, in_channels: int, size: int) -> int:
    """How many numbers convolutional layers make of an image of ``size`` pixels."""
    device = next(features.parameters()).device
    training = features.training
    with torch.no_grad():
        out = features.eval()(torch.zeros(1, in_channels, size, size, device=device))
    features.train(training)
    return int(out.numel())


def map_size(features: nn.Module, in_channels: int, size: int) -> int:
    """The side of the map that convolutional layers make of images of ``size`` pixels."""
    device = next(features.parameters()).device
    training = features.training
    with torch.no_grad():
        out = features.eval()(torch.zeros(1, in_channels, size, size, device=device))
    features.train(training)
    return int(out.shape[-1])


def init_weights(net: nn.Module, linear_std: float = 0.01) -> nn.Module:
    """Kaiming normal by fan out for convolutions (He et al. 2015), N(0, .01) for linear layers."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, linear_std)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    return net
