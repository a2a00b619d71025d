"""Charts as static SVG: Vega-Lite specifications rendered by vl-convert, no network and no script."""

from __future__ import annotations

import json
from typing import Any

from rankcast.records import ComparisonRow, LedgerRow
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
        if row.relative is None or row.relative_bounds is None:
            continue
        low, high = row.relative_bounds
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


def waterfall(rows: list[LedgerRow]) -> str | None:
    """The ledger: what was left after each step, and what the step took."""
    if not rows or not rows[0].in_:
        return None
    data = [{"step": "all requests", "kind": "left", "from": 0, "to": rows[0].in_, "text": f"{rows[0].in_:,}"}]
    for row in rows:
        data.append({"step": row.step, "kind": "left", "from": 0, "to": row.out, "text": f"{row.out:,}"})
        if row.lost:
            data.append({"step": row.step, "kind": "lost", "from": row.out, "to": row.in_, "text": f"−{row.lost:,}"})
    y = {"field": "step", "type": "nominal", "sort": None, "title": None, "axis": {"ticks": False, "domain": False}}
    return _svg({
        "width": 420, "height": {"step": 30}, "data": {"values": data},
        "layer": [
            {"mark": {"type": "bar", "height": 18},
             "encoding": {"y": y, "x": {"field": "from", "type": "quantitative", "title": "requests", "axis": {"format": ",d"}},
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
