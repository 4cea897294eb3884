"""``research train``."""

from __future__ import annotations

from typing import Annotated

import typer

from research.cli import options


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(train)


def train(
    name: Annotated[
        str, typer.Argument(metavar="MODEL_OR_RECIPE", help="A model, a recipe, a study, a path.")
    ],
    data: options.Data = None,
    epochs: options.Epochs = None,
    profile: options.Profile = None,
    variant: options.Variant = None,
    seed: Annotated[int, typer.Option(help="The run's seed.")] = 1,
    changes: options.Changes = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Prints what would be trained, trains nothing.")
    ] = False,
    device: options.Device = None,
    fresh: options.Fresh = False,
    accept_code: options.AcceptCode = False,
    as_json: options.Json = False,
) -> None:
    """Trains and tests one run: a study's control, or a recipe."""
    from research.cli import single
    from research.request import Request
    from research.studies import parse_changes

    request = Request(
        data=data,
        epochs=epochs,
        profile=profile,
        variant=variant,
        changes=parse_changes(changes or []),
        device=device,
        fresh=fresh,
        accept_code=accept_code,
    )
    what = single.show_plan if dry_run else single.conduct
    what(name, seed, request, as_json=as_json)
