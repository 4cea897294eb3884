"""The few kinds of error that a user can cause or meet, and sentences that say the cure."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError


SHOWN = 30  # choices that an error lists


class InvalidInput(ValueError):
    """What was asked for cannot be done; says every problem found, one a line.

    The command line prints it without a traceback and exits with 2: nothing was started.
    """

    def __init__(self, *problems: str) -> None:
        self.problems: tuple[str, ...] = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[InvalidInput], tuple[str, ...]]:
        return type(self), self.problems


class Interrupted(KeyboardInterrupt):
    """The process was asked to stop (SIGTERM, SIGHUP); handled as Ctrl-C is."""


def suggest(name: str, choices: Iterable[str]) -> str:
    """``name`` and its ``choices`` to ``; did you mean 'x'?`` or ``; choose from a, b``."""
    known = sorted(choices)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{near[0]}'?"
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return f"; choose from {', '.join(known[:SHOWN])}{more}" if known else ""


def findings(error: ValidationError, model: type[BaseModel]) -> list[tuple[str, str]]:
    """Pydantic's findings as (dotted place, sentence)."""
    found: dict[tuple[str, str], None] = {}
    for item in error.errors(include_url=False):
        place = [str(part) for part in item["loc"] if part != "[key]"]
        given = json.dumps(item["input"], default=str)
        given = given if len(given) <= 80 else given[:77] + "..."
        if item["type"] == "extra_forbidden":
            choices = _fields_at(model, place[:-1])
            text = f"no such field{suggest(place[-1], choices)}"
        elif item["type"] == "missing":
            text = "is required and not given"
        elif item["type"] == "literal_error" and isinstance(item["input"], str):
            known = re.findall(r"'([^']*)'", str(item["ctx"]["expected"]))
            text = f"no such choice {given}{suggest(item['input'], known)}"
        else:
            text = item["msg"].removeprefix("Value error, ")
            text = text[0].lower() + text[1:]
            if item["type"] != "value_error":
                text += f", not {given}"
        found[".".join(place), text] = None
    return list(found)


def _fields_at(model: type[BaseModel], place: list[str]) -> list[str]:
    """The names that a field of a nested model may have at ``place``."""
    current: Any = model
    for part in place:
        if hasattr(current, "model_fields"):
            current = (
                current.model_fields[part].annotation if part in current.model_fields else None
            )
        else:  # a key of a mapping, or a place in a sequence: go on with what those hold
            current = next(iter(getattr(current, "__args__", ())[-1:]), None)
    return list(getattr(current, "model_fields", {}))
