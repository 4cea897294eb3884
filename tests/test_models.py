"""A contract over every model, and the sizes that were published."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

import research
from research import registry
from research.design import cells
from research.errors import InvalidInput
from research.inspection import layers, published
from research.models import check_size, shape_only
from research.models.attention import CBAM
from research.models.rrelu import RReLU
from research.project import Project
from research.spec import Recipe, Ref
from research.studies import default_study
from research.validation import complete

OURS = [name for name in registry.models.names() if not name.startswith("torchvision/")]
SMALLEST = [
    *("alexnet", "alexnet_pro", "facecnn", "fer_cnn", "plain_cnn", "simple_cnn", "vgg_small")
]
SMALLEST += ["compact", "vgg11", "resnet18", "resnet20", "resnet18_d2l", "densenet_cifar"]
MODELS = [*SMALLEST, "torchvision/mobilenet_v3_small"]  # one of every builder
# Every further level that a builder's parameters offer.
FORMS = [
    (name, parameter, value)
    for name in SMALLEST
    for parameter, param in registry.models.entry(name).params.items()
    for value in (param.choices or ((False, True) if isinstance(param.default, bool) else ()))
    if value != param.default
    # Activations come from one table: one beside the default shows that the parameter is used.
    and (parameter != "activation" or value in ("relu", "gelu"))
]
PROSE = {"stem_channels": 64, "head": "pool_linear"}


def side_of(name: str) -> int:
    return int(min(64, registry.models.entry(name).declared["size"]))


def net_of(name: str, seed: int = 0, **more: Any) -> torch.nn.Module:
    torch.manual_seed(seed)
    narrow = {"width": 0.25} if "width" in registry.models.entry(name).params else {}
    return research.build_model(name, 5, size=side_of(name), **{"in_channels": 3, **narrow, **more})


def images_for(name: str, count: int, channels: int = 3) -> torch.Tensor:
    return torch.randn(count, channels, side_of(name), side_of(name))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", MODELS)
def test_a_net_maps_images_to_logits_in_both_layouts(name: str, channels: int) -> None:
    net = net_of(name, in_channels=channels).eval()
    images = images_for(name, 3, channels)
    with torch.inference_mode():
        logits = net(images)
        last = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        same = last(images.contiguous(memory_format=torch.channels_last))
    assert logits.shape == (3, 5) and torch.isfinite(logits).all()
    torch.testing.assert_close(same, logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_reaches_every_parameter(name: str) -> None:
    net = net_of(name).train()
    torch.nn.functional.cross_entropy(net(images_for(name, 4)), torch.arange(4)).backward()
    for path, parameter in net.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), path


@pytest.mark.parametrize(("name", "parameter", "value"), FORMS)
def test_every_form_of_a_net_computes(name: str, parameter: str, value: Any) -> None:
    ref, problems = registry.models.check(Ref(name=name, params={parameter: value}))
    assert not problems
    net = shape_only(ref, 5, 64, 1)
    assert net(torch.empty(2, 1, 64, 64, device="meta")).shape == (2, 5)


@pytest.mark.parametrize("name", OURS)
def test_what_a_builder_declares_makes_a_study(name: str, tmp_path: Path) -> None:
    study, _ = default_study(name, Project(tmp_path))
    made = cells(study)
    _, problems = complete(made[0].recipe, "embedded")
    assert not problems
    assert len({cell.recipe.spec_hash for cell in made}) == len(made) > 4
    for cell in made:
        assert not registry.models.check(cell.recipe.model)[1]


def test_a_builder_is_tried_by_one_of_its_names() -> None:
    entry = registry.models.entry
    assert {entry(name).function for name in MODELS} == {
        entry(name).function for name in registry.models.names()
    }


@pytest.mark.parametrize("name", MODELS)
def test_the_same_seed_makes_the_same_net_and_its_state_goes_round(name: str) -> None:
    one, same = net_of(name).eval(), net_of(name).eval()
    other = net_of(name, seed=1).eval()
    images = images_for(name, 2)
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
        ("facecnn", 48, {}, 42_582_919, 128.5),
        ("plain_cnn", 48, {}, 55_735_175, 121.8),
        ("vgg_small", 48, {}, 36_159_399, 163.8),
        ("resnet18_d2l", 48, {}, 11_176_839, 94.4),
        ("resnet18", 48, {}, 11_171_271, 1250),
        ("resnet34", 48, {}, 21_279_431, 2610),
        ("resnet50", 48, {}, 23_513_543, 2920),
        ("resnet101", 48, {}, 42_505_671, 5640),
        ("resnet152", 48, {}, 58_149_319, 8370),
        ("resnet20", 48, {}, 269_239, 91),
        ("resnet20", 48, {"shortcut": "projection"}, 269_239 + 2_752, None),
        ("resnet32", 48, {}, 463_671, 154),
        ("resnet44", 48, {}, 658_103, 218),
        ("resnet56", 48, {}, 852_535, 282),
        ("resnet110", 48, {}, 1_727_479, 568),
        ("densenet121", 48, {}, 6_952_071, 2000),
        ("densenet169", 48, {}, 12_487_175, 2380),
        ("densenet201", 48, {}, 18_097_415, 3070),
        ("densenet161", 48, {}, 26_474_023, 5550),
        ("densenet_cifar", 48, {}, 999_031, 280),
        ("vgg11", 48, {}, 9_228_423, 341),
        ("vgg13", 48, {}, 9_413_319, 511),
        ("vgg16", 48, {}, 14_725_575, 702),
        ("vgg19", 48, {}, 20_037_831, 893),
        ("fer_cnn", 48, {}, 24_890_373, 154.7),
        ("simple_cnn", 48, {}, 2_380_743, 15.0),
        ("simple_cnn", 224, {}, 51_401_671, None),
        ("torchvision/mobilenet_v2", 224, {}, 2_232_839, None),
        ("torchvision/resnet50", 224, {}, 23_522_375, None),
    ],
)
def test_nets_have_the_published_size(
    name: str, size: int, params: dict[str, Any], parameters: int, macs: float | None
) -> None:
    ref, _ = registry.models.check(Ref(name=name, params=params))
    channels = registry.models.entry(name).declared["channels"]
    net = shape_only(ref, 5 if name == "fer_cnn" else 7, size, channels).eval()
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters
    with FlopCounterMode(display=False) as counter:
        net(torch.empty(1, channels, size, size, device="meta"))
    if macs is not None:  # told to three digits
        assert counter.get_total_flops() / 2e6 == pytest.approx(macs, rel=0.006)


def test_the_list_of_models_tells_the_published_sizes() -> None:
    (row,) = published(["alexnet_pro"])
    assert row["parameters"] == 8_915_015
    assert "branches" in row["factors"]


def test_the_layers_of_a_model_add_up_to_it() -> None:
    (row,) = published(["facecnn"])
    found = layers("facecnn")
    assert sum(layer.parameters for layer in found) == row["parameters"]
    assert sum(layer.macs for layer in found) == row["macs"]
    assert (found[0].kind, found[0].shape) == ("Conv2d", (64, 48, 48))


@pytest.mark.parametrize(("channels", "reduction"), [(64, 16), (64, 8), (8, 16)])
def test_attention_has_the_published_size_even_of_few_channels(
    channels: int, reduction: int
) -> None:
    hidden = max(1, channels // reduction)
    for form in (True, False):
        block = CBAM(channels, reduction=reduction, published=form)
        numbers = sum(parameter.numel() for parameter in block.parameters())
        assert numbers == 2 * channels * hidden + hidden + channels + 99
        images = torch.randn(2, channels, 6, 6)
        assert block(images).shape == images.shape


def test_the_paper_s_attention_sees_maxima_which_the_published_form_does_not() -> None:
    torch.manual_seed(0)
    paper, published_form = CBAM(8), CBAM(8, published=True)
    published_form.load_state_dict(paper.state_dict())
    images = torch.randn(2, 8, 6, 6)
    assert not torch.allclose(paper(images), published_form(images))


def test_published_pooling_drops_the_border_of_a_six_by_six_map() -> None:
    torch.manual_seed(0)
    net = research.build_model("resnet18", pooling="published", width=0.05).eval()
    maps = torch.randn(1, 26, 6, 6)
    border = maps.clone()
    border[:, :, 4:], border[:, :, :, 4:] = 0, 0
    assert torch.equal(net.features[-1](maps), net.features[-1](border))  # type: ignore[index]


def test_softmax_before_the_loss_gives_probabilities() -> None:
    net = research.build_model("fer_cnn", softmax_before_loss=True, width=0.05, head="pool_linear")
    out = net.eval()(torch.randn(2, 3, 48, 48))
    torch.testing.assert_close(out.sum(1), torch.ones(2))


THEIRS = "torchvision/mobilenet_v3_small"


def test_a_frozen_backbone_stands_still_statistics_included() -> None:
    net = net_of(THEIRS, freeze="backbone").train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=0.1)
    torch.nn.functional.cross_entropy(net(torch.randn(4, 3, 64, 64)), torch.arange(4)).backward()
    optimizer.step()
    moved = {name for name, value in net.state_dict().items() if not value.equal(before[name])}
    assert moved == {"net.classifier.3.weight", "net.classifier.3.bias"}
    ref, _ = registry.models.check(Ref(name="torchvision/resnet50", params={"freeze": "backbone"}))
    trained = [p.numel() for p in shape_only(ref, 7, 224, 3).parameters() if p.requires_grad]
    assert sum(trained) == 14_343


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_weights_come_from_a_file_and_grey_ones_are_summed(tmp_path: Path, suffix: str) -> None:
    import torchvision

    torch.manual_seed(3)
    full = torchvision.models.mobilenet_v3_small()
    file = tmp_path / f"weights{suffix}"
    if suffix == ".pt":
        torch.save(full.state_dict(), file)
    else:
        save_file(full.state_dict(), file)
    net = research.build_model(THEIRS, 5, size=64, weights=str(file)).eval()
    assert torch.equal(net.net.features[0][0].weight, full.features[0][0].weight)  # type: ignore
    grey = research.build_model(THEIRS, 5, size=64, in_channels=1, weights=str(file)).eval()
    image = torch.rand(1, 1, 64, 64)
    torch.testing.assert_close(
        grey.net.features[0][0](image),  # type: ignore[union-attr, index, operator]
        net.net.features[0][0](image.expand(-1, 3, -1, -1)),  # type: ignore[union-attr, index, operator]
    )


def test_weights_of_another_net_or_no_weights_at_all_are_told(tmp_path: Path) -> None:
    import torchvision

    file = tmp_path / "other.pt"
    torch.save(torchvision.models.squeezenet1_1().state_dict(), file)
    with pytest.raises(InvalidInput, match=r"is not of mobilenet_v3_small: it lacks classifier.0"):
        research.build_model(THEIRS, weights=str(file))
    file.write_bytes(b"no weights")
    with pytest.raises(InvalidInput, match="cannot be read"):
        research.build_model(THEIRS, weights=str(file))
    torch.save([1, 2], file)
    with pytest.raises(InvalidInput, match="no state of tensors"):
        research.build_model(THEIRS, weights=str(file))
    with pytest.raises(InvalidInput, match="neither a file nor weights of torchvision's"):
        research.build_model(THEIRS, weights="IMAGENET9")


def test_a_run_is_known_by_what_its_weights_hold_not_by_where_they_are(tmp_path: Path) -> None:
    hashes = []
    for name, content in (("a.pt", b"1"), ("b.pt", b"1"), ("c.pt", b"2")):
        (tmp_path / name).write_bytes(content)
        ref = Ref(name=THEIRS, params={"weights": str(tmp_path / name)})
        recipe, problems = complete(Recipe(model=ref), "embedded")
        assert not problems
        hashes.append(recipe.spec_hash)
    assert hashes[0] == hashes[1] != hashes[2]


def test_torchvision_s_names_are_known_without_loading_it() -> None:
    code = (
        "import sys; from research import registry; "
        "assert registry.models.holds('mobilenet_v2') and registry.models.holds('resnet18'); "
        "assert registry.models.entry('mobilenet_v2').name == 'torchvision/mobilenet_v2'; "
        "assert registry.models.entry('resnet18').name == 'resnet18'; "
        "assert 'torchvision' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    from torchvision.models import list_models

    ours = {name.partition("/")[2] for name in registry.models.names() if "/" in name}
    assert ours == {name for name in list_models() if "/" not in name} & ours and len(ours) > 70


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


@pytest.mark.parametrize("name", ["facecnn", "fer_cnn", "resnet18_d2l", "vgg11"])
def test_biases_that_a_norm_cancels_can_go_and_change_nothing_else(name: str) -> None:
    def net(**params: Any) -> torch.nn.Module:
        return shape_only(Ref(name=name, params=params), 7, 48, 1)

    normed = {
        before
        for (before, _), (_, module) in itertools.pairwise(net().named_modules())
        if isinstance(module, torch.nn.BatchNorm2d)
    }
    full, lean = (
        dict(net().named_parameters()),
        dict(net(bias_before_norm=False).named_parameters()),
    )
    assert full.keys() - lean.keys() == {f"{conv}.bias" for conv in normed}
    bare = {"batch_norm": False, "bias_before_norm": False}  # no norm: no bias is dead
    convs = [m for m in net(**bare).modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(conv.bias is not None for conv in convs)


@pytest.mark.parametrize(
    ("name", "size", "inputs"),
    [
        *(("resnet20", 48, 64 * 12**2), ("resnet18", 48, 512 * 6**2)),
        *(("vgg11", 64, 512 * 2**2), ("resnet18_d2l", 48, 512 * 2**2)),
        ("densenet_cifar", 48, 384 * 6**2),
    ],
)
def test_a_whole_map_may_stand_where_its_average_was(name: str, size: int, inputs: int) -> None:
    net = shape_only(Ref(name=name, params={"pooling": "flatten"}), 7, size, 1)
    last = [module for module in net.modules() if isinstance(module, torch.nn.Linear)][-1]
    assert last.in_features == inputs


@pytest.mark.parametrize("branches", [[], [2], [3, 3], [-1]])
def test_kernels_that_make_no_sense_are_refused(branches: list[int]) -> None:
    with pytest.raises(InvalidInput, match="odd kernel sizes"):
        research.build_model("alexnet_pro", branches=branches)


@pytest.mark.parametrize(
    ("name", "size", "layer", "works"),
    [
        ("alexnet", 40, "MaxPool", 63),
        ("alexnet_pro", 40, "MaxPool", 63),
        ("vgg11", 20, "MaxPool", 32),
        ("plain_cnn", 9, "MaxPool", 12),
        ("torchvision/vit_b_32", 48, "the net", 64),
    ],
)
def test_a_size_that_leaves_a_layer_nothing_is_told(
    name: str, size: int, layer: str, works: int
) -> None:
    told = rf"cannot take images of {size} x {size}: {layer}.*works is {works}"
    with pytest.raises(InvalidInput, match=told):
        research.build_model(name, size=size)
    ref, _ = registry.models.check(Ref(name=name))
    check_size(ref, 7, works, 3)


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


def test_a_folder_of_weights_serves_each_net_by_its_name(tmp_path: Path) -> None:
    import torchvision

    torch.save(torchvision.models.mobilenet_v2().state_dict(), tmp_path / "mobilenet_v2.pth")

    def ref(name: str) -> Ref:
        return Ref(name=f"torchvision/{name}", params={"weights": str(tmp_path)})

    found, problems = complete(Recipe(model=ref("mobilenet_v2")), "embedded")
    assert not problems and found.model.params["weights_digest"]
    assert found.model.params["weights"] == str(tmp_path / "mobilenet_v2.pth")
    with pytest.raises(InvalidInput, match=r"has no resnet18\.pth"):
        research.build_model("torchvision/resnet18", size=64, weights=str(tmp_path))


@pytest.mark.parametrize("layout", ["contiguous", "channels last", "transposed"])
def test_rrelu_draws_a_slope_for_each_element(layout: str) -> None:
    images = torch.randn(15, 7, 33, 31)
    images = images.transpose(1, 3) if layout == "transposed" else images
    if layout == "channels last":
        images = images.contiguous(memory_format=torch.channels_last)
    images.requires_grad_()
    net = RReLU(0.1, 0.4).train()
    torch.manual_seed(0)
    out = net(images)
    out.sum().backward()
    assert out.stride() == images.stride()
    slopes = (out / images).detach()
    torch.testing.assert_close(images.grad, slopes)
    torch.testing.assert_close(slopes[images > 0], torch.ones(int((images > 0).sum())))
    drawn = slopes[images < 0].sort().values
    even = torch.linspace(0.1, 0.4, len(drawn))
    assert float((drawn - even).abs().max()) < 0.005  # Kolmogorov's distance: under 1.7 % of 0.3
    beside = slopes.as_strided((images.numel(),), (1,))  # as they lie in memory
    for apart in (1, 2, 3, 4):
        one, other = beside[:-apart], beside[apart:]
        both = (one < 1) & (other < 1)
        assert abs(float(torch.corrcoef(torch.stack([one[both], other[both]]))[0, 1])) < 0.02
    torch.manual_seed(0)
    assert torch.equal(net(images), out)
    assert not torch.equal(net(images), out)


def test_rrelu_is_the_mean_slope_in_evaluation_and_torchs_own_in_half_precision() -> None:
    images = torch.linspace(-1, 1, 9)
    net = RReLU(0.1, 0.4)
    torch.testing.assert_close(net.eval()(images), torch.where(images > 0, images, 0.25 * images))
    half = net.train()(images.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half[images > 0], images[images > 0].bfloat16())
    assert not RReLU(0.25, 0.25).train()(torch.zeros(3)).any()
