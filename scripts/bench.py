"""Every figure beside its target, in one table: ``bench.py [input|step|study|packing|memory ...]``.

Takes about half an hour on two cores that do nothing else. Searches have their own, bench_tune.py;
the accuracy that compact reaches in ten minutes needs a real fer2013.csv, bench_compact.py; bf16
beside fp32 bench_precision.py; a GPU bench_gpu.py.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

import bench_harness
import bench_input
import bench_memory
import bench_packing
import bench_step
import bench_study
from figure import Row, show

FIGURES = {
    "input": bench_input.rows,
    "step": bench_step.rows,
    "study": bench_study.rows,
    "packing": bench_packing.rows,
    "memory": bench_memory.rows,
    "harness": bench_harness.rows,
}


def taken(name: str) -> Iterator[Row]:
    """A figure's rows, kept in projects of their own: Lightning's logger leaves its address."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    yield from FIGURES[name]()


def main() -> None:
    """Takes the figures that are asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    asked = parser.parse_args()
    unknown = sorted(set(asked.figures) - set(FIGURES))
    if unknown:
        parser.error(f"no figure {', '.join(unknown)}; choose from {', '.join(FIGURES)}")
    show(row for name in asked.figures or FIGURES for row in taken(name))


if __name__ == "__main__":
    main()
