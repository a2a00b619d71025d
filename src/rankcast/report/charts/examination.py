"""How far users look."""

from __future__ import annotations

from math import log2

from rankcast.records import Behaviour
from rankcast.report.charts.svg import BLUE, GREY, ORANGE, svg


def examination(behaviour: Behaviour) -> str:
    """How likely each rank is looked at, beside the discount of dcg; where it is logged, how often it was on the screen."""
    data = []
    for row in behaviour.ranks:
        data.append({"rank": row.rank, "kind": "looked at (clicks)", "value": row.examination})
        data.append({"rank": row.rank, "kind": "1 / log2(rank + 1)", "value": 1 / log2(row.rank + 1)})
        if row.depth is not None:
            data.append({"rank": row.rank, "kind": "on the screen", "value": row.depth})
    kinds = list(dict.fromkeys(str(one["kind"]) for one in data))
    kind = {"field": "kind", "type": "nominal", "title": None, "legend": {"symbolType": "stroke"}}
    color = {**kind, "scale": {"domain": kinds, "range": [BLUE, GREY, ORANGE][: len(kinds)]}}
    dash = {**kind, "scale": {"domain": kinds, "range": [[1, 0], [6, 3], [2, 2]][: len(kinds)]}}
    return svg({
        "width": 420, "height": 180, "data": {"values": data},
        "mark": {"type": "line", "point": True},
        "encoding": {"x": {"field": "rank", "type": "quantitative", "axis": {"tickMinStep": 1}},
                     "y": {"field": "value", "type": "quantitative", "title": "relative to rank 1", "scale": {"domain": [0, 1]}},
                     "color": color, "strokeDash": dash},
    })  # fmt: skip
