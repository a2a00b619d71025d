"""The one door through which metrics, steps, builtin variants and rules come in: entry points.

Names are known without importing anything; the class behind a name is imported when it is asked for.
"""

from __future__ import annotations

import ast
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


def code_of(word: str) -> dict[str, str]:
    """The text of the module that `package.module:name` names, and of every module beside it that it leans on, by name.

    Beside it: below the same folder, which is the one that holds the outermost package. The modules are imported already.
    """
    load_private(word)
    name = word.partition(":")[0]
    module = sys.modules[name]
    place = getattr(module, "__file__", None)
    if place is None:
        return {}
    root = os.path.dirname(place)
    for _ in range(name.count(".") + (os.path.basename(place) == "__init__.py")):
        root = os.path.dirname(root)
    found: dict[str, str] = {}
    waiting = [name]
    while waiting:
        one = waiting.pop()
        text = _text_below(one, root)
        if one in found or text is None:
            continue
        found[one] = text
        waiting += [other for other in _imports(text, one) if other not in found]
    return dict(sorted(found.items()))


def _text_below(name: str, root: str) -> str | None:
    """The text of an imported module that lies below a folder, libraries aside."""
    place = getattr(sys.modules.get(name), "__file__", None)
    if place is None or not place.startswith(root + os.sep) or "site-packages" in place:
        return None
    try:
        with open(place, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return None


def _imports(text: str, name: str) -> list[str]:
    """The modules that a module's text imports, and the packages around them."""
    package = getattr(sys.modules[name], "__package__", None) or ""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return [".".join(parts[:n]) for parts in (one.split(".") for one in found if one) for n in range(1, len(parts) + 1)]
