"""YAML 1.2 with line numbers: plain values only. Tags, aliases, merge keys and duplicate keys are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rankcast.errors import ConfigError, Problem, show

Location = tuple[str | int, ...]
MOST_BYTES = 1 << 20
MOST_DEPTH = 50
_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")
)


@dataclass(frozen=True)
class Document:
    """A file's plain values, and the line of every key and list entry."""

    file: str
    values: Any
    lines: Mapping[Location, int] = field(default_factory=dict)

    def line(self, location: Location) -> int | None:
        """The line of a place, or of the nearest place around it."""
        for length in range(len(location), 0, -1):
            if location[:length] in self.lines:
                return self.lines[location[:length]]
        return 1

    def problem(self, message: str, location: Location = ()) -> Problem:
        """A problem at a place of this file."""
        return Problem(message, self.file, self.line(location), dotted(location) or None)


def dotted(location: Location) -> str:
    """A place as people write it.

    >>> dotted(("production", "steps", 0, "match"))
    'production.steps[0].match'
    """
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def load(text: str, shown: str) -> Document:
    """Read a file's text; ConfigError with all problems of its form."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        loader = YAML(typ="safe", pure=True)
        node = loader.compose(text)
        reader = _Reader(shown, loader)
        values = {} if node is None else reader.read(node, (), 0)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        raise ConfigError(
            Problem(f"not YAML: {error.problem}", shown, None if mark is None else mark.line + 1)
        ) from error
    except YAMLError as error:
        raise ConfigError(Problem(f"not YAML: {str(error).splitlines()[0]}", shown)) from error
    except RecursionError as error:
        raise ConfigError(Problem("nested too deeply", shown)) from error
    if reader.problems:
        raise ConfigError(reader.problems)
    if not isinstance(values, dict):
        raise ConfigError(Problem(f"expected keys and values, found {show(values)}", shown, 1))
    return Document(shown, values, reader.lines)


def text_of(path: Path, shown: str) -> str:
    """The text of a file; ConfigError when it cannot be one of ours."""
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ConfigError(Problem(f"the file has {size:,} bytes; expected at most {MOST_BYTES:,}", shown))
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(Problem("no such file", shown)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(Problem(f"not UTF-8: {error.reason} at byte {error.start}", shown)) from error
    except OSError as error:
        raise ConfigError(Problem(f"cannot be read: {error.strerror}", shown)) from error


def _joined(text: str) -> str:
    """Text with the halves of surrogate pairs joined, as JSON writes them; ValueError when one stands alone."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16")


class _Reader:
    """Turns YAML nodes into plain values, and notes lines and problems on the way."""

    def __init__(self, file: str, loader: Any) -> None:
        self.file = file
        self.loader = loader
        self.lines: dict[Location, int] = {}
        self.problems: list[Problem] = []
        self._seen: set[int] = set()

    def read(self, node: Any, location: Location, depth: int) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(location, line)
        if depth > MOST_DEPTH:
            self._refuse("nested too deeply", line, location)
            return None
        if id(node) in self._seen:
            self._refuse("an alias (*name) stands here; write the value out", line, location)
            return None
        self._seen.add(id(node))
        if str(node.tag) not in _TAGS:
            self._refuse(f"the tag {node.tag} is not understood; write a plain value", line, location)
            return None
        kind = type(node).__name__
        if kind == "MappingNode":
            return self._mapping(node, location, depth)
        if kind == "SequenceNode":
            return [self.read(child, (*location, at), depth + 1) for at, child in enumerate(node.value)]
        return self._scalar(node, line, location)

    def _mapping(self, node: Any, location: Location, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if type(key_node).__name__ != "ScalarNode":
                self._refuse("expected a plain key", line, location)
                continue
            key = str(key_node.value)
            place = (*location, key)
            if key in values:
                self._refuse(f"the key stands here twice; first in line {self.lines[place]}", line, place)
                continue
            self.lines[place] = line
            values[key] = self.read(value_node, place, depth + 1)
        return values

    def _scalar(self, node: Any, line: int, location: Location) -> Any:
        kind = str(node.tag).rpartition(":")[2]
        try:
            if kind in {"str", "timestamp"}:  # dates stay text: the service's zone decides what they mean
                return _joined(str(node.value))
            return self.loader.constructor.construct_object(node)
        except (ValueError, KeyError):
            self._refuse(f"{show(str(node.value))} cannot be read as a value", line, location)
            return None

    def _refuse(self, message: str, line: int, location: Location) -> None:
        self.problems.append(Problem(message, self.file, line, dotted(location) or None))
