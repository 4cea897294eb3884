"""torchvision's classification models, with a head for our classes and, if wanted, its weights."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from research.errors import InvalidInput
from research.registry import models

SECOND_HEADS = {"aux1", "aux2", "AuxLogits"}
SHOWN = 5  # keys that an error names


class Transfer(nn.Module):
    """A torchvision net; its backbone may be frozen, batch norm's statistics included."""

    def __init__(self, net: nn.Module, head: nn.Module, frozen: bool) -> None:
        super().__init__()
        self.net = net
        self.frozen = frozen
        self._head = [head]  # in a list: it is registered inside the net already
        if frozen:
            net.requires_grad_(False)
            head.requires_grad_(True)

    def train(self, mode: bool = True) -> Transfer:
        """Training mode, but for a frozen backbone, whose batch norm and dropout stand still."""
        super().train(mode)
        if self.frozen:
            self.net.eval()
            self._head[0].train(mode)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` to logits ``(N, K)``."""
        logits: Tensor = self.net(x)
        return logits


@models.register(
    family="torchvision",
    size=224,
    channels=3,
    factors={"freeze": {"levels": ["none", "backbone"], "removed": "backbone"}},
    files=("weights",),
    variants="torchvision",
)
def torchvision_net(
    num_classes: int,
    size: int,
    in_channels: int,
    *,
    name: str,
    weights: str | None = None,
    weights_digest: str | None = None,
    freeze: Literal["none", "backbone"] = "none",
) -> nn.Module:
    """A net of torchvision's, its head replaced.

    ``weights``: a file (safetensors or a state of torch's), or torchvision's own name for some,
    such as ``DEFAULT``, which are downloaded. ``weights_digest`` is filled in: a run is known by
    what the file holds, not by where it is. ``freeze: backbone`` trains the head alone and keeps
    the statistics of batch norm as they are.
    """
    import torchvision

    builder = torchvision.models.get_model_builder(name)
    net = builder(weights=None, **_options(builder, name, size, weights, in_channels))
    if weights is not None:
        _load(net, weights, name)
    head = _replace_head(net, name, num_classes)
    if in_channels != 3:
        _replace_stem(net, in_channels)
    return Transfer(net, head, freeze == "backbone")


def _options(
    builder: object, name: str, size: int, weights: str | None, in_channels: int
) -> dict[str, object]:
    """What a net is built with: its input size where it is built for one, no second head."""
    module = inspect.getmodule(builder)
    assert module is not None
    text = inspect.getsource(module)
    options: dict[str, object] = {}
    if name.startswith("vit_"):
        options["image_size"] = size
    if name.startswith("maxvit"):
        options["input_size"] = (size, size)
    if "aux_logits" in text:
        pretrained = weights is not None
        options |= {"aux_logits": pretrained, "init_weights": not pretrained}
        # Their weights were trained on another scale than ImageNet's mean and deviation.
        options["transform_input"] = pretrained and in_channels == 3
    return options


def _load(net: nn.Module, weights: str, name: str) -> None:
    """Weights from a file, or by torchvision's name, into a net with its published head."""
    own = net.state_dict()
    file = Path(weights).expanduser()
    if file.is_dir():
        raise InvalidInput(
            f"model.params.weights: the folder {file} has no {name}.pth, .pt or .safetensors"
        )
    state = read_state(file) if file.is_file() else _download(weights, name)
    if "encoder.pos_embedding" in own and "encoder.pos_embedding" in state:
        state = _for_size(state, net)
    missing, foreign = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    shapes = [
        f"{key} {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
        for key in own.keys() & state.keys()
        if own[key].shape != state[key].shape
    ]
    if missing or foreign or shapes:
        raise InvalidInput(
            f"model.params.weights: {weights} is not of {name}: {_some('lacks', missing)}"
            f"{_some('has besides', foreign)}{_some('has of another shape', sorted(shapes))}"
            "give the weights of this net, or a folder with a file for each net, such as "
            f"{name}.pth"
        )
    if not next(net.parameters()).is_meta:
        net.load_state_dict(state)


def _for_size(state: dict[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """A vision transformer's weights, its positions brought to the size of this one's images."""
    from torchvision.models.vision_transformer import interpolate_embeddings

    size, patch = net.image_size, net.patch_size
    if state["encoder.pos_embedding"].is_meta or not isinstance(size, int):
        return state
    made = interpolate_embeddings(size, patch, OrderedDict(state))
    return dict(made)


def read_state(file: Path) -> dict[str, Tensor]:
    """A file of weights to tensors by name; never runs code from it."""
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            loaded: dict[str, Tensor] = load_file(file)
            return loaded
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the bytes make of it
        reason = "is empty" if file.stat().st_size == 0 else (str(error) or type(error).__name__)
        reason = reason.splitlines()[0]
        raise InvalidInput(f"model.params.weights: {file} cannot be read: {reason}") from None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InvalidInput(f"model.params.weights: {file} holds no state of tensors by name")
    return state


def _download(weights: str, name: str) -> dict[str, Tensor]:
    import torchvision

    known = torchvision.models.get_model_weights(name)
    names = [one.name for one in known]
    if weights not in [*names, "DEFAULT"]:
        raise InvalidInput(
            f"model.params.weights: '{weights}' is neither a file nor weights of torchvision's "
            f"{name}; these are {', '.join(names)}"
        )
    chosen = getattr(known, weights)
    try:
        state = dict(chosen.get_state_dict(progress=False, check_hash=True))
    except OSError as error:
        raise InvalidInput(
            f"model.params.weights: {weights} of {name} cannot be downloaded ({error}); give a file"
        ) from None
    return state


def _replace_head(net: nn.Module, name: str, num_classes: int) -> nn.Module:
    """Puts a new last layer in place of the net's own; returns it. Second heads are dropped."""
    if hasattr(net, "aux_logits"):
        setattr(net, "aux_logits", False)  # noqa: B010  # a switch, no module
        for second in SECOND_HEADS & dict(net.named_children()).keys():
            setattr(net, second, None)
    path, old = next(
        (path, module)
        for path, module in reversed([*net.named_modules()])
        if isinstance(module, nn.Linear | nn.Conv2d)
    )
    new: nn.Module
    if isinstance(old, nn.Conv2d):
        new = nn.Conv2d(old.in_channels, num_classes, old.kernel_size)  # type: ignore[arg-type]
    else:
        new = nn.Linear(old.in_features, num_classes)
    parent, _, last = path.rpartition(".")
    setattr(net.get_submodule(parent), last, new)
    return new


def _replace_stem(net: nn.Module, in_channels: int) -> None:
    """Gives the first convolution other input channels; its weights are summed over colour."""
    path, old = next(
        (path, module) for path, module in net.named_modules() if isinstance(module, nn.Conv2d)
    )
    new = nn.Conv2d(
        in_channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]
        old.stride,  # type: ignore[arg-type]
        old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    with torch.no_grad():
        grey = old.weight.sum(1, keepdim=True)
        new.weight.copy_((grey / in_channels).expand_as(new.weight))
        if old.bias is not None and new.bias is not None:
            new.bias.copy_(old.bias)
    parent, _, last = path.rpartition(".")
    setattr(net.get_submodule(parent), last, new)


def _some(what: str, keys: list[str]) -> str:
    if not keys:
        return ""
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return f"it {what} {', '.join(keys[:SHOWN])}{more}; "
