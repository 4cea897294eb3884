"""What a run is and what a study asks: frozen, validated values with an identity of content.

A `Recipe` says everything about a training but its seed; a `RunSpec` is a recipe and a seed.
A `Study` is a question: a base recipe, the factors that vary it, and the seeds that repeat it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    JsonValue,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from research.errors import InvalidInput, findings, suggest

SPEC_VERSION = 1
REFERENCES = ("data", "model", "loss", "optim", "schedule")
STEPS = ("preprocess", "augment")

Integer = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=60)]
# Cells join factor and level by "-" and their pairs by "__", so a level holds no "__".
Level = Annotated[str, Field(pattern=r"^[a-z0-9]+([_.][a-z0-9]+)*$", max_length=40)]
Steps = dict[str, dict[str, JsonValue] | None]


class Frozen(BaseModel):
    """A value: no field changes, no unknown field, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Ref(Frozen):
    """A component by its registered name, with its parameters: ``{name, params}`` or a name."""

    name: str = Field(min_length=1)
    params: dict[str, JsonValue] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if not isinstance(value, Mapping):
            raise ValueError(f"{json.dumps(plain(value))}; give a name, or {{name, params}}")
        return {**value, "params": plain(value["params"])} if "params" in value else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler(core_schema)]}


class DataRef(Ref):
    """Data by its source's name or a path; ``auto`` is what is found (`research.data.location`)."""

    name: str = Field("auto", min_length=1)


class Training(Frozen):
    """How long and in what arithmetic a net is trained, and which epoch is kept."""

    epochs: Integer = Field(30, ge=1)
    batch_size: Integer = Field(64, ge=2)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    select_by: Literal["val/accuracy", "val/macro_f1", "val/loss", "last"] = Field(
        "val/accuracy", description="What the tested epoch is best in; `last` is the last one."
    )
    early_stopping: Integer | None = Field(
        None, ge=1, description="Epochs without a better validation score before a run stops."
    )
    stop_by: Literal["selected", "loss_and_accuracy"] = Field(
        "selected",
        description="What early stopping looks at: the score that selects; or, as one write-up "
        "published it, an epoch is bad when its loss is above or its accuracy below that of the "
        "last good one.",
    )
    sampling: Literal["shuffled", "balanced", "in_order"] = Field(
        "shuffled",
        description="`balanced` draws every class equally often, with replacement; `in_order` "
        "never shuffles.",
    )
    warmup_epochs: Number = Field(
        0.0, ge=0, description="Epochs over which the learning rate rises from 0, step by step."
    )
    clip_norm: Number | None = Field(
        None, gt=0, description="Gradients of a larger norm are scaled down to it."
    )
    average: Number | None = Field(
        None,
        gt=0,
        lt=1,
        description="Decay of an exponential moving average of the weights, by step; the average "
        "is what is validated and tested.",
    )


class Holdout(Frozen):
    """How splits are taken that a data set does not bring itself."""

    holdout: Literal["persons", "images", "last"] = Field(
        "persons",
        description="`persons` keeps the images of one person together where persons are known, "
        "and copies of an image in any case; `images` does not mind persons; `last` takes the last "
        "images in the order of the files.",
    )
    val_fraction: Number = Field(
        0.1, gt=0, lt=1, description="For validation, where the set has no such split of its own."
    )
    test_fraction: Number = Field(
        0.1,
        ge=0,
        lt=1,
        description="For the test, where the set has no such split of its own; 0 tests on the "
        "validation images, as some write-ups did: that score is of images that chose the epoch.",
    )


class Input(Holdout):
    """What of the data is used and seen, whatever its source: the common part of ``data.params``.

    With ``folds`` the set's own splits are set aside: part ``fold`` of all images is the test, the
    next part validation, the rest is trained on.
    """

    folds: Integer | None = Field(
        None, ge=3, le=1000, description="Into how many parts the images are divided, by person."
    )
    fold: Integer | None = Field(None, ge=1, description="Which of the parts is the test, from 1.")

    size: Integer | None = Field(
        None, ge=8, le=1024, description="Side in pixels; null is the model's published size."
    )
    channels: Literal[1, 3] | None = Field(
        None, description="null is the model's published number; grey is repeated, colour weighted."
    )
    canvas: Integer | None = Field(
        None,
        ge=8,
        le=1024,
        description="Side that images are resized to before a window of `size` is taken, the "
        "middle where nothing is random; null is `size`: no crop.",
    )
    train_limit: Integer | None = Field(
        None, ge=2, description="At most so many training images, every class in its proportion."
    )
    eval_limit: Integer | None = Field(
        None, ge=2, description="At most so many images of each of validation and test."
    )


class TestViews(Frozen):
    """Which views of a test image are averaged, and what of them."""

    __test__ = False  # pytest takes a class of this name for a test

    views: Literal["single", "flip", "ten_crop"] = "single"
    average: Literal["logits", "probabilities"] = "probabilities"


class Recipe(Frozen):
    """Everything that decides a training, but for its seed."""

    data: DataRef = DataRef()
    model: Ref
    loss: Ref = Ref(name="cross_entropy")
    optim: Ref = Ref(name="adam")
    schedule: Ref = Ref(name="constant")
    preprocess: Steps = {}
    augment: Steps = {}
    training: Training = Training()
    test: TestViews = TestViews()

    def override(self, changes: Mapping[str, Any]) -> Self:
        """Dotted paths to values; returns a new spec, or says every path and value that is wrong.

        Whole references apply before paths inside them: fewer dots first.
        """
        data = self.model_dump(mode="json")
        problems = []
        for path in sorted(changes, key=lambda path: path.count(".")):
            problem = _assign(data, path, plain(changes[path]), type(self).model_fields)
            problems += [problem] if problem else []
        try:
            changed = type(self).model_validate(data)
        except ValidationError as error:
            problems += [f"{place}: {text}" for place, text in findings(error, type(self))]
        if problems:
            raise InvalidInput(*problems)
        return changed

    def canonical(self) -> dict[str, Any]:
        """The content that identity rests on: no locations, steps as ordered pairs."""
        content = self.model_dump(mode="json")
        content["data"].pop("name")
        params = content["model"]["params"]
        if params.get("weights_digest"):
            params.pop("weights")
        for steps in STEPS:
            content[steps] = [
                [name, params] for name, params in content[steps].items() if params is not None
            ]
        return {"spec_version": SPEC_VERSION, **content}

    @property
    def spec_hash(self) -> str:
        """Hash of the content, 32 hexadecimal digits."""
        return content_hash(self.canonical())


class RunSpec(Recipe):
    """One run: a recipe and the seed of its initial weights, order, augmentation and dropout."""

    seed: Integer = Field(1, ge=0, lt=2**32)


class Factor(Frozen):
    """A part of the system that a study varies, and the levels that it takes.

    A level is the value at ``path``, or, without a path, a mapping of dotted paths to values.
    """

    path: str | None = None
    levels: dict[Level, JsonValue] = Field(min_length=2)
    control: Level
    removed: Level | None = None
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


Folds = Annotated[int, Field(strict=True, ge=3, le=1000)] | Literal["subjects"]


class Profile(Frozen):
    """A size of study: what it sets on the base, its seeds and folds, its context cells."""

    about: str = ""
    set: dict[str, JsonValue] = {}
    seeds: Seeds | None = None
    folds: Folds | Literal["none"] | None = None
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
    levels: dict[Slug, Level] = {}
    set: dict[str, JsonValue] = {}
    folds: Folds | Literal["none"] | None = None


# What of a study does not change what it asks.
NO_QUESTION = {"title", "about", "seeds", "save", "profiles", "variants", "extends"}


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
    factors: dict[Slug, Factor] = {}
    fixed: dict[str, JsonValue] = Field(
        {},
        description="Paths and values that every cell has, applied together with the factors' "
        "levels; what is left of factors that are not varied this time.",
    )
    context: dict[Slug, dict[str, JsonValue]] = Field(
        {}, description="Cells outside the family of contrasts: name to the paths they set."
    )
    design: Literal["leave_one_out", "add_one_in", "one_at_a_time", "full_factorial"] = (
        "leave_one_out"
    )
    seeds: Seeds = (1, 2, 3, 4, 5)
    folds: Folds | None = Field(
        None,
        description="Cross-validation: every cell and seed is run on every fold, and the folds' "
        "test images are judged together. `subjects` is as many folds as persons: each is left "
        "out once.",
    )
    metric: Literal["test/accuracy", "test/macro_f1", "test/balanced_accuracy"] = "test/accuracy"
    margin: Number = Field(0.01, gt=0, lt=1)
    alpha: Number = Field(0.05, gt=0, lt=0.5)
    save: Literal["best", "all", "none"] = "best"
    profiles: Profiles = Profiles()
    variants: dict[Slug, Variant] = Field(
        {}, description="Forms of the system to choose from (--variant), such as `published`."
    )

    @model_validator(mode="after")
    def _check_variants(self) -> Self:
        for variant, form in self.variants.items():
            for name, level in form.levels.items():
                place = f"variants.{variant}.levels.{name}"
                if name not in self.factors:
                    raise ValueError(f"{place}: no such factor{suggest(name, self.factors)}")
                if level not in self.factors[name].levels:
                    known = self.factors[name].levels
                    raise ValueError(f"{place}: no level '{level}'{suggest(level, known)}")
        return self

    def replaced(self, **changes: Any) -> Self:
        """The same study with other fields; raises `InvalidInput`."""
        try:
            return type(self).model_validate(self.model_dump() | changes)
        except ValidationError as error:
            problems = findings(error, type(self))
        raise InvalidInput(*(f"{place}: {text}" for place, text in problems))

    @property
    def question_hash(self) -> str:
        """Hash of what is asked, whatever the seeds: two studies of one hash share a parent run."""
        content = self.model_dump(mode="json", exclude={*NO_QUESTION, "base"})
        for factor in content["factors"].values():
            factor.pop("about")
        return content_hash(content | {"base": self.base.canonical()})


def plain(value: Any) -> Any:
    """A value as JSON has it: tuples, arrays and tensors become lists, their numbers Python's."""
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value.tolist() if hasattr(value, "tolist") else value


def content_hash(content: Any) -> str:
    """JSON-like content to 32 hexadecimal digits; the order of mappings does not matter."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def fingerprint(spec: RunSpec, data_digest: str) -> str:
    """What a run is: the hash of its spec and of the data it is run on."""
    return content_hash([spec.spec_hash, data_digest])


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings to dotted paths and leaves; an empty mapping is a leaf."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def value_at(recipe: Recipe, path: str) -> Any:
    """The value that ``path`` has in a recipe, or None where it has none."""
    value: Any = recipe.model_dump(mode="json")
    for segment in path.split("."):
        value = value.get(segment) if isinstance(value, dict) else None
    return value


def _assign(data: dict[str, Any], path: str, value: Any, fields: Mapping[str, Any]) -> str | None:
    """Set ``path`` in the nested ``data``; returns what is wrong with the path, if anything."""
    head, *rest = path.split(".")
    if head not in fields or not all(re.fullmatch(r"[A-Za-z0-9_]+", part) for part in rest):
        return f"{path}: no such path in a run spec{suggest(head, fields)}"
    if head in REFERENCES and rest and rest[0] not in ("name", "params"):
        inner = rest[1:] if len(rest) > 1 and suggest(rest[0], ["params"])[2:5] == "did" else rest
        meant = ".".join([head, "params", *inner])
        return f"{path}: a reference has a name and params; did you mean '{meant}'?"
    if head in REFERENCES and not rest and isinstance(value, str):
        value = {"name": value, "params": {}}
    if not rest:
        data[head] = value
        return None
    target = data[head]
    for part in rest[:-1]:
        if not isinstance(target.get(part), dict):
            target[part] = {}
        target = target[part]
    target[rest[-1]] = value
    return None
