"""A data set written in another layout: FER2013's csv, arrays, folders of classes, a table.

A writer is a function ``(splits, place, written)`` that fills ``place``; ``written`` is called with
the number of images written so far.
"""

from __future__ import annotations

import csv
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from research.data import EMOTIONS, SPLITS, Splits
from research.data.fer2013 import NAMES
from research.data.fer2013 import SIDE as FER_SIDE
from research.data.images import resized
from research.errors import InvalidInput, suggest

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
Written = Callable[[int], None]


class Sample(NamedTuple):
    """One image ``(H, W, C)`` of a split, its label, person's name or "", and its number."""

    split: str
    image: NDArray[np.uint8]
    label: int
    person: str
    number: int


def convert(
    splits: Splits,
    target: Path,
    layout: str | None = None,
    side: int | None = None,
    written: Written = lambda count: None,
) -> str:
    """Writes a data set as ``target``, whole or not at all; returns the layout.

    ``layout`` is csv, npz, folders or table; by default what the name of the target says, folders
    where it says nothing. ``side`` is the size in pixels that images are brought to. Raises
    `InvalidInput` where the target exists or its layout cannot hold the set.
    """
    suffix = target.suffix.lower()
    if layout is None and suffix in (".txt", ".json", ".yaml", ".parquet", ".zip", ".tar", ".gz"):
        raise InvalidInput(
            f"{target}: '{suffix}' is no layout; end it in .csv or .npz, or use --to"
        )
    layout = layout or {".csv": "csv", ".npz": "npz"}.get(suffix, "folders")
    _check_target(splits, target, layout)
    splits = _sized(splits, side)
    LAYOUTS[layout].check(splits)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=target.parent) as name:
            place = Path(name) / target.name
            LAYOUTS[layout].write(splits, place, written)
            shutil.move(place, target)
    except OSError as error:
        raise InvalidInput(
            f"{error.filename or target}: {error.strerror}; nothing was written"
        ) from None
    return layout


def _check_target(splits: Splits, target: Path, layout: str) -> None:
    """Refuses a target that is there, that stands in the source, or that no loader would read."""
    if layout not in LAYOUTS:
        raise InvalidInput(f"--to {layout}: no such layout{suggest(layout, LAYOUTS)}")
    if target.exists():
        raise InvalidInput(f"{target}: is there already; give another name or remove it")
    source = Path(splits.source)
    if source.is_dir() and target.resolve().is_relative_to(source.resolve()):
        raise InvalidInput(f"{target}: stands inside the set that it is made of, {source}")
    suffix = LAYOUTS[layout].suffix
    if target.suffix.lower() != suffix and (suffix or target.suffix.lower() in KNOWN):
        what = f"a name that ends in {suffix}" if suffix else "the name of a folder"
        raise InvalidInput(f"{target}: {layout} needs {what}")


def samples(splits: Splits) -> Iterator[Sample]:
    """Every image of a set, training first."""
    number = 0
    for name in SPLITS:
        if name == "test" and splits.tested_on_val:
            continue
        part = getattr(splits, name)
        for row in range(len(part)):
            person = "" if part.groups is None else splits.persons[int(part.groups[row])]
            yield Sample(name, part.images[row], int(part.labels[row]), person, number)
            number += 1


def _sized(splits: Splits, side: int | None) -> Splits:
    if side is None:
        return splits
    parts = {}
    for name in SPLITS:
        part = getattr(splits, name)
        images = np.stack([resized(image, side, side) for image in part.images])
        parts[name] = replace(part, images=images)
    return replace(splits, train=parts["train"], val=parts["val"], test=parts["test"])


def _check_csv(splits: Splits) -> None:
    """Refuses what FER2013's table cannot hold."""
    shape = splits.train.images.shape[1:3]
    foreign = [name for name in splits.classes if name not in EMOTIONS]
    if foreign:
        raise InvalidInput(
            f"{splits.source}: FER2013's csv has no class '{foreign[0]}'; write another layout "
            "(--to table)"
        )
    if shape != (FER_SIDE, FER_SIDE):
        raise InvalidInput(
            f"{splits.source}: images of {shape[0]} x {shape[1]} pixels, and FER2013's csv holds "
            f"{FER_SIDE} x {FER_SIDE}; bring them to it: --side {FER_SIDE}"
        )


def _write_csv(splits: Splits, place: Path, written: Written) -> None:
    """FER2013's table: emotion, pixels, Usage."""
    codes = [EMOTIONS.index(name) for name in splits.classes]
    with place.open("w", encoding="utf-8", newline="") as stream:
        stream.write("emotion,pixels,Usage\n")
        for one in samples(splits):
            pixels = " ".join(map(str, _grey(one.image).ravel().tolist()))
            stream.write(f"{codes[one.label]},{pixels},{NAMES[one.split]}\n")
            written(one.number + 1)


def _write_npz(splits: Splits, place: Path, written: Written) -> None:
    """Arrays images, labels, usage, classes and, where persons are known, groups."""
    names = SPLITS[:2] if splits.tested_on_val else SPLITS
    parts = [getattr(splits, name) for name in names]
    arrays = {
        "images": np.concatenate([part.images for part in parts]),
        "labels": np.concatenate([part.labels for part in parts]).astype(np.uint16),
        "usage": np.repeat(np.arange(len(parts), dtype=np.uint8), [len(p) for p in parts]),
        "classes": np.array(splits.classes),
    }
    if parts[0].groups is not None:
        arrays["groups"] = np.array(splits.persons)[np.concatenate([p.groups for p in parts])]
    with place.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    written(len(arrays["labels"]))


def _write_folders(splits: Splits, place: Path, written: Written) -> None:
    """``<split>/<class>/<person_>000123.png``, lossless.

    Persons whose names make no safe part of a file's name get a code: ``p003``.
    """
    plain = all(PLAIN_NAME.fullmatch(name) for name in splits.persons)
    codes = {name: name if plain else f"p{n:03d}" for n, name in enumerate(splits.persons)}
    for one in samples(splits):
        folder = place / one.split / splits.classes[one.label]
        folder.mkdir(parents=True, exist_ok=True)
        person = f"{codes[one.person]}_" if one.person else ""
        _save(one.image, folder / f"{person}{one.number:06d}.png")
        written(one.number + 1)


def _write_table(splits: Splits, place: Path, written: Written) -> None:
    """``images/000123.png`` and ``labels.csv``: file, label, split and, if known, person."""
    (place / "images").mkdir(parents=True)
    known = splits.train.groups is not None
    with (place / "labels.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "label", "split", *(["person"] if known else [])])
        for one in samples(splits):
            name = f"{one.number:06d}.png"
            _save(one.image, place / "images" / name)
            row = [name, splits.classes[one.label], one.split]
            writer.writerow([*row, one.person] if known else row)
            written(one.number + 1)


class Layout(NamedTuple):
    """What writes a layout, the end of its target's name, and what refuses a set beforehand."""

    write: Callable[[Splits, Path, Written], None]
    suffix: str = ""
    check: Callable[[Splits], None] = lambda splits: None


LAYOUTS = {
    "csv": Layout(_write_csv, ".csv", _check_csv),
    "npz": Layout(_write_npz, ".npz"),
    "folders": Layout(_write_folders),
    "table": Layout(_write_table),
}
KNOWN = {".csv", ".npz", ".png", ".jpg", ".zip"}  # no names of folders


def _save(image: NDArray[np.uint8], file: Path) -> None:
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(file)


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image.shape[2] == 1:
        return image[..., 0]
    grey: NDArray[np.uint8] = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return grey
