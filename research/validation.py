"""The second gate: a plan's names and parameters against the registries, all errors at once.

The first gate, the shape of a study, is `research.spec`. This one fills in every default as well,
so that two specs that mean the same have the same hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from research import registry
from research.design import Cell
from research.errors import InvalidInput, findings
from research.registry import Registry
from research.spec import DataRef, Input, Recipe, Ref
from research.study import Study

REGISTRIES: dict[str, Registry[Any]] = {
    "model": registry.models,
    "loss": registry.losses,
    "optim": registry.optimisers,
    "schedule": registry.schedules,
    "preprocess": registry.preprocessing,
    "augment": registry.augmentations,
}
MAX_TILED = 48  # pixels a side of the smallest images in use; a tile has two at least
Problem = tuple[str, str]  # dotted path in a spec, what is wrong there


def complete(recipe: Recipe, source: str) -> tuple[Recipe, list[Problem]]:
    """A recipe to (itself with every default filled in, what is wrong with it).

    ``source`` is the registered data source that the recipe's data is read by.
    """
    problems: list[Problem] = []
    changes: dict[str, Any] = {}
    for field in ("model", "loss", "optim", "schedule"):
        ref, found = REGISTRIES[field].check(getattr(recipe, field))
        changes[field] = ref if found else _with_digests(REGISTRIES[field], ref)
        problems += [(f"{field}.params.{name}" if name else field, text) for name, text in found]
    for field in ("preprocess", "augment"):
        changes[field], found = _complete_steps(field, getattr(recipe, field))
        problems += found
    changes["data"], found = _complete_data(recipe, source)
    problems += found
    done = recipe.model_copy(update=changes)
    later = (_check_folds, _check_crops, _check_channels, _check_strengths)
    return done, problems or [problem for check in later for problem in check(done)]


def complete_cells(study: Study, cells: Iterable[Cell], source: str) -> tuple[Cell, ...]:
    """Cells to themselves with full recipes; raises `InvalidInput` with every problem of all."""
    done, problems = [], []
    for cell in cells:
        recipe, found = complete(cell.recipe, source)
        done.append(replace(cell, recipe=recipe))
        problems += [_explain(study, cell, path, text) for path, text in found]
    # What every cell's factors hide is no less a mistake.
    problems += [f"base.{path}: {text}" for path, text in complete(study.base, source)[1]]
    if problems:
        raise InvalidInput(*problems)
    return tuple(done)


def _with_digests(kind: Registry[Any], ref: Ref) -> Ref:
    """A reference with the digest of every file that it names, by which the file is known."""
    params = dict(ref.params)
    for name in kind.entry(ref.name).declared.get("files", ()):
        file = _file_of(Path(str(params[name])).expanduser(), ref.name)
        if params[name] is not None and file.is_file():
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()[:32]
            params |= {name: str(file.resolve()), f"{name}_digest": digest}
    return Ref(name=ref.name, params=params)


def _file_of(path: Path, name: str) -> Path:
    """A file, or of a folder the one that is called after a component, such as resnet50.pth."""
    if not path.is_dir():
        return path
    stem = name.rpartition("/")[2]
    return next((file for file in sorted(path.iterdir()) if file.stem == stem), path)


def _complete_steps(field: str, steps: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Steps to (those that are on, with defaults, in order; what is wrong)."""
    made: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, params in steps.items():
        if params is None:
            continue
        ref, found = REGISTRIES[field].check(Ref(name=name, params=params))
        made[name] = ref.params
        problems += [
            (f"{field}.{name}.{inner}" if inner else f"{field}.{name}", text)
            for inner, text in found
        ]
    return made, problems


def _complete_data(recipe: Recipe, source: str) -> tuple[DataRef, list[Problem]]:
    """The data reference to (itself with size and channels decided, what is wrong)."""
    common = {name: v for name, v in recipe.data.params.items() if name in Input.model_fields}
    own = {name: v for name, v in recipe.data.params.items() if name not in common}
    problems: list[Problem] = []
    try:
        seen = Input.model_validate(common)
    except ValidationError as error:
        seen = Input()
        problems += [(f"data.params.{place}", text) for place, text in findings(error, Input)]
    if registry.models.holds(recipe.model.name):
        published = registry.models.entry(recipe.model.name).declared
        seen = Input.model_validate(
            {"size": published["size"], "channels": published["channels"]}
            | seen.model_dump(exclude_none=True)
        )
    entry = registry.sources.entry(source)
    for name, value in registry.understood(source, own).items():
        if name not in entry.params:
            text = f"the {registry.sources.kind} '{source}' has no parameter '{name}'"
            text += _choices(entry.params) + _elsewhere(name)
            problems.append((f"data.params.{name}", text))
            continue
        _, problem = entry.params[name].check(value)
        problems += [(f"data.params.{name}", problem)] if problem else []
    data = recipe.data.model_copy(update={"params": seen.model_dump() | own})
    return data, problems


def _elsewhere(name: str) -> str:
    """Which data sources have a parameter, as another set may have been given than was meant."""
    having = [one for one in registry.sources.names() if name in registry.sources.entry(one).params]
    return f"; it is one of {', '.join(having)}: is the data the right one?" if having else ""


def _check_folds(recipe: Recipe) -> list[Problem]:
    """A fold is one of so many."""
    params: dict[str, Any] = recipe.data.params
    folds, fold = params["folds"], params["fold"]
    if fold is None or (folds is not None and fold <= folds):
        return []
    if folds is None:
        text = f"{fold} of how many? give data.params.folds too"
    else:
        text = f"{fold} is more than the {folds} folds; give 1 to {folds}"
    return [("data.params.fold", text)]


def _check_crops(recipe: Recipe) -> list[Problem]:
    """Windows need images that are larger than they are."""
    size, canvas = recipe.data.params["size"], recipe.data.params["canvas"]
    room = (canvas or size) - size  # type: ignore[operator]
    if {"crop", "five_crop"} <= recipe.augment.keys():
        return [("augment.crop", "five_crop takes its own windows; leave one of the two out")]
    if room < 0:
        return [("data.params.canvas", f"{canvas} is less than the size of {size}; give more")]
    if room:
        return []
    cure = f"needs data.params.canvas, larger than the size of {size}"
    problems = []
    if recipe.test.views == "ten_crop":
        problems.append(("test.views", f"ten_crop {cure}"))
    if "five_crop" in recipe.augment:
        problems.append(("augment.five_crop", cure))
    if "crop" in recipe.augment and not (recipe.augment["crop"] or {}).get("padding"):
        problems.append(("augment.crop", f"{cure}, or padding"))
    return problems


def _check_channels(recipe: Recipe) -> list[Problem]:
    """Scaling takes one number, or one a channel."""
    channels = recipe.data.params["channels"]
    return [
        (
            f"preprocess.normalize.{name}",
            f"{len(value)} numbers for {channels} channel{'s' if channels != 1 else ''}; give one, "
            "or one a channel",
        )
        for name, value in (recipe.preprocess.get("normalize") or {}).items()
        if isinstance(value, list) and len(value) not in (1, channels)
    ]


def _check_strengths(recipe: Recipe) -> list[Problem]:
    """Numbers that only together make no sense."""
    problems = []
    erasing: dict[str, Any] = recipe.augment.get("erasing") or {}
    if erasing and erasing["scale_min"] > erasing["scale_max"]:
        text = f"{erasing['scale_min']} is more than scale_max, {erasing['scale_max']}"
        problems.append(("augment.erasing.scale_min", text))
    if (recipe.augment.get("resized_crop") or {}).get("scale") == 0:
        problems.append(("augment.resized_crop.scale", "0 leaves no pixel; give more, up to 1"))
    tiles: Any = (recipe.preprocess.get("clahe") or {}).get("tiles", 1)
    if tiles * 2 > MAX_TILED:
        problems.append(
            ("preprocess.clahe.tiles", f"{tiles} a side; give at most {MAX_TILED // 2}")
        )
    return problems


def _choices(own: Iterable[str]) -> str:
    return f"; choose from {', '.join([*Input.model_fields, *own])}"


def _explain(study: Study, cell: Cell, path: str, text: str) -> str:
    """A problem at a path of a cell, with the place in the study that put it there.

    Where one factor chose the component and another the parameter, both are named.
    """
    if path.split(".")[0] in study.context.get(cell.name, {}):
        return f"context.{cell.name}: {path}: {text}"
    setters = [
        (name, inner)
        for name, level in cell.levels.items()
        for inner in study.factors[name].assignments(level)
        if path == inner or path.startswith(inner + ".")
    ]
    if not setters:
        return f"base.{path}: {text}"
    *choosers, (name, _) = sorted(setters, key=lambda setter: setter[1].count("."))
    also = "".join(
        f"; {inner} was chosen by factors.{other}.levels.{cell.levels[other]}"
        for other, inner in choosers
    )
    return f"factors.{name}.levels.{cell.levels[name]}: {path}: {text}{also}"
