"""A spec and its data to a training that is ready to start: net, loss, optimiser, views."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from research import registry
from research.arithmetic import Arithmetic, seeds
from research.augment.view import View
from research.averaging import MovingAverage
from research.data import Splits
from research.data.cache import kept
from research.losses import build_loss
from research.models import build_model
from research.preprocess import Images, Steps, apply_once, is_slow, steps_once
from research.spec import Recipe, RunSpec
from research.training import Resident, State

BACKEND = "inductor"
KEPT_SPLITS = 6  # two preprocessings of three splits
_kept: OrderedDict[str, Resident] = OrderedDict()


def assemble(spec: RunSpec, splits: Splits, arithmetic: Arithmetic) -> State:
    """A complete spec to its state before the first epoch; seeds torch's global generator."""
    streams = seeds(spec.seed)
    size, channels = input_of(spec)
    torch.manual_seed(streams["init"])
    net = build_model(
        spec.model.name,
        len(splits.classes),
        size=size,
        in_channels=channels,
        **spec.model.params,
    )
    net = arithmetic.place(net)
    decay = spec.training.average
    loss = build_loss(
        spec.loss.name, class_counts=splits.class_counts().tolist(), **spec.loss.params
    )
    optimizer = registry.optimisers.get(spec.optim.name)(net.parameters(), **spec.optim.params)
    schedule = registry.schedules.get(spec.schedule.name)
    torch.manual_seed(streams["dropout"])
    return State(
        net=net,
        loss=loss.to(arithmetic.device),
        optimizer=optimizer,
        schedule=schedule(spec.training.epochs, **spec.schedule.params),
        view=view_of(spec),
        arithmetic=arithmetic,
        training=spec.training,
        order=torch.Generator().manual_seed(streams["order"]),
        augment=torch.Generator().manual_seed(streams["augment"]),
        average=None if decay is None else MovingAverage(net, decay),
        compiled=_compiled(net) if spec.training.compile == "on" else None,
    )


def _compiled(net: torch.nn.Module) -> Callable[[Tensor], Tensor]:
    """The same net, its weights shared, compiled when it is first called.

    What was compiled before in this process is forgotten: after eight nets of one class the
    compiler would leave the rest as they are.
    """
    torch.compiler.reset()
    made: Callable[[Tensor], Tensor] = torch.compile(net, dynamic=False, backend=BACKEND)
    return made


def input_of(recipe: Recipe) -> tuple[int, int]:
    """A complete recipe to the side in pixels and the channels that its net takes."""
    size, channels = recipe.data.params["size"], recipe.data.params["channels"]
    assert isinstance(size, int) and isinstance(channels, int)
    return size, channels


def view_of(recipe: Recipe) -> View:
    """A complete recipe to what its net sees of an image."""
    size, channels = input_of(recipe)
    canvas: int | None = recipe.data.params["canvas"]  # type: ignore[assignment]
    return View(size, channels, recipe.preprocess, recipe.augment, canvas)  # type: ignore[arg-type]


def preprocessed(images: Images, steps: Steps) -> tuple[Images, dict[str, float]]:
    """Images through the steps that are done once, and the share that each slow one changed.

    A slow step looks for something, and leaves an image as it is where it does not find it.
    """
    shares = {}
    for name, params in steps_once(steps).items():
        one = {name: params}
        made = kept(images, one, apply_once) if is_slow(name) else apply_once(images, one)
        if is_slow(name):
            pairs = zip(images, made, strict=True)
            shares[name] = float(np.mean([not np.array_equal(*pair) for pair in pairs]))
        images = made
    return images, shares


def resident(splits: Splits, name: str, recipe: Recipe, device: torch.device) -> Resident:
    """One split of a recipe's images, preprocessed, on the device; the last few are kept."""
    once = steps_once(recipe.preprocess)  # type: ignore[arg-type]
    split = getattr(splits, name)
    part = [recipe.data.params[param] for param in ("folds", "fold")]
    key = json.dumps([splits.digest, name, len(split), part, list(once.items()), str(device)])
    if key not in _kept:
        images, _ = preprocessed(split.images, once)
        _kept[key] = Resident.put(images, split.labels, device, split.soft_labels)
        while len(_kept) > KEPT_SPLITS:
            _kept.popitem(last=False)
    _kept.move_to_end(key)
    return _kept[key]
