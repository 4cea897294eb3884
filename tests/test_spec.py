from __future__ import annotations

import pytest
from pydantic import ValidationError

from research.errors import InvalidInput, findings
from research.spec import Recipe, RunSpec, fingerprint
from research.study import Factor, Study


def spec(**more: object) -> RunSpec:
    return RunSpec.model_validate({"model": "alexnet", **more})


def test_the_hash_has_golden_values() -> None:
    assert spec().spec_hash == "b97d52d4a441b5159314a10bd3d87060"
    changed = spec(
        data={"name": "x.csv", "params": {"size": 48}},
        loss={"name": "focal", "params": {"gamma": 2.0}},
        augment={"flip": {}, "mixup": {"alpha": 0.2}},
        seed=7,
    )
    assert changed.spec_hash == "f960c7b46543ad739c774f7a0a061325"


def test_location_does_not_count_and_seed_does() -> None:
    here, there = spec(data={"name": "a.csv"}), spec(data={"name": "/b/c.npz"})
    assert here.spec_hash == there.spec_hash
    assert spec(seed=2).spec_hash != spec(seed=3).spec_hash
    assert spec(data={"name": "a", "params": {"size": 48}}).spec_hash != here.spec_hash


def test_the_order_of_steps_counts_and_that_of_parameters_does_not() -> None:
    one = spec(augment={"flip": {}, "shift": {}})
    other = spec(augment={"shift": {}, "flip": {}})
    assert one.spec_hash != other.spec_hash
    one = spec(optim={"name": "adam", "params": {"lr": 1e-3, "weight_decay": 0.0}})
    other = spec(optim={"name": "adam", "params": {"weight_decay": 0.0, "lr": 1e-3}})
    assert one.spec_hash == other.spec_hash


def test_a_step_that_is_null_is_a_step_that_is_absent() -> None:
    assert (
        spec(augment={"flip": {}, "mixup": None}).spec_hash == spec(augment={"flip": {}}).spec_hash
    )


def test_fingerprint_joins_spec_and_data() -> None:
    assert fingerprint(spec(), "a") != fingerprint(spec(), "b")
    assert fingerprint(spec(), "a") != fingerprint(spec(seed=2), "a")


def test_override_reaches_every_kind_of_path() -> None:
    changed = spec().override(
        {
            "optim.params.lr": 0.1,
            "loss": "focal",
            "loss.params.gamma": 5.0,
            "augment.mixup.alpha": 0.4,
            "preprocess.equalize": {},
            "training.epochs": 3,
            "data.params.size": 96,
            "seed": 9,
        }
    )
    assert changed.optim.params == {"lr": 0.1}
    assert (changed.loss.name, changed.loss.params) == ("focal", {"gamma": 5.0})
    assert changed.augment == {"mixup": {"alpha": 0.4}}
    assert changed.training.epochs == 3
    assert (changed.data.params["size"], changed.seed) == (96, 9)


def test_whole_references_apply_before_paths_inside_them() -> None:
    base = spec(loss={"name": "focal", "params": {"gamma": 1.0}})
    for order in (1, -1):
        changes = [("loss.params.label_smoothing", 0.1), ("loss", {"name": "cross_entropy"})]
        changed = base.override(dict(changes[::order]))
        assert changed.loss.name == "cross_entropy"
        assert changed.loss.params == {"label_smoothing": 0.1}


def test_override_tells_all_that_is_wrong_with_near_misses() -> None:
    with pytest.raises(InvalidInput) as error:
        spec().override(
            {"optm.params.lr": 1, "optim.lr": 2, "training.epoch": 3, "training.batch_size": "x"}
        )
    text = str(error.value)
    assert "optm.params.lr: no such path in a run spec; did you mean 'optim'?" in text
    assert "did you mean 'optim.params.lr'?" in text
    assert "training.epoch: no such field; did you mean 'epochs'?" in text
    assert 'training.batch_size: input should be a valid integer, not "x"' in text


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3"])
def test_epochs_are_whole_and_positive(value: object) -> None:
    with pytest.raises(ValidationError):
        spec(training={"epochs": value})


def test_nan_is_refused_anywhere() -> None:
    with pytest.raises(ValidationError):
        spec(optim={"name": "adam", "params": {"lr": float("nan")}})


def test_specs_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        spec().seed = 3  # type: ignore[misc]


def test_a_factor_of_two_levels_needs_no_word_for_the_one_taken_out() -> None:
    two = Factor(path="x", levels={"a": 1, "b": 2}, control="a")
    three = Factor(path="x", levels={"a": 1, "b": 2, "c": 3}, control="a")
    assert (two.absent, three.absent) == ("b", None)


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        ({"levels": {"on": 1, "off": 2}, "control": "onn"}, "did you mean 'on'?"),
        ({"levels": {"on": 1}, "control": "on"}, "at least 2"),
        ({"levels": {"on": 1, "off": 2}, "control": "on"}, "give the factor a path"),
        ({"levels": {"on": {}, "off": {}}, "control": "on", "removed": "on"}, "name two levels"),
        ({"levels": {"a b": {}, "off": {}}, "control": "off"}, "pattern"),
    ],
)
def test_wrong_factors_are_explained(factor: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError) as error:
        Factor.model_validate(factor)
    assert words in " ".join(text for _, text in findings(error.value, Factor))


@pytest.mark.parametrize(("seeds", "made"), [(3, (1, 2, 3)), ([3, 7, 11], (3, 7, 11)), ([5], (5,))])
def test_seeds_are_a_number_or_a_list(seeds: object, made: tuple[int, ...]) -> None:
    study = Study.model_validate({"name": "x", "base": {"model": "m"}, "seeds": seeds})
    assert study.seeds == made


@pytest.mark.parametrize("seeds", [0, -1, [], [1, 1], [1.5], "3", 10**6])
def test_wrong_seeds_are_refused(seeds: object) -> None:
    with pytest.raises(ValidationError):
        Study.model_validate({"name": "x", "base": {"model": "m"}, "seeds": seeds})


def test_more_seeds_are_the_same_question_and_other_epochs_are_not(tiny: Study) -> None:
    more = tiny.model_copy(update={"seeds": (1, 2, 3, 4)})
    longer = tiny.model_copy(update={"base": tiny.base.override({"training.epochs": 9})})
    retitled = tiny.model_copy(update={"title": "other words"})
    assert more.question_hash == retitled.question_hash == tiny.question_hash
    assert longer.question_hash != tiny.question_hash


def test_a_recipe_has_no_seed() -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate({"model": "alexnet", "seed": 3})
