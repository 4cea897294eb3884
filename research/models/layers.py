"""Parts that several nets share."""

from __future__ import annotations

import torch
from torch import nn


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
