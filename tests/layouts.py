"""Every layout that a data set comes in, written with a few synthetic faces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from research.data import EMOTIONS
from research.data.embedded import embedded

SPELLED = ("Anger", "DISGUST", "fearful", "happiness", "Sadness", "Surprised", "neutral")
CODES = ("AN", "DI", "FE", "HA", "SA", "SU", "NE")
SUBJECTS = ("KA", "KL", "KM", "KR", "NA", "TM", "UY", "YM")
FIVE = ("Angry", "Happy", "Neutral", "Sad", "Surprise")
VOTES = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"]
COLUMNS = ["Usage", "Image name", *VOTES, "unknown", "NF"]
USAGES = ("Training", "Training", "PublicTest", "PrivateTest")


def drawn(count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Faces ``(count, 48, 48)`` and labels, every class in turn."""
    made = embedded(None, train_images=count, val_images=7, test_images=7, wrong_labels=0.0).train
    order = np.argsort(made.labels, kind="stable")
    images, labels = made.images[order][..., 0], np.arange(count) % 7
    return images[np.argsort(labels, kind="stable").argsort()], labels


def save(image: NDArray[np.uint8], file: Path, side: int = 48, mode: str = "L") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).resize((side, side)).convert(mode).save(file)


def jaffe(root: Path) -> Path:
    images, labels = drawn(2 * 7 * len(SUBJECTS))
    for place, (image, label) in enumerate(zip(images, labels, strict=True)):
        turn = place // 7
        name = f"{SUBJECTS[turn // 2]}.{CODES[label]}{turn % 2 + 1}.{place + 1}.tiff"
        save(image, root / name, 64)
    return root


def ckplus(root: Path) -> Path:
    images, labels = drawn(2 * 7 * 9)
    names = (*SPELLED[:6], "contempt")
    for place, (image, label) in enumerate(zip(images, labels, strict=True)):
        turn = place // 7
        save(image, root / names[label] / f"S{turn // 2:03d}_{label:03d}_{place:08d}.png")
    return root


def split_folders(root: Path) -> Path:
    images, labels = drawn(7 * 12)
    for place, (image, label) in enumerate(zip(images, labels, strict=True)):
        split = ("train", "train", "test")[place // 7 % 3]
        save(image, root / split / SPELLED[label] / f"im{place}.jpg")
    return root


def class_folders(root: Path) -> Path:
    images, labels = drawn(7 * 12)
    for place, (image, label) in enumerate(zip(images, labels, strict=True)):
        save(image, root / "faces" / EMOTIONS[label] / f"{place}.png")
    return root


def five_class(root: Path) -> Path:
    images, labels = drawn(7 * 15)
    kept = {EMOTIONS.index(name.lower()): name for name in FIVE}
    for place, (image, label) in enumerate(zip(images, labels, strict=True)):
        if int(label) in kept:
            split = "test" if place // 7 % 3 == 2 else "train"
            save(image, root / split / kept[int(label)] / f"{place}.png", mode="RGB")
    return root


def table(root: Path) -> Path:
    images, labels = drawn(7 * 12)
    lines = ["image,Label,person"]
    for place, (image, label) in enumerate(zip(images, labels, strict=True)):
        mode = ("L", "RGB", "RGBA")[place % 3]
        save(image, root / "images" / f"{place:03d}.png", 40 + place % 4, mode)
        spelling = (SPELLED[label], EMOTIONS[label].upper())[place % 2]
        lines.append(f"{place:03d}.png, {spelling} ,p{place // 14}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def pixels(file: Path, header: str, usage: bool = True, count: int = 7 * 16) -> Path:
    images, labels = drawn(count)
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [header]
    for place, (image, label) in enumerate(zip(images, labels, strict=True)):
        numbers = " ".join(map(str, image.ravel()))
        name = USAGES[place // 7 % 4]
        values = {"emotion": str(label), "pixels": numbers, "usage": name}
        wanted = [column.strip().lower() for column in header.split(",")]
        lines.append(",".join(values[column] for column in wanted))
    file.write_text("\n".join(lines) + "\n")
    return file


def ferplus(root: Path) -> Path:
    pixels(root / "fer2013.csv", "emotion,pixels,Usage")
    _, labels = drawn(7 * 16)
    places = {"happy": 1, "surprise": 2, "sad": 3, "angry": 4, "disgust": 5, "fear": 6}
    lines = [",".join(COLUMNS)]
    for place, label in enumerate(labels):
        votes = [0] * 10
        votes[places.get(EMOTIONS[label], 0)] = 6
        votes[7] = 4
        if place % 9 == 0:
            votes[7] = 10  # contempt
            votes[places.get(EMOTIONS[label], 0)] = 0
        lines.append(f"{USAGES[place // 7 % 4]},f{place}.png," + ",".join(map(str, votes)))
    (root / "fer2013new.csv").write_text("\n".join(lines) + "\n")
    return root / "fer2013new.csv"


def npz(root: Path) -> Path:
    images, labels = drawn(7 * 16)
    root.mkdir(parents=True, exist_ok=True)
    usage = np.array([0, 0, 1, 2], dtype=np.uint8)[np.arange(len(images)) // 7 % 4]
    np.savez(root / "faces.npz", images=images, labels=labels.astype(np.uint8), usage=usage)
    return root / "faces.npz"


# What a layout is called here: the source that reads it, how it is written.
LAYOUTS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "fer2013": ("fer2013", lambda root: pixels(root / "fer2013.csv", "emotion,pixels,Usage")),
    "icml": ("fer2013", lambda root: pixels(root / "icml.csv", "emotion, Usage, pixels")),
    "train_csv": ("fer2013", lambda root: pixels(root / "train.csv", "emotion,pixels")),
    "ferplus": ("ferplus", ferplus),
    "jaffe": ("jaffe", jaffe),
    "ckplus": ("ckplus", ckplus),
    "split_folders": ("folder", split_folders),
    "class_folders": ("folder", class_folders),
    "five_class": ("folder", five_class),
    "table": ("table", table),
    "npz": ("npz", npz),
}
