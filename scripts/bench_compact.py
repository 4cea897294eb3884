"""What compact reaches, and whether in ten minutes on two cores: ``bench_compact.py fer2013.csv``.

With ``fer2013new.csv``, the votes of FER+ that stand beside it, the recipe is that of
``compact_votes``. Trains it as it stands, three seeds one after the other on all cores, and tells
the accuracy on PrivateTest, which each run opens once, at its end. Takes over half an hour;
runs that are finished in the project (``--folder``) are not trained again.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from figure import Row, at_most, show

import research
from research.data.location import locate
from research.inspection import count
from research.project import Project
from research.tracking.database import connect

SEEDS, SECONDS, ACCURACY, PARAMETERS = (1, 2, 3), 600, 0.69, 2_000_000


def rows(csv: Path, folder: Path) -> Iterator[Row]:
    """Accuracy, seconds and size of the recipe."""
    name = "compact_votes" if locate(str(csv)).source == "ferplus" else "compact"
    os.environ["RESEARCH_DATA"] = str(csv.resolve())
    spec = research.plan(name)[0]
    runs = [research.train(spec.model_copy(update={"seed": s}), root=folder) for s in SEEDS]
    tracker = connect(Project(folder))
    found = [tracker.get(run) for run in runs]
    scores = [run.metrics["test/accuracy"] for run in found if run is not None]
    seconds = [sum(p.value for p in tracker.history(run, "epoch_s")) for run in runs]
    mean = statistics.mean(scores)
    text = ", ".join(f"{100 * score:.2f}" for score in scores)
    yield Row(
        f"{name}: accuracy on PrivateTest, mean of three seeds",
        f"{100 * mean:.2f} % ({text})", f"at least {100 * ACCURACY:.0f} %", mean >= ACCURACY,
    )  # fmt: skip
    yield at_most(f"{name}: seconds of its epochs, validation included", seconds, SECONDS, " s")
    size = count(spec, 7).parameters
    yield Row(f"{name}: parameters", f"{size:,}", f"at most {PARAMETERS:,}", size <= PARAMETERS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("csv", type=Path, help="fer2013.csv, or fer2013new.csv beside it")
    parser.add_argument("--folder", type=Path, help="a project that keeps the runs")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        show(rows(asked.csv, asked.folder or Path(name)))
