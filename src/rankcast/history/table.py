"""Past tests out of a table: a row a variant of a test, with a column for each metric, or a row for each pair of metrics."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import log, sqrt
from typing import Any

import polars as pl

from rankcast.errors import DataError, Problem, clip, nearest
from rankcast.history.tests import Change, OnlineTest
from rankcast.records.history import Scale

ERRORS = ("_standard_error", "_error", "_se")
LONG = ("offline_metric", "offline", "online_metric", "online")
KNOWN = (
    "test", "variant", "group", "study", "run", "start", "end", "offline_start", "offline_end", "era", "pipeline", "launched",
    "treatment", "changes", "notes", "excluded",
)  # fmt: skip
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(%?)")
_LARGEST, _SMALLEST = 1e15, 1e-30
_DATES = ("start", "end", "offline_start", "offline_end")
_OF_TEST = ("study", "run", "era", "pipeline", "excluded", "notes", "kinds", *_DATES)
_TRUE, _FALSE = ("true", "yes", "1", "y"), ("false", "no", "0", "n")


@dataclass(frozen=True)
class Layout:
    """How a table is read. `columns`: ours -> theirs; `online`, `offline`: columns of metrics, or ratios such as clicks/shown;
    `scale`: what the numbers are; `control`: of levels, the variant that the others are held against; `bare`: no metric need be
    named, as only what was tried is asked for; `name`: of the test of levels that say none.
    """

    online: tuple[str, ...] = ()
    offline: tuple[str, ...] = ()
    scale: Scale = "relative"
    control: str | None = None
    columns: Mapping[str, str] | None = None
    bare: bool = False
    name: str = "all"


@dataclass(frozen=True)
class _Row:
    number: int
    values: Mapping[str, Any]
    at: Callable[[str, str], Problem]

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        return None if value is None or not str(value).strip() else str(value).strip()

    def number_of(self, name: str) -> float | None:
        """A number, a percentage, or nothing."""
        written = self.text(name)
        if written is None or written.lower() in ("nan", "null", "none", "na"):
            return None
        match = _NUMBER.fullmatch(written)
        if match is None:
            raise DataError(self.at(f"expected a number, found {clip(written, 40)!r}", name))
        found = float(match[1]) / (100 if match[2] else 1)
        if not abs(found) <= _LARGEST or 0 < abs(found) < _SMALLEST:
            told = f"expected 0, or a number of a size from {_SMALLEST:g} to {_LARGEST:g}, found {clip(written, 40)}"
            raise DataError(self.at(told, name))
        return found

    def error_of(self, name: str) -> float | None:
        """The standard error beside a metric's column."""
        found = next((self.number_of(name + end) for end in ERRORS if name + end in self.values), None)
        if found is not None and found < 0:
            raise DataError(self.at(f"expected a standard error from 0, found {found:g}", name))
        return found


def tests_of(frame: pl.DataFrame, layout: Layout, place: Callable[[str], Problem]) -> tuple[OnlineTest, ...]:
    """Every test of the table. DataError with all problems, each with its row and column."""
    frame = _renamed(frame, layout, place)
    long = all(name in frame.columns for name in LONG)
    if not long:
        _check_columns(frame, layout, place)
    if not len(frame):
        raise DataError(place("the table has no rows; expected a row a variant of a past test"))
    problems: list[Problem] = []
    made: dict[tuple[str | None, str], OnlineTest] = {}
    seen: set[tuple[str | None, ...]] = set()
    for number, values in enumerate(frame.iter_rows(named=True), 2):
        row = _Row(number, values, _placing(place, number))
        try:
            one = _long(row, layout) if long else _wide(row, layout)
            key, whole = (one.group, one.name), _whole(one, row, long)
            made[key] = one if key not in made else _joined(made[key], one, row)
            if whole in seen:
                raise DataError(row.at(f"the same variant of the test {one.name} stands in two rows", "variant"))
            seen.add(whole)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems[:50])
    found = tuple(made.values())
    return found if layout.control is None else tuple(_against(one, layout.control, place) for one in found)


def _whole(one: OnlineTest, row: _Row, long: bool) -> tuple[str | None, ...]:
    """What no other row says."""
    metrics = (row.text("offline_metric"), row.text("online_metric")) if long else ()
    return one.group, one.name, next(iter(one.offline)), *metrics


def _placing(place: Callable[[str], Problem], number: int) -> Callable[[str, str], Problem]:
    return lambda message, column: place(f"row {number}, `{column}`: {message}")


def _renamed(frame: pl.DataFrame, layout: Layout, place: Callable[[str], Problem]) -> pl.DataFrame:
    wanted = dict(layout.columns or {})
    missing = [theirs for theirs in wanted.values() if theirs not in frame.columns]
    if missing:
        raise DataError(place(f"no column `{one}`{nearest(one, frame.columns)}") for one in missing)
    unknown = [ours for ours in wanted if ours not in (*KNOWN, *LONG)]
    if unknown:
        raise DataError(place(f"`columns`: {one} is none of ours{nearest(one, KNOWN)}") for one in unknown)
    return frame.with_columns(pl.col(theirs).alias(ours) for ours, theirs in wanted.items())


def _check_columns(frame: pl.DataFrame, layout: Layout, place: Callable[[str], Problem]) -> None:
    found = ", ".join(frame.columns)
    if not layout.bare and not (layout.online and layout.offline):
        which = " and ".join(name for name in ("online", "offline") if not getattr(layout, name))
        raise DataError(
            place(f"say which columns hold {which} metrics (--online and --offline; in service.yaml `online`, `offline`), or "
                  f"give the columns {', '.join(LONG)}; found {found}")
        )  # fmt: skip
    parts = [part for name in (*layout.online, *layout.offline) for part in _parts(name, frame.columns)]
    missing = [part for part in parts if part not in frame.columns]
    if missing:
        raise DataError(place(f"no column `{one}`{nearest(one, frame.columns)}") for one in missing)
    twice = set(layout.online) & set(layout.offline)
    if twice:
        raise DataError(
            place(f"`{min(twice)}` is named as online and as offline; a number would be held against itself")
        )
    ratios = [name for name in (*layout.online, *layout.offline) if len(_parts(name, frame.columns)) == 2]
    if ratios and layout.scale != "level":
        raise DataError(
            place(f"`{ratios[0]}` is a ratio of two counts, a level; say so (--scale level; `scale: level`)")
        )


def _parts(name: str, columns: Sequence[str]) -> list[str]:
    """A column, or the two of a ratio."""
    return [name] if name in columns or "/" not in name else [part.strip() for part in name.split("/", 1)]


def _wide(row: _Row, layout: Layout) -> OnlineTest:
    variant = row.text("variant") or row.text("test") or f"row {row.number}"
    online = {name: _change(row, name, layout.scale) for name in layout.online}
    offline = {name: _change(row, name, layout.scale) for name in layout.offline}
    return _base(row, variant, layout, offline, online)


def _long(row: _Row, layout: Layout) -> OnlineTest:
    variant = row.text("variant") or row.text("test") or f"row {row.number}"
    online_metric, offline_metric = row.text("online_metric"), row.text("offline_metric")
    if online_metric is None or offline_metric is None:
        raise DataError(row.at("expected the name of a metric", "offline_metric, online_metric"))
    online = {online_metric: _change(row, "online", layout.scale)}
    return _base(row, variant, layout, {offline_metric: _change(row, "offline", layout.scale)}, online)


def _change(row: _Row, name: str, scale: Scale) -> Change | None:
    """The number of a column, where the row has one."""
    parts = _parts(name, list(row.values))
    if len(parts) == 2:
        value, error = _ratio(row, parts)
    else:
        value, error = row.number_of(name), row.error_of(name)
    if value is None:
        return None
    if scale != "relative":
        return Change(value, error, level=scale == "level")
    if value <= -1:
        raise DataError(row.at(f"expected a relative change above -100%, found {value:g}", name))
    return Change.of_relative(value, error)


def _ratio(row: _Row, parts: Sequence[str]) -> tuple[float | None, float | None]:
    """A ratio of two counts, and its error where it is a share."""
    top, bottom = (row.number_of(part) for part in parts)
    if top is None or bottom is None:
        return None, None
    if bottom <= 0:
        raise DataError(row.at(f"expected a number above 0 to divide by, found {bottom:g}", parts[1]))
    if top < 0:
        raise DataError(row.at(f"expected a count from 0, found {top:g}", parts[0]))
    p = top / bottom
    if p > 1:
        return p, None
    kept = p if 0 < p < 1 else (top + 0.5) / (bottom + 1)  # none, or all, is not known exactly
    return p, sqrt(kept * (1 - kept) / bottom)


def _base(
    row: _Row,
    variant: str,
    layout: Layout,
    offline: Mapping[str, Change | None],
    online: Mapping[str, Change | None],
) -> OnlineTest:
    days = _days(row)
    said = row.text("launched")
    if said is not None and said.lower() not in (*_TRUE, *_FALSE):
        raise DataError(row.at(f"expected yes or no, found {clip(said, 40)!r}", "launched"))
    launched = None if said is None else frozenset({variant} if said.lower() in _TRUE else ())
    excluded = row.text("excluded")
    if excluded is not None and excluded.lower() in (*_FALSE, "0"):
        excluded = None
    together = layout.scale == "level" and row.text("test") is None
    name = layout.name if together else row.text("test") or variant
    return OnlineTest(
        name=name,
        offline={variant: {metric: one for metric, one in offline.items() if one is not None}},
        online={metric: {variant: one} for metric, one in online.items() if one is not None},
        study=row.text("study"),
        run=row.text("run"),
        start=days["start"],
        end=days["end"],
        offline_start=days["offline_start"],
        offline_end=days["offline_end"],
        era=row.text("era"),
        pipeline=row.text("pipeline"),
        group=row.text("group"),
        launched=launched,
        excluded=excluded,
        kinds=tuple(one for one in re.split(r"[,\s]+", row.text("treatment") or "") if one),
        changes=tuple(one for one in (row.text("changes"),) if one),
        notes=row.text("notes"),
        place=f"{row.at('', '').file}: row {row.number}",
    )


def _days(row: _Row) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in _DATES:
        written = row.text(name)
        try:
            found[name] = None if written is None else datetime.fromisoformat(written).date().isoformat()
        except ValueError:
            raise DataError(
                row.at(f"expected a date such as 2023-10-02, found {clip(written or '', 40)!r}", name)
            ) from None
    for start, end in (("start", "end"), ("offline_start", "offline_end")):
        first, last = found[start], found[end]
        if first is None and last is not None:
            raise DataError(row.at(f"it ends on {last}; expected `{start}` too", end))
        if first is not None and last is not None and last <= first:
            raise DataError(row.at(f"it ends on {last}, and begins on {first}", end))
    return found


def _joined(one: OnlineTest, other: OnlineTest, row: _Row) -> OnlineTest:
    """Two rows of one test."""
    online = {name: dict(changes) for name, changes in one.online.items()}
    offline = {name: dict(numbers) for name, numbers in one.offline.items()}
    for metric, changes in other.online.items():
        for variant, change in changes.items():
            if online.setdefault(metric, {}).setdefault(variant, change) != change:
                raise DataError(row.at(f"the test {one.name} has two values of {metric} for {variant}", "online"))
    for variant, numbers in other.offline.items():
        for metric, change in numbers.items():
            mine = offline.setdefault(variant, {})
            if mine.setdefault(metric, change) != change:
                raise DataError(row.at(f"the test {one.name} has two values of {metric} for {variant}", "offline"))
    told = {}
    for name in _OF_TEST:
        mine, theirs = getattr(one, name), getattr(other, name)
        if mine and theirs and mine != theirs:
            raise DataError(row.at(f"the test {one.name} has {theirs!r} here and {mine!r} in another row", name))
        told[name] = mine or theirs
    launched = one.launched if other.launched is None else (one.launched or frozenset()) | other.launched
    words = tuple(dict.fromkeys((*one.changes, *other.changes)))
    return replace(one, online=online, offline=offline, launched=launched, changes=words, **told)


def _against(test: OnlineTest, control: str, place: Callable[[str], Problem]) -> OnlineTest:
    """Levels as differences from a control."""
    if control not in test.offline:
        raise DataError(
            place(
                f"the test {test.name} has no variant `{control}` to hold the others against{nearest(control, test.offline)}"
            )
        )
    missing = [name for name, changes in test.online.items() if control not in changes]
    if missing:
        raise DataError(place(f"the control `{control}` of the test {test.name} has no {missing[0]}"))
    offline = {
        variant: {
            metric: _difference(change, test.offline[control][metric])
            for metric, change in numbers.items()
            if metric in test.offline[control]
        }
        for variant, numbers in test.offline.items()
        if variant != control
    }
    online = {
        metric: {variant: _difference(one, changes[control]) for variant, one in changes.items() if variant != control}
        for metric, changes in test.online.items()
    }
    return replace(test, offline=offline, online=online, control=control)


def _difference(one: Change, control: Change) -> Change:
    x, c = one.difference or 0.0, control.difference or 0.0
    known = one.error is not None and control.error is not None
    e, f = one.error or 0.0, control.error or 0.0
    error = sqrt(e * e + f * f) if known else None
    if x <= 0 or c <= 0:
        return Change(x - c, error)
    return Change(x - c, error, log(x / c), sqrt((e / x) ** 2 + (f / c) ** 2) if known else None)
