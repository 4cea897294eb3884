from __future__ import annotations

import pytest

from research import design
from research.errors import InvalidInput
from research.study import Study

FACTORS = {
    "norm": {
        "path": "model.params.norm",
        "levels": {"on": True, "off": False},
        "control": "on",
    },
    "loss": {
        "path": "loss",
        "levels": {"focal": {"name": "focal"}, "ce": "cross_entropy", "hinge": "hinge"},
        "control": "focal",
        "removed": "ce",
    },
    "smoothing": {
        "path": "loss.params.label_smoothing",
        "levels": {"some": 0.1, "none": 0.0},
        "control": "some",
    },
}


def study(**more: object) -> Study:
    content = {"name": "x", "base": {"model": "net"}, "factors": FACTORS, "seeds": 2, **more}
    return Study.model_validate(content)


def names(one: Study) -> list[str]:
    return [cell.name for cell in design.cells(one)]


def test_leave_one_out_removes_one_part_at_a_time() -> None:
    cells = {cell.name: cell for cell in design.cells(study())}
    assert list(cells) == ["control", "no-norm", "no-loss", "no-smoothing"]
    assert cells["control"].recipe.model.params == {"norm": True}
    assert cells["no-norm"].recipe.model.params == {"norm": False}
    assert cells["no-loss"].recipe.loss.name == "cross_entropy"
    assert cells["no-loss"].recipe.loss.params == {"label_smoothing": 0.1}
    assert cells["no-loss"].levels == {"norm": "on", "loss": "ce", "smoothing": "some"}


def test_add_one_in_starts_from_the_bare_system_and_shows_the_full_one() -> None:
    cells = {cell.name: cell for cell in design.cells(study(design="add_one_in"))}
    assert list(cells) == ["control", "norm-on", "loss-focal", "smoothing-some", "full"]
    assert cells["control"].recipe.model.params == {"norm": False}
    assert cells["norm-on"].recipe.loss.name == "cross_entropy"
    assert cells["full"].role == "context"


def test_one_at_a_time_takes_every_other_level() -> None:
    assert names(study(design="one_at_a_time")) == [
        *("control", "norm-off", "loss-ce", "loss-hinge", "smoothing-none")
    ]


def test_full_factorial_crosses_present_and_removed() -> None:
    made = names(study(design="full_factorial"))
    assert len(made) == len(set(made)) == 8
    assert made[0] == "control"
    assert "norm-off__loss-ce__smoothing-none" in made


def test_full_factorial_takes_all_levels_where_none_is_the_removed_one() -> None:
    factors = {"size": {"path": "a.params.b", "levels": {"s": 1, "m": 2, "l": 3}, "control": "m"}}
    factors["size"]["path"] = "model.params.size"
    one = study(factors=factors, design="full_factorial")
    assert names(one) == ["control", "size-s", "size-l"]


def test_a_factorial_that_is_too_large_is_refused() -> None:
    factors = {
        f"f{n}": {"path": f"model.params.p{n}", "levels": {"a": 1, "b": 2}, "control": "a"}
        for n in range(11)
    }
    with pytest.raises(InvalidInput, match=r"2048 cells of 11 factors.*--factors"):
        design.cells(study(factors=factors, design="full_factorial"))


def test_a_factor_without_a_removed_level_cannot_be_left_out() -> None:
    factors = {
        "size": {"path": "model.params.s", "levels": {"s": 1, "m": 2, "l": 3}, "control": "m"}
    }
    with pytest.raises(InvalidInput, match=r"factors\.size.*'removed'.*one_at_a_time"):
        design.cells(study(factors=factors))


def test_context_cells_replace_whole_references_and_are_no_contrasts() -> None:
    cells = design.cells(study(context={"other": {"model": "alexnet"}}))
    assert (cells[-1].name, cells[-1].role) == ("other", "context")
    assert cells[-1].recipe.model.params == {}
    assert cells[-1].recipe.loss == cells[0].recipe.loss


def test_two_factors_cannot_decide_one_path() -> None:
    factors = FACTORS | {"again": FACTORS["norm"]}
    with pytest.raises(InvalidInput, match=r"model\.params\.norm is set by the factor 'norm' too"):
        design.cells(study(factors=factors))


def test_a_wrong_path_of_a_factor_names_its_place() -> None:
    factors = {"norm": {"path": "modl.params.n", "levels": {"a": 1, "b": 2}, "control": "a"}}
    with pytest.raises(InvalidInput, match=r"factors\.norm\.levels\.a: modl.*'model'"):
        design.cells(study(factors=factors))


def test_the_plan_has_the_same_seeds_in_every_cell_seed_by_seed() -> None:
    specs = design.plan(study())
    assert [spec.seed for spec in specs] == [1] * 4 + [2] * 4
    assert [spec.model for spec in specs[:4]] == [spec.model for spec in specs[4:]]


def test_identical_cells_are_run_once() -> None:
    context = {"twin": {"model.params.norm": False}}
    assert names(study(context=context))[-1] == "twin"
    assert len(design.plan(study(context=context))) == 8


def test_tuned_values_go_to_their_cell_alone() -> None:
    specs = design.plan(study(seeds=1), tuned={"no-norm": {"optim.params.lr": 0.5}})
    assert [spec.optim.params for spec in specs] == [{}, {"lr": 0.5}, {}, {}]
    with pytest.raises(InvalidInput, match="no cell 'no-nrm'; did you mean 'no-norm'"):
        design.plan(study(), tuned={"no-nrm": {}})


def test_select_keeps_the_others_at_their_control_level() -> None:
    one = design.select(study(), ["norm"])
    assert names(one) == ["control", "no-norm"]
    before = {cell.name: cell.recipe for cell in design.cells(study())}
    for cell in design.cells(one):
        assert cell.recipe == before[cell.name]  # so that finished runs are found
    with pytest.raises(InvalidInput, match="no such factor; did you mean 'norm'"):
        design.select(study(), ["nrm"])


def test_the_base_cannot_be_set_where_a_factor_decides() -> None:
    with pytest.raises(InvalidInput, match="the factor 'loss' decides loss"):
        design.with_base(study(), {"loss.params.gamma": 1.0})
    alone = design.with_base(design.select(study(), ["norm"]), {"loss.params.gamma": 1.0})
    for cell in design.cells(alone):
        assert cell.recipe.loss.params == {"gamma": 1.0, "label_smoothing": 0.1}
    with pytest.raises(InvalidInput, match="the factor 'loss' decides loss"):
        design.with_base(study(), {"loss": "focal"})


def test_a_control_level_may_not_drop_what_the_base_states() -> None:
    factors = {
        "loss": {
            "path": "loss",
            "levels": {
                "focal_2": {"name": "focal", "params": {"gamma": 2.0}},
                "ce": "cross_entropy",
            },
            "control": "focal_2",
        }
    }
    loss = {"name": "focal", "params": {"gamma": 1.0, "label_smoothing": 0.1}}
    lossy = Study.model_validate(
        {"name": "x", "base": {"model": "alexnet", "loss": loss}, "factors": factors}
    )
    with pytest.raises(InvalidInput, match=r"base\.loss, whose label_smoothing would be lost"):
        design.cells(lossy)


@pytest.mark.parametrize("path", ["data", "data.name"])
def test_where_data_comes_from_is_one_for_all_cells(path: str) -> None:
    factors = {"source": {"path": path, "levels": {"a": "embedded", "b": "x.csv"}, "control": "a"}}
    mixed = Study.model_validate({"name": "x", "base": {"model": "alexnet"}, "factors": factors})
    with pytest.raises(InvalidInput, match="all cells are run on the same data"):
        design.cells(mixed)
    with pytest.raises(InvalidInput, match="all cells are run on the same data"):
        design.with_base(study(), {path: "embedded"})


def test_names_that_are_too_long_for_a_metric_are_refused() -> None:
    factors = {
        f"factor_{'x' * 40}_{n}": {
            "path": f"model.params.p{n}",
            "levels": {"present": 1, "absent": 0},
            "control": "present",
        }
        for n in range(4)
    }
    with pytest.raises(InvalidInput, match="at most 200"):
        design.cells(study(factors=factors, design="full_factorial"))


NUISANCE = {"paths": {"optim.params.lr": {"low": 1e-4, "high": 1e-1, "log": True}}, "trials": 5}


def test_what_is_to_be_tuned_is_told_until_every_cell_has_it() -> None:
    one = study(nuisance=NUISANCE)
    names = [cell.name for cell in design.cells(one)]
    assert design.to_be_tuned(one, {}) == names and design.to_be_tuned(study(), {}) == []
    found = {name: {"optim.params.lr": 0.01 * (1 + n)} for n, name in enumerate(names)}
    specs = design.plan(one, tuned=found)
    assert {spec.optim.params["lr"] for spec in specs} == {0.01, 0.02, 0.03, 0.04}
    with pytest.raises(InvalidInput, match="tuned: nothing for no-smoothing"):
        design.plan(one, tuned={name: found[name] for name in names[:-1]})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"low": 1, "high": 1}, "low 1 is not less than high 1"),
        ({"low": 0, "high": 1, "log": True}, "a log scale starts above 0"),
        ({"low": 0}, "give low and high, or choices"),
        ({"low": 0, "high": 1, "choices": [1, 2]}, "give one of the two"),
        ({"choices": [1]}, "give two or more"),
    ],
)
def test_ranges_that_are_none_are_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        study(nuisance={"paths": {"optim.params.lr": given}})
