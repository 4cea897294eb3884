"""``research ablate``."""

from __future__ import annotations

from typing import Annotated

import typer

from research.cli import options


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(ablate)


def ablate(
    name: options.Name,
    design: Annotated[
        str | None,
        typer.Option(
            help="leave_one_out, add_one_in, one_at_a_time, full_factorial, "
            "fractional_factorial or, where it names cells, explicit; else the study's."
        ),
    ] = None,
    factors: Annotated[str | None, typer.Option(help="Only these, and no context: a,b")] = None,
    seeds: Annotated[str | None, typer.Option(help="5 (the first five) or 3,7,11")] = None,
    data: options.Data = None,
    epochs: options.Epochs = None,
    changes: options.Changes = None,
    profile: options.Profile = None,
    variant: options.Variant = None,
    detect: Annotated[
        float | None,
        typer.Option(help="With --dry-run: seeds needed to find an effect, as in 0.01."),
    ] = None,
    until_resolved: Annotated[
        bool,
        typer.Option("--until-resolved", help="Adds seeds in rounds, to cells not yet decided."),
    ] = False,
    max_seeds: Annotated[
        int | None, typer.Option(help="The most seeds of a cell with --until-resolved; 20.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Prints the plan, runs nothing.")
    ] = False,
    executor: Annotated[
        str, typer.Option(help="processes (side by side) or inline (in this process).")
    ] = "processes",
    workers: Annotated[
        int | None, typer.Option(help="Runs side by side; one a core or GPU.")
    ] = None,
    device: options.Device = None,
    fresh: options.Fresh = False,
    accept_code: options.AcceptCode = False,
    as_json: options.Json = False,
) -> None:
    """Finds out what each part of a system is worth: plans, runs what is missing, reports."""
    from research.cli import ablation
    from research.errors import InvalidInput
    from research.request import Request
    from research.studies import parse_changes

    request = Request(
        data=data,
        design=design,
        factors=options.read_names(factors),
        seeds=options.read_seeds(seeds),
        epochs=epochs,
        changes=parse_changes(changes or []),
        profile=profile,
        variant=variant,
        device=device,
        fresh=fresh,
        accept_code=accept_code,
    )
    most = options.read_max_seeds(until_resolved, max_seeds)
    if detect is not None and not dry_run:
        raise InvalidInput("--detect: is told by a dry run; add --dry-run")
    if dry_run:
        ablation.show_plan(name, request, executor, workers, detect, most, as_json=as_json)
    else:
        ablation.conduct(name, request, executor, workers, most, as_json=as_json)
