"""What compact reaches, and whether in ten minutes on two cores: ``bench_compact.py [DATA]``.

DATA is ``fer2013.csv``, or ``fer2013new.csv`` with the votes of FER+ beside it for the recipe of
``compact_votes``, or the folder of both for both; else what the studies find. Trains each as it
stands, three seeds one after the other on all cores, and tells the accuracy on PrivateTest, which
every run opens once, at its end. Takes half an hour a recipe; runs that are finished in the project
(``--folder``) are not trained again.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from figure import Row, at_most, show

import research
from research.data import SPLITS
from research.data.cache import load
from research.data.location import locate
from research.inspection import count
from research.planning import read_params
from research.project import Project
from research.spec import RunSpec
from research.tracking.database import connect

SEEDS, SECONDS, ACCURACY, PARAMETERS = (1, 2, 3), 600, 0.69, 2_000_000
IMAGES = (28_709, 3_589, 3_589)  # of FER2013, in Training, PublicTest and PrivateTest
NEEDS = {"compact": "fer2013.csv", "compact_votes": "fer2013new.csv beside fer2013.csv"}


def spec_of(study: str, data: str | None) -> RunSpec | str:
    """A study's control with its data, or why there is none. Raises `InvalidInput`."""
    spec = research.plan(study)[0]
    wanted = spec.data.name
    found = locate(data or wanted, instead_of=wanted)
    if found.path is None:
        return f"needs {NEEDS[study]}, not {found.name} ({found.why})"
    if (found.source == "ferplus") != (study == "compact_votes"):
        return f"needs {NEEDS[study]}, not {found.path.name}"
    held = load(found, read_params(spec))
    sizes = tuple(len(getattr(held, split)) for split in SPLITS)
    if set(held.own) != set(SPLITS) or sizes != IMAGES:
        return f"needs the whole of FER2013 with its splits, {IMAGES} images, not {sizes}"
    return spec.override({"data.name": found.name})


def rows(data: str | None = None, folder: Path | None = None) -> Iterator[Row]:
    """Accuracy, seconds and size of each recipe that there is data for."""
    specs = {study: spec_of(study, data) for study in NEEDS}
    with tempfile.TemporaryDirectory() as name:
        for study, spec in specs.items():
            yield from _reached(study, spec, folder or Path(name))


def _reached(study: str, spec: RunSpec | str, folder: Path) -> Iterator[Row]:
    name, wanted = f"{study}: accuracy on PrivateTest", f"at least {100 * ACCURACY:.0f} %"
    if isinstance(spec, str):
        yield Row(name, spec, wanted, None)
        return
    tracker = connect(Project(folder))
    before = {run.run_id for run in tracker.find()}
    runs = [
        research.train(spec.model_copy(update={"seed": seed}), device="cpu", root=folder)
        for seed in SEEDS
    ]
    found = {run.run_id: run for run in tracker.find()}
    scores = [found[run].metrics["test/accuracy"] for run in runs]
    seconds = [sum(p.value for p in tracker.history(run, "epoch_s")) for run in runs]
    mean = statistics.mean(scores)
    text = ", ".join(f"{100 * score:.2f}" for score in scores)
    measured = f"{100 * mean:.2f} % ({text})"
    if earlier := len(before.intersection(runs)):  # by code of then, whatever the table's head says
        measured += f", {earlier} of them trained earlier"
    yield Row(f"{name}, mean of {len(SEEDS)} seeds", measured, wanted, mean >= ACCURACY)
    yield at_most(f"{study}: seconds of its epochs, validation included", seconds, SECONDS, " s")
    size = count(spec, 7).parameters
    yield Row(f"{study}: parameters", f"{size:,}", f"at most {PARAMETERS:,}", size <= PARAMETERS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("data", nargs="?", help="fer2013.csv, fer2013new.csv, or their folder")
    parser.add_argument("--folder", type=Path, help="a project that keeps the runs")
    asked = parser.parse_args()
    show(rows(asked.data, asked.folder))
