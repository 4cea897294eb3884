"""Contracts over every registry, and what the registries say of a component without loading it."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from research import provenance, registry
from research.errors import InvalidInput
from research.provenance import source_digest
from research.registry import Registry, code_digest
from research.spec import Recipe, Ref

REGISTRIES = {name: value for name, value in vars(registry).items() if isinstance(value, Registry)}
COMPONENTS = [
    (kind, name)
    for kind, one in REGISTRIES.items()
    for name in one.names()
    if not name.startswith("torchvision/") or name.endswith("resnet18")  # they are one function
]


@pytest.mark.parametrize("kind", REGISTRIES)
def test_a_registry_holds_something(kind: str) -> None:
    assert REGISTRIES[kind].names()


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_what_is_read_of_a_component_is_what_it_is(kind: str, name: str) -> None:
    entry, function = REGISTRIES[kind].entry(name), REGISTRIES[kind].get(name)
    keywords = {
        key: parameter
        for key, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and key not in entry.bound
    }
    assert getattr(function, "func", function).__name__ == entry.function
    assert entry.function == name or entry.bound
    assert entry.about
    assert set(entry.params) == set(keywords)
    for key, parameter in keywords.items():
        default = entry.params[key].default
        assert default == (
            list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
        )
        _, problem = entry.params[key].check(default)
        assert problem is None


@pytest.mark.parametrize(("kind", "name"), COMPONENTS)
def test_an_unknown_parameter_is_told_with_the_choices(kind: str, name: str) -> None:
    _, problems = REGISTRIES[kind].check(Ref(name=name, params={"nonsense": 1}))
    assert [parameter for parameter, _ in problems] == ["nonsense"]
    assert "has no parameter 'nonsense'" in problems[0][1]


def test_defaults_are_filled_in_and_types_checked() -> None:
    ref, problems = registry.losses.check(Ref(name="focal", params={"gamma": 3}))
    assert not problems
    kept = {"alpha": None, "label_smoothing": 0.0, "smoothed_over": "all"}
    assert ref.params == {"gamma": 3.0, **kept}
    _, problems = registry.losses.check(
        Ref(name="focal", params={"gamma": "2", "label_smoothing": 1.5, "alpha": "balancd"})
    )
    told = dict(problems)
    assert told["gamma"] == 'input should be a valid number, not "2"'
    assert "less than or equal to 1, not 1.5" in told["label_smoothing"]
    assert "'balanced'" in told["alpha"]


def test_an_unknown_name_is_told_with_a_near_miss() -> None:
    with pytest.raises(InvalidInput, match="model 'alexnt' is not known; did you mean 'alexnet'"):
        registry.models.entry("alexnt")


def test_planning_loads_no_torch() -> None:
    code = "import research, sys; research.plan('alexnet_pro'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def digest_of(tmp_path: Path, text: str) -> str:
    file = tmp_path / "component.py"
    file.write_text(textwrap.dedent(text))
    provenance._meaning.cache_clear()
    return source_digest({file: frozenset()})


def test_comments_and_docstrings_are_no_change_of_code(tmp_path: Path) -> None:
    one = digest_of(tmp_path, "def f(x):\n    return x + 1\n")
    same = digest_of(
        tmp_path, '"""Doc."""\n# why\ndef f(x):\n    """Doc."""\n    return (x  + 1)\n'
    )
    other = digest_of(tmp_path, "def f(x):\n    return x + 2\n")
    assert one == same != other


def test_the_code_digest_follows_what_a_recipe_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe.model_validate({"model": "alexnet_pro"})
    before = code_digest(recipe)
    assert code_digest(Recipe.model_validate({"model": "alexnet"})) != before
    assert code_digest(recipe.override({"optim": "sgd"})) != before
    assert code_digest(recipe.override({"optim.params.lr": 0.5})) == before
    assert code_digest(recipe.override({"augment.flip": None})) == before


def test_siblings_that_a_component_imports_count() -> None:
    files = registry.with_siblings(registry.models.entry("alexnet").file)
    assert {file.name for file in files} == {
        *("alexnet.py", "attention.py", "layers.py", "rrelu.py")
    }


@pytest.mark.parametrize(
    "kind",
    [
        registry.losses,
        registry.optimisers,
        registry.schedules,
        registry.preprocessing,
        registry.augmentations,
    ],
    ids=lambda kind: kind.kind,
)
def test_the_readme_names_every_component(kind: registry.Registry[Any]) -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text()
    for name in kind.names():
        assert re.search(rf"\b{name}\b", text), name
