"""The one door through which metrics, steps, builtin variants and rules come in: entry points.

Names are known without importing anything; the class behind a name is imported when it is asked for.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from functools import cache
from importlib import import_module, invalidate_caches
from importlib.metadata import EntryPoint, entry_points
from importlib.util import cache_from_source
from typing import Any

from rankcast.errors import PluginError, RankcastError, Terminated, clip, nearest

WORD = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")  # package.module:name
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
    with private(name, f"cannot import `{point.value}`: "):
        return point.load()


def code_behind(group: str, name: str) -> dict[str, str]:
    """The text behind an entry point that is not our own, and which distribution brought it; nothing for our own."""
    point = _registered(group).get(name)
    if point is None or point.module.partition(".")[0] == __package__:
        return {}
    load(group, name)
    brought = f"{point.dist.name} {point.dist.version}" if point.dist is not None else ""
    return {f"{group}:{name}": brought} | _texts_of(point.module, libraries=True)


def load_private(word: str, fresh: bool = False) -> Any:
    """What `package.module:name` names, also where the package lies in the folder in which the command runs.

    `fresh`: as it is on disk now, also where this process imported it before and somebody has edited it since.

    >>> load_private("json:dumps").__name__
    'dumps'
    """
    module, _, name = word.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    if fresh:
        _forget_what_changed(module)
    with private(word, f"cannot import `{module}`: "):
        found = import_module(module)
    if not hasattr(found, name):
        raise PluginError(f"`{word}`: the module `{module}` has no `{name}`{nearest(name, vars(found))}")
    if module not in _imported:
        _imported[module] = _texts_of(module)
    return getattr(found, name)


_imported: dict[str, dict[str, str]] = {}  # by private module: the texts, when it was imported, of what it leans on


def _forget_what_changed(module: str) -> None:
    """Import anew where a text is not what it was."""
    before = _imported.get(module)
    if before is None or _texts_of(module) == before:
        return
    for name in before:
        loaded = sys.modules.pop(name, None)
        place = getattr(loaded, "__file__", None)
        if place is not None:  # bytecode knows an edit by the second only
            with suppress(OSError, NotImplementedError):
                os.unlink(cache_from_source(place))
    del _imported[module]
    invalidate_caches()


@contextmanager
def private(name: str, doing: str = "") -> Iterator[None]:
    """Whatever goes wrong inside is the foreign code's fault: PluginError says where. It may not end the program either, and
    what it prints goes to standard error: standard output is the result.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except (RankcastError, KeyboardInterrupt, GeneratorExit, Terminated):
        raise
    except BaseException as error:  # a panic in Rust is no Exception
        message = f"`{name}`: {doing}{type(error).__name__}: {clip(str(error), 200)}{_place_of(error)}"
        raise PluginError(message) from error


def _place_of(error: BaseException) -> str:
    """The last line of the team's own code that an error went through."""
    ours = os.path.dirname(__file__)
    libraries = (ours, os.path.dirname(os.__file__))
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        foreign = not frame.filename.startswith(("<", *libraries)) and "site-packages" not in frame.filename
        if foreign:
            return f" ({os.path.basename(frame.filename)}:{frame.lineno})"
    return ""


def code_of(word: str) -> dict[str, str]:
    """The text of the module that `package.module:name` names, and of every module beside it that it leans on, by name.

    Beside it: below the same folder, which is the one that holds the outermost package.
    """
    load_private(word, fresh=True)
    return _texts_of(word.partition(":")[0])


def _texts_of(name: str, libraries: bool = False) -> dict[str, str]:
    place = getattr(sys.modules.get(name), "__file__", None)
    if place is None:
        return {}
    root = os.path.dirname(place)
    for _ in range(name.count(".") + (os.path.basename(place) == "__init__.py")):
        root = os.path.dirname(root)
    found: dict[str, str] = {}
    waiting = [name]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        text, is_package = _text_below(one, root, libraries)
        if text is None:
            continue
        found[one] = text
        waiting += [
            other for other in _imports(text, one if is_package else one.rpartition(".")[0]) if other not in found
        ]
    return dict(sorted(found.items()))


def _text_below(name: str, root: str, libraries: bool) -> tuple[str | None, bool]:
    """The text of a module that lies below a folder, imported or not, libraries perhaps aside; and whether it is a package's."""
    base = os.path.join(root, *name.split("."))
    for place, is_package in ((base + ".py", False), (os.path.join(base, "__init__.py"), True)):
        if (libraries or "site-packages" not in place) and os.path.isfile(place):
            with suppress(OSError, UnicodeDecodeError), open(place, encoding="utf-8") as file:
                return file.read(), is_package
    return None, False


def _imports(text: str, package: str) -> list[str]:
    """The modules that a text of a package imports, wherever it does so, and the packages around them."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return [".".join(parts[:n]) for parts in (one.split(".") for one in found if one) for n in range(1, len(parts) + 1)]
