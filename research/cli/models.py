"""What ``research models`` prints: a table of models, or one's layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich.table import Table

from research.cli import console
from research.inspection import layers, published
from research.reporting.wording import amount


def list_models(names: Sequence[str], *, as_json: bool) -> None:
    """Models with family, input, size and factors."""
    rows = published(names)
    if as_json:
        console.print_json(rows)
        return
    table = _table(("model", "family", "input"), ("parameters", "MACs"))
    table.add_column("factors")
    for row in rows:
        table.add_row(
            row["name"],
            row["family"],
            f"{row['size']} x {row['size']} x {row['channels']}",
            amount(row["parameters"]),
            amount(row["macs"]),
            ", ".join(row["factors"]),
        )
    console.out().print(table)


def show_layers(name: str, *, as_json: bool) -> None:
    """The layers of a model as published, and its factors."""
    (row,) = published([name])
    found = layers(name)
    if as_json:
        console.print_json({**row, "layers": [asdict(layer) for layer in found]})
        return
    out = console.out()
    out.print(f"{row['name']}: {row['about']}", markup=False)
    table = _table(("layer", "kind"), ("gives", "parameters", "MACs"))
    for layer in found:
        table.add_row(
            layer.path,
            layer.kind,
            " x ".join(map(str, layer.shape)),
            amount(layer.parameters) if layer.parameters else "",
            amount(layer.macs) if layer.macs else "",
        )
    out.print(table)
    total = f"{row['parameters']:,} parameters, {row['macs']:,} MACs an image, 7 classes"
    out.print(f"{total}, {row['size']} x {row['size']} x {row['channels']}", markup=False)
    out.print(f"factors: {', '.join(row['factors']) or 'none'}", markup=False)


def _table(left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in left:
        table.add_column(column)
    for column in right:
        table.add_column(column, justify="right")
    return table
