"""Step `not_seen`: nothing that the user has acted on already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rankcast.errors import ConfigError, show
from rankcast.replay.lists import Lists
from rankcast.replay.step import Change, Context, mapping
from rankcast.tables.asof import AsOf
from rankcast.tables.duration import Duration
from rankcast.tables.logs import Bools


@dataclass(frozen=True)
class NotSeen:
    """Drops items with such an event by this user in [t - within, t). Without `events` any event counts, without `within`
    all of history.

    `not_seen: {events: [apply], within: 365d}`
    """

    events: tuple[str, ...] | None
    within: Duration | None
    kind: ClassVar[str] = "not_seen"
    alone: ClassVar[bool] = True
    has_table: ClassVar[bool] = False
    example: ClassVar[object] = {"events": ["apply"], "within": "365d"}

    @classmethod
    def parse(cls, argument: object) -> NotSeen:
        given = mapping(
            {} if argument is None else argument, set(), {"events", "within"}, "events: [apply], within: 365d"
        )
        events = given.get("events")
        if events is not None and (
            not isinstance(events, list) or not events or not all(isinstance(name, str) for name in events)
        ):
            raise ConfigError(f"events: expected a list such as [apply], found {show(events)}")
        try:
            within = Duration.parse(given["within"]) if given.get("within") is not None else None
        except ValueError as error:
            raise ConfigError(f"within: {error}") from error
        return cls(None if events is None else tuple(events), within)

    def needs(self) -> frozenset[str]:
        return frozenset({"events"})

    def bind(self, context: Context) -> Change:
        logs = context.logs
        events = logs.events
        counted = events.of_kinds(events.kinds if self.events is None else self.events)
        size = len(logs.ids.items)
        times = events.time[counted]
        index = AsOf.build(events.user[counted] * size + events.item[counted], times)
        active = np.zeros(len(logs.ids.users), dtype=bool)
        active[events.user[counted]] = True

        def keep(lists: Lists) -> Bools:
            kept = np.ones(len(lists.item), dtype=bool)
            user = lists.row_users(logs)
            rows = np.flatnonzero(active[user])
            now = lists.row_times(logs, lists.clocks.events)[rows]
            last = index.before(user[rows] * size + lists.item[rows], now)
            seen = last >= 0
            if self.within is not None and len(times):
                seen &= times[np.maximum(last, 0)] >= now - self.within.micros
            kept[rows] = ~seen
            return kept

        return keep
