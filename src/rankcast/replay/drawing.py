"""A picture of what a step does: the step itself, at work on a list of six jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from rankcast import plugins
from rankcast.replay.lists import Lists
from rankcast.replay.post_processing import BoundStep, run_step
from rankcast.replay.step import Context, NamedStep, parse
from rankcast.tables.logs import (
    FOREVER,
    Entities,
    Events,
    Ids,
    Impressions,
    Intervals,
    Ints,
    Logs,
    Placements,
    Requests,
)

ITEMS = ("a", "b", "c", "d", "e", "f")
SCORES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
_DAY = 86_400_000_000
_NOON = 1_696_248_000_000_000  # 2023-10-02 12:00


def drawing(kind: str) -> str | None:
    """The list before and after a step, with what the step looks at; None where its class has no `example`."""
    cls = plugins.load(plugins.STEPS, kind)
    if not hasattr(cls, "example"):
        return None
    argument = cls.example
    step = parse(kind, argument)
    logs = _logs()
    placed = Placements(np.array([-1, -1]), np.array([5, 4]), np.array([1, 3])) if cls.has_table else None
    before = Lists(np.array([0]), np.zeros(6, dtype=np.int64), np.arange(6), np.array(SCORES))
    bound = BoundStep(NamedStep(kind, step), step.bind(Context(logs, 0, placed)), placed)
    after = run_step(bound, before).after
    notes = [_note(item, step.needs(), logs) for item in range(6)]
    if placed is not None:
        notes = [f"pinned at rank {dict(zip(placed.item.tolist(), placed.rank.tolist(), strict=True))[item]}"
                 if item in placed.item else "" for item in range(6)]  # fmt: skip
    return "\n".join([_written(kind, argument), *_asking(step.needs(), logs), "", *_lines(before, after, notes)])


def _lines(before: Lists, after: Lists, notes: list[str]) -> list[str]:
    wide = max(map(len, notes))
    lines = [f"{'before':<{wide + 16}}   after"]
    left = [
        f"{rank}  {ITEMS[item]} {value:.2f}  {notes[item]:<{wide}} {' ' if item in after.item else '✕'}"
        for rank, item, value in zip(before.ranks(), before.item, before.value, strict=True)
    ]
    right = [
        f"{rank}  {ITEMS[item]} {value:.2f}"
        for rank, item, value in zip(after.ranks(), after.item, after.value, strict=True)
    ]
    right += [""] * (len(left) - len(right))
    return lines + [f"{one:<{wide + 16}}   {other}".rstrip() for one, other in zip(left, right, strict=True)]


def _note(item: int, needs: frozenset[str], logs: Logs) -> str:
    """What the step knows of an item."""
    told = [f"{name} {logs.items.frame[name][item]}" for name in sorted(_columns(needs, "item"))]
    if "availability" in needs:
        told.append("open" if logs.intervals.close[item] > _NOON else "closed")
    if "events" in needs:
        told.append("applied yesterday" if item in logs.events.item else "")
    return ", ".join(filter(None, told))


def _asking(needs: frozenset[str], logs: Logs) -> list[str]:
    told = [f"request.{name} = {logs.requests.frame[name][0]}" for name in sorted(_columns(needs, "request"))]
    return [f"# {', '.join(told)}"] if told else []


def _columns(needs: frozenset[str], scope: str) -> list[str]:
    return [need.split(".", 1)[1] for need in needs if need.startswith(scope + ".")]


def _written(kind: str, argument: Any) -> str:
    if argument is None:
        return f"- {kind}"
    if isinstance(argument, dict):
        inner = ", ".join(f"{key}: {_value(value)}" for key, value in argument.items())
        return f"- {kind}: {{{inner}}}"
    return f"- {kind}: {_value(argument)}"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    text = str(value)
    return f'"{text}"' if " " in text else text


def first_and_last(frame: pl.DataFrame) -> pl.DataFrame:
    """Production's own code, as the picture of the step `python` calls it: the best, then the rest from below."""
    best = pl.col("rank") == 1
    return frame.sort(best, "rank", descending=[True, True])


def _logs() -> Logs:
    """One request at noon by one user, who has applied to `c`; six jobs, of which `d` is closed."""
    nothing = np.zeros(0, dtype=np.int64)
    one: Ints = np.array([0])
    items = pl.DataFrame(
        {
            "item_id": ITEMS,
            "company": ["acme", "acme", "blue", "acme", "blue", "coop"],
            "job_type": ["cook", "nurse", "cook", "cook", "nurse", "cook"],
            "premium": [False, False, False, False, True, False],
            "is_test": [False, True, False, False, False, False],
        }
    )
    request = pl.DataFrame(
        {
            "request_id": [1],
            "user_id": [7],
            "timestamp": [datetime(2023, 10, 2, 12, tzinfo=UTC)],
            "job_type": ["cook"],
            "page": [2],
        }
    )
    everything = np.arange(6)
    closes = np.full(6, FOREVER)
    closes[3] = _NOON - _DAY
    return Logs(
        ids=Ids(request["request_id"], request["user_id"], items["item_id"]),
        requests=Requests(np.zeros(1, dtype=np.int64), np.array([_NOON]), request),
        items=Entities(items, np.ones(6, dtype=bool)),
        users=Entities(request.select("user_id"), np.ones(1, dtype=bool)),
        intervals=Intervals(everything, np.full(6, _NOON - 9 * _DAY), closes, np.arange(7)),
        impressions=Impressions(nothing, nothing, nothing, nothing.astype(bool), np.zeros(2, dtype=np.int64)),
        events=Events(one, np.array([2]), np.array([_NOON - _DAY]), one, one - 1, ("apply",)),
    )
