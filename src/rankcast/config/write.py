"""Plain values as YAML."""

from __future__ import annotations

from io import StringIO
from typing import Any


def to_yaml(document: Any) -> str:
    """YAML 1.2 in the order of the keys."""
    from ruamel.yaml import YAML

    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.allow_unicode = True
    writer.width = 110
    stream = StringIO()
    writer.dump(document, stream)
    return stream.getvalue()
