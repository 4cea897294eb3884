"""Designs: a study to the settings of its factors, the control's first. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

from research.errors import InvalidInput
from research.fractions import Fraction, fraction, members
from research.study import Factor, Levels, Study

MAX_CELLS = 1024
FACTORIALS = ("full_factorial", "fractional_factorial")


def settings(study: Study) -> list[Levels]:
    """A study's distinct settings; a factor has no level where it is under another's other level.

    Settings that the study excludes are left out of a factorial; of other designs they are refused,
    as is an excluded control. Raises `InvalidInput`.
    """
    made = [existing(study, levels) for levels in _DESIGNS[study.design](study)]
    distinct = list({tuple(levels.items()): levels for levels in made}.values())
    barred = [levels for levels in distinct if excluded(study, levels)]
    if distinct[0] in barred:
        raise InvalidInput("exclude: the control itself is excluded; it is what all are held to")
    if barred and study.design == "fractional_factorial":
        raise InvalidInput(
            f"exclude: {len(barred)} of {len(distinct)} cells of the fraction cannot be; a "
            "fraction needs all of them: use full_factorial, or leave a factor out (--factors a,b)"
        )
    if barred and study.design != "full_factorial":
        raise InvalidInput(
            *(
                f"design {study.design}: the cell {_told(study, levels)} is excluded; leave that "
                "factor out (--factors a,b), or use another design"
                for levels in barred
            )
        )
    return [levels for levels in distinct if levels not in barred]


def existing(study: Study, levels: Levels) -> Levels:
    """Levels without those of factors that are under a level which is not there."""
    made = dict(levels)
    while True:
        gone = [
            name
            for name in made
            for parent, allowed in study.factors[name].under.items()
            if made.get(parent) not in allowed
        ]
        if not gone:
            return made
        made = {name: level for name, level in made.items() if name not in gone}


def is_crossed(study: Study) -> bool:
    """Whether cells are those of a factorial without holes, which main effects can be told from."""
    nested = any(factor.under for factor in study.factors.values())
    return study.design in FACTORIALS and not nested and not _holes(study)


def fraction_of(study: Study) -> Fraction:
    """The fraction that a study of the design ``fractional_factorial`` asks for."""
    asked = study.fraction
    try:
        return fraction(len(study.factors), asked.resolution, asked.cells)
    except InvalidInput as error:
        raise InvalidInput(*(f"fraction: {problem}" for problem in error.problems)) from None


def generators(study: Study) -> list[str]:
    """The generators of a study's fraction, as in ``mixup = norm x flip``."""
    found, names = fraction_of(study), list(study.factors)
    return [
        f"{names[found.base + place]} = " + " x ".join(names[one] for one in members(word))
        for place, word in enumerate(found.generators)
    ]


def _leave_one_out(study: Study) -> list[Levels]:
    control = _controls(study)
    others = [_changed(study, control, name, _absent(study, name)) for name in study.factors]
    return [control, *others]


def _add_one_in(study: Study) -> list[Levels]:
    bare, full = {}, {}
    for name, factor in study.factors.items():
        ends = (factor.control, _absent(study, name))
        bare[name], full[name] = ends if factor.adds else ends[::-1]
    return [bare] + [_changed(study, bare, name, full[name]) for name in study.factors]


def _one_at_a_time(study: Study) -> list[Levels]:
    control = _controls(study)
    return [control] + [
        _changed(study, control, name, level)
        for name, factor in study.factors.items()
        for level in factor.levels
        if level != factor.control
    ]


def _full_factorial(study: Study) -> list[Levels]:
    """Two levels (present, removed) of a factor that names what is removed, else all of them."""
    options = [_crossed(factor) for factor in study.factors.values()]
    count = 1
    for levels in options:
        count *= len(levels)
    if count > MAX_CELLS:
        raise InvalidInput(
            f"design full_factorial: {count} cells of {len(options)} factors, at most {MAX_CELLS}; "
            "choose fewer factors (--factors a,b), or the design fractional_factorial"
        )
    return [dict(zip(study.factors, levels, strict=True)) for levels in itertools.product(*options)]


def _fractional_factorial(study: Study) -> list[Levels]:
    nested = [name for name, factor in study.factors.items() if factor.under]
    if nested:
        raise InvalidInput(
            f"design fractional_factorial: {', '.join(nested)} exists only under another factor; "
            "use full_factorial, or leave it out (--factors a,b)"
        )
    found = fraction_of(study)
    if 2**found.base > MAX_CELLS:
        raise InvalidInput(
            f"design fractional_factorial: {2**found.base} cells, at most {MAX_CELLS}; ask for a "
            "lower fraction.resolution, or for fewer factors (--factors a,b)"
        )
    ends = [(factor.control, _absent(study, name)) for name, factor in study.factors.items()]
    return [
        {name: end[bit] for name, end, bit in zip(study.factors, ends, bits, strict=True)}
        for bits in found.settings()
    ]


def _explicit(study: Study) -> list[Levels]:
    control = _controls(study)
    made = [control]
    for one in study.cells:
        levels = control
        for name, level in one.items():
            levels = _changed(study, levels, name, level)
        made.append(levels | one)
    return made


_DESIGNS: dict[str, Callable[[Study], list[Levels]]] = {
    "leave_one_out": _leave_one_out,
    "add_one_in": _add_one_in,
    "one_at_a_time": _one_at_a_time,
    "full_factorial": _full_factorial,
    "fractional_factorial": _fractional_factorial,
    "explicit": _explicit,
}


def _controls(study: Study) -> Levels:
    return {name: factor.control for name, factor in study.factors.items()}


def _changed(study: Study, levels: Levels, name: str, level: str) -> Levels:
    """Levels with another one of a factor, and with what it is under, so that it exists."""
    made = levels | {name: level}
    for parent, allowed in study.factors[name].under.items():
        if made[parent] not in allowed:
            made = _changed(study, made, parent, allowed[0])
    return made


def excluded(study: Study, levels: Levels) -> bool:
    """Whether levels are among those that cannot be together."""
    return any(
        all(levels.get(name) in allowed for name, allowed in rule.items()) for rule in study.exclude
    )


def _holes(study: Study) -> bool:
    made: Iterable[Levels] = _DESIGNS[study.design](study)
    return any(excluded(study, levels) for levels in made)


def _told(study: Study, levels: Levels) -> str:
    changed = [f"{n} {level}" for n, level in levels.items() if level != study.factors[n].control]
    return " and ".join(changed) or "control"


def _crossed(factor: Factor) -> list[str]:
    if factor.absent is not None:
        return [factor.control, factor.absent]
    return sorted(factor.levels, key=lambda level: level != factor.control)


def _absent(study: Study, name: str) -> str:
    factor = study.factors[name]
    if factor.absent is None:
        raise InvalidInput(
            f"factors.{name}: {len(factor.levels)} levels and none named as 'removed', which "
            f"{study.design} needs; name one of {', '.join(factor.levels)}, or use the design "
            "one_at_a_time"
        )
    return factor.absent
