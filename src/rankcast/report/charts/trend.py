"""A metric from run to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rankcast.report.charts.svg import VARIANTS, ZERO, short, svg


@dataclass(frozen=True)
class Point:
    """The relative difference of a variant in one run."""

    run: str
    study: str
    variant: str
    started: str
    value: float
    low: float | None
    high: float | None


def trend(points: Sequence[Point]) -> str | None:
    """Relative differences with their intervals, run by run in the order of time."""
    if not points:
        return None
    data = [
        {
            "run": f"{one.started[:10]} {one.run[:6]}",
            "study": short(one.study),
            "variant": short(f"{one.study} {one.variant}"),
            "value": one.value,
            "low": one.low if one.low is not None else one.value,
            "high": one.high if one.high is not None else one.value,
        }
        for one in points
    ]
    x = {"field": "run", "type": "ordinal", "sort": None, "title": None, "axis": {"labelAngle": -45}}
    y_axis = {"format": "+.1%", "title": "difference relative to the baseline", "tickCount": 6}
    study = {"field": "study", "type": "nominal", "title": None}
    color = {**study, "scale": {"range": list(VARIANTS)}}
    several = len({(one.run, one.variant) for one in points}) > len({one.run for one in points})
    shift = {"xOffset": {"field": "variant", "type": "nominal"}} if several else {}
    return svg({
        "padding": {"left": 84, "top": 6, "right": 28, "bottom": 6},  # names begin below the axis and left of it
        "width": {"step": 36, "for": "position"}, "height": 240, "data": {"values": data},
        "layer": [
            {**ZERO, "encoding": {"y": {"datum": 0}}},
            {"mark": {"type": "rule", "strokeWidth": 2},
             "encoding": {"x": x, **shift, "color": color, "y": {"field": "low", "type": "quantitative", "axis": y_axis},
                          "y2": {"field": "high"}}},
            {"mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
             "encoding": {"x": x, **shift, "color": color, "shape": {**study, "legend": None},
                          "y": {"field": "value", "type": "quantitative", "axis": y_axis}}},
        ],
    })  # fmt: skip
