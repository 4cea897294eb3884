"""A contract over every model, and the sizes that were published."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import research
from research import registry
from research.errors import InvalidInput
from research.inspection import published
from research.models import shape_only
from research.spec import Ref

MODELS = registry.models.names()
PROSE = {"stem_channels": 64, "head": "pool_linear"}


def net_of(name: str, **more: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    return research.build_model(name, 5, size=64, **more)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", MODELS)
def test_a_net_maps_images_to_logits_in_both_layouts(name: str, channels: int) -> None:
    net = net_of(name, in_channels=channels).eval()
    images = torch.randn(3, channels, 64, 64)
    with torch.inference_mode():
        logits = net(images)
        last = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        same = last(images.contiguous(memory_format=torch.channels_last))
    assert logits.shape == (3, 5) and torch.isfinite(logits).all()
    torch.testing.assert_close(same, logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_reaches_every_parameter(name: str) -> None:
    net = net_of(name).train()
    torch.nn.functional.cross_entropy(net(torch.randn(4, 3, 64, 64)), torch.arange(4)).backward()
    for parameter in net.parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize("name", MODELS)
def test_the_same_seed_makes_the_same_net_and_its_state_goes_round(name: str) -> None:
    one, same = net_of(name).eval(), net_of(name).eval()
    torch.manual_seed(1)
    other = research.build_model(name, 5, size=64).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(one(images), same(images))
        assert not torch.equal(one(images), other(images))
        other.load_state_dict(one.state_dict())
        assert torch.equal(one(images), other(images))


@pytest.mark.parametrize("name", MODELS)
def test_there_are_no_lazy_parameters(name: str) -> None:
    for parameter in net_of(name).parameters():
        assert not torch.nn.parameter.is_lazy(parameter)


@pytest.mark.parametrize(
    ("name", "size", "params", "parameters", "macs"),
    [
        ("alexnet_pro", 227, {}, 8_915_015, 1014.1),
        ("alexnet_pro", 96, {}, 8_915_015, 163.5),
        ("alexnet_pro", 64, {}, 8_915_015, 66.2),
        ("alexnet_pro", 227, PROSE, 3_469_703, None),
        ("alexnet", 227, {}, 58_310_023, None),
    ],
)
def test_nets_have_the_published_size(
    name: str, size: int, params: dict[str, Any], parameters: int, macs: float | None
) -> None:
    ref, _ = registry.models.check(Ref(name=name, params=params))
    net = shape_only(ref, 7, size, 3).eval()
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters
    with FlopCounterMode(display=False) as counter:
        net(torch.empty(1, 3, size, size, device="meta"))
    if macs is not None:
        assert round(counter.get_total_flops() / 2e6, 1) == macs


def test_the_list_of_models_tells_the_published_sizes() -> None:
    rows = {row["name"]: row for row in published()}
    assert set(rows) == set(MODELS)
    assert rows["alexnet_pro"]["parameters"] == 8_915_015
    assert "branches" in rows["alexnet_pro"]["factors"]


def changed(**params: Any) -> torch.nn.Module:
    return shape_only(Ref(name="alexnet_pro", params=params | {"head": "pool_linear"}), 7, 96, 3)


@pytest.mark.parametrize(
    ("branches", "rule", "widths"),
    [
        ((1, 3, 5, 7), "total", [64, 64, 64, 64]),
        ((5,), "total", [256]),
        ((3, 5, 7), "total", [86, 85, 85]),
        ((3, 5, 7), "each", [64, 64, 64]),
    ],
)
def test_branches_share_the_width_or_keep_their_own(
    branches: tuple[int, ...], rule: str, widths: list[int]
) -> None:
    net = changed(branches=branches, branch_width=rule)
    kernels = {
        module.kernel_size[0]: module.out_channels
        for name, module in net.named_modules()
        if isinstance(module, torch.nn.Conv2d) and ".convs." in name
    }
    assert list(kernels.items()) == list(zip(branches, widths, strict=True))


def test_without_batch_norm_there_is_none_and_dead_biases_can_go() -> None:
    def count(kind: type[torch.nn.Module], **params: Any) -> int:
        net = shape_only(Ref(name="alexnet_pro", params=params), 7, 96, 3)
        return sum(isinstance(module, kind) for module in net.modules())

    assert count(torch.nn.BatchNorm2d) == 5 and count(torch.nn.BatchNorm1d) == 1
    assert count(torch.nn.BatchNorm2d, batch_norm=False) == 0
    assert count(torch.nn.BatchNorm1d, batch_norm=False) == 0
    full = sum(p.numel() for p in changed().parameters())
    lean = sum(p.numel() for p in changed(bias_before_norm=False).parameters())
    assert full - lean == 256 + 384 + 384 + 256


@pytest.mark.parametrize("branches", [[], [2], [3, 3], [-1]])
def test_kernels_that_make_no_sense_are_refused(branches: list[int]) -> None:
    with pytest.raises(InvalidInput, match="odd kernel sizes"):
        research.build_model("alexnet_pro", branches=branches)


@pytest.mark.parametrize("name", MODELS)
def test_a_size_that_leaves_a_layer_nothing_is_told(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"cannot take images of 40 x 40: MaxPool.*works is 63"):
        research.build_model(name, size=40)
    assert research.build_model(name, size=63)


def test_parameters_may_be_tuples_arrays_and_numbers_of_numpy() -> None:
    plain = research.build_model("alexnet_pro", branches=[3, 5], width=0.05, head="pool_linear")
    given = {"branches": np.array([3, 5]), "width": np.float64(0.05), "head": "pool_linear"}
    for more in (given, given | {"branches": (3, 5)}):
        assert str(research.build_model("alexnet_pro", **more)) == str(plain)
    with pytest.raises(InvalidInput, match="valid JSON"):
        research.build_model("alexnet_pro", branches=object())


def test_unknown_names_and_parameters_are_told() -> None:
    with pytest.raises(InvalidInput, match="did you mean 'alexnet_pro'"):
        research.build_model("alexnet_por")
    with pytest.raises(InvalidInput, match="did you mean 'branches'"):
        research.build_model("alexnet_pro", brances=[5])
