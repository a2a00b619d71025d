"""Late conversions: how many events are still to come for requests whose horizon is not over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rankcast.evaluate.truth.labels import Outcomes
from rankcast.evaluate.truth.targets import Known
from rankcast.records import LateRow
from rankcast.tables.logs import Ints, Logs


def late(logs: Logs, outcomes: Outcomes, replayed: Ints, known: Sequence[Known]) -> tuple[LateRow, ...]:
    """What is missing, by kind of event, over the replayed requests (codes).

    The delay curve F(a) is the share of the events of mature requests that came within a of their request, lambda is how many
    events such a request has; missing = sum over the other requests of lambda (1 - F(time that they had)).
    """
    is_replayed = np.zeros(len(logs.requests.time), dtype=bool)
    is_replayed[replayed] = True
    counted = outcomes.request >= 0
    kind = logs.events.kind[outcomes.event]
    rows = []
    for one in known:
        code = logs.events.kinds.index(one.kind) if one.kind in logs.events.kinds else -1
        mine = counted & (kind == code)
        mine[mine] = is_replayed[outcomes.request[mine]]
        request = outcomes.request[mine]
        delay = logs.events.time[outcomes.event[mine]] - logs.requests.time[request]
        over = one.mature(logs.requests.time)
        waiting = replayed[~over[replayed]]
        seen = int((~over[request]).sum())
        mature = len(replayed) - len(waiting)
        missing = None
        if mature and one.until is not None:
            curve = np.sort(delay[over[request]])
            had = np.maximum(one.until - logs.requests.time[waiting], 0)
            share = np.searchsorted(curve, had, side="left") / len(curve) if len(curve) else np.ones(len(had))
            missing = float((len(curve) / mature * (1.0 - share)).sum())
        total = None if missing is None else missing + len(request)
        rows.append(
            LateRow(
                event=one.kind,
                requests=len(waiting),
                seen=seen,
                missing=missing,
                share_missing=missing / total if missing is not None and total else None,
            )
        )
    return tuple(rows)
