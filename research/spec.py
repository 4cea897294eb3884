"""What a run is: frozen, validated values with an identity of content.

A `Recipe` says everything about a training but its seed; a `RunSpec` is a recipe and a seed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    JsonValue,
    ValidationError,
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
    compile: Literal["auto", "off", "on"] = Field(
        "auto",
        description="Whether training steps of whole batches are compiled (torch.compile); `auto` "
        "measures it where a study has steps enough to pay for that.",
    )
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
    labels_from: Number | None = Field(
        None,
        ge=0,
        le=1,
        description="Where the data has soft labels beside labels: training begins with the soft "
        "ones, goes over to the labels evenly and has them alone from this share of its steps on; "
        "null is soft labels throughout.",
    )
    accumulate: Integer = Field(
        1,
        ge=1,
        le=64,
        description="Parts in which a batch goes through the net, one after the other, their "
        "gradients added up: takes less memory, and batch norm sees a part at a time.",
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
    """What is kept of a data set, and how splits are taken that it does not bring itself."""

    only: list[str] | None = Field(
        None, min_length=2, description="Classes that are kept, in any spelling; null is all."
    )
    holdout: Literal["persons", "images", "last"] = Field(
        "persons",
        description="`persons` keeps the images of one person together where persons are known, "
        "else copies of an image; `images` minds copies alone; `last` takes the last images in the "
        "order of the files, whatever they are.",
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
        if content["training"]["accumulate"] == 1:  # as specs were before there was such a field
            content["training"].pop("accumulate")
        if content["training"]["labels_from"] is None:
            content["training"].pop("labels_from")
        if content["training"]["compile"] != "on":
            content["training"].pop("compile")
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
