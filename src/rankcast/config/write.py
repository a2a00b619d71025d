"""Plain values as YAML."""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from io import StringIO
from typing import Any

_PLAIN = re.compile(r"[A-Za-z/_][A-Za-z0-9/_. -]*[A-Za-z0-9/_]|[A-Za-z]")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})  # in some version no texts


def to_yaml(document: Any) -> str:
    """YAML 1.2 in the order of the keys."""
    return _dump(document, flow=False, width=110)


def to_old_yaml(document: Any) -> str:
    """YAML that readers of 1.1 and of 1.2 understand alike: to the one a bare `on` is a truth, to the other `0o17` a number."""
    return _dump(document, flow=False, width=sys.maxsize, representer=_quoting())


def scalar(text: str) -> str:
    """A text as a value or key that means itself, wherever it stands in a file.

    >>> scalar("item_id"), scalar("1e5"), scalar("a, b")
    ('item_id', "'1e5'", "'a, b'")
    """
    if not text.isprintable():  # quoted with escapes, so that it fits a line
        return json.dumps(text)
    return _dump([text], flow=True, width=sys.maxsize).strip()[1:-1]


def _dump(document: Any, flow: bool, width: int, representer: Any = None) -> str:
    from ruamel.yaml import YAML

    writer = YAML(typ="safe", pure=True)
    if representer is not None:
        writer.Representer = representer
    writer.default_flow_style = flow
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.allow_unicode = True
    writer.width = width
    stream = StringIO()
    writer.dump(document, stream)
    return stream.getvalue()


@cache
def _quoting() -> Any:
    """A representer that quotes every text that is not plainly a text, and repeats what stands in several places."""
    from ruamel.yaml.representer import SafeRepresenter

    class Quoting(SafeRepresenter):
        def represent_str(self, data: str) -> Any:
            style = None if _PLAIN.fullmatch(data) and data.lower() not in _WORDS else '"'
            return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)

        def ignore_aliases(self, _: Any) -> bool:
            return True

    Quoting.add_representer(str, Quoting.represent_str)
    return Quoting
