"""Step `pin`: items placed at given ranks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from rankcast.errors import ConfigError
from rankcast.replay.lists import Lists
from rankcast.replay.step import Change, Context
from rankcast.tables.keys import KeyIndex
from rankcast.tables.logs import Ints, Placements
from rankcast.tables.ragged import members, offsets, place_in_group, spans


@dataclass(frozen=True)
class Pin:
    """Puts items at the ranks that a table gives them: advertisements, editors' choices. The table has `item_id`, `rank` and,
    where a row is for one request only, `request_id`; without that column every row is for every request.

    A pinned item leaves its place, the others close up, and the pins are put in, in order of rank; where the list is shorter
    the pin comes last. An item that was not in the list is added, without a score.

    `pin: {path: pins.parquet}`
    """

    kind: ClassVar[str] = "pin"
    alone: ClassVar[bool] = False
    has_table: ClassVar[bool] = True
    example: ClassVar[object] = {"path": "pins.parquet"}

    @classmethod
    def parse(cls, argument: object) -> Pin:
        if not isinstance(argument, dict):
            raise ConfigError("expected a table of item_id and rank, such as `{path: pins.parquet}`")
        return cls()

    def needs(self) -> frozenset[str]:
        return frozenset()

    def bind(self, context: Context) -> Change:
        placed = context.placed
        if placed is None:
            raise ValueError("the table of this step was not loaded")
        size = len(context.logs.ids.requests)
        items = len(context.logs.ids.items)
        return lambda lists: _pinned(lists, *pins_of(placed, lists.requests, size), items)


def pins_of(placed: Placements, requests: Ints, size: int) -> tuple[Ints, Ints, Ints]:
    """(position, item, rank) of the pins of some requests, by position and rank; `size` is the number of request codes."""
    if len(placed.request) and placed.request[0] < 0:  # the same for every request
        n = len(placed.request)
        position = np.repeat(np.arange(len(requests), dtype=np.int64), n)
        return position, np.tile(placed.item, len(requests)), np.tile(placed.rank, len(requests))
    start = offsets(placed.request, size)
    position, at = spans(start[requests], start[requests + 1] - start[requests])
    return position, placed.item[at], placed.rank[at]


def _pinned(lists: Lists, position: Ints, item: Ints, rank: Ints, items: int) -> Lists:
    keys, pins = lists.pairs(items), position * items + item
    rest = lists.keep(~members(keys, pins))
    # Pins come in order of rank, so the j-th (from 0) has at most j pins before it: it follows rank - 1 - j others.
    following = np.minimum(rank - 1 - place_in_group(position), rest.lengths()[position])
    old = np.concatenate((rest.position, position))
    # Items that are not pinned stand behind the pins that follow as many others; pins keep their order by rank.
    others_before = np.concatenate((place_in_group(rest.position), following))
    is_rest = np.concatenate((np.ones(len(rest.item), dtype=np.int64), np.zeros(len(item), dtype=np.int64)))
    order = np.lexsort((is_rest, others_before, old))
    where = KeyIndex(keys).find(pins)
    value = np.where(where >= 0, lists.value[where], np.nan) if len(keys) else np.full(len(pins), np.nan)
    logged = None
    if lists.logged is not None and rest.logged is not None:
        unknown = -1  # to be looked up: a pin that no list held has no mark of its own yet
        marks = np.where(where >= 0, lists.logged[where], unknown) if len(keys) else np.full(len(pins), unknown)
        logged = np.concatenate((rest.logged, marks))[order]
    return replace(
        lists,
        position=old[order],
        item=np.concatenate((rest.item, item))[order],
        value=np.concatenate((rest.value, value))[order],
        logged=logged,
    )
