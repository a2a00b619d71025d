"""The one door through which metrics, steps, builtin variants and rules come in: entry points.

Names are known without importing anything; the class behind a name is imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from rankcast.errors import PluginError, nearest

METRICS = "rankcast.metrics"
STEPS = "rankcast.steps"
BUILTINS = "rankcast.builtins"
RULES = "rankcast.rules"


@cache
def _registered(group: str) -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def names(group: str) -> list[str]:
    """What is registered in a group, in order.

    >>> "ndcg" in names(METRICS)
    True
    """
    return sorted(_registered(group))


def load(group: str, name: str) -> Any:
    """The class registered as `name`. Raises PluginError when there is none.

    >>> load(METRICS, "ndgc")
    Traceback (most recent call last):
        ...
    rankcast.errors.PluginError: unknown metric `ndgc`; did you mean `ndcg`?
    """
    point = _registered(group).get(name)
    if point is None:
        kind = group.removeprefix("rankcast.").removesuffix("s")
        raise PluginError(f"unknown {kind} `{name}`{nearest(name, names(group))}")
    return point.load()
