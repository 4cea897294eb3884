"""Synthetic faces drawn from facial action units (FACS; Ekman and Friesen, 1978).

Coordinates: u to the right, v down, the face about from -1 to 1. Everything is added, multiplied
and clipped, never raised to a power, so that every machine draws the same pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]  # float32 throughout

SIDE = 48
# Action units that the drawing knows; a face holds an intensity from 0 to 1 of each.
UNITS = (1, 2, 4, 5, 6, 7, 9, 12, 15, 16, 17, 20, 23, 25, 26)


@dataclass(frozen=True)
class Faces:
    """``n`` faces: unit intensities ``(n, units)`` and, all ``(n,)``, identity, pose and light."""

    units: Array
    looks: dict[str, Array]

    def unit(self, number: int) -> Array:
        """The intensity of an action unit, ``(n, 1, 1)``."""
        return self.units[:, UNITS.index(number), None, None]

    def look(self, name: str) -> Array:
        """A trait, ``(n, 1, 1)``."""
        return self.looks[name][:, None, None]


def draw(faces: Faces) -> Array:
    """Faces to grey images ``(n, 48, 48)``, 0 black to 1 white, before noise."""
    u, v = _coordinates(faces)
    skin = faces.look("skin")
    image: Array = faces.look("background") + 0.15 * v * faces.look("backdrop") + 0 * u
    outline = _norm(u / 0.80, (v - 0.04) / 1.02)
    shade = skin * (1.08 - 0.35 * np.minimum(outline, 1) ** 2)
    image = _over(image, shade, _inside(outline - 1, 0.06))
    image = _hair(image, u, v, outline, faces)
    image = _forehead(image, u, v, faces)
    image = _eyes(image, u, v, faces)
    image = _brows(image, u, v, faces)
    image = _nose(image, u, v, faces)
    image = _mouth(image, u, v, faces)
    image = _glasses(image, u, v, faces)
    return _lit(image, faces)


def _coordinates(faces: Faces) -> tuple[Array, Array]:
    """Pixel centres to places on each face, after shift, roll, scale and turn of the head."""
    axis = ((np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE * 2 - 1).astype(np.float32)
    x = axis[None, None, :] - faces.look("shift_x")
    y = axis[None, :, None] - faces.look("shift_y")
    cosine, sine = faces.look("roll_cosine"), faces.look("roll_sine")
    u = (cosine * x + sine * y) / faces.look("width")
    v = (cosine * y - sine * x) / faces.look("height")
    bounded = np.clip(u, -1, 1)
    u = u - faces.look("yaw") * (1 - bounded * bounded)
    return u, v - faces.look("pitch") * (1 - np.clip(v, -1, 1) ** 2)


def _inside(distance: Array, edge: float = 0.05) -> Array:
    """Signed distance to coverage: 1 inside, 0 outside, a ramp of width ``edge`` between."""
    cover: Array = np.clip(np.float32(0.5) - distance / np.float32(edge), 0, 1)
    return cover


def _norm(a: Array, b: Array) -> Array:
    length: Array = np.sqrt(a * a + b * b)
    return length


def _over(image: Array, value: Array | float, cover: Array) -> Array:
    return image + (value - image) * cover


def _stroke(across: Array, along: Array, thickness: Array | float) -> Array:
    """Coverage of a line: ``across`` from its middle, ``along`` from -1 to 1 between its ends."""
    return _inside(np.abs(across) - thickness) * _inside(np.abs(along) - 1, 0.3)


def _hair(image: Array, u: Array, v: Array, outline: Array, faces: Faces) -> Array:
    line = faces.look("hairline") + 0.35 * u * u
    crown = _inside(v - line, 0.08) * _inside(outline - 1.12, 0.06)
    sides = _inside(0.74 - np.abs(u), 0.08) * _inside(v - faces.look("hair_length"), 0.1)
    cover = np.maximum(crown, sides * _inside(outline - 1.15, 0.06))
    return _over(image, faces.look("hair"), cover)


def _forehead(image: Array, u: Array, v: Array, faces: Faces) -> Array:
    """Lines: across for raised brows (1, 2), upright between lowered ones (4)."""
    raised = np.maximum(faces.unit(1), faces.unit(2))
    for height in (-0.60, -0.68):
        line = _stroke(v - height + 0.05 * u * u, u / 0.35, 0.008)
        image = image * (1 - 0.28 * raised * line)
    frown = _stroke(np.abs(u) - 0.05, (v + 0.36) / 0.09, 0.010)
    return image * (1 - 0.40 * faces.unit(4) * frown)


def _brows(image: Array, u: Array, v: Array, faces: Faces) -> Array:
    lowered = faces.unit(4) + 0.4 * faces.unit(9)
    along = (np.abs(u) - 0.36 + 0.04 * lowered) / 0.21
    inner = 0.105 * lowered - 0.12 * faces.unit(1) + faces.look("brow_slant")
    outer = 0.02 * lowered - 0.12 * faces.unit(2) - faces.look("brow_slant")
    middle = faces.look("brow_height") + 0.5 * (inner + outer) + 0.5 * along * (outer - inner)
    arch = 0.05 * (1 - along * along)
    cover = _stroke(v - middle + arch, along, faces.look("brow_thickness"))
    return _over(image, faces.look("hair") * 0.8, 0.9 * cover)


def _eyes(image: Array, u: Array, v: Array, faces: Faces) -> Array:
    """Upper lid raiser (5), cheek raiser (6) and lid tightener (7) shape the opening."""
    side = np.where(u > 0, np.float32(1), np.float32(-1))
    size, squint = faces.look("eye_size"), 0.45 * faces.unit(7) + 0.45 * faces.unit(6)
    along = (np.abs(u) - 0.36) / (0.16 * size)
    bulge = np.clip(1 - along * along, 0, 1)
    level = v - np.float32(-0.13)
    upper = -0.085 * size * (1 + 0.75 * faces.unit(5) - 0.75 * squint) * bulge
    lower = 0.055 * size * (1 + 0.2 * faces.unit(5) - 0.9 * squint) * bulge
    opening = _inside(upper - level) * _inside(level - lower) * _inside(np.abs(along) - 1, 0.2)
    image = _over(image, np.minimum(faces.look("skin") * 1.25, 1), opening)
    iris = _norm(u - side * 0.36 - faces.look("gaze"), level + 0.012) - 0.075 * size
    image = _over(image, faces.look("iris"), opening * _inside(iris))
    image = image * (1 - 0.65 * _stroke(level - upper, along, 0.014))
    crease = _stroke(level - 0.10 + 0.05 * along * along, along, 0.010)
    creased: Array = image * (1 - 0.30 * np.maximum(faces.unit(6), 0.5 * faces.unit(7)) * crease)
    return creased


def _nose(image: Array, u: Array, v: Array, faces: Faces) -> Array:
    """Nose wrinkler (9) lifts the wings and folds the bridge."""
    lift, width = 0.05 * faces.unit(9), faces.look("nose_width")
    ridge = _stroke(np.abs(u) - 0.6 * width, (v - 0.02) / 0.2, 0.012)
    image = image * (1 - 0.12 * ridge)
    holes = _norm((np.abs(u) - width) / 1.4, v - 0.21 + lift) - 0.028
    image = image * (1 - 0.55 * _inside(holes))
    for height in (-0.16, -0.09, -0.02):
        fold = _stroke(v - height - 0.3 * np.abs(u), u / 0.10, 0.010)
        image = image * (1 - 0.45 * faces.unit(9) * fold)
    depth = np.clip(0.9 * faces.unit(12) + 0.8 * faces.unit(9) + 0.15, 0, 1)
    along = (v - 0.36) / 0.17
    fold = _stroke(np.abs(u) - width - 0.14 - 0.09 * along, along, 0.012)
    folded: Array = image * (1 - 0.28 * depth * fold)
    return folded


def _mouth(image: Array, u: Array, v: Array, faces: Faces) -> Array:
    """Corners up (12) or down (15), stretched (20), tight (23), parted (25), jaw dropped (26)."""
    one = faces.unit
    half = faces.look("mouth_width") * (
        1 + 0.25 * one(12) + 0.28 * one(20) - 0.18 * one(23) - 0.15 * one(26)
    )
    along = u / half
    bulge = np.clip(1 - along * along, 0, 1)
    corner = faces.look("mouth_slant") - 0.13 * one(12) + 0.12 * one(15) + 0.03 * one(20)
    middle = 0.50 - 0.03 * one(17) + corner * (along * along - 0.3)
    gap = 0.07 * one(25) + 0.30 * one(26) + 0.07 * one(16)
    level = v - middle
    upper, lower = -0.35 * gap * bulge, 0.65 * gap * bulge
    within = _inside(np.abs(along) - 1, 0.15)
    thin = (1 - 0.6 * one(23)) * faces.look("lips")
    lips = _inside(upper - 0.055 * thin * bulge - level) * _inside(
        level - lower - 0.075 * thin * (1 + 0.3 * one(16)) * bulge
    )
    image = _over(image, faces.look("skin") * 0.68, 0.8 * lips * within)
    inside = _inside(upper - level) * _inside(level - lower) * within * np.clip(gap * 14, 0, 1)
    image = _over(image, 0.12, inside)
    teeth = np.clip(one(12) + one(20) + one(9), 0, 1) * _inside(level - upper - 0.06)
    image = _over(image, 0.92, 0.9 * inside * teeth)
    image = image * (1 - 0.5 * _stroke(level, along, 0.012) * (1 - np.clip(gap * 8, 0, 1)))
    chin = _norm(u / 0.16, (v - 0.76) / 0.07) - 1
    return image * (1 - 0.28 * one(17) * _inside(chin, 0.8))


def _glasses(image: Array, u: Array, v: Array, faces: Faces) -> Array:
    rim = _norm((np.abs(u) - 0.37) / 1.15, (v + 0.12) * 1.1) - 0.21
    bridge = _stroke(v + 0.14, u / 0.15, 0.015)
    frame = np.maximum(_inside(np.abs(rim) - 0.018), bridge)
    return _over(image, 0.15, 0.85 * faces.look("glasses") * frame)


def _lit(image: Array, faces: Faces) -> Array:
    """Light from one side, and something in front of the face."""
    axis = ((np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE * 2 - 1).astype(np.float32)
    x, y = axis[None, None, :], axis[None, :, None]
    image = image * (1 + faces.look("light_x") * x + faces.look("light_y") * y)
    veil = np.maximum(
        np.abs(x - faces.look("veil_x")) - faces.look("veil_width"),
        np.abs(y - faces.look("veil_y")) - faces.look("veil_height"),
    )
    image = _over(image, faces.look("veil_grey"), faces.look("veiled") * _inside(veil, 0.1))
    image = 0.5 + (image - 0.5) * faces.look("contrast") + faces.look("brightness")
    return np.asarray(image, dtype=np.float32)
