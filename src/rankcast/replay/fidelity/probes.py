"""Probes: what if? Small changes to the baseline, tried on a sample of requests whose replay differs from the log.

A change after which the replay comes closer names what production probably did: another clock, an older batch of scores, a
step that the service file does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import polars as pl

from rankcast.errors import RankcastError
from rankcast.replay import step as steps
from rankcast.replay.candidates import Batches
from rankcast.replay.fidelity.agreement import overlaps
from rankcast.replay.fidelity.logged import Logged
from rankcast.replay.lists import RIGHT, Clocks, Lists
from rankcast.replay.post_processing import BoundStep, through
from rankcast.replay.step import Context, NamedStep
from rankcast.tables.logs import Bools, Floats, Ints, Logs
from rankcast.tables.ragged import spans
from rankcast.tables.valuesets import group_codes

SAMPLE, FEWEST = 1_000, 5  # requests that are looked at, of all that are replayed
SAMPLE_ROWS = 250_000  # of their candidates, about
HOURS = tuple(sorted((hour for hour in range(-14, 15) if hour), key=abs))
CLOCKS = (" h earlier", " h later")  # how the names of changed clocks end
_HOUR = 3_600_000_000
_MOST_CAPPED = 5
_MOST_KINDS = 8


@dataclass(frozen=True)
class MissingStep:
    """A step that production may have and the service file has not, in the words of the file."""

    text: str
    bound: BoundStep


@dataclass(frozen=True)
class Probed:
    """Overlap with the log as it is, and after each change (NaN where a step refuses the list that comes then), for the
    requests (codes) that were probed.
    """

    requests: Ints
    before: Floats
    names: tuple[str, ...]
    after: Floats  # (requests, names)


def sample_of(replayed: Ints, size: int, candidates: float) -> Bools:
    """Which request codes are looked at: evenly spread over all that are replayed, whatever the shards; fewer where requests
    have many `candidates`.
    """
    most = max(FEWEST, min(SAMPLE, int(SAMPLE_ROWS / max(1.0, candidates))))
    chosen = np.zeros(size, dtype=bool)
    chosen[replayed[:: max(1, -(-len(replayed) // most))]] = True
    return chosen


def probe(
    source: object,
    bound: Sequence[BoundStep],
    missing: Sequence[MissingStep],
    lists: tuple[Lists, Lists],
    overlap: Floats,
    chosen: Bools,
    served: int,
    logs: Logs,
) -> Probed | None:
    """Try every change on the chosen requests of a shard. `lists` are its candidates, and what is left after all steps."""
    candidates, processed = lists
    at = np.flatnonzero(chosen)
    if not len(at):
        return None
    requests = candidates.requests[at]
    ours, rest = candidates.only(at), processed.only(at)

    def rerun(clocks: Clocks, lag: int = 0) -> Rerun:
        def again(some: Ints) -> Lists:
            if isinstance(source, Batches):
                return through(bound, source.candidates(requests[some], logs, clocks, lag).lists)
            return through(bound, replace(ours.only(some), clocks=clocks))

        return again

    reruns: dict[str, Rerun] = {}
    for hour in HOURS:
        when = f"{abs(hour)} h {'later' if hour > 0 else 'earlier'}"
        reruns[f"requests {when}"] = rerun(Clocks(*(hour * _HOUR,) * 3))
        for table in _timed(source, bound):
            when = (
                f"{abs(hour)} h {'earlier' if hour > 0 else 'later'}"  # the other way round: it is the table that moves
            )
            reruns[f"{table} {when}"] = rerun(Clocks(**{table: hour * _HOUR}))
    if isinstance(source, Batches) and source.scores.batched:
        reruns["scores one batch older"] = rerun(RIGHT, 1)
        reruns["scores one batch newer"] = rerun(RIGHT, -1)
    for one in missing:
        reruns[f"a step `{one.text}`"] = partial(_with, one.bound, rest)
    everything = np.arange(len(at))
    after = [_overlaps(again, everything, requests, served, logs) for again in reruns.values()]
    return Probed(requests, overlap[at], tuple(reruns), np.stack(after, axis=1) if after else np.zeros((len(at), 0)))


Rerun = Callable[[Ints], Lists]
"""The lists of some of the probed requests (positions) after a change."""


def _with(bound: BoundStep, lists: Lists, some: Ints) -> Lists:
    return through([bound], lists.only(some))


def _overlaps(again: Rerun, some: Ints, requests: Ints, served: int, logs: Logs) -> Floats:
    """Overlap with the log after a change; NaN for a request that a step refuses then, whoever is probed beside it."""
    try:
        changed = again(some).first(served)
    except RankcastError:
        if len(some) == 1:
            return np.array([np.nan])
        halves = np.array_split(some, 2)
        return np.concatenate([_overlaps(again, half, requests, served, logs) for half in halves])
    logged = Logged.of(requests[some], served, logs)
    return overlaps(logged.mark(replace(changed, logged=None)).distinct(), logged)


def _timed(source: object, bound: Sequence[BoundStep]) -> list[str]:
    """The tables whose clock matters to the baseline, where it is more than one."""
    tables = ["scores"] if isinstance(source, Batches) and source.scores.batched else []
    needs = {need for one in bound for need in one.named.step.needs()}
    tables += [table for table in ("availability", "events") if table in needs]
    return tables if len(tables) > 1 else []


def missing_steps(
    present: Sequence[NamedStep], chosen: Bools, served: int, context: Context
) -> tuple[MissingStep, ...]:
    """Steps that the log's tables suggest and that the baseline does not have."""
    found = []
    for kind, argument, text in _suggestions(np.flatnonzero(chosen), served, context.logs):
        try:
            step = steps.parse(kind, argument)
            if any(step == one.step for one in present):
                continue
            found.append(MissingStep(text, BoundStep(NamedStep(text, step), step.bind(context))))
        except RankcastError:
            continue  # columns that cannot be compared suggest nothing
    return tuple(found)


def _suggestions(chosen: Ints, served: int, logs: Logs) -> Iterator[tuple[str, object, str]]:
    if len(logs.intervals.item):
        yield "available", None, "available"
    if len(logs.events.kinds) <= _MOST_KINDS:
        for event in logs.events.kinds:
            yield "not_seen", {"events": [event]}, f"not_seen: {{events: [{event}]}}"
    items, requests = logs.items.frame, logs.requests.frame
    for name in (name for name in requests.columns if name in items.columns and name not in logs.keys):
        yield "match", {f"request.{name}": f"item.{name}"}, f"match: {{request.{name}: item.{name}}}"
    position, at = spans(*logs.impressions_of(chosen))
    shown = logs.impressions.item[at]
    for name in (name for name in items.columns if name not in logs.keys):
        column = items[name]
        if column.dtype == pl.Boolean:
            values = column.gather(shown).drop_nulls()
            if len(values) and not values.any():
                yield "where", f'NOT item."{name}"', f"where: NOT item.{name}"
        elif column.dtype == pl.String or column.dtype.is_integer():
            most = _most_of_a_group(group_codes(column), position, shown)
            if 0 < most < min(served, _MOST_CAPPED + 1):
                cap = {"by": f"item.{name}", "at_most": most}
                yield "cap", cap, f"cap: {{by: item.{name}, at_most: {most}}}"


def _most_of_a_group(group: Ints, position: Ints, item: Ints) -> int:
    """The most items of one group in a list; 0 where every item is a group of its own."""
    of = group[item]
    if not len(of) or len(np.unique(group)) > len(group) // 2:
        return 0
    size = int(group.max(initial=0)) + 1
    key = position[of >= 0] * size + of[of >= 0]
    return int(np.unique(key, return_counts=True)[1].max(initial=0))
