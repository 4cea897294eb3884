"""YAML text to plain values and the line of each place in them; hostile text is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from research.errors import InvalidInput

MAX_BYTES = 256 * 1024
MAX_VALUES = 20_000
PLAIN = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}
Lines = dict[str, int]  # dotted place to line, counted from 1


class _Loader(yaml.SafeLoader):
    """YAML 1.2's scalars: ``on``, ``off``, ``yes`` and ``no`` are words, ``1e-3`` is a number."""


# YAML 1.1 reads "off" as false, "1:30" as 90, "010" as 8 and "2026-01-01" as a date.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag == "tag:yaml.org,2002:null"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


def read_yaml(file: Path) -> tuple[dict[str, Any], Lines]:
    """A file to its mapping and the line of every place in it; raises `InvalidInput`."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file}: is not UTF-8 text (byte {error.start})") from None
    if len(raw) > MAX_BYTES:
        raise InvalidInput(f"{file}: is over {MAX_BYTES // 1024} KiB; a study is a short text")
    return parse_yaml(text, str(file))


def parse_yaml(text: str, origin: str) -> tuple[dict[str, Any], Lines]:
    """Text to its mapping and the line of every place in it; ``origin`` stands in errors."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        reader = _Reader(loader, origin)
        value = reader.value(node, "") if node is not None else None
    except InvalidInput:
        raise
    except RecursionError:
        raise InvalidInput(f"{origin}: is nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits
        raise InvalidInput(f"{origin}: {error}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise InvalidInput(f"{origin}{line}: is not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise InvalidInput(f"{origin}: is not YAML: {error}") from None
    finally:
        loader.dispose()
    if not isinstance(value, dict):
        raise InvalidInput(f"{origin}: holds no mapping; a study starts with 'name: ...'")
    return value, reader.lines


class _Reader:
    """Walks a YAML tree once, counting, so that nested aliases cannot grow without end."""

    def __init__(self, loader: _Loader, origin: str) -> None:
        self.loader, self.origin = loader, origin
        self.lines: Lines = {}
        self.seen = 0
        self.open: set[int] = set()

    def value(self, node: yaml.Node, place: str) -> Any:
        """A node to its value; ``place`` is the dotted place that it stands in."""
        line = node.start_mark.line + 1
        self.seen += 1
        if self.seen > MAX_VALUES or id(node) in self.open:
            raise InvalidInput(f"{self.origin}:{line}: more than {MAX_VALUES} values, or a loop")
        self.lines.setdefault(place, line)
        if isinstance(node, yaml.ScalarNode):
            return self.loader.construct_object(node)
        if node.tag not in PLAIN:
            raise InvalidInput(f"{self.origin}:{line}: the tag {node.tag} is not allowed")
        self.open.add(id(node))
        made: Any
        if isinstance(node, yaml.SequenceNode):
            made = [self.value(item, f"{place}.{i}") for i, item in enumerate(node.value)]
        else:
            made = self._mapping(node, place)
        self.open.discard(id(node))
        return made

    def _mapping(self, node: yaml.Node, place: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise InvalidInput(f"{self.origin}:{line}: a key is a word, not a list or mapping")
            key = str(key_node.value)
            if key in made:
                raise InvalidInput(f"{self.origin}:{line}: '{key}' stands twice in one mapping")
            inner = f"{place}.{key}" if place else key
            self.lines[inner] = line
            made[key] = self.value(value_node, inner)
        return made
