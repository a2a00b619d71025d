"""Templates, what they call, and the assets that a page carries."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib import resources
from typing import Any

from rankcast import text
from rankcast.records import meaning_of


@cache
def templates(autoescape: bool) -> Any:
    """The templates; with `autoescape`, text of the data is escaped for HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("rankcast.report"),
        autoescape=autoescape,  # noqa: S701 - Markdown escapes by itself, HTML is escaped
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def helpers() -> dict[str, Any]:
    """How numbers and texts are written."""
    return {
        "roles": {"primary": "primary", "guardrails": "guardrail", "exploration": "also"},
        "number": text.number,
        "share": text.share,
        "signed": text.signed,
        "change": text.change,
        "average_interval": text.average_interval,
        "signed_share": text.signed_share,
        "p_value": text.p_value,
        "relative_interval": text.relative_interval,
        "segment_name": text.segment_name,
        "effect": text.effect,
        "effect_error": text.effect_error,
        "coded": _coded,
        "meaning_of": meaning_of,
    }


def asset(name: str) -> str:
    """The text of a style or a script that a page carries."""
    return (resources.files("rankcast.report") / "templates" / name).read_text(encoding="utf-8")


def hash_of(asset: str) -> str:
    """What the content-security policy allows: this very script, this very style, and no other."""
    return base64.b64encode(hashlib.sha256(asset.encode()).digest()).decode()


def _coded(value: object) -> Any:
    """Text for the page, as text; what stands between backticks looks like code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(value))))  # noqa: S704 - it is escaped
