"""Residual nets (He et al., CVPR 2016): without first pooling, in CIFAR's form, in a textbook's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from research.models.attention import attend
from research.models.layers import ACTIVATIONS, Classifier, map_numbers, norm, scaled
from research.registry import Count, Fraction, Positive, models

PUBLISHED_POOL = 4  # the side that two write-ups' last pooling takes, whatever the map's


@dataclass(frozen=True)
class Style:
    """How the blocks of a net are made."""

    batch_norm: bool
    activation: Callable[[], nn.Module]
    attention: str
    shortcut: str
    bias: bool = False  # in front of a norm
    plain_shortcut: bool = False  # a convolution with a bias, without a norm


class ZeroPad(nn.Module):
    """A shortcut without parameters: every second pixel, new channels zero (option A)."""

    def __init__(self, stride: int, more: int) -> None:
        super().__init__()
        self.stride, self.more = stride, more

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(N, C, H, W)`` to ``(N, C + more, H / stride, W / stride)``."""
        before = self.more // 2
        channels = (before, self.more - before)
        return functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, *channels))


class Residual(nn.Module):
    """Convolutions and the shortcut around them."""

    def __init__(self, body: nn.Module, shortcut: nn.Module, act: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut, self.act = body, shortcut, act

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(N, C, H, W)`` to the next ones."""
        out: Tensor = self.act(self.body(x) + self.shortcut(x))
        return out


@models.register(
    family="resnet",
    size=48,
    channels=1,
    factors={
        "batch_norm": {},
        "shortcut": {"removed": "none"},
        "attention": {"levels": ["none", "cbam"], "removed": "cbam"},
        "pooling": {
            "removed": "flatten",
            "about": "of the whole map, of its first 4 x 4 as published, or none",
        },
        "dropout": {"levels": {"none": 0.0, "half": 0.5}, "removed": "half"},
    },
    variants={
        "resnet18": {"blocks": (2, 2, 2, 2), "bottleneck": False},
        "resnet34": {"blocks": (3, 4, 6, 3), "bottleneck": False},
        "resnet50": {"blocks": (3, 4, 6, 3), "bottleneck": True},
        "resnet101": {"blocks": (3, 4, 23, 3), "bottleneck": True},
        "resnet152": {"blocks": (3, 8, 36, 3), "bottleneck": True},
    },
)
def resnet(
    num_classes: int,
    size: int,
    in_channels: int,
    *,
    blocks: tuple[int, ...],
    bottleneck: bool,
    batch_norm: bool = True,
    activation: Literal["relu", "rrelu", "leaky_relu", "elu", "gelu"] = "relu",
    shortcut: Literal["projection", "zero_pad", "none"] = "projection",
    attention: Literal["none", "cbam", "cbam_published"] = "none",
    pooling: Literal["global", "published", "flatten"] = "global",
    dropout: Fraction = 0.0,
    stem_stride: Count = 1,
    width: Positive = 1.0,
) -> nn.Module:
    """ResNet with a 3x3 stem of stride 1 and no first pooling: 11.2 to 58.1 M parameters.

    ``shortcut``: 1x1 convolution where shapes differ, zero padding there, or no shortcuts at all.
    ``pooling``: ``published`` takes 4x4 places, which drops the border of a 6x6 map; ``flatten``
    takes the whole map.
    """
    style = Style(batch_norm, ACTIVATIONS[activation], attention, shortcut)
    widths = tuple(scaled(full, width) for full in (64, 128, 256, 512))
    stem = _stem(in_channels, widths[0], style, stride=stem_stride)
    body, channels = _stages(widths[0], widths, blocks, style, bottleneck=bottleneck)
    features = nn.Sequential(*stem, *body)
    return _with_head(features, channels, (in_channels, size), num_classes, pooling, dropout)


@models.register(
    family="resnet_cifar",
    size=48,
    channels=1,
    factors={
        "batch_norm": {},
        "shortcut": {"removed": "none"},
        "attention": {"levels": ["none", "cbam"], "removed": "cbam"},
        "pooling": {"removed": "flatten"},
        "dropout": {"levels": {"none": 0.0, "half": 0.5}, "removed": "half"},
    },
    variants={
        "resnet20": {"blocks": (3, 3, 3)},
        "resnet32": {"blocks": (5, 5, 5)},
        "resnet44": {"blocks": (7, 7, 7)},
        "resnet56": {"blocks": (9, 9, 9)},
        "resnet110": {"blocks": (18, 18, 18)},
    },
)
def resnet_cifar(
    num_classes: int,
    size: int,
    in_channels: int,
    *,
    blocks: tuple[int, ...],
    batch_norm: bool = True,
    activation: Literal["relu", "rrelu", "leaky_relu", "elu", "gelu"] = "relu",
    shortcut: Literal["zero_pad", "projection", "none"] = "zero_pad",
    attention: Literal["none", "cbam", "cbam_published"] = "none",
    pooling: Literal["global", "flatten"] = "global",
    dropout: Fraction = 0.0,
    stem_stride: Count = 1,
    width: Positive = 1.0,
) -> nn.Module:
    """The paper's CIFAR form: 6n + 2 layers of 16, 32, 64 channels; 0.3 to 1.7 M parameters.

    ``shortcut``: zero padding (option A), or 1x1 convolutions with batch norm (option B).
    """
    style = Style(batch_norm, ACTIVATIONS[activation], attention, shortcut)
    widths = tuple(scaled(full, width) for full in (16, 32, 64))
    stem = _stem(in_channels, widths[0], style, stride=stem_stride)
    body, channels = _stages(widths[0], widths, blocks, style)
    features = nn.Sequential(*stem, *body)
    return _with_head(features, channels, (in_channels, size), num_classes, pooling, dropout)


@models.register(
    family="resnet_d2l",
    size=48,
    channels=1,
    factors={
        "batch_norm": {},
        "shortcut": {"removed": "none"},
        "attention": {"levels": ["none", "cbam"], "removed": "cbam"},
        "pooling": {"removed": "flatten"},
        "dropout": {"levels": {"none": 0.0, "half": 0.5}, "removed": "half"},
    },
)
def resnet18_d2l(
    num_classes: int,
    size: int,
    in_channels: int,
    *,
    batch_norm: bool = True,
    activation: Literal["relu", "rrelu", "leaky_relu", "elu", "gelu"] = "relu",
    shortcut: Literal["projection", "zero_pad", "none"] = "projection",
    attention: Literal["none", "cbam", "cbam_published"] = "none",
    pooling: Literal["global", "flatten"] = "global",
    dropout: Fraction = 0.0,
    stem_stride: Count = 2,
    width: Positive = 1.0,
    bias_before_norm: bool = True,
) -> nn.Module:
    """ResNet-18 with a 7x7 stem, pooling, biases, and shortcuts without norm: 11.2 M parameters.

    ``bias_before_norm`` keeps the biases that a batch norm cancels, as published.
    """
    style = Style(
        batch_norm,
        ACTIVATIONS[activation],
        attention,
        shortcut,
        bias=bias_before_norm,
        plain_shortcut=True,
    )
    widths = tuple(scaled(full, width) for full in (64, 128, 256, 512))
    stem = _stem(in_channels, widths[0], style, stride=stem_stride, kernel=7)
    body, channels = _stages(widths[0], widths, (2, 2, 2, 2), style)
    features = nn.Sequential(*stem, nn.MaxPool2d(3, 2, padding=1), *body)
    return _with_head(features, channels, (in_channels, size), num_classes, pooling, dropout)


def _stem(
    in_channels: int, out: int, style: Style, *, stride: int, kernel: int = 3
) -> list[nn.Module]:
    conv = nn.Conv2d(
        in_channels, out, kernel, stride, kernel // 2, bias=style.bias or not style.batch_norm
    )
    return [conv, *norm(out, style.batch_norm), style.activation()]


def _stages(
    channels: int,
    widths: tuple[int, ...],
    blocks: tuple[int, ...],
    style: Style,
    *,
    bottleneck: bool = False,
) -> tuple[list[nn.Module], int]:
    """Stages of blocks, each but the first halving the map; and the channels of the last."""
    layers: list[nn.Module] = []
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        for number in range(count):
            stride = 2 if stage and not number else 1
            out = 4 * width if bottleneck else width
            layers.append(_block(channels, width, out, stride, style))
            channels = out
    return layers, channels


def _block(channels: int, width: int, out: int, stride: int, style: Style) -> nn.Module:
    """A basic block, or a bottleneck where it gives more channels than its width."""

    def conv(inputs: int, outputs: int, kernel: int, step: int = 1) -> list[nn.Module]:
        bias = style.bias or not style.batch_norm
        layer = nn.Conv2d(inputs, outputs, kernel, step, kernel // 2, bias=bias)
        return [layer, *norm(outputs, style.batch_norm)]

    act = style.activation
    if out == width:
        layers = [*conv(channels, width, 3, stride), act(), *conv(width, out, 3)]
    else:
        layers = [*conv(channels, width, 1), act(), *conv(width, width, 3, stride), act()]
        layers += conv(width, out, 1)
    layers += attend(out, style.attention)
    body = nn.Sequential(*layers)
    if style.shortcut == "none":
        return nn.Sequential(body, act())
    return Residual(body, _shortcut(channels, out, stride, style), act())


def _shortcut(channels: int, out: int, stride: int, style: Style) -> nn.Module:
    if stride == 1 and channels == out:
        return nn.Identity()
    if style.shortcut == "zero_pad":
        return ZeroPad(stride, out - channels)
    normed = style.batch_norm and not style.plain_shortcut
    return nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=not normed), *norm(out, normed))


def _with_head(
    features: nn.Sequential,
    channels: int,
    shape: tuple[int, int],
    num_classes: int,
    pooling: str,
    dropout: float,
) -> nn.Module:
    if pooling == "published":
        features.append(nn.AvgPool2d(PUBLISHED_POOL))
    elif pooling == "global":
        features.append(nn.AdaptiveAvgPool2d(1))
    inputs = map_numbers(features, *shape)
    drop = [nn.Dropout(dropout)] if dropout else []
    return Classifier(features, nn.Sequential(nn.Flatten(), *drop, nn.Linear(inputs, num_classes)))
