"""Fractions, explicit cells, factors under others, and what cannot be together."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import pytest

from research import design, designs
from research.errors import InvalidInput
from research.fractions import fraction, members
from research.stats import terms
from research.study import Study


def two_levels(*names: str) -> dict[str, Any]:
    return {
        name: {"path": f"model.params.{name}", "levels": {"on": 1, "off": 0}, "control": "on"}
        for name in names
    }


def study(factors: dict[str, Any], **more: object) -> Study:
    content = {"name": "x", "base": {"model": "net"}, "factors": factors, **more}
    return Study.model_validate(content)


NESTED = {
    "mixup": {"path": "augment.mixup", "levels": {"on": {"alpha": 0.2}, "off": None}}
    | {"control": "on"},
    "alpha": {"path": "augment.mixup.alpha", "levels": {"a0.2": 0.2, "a1": 1.0}}
    | {"control": "a0.2", "under": {"mixup": "on"}},
    "flip": {"path": "augment.flip", "levels": {"on": {}, "off": None}, "control": "on"},
}


# Box, Hunter and Hunter 2005, table 6.22: the fewest cells of a resolution.
@pytest.mark.parametrize(
    ("factors", "resolution", "cells"),
    [
        *((3, 3, 4), (5, 3, 8), (7, 3, 8), (11, 3, 16), (4, 4, 8), (8, 4, 16), (9, 4, 32)),
        *((3, 5, 8), (5, 5, 16), (6, 5, 32), (8, 5, 64), (10, 5, 128)),
    ],
)
def test_the_fewest_cells_of_a_resolution_are_the_known_ones(
    factors: int, resolution: int, cells: int
) -> None:
    found = fraction(factors, resolution)
    assert 2**found.base == cells
    assert found.resolution is None or found.resolution >= resolution


@pytest.mark.parametrize(("factors", "cells"), [(3, 4), (5, 8), (6, 16), (7, 16), (9, 32)])
def test_a_fraction_is_balanced_and_its_aliases_are_those_of_its_columns(
    factors: int, cells: int
) -> None:
    found = fraction(factors, cells=cells)
    table = np.array(found.settings())
    assert table.shape == (cells, factors) and not table[0].any()
    assert len(np.unique(table, axis=0)) == cells
    assert (table.sum(0) == cells // 2).all()
    aliases = found.aliases()
    x = 2 * table - 1
    for term, other in itertools.combinations(aliases, 2):
        same = abs((x[:, list(term)].prod(1) * x[:, list(other)].prod(1)).mean()) == 1
        assert (other in aliases[term]) == same
    told = {t.factors: {*t.aliases} for t in terms(table)}
    assert all(others == {*aliases[term]} for term, others in told.items())
    for word in found.words:  # each word is constant over the cells
        assert abs(x[:, list(members(word))].prod(1).mean()) == 1


def test_of_fractions_of_one_size_that_with_the_fewest_short_words_is_taken() -> None:
    lengths = sorted(word.bit_count() for word in fraction(6, cells=16).words)
    assert lengths == [4, 4, 4]
    assert sorted(word.bit_count() for word in fraction(7, cells=32).words) == [4, 5, 5]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"cells": 12}, "a fraction of 12 cells for 6 factors; give 8, 16, 32, 64"),
        ({"cells": 4}, "give 8, 16, 32, 64"),
        ({"cells": 128}, "give 8, 16, 32, 64"),
    ],
)
def test_fractions_that_are_none_are_refused(asked: dict[str, int], words: str) -> None:
    one = study(two_levels(*"abcdef"), design="fractional_factorial", fraction=asked)
    with pytest.raises(InvalidInput, match=words):
        design.cells(one)


def test_a_fractional_study_has_its_cells_and_says_its_generators() -> None:
    one = study(two_levels(*"abcd"), design="fractional_factorial")
    assert len(design.cells(one)) == 8 and designs.generators(one) == ["d = a x b x c"]
    assert design.cells(one)[1].name == "c-off__d-off"
    assert designs.is_crossed(one)
    eight = study(two_levels(*"abcde"), design="fractional_factorial", fraction={"cells": 8})
    assert len(design.cells(eight)) == 8


def test_explicit_cells_are_those_that_are_named() -> None:
    cells = [{"a": "off"}, {"a": "off", "b": "off"}]
    one = study(two_levels("a", "b"), design="explicit", cells=cells)
    assert [cell.name for cell in design.cells(one)] == ["control", "a-off", "a-off__b-off"]
    assert not designs.is_crossed(one)


def test_a_factor_under_another_is_gone_with_it() -> None:
    one = study(NESTED, design="one_at_a_time")
    cells = {cell.name: cell for cell in design.cells(one)}
    assert list(cells) == ["control", "mixup-off", "alpha-a1", "flip-off"]
    assert cells["mixup-off"].levels == {"mixup": "off", "flip": "on"}
    assert cells["mixup-off"].recipe.augment["mixup"] is None
    assert cells["alpha-a1"].recipe.augment["mixup"] == {"alpha": 1.0}
    crossed = [cell.name for cell in design.cells(one.replaced(design="full_factorial"))]
    assert crossed == [
        *("control", "flip-off", "alpha-a1", "alpha-a1__flip-off"),
        *("mixup-off", "mixup-off__flip-off"),
    ]
    assert not designs.is_crossed(one.replaced(design="full_factorial"))


def test_a_factor_under_a_level_that_the_control_has_not_brings_it_along() -> None:
    off = {**NESTED, "mixup": NESTED["mixup"] | {"control": "off"}}
    cells = {cell.name: cell for cell in design.cells(study(off, design="one_at_a_time"))}
    assert cells["control"].levels == {"mixup": "off", "flip": "on"}
    assert "mixup-on__alpha-a1" in cells and "mixup-on" in cells
    assert cells["mixup-on__alpha-a1"].recipe.augment["mixup"] == {"alpha": 1.0}
    assert cells["mixup-on"].recipe.augment["mixup"] == {"alpha": 0.2}
    with pytest.raises(InvalidInput, match="is there only where mixup is on; name that factor too"):
        design.select(study(off), ["alpha"])
    alone = design.select(study(NESTED), ["alpha"])
    assert [cell.name for cell in design.cells(alone)] == ["control", "no-alpha"]
    with pytest.raises(InvalidInput, match="alpha exists only under another factor"):
        design.cells(study(NESTED, design="fractional_factorial"))


def test_levels_that_cannot_be_together_are_left_out_of_a_factorial() -> None:
    exclude = [{"a": "off", "b": ["off"]}]
    one = study(two_levels("a", "b", "c"), design="full_factorial", exclude=exclude)
    names = [cell.name for cell in design.cells(one)]
    assert len(names) == 6 and not any("a-off__b-off" in name for name in names)
    assert not designs.is_crossed(one)
    assert designs.is_crossed(one.replaced(exclude=[]))
    with pytest.raises(InvalidInput, match="fraction needs all of them"):
        design.cells(one.replaced(design="fractional_factorial"))
    with pytest.raises(InvalidInput, match="the control itself is excluded"):
        design.cells(one.replaced(exclude=[{"a": "on", "b": "on"}]))
    with pytest.raises(InvalidInput, match="the cell a off is excluded"):
        design.cells(one.replaced(design="leave_one_out", exclude=[{"a": "off"}]))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"design": "explicit"}, "design explicit: needs cells"),
        ({"cells": [{"a": "off"}]}, "cells: are of the design explicit, not of leave_one_out"),
        ({"exclude": [{"z": "off"}]}, "exclude.1.z: no such factor; choose from a, b"),
        ({"exclude": [{"a": "of"}]}, "exclude.1.a: no level 'of'; did you mean 'off'"),
        ({"design": "explicit", "cells": [{"a": "x"}]}, "cells.1.a: no level 'x'"),
        ({"fraction": {"cells": 8, "resolution": 4}}, "gives both a resolution and a number"),
    ],
)
def test_conflicts_are_refused_with_reasons(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        study(two_levels("a", "b"), **more)


def test_a_factor_cannot_be_under_itself() -> None:
    factors = two_levels("a", "b")
    factors["a"]["under"] = {"b": "on"}
    factors["b"]["under"] = {"a": "on"}
    with pytest.raises(ValueError, match="it is under itself"):
        study(factors)


def test_leaving_factors_out_keeps_what_cannot_be_together() -> None:
    exclude = [{"a": "on", "b": "off"}]
    one = study(two_levels("a", "b", "c"), exclude=exclude)
    with pytest.raises(InvalidInput, match="the cell b off is excluded"):
        design.cells(one)
    with pytest.raises(InvalidInput, match="the cell b off is excluded"):
        design.cells(design.select(one, ["b", "c"]))  # a stays on
    assert [cell.name for cell in design.cells(design.select(one, ["c"]))] == ["control", "no-c"]
    other = one.replaced(exclude=[{"a": "off", "b": "off"}])
    assert len(design.cells(design.select(other, ["b", "c"]))) == 3  # a is never off


def test_the_full_system_beside_single_parts_obeys_exclusions_too() -> None:
    one = study(two_levels("a", "b"), design="add_one_in", exclude=[{"a": "on", "b": "on"}])
    with pytest.raises(InvalidInput, match=r"the control itself|the full system"):
        design.cells(one)


def test_only_what_is_named_is_run_beside_the_control() -> None:
    one = study(two_levels("a", "b")).replaced(context={"other": {"training.epochs": 2}})
    assert [cell.name for cell in design.cells(design.select(one, ["a"]))] == ["control", "no-a"]


def test_no_fraction_takes_long_to_find() -> None:
    started = time.process_time()
    assert fraction(16, 3).base == 5
    assert time.process_time() - started < 20
