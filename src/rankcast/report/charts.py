"""Charts as static SVG: Vega-Lite specifications rendered by vl-convert, no network and no script."""

from __future__ import annotations

import json
from math import log2
from typing import Any

from rankcast.records import Behaviour, ComparisonRow, LedgerRow
from rankcast.text import printable, segment_name

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#7A7A7A"  # Okabe and Ito (2008): told apart by colour-blind eyes
_LONGEST = 46
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
_CONFIG = {
    "background": None,
    "padding": {"left": 48, "top": 6, "right": 12, "bottom": 6},  # browsers' fonts are wider than the renderer's
    "font": _FONT,
    "view": {"stroke": None},
    "axis": {"labelColor": "#57606a", "titleColor": "#57606a", "labelFontSize": 12, "titleFontSize": 12, "gridColor": "#d8dee4",
             "domainColor": "#8c959f", "tickColor": "#8c959f", "labelLimit": 260},
}  # fmt: skip


def forest(rows: list[ComparisonRow], by_segment: bool = False) -> str | None:
    """Relative differences with their intervals, a line each; None when nothing can be drawn."""
    data = []
    for row in rows:
        if row.relative is None or row.shown_bounds is None:
            continue
        low, high = row.shown_bounds
        name = segment_name(row.segment) if by_segment else row.metric
        data.append(
            {
                "name": _clip(f"{name} · {row.variant}"),
                "value": row.relative,
                "low": low,
                "high": high,
                "verdict": row.verdict or "too few users",
            }
        )
    if not data:
        return None
    y = {"field": "name", "type": "nominal", "sort": None, "title": None,
         "axis": {"ticks": False, "domain": False, "labelPadding": 8}}  # fmt: skip
    color = {
        "field": "verdict", "type": "nominal", "legend": None,
        "scale": {"domain": ["better", "worse", "equivalent", "undecided", "too few users"],
                  "range": [BLUE, ORANGE, "#009E73", GREY, "#b5bac0"]},
    }  # fmt: skip
    x_axis = {
        "format": "+.1%",
        "title": "difference relative to the baseline",
        "grid": True,
        "tickCount": 5,
        "labelOverlap": True,
    }
    return _svg({
        "width": 420, "height": {"step": 24}, "data": {"values": data},
        "layer": [
            {"mark": {"type": "rule", "color": "#57606a", "strokeDash": [3, 3]}, "encoding": {"x": {"datum": 0}}},
            {"mark": {"type": "rule", "strokeWidth": 2.5},
             "encoding": {"y": y, "x": {"field": "low", "type": "quantitative", "axis": x_axis}, "x2": {"field": "high"},
                          "color": color}},
            {"mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
             "encoding": {"y": y, "x": {"field": "value", "type": "quantitative"}, "color": color}},
        ],
    })  # fmt: skip


def by_day(rows: list[ComparisonRow]) -> str | None:
    """Relative differences by day, in the order of days; None when nothing can be drawn."""
    data = [
        {
            "day": str(row.segment.value),
            "variant": _clip(row.variant),
            "value": row.relative,
            "low": row.shown_bounds[0],
            "high": row.shown_bounds[1],
        }
        for row in sorted(rows, key=lambda row: str(row.segment and row.segment.value))
        if row.segment is not None and row.relative is not None and row.shown_bounds is not None
    ]
    if not data:
        return None
    x = {"field": "day", "type": "ordinal", "title": None, "axis": {"labelAngle": -45}}
    y_axis = {"format": "+.1%", "title": "relative difference", "tickCount": 5}
    y = {"field": "value", "type": "quantitative", "axis": y_axis}
    color = {"field": "variant", "type": "nominal", "title": None, "scale": {"range": [BLUE, ORANGE, "#009E73", GREY]}}
    shift = {"field": "variant", "type": "nominal"}
    return _svg({
        "width": {"step": 30}, "height": 180, "data": {"values": data},
        "layer": [
            {"mark": {"type": "rule", "color": "#57606a", "strokeDash": [3, 3]}, "encoding": {"y": {"datum": 0}}},
            {"mark": {"type": "rule", "strokeWidth": 2},
             "encoding": {"x": x, "xOffset": shift, "color": color, "y": {"field": "low", "type": "quantitative", "axis": y_axis},
                          "y2": {"field": "high"}}},
            {"mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
             "encoding": {"x": x, "xOffset": shift, "y": y, "color": color}},
        ],
    })  # fmt: skip


def examination(behaviour: Behaviour) -> str:
    """How likely each rank is looked at, beside the discount of dcg; where it is logged, how often it was on the screen."""
    data = []
    for row in behaviour.ranks:
        data.append({"rank": row.rank, "kind": "looked at (clicks)", "value": row.examination})
        data.append({"rank": row.rank, "kind": "1 / log2(rank + 1)", "value": 1 / log2(row.rank + 1)})
        if row.depth is not None:
            data.append({"rank": row.rank, "kind": "on the screen", "value": row.depth})
    kinds = ["looked at (clicks)", "1 / log2(rank + 1)", "on the screen"]
    kind = {"field": "kind", "type": "nominal", "title": None}
    color = {**kind, "scale": {"domain": kinds, "range": [BLUE, GREY, ORANGE]}}
    dash = {**kind, "scale": {"domain": kinds, "range": [[1, 0], [6, 3], [2, 2]]}}
    return _svg({
        "width": 420, "height": 180, "data": {"values": data},
        "mark": {"type": "line", "point": True},
        "encoding": {"x": {"field": "rank", "type": "quantitative", "axis": {"tickMinStep": 1}},
                     "y": {"field": "value", "type": "quantitative", "title": "relative to rank 1", "scale": {"domain": [0, 1]}},
                     "color": color, "strokeDash": dash},
    })  # fmt: skip


def waterfall(rows: list[LedgerRow], word: str = "requests") -> str | None:
    """The ledger: what was left after each step, and what the step took."""
    if not rows or not rows[0].in_:
        return None
    data = [{"step": f"all {word}", "kind": "left", "from": 0, "to": rows[0].in_, "text": f"{rows[0].in_:,}"}]
    for row in rows:
        data.append({"step": row.step, "kind": "left", "from": 0, "to": row.out, "text": f"{row.out:,}"})
        if row.lost:
            data.append({"step": row.step, "kind": "lost", "from": row.out, "to": row.in_, "text": f"−{row.lost:,}"})
    y = {"field": "step", "type": "nominal", "sort": None, "title": None, "axis": {"ticks": False, "domain": False}}
    return _svg({
        "width": 420, "height": {"step": 30}, "data": {"values": data},
        "layer": [
            {"mark": {"type": "bar", "height": 18},
             "encoding": {"y": y, "x": {"field": "from", "type": "quantitative", "title": word, "axis": {"format": ",d"}},
                          "x2": {"field": "to"},
                          "color": {"field": "kind", "type": "nominal", "legend": None,
                                    "scale": {"domain": ["left", "lost"], "range": [BLUE, "#e6b8a2"]}}}},
            {"transform": [{"filter": "datum.kind == 'left'"}],
             "mark": {"type": "text", "align": "left", "dx": 6, "baseline": "middle", "color": "#24292f", "dy": 0,
                      "fontWeight": "bold"},
             "encoding": {"y": y, "x": {"field": "from", "type": "quantitative"},
                          "text": {"field": "text"}, "color": {"value": "#ffffff"}}},
        ],
    })  # fmt: skip


def _svg(spec: dict[str, Any]) -> str:
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg(json.dumps({**spec, "config": _CONFIG}))
    return svg


def _clip(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
