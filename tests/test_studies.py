from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from research import design, registry
from research.errors import InvalidInput
from research.project import Project, shipped_studies
from research.studies import (
    load_study,
    parse_changes,
    read_study,
    schema,
    study_names,
)
from research.study import Study
from research.validation import complete_cells
from research.yaml_source import MAX_BYTES, parse_yaml

FILES = sorted(shipped_studies().glob("*.yaml"))
GOOD = """\
name: mine
base:
  model: alexnet
factors:
  mixup:
    path: augment.mixup
    levels: {on: {alpha: 0.2}, off: null}
    control: on
"""


def write(tmp_path: Path, text: str, name: str = "mine.yaml") -> Path:
    file = tmp_path / name
    file.write_text(text)
    return file


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_shipped_studies_obey_the_published_schema(file: Path) -> None:
    jsonschema.validate(parse_yaml(file.read_text(), file.name)[0], json.loads(schema()))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_shipped_studies_pass_both_gates_in_every_profile(file: Path) -> None:
    study, _ = read_study(file)
    assert study.name == file.stem
    for profile in (study.profiles.quick, study.profiles.full):
        sized = design.with_base(study, profile.set)
        for kind in ("leave_one_out", "one_at_a_time", "add_one_in"):
            one = sized.model_copy(update={"design": kind})
            complete_cells(one, design.cells(one), "embedded")


def test_the_schema_in_the_repository_is_the_program_s() -> None:
    assert (shipped_studies() / "schema.json").read_text() == schema()


def test_the_shipped_study_is_the_one_that_was_asked_for() -> None:
    study, _ = load_study("alexnet_pro", Project(Path("/nowhere")))
    cells = {cell.name: cell.recipe for cell in design.cells(study)}
    assert list(cells) == [
        "control",
        *("no-branches", "no-batch_norm", "no-global_average_pool", "no-loss", "no-mixup"),
        *("no-label_smoothing", "no-equalize", "no-augment"),
        "alexnet",
    ]
    control = cells["control"]
    assert control.data.params == {"size": 96, "channels": 3}
    assert control.loss.params == {"gamma": 2.0, "alpha": 1.0, "label_smoothing": 0.1}
    assert cells["no-loss"].loss.name == "cross_entropy"
    assert cells["no-loss"].loss.params == {"label_smoothing": 0.1}
    assert cells["no-mixup"].augment["mixup"] is None
    assert list(cells["no-augment"].augment) == ["flip", "shift", "rotation", "mixup"]
    assert set(study.profiles.quick.set) <= {
        *("data.params.train_limit", "data.params.eval_limit", "training.epochs"),
        *("training.batch_size", "model.params.width", "model.params.dropout"),
    }


def test_words_and_numbers_are_what_people_mean() -> None:
    content, _ = parse_yaml("{a: on, b: 1e-3, c: no, d: 010, e: 1:30, f: true, g: ~}", "x")
    assert content == {
        "a": "on",
        "b": 1e-3,
        "c": "no",
        "d": "010",
        "e": "1:30",
        "f": True,
        "g": None,
    }


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("control: on", "control: onn", 5, "did you mean 'on'?"),
        ("  model: alexnet", "  modl: alexnet", 3, "no such field; did you mean 'model'?"),
        ("name: mine", "name: mine\nseds: 3", 2, "no such field; did you mean 'seeds'?"),
        ("name: mine", "name: My Study", 1, "pattern"),
        ("  model: alexnet", "  model: alexnet\n  training: {epochs: 0}", 4, "greater than"),
        ("factors:", "factors: [\n", 5, "is not YAML"),
        ("factors:", "name: again\nfactors:", 4, "'name' stands twice"),
    ],
)
def test_errors_name_file_and_line_and_near_miss(
    tmp_path: Path, old: str, new: str, line: int, words: str
) -> None:
    file = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(InvalidInput) as error:
        read_study(file)
    assert re.search(rf"^{re.escape(str(file))}:\d+: .*{re.escape(words)}", str(error.value), re.M)
    if words != "is not YAML":
        assert f"{file}:{line}:" in str(error.value)


def test_all_errors_come_at_once(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD.replace("control: on", "control: onn") + "seds: 3\nmargin: 2\n")
    with pytest.raises(InvalidInput) as error:
        read_study(file)
    assert len(error.value.problems) == 3


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [*x]",
        "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
        "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
        "e: [*d,*d,*d,*d,*d]\n",
        "a: !!python/object/apply:os.system [true]",
        "- 1",
        "",
        "? [1]\n: 2",
    ],
)
def test_hostile_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"x\.yaml"):
        parse_yaml(text, "x.yaml")


def test_files_that_are_no_study_are_refused(tmp_path: Path) -> None:
    big = write(tmp_path, "#" * (MAX_BYTES + 1), "big.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    for file in (big, binary, tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(InvalidInput, match=re.escape(str(file))):
            read_study(file)


def test_a_project_s_own_study_hides_the_shipped_one(project: Project) -> None:
    own = project.root / "ablations" / "alexnet_pro.yaml"
    own.write_text(GOOD.replace("mine", "alexnet_pro"))
    study, origin = load_study("alexnet_pro", project)
    assert (list(study.factors), origin.file) == (["mixup"], own)
    assert {"tiny", "alexnet_pro"} <= set(study_names(project))
    assert "default" not in study_names(project)


NAMES = [name for name in registry.models.names() if not name.startswith("torchvision/")]


@pytest.mark.parametrize("model", [*NAMES, "torchvision/resnet50", "torchvision/vit_b_16"])
def test_every_model_has_a_study(model: str, tmp_path: Path) -> None:
    study, _ = load_study(model, Project(tmp_path))
    assert study.base.model.name == model
    assert study.factors
    assert complete_cells(study, design.cells(study), "embedded")


def test_a_model_without_a_file_gets_the_factors_of_its_builder(tmp_path: Path) -> None:
    study, _ = load_study("alexnet", Project(tmp_path))
    assert list(study.factors) == [
        "dropout",
        "response_norm",
        "batch_norm",
        "head",
        "attention",
        "mixup",
        "label_smoothing",
        "augment",
    ]


def test_an_unknown_name_gets_a_near_miss(project: Project) -> None:
    with pytest.raises(InvalidInput, match="neither a study nor a model; did you mean 'tiny'"):
        load_study("tinny", project)


def test_changes_are_read_as_yaml_reads_them() -> None:
    assert parse_changes(["a=1e-3", "b=[1, 3]", "c={name: focal}", "d=", "e=x=y"]) == {
        "a": 1e-3,
        "b": [1, 3],
        "c": {"name": "focal"},
        "d": None,
        "e": "x=y",
    }
    with pytest.raises(InvalidInput) as error:
        parse_changes(["epochs", "=3", "a=[1"])
    assert len(error.value.problems) == 3


def checked(**more: object) -> None:
    study = Study.model_validate(parse_yaml(GOOD, "x")[0] | more)
    complete_cells(study, design.cells(study), "embedded")


def test_the_second_gate_names_both_factors_that_clash() -> None:
    factors = {
        "loss": {
            "path": "loss",
            "levels": {"ce": "cross_entropy", "focal": "focal"},
            "control": "ce",
        },
        "gamma": {
            "path": "loss.params.gamma",
            "levels": {"two": 2.0, "five": 5.0},
            "control": "two",
        },
    }
    with pytest.raises(InvalidInput) as error:
        checked(factors=factors)
    told = str(error.value)
    assert "factors.gamma.levels.two" in told and "factors.loss.levels.ce" in told
    assert "has no parameter 'gamma'" in told


def test_the_second_gate_tells_everything_at_once() -> None:
    with pytest.raises(InvalidInput) as error:
        checked(
            base={
                "model": "alexnet",
                "loss": "focl",
                "optim": {"name": "adam", "params": {"lr": -1.0, "momentum": 0.9}},
                "augment": {"flp": {}},
                "data": {"params": {"size": 4, "sise": 48}},
            }
        )
    told = str(error.value)
    for words in (
        "base.loss: loss 'focl' is not known; did you mean 'focal'?",
        "base.optim.params.lr: input should be greater than 0, not -1.0",
        "has no parameter 'momentum'",
        "base.augment.flp: augmentation 'flp' is not known; did you mean 'flip'?",
        "base.data.params.size: input should be greater than or equal to 8",
        "has no parameter 'sise'",
    ):
        assert words in told
