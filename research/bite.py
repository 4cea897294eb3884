"""Whether an ablation bites: what differs between a cell and the control before any training.

Both are built from one seed and shown the same few images: a part that was never really removed
computes the same, and a cell that changes more than its factor says is seen too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from research.arithmetic import Arithmetic, reproducible
from research.assembly import assemble, input_of
from research.augment.mixing import Mixed
from research.data import Splits
from research.data.folds import used
from research.design import Cell, changes, seeded
from research.errors import InvalidInput
from research.inspection import count
from research.planning import Bite, Plan
from research.preprocess import apply_once
from research.spec import Input, Recipe, flatten
from research.study import Study

IMAGES = 16
SEED = 1
RARE = 0.5  # a smaller probability of an augmentation may leave a batch as it is
LARGE_MACS = 2e9  # a net of more for an image is not computed, only counted
# Which parts of a training a path of a recipe is meant to change.
MEANT = {
    "model": ("net",),
    "loss": ("loss",),
    "optim": ("optimiser",),
    "schedule": ("schedule",),
    "preprocess": ("input", "batch"),
    "augment": ("batch",),
    "data": ("input", "batch", "net", "training"),
    "training": ("training",),
    "test": ("test",),
}
SPECIFIED = {"optimiser": "optim", "schedule": "schedule", "training": "training", "test": "test"}


@dataclass(frozen=True)
class Probe:
    """What a recipe computes of a few images."""

    parameters: int
    layers: Counter[str]
    answers: Tensor | None  # of the net as it is initialised; None where that takes too long
    alike: Tensor | None  # the same with the control's weights, as far as they fit
    weights: Mapping[str, Tensor]
    loss: float
    input: Tensor
    batch: tuple[Tensor, ...]
    soft: bool  # whether there are soft labels beside the labels
    digest: str  # of the data


def bites(plan: Plan) -> dict[str, Bite]:
    """A plan to what each of its cells changes, by the cell's name.

    Raises `InvalidInput` for a contrast that changes nothing where its factors should.
    """
    study, cells = plan.study, plan.cells
    data = {run.cell.name: plan.data[run.data_digest] for run in plan.runs}
    control, *others = cells
    probes: dict[str, Probe] = {}

    paths = study.nuisance.paths if study.nuisance else ()
    tuned = {part for path in paths for part in MEANT[path.split(".")[0]]}
    mine = probe(control.recipe, data[control.name])
    probes[control.recipe.spec_hash] = mine

    def probe_of(cell: Cell) -> Probe:
        known = cell.recipe.spec_hash
        if known not in probes:
            made = probe(cell.recipe, data[cell.name], mine.weights)
            probes[known] = replace(made, weights={})
        return probes[known]

    found: dict[str, Bite] = {}
    problems = []
    for cell in others:
        differs = _differences(mine, probe_of(cell), control.recipe, cell.recipe)
        meant = _meant(study, control, cell)
        beyond = tuple(one for one in differs if one not in meant | tuned)
        found[cell.name] = Bite(differs, beyond)
        if cell.role == "contrast" and not meant & differs.keys():
            names = ", ".join(changes(study, control.levels, cell.levels))
            problems.append(
                f"cell '{cell.name}': takes no effect: on this data and input its "
                f"{' and '.join(sorted(meant))} compute what the control's compute; leave "
                f"{names} out (--factors), or change its levels{_cure(meant, mine)}"
            )
    if problems:
        raise InvalidInput(*problems)
    return found


def _cure(meant: set[str], mine: Probe) -> str:
    """What may be missing where a part of the training takes no effect."""
    if "training" not in meant or mine.soft:
        return ""
    return " (training.labels_from needs soft labels, such as FER+'s: fer2013new.csv)"


def probe(recipe: Recipe, splits: Splits, weights: Mapping[str, Tensor] | None = None) -> Probe:
    """A complete recipe to what it computes of a few training images, on the CPU in fp32.

    ``weights`` are the control's.
    """
    kept = used(splits, recipe.data.params)
    rows = np.linspace(0, len(kept.train) - 1, min(IMAGES, len(kept.train))).astype(np.int64)
    few = kept.train.take(rows)
    images = apply_once(np.array(few.images), recipe.preprocess)  # type: ignore[arg-type]
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    classes = len(splits.classes)
    labels = torch.arange(len(few)) % classes
    device = torch.device("cpu")
    cost = count(recipe, classes)
    with reproducible(device, "fp32"), torch.no_grad():
        state = assemble(seeded(recipe, SEED), kept, Arithmetic(device, "fp32", "contiguous"))
        plain = state.view.plain(pixels)
        own = {name: one.clone() for name, one in state.net.state_dict().items()}
        answers = alike = None
        if cost.macs <= LARGE_MACS:
            answers = alike = _answers(state.net, plain)
            if weights is not None:
                fitting = {n: w for n, w in weights.items() if n in own and own[n].shape == w.shape}
                state.net.load_state_dict(own | fitting)
                alike = _answers(state.net, plain)
        generator = torch.Generator().manual_seed(SEED)
        logits = 3 * torch.randn((len(labels), classes), generator=generator)
        seen, targets = state.view.augmented(pixels, labels, generator, progress=0.0)
        return Probe(
            parameters=cost.parameters,
            layers=Counter(type(m).__name__ for m in state.net.modules() if not [*m.children()]),
            answers=answers,
            alike=alike,
            weights=own,
            loss=float(state.loss(logits, labels)),
            input=plain,
            batch=(seen, *_mixing(targets)),
            soft=kept.train.soft_labels is not None,
            digest=splits.digest,
        )


def _answers(net: torch.nn.Module, images: Tensor) -> Tensor:
    torch.manual_seed(SEED)  # of dropout
    answers: Tensor = net.train()(images)
    return answers


def _differences(mine: Probe, other: Probe, before: Recipe, after: Recipe) -> dict[str, str]:
    """Every part that differs, with a few words."""
    same_input = _same(mine.input, other.input)
    found: dict[str, str] = {}
    if before.model != after.model or not same_input:
        found["net"] = _net(mine, other, same_input=same_input)
    if abs(mine.loss - other.loss) > 1e-6 * max(1.0, abs(mine.loss)):
        found["loss"] = f"{mine.loss:.3f} to {other.loss:.3f} on a fixed batch"
    if not same_input:
        sizes = " x ".join(map(str, input_of(before))), " x ".join(map(str, input_of(after)))
        found["input"] = "other pixels" if sizes[0] == sizes[1] else f"{sizes[0]} to {sizes[1]}"
    alike = [_same(one, two) for one, two in zip(mine.batch, other.batch, strict=False)]
    if len(mine.batch) != len(other.batch) or not all(alike):
        found["batch"] = "another batch of the same images"
    elif before.augment != after.augment and _is_rare(before) | _is_rare(after):
        found["batch"] = "specified otherwise (too rare to be seen here)"
    for part, field in SPECIFIED.items():
        found[part] = _specified(getattr(before, field), getattr(after, field))
    if not (mine.soft or other.soft):  # to be mixed with the labels
        hard = [one.training.model_copy(update={"labels_from": None}) for one in (before, after)]
        found["training"] = _specified(*hard)
    limits = {n: (before.data.params.get(n), after.data.params.get(n)) for n in after.data.params}
    moved = [n for n, (a, b) in limits.items() if a != b and n not in ("size", "channels")]
    if mine.digest == other.digest:  # what its source was told made no difference
        moved = [name for name in moved if name in Input.model_fields]
    if moved and "input" not in found and "batch" not in found:
        found["training"] = ", ".join([*filter(None, [found["training"]]), *moved])
    return {part: text for part, text in found.items() if text}


def _is_rare(recipe: Recipe) -> bool:
    """Whether an augmentation happens to few images, so that a small batch may have none."""
    steps: list[dict[str, Any]] = [params or {} for params in recipe.augment.values()]
    return any(0 < params.get("p", 1) < RARE for params in steps)


def _net(mine: Probe, other: Probe, *, same_input: bool) -> str:
    more = other.parameters - mine.parameters
    parts = [f"{more:+,} parameters".replace("-", "−")] if more else []
    parts += [f"{name} {mine.layers[name]} to {other.layers[name]}" for name in _moved(mine, other)]
    if mine.answers is None or other.answers is None:
        return "; ".join(parts) or "specified otherwise (too large to be compared here)"
    if not same_input:
        return "; ".join(parts)
    if _same(mine.answers, other.answers) and not more:
        return ""
    if other.alike is not None and _same(mine.answers, other.alike):
        parts.append("the same answers with the same weights")
    return "; ".join(parts) or "other answers"


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-4, atol=1e-4)


def _moved(mine: Probe, other: Probe) -> list[str]:
    names = sorted(mine.layers.keys() | other.layers.keys())
    return [name for name in names if mine.layers[name] != other.layers[name]]


def _specified(before: Any, after: Any) -> str:
    """What two parts of recipes state differently."""
    one, two = (flatten(part.model_dump(mode="json")) for part in (before, after))
    names = [name for name in one | two if one.get(name) != two.get(name)]
    return ", ".join(
        f"{name.removeprefix('params.')} {one.get(name)} to {two.get(name)}" for name in names
    )


def _meant(study: Study, control: Cell, cell: Cell) -> set[str]:
    """The parts that a cell's factors, or a context cell's paths, are meant to change."""
    if cell.role == "context" and not cell.levels:
        paths = set(study.context.get(cell.name, {}))
    else:
        paths = {
            path
            for name in {*cell.levels, *control.levels}
            if cell.levels.get(name) != control.levels.get(name)
            for path in study.factors[name].paths
        }
    return {part for path in paths for part in MEANT[path.split(".")[0]]}


def _mixing(targets: Tensor | Mixed) -> list[Tensor]:
    if isinstance(targets, Tensor):
        return [targets]
    return [targets.first, targets.second, torch.as_tensor(targets.lam)]
