"""Decoded data on disk: read once, kept by the content of its source, mapped into memory.

An entry is a folder of ``.npy`` files and a ``data.json``. It is written beside its place and moved
there whole, under a lock, so that two programs never decode the same file and none sees half of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from research import registry
from research.data import SPLITS, Decoded, Split, Splits
from research.data.location import Location
from research.errors import InvalidInput
from research.project import cache_folder
from research.provenance import PACKAGE, source_digest
from research.spec import content_hash

MAX_CLASSES = 300  # MLflow takes 1,000 metrics at once, three of them a class
log = logging.getLogger("research")
# What every source decodes with: a change of these, or of the source's own file, decodes anew.
SHARED = [PACKAGE / "data" / f"{name}.py" for name in ("__init__", "cache", "splitting", "faces")]


def load(location: Location, params: Mapping[str, Any]) -> Splits:
    """A location to its splits, decoding it if the cache does not hold it."""
    entry = registry.sources.entry(location.source)
    complete = registry.sources.params(location.source, params)
    code = source_digest(dict.fromkeys([entry.file, *SHARED], frozenset()))
    try:
        content = content_digest(location.path)
    except OSError as error:
        raise InvalidInput(f"data {error.filename}: {error.strerror}") from None
    key = content_hash([location.source, complete, content, code])
    place = cache_folder() / "data" / key
    if not (place / "data.json").is_file():
        _fill(place, location, complete)
    try:
        return _read(place, location)
    except (OSError, ValueError, KeyError, EOFError):  # cut off by a full disk: decoded anew
        shutil.rmtree(place, ignore_errors=True)
        _fill(place, location, complete)
        return _read(place, location)


def content_digest(path: Path | None) -> str:
    """A file's bytes, or the names and bytes of a folder's files, to a digest."""
    digest = hashlib.sha256()
    if path is None:
        return ""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        with file.open("rb") as stream:
            inner = hashlib.file_digest(stream, "sha256")
        name = "" if file == path else str(file.relative_to(path))
        digest.update(f"{name}\0{inner.hexdigest()}\n".encode())
    return digest.hexdigest()


def digest_of(decoded: Decoded) -> str:
    """The decoded arrays and classes to 32 hexadecimal digits, whatever file they came from."""
    digest = hashlib.sha256(json.dumps(decoded.classes).encode())
    for name in SPLITS:
        split: Split = getattr(decoded, name)
        for part in (split.images, split.labels, split.soft_labels, split.groups):
            if part is None:
                digest.update(b"none")
            else:
                digest.update(f"{part.shape}{part.dtype}".encode())
                digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()[:32]


def _fill(place: Path, location: Location, params: Mapping[str, Any]) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with _locked(place.with_suffix(".lock")):
            if not (place / "data.json").is_file():
                _decode(place, location, params)
    except OSError as error:
        raise InvalidInput(
            f"data cache {error.filename or place.parent}: {error.strerror}; name a folder that "
            "can be written (RESEARCH_CACHE)"
        ) from None


def _decode(place: Path, location: Location, params: Mapping[str, Any]) -> None:
    log.info("decoding %s, once", location.name)
    started = time.perf_counter()
    decoded = registry.sources.get(location.source)(location.path, **params)
    check(decoded, location)
    beside = Path(tempfile.mkdtemp(prefix=place.name, dir=place.parent))
    try:
        _write(beside, decoded)
        shutil.rmtree(place, ignore_errors=True)
        beside.replace(place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    log.info("decoded in %.1f s", time.perf_counter() - started)


def check(decoded: Decoded, location: Location) -> None:
    """Refuses a set that no classifier can be trained or judged on."""
    where = f"data '{location.name}'"
    problems = []
    if len(decoded.classes) < 2:
        found = ", ".join(decoded.classes) or "none"
        problems.append(f"{where}: {len(decoded.classes)} class ({found}); at least two are needed")
    problems += [
        f"{where}: the {name} split is empty; give it images"
        for name in SPLITS
        if len(getattr(decoded, name)) == 0
    ]
    odd = [name for name in decoded.classes if not re.fullmatch(r"[\w. -]+", name)]
    problems += [
        f"{where}: class {name!r}: letters, digits, '_', '-', '.' and blanks only; rename it"
        for name in odd
    ]
    if len(decoded.classes) > MAX_CLASSES:
        problems.append(f"{where}: {len(decoded.classes)} classes, at most {MAX_CLASSES}")
    counts = np.bincount(decoded.train.labels, minlength=len(decoded.classes))
    if len(decoded.train):
        problems += [
            f"{where}: no training image of class '{name}' (label {label}); add some"
            for label, name in enumerate(decoded.classes)
            if counts[label] == 0
        ]
    if problems:
        raise InvalidInput(*problems)


def _write(folder: Path, decoded: Decoded) -> None:
    seen: set[bytes] = set()
    shapes = {}
    for name in SPLITS:
        split: Split = getattr(decoded, name)
        keys = [hashlib.sha256(image.tobytes()).digest() for image in split.images]
        arrays = {field.name: getattr(split, field.name) for field in fields(Split)}
        arrays["leaked"] = np.array([key in seen for key in keys], dtype=bool)
        seen.update(keys)
        for part, array in arrays.items():
            if array is not None:
                np.save(folder / f"{name}-{part}.npy", array)
        shapes[name] = list(split.images.shape)
    about = {"classes": decoded.classes, "digest": digest_of(decoded), "shapes": shapes}
    (folder / "data.json").write_text(json.dumps(about), encoding="utf-8")


def _read(place: Path, location: Location) -> Splits:
    about = json.loads((place / "data.json").read_text(encoding="utf-8"))
    parts = {}
    for name in SPLITS:
        arrays: dict[str, Any] = {}
        for field in fields(Split):
            file = place / f"{name}-{field.name}.npy"
            # Copy on write: torch takes only arrays that may be written, and nothing writes.
            arrays[field.name] = np.load(file, mmap_mode="c") if file.is_file() else None
        parts[name] = Split(**arrays)
    return Splits(
        **parts,
        classes=tuple(about["classes"]),
        digest=about["digest"],
        source=location.name,
        synthetic=location.synthetic,
    )


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
