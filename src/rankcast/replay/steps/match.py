"""Step `match`: a filter that the user set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.errors import ConfigError, show
from rankcast.replay.lists import Lists
from rankcast.replay.step import Change, Context, column
from rankcast.tables.logs import Bools, Logs
from rankcast.tables.ragged import spans
from rankcast.tables.valuesets import comparable


@dataclass(frozen=True)
class Match:
    """Keeps an item if the request's value is null, empty text or an empty list (the filter is not set), or equals the
    item's, is in it, contains it or overlaps it; either side may be a list. A set filter against null drops.

    `match: {request.job_type: item.job_type}`; several pairs must all hold.
    """

    pairs: tuple[tuple[str, str, str], ...]  # (scope, column, item column)
    kind: ClassVar[str] = "match"
    alone: ClassVar[bool] = True
    has_table: ClassVar[bool] = False
    example: ClassVar[object] = {"request.job_type": "item.job_type"}

    @classmethod
    def parse(cls, argument: object) -> Match:
        if not isinstance(argument, dict) or not argument:
            raise ConfigError(
                f"expected a filter such as `{{request.job_type: item.job_type}}`, found {show(argument)}"
            )
        pairs = []
        for ours, theirs in argument.items():
            scope, name = column(ours, ("request", "user"))
            pairs.append((scope, name, column(theirs, ("item",))[1]))
        return cls(tuple(pairs))

    def needs(self) -> frozenset[str]:
        return frozenset(need for scope, name, theirs in self.pairs for need in (f"{scope}.{name}", f"item.{theirs}"))

    def bind(self, context: Context) -> Change:
        logs = context.logs
        filters = [_one(logs, *pair) for pair in self.pairs]
        return lambda lists: np.logical_and.reduce([keep(lists) for keep in filters])


def _one(logs: Logs, scope: str, name: str, theirs: str) -> Callable[[Lists], Bools]:
    owner = logs.requests if scope == "request" else logs.users
    wanted, offered = comparable(
        owner.frame[name].alias(f"{scope}.{name}"), logs.items.frame[theirs].alias(f"item.{theirs}")
    )

    def keep(lists: Lists) -> Bools:
        asking = lists.row_requests() if scope == "request" else lists.row_users(logs)
        if wanted.single is not None and offered.single is not None:
            code = wanted.single[asking]
            alike: Bools = (code < 0) | (offered.single[lists.item] == code)
            return alike
        start = wanted.start[asking]
        sizes = wanted.start[asking + 1] - start
        row, at = spans(start, sizes)
        found = offered.contain(lists.item[row], wanted.code[at])
        kept: Bools = (sizes == 0) | (np.bincount(row, found, len(lists.item)) > 0)
        return kept

    return keep
