"""CK+ as it is passed around at 48 pixels: class folders, the subject first in each name.

``happy/S010_006_00000013.png`` is subject 010, her sequence 6, frame 13 (Lucey et al. 2010). No
neutral, but contempt; several frames of one sequence are nearly one image, so that splits are by
subject.
"""

from __future__ import annotations

import re
from pathlib import Path

from research.data import Decoded
from research.data.folder import folder as read_folder
from research.data.images import is_image, unpacked
from research.errors import InvalidInput
from research.registry import Count, sources

NAME = re.compile(r"S\d{3}_\d{3}_\d{8}", re.IGNORECASE)


def accepts(path: Path) -> bool:
    """Whether a path is a folder of class folders, most of whose images are named as CK+'s."""
    if not path.is_dir():
        return False
    names = [file.stem for file in _images(path)]
    return 2 * sum(NAME.fullmatch(name) is not None for name in names) > len(names)


def _images(path: Path) -> list[Path]:
    classes = [item for item in sorted(unpacked(path).iterdir()) if item.is_dir()]
    return [file for item in classes for file in sorted(item.iterdir()) if is_image(file)]


@sources.register(rank=1)
def ckplus(path: Path, *, side: Count | None = None) -> Decoded:
    """A folder <class>/S010_004_00000017.png of CK+, split by subject.

    Raises `InvalidInput` that lists every name that does not parse.
    """
    problems = [
        f"{file}: is not named as CK+'s images are (S010_004_00000017.png: subject, sequence, "
        "frame); rename it or take it out"
        for file in _images(path)
        if not NAME.fullmatch(file.stem)
    ]
    if problems:
        raise InvalidInput(*problems)
    found: Decoded = read_folder(path, side=side, person_before="_")
    return found
