"""A table of file names and labels, beside a folder of images."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from research.data import PARTS, SPLITS, Decoded, Split
from research.data.classes import Names, ordered
from research.data.images import has_images, read_images
from research.errors import InvalidInput, suggest
from research.registry import Count, sources

FILE = ("file", "filename", "file_name", "image", "image_name", "img", "path", "name", "pth")
LABEL = ("label", "labels", "class", "emotion", "expression", "category", "target")
SPLIT = ("split", "usage", "subset", "set", "partition")
PERSON = ("person", "subject", "identity", "user", "user.id")
MAX_ROWS = 5_000_000
log = logging.getLogger("research")


def accepts(path: Path) -> bool:
    """Whether a path is such a table, or a folder with one."""
    table = _table(path)
    if table is None:
        return False
    header = _header(table)
    if "pixels" in header or _column(header, FILE) is None:
        return False
    # Beside folders of classes a list of something else is no table of labels.
    classes = sum(has_images(folder) for folder in _below(table.parent))
    return _column(header, LABEL) is not None or classes < 2


def _below(folder: Path) -> list[Path]:
    """The folders in a folder, and those in them."""
    inside = [item for item in folder.iterdir() if item.is_dir()]
    return inside + [item for one in inside for item in one.iterdir() if item.is_dir()]


def reads(path: Path, **params: Any) -> list[Path]:
    """The table and every image that it names."""
    file, columns = _layout(path, params)
    return [file, *(Path(row["path"]) for row in _rows(file, columns))]


@sources.register(rank=2)
def table(
    path: Path,
    *,
    side: Count | None = None,
    aliases: dict[str, str] | None = None,
    file_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    person_column: str | None = None,
) -> Decoded:
    """A csv of file and label (perhaps split and person), its images beside it or in a folder.

    Columns are found by their usual names, or named by the parameters. Without a column of splits
    they are those of the folders train, val and test, if all images stand in these. Labels may
    have any spelling; ``aliases`` maps others. Raises `InvalidInput` with file, line and value.
    """
    named = {"file": file_column, "label": label_column}
    named |= {"split": split_column, "person": person_column}
    file, columns = _layout(path, {f"{what}_column": name for what, name in named.items()})
    rows = _rows(file, columns)
    names = Names(aliases, str(file))
    classes = ordered({names.of(row["label"]) for row in rows})
    images, found = read_images([Path(row["path"]) for row in rows], side, str(file))
    persons: tuple[str, ...] = ()
    groups = None
    if columns["person"] is not None:
        known, groups = np.unique([row["person"] for row in rows], return_inverse=True)
        persons = tuple(map(str, known))
    labels = np.array([classes.index(names.of(row["label"])) for row in rows], dtype=np.int64)
    everything = Split(images, labels, groups=groups)
    if columns["split"] is None and not _divided(rows, file):
        return Decoded(everything, None, None, classes, persons=persons, found=found)
    parts = np.array([row["split"] for row in rows])
    splits = {
        name: everything.take(np.flatnonzero(parts == name)) if name in parts else None
        for name in SPLITS
    }
    train = splits["train"]
    if train is None:
        raise InvalidInput(f"{file}: no row is of the training split")
    return Decoded(train, splits["val"], splits["test"], classes, persons=persons, found=found)


def _divided(rows: list[dict[str, str]], file: Path) -> bool:
    """Takes the splits from the folders that images stand in, if each stands in one of a split."""
    found = []
    for row in rows:
        folders = Path(row["path"]).relative_to(file.parent.resolve()).parts[:-1]
        named = [n for n, texts in PARTS.items() if folders and folders[0].lower() in texts]
        found += named[:1]
    if len(found) < len(rows):
        return False
    for row, name in zip(rows, found, strict=True):
        row["split"] = name
    log.info("%s: has no column of splits; they are those of the images' folders", file)
    return True


def _layout(path: Path, params: Mapping[str, Any]) -> tuple[Path, dict[str, int | None]]:
    """The table's file and the place of each column."""
    file = _table(path)
    assert file is not None
    usual = {"file": FILE, "label": LABEL, "split": SPLIT, "person": PERSON}
    header = _header(file)
    return file, {
        what: _place(header, params.get(f"{what}_column"), names, file, what)
        for what, names in usual.items()
    }


def _table(path: Path) -> Path | None:
    """The table itself, or the only one in a folder that has a column of files and of labels."""
    if path.is_file():
        return path if path.suffix.lower() == ".csv" else None
    if not path.is_dir():
        return None
    found = [item for item in sorted(path.iterdir()) if item.suffix.lower() == ".csv"]
    if len(found) > 1:
        found = [item for item in found if _column(_header(item), FILE) is not None]
        found = [item for item in found if _column(_header(item), LABEL) is not None]
    return found[0] if len(found) == 1 else None


def _header(file: Path) -> list[str]:
    line = _first_line(file)
    return [n.strip().lower() for n in next(csv.reader([line], delimiter=_mark(line)), [])]


def _first_line(file: Path) -> str:
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        return stream.readline(65536)


def _mark(line: str) -> str:
    """What stands between columns: a comma, a semicolon or a tab."""
    return max(",;\t", key=line.count)


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _place(
    header: list[str], named: str | None, usual: Sequence[str], file: Path, what: str
) -> int | None:
    """The place of a column; one that is named must be there, and so must file and label."""
    if named is not None:
        if named.strip().lower() not in header:
            raise InvalidInput(
                f"{file}: data.params.{what}_column: no column '{named}'{suggest(named, header)}"
            )
        return header.index(named.strip().lower())
    place = _column(header, usual)
    if place is None and what in ("file", "label"):
        raise InvalidInput(
            f"{file}: no column of the {what}, which may be called {', '.join(usual)}; it has "
            f"{', '.join(header)}; name it: --set data.params.{what}_column=..."
        )
    return place


def _rows(file: Path, columns: dict[str, int | None]) -> list[dict[str, str]]:
    """The lines of the table, each with the path of its image; all problems at once."""
    rows: list[dict[str, str]] = []
    problems: list[str] = []
    places = _folders_of(file)
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        reader = csv.reader(stream, delimiter=_mark(_first_line(file)))
        next(reader)
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            try:
                rows.append(_row(fields, columns, places, f"{file}:{reader.line_num}"))
            except InvalidInput as error:
                problems += error.problems
            if len(rows) > MAX_ROWS:
                raise InvalidInput(f"{file}: more than {MAX_ROWS:,} rows")
    if problems:
        raise InvalidInput(*problems)
    if not rows:
        raise InvalidInput(f"{file}: has a header and no rows")
    return rows


def _row(
    fields: list[str], columns: dict[str, int | None], places: list[Path], where: str
) -> dict[str, str]:
    found = {}
    for what, place in columns.items():
        if place is None:
            continue
        if place >= len(fields) or not fields[place].strip():
            raise InvalidInput(f"{where}: no {what}; is the line cut off?")
        found[what] = fields[place].strip()
    if "split" in found:
        found["split"] = _split(found["split"], where)
    return found | {"path": str(_image(found["file"], places, where))}


def _split(text: str, where: str) -> str:
    for name, spellings in PARTS.items():
        if text.lower() in spellings:
            return name
    known = [spelling for spellings in PARTS.values() for spelling in spellings]
    raise InvalidInput(f"{where}: split '{text}'{suggest(text, known)}")


def _folders_of(file: Path) -> list[Path]:
    """Where images of a table may stand: beside it, or in a folder there."""
    folders = [item for item in sorted(file.parent.iterdir()) if item.is_dir()]
    return [file.parent, *(item for item in folders if not item.name.startswith("."))]


def _image(name: str, places: list[Path], where: str) -> Path:
    """A file's name to its path, which never leads out of the table's folder."""
    root = places[0].resolve()
    for place in places:
        path = (place / name).resolve()
        if not path.is_relative_to(root):
            raise InvalidInput(f"{where}: file '{name}' is not inside {root}")
        if path.is_file():
            return path
    raise InvalidInput(f"{where}: no file '{name}' in {root} or the folders in it")
