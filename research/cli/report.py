"""``research report``, and the table that ``ablate`` ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from research.cli import options

if TYPE_CHECKING:
    from research.project import Project
    from research.reporting import Report

COLUMNS = {
    "n": "n",
    "mean": "mean %",
    "sd": "SD",
    "effect": "effect",
    "interval": "95 % interval",
    "p": "p adj.",
    "verdict": "verdict",
    "parameters": "params",
    "macs": "MACs",
    "epoch_s": "s/epoch",
}
TERM_COLUMNS = {
    "level": "level",
    "n": "n",
    "effect": "effect",
    "interval": "95 % interval",
    "p": "p adj.",
    "verdict": "verdict",
    "mde": "detectable",
    "alias": "not told apart from",
}
STYLES = {"hurts": "red", "helps": "green", "equivalent": "blue"}


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(report)


def report(
    study: Annotated[
        str,
        typer.Argument(
            help="A study's name or file; tune/NAME for a search; or a parent run's id."
        ),
    ],
    as_json: options.Json = False,
) -> None:
    """Rebuilds a study's or a search's report from its tracked runs alone."""
    from research import reporting
    from research.cli import console
    from research.project import Project
    from research.reporting.search import find_search, read_content, search_report
    from research.studies import load_study
    from research.tracking.database import connect

    project = Project.find()
    if study.endswith((".yaml", ".yml")):
        study = load_study(study, project)[0].name
    tracker = connect(project, create=False)
    searched = find_search(study, tracker)
    if searched is not None:
        from research.cli.search import print_search

        found = search_report(searched, tracker, project)
        if as_json:
            console.print_json(found.as_json())
        else:
            print_search(found, read_content(searched, tracker))
        return
    made = reporting.report(study, tracker, project)
    if as_json:
        console.print_json(made.as_json())
    else:
        print_report(made, project)


def print_report(made: Report, project: Project) -> None:
    """A report's table, verdicts and place, to stdout."""
    from rich.table import Table

    from research.cli import console

    out = console.out()
    if made.synthetic:
        out.print(
            "SYNTHETIC data: these numbers say nothing about photographs of people.", style="yellow"
        )
    for note in made.notes:
        out.print(note, style="yellow", markup=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("cell")
    for column, title in COLUMNS.items():
        table.add_column(title, justify="left" if column == "verdict" else "right")
    for row in made.rows:
        style = "dim" if row["role"] == "context" else STYLES.get(row["verdict"].split(" ")[0], "")
        table.add_row(row["cell"], *(row[column] for column in COLUMNS), style=style)
    out.print(table)
    out.print()
    if made.terms:
        terms = Table(box=None, pad_edge=False, header_style="bold")
        terms.add_column("term")
        for column, title in TERM_COLUMNS.items():
            left = column in ("verdict", "level", "alias")
            terms.add_column(title, justify="left" if left else "right")
        for row in made.terms:
            style = STYLES.get(row["verdict"].split(" ")[0], "")
            terms.add_row(row["term"], *(row[column] for column in TERM_COLUMNS), style=style)
        out.print(terms)
        out.print()
    for sentence in made.sentences:
        out.print(sentence, markup=False)
    out.print()
    out.print(f"report    {made.html}", markup=False)
    out.print(console.browse(), markup=False)
    out.print(f"by cell   {console.address()}/{made.view}", markup=False)
    if made.older:
        out.print(f"older     {', '.join(made.older)} (research report RUN_ID)", markup=False)
