"""What the online goal counts, in terms of the log."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rankcast.config.plan import Plan

_STEM = 4
_SHORT = {"ctr": "click", "cvr": "order"}


def kpi_kinds(plan: Plan, logged: Sequence[str]) -> tuple[str, ...] | None:
    """The kinds of events that the online metric counts: as declared, or else the graded kinds that its name holds, or else the
    logged ones; None where nothing says so.
    """
    online = plan.study.online
    if online is None:
        return None
    if online.events is not None:
        return online.events
    graded = tuple(kind for kind in plan.service.labels.grades if named_in(kind, online.metric))
    return graded or tuple(kind for kind in logged if named_in(kind, online.metric)) or None


def named_in(kind: str, metric: str) -> bool:
    """Whether a metric's name holds a kind of event: a word of it begins as the kind does.

    >>> named_in("apply", "applications_per_user"), named_in("click", "applications_per_user"), named_in("order", "orders")
    (True, False, True)
    """
    words = [_SHORT.get(word, word) for word in re.split(r"[^a-z0-9]+", metric.lower()) if len(word) >= _STEM - 1]
    stem = kind.lower()[:_STEM]
    return any(word.startswith(stem) for word in words)
