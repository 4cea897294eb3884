"""Spaces of a search: what they refuse, which dimensions exist, what makes a recipe itself."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from research.errors import InvalidInput
from research.project import Project
from research.registry import models
from research.space import Dimension, Space
from research.spec import Recipe
from research.studies import load_study, read_study, template_search
from research.study import Study
from research.validation import complete

SEARCH: dict[str, dict[str, Any]] = {
    "gamma": {"path": "loss.params.gamma", "low": 0.5, "high": 4.0, "when": {"loss": "focal"}},
    "loss": {"path": "loss", "choices": {"ce": "cross_entropy", "focal": {"name": "focal"}}},
    "lr": {"path": "optim.params.lr", "within": 10},
    "batch": {"path": "training.batch_size", "choices": [16, 32]},
    "mixup": {"path": "augment.mixup", "choices": {"absent": None, "present": {}}},
    "alpha": {"path": "augment.mixup.alpha", "low": 0.1, "high": 1.0, "log": True,
              "when": {"mixup": ["present"]}},
}  # fmt: skip


def settled(recipe: Recipe) -> Recipe | None:
    done, wrong = complete(recipe, "embedded")
    return None if wrong else done


@pytest.fixture
def start(tiny: Study) -> Recipe:
    return complete(tiny.base, "embedded")[0]


def space_of(recipe: Recipe, **search: dict[str, Any]) -> Space:
    return Space.of({k: Dimension.model_validate(v) for k, v in search.items()}, recipe)


def test_what_decides_about_others_comes_first(start: Recipe) -> None:
    space = space_of(start, **SEARCH)
    names = list(space.dimensions)
    assert names.index("loss") < names.index("gamma") and len(names) == 6
    assert space.exists("gamma", {"loss": "focal"}) and not space.exists("gamma", {"loss": "ce"})
    lr = space.dimensions["lr"]
    assert (lr.low, lr.high, lr.log) == (pytest.approx(3e-4), pytest.approx(3e-2), True)
    values = {"loss": "focal", "gamma": 2.0, "mixup": "absent"}
    assert space.assignments(values) == {
        "loss": {"name": "focal"},
        "loss.params.gamma": 2.0,
        "augment.mixup": None,
    }


def test_a_recipe_is_found_in_its_space(start: Recipe) -> None:
    space = space_of(start, **SEARCH)
    own = space.at(start, settled)
    assert own == {"loss": "ce", "lr": 3e-3, "batch": 32, "mixup": "present", "alpha": 0.2}
    made = settled(start.override(space.assignments(own)))
    assert made is not None and made.spec_hash == start.spec_hash
    for change in ({"training.batch_size": 48}, {"augment.mixup.alpha": 2.0}, {"loss": "focal"}):
        other = settled(start.override(change))
        assert other is not None
        assert (space.at(other, settled) is None) == (change != {"loss": "focal"})


def test_probes_reach_every_choice_and_both_ends(start: Recipe) -> None:
    space = space_of(start, **SEARCH)
    probes = [(name, value) for name, value, _ in space.probes()]
    assert {name for name, _ in probes} == set(SEARCH) and len(probes) == 12
    assert all(space.exists(name, values) for name, _, values in space.probes())


def test_a_grid_has_every_setting_once(start: Recipe) -> None:
    alpha = {"path": "augment.mixup.alpha", "low": 0.1, "high": 0.5, "step": 0.2,
             "when": {"mixup": "present"}}  # fmt: skip
    space = space_of(start, batch=SEARCH["batch"], mixup=SEARCH["mixup"], alpha=alpha)
    grid = space.grid()
    assert len(grid) == 2 * (1 + 3) and len({str(one) for one in grid}) == 8
    with pytest.raises(InvalidInput, match=r"search\.lr: has no step and no choices"):
        space_of(start, lr=SEARCH["lr"]).grid()
    many = {f"a{n}": {"path": f"model.params.p{n}", "low": 1, "high": 9, "integer": True}
            for n in range(5)}  # fmt: skip
    with pytest.raises(InvalidInput, match="more than 10,000 settings"):
        space_of(start, **many).grid()


def test_a_change_of_the_space_is_told_by_dimension(start: Recipe) -> None:
    before = space_of(start, **SEARCH).as_json()
    lr = {"path": "optim.params.lr", "low": 1e-4, "high": 1e-2, "log": True}
    new = {"path": "loss.params.label_smoothing", "low": 0.0, "high": 0.2}
    changed = {name: one for name, one in SEARCH.items() if name not in ("alpha", "mixup")}
    space = space_of(start, **(changed | {"lr": lr, "smoothing": new}))
    assert space.differences(before) == [
        "alpha is gone",
        "lr was 0.0003 to 0.03, log, is 0.0001 to 0.01, log",
        "mixup is gone",
        "smoothing is new",
    ]
    assert space_of(start, **SEARCH).differences(before) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"path": "a", "low": 2, "high": 1}, "low 2 is not less than high 1"),
        ({"path": "a", "low": 0, "high": 1, "log": True}, "a log scale starts above 0"),
        ({"path": "a", "low": 1, "high": 2, "log": True, "step": 1}, "a log scale has none"),
        ({"path": "a", "low": 0.5, "high": 2, "integer": True}, "whole numbers"),
        ({"path": "a", "choices": [{}, 1]}, "needs a name"),
        ({"path": "a", "choices": [1, 1]}, "one stands twice"),
        ({"path": "a", "choices": [1, 2], "low": 1}, "give one of the two"),
        ({"path": "a", "within": 1}, "greater than 1"),
        ({"path": "a", "within": 3, "low": 1}, "stands in place of"),
        ({"within": 3}, "give its path"),
        ({"choices": {"a": 1, "b": 2}}, "each a mapping of paths to values"),
        ({"low": 1, "high": 2}, "give a path"),
        ({"path": "a", "lo": 1}, "Extra inputs"),
    ],
)
def test_dimensions_that_are_none_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Dimension.model_validate(given)


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ({"gamma": SEARCH["gamma"]}, r"search\.gamma\.when\.loss: no such dimension"),
        ({"loss": SEARCH["loss"], "gamma": SEARCH["gamma"] | {"when": {"loss": "focl"}}},
         r"no choice \"focl\"; did you mean 'focal'"),
        ({"lr": SEARCH["lr"], "gamma": SEARCH["gamma"] | {"when": {"lr": 1}}}, "is a range"),
        ({"a": SEARCH["loss"] | {"when": {"b": "ce"}}, "b": SEARCH["loss"] | {"when": {"a": "ce"}}},
         "exists under itself"),
        ({"lr": SEARCH["lr"], "rate": SEARCH["lr"]}, "is set by search.lr too"),
        ({"wd": {"path": "optim.params.weight_decay", "within": 3}}, "has no log scale"),
    ],
)  # fmt: skip
def test_spaces_that_are_none_are_refused(
    start: Recipe, search: dict[str, dict[str, Any]], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        space_of(start, **search)


def test_one_path_may_be_set_under_conditions_that_exclude_each_other(start: Recipe) -> None:
    optim = {"path": "optim", "choices": {"adam": "adam", "sgd": "sgd"}}
    slow = {"path": "optim.params.lr", "low": 1e-4, "high": 1e-2, "when": {"optim": "adam"}}
    fast = slow | {"high": 0.1, "when": {"optim": "sgd"}}
    assert len(space_of(start, optim=optim, slow=slow, fast=fast).dimensions) == 3


@pytest.mark.parametrize("name", models.names())
def test_every_model_has_a_space_to_start_with(name: str, project: Project) -> None:
    """The template's dimensions fit every model, and the study of the model lies inside."""
    study, _ = load_study(name, project)
    recipe = settled(study.base)
    assert recipe is not None
    search = template_search(recipe, project)
    space = Space.of(search, recipe)
    assert {"lr", "weight_decay", "loss", "mixup"} <= set(space.dimensions)
    known = models.entry(recipe.model.name).params
    assert ("dropout" in space.dimensions) == ("dropout" in known)
    for _, _, values in space.probes():
        assert settled(recipe.override(space.assignments(values))) is not None


def test_a_study_s_own_search_is_read_with_lines(project: Project) -> None:
    file = project.root / "ablations" / "tiny.yaml"
    file.write_text(file.read_text() + "search:\n  lr: {path: optim.params.lr, low: 1, high: 0}\n")
    with pytest.raises(InvalidInput, match=r"tiny\.yaml:\d+: search\.lr: low 1 is not less"):
        read_study(file)
