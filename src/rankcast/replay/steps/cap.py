"""Step `cap`: at most so many of a group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.errors import ConfigError, show
from rankcast.replay.lists import Lists
from rankcast.replay.step import Change, Context, column, mapping
from rankcast.tables.logs import Bools
from rankcast.tables.ragged import place_in_group
from rankcast.tables.valuesets import group_codes


@dataclass(frozen=True)
class Cap:
    """Keeps the best `at_most` items of each group; an item whose group is null is never capped.

    `cap: {by: item.company_id, at_most: 2}`
    """

    by: str
    at_most: int
    kind: ClassVar[str] = "cap"
    alone: ClassVar[bool] = False
    has_table: ClassVar[bool] = False
    example: ClassVar[object] = {"by": "item.company", "at_most": 1}

    @classmethod
    def parse(cls, argument: object) -> Cap:
        given = mapping(argument, {"by", "at_most"}, set(), "by: item.company_id, at_most: 2")
        at_most = given["at_most"]
        if isinstance(at_most, bool) or not isinstance(at_most, int) or at_most < 1:
            raise ConfigError(f"at_most: expected an integer from 1, found {show(at_most)}")
        try:
            return cls(column(given["by"], ("item",))[1], at_most)
        except ConfigError as error:
            raise ConfigError(f"by: {error}") from error

    def needs(self) -> frozenset[str]:
        return frozenset({f"item.{self.by}"})

    def bind(self, context: Context) -> Change:
        logs = context.logs
        groups = group_codes(logs.items.frame[self.by].alias(f"item.{self.by}"))
        size = int(groups.max(initial=0)) + 2

        def keep(lists: Lists) -> Bools:
            group = groups[lists.item]
            key = lists.position * size + group + 1
            order = np.argsort(key, kind="stable")
            place = np.empty(len(key), dtype=np.int64)
            place[order] = place_in_group(key[order])
            return (group < 0) | (place < self.at_most)

        return keep
