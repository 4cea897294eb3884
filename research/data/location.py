"""From what a user calls a data set to its file or folder, and the source that reads it."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from research import registry
from research.data.images import is_image
from research.errors import InvalidInput, suggest

AUTO = "auto"
EMBEDDED = "embedded"
FER2013 = "fer2013"
# What a folder is read as where one of these stands in it, the most complete first.
TABLES = ("fer2013.csv", "icml_face_data.csv", "fer2013new.csv", "fer2013.npz", "train.csv")
# Where people keep a set under ./data, the most complete form first.
PLACES = {
    FER2013: (
        "fer2013.csv",
        "fer2013/fer2013.csv",
        "icml_face_data.csv",
        "fer2013/icml_face_data.csv",
        "fer2013.npz",
        "fer2013",
        "FER2013",
        "train.csv",
        "fer2013/train.csv",
    ),
    "ferplus": ("fer2013new.csv", "fer2013/fer2013new.csv", "ferplus/fer2013new.csv"),
    "jaffe": ("jaffe", "JAFFE", "jaffedbase"),
    "ckplus": ("CK+48", "ck+48", "ckplus", "CK+"),
}
PLAIN = {"fer+": "ferplus", "ck+": "ckplus", **{name: name for name in PLACES}}


@dataclass(frozen=True)
class Location:
    """A registered source and the path that it reads; no path where it draws its images."""

    source: str
    path: Path | None
    why: str  # how it came to be this one, for the user

    @property
    def name(self) -> str:
        """What a run spec holds as ``data.name``."""
        return str(self.path) if self.path else self.source

    @property
    def synthetic(self) -> bool:
        """Whether its images are drawn, not taken."""
        return self.path is None


def locate(name: str, folder: Path | None = None, instead_of: str = AUTO) -> Location:
    """A name or path to its location; ``auto`` is RESEARCH_DATA, else ./data, else embedded.

    ``auto`` looks for FER2013, ``auto:jaffe`` and the like for another set that has a name. In a
    folder of several tables that of the set is read that ``instead_of`` looks for.
    """
    folder = folder or Path.cwd()
    first, _, wanted = name.partition(":")
    if first == AUTO:
        return _automatic(wanted or FER2013, folder)
    wanted = FER2013 if instead_of == AUTO else instead_of.removeprefix(f"{AUTO}:")
    return _named(name, folder, "as asked", wanted)


def _automatic(wanted: str, folder: Path) -> Location:
    if wanted not in PLACES:
        raise InvalidInput(f"data 'auto:{wanted}': no such set{suggest(wanted, PLACES)}")
    if chosen := os.environ.get("RESEARCH_DATA"):
        try:
            return _named(chosen, Path.cwd(), "RESEARCH_DATA", wanted)
        except InvalidInput as error:
            raise InvalidInput(*(f"RESEARCH_DATA: {text}" for text in error.problems)) from None
    if found := _found(wanted, folder):
        return _at(found, "found under ./data")
    known = {FER2013: "FER2013", "ferplus": "FER+", "jaffe": "JAFFE", "ckplus": "CK+"}[wanted]
    return Location(EMBEDDED, None, f"no {known} under ./data, no RESEARCH_DATA, no --data")


def _named(name: str, folder: Path, why: str, wanted: str) -> Location:
    if name == EMBEDDED:
        return Location(EMBEDDED, None, why)
    path = folder / Path(name).expanduser()
    name = name if path.exists() else PLAIN.get(name.lower(), name)
    if name in PLACES and not path.exists():
        if found := _found(name, folder):
            return _at(found, "found under ./data")
        places = ", ".join(f"data/{place}" for place in PLACES[name])
        raise InvalidInput(
            f"data '{name}': not found in {folder}; looked for {places}; give its path (--data)"
        )
    if not path.exists():
        raise InvalidInput(f"data '{name}': no such file or folder{_nearest(name, path)}")
    return _at(path, why, wanted)


def _nearest(name: str, path: Path) -> str:
    """What may have been meant by a name or path that is not there."""
    names = (*PLACES, EMBEDDED)
    there = next(parent for parent in path.parents if parent.is_dir())
    missing = path.relative_to(there).parts[0]
    with contextlib.suppress(OSError):
        found = suggest(missing, [one.name for one in there.iterdir()])
        if found.startswith("; did"):
            return f"{found[:-1]} in {there.resolve()}?"
    near = suggest(name, names) if os.sep not in name and "." not in name else ""
    return near or f" in {path.parent.resolve()}; names are {', '.join(names)}"


def _found(name: str, folder: Path) -> Path | None:
    places = (folder / "data" / place for place in PLACES[name])
    return next((place for place in places if place.exists() and _source_of(place)), None)


def _at(path: Path, why: str, wanted: str = "") -> Location:
    path = _inside(path.resolve(), wanted)
    try:
        source = _source_of(path)
    except OSError as error:
        raise InvalidInput(f"data '{path}': {error.strerror}") from None
    if source is None:
        known = ", ".join(name for name in registry.sources.names() if name != EMBEDDED)
        raise InvalidInput(
            f"data '{path}': of no layout that is known: {_seen(path)} (layouts: {known}; the "
            "README says what each needs)"
        )
    return Location(source, path, why)


def _seen(path: Path) -> str:
    """What stands at a path that is of no layout, and what it lacks."""
    if path.is_file() and path.suffix.lower() == ".csv":
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            header = stream.readline(400).strip()
        return (
            f"its columns are {header or 'none'}; a table needs one of files, such as file, path "
            "or image, and one of labels, such as label, class or emotion; rename them"
        )
    if path.is_file():
        return f"it is no csv and no npz, but '{path.suffix}'"
    inside = [item for item in sorted(path.iterdir()) if not item.name.startswith(".")]
    if not inside:
        return "the folder is empty"
    images = sum(is_image(item) for item in inside if item.is_file())
    if images:
        return f"{images} images right in the folder; put them into a folder for each class"
    names = ", ".join(item.name for item in inside[:8])
    return f"it holds {names}{' and more' if len(inside) > 8 else ''}; no images of classes"


def _inside(path: Path, wanted: str) -> Path:
    """The table that a folder is read as, whatever its case; else the path itself.

    Of several that of the wanted set, as ``fer2013new.csv`` needs ``fer2013.csv`` beside it.
    """
    if not path.is_dir():
        return path
    try:
        files = {item.name.lower(): item for item in path.iterdir() if item.is_file()}
    except OSError as error:
        raise InvalidInput(f"data '{path}': {error.strerror}") from None
    for name in (*PLACES.get(wanted, ()), *TABLES):
        if name in files and _source_of(files[name]) in ("fer2013", "ferplus", "npz"):
            return files[name]
    return path


def _source_of(path: Path) -> str | None:
    """The source that reads a path: of those that accept it, the one of the highest rank."""
    found = []
    for name in registry.sources.names():
        entry = registry.sources.entry(name)
        accepts: Callable[[Path], bool] | None
        accepts = getattr(importlib.import_module(entry.module), "accepts", None)
        if accepts and accepts(path):
            found.append((entry.declared.get("rank", 0), name))
    return max(found)[1] if found else None
