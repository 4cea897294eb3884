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
from research.data.images import has_images, unpacked
from research.registry import Count, sources

NAME = re.compile(r"S\d{3}_\d{3}_\d{8}", re.IGNORECASE)


def accepts(path: Path) -> bool:
    """Whether a path is a folder of class folders whose images have names as CK+'s."""
    if not path.is_dir():
        return False
    classes = [item for item in unpacked(path).iterdir() if item.is_dir() and has_images(item)]
    names = [file.stem for item in classes for file in sorted(item.iterdir())[:20]]
    return bool(names) and all(NAME.fullmatch(name) for name in names)


@sources.register(rank=1)
def ckplus(path: Path, *, side: Count | None = None) -> Decoded:
    """A folder <class>/S010_004_00000017.png of CK+, split by subject."""
    found: Decoded = read_folder(path, side=side, person_before="_")
    return found
