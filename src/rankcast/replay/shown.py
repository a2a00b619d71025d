"""What lists show: items that were closed, that the user had acted on, that stand twice. Counts that add up over shards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from rankcast.replay.fidelity.logged import Logged
from rankcast.replay.fidelity.rank_agreement import Common, rank_biased_overlap
from rankcast.replay.lists import Lists
from rankcast.replay.post_processing import BoundStep, run_step
from rankcast.replay.steps.available import is_open
from rankcast.tables.logs import Bools, Floats, Ints, Logs
from rankcast.tables.ragged import repeats, spans

MOST_EXAMPLES = 5
CLOSED, UNLISTED, REPEATED = "closed", "unlisted", "repeated"


@dataclass(frozen=True)
class Seen:
    """Of the lists of a shard: how many show something, their rows, those of them that are odd; the rank-biased overlap with
    the log of a sample of them, in order of the request; examples as (request, item) codes.
    """

    requests: int
    rows: int
    closed: int
    unlisted: int
    consumed: Mapping[str, int]
    repeated: int
    same: int
    logged: Ints
    rbo: Floats
    examples: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)


def seen(
    lists: Lists, base: Lists | None, logs: Logs, unseen: Mapping[str, BoundStep], chosen: Bools, served: int
) -> Seen:
    """Look at some lists. `base`: the baseline's for the same requests; `unseen`: by kind of event, the step that keeps what the
    user had no such event on before; `chosen`: by request code, whose overlap with the first
    `served` of the log is measured.
    """
    request, item, time = lists.row_requests(), lists.item, lists.row_times(logs)
    unlisted = np.diff(logs.intervals.start)[item] == 0 if len(logs.intervals.item) else np.zeros(len(item), dtype=bool)
    closed = ~is_open(item, time, logs) & ~unlisted if len(logs.intervals.item) else unlisted
    twice = repeats(lists.pairs(len(logs.ids.items) + 1))
    again = np.zeros(len(item), dtype=bool)
    again[twice] = True
    measured, rbo = _overlap(lists, logs, chosen, served)
    odd = {CLOSED: closed, UNLISTED: unlisted, REPEATED: again}
    return Seen(
        requests=int((lists.lengths() > 0).sum()),
        rows=len(item),
        closed=int(closed.sum()),
        unlisted=int(unlisted.sum()),
        consumed={kind: len(item) - len(run_step(step, lists).after.item) for kind, step in unseen.items()},
        repeated=len(np.unique(lists.position[again])),
        same=0 if base is None else int(_same(lists, base).sum()),
        logged=measured,
        rbo=rbo,
        examples={name: _first(request[mask], item[mask]) for name, mask in odd.items()},
    )


def together(parts: Iterable[Seen]) -> Seen:
    """Of several shards; the same whatever their order."""
    parts = list(parts)
    logged = np.concatenate([part.logged for part in parts])
    order = np.argsort(logged, kind="stable")
    examples = {
        name: tuple(sorted(pair for part in parts for pair in part.examples[name])[:MOST_EXAMPLES])
        for name in parts[0].examples
    }
    return Seen(
        **{name: sum(getattr(part, name) for part in parts) for name in _COUNTS},
        consumed={kind: sum(part.consumed[kind] for part in parts) for kind in parts[0].consumed},
        logged=logged[order],
        rbo=np.concatenate([part.rbo for part in parts])[order],
        examples=examples,
    )


_COUNTS = ("requests", "rows", "closed", "unlisted", "repeated", "same")


def logged_lists(requests: Ints, logs: Logs) -> Lists:
    """The lists that were really shown to some requests, as the log has them."""
    position, at = spans(*logs.impressions_of(requests))
    item = logs.impressions.item[at]
    return Lists(requests, position, item, np.full(len(item), np.nan), repeats=True)


def _first(request: Ints, item: Ints) -> tuple[tuple[int, int], ...]:
    order = np.lexsort((item, request))[:MOST_EXAMPLES]
    return tuple((int(request[row]), int(item[row])) for row in order)


def _same(lists: Lists, base: Lists) -> Bools:
    """Which requests have the same items in the same order in both."""
    ours, theirs = lists.lengths(), base.lengths()
    same: Bools = ours == theirs
    one = np.flatnonzero(same[lists.position])
    other = np.flatnonzero(same[base.position])
    differs = lists.item[one] != base.item[other]
    same[lists.position[one[differs]]] = False
    return same


def _overlap(lists: Lists, logs: Logs, chosen: Bools, served: int) -> tuple[Ints, Floats]:
    """Requests of the sample with impressions, and how much their lists have in common with these."""
    at = np.flatnonzero(chosen[lists.requests])
    if not len(at) or not len(logs.impressions.item):
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    mine = lists.only(at).distinct()
    log = Logged.of(mine.requests, served, logs)
    theirs = log.ranks_of(mine.position, mine.item)
    hit = theirs > 0
    common = Common(mine.position[hit], mine.ranks()[hit], theirs[hit], mine.lengths(), log.lengths)
    found = rank_biased_overlap(common).extrapolated
    return mine.requests[log.measured], found[log.measured]
