"""What users were shown, by any request: of these items it is known what the user thought."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rankcast.tables.asof import AsOf
from rankcast.tables.logs import FOREVER, Bools, Ints, Logs


@dataclass(frozen=True)
class Impressed:
    """For each (user, item) that was shown: `key` (sorted, user * size + item) and the instant of the `first` impression."""

    key: Ints
    first: Ints
    size: int
    by_user: AsOf

    @classmethod
    def of(cls, logs: Logs) -> Impressed:
        """From the impressions of all requests, at the instants of their requests."""
        size = len(logs.ids.items) + 1
        request = logs.impressions.request
        key = logs.requests.user[request] * np.int64(size) + logs.impressions.item
        time = logs.requests.time[request]
        order = np.lexsort((time, key))
        key, time = key[order], time[order]
        fresh = np.ones(len(key), dtype=bool)
        fresh[1:] = key[1:] != key[:-1]
        return cls(key[fresh], time[fresh], size, AsOf.build(key[fresh] // size, time[fresh]))

    def seen(self, users: Ints, items: Ints, until: Ints) -> Bools:
        """Which items were shown to the user before an instant."""
        if not len(self.key):
            return np.zeros(len(items), dtype=bool)
        wanted = users * np.int64(self.size) + items
        at = np.minimum(np.searchsorted(self.key, wanted), len(self.key) - 1)
        seen: Bools = (self.key[at] == wanted) & (self.first[at] < until)
        return seen

    def count(self, users: Ints, until: Ints) -> Ints:
        """How many distinct items were shown to each user before an instant."""
        if not len(self.key):
            return np.zeros(len(users), dtype=np.int64)
        _, count = self.by_user.between(users, np.full(len(users), -FOREVER), until - 1)
        return count
