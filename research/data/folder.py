"""Image folders: ``train/<class>/*``, ``test/<class>/*`` and perhaps ``val/<class>/*``."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from research.data import EMOTIONS, Decoded, Split
from research.data.splitting import split_off
from research.errors import InvalidInput
from research.registry import Count, Fraction, sources

SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif"}
MAX_SIDE = 8192
log = logging.getLogger("research")


def accepts(path: Path) -> bool:
    """Whether a path is a folder with a training folder of classes."""
    return path.is_dir() and _split_folder(path, "train") is not None


@sources.register()
def folder(path: Path, *, val_fraction: Fraction = 0.1, side: Count | None = None) -> Decoded:
    """A folder train/<class>/*, test/<class>/* and, if there is one, val/<class>/*.

    Without a validation folder ``val_fraction`` of the training images is held out. Images of one
    size keep it; for images of several sizes ``side`` is the size in pixels that all are brought
    to. Raises `InvalidInput` that names every image that cannot be read.
    """
    files = {name: _files(path, name) for name in SPLIT_FOLDERS}
    present = {name: found for name, found in files.items() if found is not None}
    if "test" not in present:
        raise InvalidInput(f"{path}: no folder 'test'; images to test on are never made up")
    names = _classes(present, path)
    splits = {name: _decode(found, names, side) for name, found in present.items()}
    splits = _alike(splits)
    if "val" not in splits:
        splits["train"], splits["val"] = split_off(splits["train"], val_fraction)
    return Decoded(**splits, classes=tuple(names))


def _split_folder(path: Path, split: str) -> Path | None:
    folders = {item.name.lower(): item for item in sorted(path.iterdir()) if item.is_dir()}
    return next((folders[name] for name in SPLIT_FOLDERS[split] if name in folders), None)


def _files(path: Path, split: str) -> dict[str, list[Path]] | None:
    """The images of each class of a split, or None where the split has no folder."""
    place = _split_folder(path, split)
    if place is None:
        return None
    found: dict[str, list[Path]] = {}
    for item in sorted(place.iterdir()):
        if item.is_dir() and not item.name.startswith("."):
            name = item.name.lower()
            if name in found:
                raise InvalidInput(f"{item}: two folders for the class '{name}'")
            files = sorted(file for file in item.iterdir() if not file.name.startswith("."))
            found[name] = [file for file in files if file.suffix.lower() in SUFFIXES]
            if others := len(files) - len(found[name]):
                log.warning("%s: %d files that are no images are passed over", item, others)
    return found


def _classes(present: dict[str, dict[str, list[Path]]], path: Path) -> list[str]:
    """The classes of the training folder: in FER2013's order if they are its, else sorted."""
    names = sorted(present["train"])
    for split, found in present.items():
        unknown = sorted(set(found) - set(names))
        if unknown:
            raise InvalidInput(
                f"{path}: the {split} folder has the class '{unknown[0]}', which the training "
                f"folder has not ({', '.join(names)})"
            )
    return [name for name in EMOTIONS if name in names] if set(names) <= set(EMOTIONS) else names


def _decode(files: dict[str, list[Path]], names: Sequence[str], side: int | None) -> Split:
    pairs = [(file, names.index(name)) for name in names for file in files.get(name, [])]
    images: list[NDArray[np.uint8]] = []
    problems: list[str] = []
    for file, _ in pairs:
        try:
            image = read_image(file)
            images.append(image if side is None else _resized(image, side))
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput(*problems)
    labels = np.array([label for _, label in pairs], dtype=np.int64)
    return Split(_stacked(images), labels)


def read_image(file: Path) -> NDArray[np.uint8]:
    """An image file to ``(H, W, C)``, C = 1 for grey and 3 for colour; raises `InvalidInput`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                if max(image.size) > MAX_SIDE:
                    raise InvalidInput(f"{file}: {image.size} pixels, at most {MAX_SIDE} a side")
                pixels = _eight_bits(image)
    except InvalidInput:
        raise
    except Exception as error:  # a broken image makes Pillow raise almost anything
        reason = "is empty" if file.stat().st_size == 0 else str(error) or type(error).__name__
        raise InvalidInput(f"{file}: is not a readable image: {reason}") from None
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _eight_bits(image: Image.Image) -> NDArray[np.uint8]:
    """An open image to its pixels, grey or colour; what has more bits is scaled, never cut."""
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.float64)
        return np.rint(deep / 257 if deep.max() > 255 else deep).clip(0, 255).astype(np.uint8)
    if image.mode == "F":
        raise InvalidInput(f"{image.filename}: holds fractions; save it with 8 bits a pixel")  # type: ignore[attr-defined]
    grey = image.mode in ("1", "L", "LA")
    return np.asarray(image.convert("L" if grey else "RGB"))


def _stacked(images: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Images to one array; colour if any is, one size."""
    if not images:
        return np.zeros((0, 1, 1, 1), dtype=np.uint8)
    sizes = sorted({image.shape[:2] for image in images})
    if len(sizes) > 1:
        raise InvalidInput(
            f"images of {len(sizes)} sizes, from {sizes[0]} to {sizes[-1]}; say what size to bring "
            "them to, in pixels: --set data.params.side=96"
        )
    channels = max(image.shape[2] for image in images)
    return np.stack([np.broadcast_to(i, (*i.shape[:2], channels)) for i in images])


def _resized(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    shrinks = min(image.shape[:2]) > side
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized: NDArray[np.uint8] = cv2.resize(image, (side, side), interpolation=method)
    return resized.reshape(side, side, -1)


def _alike(splits: dict[str, Split]) -> dict[str, Split]:
    """Splits with the same shape of image: colour if one is, the same size."""
    filled = {name: split for name, split in splits.items() if len(split)}
    sizes = {split.images.shape[1:3] for split in filled.values()}
    if len(sizes) > 1:
        raise InvalidInput(
            f"splits of {len(sizes)} image sizes, {sorted(sizes)}; say what size to bring them to, "
            "in pixels: --set data.params.side=96"
        )
    channels = max(split.images.shape[3] for split in filled.values()) if filled else 1
    return {
        name: Split(np.repeat(split.images, channels // split.images.shape[3], 3), split.labels)
        for name, split in splits.items()
    }
