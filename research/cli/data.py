"""``research data inspect``, ``show`` and ``prepare``."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from research.cli import options

if TYPE_CHECKING:
    from research.data import Splits
    from research.data.audit import Audit

Source = Annotated[str, typer.Argument(help="A data set's name or path: csv, npz, folder.")]
PREFIX = "data.params."


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    data = typer.Typer(
        name="data", help="Looks at data sets: audits, shows, converts.", no_args_is_help=True
    )
    data.command()(inspect)
    data.command()(show)
    data.command()(prepare)
    app.add_typer(data)


def inspect(source: Source, changes: options.Changes = None, as_json: options.Json = False) -> None:
    """Audits a set: classes, copies, leaks between splits, label conflicts, persons; a page."""
    from research.cli import console
    from research.data.audit import audit
    from research.project import Project
    from research.reporting.data_page import data_page, warnings

    found = audit(_load(source, changes))
    name = f"data-{Path(found.splits.source).stem}-{found.splits.digest[:8]}"
    page = Project.find().runs / "reports" / name / "data.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(data_page(found), encoding="utf-8")
    table = page.with_name("findings.csv")
    with table.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["finding", "group", "split", "index", "class"])
        writer.writerows(found.table())
    if as_json:
        console.print_json(found.as_json() | {"page": str(page), "findings": str(table)})
        return
    _print_audit(found)
    out = console.out()
    for text in warnings(found):
        out.print(text, style="yellow", markup=False)
    out.print(f"findings  {table} (every image of them)", markup=False)
    out.print(f"page      {page} (holds images of the set)", markup=False)


def show(
    source: Source,
    output: Annotated[
        Path | None, typer.Option(help="The picture's file; else in the project's mlruns/reports.")
    ] = None,
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Of which split.")] = (
        "train"
    ),
    classes: Annotated[str | None, typer.Option(help="Only these classes: happy,sad")] = None,
    count: Annotated[int, typer.Option(min=1, max=100, help="Images of each class.")] = 12,
    changes: options.Changes = None,
) -> None:
    """Draws a sheet of sample images, a row for each class."""
    from research import figures
    from research.cli import console
    from research.errors import InvalidInput, suggest
    from research.project import Project
    from research.reporting.data_page import samples

    splits = _load(source, changes)
    names = tuple(options.read_names(classes, "--classes") or splits.classes)
    problems = [
        f"--classes {name}: no such class{suggest(name, splits.classes)}"
        for name in names
        if name not in splits.classes
    ]
    if output is not None and output.suffix.lower() not in (".png", ".jpg", ".pdf", ".svg"):
        problems.append(f"--output {output}: give a name that ends in .png, .jpg, .pdf or .svg")
    if problems:
        raise InvalidInput(*problems)
    if output is None:
        name = f"{Path(splits.source).stem}-{split}-{splits.digest[:8]}.png"
        output = Project.find().runs / "reports" / name
    output.parent.mkdir(parents=True, exist_ok=True)
    figures.sheet(samples(splits, split, count, names)).savefig(output, dpi=110)
    console.out().print(str(output), markup=False)


def prepare(
    source: Source,
    target: Annotated[Path, typer.Argument(help="The file or folder to write.")],
    to: Annotated[
        str | None,
        typer.Option(help="csv, npz, folders or table; else what the target's name says."),
    ] = None,
    side: Annotated[int | None, typer.Option(min=8, max=1024, help="Pixels a side.")] = None,
    changes: options.Changes = None,
) -> None:
    """Writes a set in another layout: FER2013's csv, npz, image folders, images and a table."""
    from research.cli import console
    from research.cli.progress import live_bars
    from research.data import SPLITS
    from research.data.conversion import convert

    splits = _load(source, changes)
    parts = SPLITS[:2] if splits.tested_on_val else SPLITS
    total = sum(len(getattr(splits, name)) for name in parts)
    with live_bars(console.err()) as bars:
        bar = bars.add_task(target.name, total=total, text="")
        layout = convert(splits, target, to, side, lambda done: bars.update(bar, completed=done))
    out = console.out()
    out.print(f"{target}: {total:,} images as {layout}", markup=False)
    if splits.persons and layout == "folders":
        out.print("persons stand in the file names: --set data.params.person_before=_")
    if splits.persons and layout == "csv":
        out.print("who is on the images is not kept: this layout has no place for it")
    if splits.train.soft_labels is not None:
        out.print("the classes' probabilities are not kept: each image has its label")


def _load(source: str, changes: list[str] | None) -> Splits:
    """A set with the parameters that are set: ``data.params.side=64``."""
    from research.data import load_data
    from research.errors import InvalidInput
    from research.studies import parse_changes

    params: dict[str, Any] = {}
    problems = []
    for path, value in parse_changes(changes or []).items():
        if path.startswith(PREFIX) and "." not in path.removeprefix(PREFIX):
            params[path.removeprefix(PREFIX)] = value
        else:
            text = f"a data set takes its own parameters only, as in {PREFIX}side=64"
            problems.append(f"--set {path}: {text}")
    if problems:
        raise InvalidInput(*problems)
    return load_data(source, **params)


def _print_audit(found: Audit) -> None:
    from rich.table import Table

    from research.cli import console

    content = found.as_json()
    out = console.out()
    height, width, channels = content["size"]
    kind = "grey" if channels == 1 else "colour"
    out.print(
        f"{content['source']}: {content['images']:,} images of {height} x {width} pixels, {kind}; "
        f"digest {content['digest']}",
        markup=False,
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("split")
    for column in ("images", *content["classes"]):
        table.add_column(column, justify="right")
    for name, one in content["splits"].items():
        held = " (held out)" if name in content["held_out"] else ""
        counts = [f"{one['classes'][label]:,}" for label in content["classes"]]
        table.add_row(name + held, f"{one['images']:,}", *counts)
    out.print(table)
    for line in _lines(content):
        out.print(line, markup=False)


def _lines(content: dict[str, Any]) -> list[str]:
    """The findings, a line each."""
    copies, near = content["duplicates"], content["near_duplicates"]
    lines = [
        f"{kind:9} {', '.join(f'{name} {count:,}' for name, count in content[kind].items())}"
        for kind in ("sizes", "modes")
        if content[kind]
    ]
    lines += [
        f"balance   {content['imbalance']:.1f} training images of the commonest class for one of "
        "the rarest",
        f"blank     {content['blank']:,}",
        f"copies    {copies['groups']:,} groups of {copies['images']:,} images, "
        f"{copies['surplus']:,} surplus; {copies['conflicting_groups']:,} groups "
        f"({copies['conflicting_images']:,} images) with conflicting labels",
        f"leaks     {', '.join(f'{count:,} {where}' for where, count in content['leaks'].items())}",
        f"near      {near['pairs']:,} pairs of {near['images']:,} images, "
        f"{near['conflicting_pairs']:,} with two labels; "
        + ", ".join(f"{count:,} {where}" for where, count in near["leaks"].items()),
    ]
    if content["persons"] is not None:
        shared = content["persons"]["shared"].items()
        lines.append(
            f"persons   {content['persons']['count']:,}; "
            + ", ".join(f"{count:,} {where}" for where, count in shared)
        )
    return lines
