"""Differences with their intervals: by metric, by segment, by day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rankcast.records import ComparisonRow, DayRow
from rankcast.report.charts.svg import (
    BLUE,
    GREEN,
    GREY,
    MOST_LINES,
    MOST_VARIANTS,
    NAMES,
    ORANGE,
    ZERO,
    by_variant,
    short,
    svg,
)
from rankcast.text import segment_name

_VERDICTS = ["better", "worse", "equivalent", "undecided", "too few users"]
_SHAPES = ["triangle-up", "triangle-down", "square", "circle", "cross"]  # no verdict is told by colour alone


def forest(rows: Sequence[ComparisonRow], by_segment: bool = False) -> str | None:
    """Relative differences with their intervals, a line each, of the first rows; None when nothing can be drawn."""
    data = []
    for row in rows[:MOST_LINES]:
        if row.relative is None or row.shown_bounds is None:
            continue
        low, high = row.shown_bounds
        name = segment_name(row.segment) if by_segment else row.metric
        verdict = row.verdict or "too few users"
        data.append(
            {
                "name": short(f"{name} · {row.variant}"),
                "value": row.relative,
                "low": low,
                "high": high,
                "verdict": verdict,
            }
        )
    if not data:
        return None
    by_verdict: dict[str, Any] = {"field": "verdict", "type": "nominal", "legend": None}
    color = {**by_verdict, "scale": {"domain": _VERDICTS, "range": [BLUE, ORANGE, GREEN, GREY, "#8c959f"]}}
    shape = {**by_verdict, "scale": {"domain": _VERDICTS, "range": _SHAPES}}
    x_axis = {
        "format": "+.1%",
        "title": "difference relative to the baseline",
        "grid": True,
        "tickCount": 5,
        "labelOverlap": True,
    }
    return svg({
        "width": 420, "height": {"step": 24}, "data": {"values": data},
        "layer": [
            {**ZERO, "encoding": {"x": {"datum": 0}}},
            {"mark": {"type": "rule", "strokeWidth": 2.5},
             "encoding": {"y": NAMES, "x": {"field": "low", "type": "quantitative", "axis": x_axis}, "x2": {"field": "high"},
                          "color": color}},
            {"mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
             "encoding": {"y": NAMES, "x": {"field": "value", "type": "quantitative"}, "color": color, "shape": shape}},
        ],
    })  # fmt: skip


def by_day(rows: Sequence[DayRow], variants: Sequence[str]) -> str | None:
    """Differences by day, in the order of days; None when nothing can be drawn."""
    drawn = list(dict.fromkeys(row.variant for row in rows))[:MOST_VARIANTS]
    data = [
        {"day": row.day, "variant": short(row.variant), "value": row.difference, "low": row.low, "high": row.high}
        for row in rows
        if row.variant in drawn and row.difference is not None and row.low is not None
    ]
    if not data:
        return None
    x = {"field": "day", "type": "ordinal", "title": None, "axis": {"labelAngle": -45}}
    y_axis = {"title": f"difference in {short(rows[0].metric)}", "tickCount": 5}
    y = {"field": "value", "type": "quantitative", "axis": y_axis}
    variant: dict[str, Any] = {"field": "variant", "type": "nominal", "title": None}
    color = {**variant, "scale": by_variant(drawn, variants)}
    shift = {"field": "variant", "type": "nominal"}
    return svg({
        "width": {"step": 30, "for": "position"}, "height": 180, "data": {"values": data},
        "layer": [
            {**ZERO, "encoding": {"y": {"datum": 0}}},
            {"mark": {"type": "rule", "strokeWidth": 2},
             "encoding": {"x": x, "xOffset": shift, "color": color, "y": {"field": "low", "type": "quantitative", "axis": y_axis},
                          "y2": {"field": "high"}}},
            {"mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
             "encoding": {"x": x, "xOffset": shift, "y": y, "color": color}},
        ],
    })  # fmt: skip
