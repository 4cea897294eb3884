"""Folders of classes: ``train/<class>/*`` and the like, or ``<class>/*`` without splits."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from research.data import PARTS, Decoded, Split
from research.data.classes import Names, ordered
from research.data.images import has_images, image_files, merged, read_images, unpacked
from research.errors import InvalidInput
from research.registry import Count, sources

log = logging.getLogger("research")


def accepts(path: Path) -> bool:
    """Whether a path is a folder with a training folder of classes, or with classes."""
    if not path.is_dir():
        return False
    place = unpacked(path)
    return "train" in split_folders(place) or any(has_images(item) for item in _folders(place))


@sources.register()
def folder(
    path: Path,
    *,
    side: Count | None = None,
    aliases: dict[str, str] | None = None,
    person_before: str | None = None,
) -> Decoded:
    """A folder train/<class>/*, test/<class>/*, val/<class>/*, or just <class>/*.

    Class folders may have any spelling of an expression (``HAPPINESS`` is ``happy``); ``aliases``
    maps others. Images of several sizes are brought to ``side`` pixels. ``person_before``: the
    person on an image is what its name has before this text, such as ``_``.
    """
    place = unpacked(path)
    folders = split_folders(place) or {"train": place}
    if "train" not in folders:
        raise InvalidInput(f"{path}: no folder 'train'; it has {', '.join(folders)}")
    for other in _folders(place) if split_folders(place) else []:
        if other not in folders.values():
            log.warning("%s: is no folder of a split, and is passed over", other)
    names = Names(aliases, str(path))
    files = {split: _files(found, names) for split, found in folders.items()}
    classes = ordered(files["train"])
    for split, found in files.items():
        if unknown := sorted(set(found) - set(classes)):
            raise InvalidInput(
                f"{path}: the {split} folder has the class '{unknown[0]}', which the training "
                f"folder has not ({', '.join(classes)})"
            )
    return decode(files, classes, side, person_before, str(path))


def decode(
    files: Mapping[str, Mapping[str, list[Path]]],
    classes: tuple[str, ...],
    side: int | None,
    person_before: str | None,
    where: str,
) -> Decoded:
    """Files by split and class to splits; all images are brought to one size."""
    pairs = [
        (split, file, classes.index(name))
        for split, found in files.items()
        for name in classes
        for file in found.get(name, [])
    ]
    images, found = read_images([file for _, file, _ in pairs], side, where)
    labels = np.array([label for _, _, label in pairs], dtype=np.int64)
    parts = np.array([split for split, _, _ in pairs])
    persons: tuple[str, ...] = ()
    groups = None
    if person_before:
        names = [_person(file, person_before) for _, file, _ in pairs]
        known, groups = np.unique(names, return_inverse=True)
        persons = tuple(map(str, known))
    everything = Split(images, labels, groups=groups)
    splits = {name: everything.take(np.flatnonzero(parts == name)) for name in files}
    return Decoded(
        train=splits["train"],
        val=splits.get("val"),
        test=splits.get("test"),
        classes=classes,
        persons=persons,
        found=merged([found]),
    )


def split_folders(place: Path) -> dict[str, Path]:
    """The folders of splits that stand in a folder, by our names for them."""
    inside = {item.name.lower(): item for item in _folders(place)}
    found = {split: [inside[n] for n in names if n in inside] for split, names in PARTS.items()}
    for split, folders in found.items():
        if len(folders) > 1:
            both = " and ".join(folder.name for folder in folders)
            raise InvalidInput(f"{place}: {both} are both the {split} split; keep one")
    return {split: folders[0] for split, folders in found.items() if folders}


def _folders(place: Path) -> list[Path]:
    return sorted(i for i in place.iterdir() if i.is_dir() and not i.name.startswith((".", "__")))


def _files(place: Path, names: Names) -> dict[str, list[Path]]:
    """The images of each class of a split."""
    found: dict[str, list[Path]] = {}
    spelled = names.distinct(item.name for item in _folders(place))
    problems = []
    for spelling, name in spelled.items():
        files = image_files(place / spelling)
        if deeper := _folders(place / spelling):
            log.warning("%s: folders in a class folder are passed over", deeper[0])
        if not files:
            problems.append(f"{place / spelling}: no image in this class folder; fill or remove it")
        found.setdefault(name, []).extend(files)
    if problems:
        raise InvalidInput(*problems)
    return found


def _person(file: Path, before: str) -> str:
    name, mark, _ = file.stem.partition(before)
    if not mark or not name:
        raise InvalidInput(
            f"{file}: nothing stands before '{before}' in its name (data.params.person_before)"
        )
    return name
