"""Step `rerank`: another order by a formula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.errors import ConfigError, DataError, show
from rankcast.replay.lists import Lists, ordered_within
from rankcast.replay.rows import gather, scores
from rankcast.replay.step import Change, Context, mapping
from rankcast.tables.expression import Expression
from rankcast.tables.logs import Logs


@dataclass(frozen=True)
class Rerank:
    """Gives every item a new score, an SQL number over request.*, item.*, user.* and score, and orders the list by it: best
    first, ties by item_id. A null or NaN score is refused.

    `rerank: {sql: "score * CASE WHEN item.premium THEN 1.2 ELSE 1 END"}`
    """

    expression: Expression
    kind: ClassVar[str] = "rerank"
    alone: ClassVar[bool] = False
    has_table: ClassVar[bool] = False
    example: ClassVar[object] = {"sql": "score * CASE WHEN item.premium THEN 2 ELSE 1 END"}

    @classmethod
    def parse(cls, argument: object) -> Rerank:
        sql = mapping(argument, {"sql"}, set(), 'sql: "score * 2"')["sql"]
        if not isinstance(sql, str):
            raise ConfigError(f"sql: expected a formula such as `score * 2`, found {show(sql)}")
        return cls(Expression.parse(sql))

    def needs(self) -> frozenset[str]:
        return self.expression.needs()

    def bind(self, context: Context) -> Change:
        return lambda lists: self._reranked(lists, context.logs)

    def _reranked(self, lists: Lists, logs: Logs) -> Lists:
        value = self.expression.numbers(
            lambda scope, name: gather(lists, logs, scope, name), len(lists.item), scores(lists)
        )
        broken = np.flatnonzero(np.isnan(value))
        if len(broken):
            first = int(broken[0])
            raise DataError(
                f"{len(broken)} of {len(value)} new scores are null or NaN, such as request_id="
                f"{logs.ids.requests[int(lists.row_requests()[first])]}, item_id={logs.ids.items[int(lists.item[first])]}; "
                "give every item a score, e.g. with coalesce or ELSE (a pinned item has none: put `pin` after `rerank`)"
            )
        return ordered_within(lists, value)
