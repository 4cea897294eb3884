"""What the harness costs beside training, measured here: ``bench_harness.py [FIGURE ...]``.

Prints one line a figure: median, spread, repeats, target. Every figure is taken in processes of
their own, in an empty project and with an empty cache, so that nothing warm helps.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
RESEARCH = [sys.executable, "-m", "research"]
HELP_ALONE = "import typer, typer.rich_utils, rich.markdown"
LOAD = """
import json, resource, sys, time
import research
started = time.perf_counter()
splits = research.load_data(sys.argv[1])
seconds = time.perf_counter() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
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


def show(name: str, values: list[float], unit: str, target: str) -> None:
    """One figure's line."""
    middle = statistics.median(values)
    spread = f"{min(values):.2f} to {max(values):.2f}" if len(values) > 1 else "once"
    print(f"{name:44} {middle:8.2f} {unit:3} ({spread}, n = {len(values)}; target {target})")


def bench_help(folder: Path, csv: Path | None) -> None:
    """`research --help` against importing what draws it, by turns."""
    ours, bare, ratios = [], [], []
    for _ in range(9):
        bare.append(seconds_of([sys.executable, "-c", HELP_ALONE]))
        ours.append(seconds_of([*RESEARCH, "--help"]))
        ratios.append(ours[-1] / bare[-1])
    show("import of typer and rich", bare, "s", "-")
    show("research --help", ours, "s", "-")
    show("research --help, ratio", ratios, "x", "at most 2")


def bench_load(folder: Path, csv: Path | None) -> None:
    """fer2013.csv decoded, then mapped from the cache."""
    if csv is None:
        csv = write_csv(folder / "fer2013.csv")
        print("no fer2013.csv given (--csv): one of its size, of random pixels, was written")
    first, later, peaks = [], [], []
    for number in range(3):
        environment = os.environ | {"RESEARCH_CACHE": str(folder / f"cache-{number}")}
        for values in (first, later):
            command = [sys.executable, "-c", LOAD, str(csv)]
            told = subprocess.run(command, check=True, capture_output=True, env=environment)
            found = json.loads(told.stdout)
            values.append(found["seconds"])
            peaks.append(found["bytes"] / 1e9)
    show("fer2013.csv, first load", first, "s", "under 15")
    show("fer2013.csv, later loads", later, "s", "under 1")
    show("fer2013.csv, resident", peaks, "GB", "under 1.5")


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


def bench_finished(folder: Path, csv: Path | None) -> None:
    """A finished study of 27 runs: recognised, and its report rebuilt."""
    levels = ", ".join(f"l{number}: {0.001 * (number + 1)}" for number in range(9))
    study = folder / "bench.yaml"
    study.write_text(STUDY.replace("LEVELS", levels), encoding="utf-8")
    place = {"cwd": folder, "env": os.environ | {"RESEARCH_CACHE": str(folder / "cache")}}
    (folder / "mlruns").mkdir(exist_ok=True)
    command = [*RESEARCH, "ablate", str(study)]
    show("27 tiny runs, for the first time", [seconds_of(command, **place)], "s", "-")
    again = [seconds_of(command, **place) for _ in range(5)]
    show("the same study again, all finished", again, "s", "under 8")


def bench_ablate(folder: Path, csv: Path | None) -> None:
    """The shipped study at its quick size on the embedded set, from nothing."""
    (folder / "mlruns").mkdir(exist_ok=True)
    environment = os.environ | {"RESEARCH_CACHE": str(folder / "empty")}
    command = [*RESEARCH, "ablate", "alexnet_pro", "--data", "embedded"]
    show(
        "research ablate alexnet_pro, embedded set",
        [seconds_of(command, cwd=folder, env=environment) / 60],
        "min",
        "under 6",
    )


def bench_tests(folder: Path, csv: Path | None) -> None:
    """The whole test suite."""
    seconds = seconds_of([sys.executable, "-m", "pytest"], cwd=ROOT)
    show("the test suite", [seconds / 60], "min", "under 5")


FIGURES: dict[str, Callable[[Path, Path | None], None]] = {
    "help": bench_help,
    "load": bench_load,
    "finished": bench_finished,
    "ablate": bench_ablate,
    "tests": bench_tests,
}


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
    names = ("torch", "mlflow", "numpy", "typer")
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, ",
        end="",
    )
    print(", ".join(f"{name} {version(name)}" for name in names))
    for name in asked.figures or FIGURES:
        with tempfile.TemporaryDirectory() as folder:
            FIGURES[name](Path(folder), asked.csv and asked.csv.resolve())


if __name__ == "__main__":
    main()
