"""From tests to pairs: which numbers stand beside each other, on which scale, and which cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from rankcast.history.tests import Bar, Change, OnlineTest
from rankcast.records.history import LeftOut, Pair, Scale
from rankcast.stats.agreement.pairs import Ints, Pairs


@dataclass(frozen=True)
class Paired:
    """The pairs of one offline and one online metric, in the order of time; and what takes no part. `untested`: offline numbers
    of what never went online.
    """

    online: str
    offline: str
    group: str | None
    scale_offline: Scale
    scale_online: Scale
    rows: tuple[Pair, ...]
    left_out: tuple[LeftOut, ...]
    untested: tuple[float, ...] = ()
    turned: tuple[str, ...] = ()

    @property
    def pairs(self) -> Pairs:
        """As arrays."""
        return pairs_of(self.rows)

    @property
    def parts(self) -> list[Ints]:
        """Which pairs come from one test, in the order of time: they share a control and often an idea, so they are one witness.
        Levels have no control; each stands for itself.
        """
        if "level" in (self.scale_offline, self.scale_online):
            return [np.array([one]) for one in range(len(self.rows))]
        places: dict[str, list[int]] = {}
        for at, row in enumerate(self.rows):
            places.setdefault(row.test, []).append(at)
        return [np.array(one) for one in places.values()]


def pairs_of(rows: Sequence[Pair]) -> Pairs:
    """Rows as arrays; NaN where an error is not known."""
    return Pairs.of(
        [one.offline for one in rows],
        [one.online for one in rows],
        np.array([nan if one.offline_error is None else one.offline_error for one in rows], dtype=np.float64),
        np.array([nan if one.online_error is None else one.online_error for one in rows], dtype=np.float64),
    )


@dataclass(frozen=True)
class Found:
    """Both changes of a variant of a test."""

    test: OnlineTest
    variant: str
    offline: Change
    online: Change


def paired(
    tests: Sequence[OnlineTest], online: str, offline: str, group: str | None, worse: frozenset[str], bar: Bar
) -> Paired:
    """The pairs of two metrics. `worse`: metrics of which less is better; their signs are turned.

    Each axis is relative (log-ratios) where most pairs know that, else absolute; pairs that do not know it are left out, and so
    are tests whose two numbers describe different things.
    """
    found, left_out = [], []
    for test in sorted(tests, key=lambda one: (one.start or "", one.name)):
        for variant, change in test.online.get(online, {}).items():
            known = test.offline.get(variant, {}).get(offline)
            if test.group != group:
                continue
            if known is None:
                left_out.append(LeftOut(test=test.name, variant=variant, why=f"no offline number of {offline}"))
            elif test.excluded is not None or test.misaligned(bar):
                why = test.excluded or "; ".join(test.misaligned(bar))
                left_out.append(LeftOut(test=test.name, variant=variant, why=why))
            else:
                found.append(
                    Found(
                        test,
                        variant,
                        known.negated() if offline in worse else known,
                        change.negated() if online in worse else change,
                    )
                )
    scales = _scale([one.offline for one in found]), _scale([one.online for one in found])
    rows = []
    for one in found:
        x, y = _on(scales[0], one.offline), _on(scales[1], one.online)
        if x is None or y is None:
            axis, scale = ("offline", scales[0]) if x is None else ("online", scales[1])
            why = f"its {axis} number is not known on the {scale} scale of the others"
            left_out.append(LeftOut(test=one.test.name, variant=one.variant, why=why))
        else:
            rows.append(_row(one, x, y))
    untested = [
        number[0]
        for one in _untested(tests, online, offline, group)
        if (number := _on(scales[0], one.negated() if offline in worse else one)) is not None
    ]
    turned = tuple(name for name in (offline, online) if name in worse)
    return Paired(online, offline, group, *scales, tuple(rows), tuple(left_out), tuple(untested), turned)


def _untested(tests: Sequence[OnlineTest], online: str, offline: str, group: str | None) -> list[Change]:
    return [
        numbers[offline]
        for test in tests
        if test.group == group
        for variant, numbers in test.offline.items()
        if offline in numbers and variant not in test.online.get(online, {})
    ]


def metrics_of(tests: Sequence[OnlineTest]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Online and offline metrics, by how many tests have them."""
    online: dict[str, int] = {}
    offline: dict[str, int] = {}
    for test in tests:
        for name in test.online:
            online[name] = online.get(name, 0) + 1
        for name in {metric for numbers in test.offline.values() for metric in numbers}:
            offline[name] = offline.get(name, 0) + 1
    return _most_first(online), _most_first(offline)


def _most_first(counts: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(sorted(counts, key=lambda name: (-counts[name], name)))


def _scale(changes: Sequence[Change]) -> Scale:
    """The scale that most of them know."""
    known: dict[Scale, int] = {
        "relative": sum(one.log_ratio is not None for one in changes),
        "absolute": sum(one.difference is not None and not one.level for one in changes),
        "level": sum(one.level for one in changes),
    }
    return max(known, key=lambda scale: known[scale])


def _on(scale: Scale, change: Change) -> tuple[float, float | None] | None:
    if scale == "relative":
        return None if change.log_ratio is None else (change.log_ratio, change.error_log_ratio)
    if change.difference is None or change.level != (scale == "level"):
        return None
    return change.difference, change.error


def _row(one: Found, x: tuple[float, float | None], y: tuple[float, float | None]) -> Pair:
    test = one.test
    return Pair(
        test=test.name,
        variant=one.variant,
        study=test.study,
        run=test.run,
        start=test.start,
        end=test.end,
        period=test.period,
        pipeline=test.pipeline,
        launched=None if test.launched is None else one.variant in test.launched,
        offline=x[0],
        offline_error=x[1],
        online=y[0],
        online_error=y[1],
    )
