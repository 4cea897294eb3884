"""Decoded data on disk: read once, kept by the content of its source, mapped into memory.

An entry is a folder of ``.npy`` files and a ``data.json``. It is written beside its place and moved
there whole, under a lock, so that two programs never decode the same file and none sees half of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from research import registry
from research.data import SPLITS, Decoded, Split, Splits
from research.data.classes import kept_classes
from research.data.location import Location
from research.data.splitting import completed
from research.errors import InvalidInput, findings
from research.project import cache_folder
from research.provenance import PACKAGE, source_digest
from research.spec import Holdout, content_hash

MAX_CLASSES = 300  # MLflow takes 1,000 metrics at once, three of them a class
log = logging.getLogger("research")
# What every source decodes with: a change of these, or of the source's own files, decodes anew.
SHARED = [PACKAGE / "data" / f"{name}.py" for name in ("__init__", "cache", "classes", "splitting")]


def load(location: Location, params: Mapping[str, Any]) -> Splits:
    """A location to its splits, decoding it if the cache does not hold it.

    ``params`` are those of its source and of `research.spec.Holdout`.
    """
    entry = registry.sources.entry(location.source)
    own = {name: value for name, value in params.items() if name not in Holdout.model_fields}
    understood = registry.understood(location.source, own)
    complete = registry.sources.params(location.source, understood)
    holdout = _holdout({name: value for name, value in params.items() if name not in own})
    files = [*registry.with_siblings(entry.file), *SHARED]
    code = source_digest(dict.fromkeys(files, frozenset()))
    try:
        content = [content_digest(path) for path in _read_by(location, complete)]
    except OSError as error:
        raise InvalidInput(f"data {error.filename}: {error.strerror}") from None
    key = content_hash([location.source, complete, holdout.model_dump(), content, code])
    place = cache_folder() / "data" / key
    if not (place / "data.json").is_file():
        _fill(place, location, complete, holdout)
    try:
        return _read(place, location)
    except (OSError, ValueError, KeyError, EOFError):  # cut off by a full disk: decoded anew
        shutil.rmtree(place, ignore_errors=True)
        _fill(place, location, complete, holdout)
        return _read(place, location)


def _holdout(params: Mapping[str, Any]) -> Holdout:
    try:
        return Holdout.model_validate(params)
    except ValidationError as error:
        problems = findings(error, Holdout)
    raise InvalidInput(*(f"data.params.{place}: {text}" for place, text in problems))


def _read_by(location: Location, params: Mapping[str, Any]) -> list[Path | None]:
    """The files and folders that a source reads."""
    module = importlib.import_module(registry.sources.entry(location.source).module)
    reads: Callable[..., list[Path | None]] | None = getattr(module, "reads", None)
    return [location.path] if reads is None else reads(location.path, **params)


def kept(
    images: NDArray[np.uint8],
    steps: Mapping[str, Any],
    make: Callable[[NDArray[np.uint8], Mapping[str, Any]], NDArray[np.uint8]],
) -> NDArray[np.uint8]:
    """What ``make`` makes of images by preprocessing steps, from the disk where it is there."""
    files = [registry.preprocessing.entry(name).file for name in steps]
    code = source_digest(dict.fromkeys(files, frozenset()))
    content = hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()
    key = content_hash([content, list(images.shape), list(steps.items()), code])
    file = cache_folder() / "preprocessed" / f"{key}.npy"
    file.parent.mkdir(parents=True, exist_ok=True)
    with _locked(file.with_suffix(".lock")):
        with contextlib.suppress(OSError, ValueError, EOFError):  # none there, or cut off
            return np.load(file, mmap_mode="c")  # type: ignore[no-any-return]
        log.info("preprocessing %d images (%s), once", len(images), ", ".join(steps))
        beside = file.with_suffix(".part")
        with beside.open("wb") as stream:
            np.save(stream, make(images, steps))
        beside.replace(file)
        return np.load(file, mmap_mode="c")  # type: ignore[no-any-return]


def content_digest(path: Path | None) -> str:
    """A file's bytes, or the names of a folder's folders and files and their bytes, to a digest."""
    digest = hashlib.sha256()
    if path is None:
        return ""
    if path.is_file():
        digest.update(_file_digest(path))
        return digest.hexdigest()
    # Links to folders are followed, as the sources do, but not round in circles.
    seen: set[str] = set()
    for place, folders, files in os.walk(path, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        digest.update(f"{os.path.relpath(place, path)}/\n".encode())
        for name in sorted(files):
            digest.update(name.encode(errors="surrogateescape") + b"\0")
            digest.update(_file_digest(Path(place, name)))
    return digest.hexdigest()


def _file_digest(file: Path) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def digest_of(splits: Mapping[str, Split], classes: Sequence[str]) -> str:
    """The decoded arrays and classes to 32 hexadecimal digits, whatever file they came from."""
    digest = hashlib.sha256(json.dumps(classes).encode())
    for name in SPLITS:
        split = splits[name]
        for part in (split.images, split.labels, split.soft_labels, split.groups):
            if part is None:
                digest.update(b"none")
            else:
                digest.update(f"{part.shape}{part.dtype}".encode())
                digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()[:32]


def _fill(place: Path, location: Location, params: Mapping[str, Any], holdout: Holdout) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with _locked(place.with_suffix(".lock")):
            if not (place / "data.json").is_file():
                _decode(place, location, params, holdout)
    except OSError as error:
        raise InvalidInput(
            f"data cache {error.filename or place.parent}: {error.strerror}; name a folder that "
            "can be written (RESEARCH_CACHE)"
        ) from None


def _decode(place: Path, location: Location, params: Mapping[str, Any], holdout: Holdout) -> None:
    log.info("decoding %s, once", location.name)
    started = time.perf_counter()
    decoded: Decoded = registry.sources.get(location.source)(location.path, **params)
    decoded = kept_classes(decoded, holdout.only, f"data '{location.name}'")
    check_classes(decoded, location)
    splits = dict(zip(SPLITS, completed(decoded, holdout), strict=True))
    check_splits(splits, decoded, location)
    beside = Path(tempfile.mkdtemp(prefix=place.name, dir=place.parent))
    try:
        _write(beside, splits, decoded)
        shutil.rmtree(place, ignore_errors=True)
        beside.replace(place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    log.info("decoded in %.1f s", time.perf_counter() - started)


def check_classes(decoded: Decoded, location: Location) -> None:
    """Refuses classes that no classifier can be trained on or that cannot be tracked."""
    where = f"data '{location.name}'"
    problems = []
    if len(decoded.classes) < 2:
        found = ", ".join(decoded.classes) or "none"
        problems.append(f"{where}: {len(decoded.classes)} class ({found}); at least two are needed")
    odd = [name for name in decoded.classes if not re.fullmatch(r"\w([\w. -]*\w)?", name)]
    problems += [
        f"{where}: class {name!r}: letters, digits, '_' and, inside, '-', '.' and blanks only; "
        "rename it"
        for name in odd
    ]
    if len(decoded.classes) > MAX_CLASSES:
        problems.append(f"{where}: {len(decoded.classes)} classes, at most {MAX_CLASSES}")
    if problems:
        raise InvalidInput(*problems)


def check_splits(splits: Mapping[str, Split], decoded: Decoded, location: Location) -> None:
    """Refuses splits that no classifier can be trained or judged on."""
    where = f"data '{location.name}'"
    problems = [
        f"{where}: the {name} split is empty; give it images"
        for name, split in splits.items()
        if len(split) == 0
    ]
    train = splits["train"]
    counts = np.bincount(train.labels, minlength=len(decoded.classes))
    if len(train):
        problems += [
            f"{where}: no training image of class '{name}' (label {label}); add some"
            for label, name in enumerate(decoded.classes)
            if counts[label] == 0
        ]
    if problems:
        raise InvalidInput(*problems)


def _write(folder: Path, splits: Mapping[str, Split], decoded: Decoded) -> None:
    seen: set[bytes] = set()
    for name, split in splits.items():
        keys = [hashlib.sha256(image.tobytes()).digest() for image in split.images]
        arrays = {field.name: getattr(split, field.name) for field in fields(Split)}
        arrays["leaked"] = np.array([key in seen for key in keys], dtype=bool)
        seen.update(keys)
        for part, array in arrays.items():
            if array is not None:
                np.save(folder / f"{name}-{part}.npy", array)
    about = {
        "classes": decoded.classes,
        "digest": digest_of(splits, decoded.classes),
        "own": [name for name in SPLITS if getattr(decoded, name) is not None],
        "tested_on_val": splits["test"] is splits["val"],
        "names": dict(decoded.names),
        "persons": decoded.persons,
        "found": decoded.found,
    }
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
        own=tuple(about["own"]),
        tested_on_val=about["tested_on_val"],
        names=about["names"],
        persons=tuple(about["persons"]),
        found=about["found"],
    )


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
