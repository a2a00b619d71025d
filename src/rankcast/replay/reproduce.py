"""REPRODUCE: the slates that users would have seen, for one shard of requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rankcast.errors import NOWHERE, Place, RankcastError
from rankcast.replay import candidates as pools
from rankcast.replay.builtin import Pool, Scorer, Setting
from rankcast.replay.candidates import Batches, Held, Scored
from rankcast.replay.fidelity.agreement import Agreement, agreement
from rankcast.replay.fidelity.logged import Logged
from rankcast.replay.fidelity.mismatches import Mismatches, explain
from rankcast.replay.fidelity.probes import MissingStep, Probed, probe
from rankcast.replay.lists import Lists
from rankcast.replay.post_processing import BoundStep, Stage, StepCount, count, cut, run_step
from rankcast.replay.ties import Grades, Tied, tied
from rankcast.replay.trail import Removed, moved, removed
from rankcast.tables.logs import Bools, Floats, Ints, Logs

FIRST = 10  # ranks by which it is told how far a list moved


@dataclass(frozen=True)
class Variant:
    """One way of scoring candidates, ready to replay: its scores or its scorer, its candidates, steps and list length.

    `borrows`: what it scored counts only where it is a candidate of others, as for a recommender that answers on its own.
    """

    name: str
    source: Batches | Scorer
    candidates: str
    steps: Sequence[BoundStep]
    served: int
    borrows: bool = False
    place: Place = NOWHERE


@dataclass(frozen=True)
class Service:
    """What all variants share: the logs, candidate tables by name, and what scorers may know."""

    logs: Logs
    tables: Mapping[str, Pool]
    setting: Setting


@dataclass(frozen=True)
class Question:
    """What is asked of a replay besides its slates. `wanted` are the (request, item) codes that ought to be candidates;
    `chosen` says by request code which requests are probed, with the `missing` steps among others; `untied`, of which ties are
    broken both ways, by the `grades` of their items.
    """

    wanted: tuple[Ints, Ints]
    chosen: Bools
    missing: Sequence[MissingStep] = ()
    untied: Bools | None = None
    grades: Grades | None = None


@dataclass(frozen=True)
class Trace:
    """How the baseline's slates relate to the log."""

    agreement: Agreement
    mismatches: Mismatches
    probed: Probed | None


@dataclass(frozen=True)
class Facts:
    """How lists came about, an entry per request of the shard.

    `candidates` and how many of them are `tied`; `without` any score, `early`: before any batch; `overlap` of candidates with
    the baseline's (NaN where both have none); `refused`: scored items that were no candidates; `outside`: wanted items that
    are no candidates; `empty` lists; those `shorter` than `served`, `cut_short`: and a step removed something, although the
    baseline's slate or the log has more; how far the first ranks `moved` against the baseline's.
    """

    candidates: Ints
    tied: Ints
    without: Bools
    early: Bools
    overlap: Floats
    refused: Ints
    outside: Ints
    empty: Bools
    shorter: Bools
    cut_short: Bools
    moved: Ints


@dataclass(frozen=True)
class Replay:
    """One variant's slates for a shard, and how they came about; the baseline's with its trace, where anything was shown.

    `removed` is what steps took within the first ranks; None where the lists were read from disk.
    """

    slates: Lists
    facts: Facts
    counts: tuple[StepCount, ...]
    trace: Trace | None
    tied: Tied | None = None
    removed: Removed | None = None


@dataclass(frozen=True)
class _Processed:
    scored: Scored
    stages: tuple[Stage, ...]
    slates: Lists
    counts: tuple[StepCount, ...]

    @property
    def last(self) -> Lists:
        """What is left after all steps, before the cut."""
        return self.stages[-1].after if self.stages else self.scored.lists

    def lost(self) -> Bools:
        """Which requests lost an item to a step."""
        lost = np.zeros(self.slates.n, dtype=bool)
        for stage in self.stages:
            lost |= stage.after.lengths() < stage.before.lengths()
        return lost


def reproduce(
    variants: Sequence[Variant], baseline: str, requests: Ints, service: Service, question: Question
) -> dict[str, Replay]:
    """Replay every variant for some requests. `baseline` is held against the impressions and lends its candidates."""
    base = next(variant for variant in variants if variant.name == baseline)
    logs = service.logs
    logged = Logged.of(requests, base.served, logs)
    base_scored = _score(base, None, requests, service)
    production = _process(base, base_scored, logs, logged)
    longest = np.maximum(production.slates.lengths(), logged.lengths)
    base_held = Held.of(base_scored.lists, len(logs.ids.items))
    replays = {}
    for variant in variants:
        if variant is base:
            done, held, trace = production, base_held, _trace(base, production, logged, service, question)
        else:
            scored, trace = _score(variant, base_scored, requests, service), None
            done, held = _process(variant, scored, logs, None), Held.of(scored.lists, len(logs.ids.items))
        facts = _facts(variant, (done, production), (held, base_held), longest, question)
        replays[variant.name] = Replay(
            replace(done.slates, logged=None),
            facts,
            done.counts,
            trace,
            _tied_lists(variant, done, question),
            removed(done.stages, variant.served, len(logs.ids.items)),
        )
    return replays


def _process(variant: Variant, scored: Scored, logs: Logs, logged: Logged | None) -> _Processed:
    """Run the steps; with `logged` the lists know at which rank the log shows each item."""
    lists = scored.lists
    if logged is not None:
        lists = logged.mark(lists)
        scored = replace(scored, lists=lists)
    stages, counts = [], []
    for bound in variant.steps:
        stage = run_step(bound, lists)
        if logged is not None:
            stage = replace(stage, after=logged.mark(stage.after))
        counts.append(count(stage, logs))
        stages.append(stage)
        lists = stage.after
    slates, final = cut(lists, variant.served)
    return _Processed(scored, tuple(stages), slates, (*counts, final))


def _trace(base: Variant, done: _Processed, logged: Logged, service: Service, question: Question) -> Trace | None:
    if not len(service.logs.impressions.item):
        return None
    found = agreement(done.slates, done.stages, done.scored.lists, base.served, logged)
    slates = done.slates.distinct()
    differs = logged.measured & (found.overlap < 1)
    why = explain(slates, done.stages, done.scored.lists, done.scored.early, base.source, logged, service.logs)
    probed = probe(
        base.source,
        base.steps,
        question.missing,
        (done.scored.lists, done.last),
        found.overlap,
        differs & question.chosen[slates.requests],
        base.served,
        service.logs,
    )
    return Trace(found, why, probed)


def _facts(
    variant: Variant, both: tuple[_Processed, _Processed], held: tuple[Held, Held], longest: Ints, question: Question
) -> Facts:
    """`both` and `held`: what became of the lists, and the candidates, of the variant and of the baseline."""
    done, base = both
    scored, lists = done.scored, done.scored.lists
    shown = done.slates.lengths()
    shorter = shown < variant.served
    return Facts(
        candidates=lists.lengths(),
        tied=_tied(lists),
        without=scored.without,
        early=scored.early,
        overlap=held[0].overlap(held[1]),
        refused=scored.refused,
        outside=held[0].without(*_wanted(lists.requests, question.wanted)),
        empty=shown == 0,
        shorter=shorter,
        cut_short=shorter & done.lost() & (longest > shown),
        moved=np.zeros(done.slates.n, dtype=np.int64) if done is base else moved(done.slates, base.slates, FIRST),
    )


def _wanted(requests: Ints, wanted: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
    """Of wanted (request, item) codes, those of some requests, with positions for the requests."""
    request, item = wanted
    order = np.argsort(requests, kind="stable")
    at = np.minimum(np.searchsorted(requests[order], request), max(len(order) - 1, 0))
    mine = requests[order][at] == request if len(order) else np.zeros(len(request), dtype=bool)
    return order[at[mine]], item[mine]


def _score(variant: Variant, base: Scored | None, requests: Ints, service: Service) -> Scored:
    logs, items = service.logs, len(service.logs.ids.items)
    if isinstance(variant.source, Batches):
        scored = variant.source.candidates(requests, logs)
        if variant.candidates == pools.SCORED and variant.borrows and base is not None:
            return pools.restrict(scored, _lent(base), items)
        if variant.candidates == pools.SCORED or (variant.candidates == pools.AVAILABLE and not variant.borrows):
            return scored
        return pools.restrict(scored, _pool(variant.candidates, requests, service), items)

    def pool() -> Pool:
        if variant.candidates == pools.SCORED and base is not None:
            return _lent(base)
        kind = pools.IMPRESSIONS if variant.candidates == pools.SCORED else variant.candidates
        return _pool(kind, requests, service)

    with variant.place.blamed():
        return pools.of_scorer(variant.source, pool, requests, logs, service.setting)


def _lent(base: Scored) -> Pool:
    lists = base.lists.distinct()
    return lists.position, lists.item


def _pool(kind: str, requests: Ints, service: Service) -> Pool:
    if kind == pools.IMPRESSIONS:
        return pools.shown(requests, service.logs)
    if kind == pools.AVAILABLE:
        return pools.open_items(requests, service.logs)
    return pools.listed(requests, service.tables[kind], len(service.logs.ids.requests))


def _tied_lists(variant: Variant, done: _Processed, question: Question) -> Tied | None:
    if question.untied is None or question.grades is None:
        return None
    lists = done.scored.lists
    try:
        return tied(lists, variant.steps, variant.served, question.untied[lists.requests], question.grades)
    except RankcastError:  # private code that refuses another order of equals
        return None


def _tied(lists: Lists) -> Ints:
    """Candidates of each request whose score equals another's."""
    same = (lists.position[1:] == lists.position[:-1]) & (lists.value[1:] == lists.value[:-1])
    tied = np.zeros(len(lists.item), dtype=bool)
    tied[1:] |= same
    tied[:-1] |= same
    return np.bincount(lists.position[tied], minlength=lists.n)
