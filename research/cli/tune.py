"""``research tune``."""

from __future__ import annotations

from typing import Annotated

import typer

from research.cli import options


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(tune)


def tune(
    name: options.Name,
    trials: Annotated[int, typer.Option(help="Trials in all; asked again with more, it goes on.")],
    timeout: Annotated[
        str | None, typer.Option(help="No new trial after so long, as in 2h or 90m.")
    ] = None,
    sampler: Annotated[
        str, typer.Option(help="tpe, gp, cmaes, random, qmc or grid: what is tried next.")
    ] = "tpe",
    pruner: Annotated[
        str, typer.Option(help="hyperband, median or none: what is given up half-way.")
    ] = "hyperband",
    metric: Annotated[
        str, typer.Option(help="val/accuracy, val/macro_f1 or val/loss.")
    ] = "val/accuracy",
    seed: Annotated[int, typer.Option(help="Of the sampler.")] = 0,
    confirm: Annotated[
        int, typer.Option(help="Fresh seeds for the best settings and the start; 0: none.")
    ] = 5,
    test: Annotated[
        bool, typer.Option("--test", help="Opens the test split once, for what was confirmed.")
    ] = False,
    storage: Annotated[
        str | None, typer.Option(help="Where trials are kept: an Optuna URL, or a journal's path.")
    ] = None,
    data: options.Data = None,
    epochs: options.Epochs = None,
    changes: options.Changes = None,
    profile: options.Profile = None,
    variant: options.Variant = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Prints the space and the cost, trains nothing.")
    ] = False,
    executor: Annotated[
        str, typer.Option(help="processes (side by side) or inline (in this process).")
    ] = "processes",
    workers: Annotated[
        int | None, typer.Option(help="Trials side by side; one a core or GPU.")
    ] = None,
    device: options.Device = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begins a search anew; the old one is kept.")
    ] = False,
    accept_code: options.AcceptCode = False,
    as_json: options.Json = False,
) -> None:
    """Seeks the best settings of a system, confirms them with fresh seeds, writes a recipe."""
    from research.cli import search
    from research.request import Request
    from research.studies import parse_changes
    from research.tuning import Options

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
    asked = Options(
        trials=trials,
        timeout_s=options.read_duration(timeout),
        sampler=sampler,
        pruner=pruner,
        metric=metric,
        seed=seed,
        confirm=confirm,
        test=test,
        storage=storage,
    )
    if dry_run:
        search.show_plan(name, request, asked, executor, workers, as_json=as_json)
    else:
        search.conduct(name, request, asked, executor, workers, as_json=as_json)
