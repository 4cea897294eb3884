"""Arrays in one file: ``images``, ``labels`` and, if there is a split, ``usage``."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from research.data import EMOTIONS, SPLITS, Decoded, Split
from research.data.classes import Names
from research.data.fer2013 import Table
from research.errors import InvalidInput
from research.registry import sources

MAX_BYTES = 8 * 1024**3
ARRAYS = ("images", "labels", "usage", "classes", "groups")


def accepts(path: Path) -> bool:
    """Whether a path is a ``.npz`` file."""
    return path.suffix.lower() == ".npz" and path.is_file()


@sources.register()
def npz(path: Path) -> Decoded:
    """A .npz with images (N, H, W[, C]) uint8, labels (N,), usage (N,) 0 train 1 val 2 test.

    ``classes`` names the labels (FER2013's by default), ``groups`` the persons. Raises
    `InvalidInput` with file, array and value.
    """
    arrays = _read(path)
    images = _images(arrays, path)
    classes = _classes(arrays, path)
    labels = _whole(arrays, "labels", len(images), len(classes), path)
    persons: tuple[str, ...] = ()
    groups = None
    if "groups" in arrays:
        if arrays["groups"].shape != (len(images),):
            raise InvalidInput(
                f"{path}: groups are {arrays['groups'].shape}; give a name or number an image "
                f"({len(images)},)"
            )
        known, groups = np.unique(arrays["groups"].astype(str), return_inverse=True)
        persons = tuple(map(str, known))
    everything = Split(images, labels, groups=groups)
    height, width, channels = images.shape[1:]
    found = {
        "sizes": {f"{height}x{width}": len(images)},
        "modes": {"L" if channels == 1 else "RGB": len(images)},
    }
    if "usage" not in arrays:
        return Decoded(everything, None, None, classes, persons=persons, found=found)
    usage = _whole(arrays, "usage", len(images), 3, path)
    train, val, test = (everything.take(np.flatnonzero(usage == code)) for code in range(3))
    return Decoded(
        train,
        val if 1 in usage else None,
        test if 2 in usage else None,
        classes,
        persons=persons,
        found=found,
    )


def read_table(path: Path) -> Table:
    """Arrays of 48 x 48 grey images as FER2013's table, in the order of its rows."""
    arrays = _read(path)
    images = _images(arrays, path)
    labels = _whole(arrays, "labels", len(images), len(EMOTIONS), path)
    if "usage" not in arrays:
        return Table(images, labels, np.full(len(images), "train"), False)
    usage = _whole(arrays, "usage", len(images), 3, path)
    return Table(images, labels, np.array(SPLITS)[usage], True)


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """A file to its arrays, without unpickling and without unpacking more than fits."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(item.file_size for item in archive.infolist())
        if size > MAX_BYTES:
            raise InvalidInput(f"{path}: holds {size / 1e9:.1f} GB, at most {MAX_BYTES / 1e9:.1f}")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ARRAYS if name in archive}
    except InvalidInput:
        raise
    except Exception as error:  # zlib, zipfile and numpy each have errors of their own
        raise InvalidInput(f"{path}: is not a readable .npz file: {error}") from None
    for name in ("images", "labels"):
        if name not in arrays:
            raise InvalidInput(f"{path}: no array '{name}'; it has {', '.join(arrays) or 'none'}")
    return arrays


def _images(arrays: dict[str, NDArray[Any]], path: Path) -> NDArray[np.uint8]:
    images = arrays["images"]
    images = images[..., None] if images.ndim == 3 else images
    shaped = images.ndim == 4 and images.shape[-1] in (1, 3) and min(images.shape[1:3]) > 0
    if images.dtype != np.uint8 or not shaped:
        raise InvalidInput(
            f"{path}: images are {images.dtype} {images.shape}; give uint8 (N, H, W), "
            "(N, H, W, 1) or (N, H, W, 3)"
        )
    return images


def _classes(arrays: dict[str, NDArray[Any]], path: Path) -> tuple[str, ...]:
    if "classes" not in arrays:
        return EMOTIONS
    names = Names(None, str(path))
    classes = tuple(names.of(str(name)) for name in arrays["classes"].ravel())
    if len(set(classes)) < len(classes):
        raise InvalidInput(f"{path}: classes {', '.join(classes)}: a name stands twice")
    return classes


def _whole(
    arrays: dict[str, NDArray[Any]], name: str, count: int, below: int, path: Path
) -> NDArray[np.int64]:
    """An array of codes from 0 to ``below`` - 1, one an image."""
    values = arrays[name]
    if values.shape != (count,) or values.dtype.kind not in "iu":
        raise InvalidInput(
            f"{path}: {name} are {values.dtype} {values.shape}; give whole numbers ({count},)"
        )
    wrong = np.flatnonzero((values < 0) | (values >= below))
    if len(wrong):
        raise InvalidInput(
            f"{path}: {name}[{wrong[0]}] is {values[wrong[0]]}; give 0 to {below - 1}"
        )
    return values.astype(np.int64)
