"""The shape of the code: who may import whom, and what a component's file may hold."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "research"

PURE = {"errors", "spec", "provenance"}
COMPONENT = {"errors", "spec", "registry", "provenance"}
# What each module or folder may import of this package; its own folder is always allowed.
INSIDE = {
    "errors": set(),
    "provenance": set(),
    "yaml_source": {"errors"},
    "project": set(),
    "spec": {"errors"},
    "space": {"errors", "spec"},
    "study": {"errors", "space", "spec"},
    "fractions": {"errors"},
    "designs": {"errors", "fractions", "study"},
    "design": {"designs", "errors", "spec", "study"},
    "stats": {"errors"},
    "registry": PURE,
    "validation": {"errors", "spec", "study", "design", "registry"},
    "studies": {"errors", "space", "spec", "study", "registry", "project", "yaml_source"},
    "metrics": set(),
    "records": set(),
    "figures": set(),
    "artist": {"figures"},
    "data": COMPONENT | {"project"},
    "models": COMPONENT,
    "losses": COMPONENT,
    "augment": {"registry"},
    "preprocess": {"errors", "registry"},
    "optim": {"registry"},
    "averaging": set(),
    "arithmetic": {"errors"},
    "training": {"arithmetic", "augment", "averaging", "metrics", "optim", "records", "spec"},
    "assembly": {
        *("averaging", "registry", "spec", "arithmetic", "augment", "data", "losses", "models"),
        *("preprocess", "training"),
    },
    "evaluation": {"metrics", "data", "spec", "training"},
    "checkpoint": {"training"},
    "probing": {"arithmetic", "assembly", "data", "design", "spec", "training"},
    "inspection": {
        *("registry", "spec", "arithmetic", "assembly", "data", "errors", "losses", "models"),
        *("probing", "project", "provenance"),
    },
    "tracking": {"errors", "project"},
    "run": {
        *("arithmetic", "assembly", "checkpoint", "data", "evaluation", "figures", "inspection"),
        *("metrics", "provenance", "records", "spec", "tracking", "training"),
    },
    "runner": {
        *("arithmetic", "artist", "data", "errors", "project", "provenance", "records"),
        *("registry", "run", "tracking"),
    },
    "executors": {"errors", "registry", "tracking"},
    "request": {"data", "design", "errors", "project", "spec", "studies", "study", "validation"},
    "planning": {
        *("errors", "spec", "study", "design", "data", "project", "registry", "request"),
        *("tracking", "validation", "arithmetic", "inspection"),
    },
    "parent": {"data", "designs", "planning", "registry", "spec", "study", "tracking"},
    "bite": {
        *("arithmetic", "assembly", "augment", "data", "design", "errors", "inspection"),
        *("planning", "preprocess", "spec", "study"),
    },
    "packing": {
        *("arithmetic", "assembly", "data", "design", "errors", "planning", "spec", "training"),
    },
    "weights": {"checkpoint", "planning", "project", "tracking"},
    "execution": {
        *("arithmetic", "errors", "executors", "inspection", "packing", "parent", "planning"),
        *("project", "provenance", "registry", "request", "run", "runner", "tracking"),
    },
    "ablation": {
        *("bite", "design", "errors", "execution", "executors", "inspection", "parent"),
        "planning",
        "project",
        *("registry", "request", "study", "tracking", "tuning", "weights"),
    },
    "tuning": {
        *("arithmetic", "checkpoint", "data", "design", "errors", "execution", "executors"),
        *(
            "inspection",
            "parent",
            "planning",
            "project",
            "provenance",
            "records",
            "registry",
            "request",
            "run",
            "runner",
        ),
        *("space", "spec", "stats", "studies", "study", "tracking", "validation"),
    },
    "foresight": {
        *("data", "designs", "errors", "planning", "reporting", "stats", "study", "tracking"),
    },
    "resolving": {
        *("ablation", "designs", "errors", "executors", "planning", "project", "reporting"),
        *("request", "stats", "study", "tracking"),
    },
    "single": {
        *("arithmetic", "checkpoint", "data", "errors", "inspection", "planning", "project"),
        *("records", "registry", "request", "run", "runner", "spec", "tracking", "validation"),
    },
    "cost": {
        *("arithmetic", "data", "design", "errors", "inspection", "planning", "provenance"),
        *("request", "run"),
    },
    "reporting": {
        *("data", "design", "designs", "errors", "figures", "metrics", "project", "spec", "stats"),
        *("study", "tracking", "yaml_source"),
    },
    "health": {"arithmetic", "data", "errors", "project", "provenance", "tracking"},
    "browsing": {"errors", "project", "tracking"},
}
ANYWHERE = {"api", "cli", "__init__", "__main__"}
# Libraries that only these may import, at any depth of a function.
OUTSIDE = {
    "mlflow": {"tracking"},
    "typer": {"cli", "browsing"},
    "rich": {"cli"},
    "matplotlib": {"figures", "reporting"},
    "pandas": {"reporting"},
    "sklearn": {"data"},  # its import takes seconds; the tests compare with its scores
    "yaml": {"yaml_source", "parent", "tuning"},
    "optuna": {"tuning", "cli"},
    "cv2": {"data", "preprocess"},
    "PIL": {"data"},
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(file: Path) -> str:
    """The module or folder that a file belongs to."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "research":
            names |= {f"research.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_follow_the_table(file: Path) -> None:
    here = room(file)
    names = imported(ast.parse(file.read_text()))
    ours = {name.split(".")[1] for name in names if name.startswith("research.")} - {here}
    if here not in ANYWHERE:
        assert here in INSIDE, f"say in the table what {here} may import"
        assert ours <= INSIDE[here]
    for library, rooms in OUTSIDE.items():
        if any(name.split(".")[0] == library for name in names):
            assert here in rooms


def test_the_table_has_no_cycle() -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path, name])
        if name not in done:
            for other in INSIDE.get(name, ()):
                visit(other, (*path, name))
            done.add(name)

    for name in INSIDE:
        visit(name, ())


def test_every_room_of_the_table_exists() -> None:
    assert set(INSIDE) <= {room(file) for file in modules()}


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_public_things_are_documented(file: Path) -> None:
    tree = ast.parse(file.read_text())
    assert ast.get_docstring(tree), "the module"
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for scope in (tree, *classes):
        contract = isinstance(scope, ast.ClassDef) and scope.name.endswith("Tracker")
        for node in scope.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                # What fulfils a contract is documented there.
                assert ast.get_docstring(node) or contract, node.name


def test_the_readme_names_every_room() -> None:
    text = (ROOT / "README.md").read_text()
    for name in sorted({room(file) for file in modules()} - {"__init__", "__main__"}):
        assert re.search(rf"\b{name}\b", text), name
