"""A step: one named, ordered piece of production's post-processing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

from rankcast import plugins
from rankcast.errors import NOWHERE, ConfigError, Place, nearest, show
from rankcast.replay.lists import Lists
from rankcast.tables.logs import Bools, Logs, Placements

Change = Callable[[Lists], Bools | Lists]
"""What a step does to lists, ordered best first: a filter says which rows stay, any other step gives new lists."""


@dataclass(frozen=True)
class Context:
    """What a step may look things up in: the logs, the seed of everything random, its own table if it has one."""

    logs: Logs
    seed: int
    placed: Placements | None = None


class Step(Protocol):
    """One kind of post-processing with its arguments.

    `alone`: it keeps or drops every item by itself, whatever else stands in the list. `has_table`: its argument says where a
    table of items placed at ranks comes from.
    """

    kind: ClassVar[str]
    alone: ClassVar[bool]
    has_table: ClassVar[bool]

    @classmethod
    def parse(cls, argument: object) -> Self:
        """The step that a YAML argument describes; ConfigError says what is wrong with it."""

    def needs(self) -> frozenset[str]:
        """Tables (`events`), columns (`item.company_id`) and `score`, as far as it reads them."""

    def bind(self, context: Context) -> Change:
        """What the step does to lists, with everything that all shards share looked up once."""


@dataclass(frozen=True)
class NamedStep:
    """A step under the name by which a run reports it; `place` says where it is written, `table` which table is its own."""

    name: str
    step: Step
    place: Place = NOWHERE
    table: str | None = None


def parse(kind: str, argument: object) -> Step:
    """The step of a kind. ConfigError when there is no such kind or its argument is wrong."""
    known = plugins.names(plugins.STEPS)
    if kind not in known:
        raise ConfigError(f"unknown step `{kind}`{nearest(kind, known)}")
    step: Step = plugins.load(plugins.STEPS, kind).parse(argument)
    return step


def mapping(argument: object, required: set[str], optional: set[str], example: str) -> dict[str, Any]:
    """An argument that must be a mapping of known keys; ConfigError names the wrong ones."""
    if not isinstance(argument, dict):
        raise ConfigError(f"expected keys such as `{example}`, found {show(argument)}")
    unknown = sorted(set(map(str, argument)) - required - optional)
    if unknown:
        raise ConfigError(f"unknown key `{unknown[0]}`{nearest(unknown[0], required | optional)}")
    missing = sorted(required - set(argument))
    if missing:
        raise ConfigError(f"key `{missing[0]}` is missing; expected `{example}`")
    return argument


def column(text: object, scopes: tuple[str, ...]) -> tuple[str, str]:
    """`item.company_id` as (item, company_id)."""
    scope, dot, name = str(text).partition(".")
    if not isinstance(text, str) or not dot or not name or scope not in scopes:
        expected = " or ".join(f"`{scope}.<column>`" for scope in scopes)
        raise ConfigError(f"expected {expected}, found `{text}`")
    return scope, name
