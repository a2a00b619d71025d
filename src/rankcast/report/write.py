"""Writing report.html and report.md into a run folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rankcast import text
from rankcast.report import charts
from rankcast.report.document import BARE, FULL, LEAST, LESS, Report
from rankcast.report.lists import SHOWN
from rankcast.report.markdown import markdown
from rankcast.report.rendering import asset, hash_of, helpers, templates

MOST_BYTES = 1_000_000  # of the page, whatever the data


def write_reports(folder: Path, report: Report) -> None:
    """Write both reports."""
    (folder / "report.md").write_text(markdown(report), encoding="utf-8")
    (folder / "report.html").write_text(html(report), encoding="utf-8")


def html(report: Report) -> str:
    """The report as one self-contained page: no network, text of the data always shown as text, less of it where it is long."""
    for limits in (FULL, LESS, LEAST):
        page = _page(replace(report, limits=limits), charts)
        if len(page.encode()) <= MOST_BYTES:
            return page
    return _page(replace(report, limits=BARE), _NoPictures())


class _NoPictures:
    """No picture at all, whichever is asked for."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def _page(report: Report, charts: Any) -> str:
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
            **helpers(),
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
        ("history", "History", report.result.history is not None),
        ("findings", "Rules", True),
        ("plan", "Repeat", True),
    ]
