"""What a study asks: a base recipe, the factors that vary it, what repeats it (seeds, folds)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    JsonValue,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from research.errors import InvalidInput, findings, suggest
from research.space import Dimension, Range
from research.spec import Frozen, Integer, Number, Recipe, content_hash

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=60)]
# Cells join factor and level by "-" and their pairs by "__", so a level holds no "__".
Level = Annotated[str, Field(pattern=r"^[a-z0-9]+([_.][a-z0-9]+)*$", max_length=40)]


Levels = dict[str, str]  # factor to level


def _listed(value: Any) -> Any:
    """A level, or several, as several."""
    return (value,) if isinstance(value, str) else value


# Factors to the levels that are meant; one level may stand by itself.
Where = dict[Slug, Annotated[tuple[Level, ...], BeforeValidator(_listed), Field(min_length=1)]]


class Factor(Frozen):
    """A part of the system that a study varies, and the levels that it takes.

    A level is the value at ``path``, or, without a path, a mapping of dotted paths to values.
    """

    path: str | None = None
    levels: dict[Level, JsonValue] = Field(min_length=2)
    control: Level
    removed: Level | None = None
    under: Where = Field(
        default_factory=dict,
        description="Other factors and the levels of theirs under which alone this one exists, as "
        "the strength of a part that is there.",
    )
    about: str = ""

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        for role in ("control", "removed"):
            level = getattr(self, role)
            if level is not None and level not in self.levels:
                raise ValueError(
                    f"{role}: '{level}' is not one of the levels{suggest(level, self.levels)}"
                )
        if self.control == self.removed:
            raise ValueError(f"control and removed are both '{self.control}'; name two levels")
        if self.path is None:
            for level, value in self.levels.items():
                if not isinstance(value, dict):
                    raise ValueError(
                        f"level '{level}' is {json.dumps(value)}; give the factor a path, or make "
                        "each level a mapping of paths to values"
                    )
        return self

    def assignments(self, level: str) -> dict[str, JsonValue]:
        """A level's name to the paths that it sets and their values."""
        value = self.levels[level]
        if self.path is not None:
            return {self.path: value}
        assert isinstance(value, dict)
        return value

    @property
    def paths(self) -> frozenset[str]:
        """Every path that some level sets."""
        return frozenset(path for level in self.levels for path in self.assignments(level))

    @property
    def adds(self) -> bool:
        """Whether the control is without the part, so that the other level puts it in.

        A form that was published wrong, and its correction, are no parts either.
        """
        return self.control in ("none", "absent", "published", "corrected")

    @property
    def absent(self) -> str | None:
        """The level that stands for the part taken out: ``removed``, or the other one of two."""
        if self.removed is not None or len(self.levels) > 2:
            return self.removed
        return next(level for level in self.levels if level != self.control)


def _first_seeds(value: Any) -> Any:
    if type(value) is int:
        if not 1 <= value <= 1000:
            raise ValueError(f"{value} seeds; give 1 to 1000, or a list such as [3, 7, 11]")
        return list(range(1, value + 1))
    return value


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"a seed stands twice in {list(seeds)}; replicates need distinct seeds")
    return seeds


Seed = Annotated[int, Field(strict=True, ge=0, lt=2**32)]
Seeds = Annotated[
    tuple[Seed, ...],
    Field(min_length=1),
    BeforeValidator(_first_seeds),
    AfterValidator(_distinct),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 1000},
                {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}},
            ],
            "description": "A number: the first so many of 1, 2, 3 ...; or a list of seeds.",
        }
    ),
]


def _known_folds(value: Any) -> Any:
    if value is None or value == "subjects" or (type(value) is int and 3 <= value <= 1000):
        return value
    raise ValueError(f"{json.dumps(value)}; give a number from 3 to 1000, or subjects")


Folds = Annotated[int | Literal["subjects"], BeforeValidator(_known_folds)]
FoldsOrNone = Annotated[
    int | Literal["subjects", "none"],
    BeforeValidator(lambda value: value if value == "none" else _known_folds(value)),
]


class Profile(Frozen):
    """A size of study: what it sets on the base, its seeds and folds, its context cells."""

    about: str = ""
    set: dict[str, JsonValue] = Field(default_factory=dict)
    seeds: Seeds | None = None
    folds: FoldsOrNone | None = None
    context: dict[Slug, dict[str, JsonValue]] | None = None


class Profiles(Frozen):
    """``full`` runs on real data, ``quick`` on the embedded set; both can be asked for by name."""

    full: Profile = Profile()
    quick: Profile = Profile()


class Variant(Frozen):
    """A form of a system under one name: which level of some factors is its control, what it sets.

    What the forms differ in being factors, the difference can be ablated from either side.
    """

    about: str = ""
    levels: dict[Slug, Level] = Field(default_factory=dict)
    set: dict[str, JsonValue] = Field(default_factory=dict)
    folds: FoldsOrNone | None = None


class FractionOf(Frozen):
    """How much of a full factorial is run: so many cells, or as few as a resolution allows."""

    resolution: Literal[3, 4, 5] | None = Field(
        None,
        description="3: main effects are aliased with interactions of two factors; 4, the default: "
        "these with each other only; 5: neither.",
    )
    cells: Integer | None = Field(None, ge=2, description="A power of 2.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.resolution is not None and self.cells is not None:
            raise ValueError("gives both a resolution and a number of cells; give one")
        return self


class Nuisance(Frozen):
    """Values that are no question of a study but decide how well a part does, as the learning rate.

    They are tuned for each cell alone, on validation, with the same number of ``trials``, so that a
    part is not blamed for a rate that suits another.
    """

    paths: dict[str, Range] = Field(min_length=1)
    trials: Integer = Field(10, ge=2, le=1000)


# What of a study does not change what it asks.
NO_QUESTION = {"title", "about", "seeds", "save", "profiles", "variants", "extends", "search"}


class Study(Frozen):
    """A question about a system: which of its factors earn their keep."""

    extends: str | None = Field(
        None,
        description="A study, by name, that this file changes: mappings are merged, null takes "
        "away. Resolved when the file is read.",
    )
    name: Slug
    title: str = ""
    about: str = ""
    base: Recipe
    factors: dict[Slug, Factor] = Field(default_factory=dict)
    fixed: dict[str, JsonValue] = Field(
        {},
        description="Paths and values that every cell has, applied together with the factors' "
        "levels; what is left of factors that are not varied this time.",
    )
    context: dict[Slug, dict[str, JsonValue]] = Field(
        {}, description="Cells outside the family of contrasts: name to the paths they set."
    )
    design: Literal[
        "leave_one_out",
        "add_one_in",
        "one_at_a_time",
        "full_factorial",
        "fractional_factorial",
        "explicit",
    ] = "leave_one_out"
    fraction: FractionOf = Field(FractionOf(), description="Of the design fractional_factorial.")
    cells: tuple[dict[Slug, Level], ...] = Field(
        (),
        description="Of the design explicit: the levels that each cell has; those of other "
        "factors are the control's.",
    )
    exclude: tuple[Where, ...] = Field(
        (), description="Levels of factors that cannot be together; cells with all of them are not."
    )
    seeds: Seeds = (1, 2, 3, 4, 5)
    nuisance: Nuisance | None = Field(
        None, description="What is tuned for each cell before its seeds are run."
    )
    search: dict[Slug, Dimension] = Field(
        {},
        description="What `research tune` seeks: dimensions by name. A study without one gets "
        "those of the template that its recipe has a place for.",
    )
    folds: Folds | None = Field(
        None,
        description="Cross-validation: every cell and seed is run on every fold, and the folds' "
        "test images are judged together. `subjects` is as many folds as persons: each is left "
        "out once.",
    )
    metric: Literal["test/accuracy", "test/macro_f1", "test/balanced_accuracy"] = "test/accuracy"
    margin: Number = Field(0.01, gt=0, lt=1)
    alpha: Number = Field(0.05, gt=0, lt=0.5)
    method: Literal["paired_t_holm", "blocked_dunnett"] = Field(
        "paired_t_holm",
        description="blocked_dunnett takes one variance for all cells: it finds more, and errs "
        "more often where one cell varies more than the others.",
    )
    save: Literal["best", "all", "none"] = "best"
    profiles: Profiles = Profiles()
    variants: dict[Slug, Variant] = Field(
        {}, description="Forms of the system to choose from (--variant), such as `published`."
    )

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        """Every level that is named elsewhere than at its factor is one of that factor's."""
        named: list[tuple[str, Mapping[str, tuple[str, ...]]]] = [
            (f"variants.{variant}.levels", {n: (one,) for n, one in form.levels.items()})
            for variant, form in self.variants.items()
        ]
        named += [
            (f"cells.{number}", {name: (level,) for name, level in cell.items()})
            for number, cell in enumerate(self.cells, 1)
        ]
        named += [(f"exclude.{number}", rule) for number, rule in enumerate(self.exclude, 1)]
        named += [(f"factors.{name}.under", one.under) for name, one in self.factors.items()]
        for place, levels in named:
            for name, several in levels.items():
                if name not in self.factors:
                    text = f"no such factor{suggest(name, self.factors)}"
                    raise ValueError(f"{place}.{name}: {text}")
                known = self.factors[name].levels
                for level in several:
                    if level not in known:
                        text = f"no level '{level}'{suggest(level, known)}"
                        raise ValueError(f"{place}.{name}: {text}")
        return self

    @model_validator(mode="after")
    def _check_nesting(self) -> Self:
        for name in self.factors:
            seen, above = {name}, list(self.factors[name].under)
            while above:
                parent = above.pop()
                if parent == name:
                    raise ValueError(f"factors.{name}.under: it is under itself")
                if parent not in seen:
                    seen.add(parent)
                    above += self.factors[parent].under
        return self

    @model_validator(mode="after")
    def _check_design(self) -> Self:
        if self.design == "explicit" and not self.cells:
            raise ValueError("design explicit: needs cells, as in cells: [{mixup: absent}]")
        if self.cells and self.design != "explicit":
            raise ValueError(f"cells: are of the design explicit, not of {self.design}")
        return self

    def replaced(self, **changes: Any) -> Self:
        """The same study with other fields; raises `InvalidInput`."""
        try:
            return type(self).model_validate(self.model_dump() | changes)
        except ValidationError as error:
            problems = findings(error, type(self))
        raise InvalidInput(*(f"{place}: {text}" if place else text for place, text in problems))

    @property
    def question_hash(self) -> str:
        """Hash of what is asked, whatever the seeds: two studies of one hash share a parent run."""
        content = self.model_dump(mode="json", exclude={*NO_QUESTION, "base"})
        for factor in content["factors"].values():
            factor.pop("about")
        return content_hash(content | {"base": self.base.canonical()})
