"""Static SVG: Vega-Lite specifications rendered by vl-convert, no network and no script."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rankcast.errors import clip
from rankcast.text import printable

# Okabe and Ito (2008): told apart by colour-blind eyes.
BLUE, ORANGE, GREEN, PURPLE, SKY, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#7A7A7A"
VARIANTS = (BLUE, ORANGE, GREEN, PURPLE, SKY, GREY)
_DASHES = ([1, 0], [6, 3], [2, 2], [8, 2, 2, 2], [4, 4], [1, 3])
MOST_LINES, MOST_VARIANTS = 40, len(VARIANTS)
_LONGEST = 46
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
_CONFIG = {
    "background": None,
    "aria": False,  # a figure says what it shows; its parts would be read out one by one
    "padding": {"left": 48, "top": 6, "right": 28, "bottom": 6},  # browsers' fonts are wider than the renderer's
    "font": _FONT,
    "view": {"stroke": None},
    "axis": {"labelColor": "#57606a", "titleColor": "#57606a", "labelFontSize": 12, "titleFontSize": 12, "gridColor": "#d8dee4",
             "domainColor": "#8c959f", "tickColor": "#8c959f", "labelLimit": 260,
             "labelOverlap": "greedy", "labelSeparation": 12, "labelFlush": False, "titlePadding": 14},
    "legend": {"labelColor": "#57606a", "titleColor": "#57606a", "labelFontSize": 12, "symbolStrokeWidth": 2.5},
}  # fmt: skip


def svg(spec: dict[str, Any]) -> str:
    """A specification as SVG."""
    import vl_convert

    drawn: str = vl_convert.vegalite_to_svg(json.dumps({**spec, "config": _CONFIG}))
    return drawn


def short(text: str) -> str:
    """Text of the data, as a label."""
    return clip(printable(text), _LONGEST)


def by_variant(present: Sequence[str], variants: Sequence[str]) -> dict[str, Any]:
    """The scale by which a picture colours variants: each has the same colour everywhere, by its place among all `variants`."""
    places = {short(name): at for at, name in enumerate(variants)}
    names = list(dict.fromkeys(map(short, present)))
    return {"domain": names, "range": [VARIANTS[places.get(name, 0) % len(VARIANTS)] for name in names]}


def dashes(present: Sequence[str], variants: Sequence[str]) -> dict[str, Any]:
    """The same for dashes, by which variants are told apart without colours."""
    scale = by_variant(present, variants)
    return {**scale, "range": [_DASHES[VARIANTS.index(colour)] for colour in scale["range"]]}


ZERO = {"mark": {"type": "rule", "color": "#57606a", "strokeDash": [3, 3]}}
"""The line where there is no difference; an encoding says along which axis."""
NAMES = {"field": "name", "type": "nominal", "sort": None, "title": None,
         "axis": {"ticks": False, "domain": False, "labelPadding": 8}}  # fmt: skip
"""A line a name, in the order of the data."""
