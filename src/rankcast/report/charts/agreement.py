"""Past online tests: offline against online, and forecasts against what came."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, expm1, pi, sin
from typing import Any

from rankcast.records.history import Kept, Link, Pair, Scale
from rankcast.report.charts.svg import GREY, VARIANTS, short, svg

_REACH = 2.146  # standard errors of an ellipse that holds 90 % of a bivariate normal distribution
_CORNERS = 36
_MOST = 150  # pairs that are drawn


def scatter(link: Link) -> str | None:
    """Offline against online change of every pair, each with its 90 % ellipse; York's line."""
    pairs = link.pairs[-_MOST:]
    if not pairs:
        return None
    x, y = link.scale_offline, link.scale_online
    points = [
        {"x": _shown(one.offline, x), "y": _shown(one.online, y), "period": _period(one), "pipeline": _pipeline(one)}
        for one in pairs
    ]
    edges = [
        {
            "x": _shown(one.offline + across, x),
            "y": _shown(one.online + up, y),
            "of": at,
            "turn": turn,
            "period": _period(one),
        }
        for at, one in enumerate(pairs)
        for turn, (across, up) in enumerate(_ellipse(one))
    ]
    colour = {"field": "period", "type": "nominal", "title": "period", "scale": {"range": list(VARIANTS)}}
    shape = {"field": "pipeline", "type": "nominal", "title": "pipeline"}
    if len({one["pipeline"] for one in points}) < 2:
        shape = {"value": "circle"}
    if len({one["period"] for one in points}) < 2:
        colour = {"value": VARIANTS[0]}
    across, up = _axis("x", link.offline, x), _axis("y", link.online, y)
    layers: list[dict[str, Any]] = []
    if edges:
        part = {"x": across, "y": up, "color": colour, "detail": {"field": "of"}, "order": {"field": "turn"}}
        mark = {"type": "line", "strokeWidth": 1, "opacity": 0.45}
        layers.append({"data": {"values": edges}, "mark": mark, "encoding": part})
    if link.line is not None:
        ends = [one.offline for one in pairs]
        steps = [min(ends) + at / 20 * (max(ends) - min(ends)) for at in range(21)]
        line = [{"x": _shown(one, x), "y": _shown(link.line.intercept + link.line.slope * one, y)} for one in steps]
        layers.append({"data": {"values": line}, "mark": {"type": "line", "color": GREY, "strokeWidth": 2},
                       "encoding": {"x": across, "y": up}})  # fmt: skip
    if "level" not in (x, y):
        layers += [_zero("x"), _zero("y")]
    layers.append({"data": {"values": points}, "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
                   "encoding": {"x": across, "y": up, "color": colour, "shape": shape}})  # fmt: skip
    return svg({"width": 430, "height": 330, "layer": layers})


def kept(found: Sequence[Kept], scale: Scale) -> str | None:
    """What was observed against what had been foretold without it, with the 80 % intervals."""
    rows = [(way.way, one) for way in found for one in way.forecasts[-_MOST:]]
    if not rows:
        return None
    data = [
        {"way": way, "mean": _shown(one.mean, scale), "observed": _shown(one.observed, scale),
         "low": _shown(one.low, scale), "high": _shown(one.high, scale)}
        for way, one in rows
    ]  # fmt: skip
    x, y = _axis("mean", "foretold", scale), _axis("observed", "observed", scale)
    ends = [min(one["mean"] for one in data), max(one["mean"] for one in data)]
    colour = {"field": "way", "type": "nominal", "title": None, "scale": {"range": list(VARIANTS)}}
    return svg({
        "width": 430, "height": 280,
        "layer": [
            {"data": {"values": [{"mean": one, "observed": one} for one in ends]},
             "mark": {"type": "line", "color": GREY, "strokeDash": [3, 3]}, "encoding": {"x": x, "y": y}},
            {"data": {"values": data}, "mark": {"type": "rule", "opacity": 0.4},
             "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": colour}},
            {"data": {"values": data}, "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
             "encoding": {"x": x, "y": y, "color": colour, "shape": {**colour, "scale": {}, "legend": None}}},
        ],
    })  # fmt: skip


def _ellipse(one: Pair) -> list[tuple[float, float]]:
    if one.offline_error is None or one.online_error is None:
        return []
    turns = (2 * pi * at / _CORNERS for at in range(_CORNERS + 1))
    return [(_REACH * one.offline_error * cos(turn), _REACH * one.online_error * sin(turn)) for turn in turns]


def _shown(value: float, scale: Scale) -> float:
    return expm1(value) if scale == "relative" else value


def _axis(field: str, title: str, scale: Scale) -> dict[str, Any]:
    words = {"relative": "relative change", "absolute": "difference", "level": "level"}
    form = {"relative": "+.1%", "absolute": "+.3~g", "level": ".4~g"}[scale]
    return {"field": field, "type": "quantitative", "title": f"{short(title)}, {words[scale]}", "scale": {"zero": False},
            "axis": {"format": form, "tickCount": 6}}  # fmt: skip


def _zero(along: str) -> dict[str, Any]:
    return {"mark": {"type": "rule", "color": "#57606a", "strokeDash": [3, 3]}, "encoding": {along: {"datum": 0}}}


def _period(one: Pair) -> str:
    return short(one.period or "unknown")


def _pipeline(one: Pair) -> str:
    return short(one.pipeline or "unknown")
