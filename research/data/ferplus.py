"""FER+: ten taggers' votes on each image of FER2013 (Barsoum et al. 2016).

``fer2013new.csv`` holds the votes, one row for each row of ``fer2013.csv``, which stands beside it
and holds the pixels. Rows are matched by their place: image names are missing where no face was
seen.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from research.data import EMOTIONS, Decoded, Split
from research.data.classes import ORDER
from research.data.fer2013 import NAMES, Table, read_table
from research.data.npz import read_table as read_arrays
from research.errors import InvalidInput
from research.registry import Count, Fraction, sources

# The columns of votes, as our classes; the last two are of no class.
VOTES = {
    "neutral": "neutral",
    "happiness": "happy",
    "surprise": "surprise",
    "sadness": "sad",
    "anger": "angry",
    "disgust": "disgust",
    "fear": "fear",
    "contempt": "contempt",
}
NONE = ("unknown", "nf")
BESIDE = ("fer2013.csv", "icml_face_data.csv", "fer2013.npz")


def accepts(path: Path) -> bool:
    """Whether a path is a table whose header has the columns of votes."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        header = [name.strip().lower() for name in stream.readline(4096).split(",")]
    return {*VOTES, *NONE} <= set(header)


def reads(path: Path, *, images: str | None = None, **params: object) -> list[Path]:
    """The votes and the images that they are of."""
    return [path, _images(path, images)]


@sources.register(rank=3)
def ferplus(
    path: Path,
    *,
    images: str | None = None,
    classes: Literal["own", "fer2013"] = "own",
    targets: Literal["majority", "probability"] = "majority",
    labels: Literal["votes", "fer2013"] = "votes",
    min_share: Fraction = 0.5,
    min_votes: Count = 2,
    drop_unknown: bool = True,
) -> Decoded:
    """A fer2013new.csv, with fer2013.csv (or its .npz) beside it, or at ``images``.

    ``classes``: its own eight, or FER2013's seven without contempt. ``targets``: the class with
    most votes, where it has more than ``min_share`` of them (others are dropped); or the shares of
    the classes as probabilities, where the likeliest class is the label that accuracy is told by,
    the first in order where two are. Fewer than ``min_votes`` for a class count as a slip, as the
    authors have it. ``drop_unknown`` drops images most taggers saw no known emotion or no face on;
    without it their other votes decide.

    ``labels: fer2013`` keeps all of FER2013's images with its own labels, by which accuracy is
    told, and the shares of the votes on its seven classes beside them; the label alone where none
    is for one of these or, with ``drop_unknown``, something else has as many as the likeliest of
    them. ``training.labels_from`` says when training goes over to the labels.
    """
    seen = _seen(_images(path, images))
    votes = _read_votes(path, seen)
    if labels == "fer2013":
        own = {"classes": classes == "own", "targets": targets == "majority",
               "min_share": min_share == 0.5}  # fmt: skip
        if wrong := [name for name, is_default in own.items() if not is_default]:
            raise InvalidInput(
                f"data.params.{wrong[0]}: says what becomes of votes as labels, and with "
                "data.params.labels: fer2013 they are not; leave one of the two out"
            )
        return _beside_labels(seen, votes, min_votes, drop_unknown)
    names = EMOTIONS if classes == "fer2013" else ORDER
    known, other = _counted(votes, names, min_votes)
    kept = known.sum(1) > 0
    if drop_unknown:
        kept &= known.max(1) > other.max(1)
    if targets == "majority":
        ranked = np.sort(known, 1)
        total = known.sum(1) + (other.sum(1) if drop_unknown else 0)
        kept &= (known.max(1) > min_share * total) & (ranked[:, -1] > ranked[:, -2])
    soft = None
    if targets == "probability":
        soft = (known / np.maximum(known.sum(1, keepdims=True), 1)).astype(np.float32)
    everything = Split(seen.images, known.argmax(1).astype(np.int64), soft)
    return _decoded(everything, seen, kept, names)


def _beside_labels(
    seen: Table, votes: NDArray[np.int64], min_votes: int, drop_unknown: bool
) -> Decoded:
    """FER2013 with its own labels, and the shares of the votes as soft labels."""
    known, other = _counted(votes, EMOTIONS, min_votes)
    own = np.eye(len(EMOTIONS), dtype=np.int64)[seen.labels]
    trusted = known.max(1) > (other.max(1) if drop_unknown else 0)
    known = np.where(trusted[:, None], known, own)
    soft = (known / known.sum(1, keepdims=True)).astype(np.float32)
    everything = Split(seen.images, seen.labels, soft)
    return _decoded(everything, seen, np.ones(len(soft), dtype=bool), EMOTIONS)


def _decoded(
    everything: Split, seen: Table, kept: NDArray[np.bool_], names: tuple[str, ...]
) -> Decoded:
    """The images that are kept, by FER2013's splits."""
    rows = {part: np.flatnonzero(kept & (seen.parts == part)) for part in NAMES}
    val, test = (
        everything.take(rows[part]) if (seen.parts == part).any() else None
        for part in ("val", "test")
    )
    found = {"sizes": {"48x48": int(kept.sum())}, "modes": {"L": int(kept.sum())}}
    return Decoded(everything.take(rows["train"]), val, test, names, NAMES, found=found)


def _images(path: Path, images: str | None) -> Path:
    """Where the pixels are: as said, else beside the votes."""
    if images is not None:
        found = path.parent / Path(images).expanduser()
        if not found.is_file():
            raise InvalidInput(f"data.params.images: no file {found}")
        return found
    for name in BESIDE:
        if (path.parent / name).is_file():
            return path.parent / name
    raise InvalidInput(
        f"{path}: holds votes only, and none of {', '.join(BESIDE)} stands beside it; put it there "
        "or say where it is: --set data.params.images=..."
    )


def _seen(file: Path) -> Table:
    """FER2013's images, in the order of its rows, each with its split."""
    table = read_arrays(file) if file.suffix.lower() == ".npz" else read_table(file)
    if not table.has_usage:
        raise InvalidInput(f"{file}: has no Usage, so that FER+ cannot be told apart by split")
    return table


def _read_votes(path: Path, seen: Table) -> NDArray[np.int64]:
    """The votes ``(N, 10)`` for images, one row for each; raises `InvalidInput`."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        reader = csv.reader(stream)
        header = [name.strip().lower() for name in next(reader)]
        lines, rows = [], []
        for row in reader:
            if row:
                rows.append(row)
                lines.append(reader.line_num)
    if len(rows) != len(seen.images):
        raise InvalidInput(
            f"{path}: {len(rows):,} rows of votes for {len(seen.images):,} images; FER+ is "
            "matched to FER2013 row by row, so both must be whole and unsorted"
        )
    columns = [header.index(name) for name in (*VOTES, *NONE)]
    votes = np.zeros((len(rows), len(columns)), dtype=np.int64)
    for place, row in enumerate(rows):
        texts = [row[column].strip() if column < len(row) else "" for column in columns]
        if not all(text.isascii() and text.isdigit() and len(text) < 4 for text in texts):
            raise InvalidInput(f"{path}:{lines[place]}: votes {texts}; give ten whole numbers")
        votes[place] = [int(text) for text in texts]
    if "usage" in header:
        column = header.index("usage")
        usages = [row[column] if column < len(row) else "" for row in rows]
        _check_usage(path, usages, lines, seen)
    return votes


def _check_usage(path: Path, usages: list[str], lines: list[int], seen: Table) -> None:
    """Refuses votes whose splits are not those of the images: then the rows do not match."""
    parts = np.array([usage.strip().lower() for usage in usages])
    expected = np.array([NAMES[part].lower() for part in seen.parts])
    wrong = np.flatnonzero(parts != expected)
    if len(wrong):
        place = int(wrong[0])
        raise InvalidInput(
            f"{path}:{lines[place]}: Usage '{usages[place]}', but that row of the images is "
            f"{NAMES[seen.parts[place]]}; the two files are not in the same order"
        )


def _counted(
    votes: NDArray[np.int64], names: tuple[str, ...], min_votes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Votes ``(N, 10)`` to those for each class ``(N, K)`` and for anything else."""
    counted = np.where(votes >= min_votes, votes, 0)
    mine = list(VOTES.values())
    known = counted[:, [mine.index(name) for name in names]]
    rest = [place for place, name in enumerate(mine) if name not in names] + [8, 9]
    return known, counted[:, rest]
