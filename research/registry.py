"""Components by name: models, losses, data sets and the rest, found without importing them.

A component is a function in a file of its own folder, decorated with ``@<registry>.register()``;
its name is its key, its keyword-only arguments are its parameters, their defaults the published
values. The files are read, not run, so that a study is planned and checked without loading torch;
a file is imported when one of its components is first built. For that, defaults and the
decorator's arguments are literals.

One function may stand for several components: ``variants`` maps each name to the values of the
keyword-only arguments that have no default.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from research.errors import InvalidInput, findings, suggest
from research.provenance import PACKAGE, source_digest
from research.spec import Recipe, Ref

# The types that a component's parameters may have, beside Python's own.
__all__ = ["Count", "Fraction", "Literal", "NonNegative", "Positive"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
F = TypeVar("F", bound=Callable[..., Any])
TORCHVISION = "torchvision"
REGISTERED = re.compile(r"^@register_model\(.*\)\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)


@dataclass(frozen=True)
class Param:
    """A parameter of a component: its default and its type, as they stand in the source."""

    default: Any
    annotation: str

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values of a ``Literal``, else none."""
        found = ast.parse(self.annotation, mode="eval").body
        if isinstance(found, ast.Subscript) and ast.unparse(found.value) == "Literal":
            value = ast.literal_eval(found.slice)
            return value if isinstance(value, tuple) else (value,)
        return ()

    def check(self, value: Any) -> tuple[Any, str | None]:
        """A JSON value to (the value as the type has it, None) or (value, what is wrong)."""
        adapter = _adapter(self.annotation)
        try:
            checked = adapter.validate_json(json.dumps(value), strict=True)
        except ValidationError as error:
            found = error.errors(include_url=False)
            reason = found[0]["msg"] if len(found) == 1 else f"input should be {self.annotation}"
            return value, f"{reason[0].lower()}{reason[1:]}, not {json.dumps(value)}"
        return adapter.dump_python(checked, mode="json"), None


@dataclass(frozen=True)
class Entry:
    """What a file says of a component: where it stands, its parameters, what it declares."""

    name: str
    function: str
    module: str
    file: Path
    about: str
    params: Mapping[str, Param]
    declared: Mapping[str, Any]
    bound: Mapping[str, Any]  # what a variant fixes of its function


class Registry(Generic[F]):
    """The components of one kind, by name."""

    def __init__(self, kind: str, module: str) -> None:
        self.kind = kind
        self.module = module
        self._loaded: dict[str, F] = {}

    def register(self, **declared: Any) -> Callable[[F], F]:
        """Decorator: the function's name becomes its key; ``declared`` is kept in its entry."""

        def keep(function: F) -> F:
            self._loaded[function.__name__] = function
            return function

        return keep

    def names(self) -> tuple[str, ...]:
        """Every name, sorted."""
        return tuple(sorted(self._entries))

    def holds(self, name: str) -> bool:
        """Whether a name is known; one of torchvision's may be given without its prefix."""
        return name in self._entries or f"{TORCHVISION}/{name}" in self._entries

    def entry(self, name: str) -> Entry:
        """A name to what its file says of it; an unknown name raises `InvalidInput`."""
        if not self.holds(name):
            raise InvalidInput(f"{self.kind} '{name}' is not known{suggest(name, self._entries)}")
        return self._entries.get(name) or self._entries[f"{TORCHVISION}/{name}"]

    def get(self, name: str) -> F:
        """A name to its function, importing its file if need be."""
        entry = self.entry(name)
        if entry.function not in self._loaded:
            importlib.import_module(entry.module)
        function = self._loaded[entry.function]
        return functools.partial(function, **entry.bound) if entry.bound else function  # type: ignore[return-value]

    def params(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters with every default filled in; raises `InvalidInput` with all that is wrong."""
        try:
            ref, problems = self.check(Ref(name=name, params=dict(given)))
        except ValidationError as error:
            problems = findings(error, Ref)
        if problems:
            raise InvalidInput(*(text for _, text in problems))
        return ref.params

    def check(self, ref: Ref) -> tuple[Ref, list[tuple[str, str]]]:
        """A reference to (itself with every default filled in, [(parameter or "", problem)])."""
        try:
            entry = self.entry(ref.name)
        except InvalidInput as error:
            return ref, [("", str(error))]
        params = {name: param.default for name, param in entry.params.items()}
        problems = []
        for name, value in ref.params.items():
            if name not in entry.params:
                choices = suggest(name, entry.params) or "; it has none"
                problems.append(
                    (name, f"the {self.kind} '{ref.name}' has no parameter '{name}'{choices}")
                )
                continue
            params[name], problem = entry.params[name].check(value)
            if problem:
                problems.append((name, problem))
        return Ref(name=entry.name, params=params), problems

    @functools.cached_property
    def _entries(self) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for file, module in _sources(self.module):
            for entry in _scan(file, module, self._variable):
                if entry.name in entries:
                    other = entries[entry.name].file
                    raise RuntimeError(f"{self.kind} '{entry.name}' stands in {other} and {file}")
                entries[entry.name] = entry
        return entries

    @functools.cached_property
    def _variable(self) -> str:
        return next(name for name, value in globals().items() if value is self)


models: Registry[Callable[..., Any]] = Registry("model", "research.models")
losses: Registry[Callable[..., Any]] = Registry("loss", "research.losses")
sources: Registry[Callable[..., Any]] = Registry("data source", "research.data")
optimisers: Registry[Callable[..., Any]] = Registry("optimiser", "research.optim")
schedules: Registry[Callable[..., Any]] = Registry("schedule", "research.optim")
preprocessing: Registry[Callable[..., Any]] = Registry("preprocessing step", "research.preprocess")
augmentations: Registry[Callable[..., Any]] = Registry("augmentation", "research.augment")
executors: Registry[Callable[..., Any]] = Registry("executor", "research.executors")


# Modules that every training runs through, beside its components.
CORE = (
    *("arithmetic", "assembly", "augment/__init__", "augment/view", "augment/window"),
    *("averaging", "checkpoint", "data/__init__", "data/folds", "data/splitting", "evaluation"),
    *("losses/__init__", "metrics", "models/__init__", "optim", "preprocess/__init__", "run"),
    "training",
)


def understood(source: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Of the parameters of a data source, those that concern it.

    All do, but that one which stands in for sets that are not there is given their parameters too.
    """
    entry = sources.entry(source)
    if not entry.declared.get("stands_in"):
        return dict(params)
    others = {name for one in sources.names() for name in sources.entry(one).params}
    return {n: v for n, v in params.items() if n in entry.params or n not in others}


def code_digest(recipe: Recipe) -> str:
    """The sources of a recipe's components and of training itself to 16 hexadecimal digits.

    Components that the recipe does not use do not count, even where they share a file.
    """
    used = {
        models: {recipe.model.name},
        losses: {recipe.loss.name},
        optimisers: {recipe.optim.name},
        schedules: {recipe.schedule.name},
        preprocessing: {name for name, params in recipe.preprocess.items() if params is not None},
        augmentations: {name for name, params in recipe.augment.items() if params is not None},
    }
    files: dict[Path, frozenset[str]] = {PACKAGE / f"{name}.py": frozenset() for name in CORE}
    for kind, names in used.items():
        for name in names:
            for file in with_siblings(kind.entry(name).file):
                files.setdefault(file, frozenset())
        functions = {kind.entry(name).function for name in names}
        for name in set(kind.names()) - names:
            entry = kind.entry(name)
            if entry.file in files and entry.function not in functions:
                files[entry.file] |= {entry.function}
    return source_digest(files)


@functools.cache
def with_siblings(file: Path) -> tuple[Path, ...]:
    """A component's file and the files of its own folder that it imports, directly or not."""
    if file.parent == PACKAGE:
        return (file,)
    found, waiting = {file}, [file]
    while waiting:
        tree = ast.parse(waiting.pop().read_text(encoding="utf-8"))
        imported = (
            node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
        )
        for module in imported:
            sibling = PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
            if sibling.parent == file.parent and sibling.is_file() and sibling not in found:
                found.add(sibling)
                waiting.append(sibling)
    return tuple(sorted(found))


def _sources(module: str) -> list[tuple[Path, str]]:
    """A module or package to its files and their module names."""
    place = PACKAGE.joinpath(*module.split(".")[1:])
    if place.is_dir():
        files = sorted(place.glob("*.py"))
        return [(file, f"{module}.{file.stem}") for file in files if file.stem != "__init__"]
    return [(place.with_suffix(".py"), module)]


def _scan(file: Path, module: str, registry: str) -> list[Entry]:
    """A file to the entries of the functions that it registers."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    entries = []
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef):
            continue
        for call in node.decorator_list:
            if isinstance(call, ast.Call) and ast.unparse(call.func) == f"{registry}.register":
                words = {word.arg or "": ast.literal_eval(word.value) for word in call.keywords}
                about = (ast.get_docstring(node) or "").split("\n")[0]
                params, needed = _params(node)
                for name, bound in _variants(node.name, words.pop("variants", None)).items():
                    if set(bound) != needed:
                        raise RuntimeError(f"{name}: give {sorted(needed)}, not {sorted(bound)}")
                    entries.append(
                        Entry(name, node.name, module, file, about, params, words, bound)
                    )
    return entries


def _variants(function: str, declared: Any) -> Mapping[str, Mapping[str, Any]]:
    """What a function's ``variants`` stand for; those of an installed package may be a word."""
    if declared is None:
        return {function: {}}
    if declared == TORCHVISION:
        return {f"{TORCHVISION}/{name}": {"name": name} for name in _torchvision_names()}
    variants: Mapping[str, Mapping[str, Any]] = declared
    return variants


def _torchvision_names() -> tuple[str, ...]:
    """torchvision's classification models, from its sources: importing it takes seconds."""
    found = importlib.util.find_spec(TORCHVISION)
    if found is None or found.origin is None:
        return ()
    files = sorted((Path(found.origin).parent / "models").glob("*.py"))
    return tuple(
        name for file in files for name in REGISTERED.findall(file.read_text(encoding="utf-8"))
    )


def _params(node: ast.FunctionDef) -> tuple[dict[str, Param], set[str]]:
    """A function's parameters, and those of its keyword-only arguments that a variant gives."""
    params, needed = {}, set()
    for arg, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        if arg.annotation is None:
            raise RuntimeError(f"{node.name}: '{arg.arg}' needs a type")
        if default is None:
            needed.add(arg.arg)
            continue
        value = json.loads(json.dumps(ast.literal_eval(default)))
        params[arg.arg] = Param(value, ast.unparse(arg.annotation))
    return params, needed


@functools.cache
def _adapter(annotation: str) -> TypeAdapter[Any]:
    # The text is an annotation in this package's own source, never a user's input.
    return TypeAdapter(eval(annotation, globals()))  # noqa: S307
