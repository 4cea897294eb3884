"""What the harness costs beside training: ``bench_harness.py [FIGURE ...]``.

Every figure is taken in processes of their own, in an empty project and with an empty cache, so
that nothing warm helps.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from figure import Row, at_most, show

ROOT = Path(__file__).resolve().parent.parent
RESEARCH = [sys.executable, "-m", "research"]
HELP_ALONE = "import typer, typer.rich_utils, rich.markdown"
LOAD = """
import json, sys, time
from pathlib import Path
import research
started = time.perf_counter()
splits = research.load_data(sys.argv[1])
seconds = time.perf_counter() - started
status = Path("/proc/self/status").read_text().splitlines()
# Not ru_maxrss, which begins at the size of the process that started this one.
peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
print(json.dumps({"seconds": seconds, "bytes": peak, "images": len(splits.train)}))
"""
STUDY = """
name: bench
base:
  data: {name: embedded, params: {train_limit: 64, eval_limit: 400, size: 64}}
  model: {name: alexnet_pro, params: {width: 0.05}}
  training: {epochs: 1, batch_size: 32, precision: fp32, memory_format: contiguous}
factors:
  lr: {path: optim.params.lr, control: l0, levels: {LEVELS}}
design: one_at_a_time
seeds: 3
"""


def seconds_of(command: list[str], **more: object) -> float:
    """Wall seconds of a command that must succeed."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, **more)  # type: ignore[call-overload]
    return time.perf_counter() - started


def bench_help(folder: Path, csv: Path | None) -> Iterator[Row]:
    """`research --help` against importing what draws it, by turns."""
    ratios = []
    for _ in range(9):
        bare = seconds_of([sys.executable, "-c", HELP_ALONE])
        ratios.append(seconds_of([*RESEARCH, "--help"]) / bare)
    yield at_most("research --help, against importing typer and rich", ratios, 2, "x")


def bench_load(folder: Path, csv: Path | None) -> Iterator[Row]:
    """fer2013.csv decoded, then mapped from the cache."""
    name = "fer2013.csv" if csv else "a CSV of fer2013.csv's size, of random pixels"
    if csv is None:
        csv = write_csv(folder / "fer2013.csv")
    first, later, peaks = [], [], []
    for number in range(3):
        environment = os.environ | {"RESEARCH_CACHE": str(folder / f"cache-{number}")}
        for values in (first, later):
            command = [sys.executable, "-c", LOAD, str(csv)]
            told = subprocess.run(command, check=True, capture_output=True, env=environment)
            found = json.loads(told.stdout)
            values.append(found["seconds"])
            peaks.append(found["bytes"] / 1e9)
    yield at_most(f"{name}, first load", first, 15, " s")
    yield at_most(f"{name}, later loads", later, 1, " s")
    yield at_most(f"{name}, resident", peaks, 1.5, " GB")


def write_csv(path: Path) -> Path:
    """A CSV of fer2013.csv's form and size, of random pixels."""
    generator = np.random.default_rng(1)
    uses = ["Training"] * 28_709 + ["PublicTest"] * 3_589 + ["PrivateTest"] * 3_589
    with path.open("w", encoding="utf-8") as stream:
        stream.write("emotion,pixels,Usage\n")
        for row, use in enumerate(uses):
            pixels = " ".join(map(str, generator.integers(0, 256, 48 * 48)))
            stream.write(f"{row % 7},{pixels},{use}\n")
    return path


def bench_finished(folder: Path, csv: Path | None) -> Iterator[Row]:
    """A finished study of 27 runs: recognised, and its report rebuilt."""
    levels = ", ".join(f"l{number}: {0.001 * (number + 1)}" for number in range(9))
    study = folder / "bench.yaml"
    study.write_text(STUDY.replace("LEVELS", levels), encoding="utf-8")
    place = {"cwd": folder, "env": os.environ | {"RESEARCH_CACHE": str(folder / "cache")}}
    (folder / "mlruns").mkdir(exist_ok=True)
    command = [*RESEARCH, "ablate", str(study)]
    seconds_of(command, **place)
    again = [seconds_of(command, **place) for _ in range(5)]
    yield at_most("a finished study of 27 runs, recognised and reported anew", again, 8, " s")


def bench_ablate(folder: Path, csv: Path | None) -> Iterator[Row]:
    """The shipped study at its quick size on the embedded set, from nothing."""
    (folder / "mlruns").mkdir(exist_ok=True)
    environment = os.environ | {"RESEARCH_CACHE": str(folder / "empty")}
    command = [*RESEARCH, "ablate", "alexnet_pro", "--data", "embedded"]
    minutes = seconds_of(command, cwd=folder, env=environment) / 60
    yield at_most("research ablate alexnet_pro, embedded set", [minutes], 6, " min")


def bench_tests(folder: Path, csv: Path | None) -> Iterator[Row]:
    """The whole test suite."""
    seconds = seconds_of([sys.executable, "-m", "pytest"], cwd=ROOT)
    yield at_most("the test suite", [seconds / 60], 5, " min")


FIGURES: dict[str, Callable[[Path, Path | None], Iterator[Row]]] = {
    "help": bench_help,
    "load": bench_load,
    "finished": bench_finished,
    "ablate": bench_ablate,
    "tests": bench_tests,
}


def rows(names: Sequence[str] = (), csv: Path | None = None) -> Iterator[Row]:
    """Figures by name, all by default; without a CSV one of random pixels is written."""
    for name in names or FIGURES:
        with tempfile.TemporaryDirectory() as folder:
            yield from FIGURES[name](Path(folder), csv and csv.resolve())


def main() -> None:
    """Measures the figures that are asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    parser.add_argument("--csv", type=Path, help="a real fer2013.csv")
    asked = parser.parse_args()
    unknown = sorted(set(asked.figures) - set(FIGURES))
    if unknown:
        parser.error(f"no figure {', '.join(unknown)}; choose from {', '.join(FIGURES)}")
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    show(rows(asked.figures, asked.csv))


if __name__ == "__main__":
    main()
