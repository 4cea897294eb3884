"""An expression set that needs no file and no network: faces drawn from facial action units.

Synthetic, for trying the program out and for its tests; a number from it says nothing of people.
The classes follow the EMFACS prototypes (Friesen and Ekman, 1983): happy is 6 + 12, surprise
1 + 2 + 5 + 26, and so on. Identity, pose, light, noise and occlusion vary, classes are as rare as
in FER2013, and a known share of the labels is wrong, as they are there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from research.data import EMOTIONS, Decoded, Split
from research.data.faces import SIDE, UNITS, Faces, draw
from research.registry import Count, Fraction, sources

# Units of each expression, and how often a face that shows it uses each.
PROTOTYPES: dict[str, dict[int, float]] = {
    "angry": {4: 0.95, 5: 0.6, 7: 0.8, 23: 0.85},
    "disgust": {9: 0.95, 15: 0.7, 16: 0.7, 4: 0.3},
    "fear": {1: 0.9, 2: 0.7, 4: 0.7, 5: 0.85, 20: 0.85, 25: 0.7, 26: 0.3},
    "happy": {6: 0.75, 12: 0.97, 25: 0.6},
    "sad": {1: 0.9, 4: 0.6, 15: 0.9, 17: 0.6},
    "surprise": {1: 0.9, 2: 0.95, 5: 0.8, 26: 0.9},
    "neutral": {},
}
# FER2013's training images of each class.
WEIGHTS = (3995, 436, 4097, 7215, 4830, 3171, 4965)
CHUNK = 256  # images drawn together


@sources.register(stands_in=True)
def embedded(
    path: Path | None,
    *,
    train_images: Count = 6000,
    val_images: Count = 1000,
    test_images: Count = 2000,
    wrong_labels: Fraction = 0.05,
    draw_seed: Count = 2013,
) -> Decoded:
    """Synthetic 48x48 faces, seven expressions, drawn from parameters; no file needed."""
    sizes = (train_images, val_images, test_images)
    splits = []
    for number, count in enumerate(sizes):
        generator = np.random.default_rng([draw_seed, number])
        truth = _classes(generator, count)
        images = np.concatenate(
            [_images(generator, truth[start : start + CHUNK]) for start in range(0, count, CHUNK)]
        )
        splits.append(Split(images, _mislabelled(generator, truth, wrong_labels)))
    found = {"sizes": {f"{SIDE}x{SIDE}": sum(sizes)}, "modes": {"L": sum(sizes)}}
    train, val, test = splits
    return Decoded(train, val, test, classes=EMOTIONS, found=found)


def _classes(generator: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Labels ``(count,)`` in FER2013's proportions, each class at least once if it has room."""
    share = np.cumsum(WEIGHTS) / sum(WEIGHTS)
    labels = np.searchsorted(share, (np.arange(count) + 0.5) / count).astype(np.int64)
    if count >= len(EMOTIONS):
        missing = np.setdiff1d(np.arange(len(EMOTIONS)), labels)
        labels[: len(missing)] = missing
    return generator.permutation(labels)


def _mislabelled(
    generator: np.random.Generator, truth: NDArray[np.int64], share: float
) -> NDArray[np.int64]:
    """Labels with exactly ``share`` of them, rounded down, replaced by another class."""
    labels = truth.copy()
    rows = generator.permutation(len(truth))[: int(share * len(truth))]
    labels[rows] = (labels[rows] + generator.integers(1, len(EMOTIONS), len(rows))) % len(EMOTIONS)
    return labels


def _images(generator: np.random.Generator, labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Labels ``(n,)`` to images ``(n, 48, 48, 1)`` of faces that show them."""
    count = len(labels)
    faces = Faces(_units(generator, labels), _looks(generator, count))
    image = draw(faces)
    soft = generator.uniform(0, 0.5, (count, 1, 1)).astype(np.float32)
    image = image * (1 - soft) + soft * _smoothed(image)
    grain = generator.uniform(0.01, 0.05, (count, 1, 1)).astype(np.float32)
    image = image + grain * generator.standard_normal(image.shape, dtype=np.float32)
    pixels: NDArray[np.uint8] = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    return pixels.reshape(count, SIDE, SIDE, 1)


def _units(generator: np.random.Generator, labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Labels ``(n,)`` to intensities ``(n, units)``: the prototype, strong or faint, and strays."""
    often = np.array([[PROTOTYPES[name].get(unit, 0.0) for unit in UNITS] for name in EMOTIONS])
    shape = (len(labels), len(UNITS))
    shown = generator.uniform(size=shape) < often[labels]
    strength = generator.beta(3.5, 1.2, (len(labels), 1))
    strong = np.clip(strength * generator.uniform(0.7, 1.3, shape), 0, 1)
    stray = (generator.uniform(size=shape) < 0.06) * generator.uniform(0, 0.4, shape)
    return np.where(shown, strong, stray).astype(np.float32)


def _looks(generator: np.random.Generator, n: int) -> dict[str, NDArray[np.float32]]:
    """Traits ``(n,)`` of identity, pose, light and occlusion."""
    uniform, normal = generator.uniform, generator.normal
    roll = normal(0, 0.11, n)
    skin = uniform(0.4, 0.85, n)
    looks = {
        "skin": skin,
        "hair": np.where(uniform(size=n) < 0.8, uniform(0.05, 0.3, n), uniform(0.4, 0.75, n)),
        "hairline": uniform(-0.95, -0.72, n),
        "hair_length": uniform(-0.6, 0.9, n),
        "brow_height": normal(-0.34, 0.025, n),
        "brow_slant": normal(0, 0.018, n),
        "brow_thickness": uniform(0.018, 0.045, n),
        "eye_size": uniform(0.85, 1.2, n),
        "iris": uniform(0.05, 0.35, n),
        "gaze": normal(0, 0.03, n),
        "nose_width": uniform(0.07, 0.11, n),
        "mouth_width": uniform(0.24, 0.33, n),
        "mouth_slant": normal(0, 0.022, n),
        "lips": uniform(0.6, 1.4, n),
        "glasses": (uniform(size=n) < 0.12).astype(float),
        "roll_cosine": np.cos(roll),
        "roll_sine": np.sin(roll),
        "shift_x": normal(0, 0.06, n),
        "shift_y": normal(0, 0.06, n),
        "width": uniform(0.9, 1.15, n),
        "height": uniform(0.9, 1.12, n),
        "yaw": normal(0, 0.09, n),
        "pitch": normal(0, 0.06, n),
        "light_x": normal(0, 0.22, n),
        "light_y": normal(0, 0.14, n),
        "contrast": uniform(0.65, 1.15, n),
        "brightness": normal(0, 0.07, n),
        "background": uniform(0.05, 0.95, n),
        "backdrop": uniform(-1, 1, n),
        "veiled": (uniform(size=n) < 0.15).astype(float),
        "veil_x": uniform(-0.9, 0.9, n),
        "veil_y": uniform(-0.9, 0.9, n),
        "veil_width": uniform(0.1, 0.35, n),
        "veil_height": uniform(0.1, 0.35, n),
        "veil_grey": uniform(0.05, 0.9, n),
    }
    return {name: value.astype(np.float32) for name, value in looks.items()}


def _smoothed(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images ``(n, H, W)`` to the mean of each pixel's 3 x 3 neighbours."""
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    total: NDArray[np.float32] = (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / 9
    return total
