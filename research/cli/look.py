"""Commands that look around: ``studies``, ``models``, ``ui``."""

from __future__ import annotations

from typing import Annotated

import typer

from research.cli import options


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(studies)
    app.command()(models)
    app.command()(ui)


def studies(
    schema: Annotated[
        bool, typer.Option("--schema", help="Prints the JSON schema of a study file.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Lists the studies that can be run by name."""
    from research.cli import console
    from research.project import Project
    from research.studies import load_study, study_names
    from research.studies import schema as study_schema

    if schema:
        typer.echo(study_schema(), nl=False)
        return
    project = Project.find()
    found = [load_study(name, project) for name in study_names(project)]
    rows = [
        {
            "name": study.name,
            "model": study.base.model.name,
            "factors": list(study.factors),
            "title": study.title,
            "file": str(origin.file),
        }
        for study, origin in found
    ]
    if as_json:
        console.print_json(rows)
        return
    out = console.out()
    for row in rows:
        out.print(f"{row['name']}: {row['title']}", markup=False)
        out.print(f"    {row['model']}; {', '.join(row['factors'])}", markup=False, style="dim")
        out.print(f"    {row['file']}", markup=False, style="dim")


def models(as_json: options.Json = False) -> None:
    """Lists the models that can be studied by name."""
    from rich.table import Table

    from research.cli import console
    from research.inspection import published

    rows = published()
    if as_json:
        console.print_json(rows)
        return
    from research.reporting.wording import amount

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("model", "family", "input"):
        table.add_column(column)
    for column in ("parameters", "MACs"):
        table.add_column(column, justify="right")
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


def ui(
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1.")] = 5000,
) -> None:
    """Opens MLflow on this project's runs: light, and for this machine alone."""
    from research.browsing import serve
    from research.project import Project

    serve(Project.find(), port)
