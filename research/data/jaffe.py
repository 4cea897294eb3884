"""JAFFE: Japanese women's faces (Lyons et al. 1998), read by file name.

``KA.AN1.39.tiff`` is subject KA, angry, her first such image, number 39. The files may stand in one
folder or in class folders; names decide. 213 images of 10 subjects, seven expressions.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from research.data import EMOTIONS, Decoded, Split
from research.data.images import SUFFIXES, read_images
from research.errors import InvalidInput
from research.registry import Count, sources

NAME = re.compile(r"(?P<subject>[A-Z]{2})\.(?P<code>[A-Z]{2})-?\d{1,2}\.\d{1,4}", re.IGNORECASE)
CODES = dict(zip(("AN", "DI", "FE", "HA", "SA", "SU", "NE"), EMOTIONS, strict=True))


def accepts(path: Path) -> bool:
    """Whether a path is a folder in which most images have names as JAFFE's."""
    if not path.is_dir():
        return False
    files = _images(path, limit=400)
    return 2 * sum(NAME.fullmatch(file.stem) is not None for file in files) > len(files)


@sources.register(rank=1)
def jaffe(path: Path, *, side: Count | None = None) -> Decoded:
    """A folder with JAFFE's images; subject and expression are read off the names.

    Raises `InvalidInput` that lists every name that does not parse.
    """
    files = _images(path)
    problems, labels, subjects = [], [], []
    for file in files:
        parsed = NAME.fullmatch(file.stem)
        if parsed is None or parsed["code"].upper() not in CODES:
            problems.append(
                f"{file}: is not named as JAFFE's images are (KA.AN1.39.tiff: subject, expression "
                f"of {', '.join(CODES)}, numbers); rename it or take it out"
            )
            continue
        labels.append(EMOTIONS.index(CODES[parsed["code"].upper()]))
        subjects.append(parsed["subject"].upper())
    if problems:
        raise InvalidInput(*problems)
    images, found = read_images(files, side, str(path))
    persons, groups = np.unique(subjects, return_inverse=True)
    everything = Split(images, np.array(labels, dtype=np.int64), groups=groups)
    return Decoded(everything, None, None, EMOTIONS, persons=tuple(map(str, persons)), found=found)


def _images(path: Path, limit: int | None = None) -> list[Path]:
    """Every image in a folder and its folders, sorted by name; no link is followed."""
    found = []
    for file in path.rglob("*"):
        if file.suffix.lower() in SUFFIXES and not file.name.startswith("."):
            found.append(file)
            if limit is not None and len(found) == limit:
                break
    return sorted(found, key=lambda file: (file.name, file))
