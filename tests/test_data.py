"""Every source, the cache, and what is refused; on files that the tests make."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import research
from research.data import EMOTIONS, SPLITS, Split, Splits, cache, first, images, location
from research.data.embedded import embedded
from research.data.splitting import copies_of, held_out
from research.errors import InvalidInput
from research.project import Project
from research.request import Request, whereabouts

Faces = tuple[NDArray[np.uint8], NDArray[np.int64]]
WriteCsv = Callable[..., Path]


def write_folder(root: Path, faces: Faces, splits: tuple[str, ...], suffix: str = "png") -> Path:
    images, labels = faces
    for split in splits:
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            folder = root / split / EMOTIONS[label]
            folder.mkdir(parents=True, exist_ok=True)
            changed = image ^ np.uint8(len(split))  # no copies across splits
            Image.fromarray(changed).save(folder / f"{number}.{suffix}")
    return root


def write_npz(file: Path, faces: Faces, **more: NDArray[np.generic]) -> Path:
    images, labels = faces
    usage = np.arange(len(images)) % 7
    usage = np.select([usage == 5, usage == 6], [1, 2], 0).astype(np.uint8)
    rest = {"images": images, "labels": labels.astype(np.uint8), "usage": usage}
    np.savez(file, **(rest | more))
    return file


def test_a_csv_and_an_npz_of_the_same_images_are_the_same_data(
    tmp_path: Path, faces: Faces, write_csv: WriteCsv
) -> None:
    images, labels = faces
    rows = np.arange(4 * len(images))
    arrays = {
        "images": images[rows // 4],
        "labels": labels[rows // 4],
        "usage": np.array([0, 0, 1, 2], dtype=np.uint8)[rows % 4],
    }
    file = write_npz(tmp_path / "same.npz", faces, **arrays)
    assert research.load_data(file).digest == research.load_data(write_csv()).digest


@pytest.mark.parametrize(
    "header",
    [
        "emotion,pixels,Usage",
        "emotion, Usage, pixels",
        "Usage,emotion,pixels",
        "\ufeffemotion,pixels,Usage",
        " EMOTION , Pixels ,usage",
    ],
)
def test_headers_in_any_order_spelling_and_spacing(write_csv: WriteCsv, header: str) -> None:
    plain = header.replace("\ufeff", "").replace(" ", "").lower().split(",")
    names = {"emotion": "emotion", "pixels": "pixels", "usage": "Usage"}
    file = write_csv(header=",".join(names[name] for name in plain))
    text = file.read_text()
    file.write_text(header + text[text.index("\n") :])
    expected = research.load_data(write_csv("plain.csv"))
    found = research.load_data(file)
    assert found.digest == expected.digest
    np.testing.assert_array_equal(found.train.labels, expected.train.labels)


def test_windows_line_ends_and_quotes_are_read(write_csv: WriteCsv) -> None:
    file = write_csv()
    expected = research.load_data(file).digest
    text = re.sub(r",([\d ]+),", r',"\1",', file.read_text())
    file.write_bytes(text.replace("\n", "\r\n").encode())
    assert research.load_data(file).digest == expected


def test_without_usage_a_stratified_split_is_made_and_copies_stay_together(
    write_csv: WriteCsv,
) -> None:
    data = research.load_data(write_csv(header="emotion,pixels", usage=None))
    assert len(data.train) + len(data.val) + len(data.test) == 4 * 28
    assert not data.val.leaked.any() and not data.test.leaked.any()
    assert set(data.test.labels) >= {0, 2, 3}


def test_images_that_stand_in_an_earlier_split_are_known(write_csv: WriteCsv) -> None:
    data = research.load_data(write_csv())  # four rows of every image, split 2, 1, 1
    assert not data.train.leaked.any()
    assert data.val.leaked.all() and data.test.leaked.all()


def spoil(row: int, column: int, text: str) -> Callable[[int, list[str]], list[str]]:
    def change(here: int, fields: list[str]) -> list[str]:
        return [*fields[:column], text, *fields[column + 1 :]] if here == row else fields

    return change


PIXELS = " ".join(["7"] * 2304)


@pytest.mark.parametrize(
    ("column", "text", "words"),
    [
        (1, PIXELS[:-2], "2,303 pixels, not 2,304"),
        (1, PIXELS + " 7", "2,305 pixels, not 2,304"),
        (1, PIXELS[:-1] + "x", "pixel 2304 is 'x', not a whole number from 0 to 255"),
        (1, "256" + PIXELS[1:], "pixel 1 is '256'"),
        (1, "-1" + PIXELS[1:], "pixel 1 is '-1'"),
        (1, "7.5" + PIXELS[1:], "pixel 1 is '7.5'"),
        (1, "²" + PIXELS[1:], "pixel 1 is '²'"),
        (1, "", "0 pixels, not 2,304"),
        (0, "7", "emotion '7' is none of 0 angry"),
        (0, "happy", "emotion 'happy' is none of"),
        (0, "", "emotion '' is none of"),
        (2, "Privat", "Usage 'Privat'; did you mean 'PrivateTest'?"),
    ],
)
@pytest.mark.parametrize("row", [0, 61])
def test_a_wrong_row_is_told_with_file_line_and_value(
    write_csv: WriteCsv, row: int, column: int, text: str, words: str
) -> None:
    file = write_csv(change=spoil(row, column, text))
    with pytest.raises(InvalidInput) as error:
        research.load_data(file)
    assert f"{file}:{row + 2}: " in str(error.value)
    assert words in str(error.value)


def test_a_row_that_is_cut_off_is_told(write_csv: WriteCsv) -> None:
    file = write_csv()
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:5], lines[5][:100]]) + "\n")
    with pytest.raises(InvalidInput, match=r"csv:6: .*cut off"):
        research.load_data(file)


def test_a_missing_column_is_told(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("label,pixels\n0,1 2 3\n")
    with pytest.raises(InvalidInput, match=r"x\.csv:1: no column 'emotion'.*label, pixels"):
        research.load_data(file)


def test_an_empty_split_and_an_absent_class_are_told_together(write_csv: WriteCsv) -> None:
    file = write_csv(usage=lambda row: "PublicTest" if row % 2 else "PrivateTest")
    with pytest.raises(InvalidInput) as error:
        research.load_data(file)
    assert "the train split is empty" in str(error.value)
    file = write_csv()
    text = file.read_text().splitlines()
    file.write_text("\n".join(line for line in text if line[:2] not in ("1,", "5,")) + "\n")
    with pytest.raises(InvalidInput) as error:
        research.load_data(file)
    assert "no training image of class 'disgust' (label 1)" in str(error.value)
    assert "no training image of class 'surprise' (label 5)" in str(error.value)


def test_a_split_that_a_table_with_usage_lacks_is_held_out(write_csv: WriteCsv) -> None:
    file = write_csv(usage=lambda row: "Training" if row % 2 else "PrivateTest")
    data = research.load_data(file)
    assert data.own == ("train", "test") and len(data.test) == 56
    assert len(data.train) + len(data.val) == 56 and len(data.val) > 0
    assert research.load_data(file.parent).digest == data.digest  # the folder that it stands in


def test_nothing_is_left_of_a_file_that_cannot_be_read(
    write_csv: WriteCsv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESEARCH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InvalidInput):
        research.load_data(write_csv(change=spoil(3, 0, "9")))
    assert not [path for path in (tmp_path / "cache" / "data").glob("*") if path.is_dir()]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": np.zeros((4, 48), np.uint8)}, "images are uint8 (4, 48)"),
        ({"images": np.zeros((4, 48, 48), np.float32)}, "images are float32"),
        ({"labels": np.array([9] * 28)}, "labels[0] is 9; give 0 to 6"),
        ({"labels": np.zeros(5, np.int64)}, "labels are int64 (5,); give whole numbers (28,)"),
        ({"usage": np.array([3] * 28)}, "usage[0] is 3; give 0 to 2"),
        ({"classes": np.array(["a", "A"])}, "a name stands twice"),
        ({"images": np.array([{}] * 28, dtype=object)}, "is not a readable .npz file"),
    ],
)
def test_wrong_arrays_are_told(
    tmp_path: Path, faces: Faces, change: dict[str, NDArray[np.generic]], words: str
) -> None:
    file = write_npz(tmp_path / "x.npz", faces, **change)
    with pytest.raises(InvalidInput) as error:
        research.load_data(file)
    assert str(file) in str(error.value) and words in str(error.value)


def test_arrays_may_bring_their_classes_and_colours_and_have_no_split(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    file = tmp_path / "x.npz"
    images = generator.integers(0, 256, (40, 20, 20, 3), dtype=np.uint8)
    np.savez(file, images=images, labels=np.arange(40) % 2, classes=np.array(["Cat", "Dog"]))
    data = research.load_data(file)
    assert data.classes == ("cat", "dog")
    assert data.train.images.shape[1:] == (20, 20, 3)
    assert (len(data.train), len(data.val), len(data.test)) == (32, 4, 4)


def test_a_file_that_is_no_archive_is_told(tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    file.write_bytes(b"not a zip")
    with pytest.raises(InvalidInput, match="is not a readable"):
        research.load_data(file)


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_folders_with_a_validation_part(tmp_path: Path, faces: Faces, suffix: str) -> None:
    root = write_folder(tmp_path / "x", faces, ("train", "valid", "test"), suffix)
    data = research.load_data(root)
    assert len(data.train) == len(data.val) == len(data.test) == 28


def test_a_validation_part_is_taken_from_train_in_every_class(tmp_path: Path, faces: Faces) -> None:
    root = write_folder(tmp_path / "x", faces, ("Train", "Test"))
    data = research.load_data(root, val_fraction=0.25)
    counts = np.bincount(faces[1], minlength=7)
    held = np.bincount(data.val.labels, minlength=7)
    assert (held[counts > 1] >= 1).all()
    assert len(data.val) + len(data.train) == 28
    assert data.digest == research.load_data(root, val_fraction=0.25).digest


def test_every_image_that_cannot_be_read_is_named(tmp_path: Path, faces: Faces) -> None:
    root = write_folder(tmp_path / "x", faces, ("train", "test"))
    happy = root / "train" / "happy"
    (happy / "empty.png").write_bytes(b"")
    (happy / "text.jpg").write_text("no picture")
    whole = next(happy.glob("[0-9]*.png")).read_bytes()
    (happy / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidInput) as error:
        research.load_data(root)
    for name in ("empty.png: is not a readable image: is empty", "text.jpg", "cut.png"):
        assert name in str(error.value)


def test_images_of_several_sizes_are_brought_to_one(
    tmp_path: Path, faces: Faces, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_folder(tmp_path / "x", faces, ("train", "test"))
    Image.new("RGB", (80, 60)).save(root / "train" / "happy" / "wide.png")
    caplog.set_level("INFO")
    data = research.load_data(root)
    assert data.train.images.shape[1:] == data.test.images.shape[1:] == (48, 48, 3)
    assert "2 sizes, from 48x48 to 60x80, are brought to 48 x 48 pixels" in caplog.text
    assert data.found["sizes"] == {"48x48": 56, "60x80": 1}
    assert data.found["modes"] == {"L": 56, "RGB": 1}
    chosen = research.load_data(root, side=32)
    assert chosen.train.images.shape[1:] == (32, 32, 3)
    assert chosen.test.images.shape[1:] == (32, 32, 3)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["train/happy/1.png", "test/happy/1.png"], "1 class (happy)"),
        (["train/a/1.png", "train/b/1.png", "test/c/1.png"], "the test folder has the class 'c'"),
        (["train/a/1.png", "train/b/1.txt", "test/a/1.png"], "b: no image in this class folder"),
        (["train/a/1.png", "train/b/1.png", "test/a/", "test/b/1.png"], "a: no image in this"),
        (["train/Happy/1.png", "train/happiness/1.png"], "both mean the class 'happy'"),
        (["test/a/1.png", "test/b/1.png", "1/1.png"], "no folder 'train'; it has test"),
    ],
)
def test_folders_that_are_no_data_set_are_told(
    tmp_path: Path, files: list[str], words: str
) -> None:
    for name in files:
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".png"):
            Image.new("L", (8, 8)).save(tmp_path / "x" / name)
        elif name.endswith("/"):
            (tmp_path / "x" / name).mkdir(parents=True)
        else:
            (tmp_path / "x" / name).write_text("")
    with pytest.raises(InvalidInput) as error:
        research.load_data(tmp_path / "x")
    assert words in str(error.value)


def test_an_unknown_layout_or_name_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(InvalidInput, match="of no layout that is known"):
        research.load_data(tmp_path / "x.txt")
    with pytest.raises(InvalidInput, match="did you mean 'embedded'"):
        research.load_data("embeded")
    with pytest.raises(InvalidInput, match="no such file"):
        research.load_data("/no/such/file.csv")
    with pytest.raises(InvalidInput, match="'train_imges'; did you mean 'train_images'"):
        research.load_data("embedded", train_imges=3)


def test_auto_goes_by_the_variable_then_the_folder_then_the_embedded_set(
    tmp_path: Path, write_csv: WriteCsv, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_csv()
    assert location.locate("auto", tmp_path).source == "embedded"
    (tmp_path / "data").mkdir()
    os.link(file, tmp_path / "data" / "icml_face_data.csv")
    found = location.locate("auto", tmp_path)
    assert (found.source, found.why) == ("fer2013", "found under ./data")
    assert location.locate("fer2013", tmp_path) == found
    monkeypatch.setenv("RESEARCH_DATA", "embedded")
    assert location.locate("auto", tmp_path).source == "embedded"
    assert location.locate(str(file), tmp_path).path == file


def test_the_cache_goes_by_content_not_by_name(
    tmp_path: Path, write_csv: WriteCsv, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_csv()
    first = research.load_data(file)
    decodings: list[object] = []
    monkeypatch.setattr(cache, "_decode", lambda *args: decodings.append(args))
    moved = file.rename(tmp_path / "moved.csv")
    os.utime(moved, (0, 0))
    assert research.load_data(moved).digest == first.digest
    assert not decodings


def _load(file: Path, digests: multiprocessing.SimpleQueue[str]) -> None:
    digests.put(research.load_data(file).digest)


def test_processes_that_load_at_once_agree(write_csv: WriteCsv) -> None:
    file = write_csv(header="emotion,Usage,pixels")
    context = multiprocessing.get_context("fork")
    digests: multiprocessing.SimpleQueue[str] = context.SimpleQueue()
    crew = [context.Process(target=_load, args=(file, digests)) for _ in range(4)]
    for one in crew:
        one.start()
    for one in crew:
        one.join()
    assert len({digests.get() for _ in crew}) == 1


def test_a_cache_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RESEARCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(InvalidInput, match="RESEARCH_CACHE"):
        research.load_data("embedded", train_images=7, val_images=7, test_images=7)


def test_held_out_images_keep_proportions_and_copies_together() -> None:
    generator = np.random.default_rng(1)
    labels = np.repeat([0, 1], [900, 100])
    images = generator.integers(0, 256, (1000, 4, 4, 1), dtype=np.uint8)
    images[1::10] = images[::10]
    copies = copies_of(images)
    out = held_out(labels, 0.1, copies)
    assert abs(out[labels == 0].mean() - 0.1) < 0.01
    assert abs(out[labels == 1].mean() - 0.1) < 0.02
    np.testing.assert_array_equal(out[1::10], out[::10])


def test_limits_keep_the_proportions_and_every_class() -> None:
    data = research.load_data("embedded", train_images=700, val_images=70, test_images=70)
    few = data.limited(140, 35)
    assert abs(len(few.train) - 140) <= 7
    assert set(few.train.labels) == set(range(7))
    share = few.class_counts() / len(few.train)
    np.testing.assert_allclose(share, data.class_counts() / len(data.train), atol=0.02)
    assert few.digest == data.digest
    assert data.limited(None, None) is data


def test_the_embedded_set_is_the_same_on_every_machine() -> None:
    decoded = embedded(None, train_images=140, val_images=35, test_images=35)
    splits = {"train": decoded.train, "val": decoded.val, "test": decoded.test}
    assert cache.digest_of(splits, decoded.classes) == "6a911ba27aff503175a5b02f38e9ddb8"


def test_a_known_share_of_the_embedded_labels_is_wrong() -> None:
    sizes = {"train_images": 1000, "val_images": 7, "test_images": 7}
    right = embedded(None, **sizes, wrong_labels=0.0)
    some = embedded(None, **sizes, wrong_labels=0.05)
    np.testing.assert_array_equal(right.train.images, some.train.images)
    assert (right.train.labels != some.train.labels).sum() == 50
    share = np.bincount(right.train.labels) / 1000
    np.testing.assert_allclose(
        share, np.array([3995, 436, 4097, 7215, 4830, 3171, 4965]) / 28709, atol=0.002
    )


def read_numbers(real_data: Path) -> Splits:
    return research.load_data(real_data / "fer2013.npz")


@pytest.mark.real_data
def test_the_real_set_has_its_known_numbers(real_data: Path) -> None:
    data = read_numbers(real_data)
    assert [len(data.train), len(data.val), len(data.test)] == [28709, 3589, 3589]
    assert data.class_counts().tolist() == [3995, 436, 4097, 7215, 4830, 3171, 4965]
    assert int(data.test.leaked.sum()) == 314
    assert int(data.val.leaked.sum()) == 280
    pixels = data.train.images.reshape(-1)[::7].astype(np.float64) / 255
    assert abs(pixels.mean() - 0.5077) < 1e-3 and abs(pixels.std() - 0.2550) < 1e-3


@pytest.mark.real_data
def test_the_real_csv_and_npz_are_the_same_data(real_data: Path, tmp_path: Path) -> None:
    arrays = np.load(real_data / "fer2013_mini.npz")
    names = np.array(["Training", "PublicTest", "PrivateTest"])[arrays["usage"]]
    lines = [
        f"{label},{' '.join(map(str, image.ravel()))},{name}"
        for image, label, name in zip(arrays["images"], arrays["labels"], names, strict=True)
    ]
    file = tmp_path / "mini.csv"
    file.write_text("emotion,pixels,Usage\n" + "\n".join(lines) + "\n")
    npz = research.load_data(real_data / "fer2013_mini.npz")
    assert research.load_data(file).digest == npz.digest
    assert json.dumps(npz.class_counts().tolist()) == "[100, 100, 100, 100, 100, 100, 100]"


@pytest.mark.parametrize(
    ("top", "white"), [(65535, 65535), (5000, 65535), (4000, 4095), (200, 255)]
)
def test_images_of_sixteen_bits_are_scaled_alike_by_the_depth_of_the_set(
    tmp_path: Path, top: int, white: int
) -> None:
    files = []
    for number, most in enumerate((top, top // 2)):
        deep = np.linspace(0, most, 64 * 64).astype(np.uint16).reshape(64, 64)
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(deep).save(files[-1])
    read, _ = images.read_images(files, None, "here")
    for pixels, most in zip(read, (top, top // 2), strict=True):
        deep = np.linspace(0, most, 64 * 64).astype(np.uint16).reshape(64, 64)
        np.testing.assert_array_equal(
            pixels[..., 0], np.rint(deep / (white / 255)).astype(np.uint8)
        )


def test_a_lying_image_is_not_squashed(tmp_path: Path) -> None:
    square = Image.new("L", (60, 40))
    square.paste(255, (10, 10, 20, 20))
    square.save(tmp_path / "a.png")
    turned = square.transpose(Image.Transpose.ROTATE_90)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "b.png", exif=exif)
    read, found = images.read_images([tmp_path / "a.png", tmp_path / "b.png"], None, "here")
    assert read.shape == (2, 40, 60, 1) and found["sizes"] == {"40x60": 2}
    assert all((image > 128).sum() == 100 for image in read)


def test_more_than_sixteen_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 70_000, dtype=np.int32)).save(tmp_path / "deep.tiff")
    with pytest.raises(InvalidInput, match="70000; save it with 8 or 16 bits"):
        images.read_image(tmp_path / "deep.tiff")


def test_images_are_upright_and_what_is_see_through_is_black(tmp_path: Path) -> None:
    lying = Image.new("L", (8, 4))
    exif = lying.getexif()
    exif[0x0112] = 6
    lying.save(tmp_path / "lying.jpg", exif=exif)
    assert images.read_image(tmp_path / "lying.jpg").shape == (8, 4, 1)
    Image.new("RGBA", (4, 4), (200, 100, 50, 0)).save(tmp_path / "clear.png")
    assert images.read_image(tmp_path / "clear.png").max() == 0


def test_four_colours_and_few_colours_are_read(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "print.jpg")
    assert images.read_image(tmp_path / "print.jpg").shape == (8, 8, 3)
    Image.new("P", (8, 8)).save(tmp_path / "few.gif")
    assert images.read_image(tmp_path / "few.gif").shape[:2] == (8, 8)


def test_files_that_are_no_images_are_passed_over_and_counted(
    tmp_path: Path, faces: Faces, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_folder(tmp_path / "images", faces, ("train", "test"))
    (root / "train" / "happy" / "notes.txt").write_text("x")
    research.load_data(root)
    assert "happy: no images, and passed over: notes.txt" in caplog.text


def test_persons_are_not_divided_by_a_split_of_our_own(tmp_path: Path, faces: Faces) -> None:
    images = np.concatenate([faces[0]] * 2)
    labels, persons = np.arange(len(images)) % 7, np.arange(len(images)) // 7
    file = tmp_path / "persons.npz"
    np.savez(file, images=images, labels=labels, groups=persons)
    splits = research.load_data(file, val_fraction=0.3, test_fraction=0.3)
    parts = [set(np.asarray(getattr(splits, name).groups).tolist()) for name in SPLITS]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


def test_fractions_that_leave_nothing_are_refused(write_csv: WriteCsv) -> None:
    file = write_csv(header="emotion,pixels", usage=None)
    with pytest.raises(InvalidInput, match="nothing is left to train on"):
        research.load_data(file, val_fraction=0.5, test_fraction=0.5)


def test_a_table_without_pixels_names_the_column(write_csv: WriteCsv, tmp_path: Path) -> None:
    file = tmp_path / "odd.csv"
    file.write_text("emotion,pixel,Usage\n0,1 2 3,Training\n")
    with pytest.raises(InvalidInput, match=r"odd.csv:1: no column 'pixels'"):
        research.load_data(file)


@pytest.mark.parametrize("name", ["data.json", "train-images.npy", "test-labels.npy"])
def test_a_cache_that_was_cut_off_is_made_anew(write_csv: WriteCsv, name: str) -> None:
    file = write_csv("cut.csv")
    before = research.load_data(file)
    place = Path(before.train.images.filename).parent  # type: ignore[attr-defined]
    (place / name).write_bytes((place / name).read_bytes()[:60])
    assert research.load_data(file).digest == before.digest


def test_class_names_that_cannot_be_tracked_are_told_before_any_run(
    tmp_path: Path, faces: Faces
) -> None:
    root = write_folder(tmp_path / "images", faces, ("train", "test"))
    for split in ("train", "test"):
        (root / split / "happy").rename(root / split / "happy (1)")
    with pytest.raises(InvalidInput, match=r"class 'happy \(1\)': letters, digits"):
        research.load_data(root)


@pytest.mark.parametrize("limit", [7, 10, 11, 20, 27])
def test_a_limit_is_a_limit_and_every_class_is_there(faces: Faces, limit: int) -> None:
    images, labels = faces
    some = first(Split(images, labels), limit)
    assert len(some) == limit and len(set(some.labels.tolist())) == len(set(labels.tolist()))


def test_a_path_is_where_the_user_stands_and_a_study_s_where_the_project_is(
    project: Project, write_csv: WriteCsv, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = project.root / "inner"
    inner.mkdir()
    write_csv().rename(inner / "here.csv")
    monkeypatch.chdir(inner)
    found = whereabouts(Request(data="here.csv"), "auto", project)
    assert found.path == inner / "here.csv"
    assert whereabouts(Request(), "inner/here.csv", project).path == inner / "here.csv"


@pytest.mark.parametrize("name", ["..", ".", "-x", " "])
def test_class_names_that_are_no_names_are_told(tmp_path: Path, faces: Faces, name: str) -> None:
    classes = np.array([*EMOTIONS[:6], name])
    with pytest.raises(InvalidInput, match=r"rename it|both mean"):
        research.load_data(write_npz(tmp_path / "odd.npz", faces, classes=classes))


def test_a_damaged_archive_and_a_pixel_of_many_digits_are_told(
    tmp_path: Path, faces: Faces, write_csv: WriteCsv
) -> None:
    file = tmp_path / "packed.npz"
    np.savez_compressed(file, images=faces[0], labels=faces[1])
    content = bytearray(file.read_bytes())
    content[200:260] = bytes(60)
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"is not a readable \.npz file"):
        research.load_data(file)
    with pytest.raises(InvalidInput, match="pixel 1 is '9999"):
        research.load_data(write_csv(change=lambda row, f: [f[0], "9" * 5000 + f[1], *f[2:]]))
