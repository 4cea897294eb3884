"""AlexNet-Pro: an AlexNet whose second layer sees with four kernels at once."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from research.errors import InvalidInput
from research.models.attention import attend
from research.models.layers import init_weights, map_size
from research.registry import Count, Fraction, Positive, models

ACTIVATIONS = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "gelu": nn.GELU}


class Branches(nn.Module):
    """Convolutions of several kernels side by side, their maps concatenated."""

    def __init__(self, in_channels: int, widths: dict[int, int], bias: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleDict(
            {
                f"k{kernel}": nn.Conv2d(in_channels, width, kernel, padding=kernel // 2, bias=bias)
                for kernel, width in widths.items()
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(N, C, H, W)`` to ``(N, sum of widths, H, W)``."""
        return torch.cat([conv(x) for conv in self.convs.values()], 1)


class AlexNetPro(nn.Module):
    """Stem, parallel branches, three convolutions, then the head."""

    def __init__(self, features: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` to logits ``(N, K)``."""
        logits: Tensor = self.head(self.features(x))
        return logits


@models.register(
    family="alexnet",
    size=227,
    channels=3,
    factors={
        "branches": {
            "path": "model.params.branches",
            "levels": {"k1357": [1, 3, 5, 7], "k5": [5]},
            "control": "k1357",
            "removed": "k5",
            "about": "four kernels side by side, against one of the same width",
        },
        "batch_norm": {
            "path": "model.params.batch_norm",
            "levels": {"present": True, "absent": False},
            "control": "present",
            "removed": "absent",
        },
        "global_average_pool": {
            "path": "model.params.head",
            "levels": {"pool_mlp": "pool_mlp", "flatten_mlp": "flatten_mlp"},
            "control": "pool_mlp",
            "removed": "flatten_mlp",
        },
        "dropout": {
            "path": "model.params.dropout",
            "levels": {"half": 0.5, "none": 0.0},
            "control": "half",
            "removed": "none",
        },
        "attention": {"levels": ["none", "cbam"], "removed": "cbam"},
    },
)
def alexnet_pro(
    num_classes: int,
    size: int,
    in_channels: int,
    *,
    branches: tuple[int, ...] = (1, 3, 5, 7),
    branch_width: Literal["total", "each"] = "total",
    batch_norm: bool = True,
    head: Literal["pool_mlp", "flatten_mlp", "pool_linear"] = "pool_mlp",
    dropout: Fraction = 0.5,
    activation: Literal["relu", "rrelu", "leaky_relu", "elu", "gelu"] = "relu",
    attention: Literal["none", "cbam", "cbam_published"] = "none",
    stem_channels: Count = 96,
    stem_stride: Count = 4,
    width: Positive = 1.0,
    bias_before_norm: bool = True,
) -> nn.Module:
    """A stem, four parallel kernels, three convolutions, pooling and an MLP: 8.9 M parameters.

    ``branch_width``: ``total`` shares 256 channels among whichever branches there are, ``each``
    keeps 64 a branch. ``head``: global average pooling then the MLP (published), flattening then
    the MLP, or pooling straight to classes; the last with ``stem_channels=64`` is the form that the
    write-up's prose gives. ``attention`` stands after the branches and after each convolution
    behind them. ``width`` scales every convolution. ``bias_before_norm`` keeps the
    biases that a batch norm cancels: dead weight, but counted in the published number.
    """
    kernels = _kernels(branches)
    act = ACTIVATIONS[activation]

    def scaled(channels: int) -> int:
        return max(1, round(channels * width))

    def norm(channels: int) -> list[nn.Module]:
        return [nn.BatchNorm2d(channels)] if batch_norm else []

    bias = bias_before_norm or not batch_norm
    stem = scaled(stem_channels)
    widths = _widths(kernels, scaled(256), branch_width)
    channels = sum(widths.values())
    layers: list[nn.Module] = [
        # In the stem the norm comes after the activation, so its convolution's bias counts.
        nn.Conv2d(in_channels, stem, 11, stride=stem_stride, padding=2),
        act(),
        *norm(stem),
        nn.MaxPool2d(3, 2),
        Branches(stem, widths, bias),
        *norm(channels),
        act(),
        *attend(channels, attention),
        nn.MaxPool2d(3, 2),
    ]
    for out in (scaled(384), scaled(384), scaled(256)):
        layers += [nn.Conv2d(channels, out, 3, padding=1, bias=bias), *norm(out), act()]
        layers += attend(out, attention)
        channels = out
    features = nn.Sequential(*layers, nn.MaxPool2d(3, 2))
    if head != "flatten_mlp":
        features.append(nn.AdaptiveAvgPool2d(1))
    inputs = channels * map_size(features, in_channels, size) ** 2
    if head == "pool_linear":
        top = nn.Sequential(nn.Flatten(), nn.Linear(inputs, num_classes))
    else:
        top = _mlp(inputs, num_classes, dropout, batch_norm, bias, act)
    return init_weights(AlexNetPro(features, top))


def _mlp(
    inputs: int,
    num_classes: int,
    dropout: float,
    batch_norm: bool,
    bias: bool,
    act: type[nn.Module],
) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(inputs, 4096, bias=bias),
        *([nn.BatchNorm1d(4096)] if batch_norm else []),
        act(),
        nn.Dropout(dropout),
        nn.Linear(4096, 1024),
        act(),
        nn.Linear(1024, num_classes),
    )


def _kernels(branches: tuple[int, ...]) -> tuple[int, ...]:
    kernels = tuple(branches)
    if not kernels or len(set(kernels)) < len(kernels) or any(k < 1 or k % 2 == 0 for k in kernels):
        raise InvalidInput(
            f"alexnet_pro: branches {list(kernels)}; give different odd kernel sizes, such as "
            "[1, 3, 5, 7]"
        )
    return kernels


def _widths(kernels: tuple[int, ...], total: int, rule: str) -> dict[int, int]:
    """Channels of each branch: a share of the total, or a quarter of it each."""
    if rule == "each":
        return dict.fromkeys(kernels, max(1, total // 4))
    share, left = divmod(total, len(kernels))
    return {kernel: share + (number < left) for number, kernel in enumerate(kernels)}
