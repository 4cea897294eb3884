"""Studies by name, model or path: YAML files to `Study`, and a study for a model without a file."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from research import registry
from research.errors import InvalidInput, findings, suggest
from research.project import Project, shipped_studies
from research.registry import Entry
from research.space import Dimension
from research.spec import Frozen, Recipe
from research.study import Study
from research.yaml_source import Lines, parse_yaml, read_yaml

TOUR_SIDE = 64
# A component, a factor, a variant, a context cell, a profile is replaced, not merged.
WHOLE = re.compile(
    r"base\.(model|loss|optim|schedule)|(factors|variants|context|profiles|search)\.[^.]+"
)
REMOVABLE = re.compile(r"(factors|variants|context|search)\.[^.]+")
TEMPLATE = "default"  # the study that a model without one of its own gets, with its factors added


@dataclass(frozen=True)
class Origin:
    """Where a study was read: its file and the line of each place in it.

    ``extended`` is where the study that it extends was read; ``asked`` are the paths of a recipe
    that were set afterwards, each with the option or the place of a profile that set it.
    """

    file: Path
    lines: Lines
    extended: Origin | None = None
    asked: Mapping[str, str] = field(default_factory=dict)

    def locate(self, problem: str) -> str:
        """``factors.x: wrong`` to ``file:12: factors.x: wrong``, where the place has a line."""
        place = re.split(r":?\s", problem, maxsplit=1)[0].rstrip(":")
        bare = place.removeprefix("base.")
        for path, setter in self.asked.items():
            if bare == path or bare.startswith(f"{path}."):
                if setter == f"--{path}":
                    return f"--{problem}"
                if setter.startswith("--"):
                    return f"{setter} {problem.removeprefix('base.')}"
                place = f"{setter}.{path}"
        found = self._find(place)
        if found is None and place.split(".")[0] in Recipe.model_fields:  # a recipe by itself
            found = self._find(f"base.{place}")
        return f"{found[0]}:{found[1]}: {problem}" if found else problem

    def _find(self, place: str) -> tuple[Path, int] | None:
        """The file and line of a place, or of the innermost that holds it; this file's first."""
        while place:
            origin: Origin | None = self
            while origin is not None:
                if place in origin.lines:
                    return origin.file, origin.lines[place]
                origin = origin.extended
            place = place.rpartition(".")[0]
        return None

    @contextlib.contextmanager
    def locating(self) -> Iterator[None]:
        """Adds file and line to the problems that are raised inside."""
        try:
            yield
        except InvalidInput as error:
            raise InvalidInput(*map(self.locate, error.problems)) from None


def study_names(project: Project) -> dict[str, Path]:
    """Every study's name and file; the project's own hide shipped ones of the same name."""
    found: dict[str, Path] = {}
    for folder in project.studies:
        for file in sorted(folder.glob("*.yaml")):
            if file.stem != TEMPLATE:
                found.setdefault(file.stem, file)
    return dict(sorted(found.items()))


def load_study(name: str, project: Project) -> tuple[Study, Origin]:
    """A study's name, a model's name or a path to the study; raises `InvalidInput`."""
    if name.endswith((".yaml", ".yml")) or ("/" in name and not registry.models.holds(name)):
        return read_study(Path(name).expanduser())
    known = study_names(project)
    if name in known:
        study, origin = read_study(known[name])
        if study.name != name:
            raise InvalidInput(
                origin.locate(f"name: '{study.name}' stands in {name}.yaml; call both the same")
            )
        return study, origin
    if registry.models.holds(name):
        return default_study(name, project)
    near = suggest(name, {*known, *registry.models.names()})
    if "did you mean" not in near:
        near = "; research studies and research models list them"
    raise InvalidInput(f"'{name}' is neither a study nor a model{near}")


def read_study(file: Path) -> tuple[Study, Origin]:
    """A YAML file to its study; every error names the file, the line and the nearest name."""
    return _validated(*_content(file, ()))


def _content(file: Path, above: tuple[Path, ...]) -> tuple[dict[str, Any], Origin]:
    """A file's content, merged into that of the study that it extends."""
    content, lines = read_yaml(file)
    name = content.pop("extends", None)
    if name is None:
        return content, Origin(file, lines)
    here = Origin(file, lines)
    folders = dict.fromkeys([file.parent, shipped_studies()])
    known = {one.stem: one for folder in reversed(folders) for one in sorted(folder.glob("*.yaml"))}
    if str(name) not in known:
        choices = suggest(str(name), set(known) - {TEMPLATE, file.stem})
        raise InvalidInput(here.locate(f"extends: no study '{name}' to extend{choices}"))
    chain = (*above, file.resolve())
    if known[str(name)].resolve() in chain:
        text = f"extends: '{name}' extends this study in turn; give one of the two another name"
        raise InvalidInput(here.locate(text))
    below, origin = _content(known[str(name)], chain)
    if "name" not in content:
        raise InvalidInput(f"{file}:1: name: is required and not given")
    for own in ("title", "about"):
        below.pop(own, None)  # of another question
    with here.locating():
        return _merged(below, content), Origin(file, lines, origin)


def _merged(below: dict[str, Any], above: dict[str, Any], place: str = "") -> dict[str, Any]:
    """A mapping with another's values in it; mappings are merged, null takes away."""
    made = dict(below)
    for name, value in above.items():
        here = f"{place}{name}"
        both = isinstance(value, dict) and isinstance(made.get(name), dict)
        if value is None and here.startswith("fixed."):
            made[name] = None  # a path's value: what it names is left out of every cell
        elif value is None:
            if name not in made and REMOVABLE.fullmatch(here):
                raise InvalidInput(f"{here}: there is none to take away{suggest(name, made)}")
            made.pop(name, None)
        elif both and not WHOLE.fullmatch(here):
            made[name] = _merged(made[name], value, f"{here}.")
        else:
            made[name] = value
    return made


def default_study(model: str, project: Project) -> tuple[Study, Origin]:
    """A model to a study of the factors that its builder declares and those of the template."""
    file = _template(project)
    content, lines = read_yaml(file)
    entry = registry.models.entry(model)
    declared = {name: _factor(entry, name) for name in entry.declared["factors"]}
    content.pop("search", None)  # is looked up when a search is asked for
    content |= {
        "name": entry.name.replace("/", "_"),
        "title": f"What each part of {entry.name} is worth",
        "base": {**content["base"], "model": entry.name},
        "factors": {**declared, **content["factors"]},
    }
    content["profiles"]["quick"]["set"] |= _small(entry)
    return _validated(content, Origin(file, lines))


def template_search(recipe: Recipe, project: Project) -> dict[str, Dimension]:
    """The template's dimensions of a search, but for those that a recipe has no place for."""
    content, lines = read_yaml(_template(project))
    known = registry.models.entry(recipe.model.name).params
    try:
        found = Searched.model_validate({"search": content.get("search", {})}).search
    except ValidationError as error:
        origin = Origin(_template(project), lines)
        problems = [origin.locate(f"{at}: {text}") for at, text in findings(error, Searched)]
        raise InvalidInput(*problems) from None
    return {
        name: dimension
        for name, dimension in found.items()
        if not (dimension.path or "").startswith("model.params.")
        or (dimension.path or "").removeprefix("model.params.") in known
    }


class Searched(Frozen):
    """What of a template is about a search."""

    search: dict[str, Dimension]


def _template(project: Project) -> Path:
    return next(
        folder / f"{TEMPLATE}.yaml"
        for folder in project.studies
        if (folder / f"{TEMPLATE}.yaml").is_file()
    )


def _small(entry: Entry) -> dict[str, Any]:
    """What makes a tour of a model short: few pixels, half of the width where it has one."""
    size = {"data.params.size": min(TOUR_SIDE, entry.declared["size"])}
    return size | ({"model.params.width": 0.5} if "width" in entry.params else {})


def _factor(entry: Entry, name: str) -> dict[str, Any]:
    """What a builder declares of a factor to a whole factor, the rest read off the parameter.

    A parameter of its name, if it has no path of its own; both values of a switch, every word of a
    choice, half a chance and none of a fraction; the default as control.
    """
    declared = dict(entry.declared["factors"][name])
    if "path" in declared or name not in entry.params:
        return declared
    default = entry.params[name].default
    levels = declared.get("levels", entry.params[name].choices)
    if isinstance(default, bool):
        levels = {"present": True, "absent": False}
    elif isinstance(default, float) and "levels" not in declared:
        levels = {"present": default, "absent": 0.0}
    elif not isinstance(levels, dict):
        levels = {str(value): value for value in levels}
    control = next(level for level, value in levels.items() if value == default)
    others = [level for level in levels if level != control]
    removed = {"removed": others[0]} if len(others) == 1 else {}
    path = f"model.params.{name}"
    return {"path": path, "control": control, **removed, **declared, "levels": levels}


def _validated(content: dict[str, Any], origin: Origin) -> tuple[Study, Origin]:
    try:
        return Study.model_validate(content), origin
    except ValidationError as error:
        problems = [f"{place}: {text}" for place, text in findings(error, Study)]
    raise InvalidInput(*(origin.locate(problem) for problem in problems))


def parse_changes(pairs: list[str]) -> dict[str, Any]:
    """``["training.epochs=3", ...]`` to paths and values, read as YAML reads them."""
    changes: dict[str, Any] = {}
    problems = []
    for pair in pairs:
        path, equals, text = pair.partition("=")
        if not equals or not path:
            problems.append(f"--set {pair}: is not path=value, as in training.epochs=3")
            continue
        try:
            changes[path.strip()] = parse_yaml(f"value: {text}", f"--set {pair}")[0]["value"]
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput(*problems)
    return changes


def schema() -> str:
    """The JSON schema of a study file, as text."""
    body = Study.model_json_schema()
    nothing = {"type": "null"}  # takes away what an extended study has
    for name in ("factors", "context", "variants", "profiles", "search"):
        field = body["properties"][name]
        for pattern, value in field.get("patternProperties", {}).items():
            field["patternProperties"][pattern] = {"anyOf": [value, nothing]}
        body["properties"][name] = {"anyOf": [field, nothing]}
    body["$defs"]["Recipe"].pop("required")  # nor need a file state what that study has
    body["required"].remove("base")
    body = {"$schema": "https://json-schema.org/draft/2020-12/schema", **body}
    return json.dumps(body, indent=2) + "\n"
