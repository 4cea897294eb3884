"""Nets: one file a family; here what every builder obeys, and `build_model`.

A builder is a function ``(num_classes, size, in_channels, *, ...) -> nn.Module`` registered with
``@models.register(family=..., size=..., channels=..., factors={...})``: the published input size
and channels, and the factors that an ablation of the net may vary. Its net maps float images
``(N, C, H, W)`` to logits ``(N, K)``.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from research import registry
from research.errors import InvalidInput
from research.spec import Ref

SIZES = range(8, 1025)


def model_names() -> tuple[str, ...]:
    """Every model's name."""
    return registry.models.names()


def build_model(
    name: str,
    num_classes: int = 7,
    *,
    size: int | None = None,
    in_channels: int | None = None,
    **params: Any,
) -> nn.Module:
    """A model's name to a net: float images ``(N, C, H, W)`` to logits ``(N, num_classes)``.

    None is the published value. The weights come from torch's global generator. Raises
    `InvalidInput` for an unknown name or parameter, and for a size that leaves a layer nothing.
    """
    entry = registry.models.entry(name)
    ref = Ref(name=name, params=registry.models.params(name, params))
    size = size or entry.declared["size"]
    in_channels = in_channels or entry.declared["channels"]
    check_size(ref, num_classes, size, in_channels)
    net: nn.Module = registry.models.get(name)(num_classes, size, in_channels, **ref.params)
    return net


def check_size(ref: Ref, num_classes: int, size: int, in_channels: int) -> None:
    """Refuses a size that a net cannot take, naming the layer and the smallest size that works."""
    model = ref.model_dump_json()
    problem = _fault(model, num_classes, size, in_channels)
    if problem is None:
        return
    larger = (side for side in SIZES if side > size)
    works = next((s for s in larger if not _fault(model, num_classes, s, in_channels)), None)
    cure = f"the next size that works is {works}" if works else "no size up to 1024 works"
    raise InvalidInput(f"{ref.name} cannot take images of {size} x {size}: {problem}; {cure}")


def shape_only(ref: Ref, num_classes: int, size: int, in_channels: int) -> nn.Module:
    """The net without weights, on torch's meta device: its shapes, for nothing."""
    build = registry.models.get(ref.name)
    net: nn.Module
    try:
        with torch.device("meta"):
            net = build(num_classes, size, in_channels, **ref.params)
    except NotImplementedError:  # it computes its own shape with tensors
        net = build(num_classes, size, in_channels, **ref.params).to("meta")
    return net


@functools.lru_cache(maxsize=1024)
def _fault(model: str, num_classes: int, size: int, in_channels: int) -> str | None:
    """What goes wrong when images of a size pass the net, layer and reason; None if nothing."""
    ref = Ref.model_validate_json(model)
    entered: list[nn.Module] = []
    hook = register_module_forward_pre_hook(lambda module, _: entered.append(module))
    try:
        net = shape_only(ref, num_classes, size, in_channels).eval()
        net(torch.empty(2, in_channels, size, size, device="meta"))
    except InvalidInput:
        raise
    except (RuntimeError, ValueError, AssertionError) as error:
        layer = str(entered[-1]).splitlines()[0] if entered else "the net"
        return f"{layer}: {str(error).splitlines()[0]}"
    finally:
        hook.remove()
    return None
