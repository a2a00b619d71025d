"""The one door through which metrics, steps, builtin variants and rules come in: entry points.

Names are known without importing anything; the class behind a name is imported when it is asked for.
"""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from rankcast.errors import PluginError, RankcastError, clip, nearest

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


def load_private(word: str) -> Any:
    """What `package.module:name` names, also where the package lies in the folder in which the command runs.

    >>> load_private("json:dumps").__name__
    'dumps'
    """
    module, _, name = word.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    with private(word, f"cannot import `{module}`: "):
        found = import_module(module)
    if not hasattr(found, name):
        raise PluginError(f"`{word}`: the module `{module}` has no `{name}`{nearest(name, vars(found))}")
    return getattr(found, name)


@contextmanager
def private(name: str, doing: str = "") -> Iterator[None]:
    """Whatever goes wrong inside is the foreign code's fault: PluginError says where. It may not end the program either."""
    try:
        yield
    except RankcastError:
        raise
    except (Exception, SystemExit) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f" ({os.path.basename(last.filename)}:{last.lineno})" if error.__traceback__ else ""
        raise PluginError(f"`{name}`: {doing}{type(error).__name__}: {clip(str(error), 200)}{place}") from error


def source_of(cls: type) -> str:
    """The text of the module in which a private class stands, where it can be read."""
    module = sys.modules.get(cls.__module__)
    try:
        return inspect.getsource(module) if module is not None else ""
    except OSError:
        return ""
