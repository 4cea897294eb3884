"""What ``research data`` finds, shows and writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import research
from research.cli import app
from research.data import EMOTIONS, SPLITS
from research.data.audit import audit
from research.data.conversion import convert
from research.data.near import near_pairs
from research.errors import InvalidInput
from research.project import Project
from research.reporting.data_page import warnings
from tests import layouts
from tests.layouts import LAYOUTS


def write(file: Path, images: np.ndarray, **arrays: object) -> Path:
    np.savez(file, images=images, **{name: np.asarray(value) for name, value in arrays.items()})
    return file


@pytest.fixture
def flawed(tmp_path: Path) -> Path:
    """Faces with copies, a conflict, leaks, blanks, near-duplicates and one person too many."""
    images, labels = layouts.drawn(7 * 8)
    usage = np.arange(56) // 28
    persons = np.arange(56) // 4
    extra = [images[0], images[0], images[1], np.zeros_like(images[0]), np.full_like(images[0], 9)]
    lighter = np.clip(images[2].astype(int) + 6, 0, 255).astype(np.uint8)
    return write(
        tmp_path / "flawed.npz",
        np.stack([*images, *extra, lighter]),
        labels=np.array([*labels, labels[0], (labels[0] + 1) % 7, labels[1], 0, 0, labels[2]]),
        usage=np.array([*usage, 1, 2, 2, 0, 0, 2]),
        groups=np.array([*persons, 90, 90, 91, 92, 92, 93]),
    )


def test_an_audit_counts_what_is_there(flawed: Path) -> None:
    found = audit(research.load_data(flawed)).as_json()
    assert found["images"] == 62 and found["blank"] == 2
    assert found["splits"]["train"]["images"] == 30
    assert sum(found["splits"]["train"]["classes"].values()) == 30
    assert found["duplicates"] == {
        "groups": 2,
        "images": 5,
        "surplus": 3,
        "conflicting_groups": 1,
        "conflicting_images": 3,
    }
    assert found["leaks"] == {"val in train": 1, "test in train": 2, "test in val": 1}
    assert found["near_duplicates"]["pairs"] == 1
    assert found["near_duplicates"]["leaks"]["test near train"] == 1
    assert found["persons"]["shared"] == {"val in train": 0, "test in train": 0, "test in val": 1}
    assert ["0", "90"] in found["persons"]["suspected_same"]
    assert json.loads(json.dumps(found)) == found
    rows = audit(research.load_data(flawed)).table()
    assert [row[0] for row in rows] == ["blank"] * 2 + ["copy"] * 5 + ["near"] * 2
    assert len({row[1] for row in rows}) == 2 + 2 + 1
    assert ("copy", 3, "train", 0, EMOTIONS[0]) in rows and ("copy", 3, "val", 28, "angry") in rows


def test_an_audit_warns_in_sentences(flawed: Path) -> None:
    text = "\n".join(warnings(audit(research.load_data(flawed))))
    for words in (
        "1 of val in train, 2 of test in train, 1 of test in val",
        "1 of test near train",
        "1 groups of equal images carry more than one label",
        "2 images show nothing",
        "1 persons of test in val: 90",
        "Perhaps one person under two names: 0 and 90",
    ):
        assert words in text


def test_a_clean_set_has_nothing_to_warn_of() -> None:
    data = research.load_data("embedded", train_images=70, val_images=35, test_images=35)
    found = audit(data).as_json()
    assert not any(found["leaks"].values()) and not found["duplicates"]["groups"]
    assert found["near_duplicates"]["pairs"] == 0 and found["persons"] is None


def test_photographs_lit_cut_or_compressed_again_are_found_and_others_not() -> None:
    images, _ = layouts.drawn(7 * 20)
    plain = images.astype(float)
    cut = np.stack(
        [np.asarray(Image.fromarray(one).crop((1, 1, 48, 48)).resize((48, 48))) for one in images]
    )
    for changed in (plain * 0.8 + 20, plain + np.random.default_rng(0).normal(0, 4, plain.shape)):
        both = np.concatenate([images, np.clip(changed, 0, 255).astype(np.uint8)])
        pairs = near_pairs(both[..., None])
        own = pairs[pairs[:, 1] == pairs[:, 0] + 140]
        assert len(own) > 130 and len(pairs) - len(own) < 10
    pairs = near_pairs(np.concatenate([images, cut])[..., None])
    assert (pairs[:, 1] == pairs[:, 0] + 140).sum() > 60
    assert len(near_pairs(images[:0, ..., None])) == 0


@pytest.mark.real_data
def test_the_real_set_has_its_known_flaws(real_data: Path) -> None:
    found = audit(research.load_data(real_data / "fer2013.npz")).as_json()
    assert found["images"] == 35887 and found["blank"] == 12
    assert found["duplicates"] == {
        "groups": 1516,
        "images": 3369,
        "surplus": 1853,
        "conflicting_groups": 57,
        "conflicting_images": 160,
    }
    assert found["leaks"] == {"val in train": 280, "test in train": 288, "test in val": 44}


def test_inspect_speaks_the_source_s_own_names(tmp_path: Path, project: Project) -> None:
    file = layouts.pixels(tmp_path / "fer2013.csv", "emotion,pixels,Usage")
    done = CliRunner().invoke(app, ["data", "inspect", str(file), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert list(found["splits"]) == ["Training", "PublicTest", "PrivateTest"]
    assert list(found["leaks"]) == [
        "PublicTest in Training",
        "PrivateTest in Training",
        "PrivateTest in PublicTest",
    ]
    page = Path(found["page"])
    assert Path(found["findings"]).read_text().startswith("finding,group,split,index,class")
    assert page.is_relative_to(project.runs) and "data:image/png" in page.read_text()
    plain = CliRunner().invoke(app, ["data", "inspect", str(file)])
    assert "PrivateTest" in plain.stdout and str(page) in plain.stdout


@pytest.mark.parametrize("name", ["ferplus", "jaffe", "table"])
def test_other_layouts_are_inspected(name: str, tmp_path: Path, project: Project) -> None:
    place = LAYOUTS[name][1](tmp_path / "data")
    done = CliRunner().invoke(app, ["data", "inspect", str(place)])
    assert done.exit_code == 0, done.output
    assert "copies" in done.stdout


def test_show_draws_a_row_for_each_class(tmp_path: Path, project: Project) -> None:
    place = str(layouts.jaffe(tmp_path / "data"))
    file = tmp_path / "sheet.png"
    done = CliRunner().invoke(app, ["data", "show", place, "--output", str(file), "--count", "4"])
    assert done.exit_code == 0, done.output
    with Image.open(file) as sheet:
        assert sheet.height > 7 * 60
    few = CliRunner().invoke(app, ["data", "show", place, "--classes", "happy,sad"])
    with Image.open(few.stdout.strip()) as sheet:
        assert 100 < sheet.height < 250
    wrong = CliRunner().invoke(app, ["data", "show", place, "--classes", "hapy", "--output", "x"])
    assert isinstance(wrong.exception, InvalidInput)
    assert wrong.exception.problems == (
        "--classes hapy: no such class; did you mean 'happy'?",
        "--output x: give a name that ends in .png, .jpg, .pdf or .svg",
    )


@pytest.mark.parametrize("layout", ["csv", "npz", "folders", "table"])
@pytest.mark.parametrize("name", ["ckplus", "ferplus", "five_class", "jaffe", "table"])
def test_any_layout_becomes_any_other(name: str, layout: str, tmp_path: Path) -> None:
    data = research.load_data(LAYOUTS[name][1](tmp_path / "data"))
    target = tmp_path / {"csv": "out.csv", "npz": "out.npz"}.get(layout, "out")
    if layout == "csv" and "contempt" in data.classes:
        with pytest.raises(InvalidInput, match="has no class 'contempt'"):
            convert(data, target, layout, side=48)
        assert not target.exists()
        return
    counted: list[int] = []
    convert(data, target, layout, 48 if layout == "csv" else None, counted.append)
    total = sum(len(getattr(data, split)) for split in SPLITS)
    assert counted[-1] == total
    if layout == "csv" and data.classes != EMOTIONS:
        with pytest.raises(InvalidInput, match="no training image of class 'disgust'"):
            research.load_data(target)
        return
    params = {"person_before": "_"} if layout == "folders" and data.persons else {}
    back = research.load_data(target, **params)
    assert back.classes == data.classes and back.persons == (
        () if layout == "csv" else data.persons
    )
    for split in SPLITS:
        mine, theirs = getattr(data, split), getattr(back, split)
        assert len(mine) == len(theirs)
        if layout != "csv":
            assert sorted(i.tobytes() for i in mine.images) == sorted(
                i.tobytes() for i in theirs.images
            )
    if layout == "table" and name != "ferplus":
        assert back.digest == data.digest


def test_nothing_is_written_over_or_in_part(tmp_path: Path, project: Project) -> None:
    place = str(layouts.jaffe(tmp_path / "data"))
    (tmp_path / "there.csv").write_text("mine")
    for target, words in (
        ("there.csv", "there.csv: is there already"),
        ("small.csv", "images of 64 x 64 pixels.*--side 48"),
    ):
        done = CliRunner().invoke(app, ["data", "prepare", place, str(tmp_path / target)])
        assert isinstance(done.exception, InvalidInput)
        with pytest.raises(InvalidInput, match=words):
            raise done.exception
    assert (tmp_path / "there.csv").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"data", "there.csv", "project"}
    wrong = CliRunner().invoke(app, ["data", "prepare", place, "x", "--to", "tabel"])
    assert "did you mean 'table'" in str(wrong.exception)


def test_the_commands_run_as_a_user_runs_them(tmp_path: Path, project: Project) -> None:
    file = layouts.pixels(tmp_path / "fer2013.csv", "emotion,pixels,Usage")
    words = [sys.executable, "-m", "research", "data", "prepare", str(file), "out"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "out: 112 images as folders" in done.stdout
    assert len(list((project.root / "out" / "train" / "happy").glob("*.png"))) == 8
    words[4:] = ["inspect", str(file), "--set", "model=x"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "error: --set model: a data set takes its own parameters only, as in data.params.side=64\n"
    )


def test_a_person_s_name_leads_nowhere(tmp_path: Path) -> None:
    place = layouts.table(tmp_path / "data")
    text = (place / "labels.csv").read_text()
    (place / "labels.csv").write_text(text.replace(" ,p", f",{tmp_path}/evil"))
    data = research.load_data(place)
    assert any("evil" in name for name in data.persons)
    convert(data, tmp_path / "out" / "faces", "folders")
    assert {path.name for path in tmp_path.iterdir()} == {"data", "out"}
    back = research.load_data(tmp_path / "out" / "faces", person_before="_")
    assert back.persons == tuple(f"p{number:03d}" for number in range(6))


@pytest.mark.parametrize(
    ("name", "layout", "words"),
    [
        ("out.csv", "npz", "npz needs a name that ends in .npz"),
        ("out", "csv", "csv needs a name that ends in .csv"),
        ("out.png", None, "folders needs the name of a folder"),
        ("data/inside", None, "stands inside the set that it is made of"),
    ],
)
def test_targets_that_nobody_could_read_are_refused(
    name: str, layout: str | None, words: str, tmp_path: Path
) -> None:
    data = research.load_data(layouts.jaffe(tmp_path / "data"))
    with pytest.raises(InvalidInput, match=words):
        convert(data, tmp_path / name, layout)


def test_drawn_faces_are_not_called_one_photograph() -> None:
    data = research.load_data("embedded", train_images=700, val_images=70, test_images=70)
    assert len(audit(data).near) == 0
