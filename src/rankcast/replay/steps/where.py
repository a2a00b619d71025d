"""Step `where`: an SQL boolean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rankcast.replay.lists import Lists
from rankcast.replay.rows import gather, scores
from rankcast.replay.step import Change, Context
from rankcast.tables.expression import Expression
from rankcast.tables.logs import Bools, Logs


@dataclass(frozen=True)
class Where:
    """Keeps the rows for which an SQL boolean over request.*, item.*, user.* and score is true; null drops.

    `where: "NOT item.is_test"`
    """

    expression: Expression
    kind: ClassVar[str] = "where"
    alone: ClassVar[bool] = True
    has_table: ClassVar[bool] = False
    example: ClassVar[object] = "NOT item.is_test"

    @classmethod
    def parse(cls, argument: object) -> Where:
        return cls(Expression.parse(argument))

    def needs(self) -> frozenset[str]:
        return self.expression.needs()

    def bind(self, context: Context) -> Change:
        logs = context.logs
        if {scope for scope, _ in self.expression.columns} == {"item"} and not self.expression.score:
            by_item = self.expression.evaluate(lambda _, name: logs.items.frame[name], len(logs.ids.items))
            return lambda lists: by_item[lists.item]
        return lambda lists: self._row_by_row(lists, logs)

    def _row_by_row(self, lists: Lists, logs: Logs) -> Bools:
        return self.expression.evaluate(
            lambda scope, name: gather(lists, logs, scope, name), len(lists.item), scores(lists)
        )
