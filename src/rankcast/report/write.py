"""Writing report.html and report.md into a run folder."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from rankcast import text
from rankcast.errors import clip
from rankcast.records import meaning_of
from rankcast.report import charts
from rankcast.report.document import FULL, LEAST, LESS, Report
from rankcast.report.lists import SHOWN

MOST_CHARACTERS = 65_536  # of a comment on a pull request
MOST_BYTES = 1_000_000  # of the page, whatever the data


def write_reports(folder: Path, report: Report) -> None:
    """Write both reports."""
    (folder / "report.md").write_text(markdown(report), encoding="utf-8")
    (folder / "report.html").write_text(html(report), encoding="utf-8")


def markdown(report: Report) -> str:
    """The report as a comment: decision first, one table, the ledger folded."""
    rendered: str = templates(autoescape=False).get_template("report.md.j2").render(report=report, **_helpers())
    rendered = text.printable(rendered)
    return (
        rendered
        if len(rendered) <= MOST_CHARACTERS
        else rendered[: MOST_CHARACTERS - 60] + "\n\n(cut; see report.html)\n"
    )


def html(report: Report) -> str:
    """The report as one self-contained page: no network, text of the data always shown as text, less of it where it is long."""
    for limits in (FULL, LESS, LEAST):
        page = _page(replace(report, limits=limits))
        if len(page.encode()) <= MOST_BYTES:
            break
    return page


def _page(report: Report) -> str:
    style, script = asset("report.css"), asset("report.js")
    rendered: str = (
        templates(autoescape=True)
        .get_template("report.html.j2")
        .render(
            report=report,
            style=style,
            style_hash=hash_of(style),
            script=script,
            script_hash=hash_of(script),
            sections=_sections(report),
            shown=SHOWN,
            charts=charts,
            **_helpers(),
        )
    )
    return text.printable(rendered)


def _sections(report: Report) -> list[tuple[str, str, bool]]:
    """Anchor and name of each section, and whether it is there."""
    results = report.result.results
    return [
        ("differences", "Differences", True),
        ("segments", "Segments", bool(report.segments)),
        ("days", "Days", bool(report.days) and "day" not in report.segments),
        ("replay", "Replay", True),
        ("targets", "Targets", True),
        ("behaviour", "Behaviour", results.behaviour is not None),
        ("lists", "Lists", True),
        ("spread", "Spread", bool(results.distributions)),
        ("exposure", "Exposure", bool(results.exposure)),
        ("findings", "Rules", True),
        ("plan", "Repeat", True),
    ]


def _helpers() -> dict[str, Any]:
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
        "cell": _cell,
        "coded": _coded,
        "prose": _prose,
        "meaning_of": meaning_of,
    }


@cache
def templates(autoescape: bool) -> Any:
    """The templates; with `autoescape`, text of the data is escaped for HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("rankcast.report"),
        autoescape=autoescape,  # noqa: S701 - Markdown goes through `cell`, HTML is escaped
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def asset(name: str) -> str:
    """The text of a style or a script that a page carries."""
    return (resources.files("rankcast.report") / "templates" / name).read_text(encoding="utf-8")


def hash_of(asset: str) -> str:
    """What the content-security policy allows: this very script, this very style, and no other."""
    import base64

    return base64.b64encode(hashlib.sha256(asset.encode()).digest()).decode()


def _coded(value: object) -> Any:
    """Text for the page, as text; what stands between backticks looks like code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(value))))  # noqa: S704 - it is escaped


def _cell(value: object) -> str:
    """Text of the data in a Markdown table, short."""
    return _escaped(str(value), 80)


def _prose(value: object) -> str:
    """Text of the data in a Markdown sentence."""
    return _escaped(str(value), 1_000)


def _escaped(shown: str, longest: int) -> str:
    """Text that Markdown shows as it is: no markup, no line break, nobody mentioned, not too long."""
    shown = clip(" ".join(shown.split()), longest)
    shown = re.sub(r"([\\`*_\[\]|~$]|(?<!\w)@)", r"\\\1", shown)
    return shown.replace("<", "&lt;").replace(">", "&gt;")
