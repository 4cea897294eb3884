"""Every layout of a data set: read, split by person, folded; and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import research
from research import registry
from research.data import EMOTIONS, SPLITS
from research.data.classes import SPELLINGS, Names, ordered
from research.data.folds import check_folds, count_of, folded
from research.data.location import locate
from research.data.splitting import persons_out
from research.errors import InvalidInput
from research.project import Project
from research.request import Request, whereabouts
from tests import layouts
from tests.layouts import LAYOUTS


def test_every_source_has_a_layout() -> None:
    read = {source for source, _ in LAYOUTS.values()} | {"embedded"}
    assert read == set(registry.sources.names())


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_keeps_the_contract(name: str, tmp_path: Path) -> None:
    source, write = LAYOUTS[name]
    place = write(tmp_path / "data")
    assert locate(str(place)).source == source
    data = research.load_data(place)
    again = research.load_data(place)
    assert data.digest == again.digest and not data.synthetic
    for split in SPLITS:
        part = getattr(data, split)
        n = len(part)
        assert n > 0 and part.images.dtype == np.uint8 and part.images.ndim == 4
        assert part.labels.dtype == np.int64 and part.labels.shape == (n,)
        assert part.leaked.dtype == bool and part.leaked.shape == (n,)
        assert isinstance(part.images, np.memmap)
        if part.groups is not None:
            assert part.groups.shape == (n,) and part.groups.max() < len(data.persons)
        np.testing.assert_array_equal(part.images, getattr(again, split).images)
    assert (data.class_counts() > 0).all()
    count = sum(len(getattr(data, split)) for split in SPLITS)
    assert sum(data.found["sizes"].values()) == sum(data.found["modes"].values()) == count


def test_the_embedded_set_keeps_the_contract() -> None:
    data = research.load_data("embedded", train_images=70, val_images=35, test_images=35)
    assert data.synthetic and data.classes == EMOTIONS and data.own == SPLITS
    assert data.train.images.shape == (70, 48, 48, 1)


@pytest.mark.parametrize("name", ["jaffe", "ckplus", "table"])
def test_persons_stand_in_one_split_only(name: str, tmp_path: Path) -> None:
    data = research.load_data(LAYOUTS[name][1](tmp_path / "data"))
    persons = [set(getattr(data, split).groups.tolist()) for split in SPLITS]
    assert not persons[0] & persons[1] and not persons[2] & (persons[0] | persons[1])
    assert len(set.union(*persons)) == len(data.persons)
    assert data.own == ("train",)


def test_jaffe_is_read_off_its_names(tmp_path: Path) -> None:
    place = layouts.jaffe(tmp_path / "flat")
    data = research.load_data(place)
    assert data.classes == EMOTIONS and data.persons == tuple(sorted(layouts.SUBJECTS))
    assert data.train.images.shape[1:] == (64, 64, 1)
    for file in sorted(place.iterdir()):  # the same in class folders
        code = file.name.split(".")[1][:2]
        (place / code).mkdir(exist_ok=True)
        file.rename(place / code / file.name)
    assert research.load_data(place).digest == data.digest


def test_names_of_jaffe_that_do_not_parse_are_all_listed(tmp_path: Path) -> None:
    place = layouts.jaffe(tmp_path / "data")
    for name in ("KA.XX1.39.tiff", "copy of KA.AN1.39.tiff"):
        Image.new("L", (64, 64)).save(place / name)
    with pytest.raises(InvalidInput) as error:
        research.load_data(place)
    assert [problem.split(":")[0] for problem in error.value.problems] == [
        str(place / "KA.XX1.39.tiff"),
        str(place / "copy of KA.AN1.39.tiff"),
    ]


def test_names_of_ck_plus_that_do_not_parse_are_all_listed(tmp_path: Path) -> None:
    place = layouts.ckplus(tmp_path / "data")
    (place / "Anger" / "Thumbs.db").write_bytes(b"x")
    assert research.load_data(place).persons
    Image.new("L", (48, 48)).save(place / "Anger" / "a_1.png")
    with pytest.raises(InvalidInput, match=r"Anger/a_1\.png: is not named as CK\+'s images are"):
        research.load_data(place)


def test_contempt_comes_last_and_neutral_may_be_missing(tmp_path: Path) -> None:
    data = research.load_data(layouts.ckplus(tmp_path / "data"))
    assert data.classes == (*EMOTIONS[:6], "contempt")


def test_any_spelling_means_its_class(tmp_path: Path) -> None:
    assert research.load_data(layouts.split_folders(tmp_path / "a")).classes == EMOTIONS
    names = Names(None, "here")
    for name, spellings in SPELLINGS.items():
        for spelling in spellings:
            assert names.of(spelling) == names.of(f" {spelling.upper()} ") == name
    assert names.of("Very Happy") == "very happy"
    assert ordered({"happy", "angry"}) == ("angry", "happy")
    assert ordered({"cat", "ant"}) == ("ant", "cat")


def test_a_user_s_spellings_go_before_and_may_join_classes(tmp_path: Path) -> None:
    place = layouts.ckplus(tmp_path / "data")
    for file in sorted(place.rglob("*.png")):
        file.rename(file.with_name(file.name.replace("S", "x")))  # no longer CK+
    aliases = {"contempt": "disgust", "DISGUST": "disgust"}
    data = research.load_data(place, aliases=aliases)
    assert data.classes == EMOTIONS[:6]
    assert data.class_counts()[1] > 1.5 * data.class_counts()[0]
    with pytest.raises(InvalidInput, match="'anger' is both 'angry' and 'sad'"):
        research.load_data(place, aliases={"anger": "angry", "Anger": "sad"})


def test_every_name_of_a_split_is_read_and_other_folders_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = layouts.split_folders(tmp_path / "data")
    (place / "test").rename(place / "PrivateTest")
    (place / "notes").mkdir()
    (place / "train" / "neutral" / "deeper").mkdir()
    assert research.load_data(place).own == ("train", "test")
    assert "notes: is no folder of a split, and is passed over" in caplog.text
    assert "deeper: folders in a class folder are passed over" in caplog.text
    shutil.copytree(place / "PrivateTest", place / "test")
    with pytest.raises(InvalidInput, match="test and PrivateTest are both the test split"):
        research.load_data(place)


def test_a_change_behind_a_link_and_an_emptied_folder_are_noticed(tmp_path: Path) -> None:
    place = layouts.class_folders(tmp_path / "real")
    linked = tmp_path / "linked"
    linked.mkdir()
    for folder in sorted((place / "faces").iterdir()):
        (linked / folder.name).symlink_to(folder)
    before = research.load_data(linked)
    save = sorted((place / "faces" / "happy").iterdir())
    Image.new("L", (48, 48), 77).save(save[0])
    assert research.load_data(linked).digest != before.digest
    (place / "faces" / "contempt").mkdir()
    (linked / "contempt").symlink_to(place / "faces" / "contempt")
    with pytest.raises(InvalidInput, match="contempt: no image in this class folder"):
        research.load_data(linked)


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.6, 0.8, 0.9])
def test_about_the_asked_share_of_persons_is_held_out(fraction: float) -> None:
    persons = np.repeat(np.arange(20), 14)
    out = persons_out(np.tile(np.arange(7), 40), persons, fraction)
    assert abs(out.mean() - fraction) < 0.06
    assert not {*persons[out]} & {*persons[~out]}


def test_one_person_alone_cannot_be_held_out(tmp_path: Path) -> None:
    place = layouts.jaffe(tmp_path / "data")
    for file in place.iterdir():
        if not file.name.startswith(("KA", "KL")):
            file.unlink()
    with pytest.raises(InvalidInput, match=r"of one person.*holdout=images"):
        research.load_data(place)


def test_the_last_images_of_class_folders_are_no_sample(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="in the order of classes"):
        research.load_data(layouts.class_folders(tmp_path / "data"), holdout="last")


def test_two_folders_of_one_class_are_refused_with_the_cure(tmp_path: Path) -> None:
    place = layouts.class_folders(tmp_path / "data")
    shutil.copytree(place / "faces" / "happy", place / "faces" / "Happiness")
    with pytest.raises(InvalidInput, match=r"'Happiness' and 'happy' both mean.*aliases="):
        research.load_data(place)
    data = research.load_data(place, aliases={"happiness": "happy", "happy": "happy"})
    assert data.classes == EMOTIONS


def test_a_validation_folder_without_a_test_folder_leaves_the_test_to_be_held_out(
    tmp_path: Path,
) -> None:
    place = layouts.split_folders(tmp_path / "data")
    (place / "test").rename(place / "validation")
    data = research.load_data(place, test_fraction=0.25)
    assert data.own == ("train", "val")
    assert len(data.val) == 28 and len(data.test) == 14 and len(data.train) == 42


def test_rows_in_file_order_and_a_test_on_validation_are_the_published_forms(
    tmp_path: Path,
) -> None:
    file = layouts.pixels(tmp_path / "train.csv", "emotion,pixels", count=100)
    data = research.load_data(file, holdout="last", val_fraction=0.164, test_fraction=0.0)
    whole = research.load_data(file, holdout="last", val_fraction=0.1, test_fraction=0.1)
    assert len(data.train) == 84 and len(data.val) == len(data.test) == 16
    np.testing.assert_array_equal(data.train.images[:80], whole.train.images)
    np.testing.assert_array_equal(data.val.images, data.test.images)
    assert data.tested_on_val and data.test.leaked.all()
    jaffe = layouts.jaffe(tmp_path / "jaffe")
    mixed = research.load_data(jaffe, holdout="images", val_fraction=0.15, test_fraction=0.0)
    assert set(mixed.train.groups.tolist()) & set(mixed.val.groups.tolist())


def test_some_classes_alone_are_kept_in_the_set_s_order(tmp_path: Path) -> None:
    place = layouts.split_folders(tmp_path / "data")
    whole = research.load_data(place)
    some = research.load_data(place, only=["surprise", "Happiness", "ANGRY"])
    assert some.classes == ("angry", "happy", "surprise")
    old = whole.test.labels
    rows = np.flatnonzero(np.isin(old, [0, 3, 5]))
    np.testing.assert_array_equal(some.test.images, whole.test.images[rows])
    np.testing.assert_array_equal(np.array([0, 3, 5])[some.test.labels], old[rows])
    assert some.digest != whole.digest
    five = research.load_data(layouts.five_class(tmp_path / "five"))
    again = research.load_data(tmp_path / "five", only=list(five.classes))
    assert again.digest == five.digest  # nothing to leave out


@pytest.mark.parametrize(
    ("only", "words"),
    [
        (["happy"], "data.params.only: .*at least 2"),
        (["happy", "sad", "hapy"], "has no class 'hapy'; did you mean 'happy'"),
        (["happy", "happy", "sad"], "'happy' stands twice"),
        (["happy", "HAPPY", "sad"], "only: 'happy' and 'HAPPY' are both 'happy'; name each"),
        ("happy", "only: .*list"),
    ],
)
def test_classes_that_cannot_be_kept_are_told(tmp_path: Path, only: object, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        research.load_data(layouts.class_folders(tmp_path / "data"), only=only)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"val_fraction": 0.0}, r"val_fraction: .*greater than 0, not 0\.0"),
        ({"test_fraction": 1.0}, r"test_fraction: .*less than 1"),
        ({"holdout": "person"}, "holdout: no such choice .*did you mean 'persons'"),
        ({"val_fraction": 0.6, "test_fraction": 0.5}, "nothing is left to train on"),
    ],
)
def test_fractions_that_make_no_split_are_told(
    tmp_path: Path, params: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        research.load_data(layouts.class_folders(tmp_path / "data"), **params)


def test_a_table_names_files_of_any_mode_and_size(tmp_path: Path) -> None:
    place = layouts.table(tmp_path / "data")
    data = research.load_data(place)
    assert data.classes == EMOTIONS and len(data.persons) == 6
    assert data.train.images.shape[1:] == (41, 41, 3)  # the median side; colour, as some are
    assert data.found["modes"] == {"L": 28, "RGB": 28, "RGBA": 28}
    assert research.load_data(place / "labels.csv", side=32).train.images.shape[1:] == (32, 32, 3)
    (place / "labels.csv").rename(place / "x.csv")
    assert research.load_data(place).digest == data.digest


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nowhere.png,happy,p0", r"labels\.csv:\d+: no file 'nowhere\.png' in"),
        ("../secret.png,happy,p0", r"'\.\./secret\.png' is not inside"),
        ("/etc/hostname,happy,p0", r"'/etc/hostname' is not inside"),
        ("000.png", r"labels\.csv:\d+: no label; is the line cut off\?"),
    ],
)
def test_a_wrong_line_of_a_table_is_told(tmp_path: Path, line: str, words: str) -> None:
    place = layouts.table(tmp_path / "data")
    Image.new("L", (8, 8)).save(tmp_path / "secret.png")
    with (place / "labels.csv").open("a") as stream:
        stream.write(f"{line}\n")
    with pytest.raises(InvalidInput, match=words):
        research.load_data(place)


def test_columns_of_a_table_may_be_named(tmp_path: Path) -> None:
    place = layouts.table(tmp_path / "data")
    text = (place / "labels.csv").read_text()
    (place / "labels.csv").write_text(text.replace("image,Label", "image,mood"))
    with pytest.raises(InvalidInput, match=r"no column of the label.*label_column"):
        research.load_data(place)
    assert research.load_data(place, label_column="Mood").classes == EMOTIONS
    with pytest.raises(InvalidInput, match="no column 'moods'; did you mean 'mood'"):
        research.load_data(place, label_column="moods")


def test_columns_may_be_parted_by_semicolons_and_another_table_may_stand_beside(
    tmp_path: Path,
) -> None:
    place = layouts.table(tmp_path / "data")
    before = research.load_data(place)
    file = place / "labels.csv"
    file.write_text(file.read_text().replace(",", ";"))
    (place / "notes.csv").write_text("who,what\nme,this\n")
    assert research.load_data(place).digest == before.digest


def test_a_table_may_bring_its_splits(tmp_path: Path) -> None:
    place = layouts.table(tmp_path / "data")
    lines = (place / "labels.csv").read_text().splitlines()
    parts = ("training", "Test", "valid")
    lines = [lines[0] + ",split", *(f"{x},{parts[n // 7 % 3]}" for n, x in enumerate(lines[1:]))]
    (place / "labels.csv").write_text("\n".join(lines))
    data = research.load_data(place)
    assert data.own == SPLITS and len(data.train) == len(data.val) == len(data.test) == 28
    (place / "labels.csv").write_text("\n".join(lines).replace(",valid", ",vlaid"))
    with pytest.raises(InvalidInput, match="split 'vlaid'; did you mean 'valid'"):
        research.load_data(place)


def test_splits_of_a_table_may_be_the_folders_of_its_images(tmp_path: Path) -> None:
    place = layouts.table(tmp_path / "data")
    lines = (place / "labels.csv").read_text().splitlines()
    made = [lines[0]]
    for number, line in enumerate(lines[1:]):
        part = ("train", "train", "test")[number // 7 % 3]
        name = line.split(",")[0]
        found = next(place.rglob(Path(name).name))
        (place / part).mkdir(exist_ok=True)
        found.rename(place / part / found.name)
        made.append(line.replace(name, f"{part}/{found.name}"))
    (place / "labels.csv").write_text("\n".join(made))
    data = research.load_data(place)
    assert data.own == ("train", "test") and len(data.test) == 28


def test_a_list_beside_folders_of_classes_is_no_table_of_labels(tmp_path: Path) -> None:
    place = layouts.split_folders(tmp_path / "data")
    digest = research.load_data(place).digest
    (place / "list.csv").write_text("image,width\na.jpg,48\n")
    assert locate(str(place)).source == "folder" and research.load_data(place).digest == digest


def test_votes_without_images_of_a_split_have_it_held_out(tmp_path: Path) -> None:
    file = layouts.ferplus(tmp_path / "data")
    images, votes = file.with_name("fer2013.csv"), file
    for one in (images, votes):
        one.write_text(one.read_text().replace("PublicTest", "Training"))
    data = research.load_data(votes)
    assert data.own == ("train", "test") and len(data.val)


def test_of_two_tables_in_a_folder_a_study_gets_the_one_that_it_looks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = layouts.ferplus(tmp_path / "data").parent
    for wanted, source in (("auto", "fer2013"), ("auto:ferplus", "ferplus")):
        assert locate(str(folder), instead_of=wanted).source == source
        monkeypatch.setenv("RESEARCH_DATA", str(folder))
        assert locate(wanted).source == source
        request = Request(data=str(folder))
        assert whereabouts(request, wanted, Project(tmp_path)).source == source
    monkeypatch.delenv("RESEARCH_DATA")
    np.savez(folder / "fer2013.npz", images=np.zeros((2, 48, 48), np.uint8), labels=np.arange(2))
    (folder / "fer2013.csv").unlink()
    assert locate(str(folder)).path == (folder / "fer2013.npz").resolve()


def test_of_several_sets_in_a_folder_a_study_gets_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = layouts.ferplus(tmp_path / "sets").parent
    layouts.jaffe(folder / "jaffe")
    layouts.ckplus(folder / "CK+48")
    for wanted, source in (
        ("auto", "fer2013"), ("auto:fer+", "ferplus"), ("FER+", "ferplus"),
        ("/elsewhere/fer2013new.csv", "ferplus"), ("/elsewhere/images.csv", "fer2013"),
        ("auto:jaffe", "jaffe"), ("/elsewhere/JAFFE", "jaffe"), ("ck+", "ckplus"),
    ):  # fmt: skip
        assert locate(str(folder), instead_of=wanted).source == source
    monkeypatch.setenv("RESEARCH_DATA", str(folder))
    for wanted, source in (
        ("auto", "fer2013"), ("auto:fer+", "ferplus"),
        ("auto:jaffe", "jaffe"), ("auto:CK+", "ckplus"),
    ):  # fmt: skip
        assert locate(wanted).source == source
    # What the user names goes before what the study looks for.
    assert locate(str(folder / "jaffe"), instead_of="auto:ckplus").source == "jaffe"
    assert locate(str(folder / "fer2013.csv"), instead_of="auto:ferplus").source == "fer2013"


@pytest.mark.parametrize(
    ("place", "asked", "source"),
    [
        ("FER2013.CSV", "auto", "fer2013"),
        ("Fer2013/Fer2013.csv", "auto", "fer2013"),
        ("FER2013/FER2013NEW.csv", "auto:ferplus", "ferplus"),
        ("FERPlus/fer2013new.csv", "ferplus", "ferplus"),
        ("Jaffe", "auto:jaffe", "jaffe"),
    ],
)
def test_places_have_any_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, asked: str, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    target = tmp_path / "data" / place
    if source == "jaffe":
        layouts.jaffe(target)
    elif source == "ferplus":
        layouts.ferplus(target.parent).rename(target)
    else:
        target.parent.mkdir(parents=True)
        layouts.pixels(target, "emotion,pixels,Usage")
    assert locate(asked).source == source


def test_a_set_that_is_there_and_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    pointer = tmp_path / "data" / "fer2013.csv"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(InvalidInput, match=r"fer2013\.csv': its columns are version"):
        locate("auto")
    layouts.pixels(tmp_path / "data" / "icml_face_data.csv", "emotion, Usage, pixels")
    assert locate("auto").source == "fer2013"  # what can be read goes before


def test_links_that_loop_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("fer2013", "FER2013", "Fer2013", "CK+48", "ck+48"):
        (tmp_path / "data" / name).symlink_to(".")
    assert locate("auto").synthetic
    with pytest.raises(InvalidInput, match="of no layout that is known"):
        locate("data")


@pytest.mark.parametrize("name", ["fer2013", "ferplus"])
def test_a_named_set_may_stand_in_its_own_folder_under_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    layouts.ferplus(tmp_path / "data" / "fer2013")
    for asked in (name, f"auto:{name}"):
        for other in ("auto", "auto:ferplus"):
            assert locate(asked, instead_of=other).source == name


@pytest.mark.parametrize("name", ["FER2013.CSV", "Train.csv", "fer2013new.csv"])
def test_a_folder_is_read_as_the_table_that_stands_in_it(tmp_path: Path, name: str) -> None:
    if name == "fer2013new.csv":
        file = layouts.ferplus(tmp_path / "data")
        file.with_name("fer2013.csv").rename(tmp_path / "data" / "fer2013.npz.csv")
    else:
        file = layouts.pixels(tmp_path / "data" / name, "emotion,pixels,Usage")
    assert locate(str(tmp_path / "data")).path == file.resolve()


def test_persons_of_whom_no_image_is_kept_are_no_folds(tmp_path: Path) -> None:
    place = layouts.jaffe(tmp_path / "persons")
    for file in sorted(place.glob("KA.*")):
        if file.name.split(".")[1][:2] != "AN":
            file.unlink()
    few = research.load_data(place, only=["happy", "sad"])
    assert len(few.persons) == len(layouts.SUBJECTS) - 1 == count_of(few, "subjects")
    told = set(np.concatenate([getattr(few, split).groups for split in SPLITS]).tolist())
    assert told == set(range(len(few.persons)))


def test_a_class_of_the_set_goes_before_a_known_spelling(tmp_path: Path) -> None:
    place = layouts.class_folders(tmp_path / "data")
    (place / "faces" / "angry").rename(place / "faces" / "con")
    assert research.load_data(place, aliases={"con": "con"}, only=["con", "happy"]).classes == (
        "con",
        "happy",
    )


def test_votes_become_classes_or_probabilities(tmp_path: Path) -> None:
    file = layouts.ferplus(tmp_path / "data")
    own = research.load_data(file)
    assert own.classes == (*EMOTIONS, "contempt") and own.train.soft_labels is None
    assert own.class_counts()[7] >= 3
    seven = research.load_data(file, classes="fer2013")
    assert seven.classes == EMOTIONS
    assert len(seven.train) == len(own.train) - own.class_counts()[7]
    soft = research.load_data(file, targets="probability")
    np.testing.assert_allclose(soft.train.soft_labels.sum(1), 1, atol=1e-6)
    few = research.load_data(file, targets="probability", only=["angry", "neutral", "contempt"])
    np.testing.assert_allclose(few.train.soft_labels.sum(1), 1, atol=1e-6)
    assert (few.train.soft_labels.argmax(1) == few.train.labels).all()
    first = soft.train.soft_labels[1]
    assert first[soft.train.labels[1]] == pytest.approx(0.6) and first[7] == pytest.approx(0.4)
    with pytest.raises(InvalidInput, match=r"the train split is empty|no training image"):
        research.load_data(file, min_share=1.0)


def test_votes_may_stand_beside_the_labels_of_fer2013(tmp_path: Path) -> None:
    file = layouts.ferplus(tmp_path / "data")
    plain = research.load_data(file.with_name("fer2013.csv"))
    data = research.load_data(file, labels="fer2013")
    assert data.classes == EMOTIONS
    for split in SPLITS:
        mine, theirs = getattr(data, split), getattr(plain, split)
        assert (mine.images == theirs.images).all() and (mine.labels == theirs.labels).all()
        sure = np.eye(7)[mine.labels]
        # contempt, of which FER2013 knows nothing, is left out; where it is all, the label stands
        np.testing.assert_allclose(mine.soft_labels, sure)
    assert data.digest != plain.digest
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], "Training,f0.png,3,1,0,0,0,0,0,3,0,0", *lines[2:]]) + "\n")
    counted = {"labels": "fer2013", "min_votes": 1}
    all_votes = research.load_data(file, **counted)
    own = np.eye(7)[plain.train.labels[0]]
    np.testing.assert_allclose(all_votes.train.soft_labels[0], own)  # as many for contempt
    all_votes = research.load_data(file, drop_unknown=False, **counted)
    assert all_votes.train.soft_labels[0, 6] == 0.75 and all_votes.train.soft_labels[0, 3] == 0.25
    few = research.load_data(file, only=["neutral", "angry"], **counted).train
    np.testing.assert_allclose(few.soft_labels.sum(1), 1)
    for more in ({"targets": "probability"}, {"classes": "fer2013"}, {"min_share": 0.4}):
        with pytest.raises(InvalidInput, match="says what becomes of votes as labels"):
            research.load_data(file, labels="fer2013", **more)


def test_the_set_that_stands_in_is_not_asked_what_it_cannot_know(tmp_path: Path) -> None:
    """A recipe for FER+ can be tried without it, and keeps what it says of FER+."""
    spec = research.plan("compact_votes")[0]
    assert spec.data.params["labels"] == "fer2013" and spec.data.params["min_votes"] == 1
    few = {"train_images": 70, "val_images": 42, "test_images": 42}
    plain = research.load_data("embedded", **few)
    assert research.load_data("embedded", labels="fer2013", **few).digest == plain.digest
    with pytest.raises(InvalidInput, match="has no parameter 'labelz'"):
        research.load_data("embedded", labelz="fer2013")
    with pytest.raises(InvalidInput, match="'fer2013' has no parameter 'labels'"):
        file = layouts.ferplus(tmp_path / "data").with_name("fer2013.csv")
        research.load_data(file, labels="fer2013")


def test_votes_of_another_length_order_or_kind_are_refused(tmp_path: Path) -> None:
    file = layouts.ferplus(tmp_path / "data")
    lines = file.read_text().splitlines()
    for change, words in (
        (lines[:-1], "111 rows of votes for 112 images"),
        ([lines[0], *lines[8:], *lines[1:8]], "the two files are not in the same order"),
        ([*lines[:5], lines[5].replace(",6,", ",x,"), *lines[6:]], "fer2013new.csv:6: votes"),
    ):
        file.write_text("\n".join(change) + "\n")
        with pytest.raises(InvalidInput, match=words):
            research.load_data(file)
    file.write_text("\n".join(lines) + "\n")
    (file.parent / "fer2013.csv").rename(tmp_path / "elsewhere.csv")
    with pytest.raises(InvalidInput, match=r"none of fer2013\.csv.* stands beside it"):
        research.load_data(file)
    assert research.load_data(file, images="../elsewhere.csv").digest


@pytest.mark.real_data
def test_the_real_votes_are_matched_by_row(real_data: Path) -> None:
    data = research.load_data(real_data / "fer2013new.csv")
    assert data.classes == (*EMOTIONS, "contempt")
    assert 24_000 < len(data.train) < 26_000 and 3_000 < len(data.test) < 3_300
    blank = [(getattr(data, split).images.max((1, 2, 3)) == 0).sum() for split in SPLITS]
    assert blank == [0, 0, 0]


@pytest.mark.parametrize("bad", ["zero", "truncated", "text"])
def test_files_that_are_no_images_are_all_named(tmp_path: Path, bad: str) -> None:
    place = layouts.split_folders(tmp_path / "data")
    good = next(place.rglob("*.jpg"))
    content = {"zero": b"", "truncated": good.read_bytes()[:400], "text": b"not an image"}[bad]
    broken = [place / "train" / "neutral" / "a.jpg", place / "test" / "DISGUST" / "b.png"]
    for file in broken:
        file.write_bytes(content)
    with pytest.raises(InvalidInput) as error:
        research.load_data(place)
    assert len(error.value.problems) == 2
    for file in broken:
        assert any(str(file) in problem for problem in error.value.problems)
    assert ("is empty" in str(error.value)) == (bad == "zero")


@pytest.mark.parametrize("name", ["jaffe", "fer2013", "ckplus"])
@pytest.mark.parametrize("folds", [3, 4])
def test_every_image_is_tested_in_one_fold(name: str, folds: int, tmp_path: Path) -> None:
    data = research.load_data(LAYOUTS[name][1](tmp_path / "data"))
    total = sum(len(getattr(data, split)) for split in SPLITS)
    tested = []
    for fold in range(1, folds + 1):
        one = folded(data, folds, fold)
        assert sum(len(getattr(one, split)) for split in SPLITS) == total
        tested += [image.tobytes() for image in one.test.images]
        assert one.digest == data.digest
        assert not one.test.leaked.any() or data.persons
        if data.persons:
            persons = [set(getattr(one, split).groups.tolist()) for split in SPLITS]
            assert not persons[0] & persons[1] and not persons[2] & (persons[0] | persons[1])
    assert len(tested) == total
    sizes = [len(folded(data, folds, fold).test) for fold in range(1, folds + 1)]
    assert max(sizes) - min(sizes) <= (14 if data.persons else 1) * 2


def test_as_many_folds_as_persons_leave_one_out_and_validate_on_another(tmp_path: Path) -> None:
    data = research.load_data(layouts.jaffe(tmp_path / "data"))
    assert count_of(data, "subjects") == 8
    for fold in range(1, 9):
        one = folded(data, 8, fold)
        assert {*one.test.groups} == {fold - 1} and {*one.val.groups} == {fold % 8}
        assert len({*one.train.groups}) == 6


@pytest.mark.parametrize(
    ("layout", "folds", "words"),
    [
        ("jaffe", 9, "8 persons; give 3 .* to 8"),
        ("jaffe", 2, "give 3"),
        ("npz", "subjects", "does not say who is on its images"),
    ],
)
def test_folds_that_cannot_be_are_told(
    layout: str, folds: int | str, words: str, tmp_path: Path
) -> None:
    data = research.load_data(LAYOUTS[layout][1](tmp_path / "data"))
    with pytest.raises(InvalidInput, match=words):
        count_of(data, folds)


def test_a_class_of_one_person_cannot_be_learnt_without_her(tmp_path: Path) -> None:
    data = research.load_data(layouts.npz(tmp_path / "data"))
    arrays = dict(np.load(tmp_path / "data" / "faces.npz"))
    arrays["groups"] = np.where(arrays["labels"] == 1, 9, np.arange(len(arrays["labels"])) % 9)
    np.savez(tmp_path / "data" / "faces.npz", **arrays)
    data = research.load_data(tmp_path / "data" / "faces.npz")
    with pytest.raises(InvalidInput) as error:
        check_folds(data, {"folds": 10, "fold": None})
    assert len(error.value.problems) == 2  # where she is tested, and where she validates
    assert "fold 10 of 10 leaves no image of 'disgust' to train on" in error.value.problems[1]
    check_folds(data, {"folds": 10, "fold": 3})


def test_a_set_is_found_by_name_under_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate("auto:jaffe").synthetic
    with pytest.raises(InvalidInput, match=r"data 'jaffe': not found.*data/jaffe"):
        locate("jaffe")
    layouts.jaffe(tmp_path / "data" / "JAFFE")
    assert locate("jaffe") == locate("auto:jaffe").__class__(
        "jaffe", tmp_path / "data" / "JAFFE", "found under ./data"
    )
    with pytest.raises(InvalidInput, match="no such set; did you mean 'jaffe'"):
        locate("auto:jafe")
