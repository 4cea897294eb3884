"""What a recipe costs before it is run: parameters, MACs, seconds; and the fastest arithmetic.

Timings are of real training steps on the study's own data; nothing is tracked.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from research import registry
from research.arithmetic import Arithmetic
from research.assembly import input_of, view_of
from research.data import Splits
from research.data.folds import used
from research.errors import InvalidInput
from research.losses import build_loss
from research.models import check_size, shape_only
from research.probing import as_it_is, quickest
from research.project import cache_folder
from research.provenance import PACKAGE, hardware, source_digest
from research.registry import Entry
from research.spec import Recipe, Ref, content_hash

VIEWS = {"single": 1, "flip": 2, "ten_crop": 10}
PROBE_GAIN = 1.05  # what another arithmetic must gain over plain fp32 to be worth a choice
BYTES_PER_PARAMETER = 4
log = logging.getLogger("research")
CLASSES = 7  # of FER2013, which published sizes are told for


@dataclass(frozen=True)
class Cost:
    """Of one cell: parameters, MACs an image, and the seconds and bytes of one run."""

    parameters: int
    macs: int
    run_s: float | None = None
    weights_bytes: int = 0


def count(recipe: Recipe, num_classes: int) -> Cost:
    """A complete recipe to its net's size; refuses an input size that the net cannot take."""
    size, channels = input_of(recipe)
    return _count(recipe.model.model_dump_json(), num_classes, size, channels)


def check_buildable(recipe: Recipe, splits: Splits) -> None:
    """Refuses a complete recipe whose net, loss, optimiser or schedule cannot be made."""
    classes = len(splits.classes)
    count(recipe, classes)
    check_sides(recipe, classes)
    counts = splits.class_counts().tolist()
    weight = torch.nn.Parameter(torch.zeros(1))
    params = {name: ref.params for name, ref in _parts(recipe).items()}
    try:
        loss = build_loss(recipe.loss.name, class_counts=counts, **params["loss"])
        loss(torch.zeros(2, classes), torch.zeros(2, dtype=torch.long))
        registry.optimisers.get(recipe.optim.name)([weight], **params["optim"])
        schedule = registry.schedules.get(recipe.schedule.name)
        schedule(recipe.training.epochs, **params["schedule"])(0.0, [])
    except (ValueError, RuntimeError, ArithmeticError) as error:
        names = ", ".join(f"{part} {ref.name}" for part, ref in _parts(recipe).items())
        raise InvalidInput(f"of {names}: {str(error).splitlines()[0]}") from None


def check_sides(recipe: Recipe, num_classes: int) -> None:
    """Refuses small images in training where a net takes one size only."""
    size, channels = input_of(recipe)
    smallest = view_of(recipe).side(0.0)
    if smallest == size:
        return
    net = shape_only(recipe.model, num_classes, size, channels).eval()
    try:
        net(torch.empty(1, channels, smallest, smallest, device="meta"))
    except (RuntimeError, ValueError, AssertionError):
        raise InvalidInput(
            f"augment.progressive: {recipe.model.name} as set here takes images of {size} x {size} "
            f"alone, not of {smallest} x {smallest}; take it out, raise start, or end the net in "
            "global pooling"
        ) from None


def _parts(recipe: Recipe) -> dict[str, Ref]:
    return {"loss": recipe.loss, "optim": recipe.optim, "schedule": recipe.schedule}


@functools.lru_cache(maxsize=256)
def _count(model: str, num_classes: int, size: int, channels: int) -> Cost:
    ref = Ref.model_validate_json(model)
    check_size(ref, num_classes, size, channels)
    net = shape_only(ref, num_classes, size, channels).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.empty(1, channels, size, size, device="meta"))
    parameters = sum(parameter.numel() for parameter in net.parameters())
    buffers = sum(buffer.numel() for buffer in net.buffers())
    return Cost(
        parameters=parameters,
        macs=counter.get_total_flops() // 2,
        weights_bytes=(parameters + buffers) * BYTES_PER_PARAMETER,
    )


def published(names: Iterable[str]) -> list[dict[str, Any]]:
    """Models as published: family, input, parameters and MACs with 7 classes, factors."""
    rows = []
    for name in names:
        entry = registry.models.entry(name)
        cost = _published_cost(entry)
        rows.append(
            {
                "name": entry.name,
                "family": entry.declared["family"],
                "size": entry.declared["size"],
                "channels": entry.declared["channels"],
                "parameters": cost["parameters"],
                "macs": cost["macs"],
                "factors": list(entry.declared["factors"]),
                "about": entry.about,
            }
        )
    return rows


def _published_cost(entry: Entry) -> dict[str, int]:
    """A model's size as published; counted once for each state of its source, then remembered."""
    ref, _ = registry.models.check(Ref(name=entry.name))
    known = content_hash([entry.name, registry.code_digest(Recipe(model=ref)), torch.__version__])
    file = cache_folder() / "models" / f"{known}.json"
    try:
        remembered: dict[str, int] = json.loads(file.read_text(encoding="utf-8"))
        return remembered
    except (OSError, ValueError):
        cost = _count(
            ref.model_dump_json(), CLASSES, entry.declared["size"], entry.declared["channels"]
        )
    counted = {"parameters": cost.parameters, "macs": cost.macs}
    with contextlib.suppress(OSError):  # it can be counted again
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(counted), encoding="utf-8")
    return counted


@dataclass(frozen=True)
class Layer:
    """One layer of a net: its place, what it is, the shape it gives, parameters, MACs an image."""

    path: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    macs: int


def layers(name: str, num_classes: int = CLASSES) -> list[Layer]:
    """A model's name to its layers as published, in the order in which they compute."""
    entry = registry.models.entry(name)
    ref, _ = registry.models.check(Ref(name=name))
    size, channels = entry.declared["size"], entry.declared["channels"]
    net = shape_only(ref, num_classes, size, channels).eval()
    shapes: dict[str, tuple[int, ...]] = {}
    leaves = {path: m for path, m in net.named_modules() if path and not [*m.children()]}
    names = {module: path for path, module in leaves.items()}

    def note(module: nn.Module, _: object, out: torch.Tensor) -> None:
        shapes.setdefault(names[module], tuple(out.shape[1:]))

    for module in names:
        module.register_forward_hook(note)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.empty(1, channels, size, size, device="meta"))
    flops = {
        path.partition(".")[2]: sum(each.values())
        for path, each in counter.get_flop_counts().items()
    }
    return [
        Layer(
            path=path,
            kind=type(leaves[path]).__name__,
            shape=shape,
            parameters=sum(p.numel() for p in leaves[path].parameters(recurse=False)),
            macs=flops.get(path, 0) // 2,
        )
        for path, shape in shapes.items()
    ]


def estimate_run_s(recipe: Recipe, splits: Splits, arithmetic: Arithmetic) -> float:
    """Seconds that one run of a complete recipe takes, from a few measured steps."""
    kept = used(splits, recipe.data.params)
    trained_s, image_s = as_it_is(recipe, kept, arithmetic)
    trained_s *= view_of(recipe).area()  # steps are measured on whole images
    epoch_s = len(kept.train) * trained_s + len(kept.val) * image_s
    views = VIEWS[recipe.test.views]
    return recipe.training.epochs * epoch_s + (len(kept.val) + len(kept.test)) * image_s * views


def choose_arithmetic(recipe: Recipe, splits: Splits, device: torch.device) -> dict[str, str]:
    """A complete recipe to the precision and layout that its ``auto`` values stand for.

    What is not ``auto`` is kept. Plain fp32 is left only for a gain of 5 %.
    """
    check_buildable(recipe, splits)
    training = recipe.training
    tried: tuple[str, ...] = precisions(device)
    if training.precision != "auto":
        tried = (training.precision,)
    layouts: tuple[str, ...] = ("contiguous", "channels_last")
    if training.memory_format != "auto":
        layouts = (training.memory_format,)
    options = [Arithmetic(device, p, m) for p in tried for m in layouts]  # type: ignore[arg-type]
    if len(options) == 1:
        return _named(options[0])
    kept = used(splits, recipe.data.params)
    return _named(options[quickest([(recipe, way) for way in options], kept, gain=PROBE_GAIN)])


def remembered_arithmetic(
    declared: str, recipe: Recipe, splits: Splits, device: torch.device
) -> dict[str, str]:
    """`choose_arithmetic`, measured once on a machine: a plan and its runs choose alike.

    ``declared`` is the hash of what it is decided by.
    """
    return _remembered(declared, device, lambda: choose_arithmetic(recipe, splits, device))


def steps_of(recipe: Recipe, splits: Splits) -> int:
    """Optimiser steps of one run of a complete recipe."""
    images = len(used(splits, recipe.data.params).train)
    return recipe.training.epochs * math.ceil(images / recipe.training.batch_size)


def choose_compile(
    declared: str, recipe: Recipe, splits: Splits, device: torch.device
) -> Literal["on", "off"]:
    """Whether compiling pays for a complete recipe, its precision and layout chosen.

    ``declared`` is the hash of what its arithmetic is decided by. It is compiled to be measured, on
    a machine that has a compiler, which takes a minute or more, once.
    """
    kept = used(splits, recipe.data.params)
    if len(kept.train) < recipe.training.batch_size:
        return "off"

    def measure() -> dict[str, str]:
        log.warning("measuring whether compiling pays: a minute or more, once for this machine")
        training = recipe.training
        arithmetic = Arithmetic(device, training.precision, training.memory_format)  # type: ignore[arg-type]
        tried: tuple[Literal["on", "off"], ...] = ("off", "on")
        ways = [(recipe.override({"training.compile": way}), arithmetic) for way in tried]
        return {"compile": tried[quickest(ways, kept, gain=PROBE_GAIN, whole=True)]}

    try:
        found = _remembered(f"compile {declared}", device, measure)
    except Exception as error:  # of the compiler that it needs, whatever it says
        log.warning("not compiled: %s", (str(error) or type(error).__name__).splitlines()[0])
        return "off"
    return "on" if found["compile"] == "on" else "off"


def _remembered(
    declared: str, device: torch.device, measure: Callable[[], dict[str, str]]
) -> dict[str, str]:
    """What was measured on this machine, or is now."""
    if device.type == "cpu":
        about = hardware()
        name = f"{about['processor']}, {about['cores']} cores, {', '.join(precisions(device))}"
    else:
        name = torch.cuda.get_device_name(device)
    code = source_digest({PACKAGE / "arithmetic.py": frozenset()})
    known = content_hash([declared, name, torch.__version__, code])
    file = cache_folder() / "arithmetic" / f"{known}.json"
    try:
        remembered: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        return remembered
    except (OSError, ValueError):
        chosen = measure()
    with contextlib.suppress(OSError):  # it can be measured again
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(chosen), encoding="utf-8")
    return chosen


def _named(arithmetic: Arithmetic) -> dict[str, str]:
    return {"precision": arithmetic.precision, "memory_format": arithmetic.memory_format}


def precisions(device: torch.device) -> tuple[Literal["fp32", "bf16"], ...]:
    """What is worth a probe: bf16 without instructions of its own can be 20 times slower."""
    if device.type == "cuda":
        return ("fp32", "bf16") if torch.cuda.is_bf16_supported(False) else ("fp32",)
    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    native = able.get("avx512_bf16") or able.get("amx_bf16") or able.get("bf16")
    return ("fp32", "bf16") if native else ("fp32",)
