"""Plain values as YAML."""

from __future__ import annotations

import json
import sys
from io import StringIO
from typing import Any


def to_yaml(document: Any) -> str:
    """YAML 1.2 in the order of the keys."""
    return _dump(document, flow=False, width=110)


def to_old_yaml(document: Any) -> str:
    """YAML that readers of version 1.1 understand too, to whom a bare `on` is a truth."""
    text = _dump(document, flow=False, width=110, version=(1, 1))
    return text.partition("---\n")[2]


def scalar(text: str) -> str:
    """A text as a value or key that means itself, wherever it stands in a file.

    >>> scalar("item_id"), scalar("1e5"), scalar("a, b")
    ('item_id', "'1e5'", "'a, b'")
    """
    if not text.isprintable():  # quoted with escapes, so that it fits a line
        return json.dumps(text)
    return _dump([text], flow=True, width=sys.maxsize).strip()[1:-1]


def _dump(document: Any, flow: bool, width: int, version: tuple[int, int] | None = None) -> str:
    from ruamel.yaml import YAML

    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = flow
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.allow_unicode = True
    writer.width = width
    writer.version = version
    writer.representer.ignore_aliases = lambda *_: True
    stream = StringIO()
    writer.dump(document, stream)
    return stream.getvalue()
