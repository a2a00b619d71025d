"""Pages of a browser that looks through runs: plain HTML, no script at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rankcast import text
from rankcast.records import ComparisonRow
from rankcast.report.charts.trend import Point, trend
from rankcast.report.rendering import asset, hash_of, helpers, templates

POINTS = 60  # runs of a picture, the newest


@dataclass(frozen=True)
class Slot:
    """A place of a list that is shown: `was` is the item's rank in the baseline's list."""

    rank: int
    item: str
    grade: float | None
    was: int | None


@dataclass(frozen=True)
class Shown:
    """A request with the list of every variant, the baseline's first."""

    request: str
    user: str
    baseline: str
    lists: Mapping[str, Sequence[Slot]]


@dataclass(frozen=True)
class Against:
    """Two runs: what differs in their plans, in words; what speaks against comparing them; differences on common requests."""

    inside: Sequence[str]
    outside: Sequence[str]
    differs: Sequence[str]
    requests: int
    rows: Sequence[ComparisonRow]
    refused: str | None


def policy() -> str:
    """The content-security policy of all these pages: nothing but their own style, and pictures that are part of them."""
    style = hash_of(asset("report.css"))
    rest = "img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    return f"default-src 'none'; style-src 'sha256-{style}'; {rest}"


def runs_page(
    where: str,
    runs: Sequence[Any],
    asked: Mapping[str, str],
    page: int,
    more: bool,
    studies: Sequence[str],
    count: int,
    unreadable: int,
) -> str:
    """The list of runs, newest first; `count`: how many match, `unreadable`: how many cannot be shown at all."""
    told = {"asked": asked, "page": page, "more": more, "studies": studies, "count": count, "unreadable": unreadable}
    return _render("runs", "Runs", where=where, runs=runs, **told)


def trend_page(
    where: str, points: Sequence[Point], asked: Mapping[str, str], metrics: Sequence[str], studies: Sequence[str]
) -> str:
    """A metric from run to run."""
    drawn = trend(points[-POINTS:])
    return _render(
        "trend",
        "Trend",
        where=where,
        points=list(reversed(points)),
        drawn=drawn,
        asked=asked,
        metrics=metrics,
        studies=studies,
        most=POINTS,
    )


def run_page(where: str, run: Any) -> str:
    """One run in short, with what there is to open."""
    return _render("run", run.study, where=where, run=run)


def against_page(where: str, one: Any, other: Any, against: Against) -> str:
    """Two runs side by side."""
    return _render("against", "Compare", where=where, one=one, other=other, against=against)


def lists_page(where: str, run: Any, wanted: str, found: Sequence[Shown], more: bool) -> str:
    """The lists of a request, or of a user's requests."""
    return _render("lists", f"Lists of {run.study}", where=where, run=run, wanted=wanted, found=found, more=more)


def problem_page(where: str, title: str, message: str) -> str:
    """What went wrong."""
    return _render("problem", title, where=where, message=message)


def _render(name: str, title: str, **values: Any) -> str:
    page = templates(autoescape=True).get_template(f"serve/{name}.html.j2")
    rendered: str = page.render(title=title, style=asset("report.css"), **helpers(), **values)
    return text.printable(rendered)
