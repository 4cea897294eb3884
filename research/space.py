"""What is searched: the values that a recipe may take, and which of them exist under which. Pure.

A search is a mapping from a dimension's name to a `Dimension`; with a recipe it makes a `Space`.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, JsonValue, WithJsonSchema, model_validator

from research.errors import InvalidInput, suggest
from research.spec import Frozen, Number, Recipe, value_at

MAX_GRID = 10_000
Scalar = str | int | float | bool | None
Values = Mapping[str, Any]  # a dimension's name to its value, or to the name of its choice
Settle = Callable[[Recipe], Recipe | None]  # fills in every default; None of what cannot be


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


Several = Annotated[
    tuple[JsonValue, ...],
    BeforeValidator(_listed),
    WithJsonSchema({"type": ["array", "string", "number", "boolean", "null"]}),
]


class Range(Frozen):
    """What a value is sought in: from ``low`` to ``high``, on a log scale or not; or choices."""

    low: Number | None = None
    high: Number | None = None
    log: bool = False
    integer: bool = Field(False, description="Whole numbers only.")
    step: Number | None = Field(None, gt=0, description="Only low, low + step, low + 2 step ...")
    choices: tuple[JsonValue, ...] | dict[str, JsonValue] | None = Field(
        None, description="Two or more numbers, words, switches; what is more is given a name."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.choices is not None:
            return self._check_choices()
        if self.low is None or self.high is None:
            raise ValueError("give low and high, or choices")
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} is not less than high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low:g}: a log scale starts above 0")
        if self.log and self.step is not None:
            raise ValueError(f"step {self.step:g}: a log scale has none; give choices")
        ends = (self.low, self.high, self.step or 1)
        if self.integer and not all(float(end).is_integer() for end in ends):
            raise ValueError("integer: low, high and step are to be whole numbers")
        return self

    def _check_choices(self) -> Self:
        if (self.low, self.high, self.step) != (None, None, None) or self.log or self.integer:
            raise ValueError("gives choices and a range; give one of the two")
        if len(self.choices or ()) < 2:
            raise ValueError(f"choices: {len(self.choices or ())} of them; give two or more")
        if isinstance(self.choices, tuple):
            if any(isinstance(one, list | dict) for one in self.choices):
                raise ValueError(
                    "choices: each that is more than a number or a word needs a name, as in "
                    "{small: ..., large: ...}"
                )
            if len({json.dumps(one) for one in self.choices}) < len(self.choices):
                raise ValueError("choices: one stands twice")
        return self

    @property
    def labels(self) -> tuple[Scalar, ...]:
        """Its choices, those with a name by it; none of a range."""
        return tuple(self.choices or ())  # type: ignore[arg-type]

    def value(self, label: Any) -> Any:
        """A choice's label to its value; numbers of a range are themselves."""
        return self.choices[label] if isinstance(self.choices, dict) else label

    def points(self) -> tuple[Any, ...] | None:
        """All its values, or None where they are too many to count."""
        if self.choices is not None:
            return self.labels
        assert self.low is not None and self.high is not None
        step = self.step or (1.0 if self.integer and not self.log else None)
        if step is None:
            return None
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        found = (self.low + number * step for number in range(count))
        return tuple(int(one) if self.integer else one for one in found)

    def holds(self, value: Any) -> bool:
        """Whether a number lies in the range."""
        if isinstance(value, bool) or not isinstance(value, int | float) or self.low is None:
            return False
        assert self.high is not None
        inside = self.low <= value <= self.high
        if not inside or self.step is None:
            return inside and (not self.integer or float(value).is_integer())
        steps = (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-9

    def told(self) -> str:
        """In words: ``0.001 to 0.1, log`` or its choices."""
        if self.choices is not None:
            return ", ".join(label if isinstance(label, str) else json.dumps(label)
                             for label in self.labels)  # fmt: skip
        words = ["log"] * self.log + ["integer"] * self.integer
        words += [f"by {self.step:g}"] if self.step else []
        return ", ".join([f"{self.low:g} to {self.high:g}", *words])


class Dimension(Range):
    """A range, with the path in a recipe that it sets.

    Without a path every choice is a mapping of paths to values.
    """

    path: str | None = None
    within: Number | None = Field(
        None,
        gt=1,
        description="In place of low and high: from the recipe's own value divided by this to that "
        "value times this, on a log scale.",
    )
    when: dict[str, Several] = Field(
        default_factory=dict,
        description="Other dimensions and the choices of theirs under which alone this one exists.",
    )
    about: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.within is not None:
            if self.path is None:
                raise ValueError("within: is about the recipe's own value; give its path")
            if (self.low, self.high, self.step, self.choices) != (None, None, None, None):
                raise ValueError("within: stands in place of low, high, step and choices")
            return self
        super()._check()  # type: ignore[operator]
        if self.path is None:
            named = self.choices if isinstance(self.choices, dict) else {}
            if not named or not all(isinstance(one, dict) for one in named.values()):
                raise ValueError(
                    "give a path, or choices with names, each a mapping of paths to values"
                )
        return self

    def assignments(self, label: Any) -> dict[str, Any]:
        """A value, or the label of a choice, to the paths that it sets and their values."""
        value = self.value(label)
        return value if self.path is None else {self.path: value}

    @property
    def paths(self) -> frozenset[str]:
        """Every path that some value of it sets."""
        if self.path is not None:
            return frozenset([self.path])
        return frozenset(path for label in self.labels for path in self.assignments(label))

    def relative(self, own: Any) -> Dimension:
        """Itself with low and high, where these are told by the recipe's own value."""
        if self.within is None:
            return self
        if isinstance(own, bool) or not isinstance(own, int | float) or own <= 0:
            raise InvalidInput(
                f"within: the recipe has {json.dumps(own)} at {self.path}, which has no log scale; "
                "give low and high"
            )
        content = self.model_dump() | {"within": None, "log": True}
        return Dimension(**content | {"low": own / self.within, "high": own * self.within})


@dataclass(frozen=True)
class Space:
    """Dimensions by name, what decides about others before these."""

    dimensions: Mapping[str, Dimension]

    @classmethod
    def of(cls, search: Mapping[str, Dimension], recipe: Recipe) -> Space:
        """A search around a recipe. Raises `InvalidInput` with all that is wrong."""
        made: dict[str, Dimension] = {}
        problems = []
        for name, dimension in search.items():
            try:
                made[name] = dimension.relative(value_at(recipe, dimension.path or ""))
            except InvalidInput as error:
                problems += [f"search.{name}.{problem}" for problem in error.problems]
        problems += _conditions(search)
        if problems:
            raise InvalidInput(*problems)
        space = cls({name: made[name] for name in _ordered(made)})
        problems = list(space._collisions())
        if problems:
            raise InvalidInput(*problems)
        return space

    def exists(self, name: str, values: Values) -> bool:
        """Whether a dimension exists beside the ``values`` of those before it."""
        when = self.dimensions[name].when
        return all(other in values and values[other] in when[other] for other in when)

    def assignments(self, values: Values) -> dict[str, Any]:
        """Values to the dotted paths that they set."""
        return {
            path: value
            for name, label in values.items()
            for path, value in self.dimensions[name].assignments(label).items()
        }

    def at(self, recipe: Recipe, settled: Settle) -> dict[str, Any] | None:
        """The values that make a recipe what it is already, or None where it lies outside."""
        values: dict[str, Any] = {}
        for name in self.dimensions:
            if not self.exists(name, values):
                continue
            found = self._own(name, recipe, settled)
            if found is None:
                return None
            values[name] = found[0]
        return values if settled(recipe.override(self.assignments(values))) == recipe else None

    def outside(self, recipe: Recipe, settled: Settle) -> str | None:
        """The first dimension that a recipe has no value of, or None."""
        values: dict[str, Any] = {}
        for name in self.dimensions:
            if self.exists(name, values):
                found = self._own(name, recipe, settled)
                if found is None:
                    return name
                values[name] = found[0]
        return None

    def _own(self, name: str, recipe: Recipe, settled: Settle) -> tuple[Any] | None:
        """The value of a dimension that leaves a recipe as it is, or None where there is none."""
        dimension = self.dimensions[name]
        if not dimension.labels:
            value = value_at(recipe, dimension.path or "")
            return (value,) if dimension.holds(value) else None
        for label in dimension.labels:
            changes = dimension.assignments(label)
            # A component that is chosen whole loses what other dimensions set inside it.
            inside = [
                path
                for other in self.dimensions.values()
                for path in other.paths
                if any(v is not None and path.startswith(f"{p}.") for p, v in changes.items())
            ]
            own = {path: value_at(recipe, path) for path in inside}
            own = {path: value for path, value in own.items() if value is not None}
            if settled(recipe.override({**own, **changes})) == recipe:
                return (label,)
        return None

    def probes(self) -> Iterator[tuple[str, Any, dict[str, Any]]]:
        """(dimension, value, values of those it needs) for every choice and both ends of a range.

        Applied to a recipe these show every path and component that is wrong.
        """
        for name, dimension in self.dimensions.items():
            needed = self._needed(name)
            ends: tuple[Any, ...] = dimension.labels
            if not ends:
                kind = int if dimension.integer else float
                ends = (kind(dimension.low or 0), kind(dimension.high or 0))
            for label in ends:
                yield name, label, needed | {name: label}

    def grid(self) -> list[dict[str, Any]]:
        """Every setting, each once. Raises `InvalidInput` where a range has no step."""
        endless = [name for name, one in self.dimensions.items() if one.points() is None]
        if endless:
            raise InvalidInput(
                *(f"--sampler grid: search.{name}: has no step and no choices" for name in endless)
            )
        found: list[dict[str, Any]] = [{}]
        for name, dimension in self.dimensions.items():
            points = dimension.points() or ()
            found = [
                {**values, name: point} if self.exists(name, values) else values
                for values in found
                for point in (points if self.exists(name, values) else (None,))
            ]
            if len(found) > MAX_GRID:
                raise InvalidInput(f"--sampler grid: more than {MAX_GRID:,} settings")
        return found

    def as_json(self) -> dict[str, Any]:
        """What of it decides which values are tried."""
        return {
            name: dimension.model_dump(mode="json", exclude={"about", "within"})
            for name, dimension in self.dimensions.items()
        }

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """In what it differs from a space that `as_json` once gave, a line for each dimension."""
        mine = self.as_json()
        lines = [f"{name} is new" for name in mine if name not in other]
        lines += [f"{name} is gone" for name in other if name not in mine]
        for name in mine.keys() & other.keys():
            if mine[name] != other[name]:
                before = Dimension.model_validate(other[name])
                now = self.dimensions[name]
                told = f"{name} was {before.told()}, is {now.told()}"
                same = before.told() == now.told()
                lines.append(f"{name} has other paths, values or conditions" if same else told)
        return sorted(lines)

    def _needed(self, name: str) -> dict[str, Any]:
        """Values of other dimensions under which one exists."""
        values: dict[str, Any] = {}
        for other, allowed in self.dimensions[name].when.items():
            values |= self._needed(other) | {other: allowed[0]}
        return values

    def _collisions(self) -> Iterator[str]:
        """Dimensions that set one path and can exist together."""
        for (one, first), (two, second) in itertools.combinations(self.dimensions.items(), 2):
            shared = sorted(first.paths & second.paths)
            apart = any(
                not set(map(json.dumps, first.when[name])) & set(map(json.dumps, second.when[name]))
                for name in first.when.keys() & second.when.keys()
            )
            if shared and not apart:
                yield f"search.{two}: {shared[0]}: is set by search.{one} too; let one decide it"


def _conditions(search: Mapping[str, Dimension]) -> list[str]:
    """What is wrong with the dimensions and choices that others exist under."""
    problems = []
    for name, dimension in search.items():
        for other, allowed in dimension.when.items():
            place = f"search.{name}.when.{other}"
            if other not in search:
                problems.append(f"{place}: no such dimension{suggest(other, search)}")
                continue
            known = search[other].labels
            if not known:
                problems.append(f"{place}: is a range; a condition names choices")
            for label in allowed:
                if known and label not in known:
                    choices = suggest(str(label), map(str, known))
                    problems.append(f"{place}: no choice {json.dumps(label)}{choices}")
    names = _ordered(search)
    return problems + [
        f"search.{name}.when: exists under itself" for name in search if name not in names
    ]


def _ordered(search: Mapping[str, Dimension]) -> list[str]:
    """Names, each after those it exists under; what is in a circle is left out."""
    placed: list[str] = []
    before = -1
    while len(placed) > before:
        before = len(placed)
        placed += [
            name
            for name, dimension in search.items()
            if name not in placed
            and all(other in placed for other in dimension.when if other in search)
        ]
    return placed
