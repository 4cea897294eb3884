"""FER2013 as a table: emotion, pixels (48 x 48 numbers) and, mostly, Usage.

Goodfellow et al., Challenges in Representation Learning, 2013. Kaggle's ``fer2013.csv``, its
``icml_face_data.csv`` (spaces in the header) and older dumps without Usage are all read.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from research.data import EMOTIONS, Decoded, Split
from research.errors import InvalidInput, suggest
from research.registry import sources

SIDE = 48
PIXELS = SIDE * SIDE
USAGES = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
BATCH = 1024  # rows whose numbers are read in one go; 8 MB of text


NAMES = {part: usage for usage, part in USAGES.items()}


class Row(NamedTuple):
    """One line of the table, its pixels still text."""

    line: int
    label: int
    pixels: str
    part: str


class Table(NamedTuple):
    """FER2013 in the order of its rows: images ``(N, 48, 48, 1)``, labels and splits ``(N,)``."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    parts: NDArray[np.str_]
    has_usage: bool


def accepts(path: Path) -> bool:
    """Whether a path is a table whose header has a column of pixels or of emotions."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        header = stream.readline(4096).lower()
    return "pixels" in header or "emotion" in header


@sources.register()
def fer2013(path: Path) -> Decoded:
    """A csv with the columns emotion, pixels and, mostly, Usage.

    Raises `InvalidInput` with file, line and value for a row that is wrong.
    """
    table = read_table(path)
    everything = Split(table.images, table.labels)
    found = {"sizes": {f"{SIDE}x{SIDE}": len(everything)}, "modes": {"L": len(everything)}}
    if not table.has_usage:
        return Decoded(everything, None, None, EMOTIONS, found=found)
    rows = {part: np.flatnonzero(table.parts == part) for part in NAMES}
    return Decoded(
        everything.take(rows["train"]),
        everything.take(rows["val"]) if len(rows["val"]) else None,
        everything.take(rows["test"]) if len(rows["test"]) else None,
        classes=EMOTIONS,
        names=NAMES,
        found=found,
    )


def read_table(path: Path) -> Table:
    """A table to its images, labels and splits; raises `InvalidInput`."""
    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    parts: list[str] = []
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        columns = _columns(stream, path)
        for rows in _batches(_rows(stream, path, columns)):
            images.append(_numbers(rows, path))
            labels += [row.label for row in rows]
            parts += [row.part for row in rows]
    empty = np.zeros((0, SIDE, SIDE, 1), dtype=np.uint8)
    return Table(
        np.concatenate([empty, *images]),
        np.array(labels, dtype=np.int64),
        np.array(parts, dtype=np.str_),
        "usage" in columns,
    )


def _columns(stream: TextIO, path: Path) -> dict[str, int]:
    """The header to the place of each column; ``icml_face_data.csv`` has spaces before names."""
    header = [name.strip().lower() for name in next(csv.reader([stream.readline()]), [])]
    missing = [name for name in ("emotion", "pixels") if name not in header]
    if missing:
        raise InvalidInput(
            f"{path}:1: no column '{missing[0]}'; the header has {', '.join(header) or 'nothing'}"
        )
    return {name: header.index(name) for name in ("emotion", "pixels", "usage") if name in header}


def _rows(stream: TextIO, path: Path, columns: dict[str, int]) -> Iterator[Row]:
    reader = csv.reader(stream)
    width = max(columns.values()) + 1
    try:
        for fields in reader:
            line = reader.line_num + 1
            if not fields:
                continue
            if len(fields) < width:
                raise InvalidInput(
                    f"{path}:{line}: {len(fields)} fields, {width} are needed; is the line cut off?"
                )
            usage = fields[columns["usage"]].strip() if "usage" in columns else "Training"
            if usage not in USAGES:
                raise InvalidInput(f"{path}:{line}: Usage '{usage}'{suggest(usage, USAGES)}")
            label = _label(fields[columns["emotion"]], f"{path}:{line}")
            yield Row(line, label, fields[columns["pixels"]], USAGES[usage])
    except csv.Error as error:
        raise InvalidInput(f"{path}:{reader.line_num + 1}: {error}") from None


def _label(text: str, where: str) -> int:
    if text.strip() in set("0123456"):
        return int(text)
    names = ", ".join(f"{label} {name}" for label, name in enumerate(EMOTIONS))
    raise InvalidInput(f"{where}: emotion '{text[:20]}' is none of {names}")


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _numbers(rows: list[Row], path: Path) -> NDArray[np.uint8]:
    """Rows of text to images ``(n, 48, 48, 1)``; all at once, one by one to find a fault."""
    numbers = _parse([row.pixels for row in rows])
    if numbers is None:
        for row in rows:
            if _parse([row.pixels]) is None:
                raise InvalidInput(f"{path}:{row.line}: {_fault(row.pixels)}")
    assert numbers is not None
    return numbers.reshape(-1, SIDE, SIDE, 1)


def _parse(texts: list[str]) -> NDArray[np.uint8] | None:
    """Texts of 2,304 numbers from 0 to 255 to ``(n, 2304)``; None if one is anything else."""
    data = np.frombuffer("\n".join(texts).encode(), dtype=np.uint8)
    digit = (data >= ord("0")) & (data <= ord("9"))
    line_ends = np.flatnonzero(data == ord("\n"))
    if np.count_nonzero(digit) + np.count_nonzero(data == ord(" ")) + len(line_ends) != len(data):
        return None
    edges = np.flatnonzero(np.diff(np.concatenate([[False], digit, [False]]).view(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    counts = np.diff(np.searchsorted(starts, np.concatenate([[0], line_ends, [len(data)]])))
    lengths = ends - starts
    if not (counts == PIXELS).all() or lengths.max() > 3:
        return None
    values = (data[ends - 1] - ord("0")).astype(np.int16)
    for place in (1, 2):
        digits = data[np.maximum(ends - 1 - place, 0)].astype(np.int16) - ord("0")
        values += np.where(lengths > place, digits * 10**place, 0).astype(np.int16)
    if values.max() > 255:
        return None
    return values.astype(np.uint8).reshape(len(texts), PIXELS)


def _fault(text: str) -> str:
    """What is wrong with one row's pixels."""
    words = text.split()
    for place, word in enumerate(words):
        if not (word.isascii() and word.isdigit() and len(word) <= 3 and int(word) <= 255):
            return f"pixel {place + 1} is '{word[:20]}', not a whole number from 0 to 255"
    return f"{len(words):,} pixels, not {PIXELS:,} ({SIDE} x {SIDE}), separated by spaces"
