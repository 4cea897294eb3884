"""From what a user calls a data set to its file or folder, and the source that reads it."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from research import registry
from research.data.images import is_image
from research.errors import InvalidInput, suggest

AUTO = "auto"
EMBEDDED = "embedded"
FER2013 = "fer2013"
# Tables of pixels; a folder is read as the one that stands in it, the most complete first.
TABLES = ("fer2013.csv", "icml_face_data.csv", "fer2013new.csv", "fer2013.npz", "train.csv")
# Where people keep a set, under ./data or a folder that they name, the most complete form first.
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
PIXELS = ("fer2013", "ferplus", "npz")  # sources that read those tables


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
    folder of several sets that one is read which ``instead_of``, a study's own data, looks for.
    """
    folder = folder or Path.cwd()
    first, _, wanted = name.partition(":")
    if first == AUTO:
        return _automatic(wanted or FER2013, folder)
    return _named(name, folder, "as asked", _wanted(instead_of))


def _wanted(name: str) -> str:
    """The set that a study's data is of: by its name, or by the file that it was trained on."""
    name = name.removeprefix(f"{AUTO}:").lower()
    file = Path(name).name
    named = (known for known, places in PLACES.items() if file in map(str.lower, places))
    return PLAIN.get(name) or next(named, FER2013)


def _automatic(wanted: str, folder: Path) -> Location:
    wanted = PLAIN.get(wanted.lower(), wanted)
    if wanted not in PLACES:
        raise InvalidInput(f"data 'auto:{wanted}': no such set{suggest(wanted, PLACES)}")
    if chosen := os.environ.get("RESEARCH_DATA"):
        try:
            return _named(chosen, Path.cwd(), "RESEARCH_DATA", wanted)
        except InvalidInput as error:
            raise InvalidInput(*(f"RESEARCH_DATA: {text}" for text in error.problems)) from None
    if found := _found(wanted, folder / "data"):
        return _at(found, "found under ./data", wanted)
    known = {FER2013: "FER2013", "ferplus": "FER+", "jaffe": "JAFFE", "ckplus": "CK+"}[wanted]
    return Location(EMBEDDED, None, f"no {known} under ./data, no RESEARCH_DATA, no --data")


def _named(name: str, folder: Path, why: str, wanted: str) -> Location:
    if name == EMBEDDED:
        return Location(EMBEDDED, None, why)
    path = folder / Path(name).expanduser()
    name = name if path.exists() else PLAIN.get(name.lower(), name)
    if name in PLACES and not path.exists():
        if found := _found(name, folder / "data"):
            return _at(found, "found under ./data", name)
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
    """Where a set of that name stands in a folder, whatever the case of its places.

    Raises `InvalidInput` where the only one there is cannot be read.
    """
    problem: InvalidInput | None = None
    for place in (one for names in PLACES[name] for one in _entries(folder, names.split("/"))):
        try:
            inside = place if place.is_file() else _table_in(place, name) or place
            source = _source_of(inside)
        except OSError as error:
            problem = problem or InvalidInput(f"data '{place}': {error.strerror}")
            continue
        if source in PIXELS or (source and place.is_dir()):
            return inside
        if place.is_file() and place.name.lower() != "train.csv":  # a name that many sets use
            problem = problem or InvalidInput(f"data '{place}': {_seen(place)}")
    if problem:
        raise problem
    return None


def _entries(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """What stands in a folder under names, one below the other, those of the very case first."""
    if not names:
        yield folder
        return
    for item in sorted(_listed(folder), key=lambda item: item.name != names[0]):
        if item.name.lower() == names[0].lower():
            yield from _entries(item, names[1:])


def _listed(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InvalidInput(f"data '{folder}': {error.strerror}") from None


def _table_in(folder: Path, wanted: str) -> Path | None:
    """The table of pixels in a folder, that of the wanted set first."""
    files = {item.name.lower(): item for item in _listed(folder) if item.is_file()}
    for name in (*PLACES[wanted], *TABLES):
        if name in files and _source_of(files[name]) in PIXELS:
            return files[name]
    return None


def _at(path: Path, why: str, wanted: str) -> Location:
    try:
        path = _inside(path.resolve(), wanted)
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
    """What a folder is read as: the wanted set, else a table in it, else the folder itself.

    One set may need another's file beside it, as ``fer2013new.csv`` needs ``fer2013.csv``.
    """
    if not path.is_dir():
        return path
    return _found(wanted, path) or _table_in(path, wanted) or path


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
