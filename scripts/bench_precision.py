"""Whether bf16 is as accurate as fp32 here: a study of both, judged as any other.

Pairs of runs of a narrow net that share their seed, on synthetic faces and all cores; the verdict
has to be ``equivalent`` at half a point. What it finds is of this processor's kernels; where there
are no instructions for bf16, which ``precision: auto`` never takes then, nothing is measured.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import torch
from figure import Row, show

import research
from research.inspection import precisions
from research.provenance import hardware

SEEDS, MARGIN = 60, 0.005
STUDY = {
    "name": "precision",
    "base": {
        "data": {
            "name": "embedded",
            "params": {"size": 24, "train_images": 1500, "val_images": 70, "test_images": 4000},
        },
        "model": {"name": "compact", "params": {"width": 0.5}},
        "optim": {"name": "adam", "params": {"lr": 2e-3}},
        "schedule": "linear",
        "preprocess": {"normalize": {"mean": 0.5, "std": 0.25}},
        "augment": {"flip": {}},
        "training": {
            "epochs": 8, "batch_size": 64, "select_by": "last", "memory_format": "channels_last"
        },
    },
    "factors": {
        "precision": {
            "path": "training.precision",
            "levels": {"fp32": "fp32", "bf16": "bf16"},
            "control": "fp32",
        }
    },
    "seeds": SEEDS,
    "margin": MARGIN,
}  # fmt: skip


def rows() -> Iterator[Row]:
    """The difference, its interval and what is said of it."""
    name = "precision: half a compact, bf16 less fp32, accuracy"
    wanted = f"equivalent at {100 * MARGIN:g} points"
    if "bf16" not in precisions(torch.device("cpu")):
        yield Row(name, "this processor has no instructions for bf16", wanted, None)
        return
    with tempfile.TemporaryDirectory() as folder:
        report = research.ablate(
            research.Study.model_validate(STUDY), device="cpu", executor="processes",
            workers=int(hardware()["cores"]), root=folder,
        )  # fmt: skip
    (effect,) = report.effects.to_dict("records")
    low, high = 100 * effect["low"], 100 * effect["high"]
    yield Row(
        f"{name} of {effect['n']} pairs of seeds",
        f"{100 * effect['effect']:+.2f} points (95 % interval {low:+.2f} to {high:+.2f})",
        wanted,
        effect["verdict"] == "equivalent",
    )


if __name__ == "__main__":
    show(rows())
