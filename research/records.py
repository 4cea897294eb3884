"""What a running training tells: steps, to be shown, and epochs, to be recorded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """How far an epoch is: ``done`` of ``total`` training images. Not recorded, only shown."""

    epoch: int
    done: int
    total: int


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave. Losses are means over images, fractions in [0, 1], ``number`` from 1."""

    number: int
    train_loss: float
    train_accuracy: float | None
    val_loss: float
    val_accuracy: float
    val_macro_f1: float
    lr: float
    epoch_s: float
    images_per_s: float
    ended_ms: int

    def metrics(self) -> dict[str, float]:
        """The record under its tracked names; training accuracy is absent under mixup."""
        values = {
            "train/loss": self.train_loss,
            "train/accuracy": self.train_accuracy,
            "val/loss": self.val_loss,
            "val/accuracy": self.val_accuracy,
            "val/macro_f1": self.val_macro_f1,
            "lr": self.lr,
            "epoch_s": self.epoch_s,
            "images_per_s": self.images_per_s,
        }
        return {name: value for name, value in values.items() if value is not None}
