"""REPRODUCE: the slates that users would have seen, for one shard of requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rankcast.replay import candidates as pools
from rankcast.replay.builtin import Builtin, Pool, Setting
from rankcast.replay.candidates import Batches, Scored
from rankcast.replay.fidelity import Agreement, agreement
from rankcast.replay.lists import Lists
from rankcast.replay.step import Filter, NamedStep
from rankcast.tables.logs import Bools, Floats, Ints, Logs

SERVED = "served"


@dataclass(frozen=True)
class Variant:
    """One way of scoring candidates, ready to replay: its score file or builtin, its candidates, steps and list length."""

    name: str
    source: Batches | Builtin
    candidates: str
    steps: Sequence[NamedStep]
    filters: Sequence[Filter]
    served: int


@dataclass(frozen=True)
class Service:
    """What all variants share: the logs, candidate tables by name, and what builtins may know."""

    logs: Logs
    tables: Mapping[str, Pool]
    setting: Setting


@dataclass(frozen=True)
class StepCount:
    """What a step did: counts that add up over shards."""

    step: str
    items_in: int
    removed: int
    requests: int
    emptied: int
    unknown: int | None = None

    def plus(self, other: StepCount) -> StepCount:
        """The counts of two shards together."""
        unknown = None if self.unknown is None or other.unknown is None else self.unknown + other.unknown
        return StepCount(
            self.step,
            self.items_in + other.items_in,
            self.removed + other.removed,
            self.requests + other.requests,
            self.emptied + other.emptied,
            unknown,
        )


@dataclass(frozen=True)
class Replay:
    """One variant's slates for a shard, and how they came about. Boolean and float arrays have an entry per request."""

    slates: Lists
    empty: int
    counts: tuple[StepCount, ...]
    without: Bools
    early: Bools
    candidates: int
    tied: int
    overlap: Floats
    agreement: Agreement | None

    def without_lists(self) -> Replay:
        """The same without the lists themselves, once they are on disk."""
        nothing = np.zeros(0, dtype=np.int64)
        return replace(self, slates=Lists(nothing, nothing, nothing, np.zeros(0)))


def reproduce(variants: Sequence[Variant], baseline: str, requests: Ints, service: Service) -> dict[str, Replay]:
    """Replay every variant for some requests. `baseline` is held against the impressions and lends its candidates."""
    base = next(variant for variant in variants if variant.name == baseline)
    base_scored = _score(base, None, requests, service)
    replays = {}
    for variant in variants:
        scored = base_scored if variant.name == baseline else _score(variant, base_scored, requests, service)
        slates, counts = _post_process(variant, scored.lists, service.logs)
        replays[variant.name] = Replay(
            slates,
            int((slates.lengths() == 0).sum()),
            counts,
            scored.without,
            scored.early,
            len(scored.lists.item),
            _tied(scored.lists),
            pools.overlaps(scored.lists, base_scored.lists, len(service.logs.ids.items)),
            agreement(slates, variant.served, service.logs) if variant.name == baseline else None,
        )
    return replays


def _score(variant: Variant, base: Scored | None, requests: Ints, service: Service) -> Scored:
    logs, items = service.logs, len(service.logs.ids.items)
    if isinstance(variant.source, Batches):
        scored = variant.source.candidates(requests, logs)
        if variant.candidates in {pools.SCORED, pools.AVAILABLE}:
            return scored
        return pools.restrict(scored, _pool(variant.candidates, requests, service), items)

    def pool() -> Pool:
        if variant.candidates == pools.SCORED and base is not None:
            lent = base.lists.distinct()
            return lent.position, lent.item
        kind = pools.IMPRESSIONS if variant.candidates == pools.SCORED else variant.candidates
        return _pool(kind, requests, service)

    return pools.of_builtin(variant.source, pool, requests, logs, service.setting)


def _pool(kind: str, requests: Ints, service: Service) -> Pool:
    if kind == pools.IMPRESSIONS:
        return pools.shown(requests, service.logs)
    if kind == pools.AVAILABLE:
        return pools.open_items(requests, service.logs)
    return pools.listed(requests, service.tables[kind], len(service.logs.ids.requests))


def _post_process(variant: Variant, lists: Lists, logs: Logs) -> tuple[Lists, tuple[StepCount, ...]]:
    counts = []
    for named, keep in zip(variant.steps, variant.filters, strict=True):
        mask = keep(lists)
        unknown = None
        if "availability" in named.step.needs():
            rows = np.diff(logs.intervals.start)[lists.item[~mask]]
            unknown = int((rows == 0).sum())
        counts.append(_count(named.name, lists, mask, unknown))
        lists = lists.keep(mask)
    mask = lists.ranks() <= variant.served
    counts.append(_count(SERVED, lists, mask, None))
    return lists.keep(mask), tuple(counts)


def _count(step: str, lists: Lists, mask: Bools, unknown: int | None) -> StepCount:
    before = lists.lengths()
    lost = np.bincount(lists.position[~mask], minlength=lists.n)
    return StepCount(
        step=step,
        items_in=len(mask),
        removed=int(len(mask) - mask.sum()),
        requests=int((lost > 0).sum()),
        emptied=int(((before > 0) & (lost == before)).sum()),
        unknown=unknown,
    )


def _tied(lists: Lists) -> int:
    same = (lists.position[1:] == lists.position[:-1]) & (lists.value[1:] == lists.value[:-1])
    tied = np.zeros(len(lists.item), dtype=bool)
    tied[1:] |= same
    tied[:-1] |= same
    return int(tied.sum())
