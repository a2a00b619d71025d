"""What the experiment of `agreement.py` found: correlations over seeds, where each way fails, and the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from rankcast.report.charts.svg import GREY, VARIANTS, svg
from rankcast.stats.agreement.denoised import posterior_of
from rankcast.stats.agreement.pairs import Pairs
from rankcast.stats.student import t_quantile

WAYS = ("naive", "plain", "usage", "full")
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Point:
    """An initiative: its true effect, an online test of it, and what each way said; all relative, `errors` standard errors."""

    service: str
    seed: int
    initiative: str
    kind: str
    truth: float
    tested: float
    tested_error: float
    said: dict[str, float]
    errors: dict[str, float | None]


@dataclass(frozen=True)
class Outcome:
    """Over seeds: mean, lowest and highest of a correlation, and the t interval of the mean."""

    mean: float
    low: float
    high: float
    least: float
    most: float

    @staticmethod
    def of(values: Sequence[float]) -> Outcome:
        n = len(values)
        half = (
            t_quantile(0.5 + CONFIDENCE / 2, n - 1) * float(np.std(values, ddof=1)) / n**0.5 if n > 1 else float("nan")
        )
        return Outcome(fmean(values), fmean(values) - half, fmean(values) + half, min(values), max(values))

    def __str__(self) -> str:
        return f"{self.mean:.2f} ({self.low:.2f} to {self.high:.2f})"


def with_truth(points: Sequence[Point], way: str) -> float:
    """Pearson's correlation of what was said with the truth."""
    return float(np.corrcoef([one.said[way] for one in points], [one.truth for one in points])[0, 1])


def with_tests(points: Sequence[Point], way: str) -> float:
    """The same with one online test of each."""
    return float(np.corrcoef([one.said[way] for one in points], [one.tested for one in points])[0, 1])


def denoised(points: Sequence[Point], way: str) -> float:
    """The correlation behind the noise, from offline numbers and tests alone: log-ratios with their errors."""
    known = [one for one in points if one.errors[way] is not None and one.said[way] > -1 and one.tested > -1]
    x, y = np.array([one.said[way] for one in known]), np.array([one.tested for one in known])
    of_x, of_y = np.array([one.errors[way] or 0.0 for one in known]), np.array([one.tested_error for one in known])
    posterior = posterior_of(Pairs.of(np.log1p(x), np.log1p(y), of_x / (1 + x), of_y / (1 + y)))
    return float("nan") if posterior is None else posterior.correlation(0.9).median


def table(points: Sequence[Point]) -> list[str]:
    """A row a service and way."""
    rows = [
        "| service | way | with the truth | with one online test | behind the noise | lowest of a seed |",
        "| --- | --- | --- | --- | --- | ---: |",
    ]
    for service in dict.fromkeys(one.service for one in points):
        for way in WAYS:
            by_seed: dict[int, list[Point]] = {}
            for one in points:
                if one.service == service:
                    by_seed.setdefault(one.seed, []).append(one)
            found = [
                Outcome.of([measure(group, way) for group in by_seed.values()])
                for measure in (with_truth, with_tests, denoised)
            ]
            rows.append(f"| {service} | {way} | {' | '.join(map(str, found))} | {found[0].least:.2f} |")
    return rows


def misses(points: Sequence[Point], way: str, most: int = 8) -> list[str]:
    """Where a way is off most: the initiatives with the largest mean distance to the truth, after its own line."""
    x, y = np.array([one.said[way] for one in points]), np.array([one.truth for one in points])
    slope, intercept = np.polyfit(x, y, 1)
    rest: dict[str, list[float]] = {}
    for one, gap in zip(points, y - slope * x - intercept, strict=True):
        rest.setdefault(f"{one.kind}: {one.initiative}", []).append(float(gap))
    worst = sorted(rest, key=lambda name: -abs(fmean(rest[name])))[:most]
    return [f"{name}: truth {fmean(rest[name]):+.1%} beyond what {way} foretells" for name in worst]


def picture(points: Sequence[Point]) -> str:
    """Offline against the true online effect, a panel a way: the first service, the first seed."""
    first = [one for one in points if (one.service, one.seed) == (points[0].service, points[0].seed)]
    data = [
        {"way": way, "offline": one.said[way], "online": one.truth, "kind": FAMILIES.get(one.kind, one.kind)}
        for way in WAYS
        for one in first
    ]
    axis = {"format": "+.0%", "tickCount": 5}
    titles = {way: f"{way}: r = {with_truth(first, way):.2f}" for way in WAYS}
    kinds = list(dict.fromkeys(one["kind"] for one in data))
    layer = [
        {"mark": {"type": "rule", "color": GREY, "strokeDash": [3, 3]}, "encoding": {"x": {"datum": 0}}},
        {"mark": {"type": "rule", "color": GREY, "strokeDash": [3, 3]}, "encoding": {"y": {"datum": 0}}},
        {
            "mark": {"type": "point", "filled": True, "size": 45, "opacity": 0.9},
            "encoding": {
                "x": {"field": "offline", "type": "quantitative", "title": "offline", "axis": axis},
                "y": {"field": "online", "type": "quantitative", "title": "true online effect", "axis": axis},
                "color": {
                    "field": "kind",
                    "type": "nominal",
                    "title": None,
                    "scale": {"domain": kinds, "range": list(VARIANTS)},
                },
                "shape": {
                    "field": "kind",
                    "type": "nominal",
                    "title": None,
                    "legend": {"orient": "bottom"},
                    "scale": {"domain": kinds},
                },
            },
        },
    ]
    panels = [
        {
            "title": {"text": titles[way], "color": GREY, "fontSize": 13},
            "width": 170,
            "height": 190,
            "data": {"values": [one for one in data if one["way"] == way]},
            "layer": layer,
        }
        for way in WAYS
    ]
    return svg({"background": "white", "hconcat": panels, "spacing": 14})


FAMILIES = {
    "better model": "model", "worse model": "model", "model for some": "model", "neutral": "neutral", "boost": "boost",
    "trap": "trap", "filter": "filter or cap", "cap": "filter or cap",
}  # fmt: skip
