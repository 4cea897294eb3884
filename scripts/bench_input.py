"""Images a second into a net: ours beside the published way, and what that is of an epoch.

The published way parses the pixels of fer2013.csv at each access and changes images one by one
with PIL, behind a DataLoader; it is taken without workers and with two, and the better one counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch
from figure import Row, at_least, show, spread
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms import functional

import research
from research.arithmetic import Arithmetic, keep_freed_memory
from research.assembly import assemble, view_of
from research.augment import uniform
from research.augment.view import View
from research.data import Splits
from research.inspection import choose_arithmetic, count
from research.project import Project
from research.studies import load_study, study_names
from research.training import train_step

IMAGES, BATCH, ROUNDS = 2048, 64, 5
EPOCHS = 16  # of ours in a turn, as one is over in hundredths of a second
NORMALIZE = {"normalize": {"mean": 0.5, "std": 0.25}}
END = [transforms.ToTensor(), transforms.Normalize(0.5, 0.25)]
MIRROR = transforms.RandomHorizontalFlip()
BILINEAR = transforms.InterpolationMode.BILINEAR
# The published transforms, and our view of the same: side, canvas, augmentation.
WAYS = {
    "crop, flip, normalise at 48 px": (
        50,
        [transforms.RandomCrop(48, padding=4), MIRROR, *END],
        View(48, 1, NORMALIZE, {"crop": {"padding": 4 / 48}, "flip": {}}),
    ),
    "the same with rotation": (
        20,
        [
            transforms.RandomCrop(48, padding=4),
            MIRROR,
            transforms.RandomRotation(10, BILINEAR),
            *END,
        ],
        View(48, 1, NORMALIZE, {"crop": {"padding": 4 / 48}, "flip": {}, "rotation": {}}),
    ),
    "resize, crop, flip, normalise at 227 px": (
        5,
        [transforms.Resize(256), transforms.RandomCrop(227), MIRROR, *END],
        View(227, 1, NORMALIZE, {"crop": {}, "flip": {}}, canvas=256),
    ),
}


class Published(Dataset[tuple[torch.Tensor, int]]):
    """Rows of a CSV, parsed at each access."""

    def __init__(self, images: np.ndarray, changes: transforms.Compose) -> None:
        self.rows = [" ".join(map(str, image.ravel())) for image in images]
        self.changes = changes

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        pixels = np.array(self.rows[place].split(), dtype=np.uint8).reshape(48, 48)
        return self.changes(Image.fromarray(pixels)), 0


def published_rate(images: np.ndarray, changes: list[object], workers: int) -> float:
    """Images a second of the published way, once its workers run."""
    data = Published(images, transforms.Compose(changes))
    batches = iter(DataLoader(data, BATCH, shuffle=True, num_workers=workers))
    next(batches)
    started = time.perf_counter()
    number = sum(len(batch) for batch, _ in batches)
    return number / (time.perf_counter() - started)


def our_rate(images: torch.Tensor, view: View) -> float:
    """Images a second of ours: rows of a resident split, in an order of their own, to a batch."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.zeros(len(images), dtype=torch.int64)
    started = time.perf_counter()
    for _ in range(EPOCHS):
        order = torch.randperm(len(images), generator=generator)
        for rows, seen in view.batches(images, order, BATCH, generator):
            view.batch(seen, labels[rows], generator)
    return EPOCHS * len(images) / (time.perf_counter() - started)


def apart(images: np.ndarray, size: int, canvas: int, degrees: float) -> float:
    """How far both ways are apart on average, in steps of a byte, where all draw the same.

    Middles of images, mirrored, turned by up to so many degrees.
    """
    images = images[:BATCH]
    view = View(size, 1, {}, {"flip": {"p": 1.0}, "rotation": {"degrees": degrees}}, canvas)
    if not degrees:
        view = View(size, 1, {}, {"flip": {"p": 1.0}}, canvas)
    ours = view.changed(torch.from_numpy(images).unsqueeze(1), torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    uniform((BATCH,), generator)  # of the flips
    angles = degrees * uniform((BATCH,), generator, -1, 1)
    theirs = []
    for image, angle in zip(images, angles, strict=True):
        made = functional.hflip(functional.resize(Image.fromarray(image), canvas))
        made = functional.rotate(functional.center_crop(made, size), float(angle), BILINEAR)
        theirs.append(functional.to_tensor(made))
    return 255 * float((ours - torch.stack(theirs)).abs().mean())


def against_published() -> Iterator[Row]:
    """Ours beside the published way, by turns."""
    raw = np.random.default_rng(0).integers(0, 256, (IMAGES, 48, 48), dtype=np.uint8)
    resident = torch.from_numpy(raw).unsqueeze(1)
    for name, (wanted, changes, view) in WAYS.items():
        window, degrees = view.window, 10 if "rotation" in name else 0
        most = apart(raw, window.size, window.canvas, degrees)
        row = f"input: {name}, both ways apart where they draw the same"
        yield Row(row, f"{most:.2f} of 255 on average", "under 1 of 255", most < 1)
        our_rate(resident, view)
        found, rates = [], []
        for _ in range(ROUNDS):
            theirs = max(published_rate(raw, changes, workers) for workers in (0, 2))
            rates.append(our_rate(resident, view))
            found.append(rates[-1] / theirs)
        yield at_least(f"input: {name}, images/s against the published way", found, wanted)
        yield Row(f"input: {name}", spread(rates, "{:,.0f}", " images/s"), "-", None)


def of_an_epoch(splits: Splits) -> Iterator[Row]:
    """The largest share of a training step that its input takes, over every shipped recipe."""
    shares = {}
    project = Project.find()
    for name in study_names(project):
        study = load_study(name, project)[0].model_copy(update={"folds": None})
        spec = research.plan(study)[0]
        device = torch.device("cpu")
        heavy = count(spec, len(splits.classes)).macs > 1e8
        chosen = {} if heavy else choose_arithmetic(spec, splits, device)
        way = chosen.get("precision", "fp32"), chosen.get("memory_format", "contiguous")
        state = assemble(spec, splits, Arithmetic(device, *way))  # type: ignore[arg-type]
        state.net.train()
        size = spec.training.batch_size
        few = min(size, 8 if heavy else 64)  # in a step: heavy nets take seconds for a batch
        images = torch.from_numpy(splits.train.images).permute(0, 3, 1, 2)
        labels = torch.from_numpy(splits.train.labels)
        view, generator = view_of(spec), torch.Generator().manual_seed(0)
        shares[name] = 0.0
        for progress in (0.0, 1.0) if view.side(0.0) < view.side(1.0) else (1.0,):
            steps, inputs = [], []
            for _ in range(4):
                started = time.perf_counter()
                order = torch.arange(min(len(images), 4 * size))
                for rows, seen in view.batches(images, order, size, generator):
                    view.batch(seen, labels[rows], generator, progress)
                between = time.perf_counter()
                train_step(state, images[:few], labels[:few], progress=progress)
                inputs.append((between - started) / len(order))
                steps.append((time.perf_counter() - between) / few)
            share = 100 * sorted(inputs[1:])[1] / sorted(steps[1:])[1]
            shares[name] = max(shares[name], share)
    worst = max(shares, key=lambda name: shares[name])
    text = f"{shares[worst]:.1f} % ({worst}), {len(shares)} recipes"
    yield Row("input: largest share of a training step", text, "under 5 %", shares[worst] < 5)


def rows() -> Iterator[Row]:
    """Every figure of the input."""
    torch.manual_seed(0)
    keep_freed_memory()
    yield from against_published()
    yield from of_an_epoch(research.load_data("embedded"))


if __name__ == "__main__":
    show(rows())
