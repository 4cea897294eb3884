"""From what a user calls a data set to its file or folder, and the source that reads it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from research import registry
from research.errors import InvalidInput, suggest

AUTO = "auto"
FER2013 = "fer2013"
EMBEDDED = "embedded"
# Where people keep FER2013 under ./data, the most complete first.
FER2013_PLACES = (
    "fer2013.csv",
    "fer2013/fer2013.csv",
    "icml_face_data.csv",
    "fer2013/icml_face_data.csv",
    "fer2013.npz",
    "fer2013",
    "train.csv",
    "fer2013/train.csv",
)


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


def locate(name: str, folder: Path | None = None) -> Location:
    """A name or path to its location; ``auto`` is RESEARCH_DATA, else ./data, else embedded."""
    folder = folder or Path.cwd()
    if name == AUTO:
        if chosen := os.environ.get("RESEARCH_DATA"):
            return _named(chosen, Path.cwd(), "RESEARCH_DATA")
        if found := _fer2013(folder):
            return _at(found, "found under ./data")
        return Location(EMBEDDED, None, "no FER2013 under ./data, no RESEARCH_DATA, no --data")
    return _named(name, folder, "as asked")


def _named(name: str, folder: Path, why: str) -> Location:
    if name == EMBEDDED:
        return Location(EMBEDDED, None, why)
    path = folder / Path(name).expanduser()
    if name == FER2013 and not path.exists():
        if found := _fer2013(folder):
            return _at(found, "found under ./data")
        places = ", ".join(f"data/{place}" for place in FER2013_PLACES)
        raise InvalidInput(
            f"data 'fer2013': not found in {folder}; looked for {places}; give its path (--data)"
        )
    if not path.exists():
        names = (FER2013, EMBEDDED)
        near = suggest(name, names) if os.sep not in name and "." not in name else ""
        raise InvalidInput(
            f"data '{name}': no such file or folder{near or f'; names are {names[0]}, {names[1]}'}"
        )
    return _at(path, why)


def _fer2013(folder: Path) -> Path | None:
    places = (folder / "data" / place for place in FER2013_PLACES)
    return next((place for place in places if place.exists() and _source_of(place)), None)


def _at(path: Path, why: str) -> Location:
    path = path.resolve()
    try:
        source = _source_of(path)
    except OSError as error:
        raise InvalidInput(f"data '{path}': {error.strerror}") from None
    if source is None:
        known = "; ".join(
            f"{name}: {registry.sources.entry(name).about}"
            for name in registry.sources.names()
            if name != EMBEDDED
        )
        raise InvalidInput(f"data '{path}': of no layout that is known ({known})")
    return Location(source, path, why)


def _source_of(path: Path) -> str | None:
    for name in registry.sources.names():
        module = importlib.import_module(registry.sources.entry(name).module)
        accepts: Callable[[Path], bool] | None = getattr(module, "accepts", None)
        if accepts and accepts(path):
            return name
    return None
