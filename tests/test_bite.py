"""Whether cells change what they say, and nothing else: found before any training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import research
from research.bite import bites
from research.design import with_base
from research.errors import InvalidInput
from research.planning import Plan, prepare
from research.project import Project
from research.request import Request
from research.study import Study
from research.tracking.memory import MemoryTracker
from tests import layouts

FEW = {"data.params.train_images": 70, "data.params.val_images": 42, "data.params.test_images": 42}
PLAIN = {"training.precision": "fp32", "training.memory_format": "contiguous"}


def planned(study: Study | str, project: Project, **more: Any) -> Plan:
    asked = Request(data="embedded", profile="quick", seeds=1, **more)
    return prepare(study, asked, project, MemoryTracker())


def with_factor(tiny: Study, name: str, **factor: Any) -> Study:
    return tiny.replaced(factors={name: factor})


@pytest.mark.parametrize("soft", [True, False])
def test_when_labels_are_gone_over_to_matters_where_there_are_soft_ones(
    tiny: Study, project: Project, tmp_path: Path, soft: bool
) -> None:
    levels = {"first": 0.7, "never": 0.0}
    study = with_factor(
        tiny, "targets", path="training.labels_from", levels=levels, control="first"
    )
    file = layouts.ferplus(tmp_path / "votes")
    asked = Request(data=str(file if soft else file.with_name("fer2013.csv")), seeds=1)
    study = with_base(study, {"data.params": {"labels": "fer2013"} if soft else {}})
    plan = prepare(study, asked, project, MemoryTracker())
    if soft:
        assert sorted(bites(plan)["no-targets"].differs) == ["training"]
    else:
        with pytest.raises(InvalidInput, match="cell 'no-targets': takes no effect"):
            bites(plan)


def test_each_part_is_told_by_what_it_changes(tiny: Study, project: Project) -> None:
    factors = {
        "norm": {"path": "model.params.batch_norm", "levels": {"on": True, "off": False}},
        "smoothing": {"path": "loss.params.label_smoothing", "levels": {"on": 0.1, "off": 0.0}},
        "flip": {"path": "augment.flip", "levels": {"on": {}, "off": None}},
        "mixup": {"path": "augment.mixup", "levels": {"on": {"alpha": 0.2}, "off": None}},
        "equalize": {"path": "preprocess.equalize", "levels": {"on": {}, "off": None}},
        "rate": {"path": "optim.params.lr", "levels": {"on": 0.003, "off": 0.001}},
        "decay": {"path": "schedule", "levels": {"on": "cosine", "off": "constant"}},
        "order": {"path": "training.sampling", "levels": {"on": "shuffled", "off": "in_order"}},
        "views": {"path": "test.views", "levels": {"on": "flip", "off": "single"}},
        "images": {"path": "data.params.train_limit", "levels": {"on": None, "off": 28}},
    }
    study = tiny.replaced(factors={name: one | {"control": "on"} for name, one in factors.items()})
    found = bites(planned(study, project))
    assert {name.removeprefix("no-"): sorted(bite.differs) for name, bite in found.items()} == {
        "norm": ["net"],
        "smoothing": ["loss"],
        "flip": ["batch"],
        "mixup": ["batch"],
        "equalize": ["batch", "input"],
        "rate": ["optimiser"],
        "decay": ["schedule"],
        "order": ["training"],
        "views": ["test"],
        "images": ["batch", "input"],  # other images are looked at
    }
    assert not any(bite.beyond for bite in found.values())
    assert "BatchNorm2d 5 to 0" in found["no-norm"].differs["net"]
    assert found["no-rate"].differs["optimiser"] == "lr 0.003 to 0.001"


@pytest.mark.parametrize(
    "factor",
    [
        # at 63 pixels the last map is one pixel: its average is the map itself
        {"path": "model.params.head", "levels": {"on": "pool_mlp", "off": "flatten_mlp"}},
        {"path": "loss", "levels": {"on": {"name": "focal", "params": {"gamma": 0.0}}}}
        | {"levels": {"on": {"name": "focal", "params": {"gamma": 0.0}}, "off": "cross_entropy"}},
        {"path": "model.params.dropout", "levels": {"on": 0.0, "off": 0.5}},  # of a head without
        {"path": "augment.flip", "levels": {"on": {"p": 0.0}, "off": None}},
    ],
)
def test_a_part_that_is_not_really_removed_is_refused(
    tiny: Study, project: Project, factor: dict[str, Any]
) -> None:
    study = with_factor(tiny, "part", control="on", **factor)
    if factor["path"] == "augment.flip":
        study = study.replaced(base=study.base.override({"augment.mixup": None}))
    with pytest.raises(InvalidInput, match=r"cell .no-part.: takes no effect: .* leave part out"):
        bites(planned(study, project))


def test_a_cell_that_changes_more_than_its_factor_is_told(tiny: Study, project: Project) -> None:
    base = tiny.base.override(
        {
            "data.params.channels": None,
            "data.params.size": None,
            "model": {} | {"name": "fer_cnn", "params": {"width": 0.05}},
        }
    )
    study = with_factor(
        tiny.replaced(base=base),
        "net",
        path="model.name",
        control="fer_cnn",
        levels={"fer_cnn": "fer_cnn", "facecnn": "facecnn"},
    )
    (bite,) = bites(planned(study, project)).values()
    assert bite.differs["input"] == "48 x 3 to 48 x 1"
    assert bite.beyond == ("input", "batch")


def test_dead_biases_change_parameters_and_no_answer(tiny: Study, project: Project) -> None:
    levels = {"kept": True, "dropped": False}
    path = "model.params.bias_before_norm"
    study = with_factor(tiny, "bias", path=path, levels=levels, control="kept")
    (bite,) = bites(planned(study, project)).values()
    assert bite.differs["net"].endswith("the same answers with the same weights")


def test_no_run_is_made_of_a_study_whose_cell_takes_no_effect(
    tiny: Study, project: Project
) -> None:
    levels = {"pool_mlp": "pool_mlp", "flatten_mlp": "flatten_mlp"}
    study = with_factor(
        tiny, "pooling", path="model.params.head", levels=levels, control="pool_mlp"
    )
    with pytest.raises(InvalidInput, match="takes no effect"):
        research.ablate(study, seeds=1, executor="inline")
    assert not list(Path(project.runs).glob("artifacts/*"))


@pytest.mark.parametrize("name", ["alexnet_pro", "s0_fer2013", "s1_facecnn", "s3_fer_cnn"])
def test_the_cells_of_shipped_studies_bite(name: str, project: Project) -> None:
    found = bites(planned(name, project, changes=FEW | PLAIN))
    assert found and not any(bite.beyond for bite in found.values())


def test_what_is_too_large_or_too_rare_to_be_seen_is_not_refused(
    tiny: Study, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = {"rare": {"p": 0.01}, "absent": None}
    path = "augment.flip"
    study = with_factor(tiny, "flip", path=path, levels=levels, control="rare")
    study = study.replaced(base=study.base.override({"augment.mixup": None}))
    (bite,) = bites(planned(study, project)).values()
    assert bite.differs
    monkeypatch.setattr("research.bite.LARGE_MACS", 0)
    path = "model.params.dropout"
    base = tiny.base.override({"model.params.head": "pool_mlp"})
    study = with_factor(
        tiny.replaced(base=base), "drop", path=path, levels={"a": 0.5, "b": 0.3}, control="a"
    )
    (bite,) = bites(planned(study, project)).values()
    assert "too large to be compared" in bite.differs["net"]
