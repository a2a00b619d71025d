"""Which of the items that were shown were clicked."""

from __future__ import annotations

import numpy as np

from rankcast.evaluate.truth.labels import Labelling, attribute
from rankcast.tables.duration import Duration
from rankcast.tables.logs import Bools, Logs
from rankcast.tables.ragged import members


def clicked(logs: Logs, kinds: tuple[str, ...], horizon: Duration, attribution: str) -> Bools:
    """For every impression, whether an event of these kinds counts for its request and item.

    Clicks that bear a request's id are clicks on its list, whatever rule labels follow: others come from elsewhere, and would
    make lower ranks seem more looked at. Where no click does, they count as `attribution` says; of several requests, for the
    latest that showed the item.
    """
    if (logs.events.request[logs.events.of_kinds(kinds)] >= 0).any():
        attribution = "request_id"
    rule = Labelling(dict.fromkeys(kinds, 1.0), horizon, "last_shown" if attribution == "any_request" else attribution)  # type: ignore[arg-type]
    found = attribute(logs, rule)
    counted = found.request >= 0
    size = np.int64(len(logs.ids.items) + 1)
    pairs = found.request[counted] * size + logs.events.item[found.event[counted]]
    return members(logs.impressions.request * size + logs.impressions.item, pairs)
