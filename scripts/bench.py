"""Every figure beside its target, in one table: ``bench.py [input|step|study|packing|memory ...]``.

Takes about an hour on two cores that do nothing else, and half an hour more each where FER2013 and
the votes of FER+ are at hand (under ``./data``, or by RESEARCH_DATA). What cannot be measured here,
for want of them, of a GPU or of instructions for bf16, has a row that says so. Searches have a
script of their own, bench_tune.py.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Iterator

import bench_compact
import bench_gpu
import bench_harness
import bench_input
import bench_memory
import bench_packing
import bench_precision
import bench_step
import bench_study
from figure import Row, show

from research.errors import InvalidInput
from research.tracking.recording import describe

FIGURES = {
    "input": bench_input.rows,
    "step": bench_step.rows,
    "study": bench_study.rows,
    "packing": bench_packing.rows,
    "memory": bench_memory.rows,
    "precision": bench_precision.rows,
    "harness": bench_harness.rows,
    "gpu": bench_gpu.rows,
    "compact": bench_compact.rows,
}


def taken(name: str, failed: list[str]) -> Iterator[Row]:
    """A figure's rows, kept in projects of their own; one that fails costs no other its turn.

    Its name is added to ``failed``.
    """
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # which Lightning's logger leaves behind
    try:
        yield from FIGURES[name]()
    except Exception as error:
        traceback.print_exc()
        failed.append(name)
        yield Row(f"{name}, from here on", f"failed: {describe(error)}", "no failure", False)


def main() -> None:
    """Takes the figures that are asked for, all by default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    asked = parser.parse_args()
    unknown = sorted(set(asked.figures) - set(FIGURES))
    if unknown:
        parser.error(f"no figure {', '.join(unknown)}; choose from {', '.join(FIGURES)}")
    if not asked.figures or "compact" in asked.figures:
        try:
            for study in bench_compact.NEEDS:  # an hour before they are trained
                bench_compact.spec_of(study, None)
        except InvalidInput as error:
            parser.error(str(error))
    failed: list[str] = []
    show(row for name in asked.figures or FIGURES for row in taken(name, failed))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
