"""Commands that look around: ``studies``, ``models``, ``doctor``, ``ui``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from research.cli import options


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(studies)
    app.command()(models)
    app.command()(doctor)
    app.command()(ui)


def studies(
    schema: Annotated[
        bool, typer.Option("--schema", help="Prints the JSON schema of a study file.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Lists the studies that can be run by name."""
    from research.cli import console
    from research.errors import InvalidInput
    from research.project import Project
    from research.studies import load_study, study_names
    from research.studies import schema as study_schema

    if schema:
        typer.echo(study_schema(), nl=False)
        return
    project = Project.find()
    found = []
    problems: list[str] = []
    for name in study_names(project):
        try:
            found.append(load_study(name, project))
        except InvalidInput as error:
            problems += error.problems
    rows = [
        {
            "name": study.name,
            "model": study.base.model.name,
            "factors": list(study.factors),
            "variants": list(study.variants),
            "title": study.title,
            "file": str(origin.file),
        }
        for study, origin in found
    ]
    if as_json:
        console.print_json(rows)
    else:
        _print_studies(rows)
    if problems:  # those that can be read are listed all the same
        raise InvalidInput(*problems)


def doctor(as_json: options.Json = False) -> None:
    """Says whether this machine and project can do what the commands ask of them."""
    from dataclasses import asdict

    from research.cli import console
    from research.health import examine
    from research.project import Project

    found = examine(Project.find())
    if as_json:
        console.print_json([asdict(one) for one in found])
    else:
        marks = {"ok": "✓", "note": "·", "wrong": "✗"}
        for one in found:
            line = f"{marks[one.verdict]} {one.name:10}{one.text}"
            style = {"wrong": "red", "note": "yellow"}.get(one.verdict)
            console.out().print(line, style=style, markup=False)
    if any(one.verdict == "wrong" for one in found):
        raise typer.Exit(1)


def _print_studies(rows: list[dict[str, Any]]) -> None:
    from research.cli import console

    out = console.out()
    for row in rows:
        out.print(f"{row['name']}: {row['title']}", markup=False)
        out.print(f"    {row['model']}; {', '.join(row['factors'])}", markup=False, style="dim")
        if row["variants"]:
            variants = ", ".join(row["variants"])
            out.print(f"    --variant {variants}", markup=False, style="dim")
        out.print(f"    {row['file']}", markup=False, style="dim")


def models(
    name: Annotated[
        str | None,
        typer.Argument(help="A model, for its layers; torchvision, for torchvision's names."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Lists the models that can be studied by name, or the layers of one."""
    from research.cli import console
    from research.cli.models import list_models, show_layers
    from research.registry import TORCHVISION
    from research.registry import models as known

    if name is not None and name != TORCHVISION:
        show_layers(known.entry(name).name, as_json=as_json)
        return
    prefix = f"{TORCHVISION}/"
    theirs = [one for one in known.names() if one.startswith(prefix)]
    if name is None:
        list_models([one for one in known.names() if one not in theirs], as_json=as_json)
        if not as_json:
            console.err().print(f"and {len(theirs)} of torchvision: research models torchvision")
    elif as_json:
        console.print_json(theirs)
    else:
        for one in theirs:
            console.out().print(one)


def ui(
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1.")] = 5000,
) -> None:
    """Opens MLflow on this project's runs: light, and for this machine alone."""
    from research.browsing import serve
    from research.project import Project

    serve(Project.find(), port)
