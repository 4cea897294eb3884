"""What a study adds to its training: many runs of three seconds, beside Lightning with MLflow.

Bare training time is the seconds of all epochs, validation included, as each run notes them.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import lightning
import torch
from figure import Row, at_most, show, spread
from lightning.pytorch.loggers import MLFlowLogger
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import research
from research.artist import Artist
from research.executors import Outcome, Started
from research.models import build_model
from research.project import Project
from research.tracking.database import connect

EPOCHS, IMAGES, SIDE, WIDTH = 5, 700, 32, 0.25
IMPORTS = "import torch, torchvision, mlflow"
LEVELS = range(8)  # three seeds of each: 24 runs


def study() -> research.Study:
    """Eight levels of the rate, three seeds."""
    levels = {f"lr{number}": 1e-3 * (number + 1) for number in LEVELS}
    return research.Study.model_validate(
        {
            "name": "tiny",
            "base": {
                "data": {
                    "name": "embedded",
                    "params": {"size": SIDE, "channels": 1, "train_images": IMAGES,
                               "val_images": 70, "test_images": 70},
                },
                "model": {"name": "resnet20", "params": {"width": WIDTH}},
                "preprocess": {"normalize": {"mean": 0.5, "std": 0.5}},
                "training": {"epochs": EPOCHS, "batch_size": 64, "precision": "fp32",
                             "memory_format": "contiguous"},
            },
            "factors": {
                "lr": {"path": "optim.params.lr", "levels": levels, "control": "lr0"}
            },
            "design": "one_at_a_time",
            "seeds": 3,
        }
    )  # fmt: skip


class Clock:
    """Notes when runs begin and end."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.ended: list[float] = []

    def __call__(self, event: object) -> None:
        if isinstance(event, Started):
            self.began.append(time.perf_counter())
        if isinstance(event, Outcome):
            self.ended.append(time.perf_counter())


def overheads(folder: Path) -> tuple[list[float], list[float], float]:
    """Seconds of each run in one process beside its epochs; of its epochs; of a run in all.

    The last is from the first run's start to the finished report, less all epochs, by run.
    """
    clock, project = Clock(), Project(folder)
    research.ablate(study(), executor="inline", root=folder, observe=clock)
    ended = time.perf_counter()
    tracker = connect(project)
    runs = sorted(tracker.find(kind="run"), key=lambda run: run.started_ms)
    trained = [sum(point.value for point in tracker.history(run.run_id, "epoch_s")) for run in runs]
    both = zip(clock.began, clock.ended, trained, strict=True)
    own = [end - begin - epochs for begin, end, epochs in both]
    return own, trained, (ended - clock.began[0] - sum(trained)) / len(trained)


class Lit(lightning.LightningModule):
    """The same net for Lightning's Trainer."""

    def __init__(self) -> None:
        super().__init__()
        self.net: nn.Module = build_model("resnet20", 7, size=SIDE, in_channels=1, width=WIDTH)
        self.epochs: list[float] = []

    def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
        loss = functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], number: int) -> None:
        logits = self.net(batch[0])
        self.log("val/loss", functional.cross_entropy(logits, batch[1]))
        self.log("val/accuracy", (logits.argmax(1) == batch[1]).float().mean())

    def on_train_epoch_start(self) -> None:
        self.epochs.append(-time.perf_counter())

    def on_train_epoch_end(self) -> None:
        self.epochs[-1] += time.perf_counter()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.net.parameters(), 1e-3, fused=True)


def lightning_overhead(uri: str, name: str, images: Tensor, labels: Tensor) -> float:
    """Seconds of one run in Lightning beside its epochs, parameters, curves, weights logged."""
    started = time.perf_counter()
    module = Lit()
    with tempfile.TemporaryDirectory() as folder:
        logger = MLFlowLogger("lightning", name, tracking_uri=uri, log_model=True)
        logger.log_hyperparams({"lr": 1e-3, "model": "resnet20"})
        trainer = lightning.Trainer(
            max_epochs=EPOCHS, accelerator="cpu", devices=1, logger=logger, log_every_n_steps=1000,
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
            num_sanity_val_steps=0,
        )  # fmt: skip
        held = TensorDataset(images[:70], labels[:70])
        train = DataLoader(TensorDataset(images, labels), 64, shuffle=True)
        trainer.fit(module, train, DataLoader(held, 64))
        logger.finalize("success")
    return time.perf_counter() - started - sum(module.epochs)


def rows() -> Iterator[Row]:
    """Every figure of a study's own cost."""
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, trained, all_in = overheads(folder / "with")
        yield at_most(
            f"study: a run of {sum(trained) / len(trained):.1f} s, beside its epochs",
            ours,
            0.3,
            " s",
        )
        name = "study: the same with the study's own work, from its first run to its report"
        yield at_most(name, [all_in], 0.3, " s")
        with patch.object(Artist, "draw"):
            bare, *_ = overheads(folder / "without")
        images = torch.randn(IMAGES, 1, SIDE, SIDE)
        labels = torch.randint(0, 7, (IMAGES,))
        uri = f"sqlite:///{folder}/lightning.db"
        theirs = [lightning_overhead(uri, f"run{n}", images, labels) for n in range(6)][1:]
        middle = sorted(bare)[len(bare) // 2]
        yield Row(
            "study: the same without pictures",
            spread(bare, unit=" s"),
            f"at most Lightning with MLFlowLogger: {spread(theirs, unit=' s')}",
            middle <= sorted(theirs)[len(theirs) // 2],
        )
    imports = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", IMPORTS], check=True)
        imports.append(time.perf_counter() - started)
    times = sorted(imports)[1] / (sorted(ours)[len(ours) // 2])
    yield Row(
        "study: imports of a process for each variant, against a run's cost here",
        f"{times:.1f}x ({spread(imports, unit=' s')} each)", "at least 5x", times >= 5,
    )  # fmt: skip


if __name__ == "__main__":
    show(rows())
