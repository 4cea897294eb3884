"""Image files to arrays: any mode and size, every file that cannot be read told at once."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from research.data import Found
from research.errors import InvalidInput

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm"}
MAX_SIDE = 8192
MOST_DEEP = 65535  # of 16 bits
DEPTHS = (255, 1023, 4095)  # of 8, 10 and 12
MAX_DEFAULT_SIDE = 256  # of images of several sizes, where nobody says what they are brought to
MAX_BYTES = 8 * 1024**3
log = logging.getLogger("research")


def image_files(folder: Path) -> list[Path]:
    """The images right in a folder, sorted; other files are passed over, and counted aloud."""
    files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    files = [file for file in files if file.is_file()]
    found = [file for file in files if is_image(file)]
    if others := len(files) - len(found):
        names = [file.name for file in files if file not in found]
        more = " ..." if others > 3 else ""
        text = "%s: no images, and passed over: %s%s"
        log.warning(text, folder, ", ".join(names[:3]), more)
    return found


def unpacked(path: Path) -> Path:
    """A folder, or the one folder that alone stands in it, as archives often have it."""
    for _ in range(2):
        inside = [item for item in path.iterdir() if not item.name.startswith((".", "__"))]
        if len(inside) != 1 or not inside[0].is_dir() or has_images(inside[0]):
            break
        path = inside[0]
    return path


def has_images(folder: Path) -> bool:
    """Whether an image stands right in a folder."""
    return any(is_image(file) for file in folder.iterdir())


def is_image(file: Path) -> bool:
    """Whether a file is named as an image is."""
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".")


def read_images(
    files: Sequence[Path], side: int | None, where: str
) -> tuple[NDArray[np.uint8], Found]:
    """Files to images ``(N, H, W, C)`` of one size, and the sizes and modes that they had.

    Images of one size keep it; of several they are brought to ``side``, by default the median of
    their shorter sides, at most 256. Grey and colour together become colour. Raises
    `InvalidInput` that names every file that cannot be read.
    """
    shapes, modes = _looked_at(files)
    if not files:
        return np.zeros((0, 1, 1, 1), dtype=np.uint8), {}
    if side is None and len(set(shapes)) > 1:
        side = min(MAX_DEFAULT_SIDE, int(np.median([min(shape) for shape in shapes])))
        log.info(
            "%s: images of %d sizes, from %s to %s, are brought to %d x %d pixels "
            "(data.params.side)",
            *(where, len(set(shapes)), _text(min(shapes)), _text(max(shapes)), side, side),
        )
    height, width = (side, side) if side else shapes[0]
    channels = 1 if all(_is_grey(mode) for mode in modes) else 3
    if len(files) * height * width * channels > MAX_BYTES:
        raise InvalidInput(
            f"{where}: {len(files):,} images of {height} x {width} pixels are more than "
            f"{MAX_BYTES / 1e9:.0f} GB; bring them to a smaller size: --set data.params.side=96"
        )
    images = np.empty((len(files), height, width, channels), dtype=np.uint8)
    deep = [file for file, mode in zip(files, modes, strict=True) if mode.startswith("I")]
    problems = _fill(images, files, _brightest(deep, where))
    if problems:
        raise InvalidInput(*problems)
    found = {"sizes": Counter(map(_text, shapes)), "modes": Counter(modes)}
    return images, {name: dict(counts.most_common()) for name, counts in found.items()}


def merged(parts: Sequence[Found]) -> Found:
    """What was found in several lots of images, added up."""
    total: dict[str, Counter[str]] = {}
    for part in parts:
        for name, counts in part.items():
            total.setdefault(name, Counter()).update(counts)
    return {name: dict(counts.most_common()) for name, counts in total.items()}


def read_image(file: Path, white: int = MOST_DEEP) -> NDArray[np.uint8]:
    """An image file to ``(H, W, C)``, C = 1 for grey and 3 for colour; raises `InvalidInput`.

    ``white`` is what is white in an image of more than 8 bits.
    """
    with _opened(file) as image:
        pixels = _eight_bits(image, white)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def resized(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """An image ``(h, w, C)`` to ``(height, width, C)``, by areas where it shrinks."""
    if image.shape[:2] == (height, width):
        return image
    method = cv2.INTER_AREA if min(image.shape[:2]) > min(height, width) else cv2.INTER_LINEAR
    made: NDArray[np.uint8] = cv2.resize(image, (width, height), interpolation=method)
    return made.reshape(height, width, -1)


def _looked_at(files: Sequence[Path]) -> tuple[list[tuple[int, int]], list[str]]:
    """The height and width and the mode of each file, from its head alone."""
    shapes: list[tuple[int, int]] = []
    modes: list[str] = []
    problems: list[str] = []
    for file in files:
        try:
            with _opened(file) as image:
                upright = (image.height, image.width)
                # EXIF's orientations from 5 on lie on their side.
                lying = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
                shapes.append(upright[::-1] if lying else upright)
                modes.append(image.mode)
        except InvalidInput as error:
            problems += error.problems
    if problems:
        problems += _fill(None, files)  # what has a good head may still be cut off
        raise InvalidInput(*sorted(set(problems)))
    return shapes, modes


def _brightest(deep: Sequence[Path], where: str) -> int:
    """What is white in files of 16 or 32 bits: many cameras and programs use 8 or 12 of them."""
    most = 0
    for file in deep:
        with contextlib.suppress(InvalidInput), _opened(file) as image:
            most = max(most, int(np.asarray(image).max()))
    white = next((one for one in DEPTHS if most <= one), MOST_DEEP)
    if deep and white < MOST_DEEP:
        bits = white.bit_length()
        log.info(
            "%s: images of 16 bits go up to %d, so they are taken as %d bits", where, most, bits
        )
    return white


def _fill(
    images: NDArray[np.uint8] | None, files: Sequence[Path], white: int = MOST_DEEP
) -> list[str]:
    """Decodes every file into its place, if there is one; what could not be read."""
    problems: list[str] = []
    for place, file in enumerate(files):
        try:
            pixels = read_image(file, white)
        except InvalidInput as error:
            problems += error.problems
            continue
        if images is not None:
            images[place] = resized(pixels, *images.shape[1:3])
    return problems


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                if max(image.size) > MAX_SIDE:
                    raise InvalidInput(f"{file}: {image.size} pixels, at most {MAX_SIDE} a side")
                yield image
    except InvalidInput:
        raise
    except Exception as error:  # a broken image makes Pillow raise almost anything
        empty = file.is_file() and file.stat().st_size == 0
        reason = "is empty" if empty else str(error) or type(error).__name__
        raise InvalidInput(f"{file}: is not a readable image: {reason}") from None


def _eight_bits(opened: Image.Image, white: int) -> NDArray[np.uint8]:
    """An open image to its pixels, grey or colour, upright; 16 bits are scaled, never cut.

    What is see-through shows black.
    """
    image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64)
        if deep.min() < 0 or deep.max() > MOST_DEEP:
            raise InvalidInput(
                f"{opened.filename}: values from {deep.min()} to {deep.max()}; save it with 8 or "  # type: ignore[attr-defined]
                "16 bits a pixel"
            )
        return np.rint(deep / (white / 255)).astype(np.uint8)
    if image.has_transparency_data and image.mode != "RGBA":
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    if image.mode == "F":
        raise InvalidInput(f"{opened.filename}: holds fractions; save it with 8 bits a pixel")  # type: ignore[attr-defined]
    return np.asarray(image.convert("L" if _is_grey(opened.mode) else "RGB"))


def _is_grey(mode: str) -> bool:
    return mode in ("1", "L", "LA") or mode.startswith("I")


def _text(shape: tuple[int, int]) -> str:
    return f"{shape[0]}x{shape[1]}"
