"""What is left after each of several steps: of the items of a list, of the requests of a log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rankcast.records import LedgerRow, StepRow
from rankcast.report.charts.svg import BLUE, short, svg


@dataclass(frozen=True)
class Level:
    """What went into a step, and what came out."""

    step: str
    before: float
    after: float


def waterfall(rows: Sequence[LedgerRow], word: str = "requests") -> str | None:
    """The ledger: what was left after each step, and what the step took."""
    return _cascade([Level(row.step, row.in_, row.out) for row in rows], word, f"all {word}", ",d")


def funnel(rows: Sequence[StepRow], requests: int) -> str | None:
    """The steps of one variant: items of a list that are left after each, on average."""
    if not requests:
        return None
    levels = [Level(row.step, row.in_ / requests, (row.in_ - row.removed + row.added) / requests) for row in rows]
    return _cascade(levels, "items of a list, on average", "candidates", ",.1f")


def _cascade(levels: Sequence[Level], title: str, first: str, form: str) -> str | None:
    if not levels or not levels[0].before:
        return None

    def text(value: float) -> str:
        return format(round(value) if form == ",d" else value, form)

    data = [{"step": first, "kind": "left", "from": 0, "to": levels[0].before, "text": text(levels[0].before)}]
    for level in levels:
        step = short(level.step)
        data.append({"step": step, "kind": "left", "from": 0, "to": level.after, "text": text(level.after)})
        if level.after < level.before:
            data.append({"step": step, "kind": "lost", "from": level.after, "to": level.before, "text": ""})
    y = {"field": "step", "type": "nominal", "sort": None, "title": None, "axis": {"ticks": False, "domain": False}}
    return svg({
        "width": 360, "height": {"step": 30}, "data": {"values": data},
        "layer": [
            {"mark": {"type": "bar", "height": 18},
             "encoding": {"y": y, "x": {"field": "from", "type": "quantitative", "title": title, "axis": {"format": ",d"}},
                          "x2": {"field": "to"},
                          "color": {"field": "kind", "type": "nominal", "legend": None,
                                    "scale": {"domain": ["left", "lost"], "range": [BLUE, "#e6b8a2"]}}}},
            {"transform": [{"filter": "datum.kind == 'left'"}],
             "mark": {"type": "text", "align": "left", "dx": 6, "baseline": "middle", "fontWeight": "bold"},
             "encoding": {"y": y, "x": {"field": "from", "type": "quantitative"},
                          "text": {"field": "text"}, "color": {"value": "#ffffff"}}},
        ],
    })  # fmt: skip
