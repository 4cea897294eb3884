"""Options that several commands share, and how their text is read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from research.errors import InvalidInput

Name = Annotated[str, typer.Argument(metavar="MODEL_OR_STUDY", help="A model, a study or a path.")]
Data = Annotated[
    str | None, typer.Option("--data", help="A data set's name or path: csv, npz, folder.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Sets one value; of a step {} or '{p: 0.2}' adds it, null takes it away. Repeatable.",
    ),
]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Epochs of every run.")]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda, cuda:1 ...")]
Variant = Annotated[
    str | None, typer.Option("--variant", help="A form of the system, such as published.")
]
Profile = Annotated[
    Literal["quick", "full"] | None,
    typer.Option("--profile", help="The size; quick on the embedded set, full on real data."),
]
Json = Annotated[bool, typer.Option("--json", help="Prints one JSON document, nothing else.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Trains anew what is finished already.")]
AcceptCode = Annotated[
    bool, typer.Option("--accept-code", help="Counts finished runs of other code as finished.")
]


def read_duration(text: str | None) -> float | None:
    """``2h``, ``90m``, ``45s`` or seconds to seconds; raises `InvalidInput`."""
    if text is None:
        return None
    units = {"h": 3600.0, "m": 60.0, "s": 1.0}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        return float(number) * units[unit]
    except ValueError:
        raise InvalidInput(f"--timeout {text}: give a time, as in 2h, 90m or 45s") from None


def read_seeds(text: str | None) -> Any:
    """``5`` to 5 (the first five), ``3,7,11`` to a list; raises `InvalidInput`."""
    if text is None:
        return None
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise InvalidInput(
            f"--seeds {text}: give a number of seeds, as in 5, or a list, as in 3,7,11"
        ) from None
    return numbers if "," in text else numbers[0]


def read_max_seeds(until_resolved: bool, max_seeds: int | None) -> int | None:
    """The most seeds of rounds, or None without rounds; raises `InvalidInput`."""
    if max_seeds is not None and not until_resolved:
        raise InvalidInput(f"--max-seeds {max_seeds}: is of --until-resolved; add that")
    if not until_resolved:
        return None
    from research.request import MAX_SEEDS  # needs pydantic, which help spares

    return MAX_SEEDS if max_seeds is None else max_seeds


def read_names(text: str | None, option: str = "--factors") -> list[str] | None:
    """``a,b`` to names."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InvalidInput(f"{option}: nothing is named; give some, as in a,b")
    return names
