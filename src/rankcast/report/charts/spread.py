"""How values spread over requests, and places over items."""

from __future__ import annotations

from collections.abc import Sequence

from rankcast.records import DistributionRow, ExposureRow
from rankcast.report.charts.svg import GREY, MOST_VARIANTS, by_variant, dashes, short, svg


def histogram(rows: Sequence[DistributionRow], title: str, variants: Sequence[str]) -> str | None:
    """Targets by value, a line a variant; None when there is nothing but zeros."""
    rows, data = rows[:MOST_VARIANTS], []
    for row in rows:
        bins = len(row.counts)
        width = (row.high - row.low) / bins
        name = short(row.variant)
        for at, count in enumerate(row.counts):
            data.append({"value": row.low + at * width, "targets": count, "variant": name})
        data.append({"value": row.high, "targets": row.counts[-1], "variant": name})
    if not any(sum(row.counts) for row in rows):
        return None
    variant = {"field": "variant", "type": "nominal", "title": None}
    names = [row.variant for row in rows]
    counts = {"format": ",d", "tickCount": 5}
    return svg({
        "width": 330, "height": 180, "data": {"values": data},
        "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2},
        "encoding": {"x": {"field": "value", "type": "quantitative", "title": short(title)},
                     "y": {"field": "targets", "type": "quantitative", "title": "requests", "axis": counts},
                     "color": {**variant, "scale": by_variant(names, variants)},
                     "strokeDash": {**variant, "scale": dashes(names, variants)}},
    })  # fmt: skip


def lorenz(rows: Sequence[ExposureRow], variants: Sequence[str]) -> str | None:
    """The share of all places that go to the least shown items."""
    rows = rows[:MOST_VARIANTS]
    data = [
        {"items": at / (len(row.lorenz) - 1), "places": value, "variant": short(row.variant)}
        for row in rows
        for at, value in enumerate(row.lorenz)
    ]
    if not data:
        return None
    variant = {"field": "variant", "type": "nominal", "title": None}
    names = [row.variant for row in rows if row.lorenz]
    percent = {"format": ".0%", "tickCount": 5}
    return svg({
        "width": 300, "height": 240,
        "layer": [
            {"data": {"values": [{"at": 0}, {"at": 1}]},
             "mark": {"type": "line", "color": GREY, "strokeDash": [3, 3]},
             "encoding": {"x": {"field": "at", "type": "quantitative"}, "y": {"field": "at", "type": "quantitative"}}},
            {"data": {"values": data}, "mark": {"type": "line", "strokeWidth": 2},
             "encoding": {"x": {"field": "items", "type": "quantitative", "title": "items, least shown first", "axis": percent},
                          "y": {"field": "places", "type": "quantitative", "title": "share of all places", "axis": percent},
                          "color": {**variant, "scale": by_variant(names, variants)},
                          "strokeDash": {**variant, "scale": dashes(names, variants)}}},
        ],
    })  # fmt: skip
