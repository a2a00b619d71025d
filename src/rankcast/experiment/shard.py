"""One pure function evaluates one shard: from requests to slates and values. Everything per request happens here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rankcast.errors import NOWHERE, Place
from rankcast.evaluate.concentration import Times, times
from rankcast.evaluate.exposure import Shown
from rankcast.evaluate.impressed import Impressed
from rankcast.evaluate.judge import Scene, Slates, judge
from rankcast.evaluate.judged import Judged
from rankcast.evaluate.metric import Metric, RequestMetric, VariantMetric, values
from rankcast.evaluate.truth.labels import Labels
from rankcast.evaluate.unjudged import at_best, condensed, share, unknown_rows
from rankcast.experiment import saved, trails
from rankcast.replay.builtin import Pool, Scorer, Setting
from rankcast.replay.candidates import Batches
from rankcast.replay.fidelity.logged import Logged
from rankcast.replay.fidelity.probes import MissingStep, missing_steps
from rankcast.replay.lists import Lists
from rankcast.replay.post_processing import BoundStep
from rankcast.replay.reproduce import Question, Replay, Service, Variant, reproduce
from rankcast.replay.shown import Seen, logged_lists, seen
from rankcast.replay.step import Context, NamedStep
from rankcast.replay.steps.not_seen import NotSeen
from rankcast.replay.ties import Tied
from rankcast.tables import columns as c
from rankcast.tables.logs import Bools, Floats, Ints, Logs, Placements
from rankcast.tables.parts import PoolParts, ScoreParts
from rankcast.tables.ragged import spans

TARGET = "target"


@dataclass(frozen=True)
class Model:
    """A variant as it waits to be replayed: where its scores come from, and what happens to its lists."""

    name: str
    source: ScoreParts | Scorer
    candidates: str
    steps: tuple[NamedStep, ...]
    served: int
    borrows: bool = False
    place: Place = NOWHERE


@dataclass(frozen=True)
class Shard:
    """All requests (codes) of some users, and where their rows of wide tables are; `saved_in`: a folder that has it already."""

    name: str
    requests: Ints
    part: int | None
    saved_in: Path | None = None


@dataclass(frozen=True)
class Shadow:
    """A metric that is measured for a rule alone, perhaps by other labels."""

    name: str
    metric: RequestMetric
    labels: Labels | None = None


@dataclass(frozen=True)
class Work:
    """What every shard needs besides its requests. `is_target` and `chosen` have an entry per request code; `models` are
    empty where all lists are there already, `names` are those of all variants.

    Of the metrics that are `weighed`, it is told how much rests on items that are not `impressed`, whose grade is at most `best`
    and, where `bounded`, not below 0;
    `looked`: the requests whose lists tell how far users look. Of the `primary` metric it is told what ties are worth; `shadows`
    are measured besides; `graded` are the kinds of events that count.
    """

    logs: Logs
    setting: Setting
    models: Sequence[Model]
    names: tuple[str, ...]
    baseline: str
    baseline_served: int
    pools: Mapping[str, PoolParts]
    placements: Mapping[str, Placements]
    labels: Labels
    scene: Scene
    is_target: Bools
    chosen: Bools
    metrics: Sequence[Metric]
    unlabelled_as_zero: bool
    folder: Path
    weighed: Sequence[RequestMetric] = ()
    best: float = 0.0
    bounded: bool = True
    impressed: Impressed | None = None
    looked: Bools | None = None
    primary: RequestMetric | None = None
    shadows: Sequence[Shadow] = ()
    graded: tuple[str, ...] = ()

    @property
    def base(self) -> Model:
        """The model that reproduces production."""
        return next(model for model in self.models if model.name == self.baseline)

    @cached_property
    def steps(self) -> Mapping[str, tuple[BoundStep, ...]]:
        """Each model's steps with everything looked up: once a process."""
        bound: dict[tuple[Place, str], BoundStep] = {}  # variants mostly share production's
        for named in (named for model in self.models for named in model.steps):
            if (named.place, named.name) not in bound:
                bound[named.place, named.name] = self._bind(named)
        return {model.name: tuple(bound[one.place, one.name] for one in model.steps) for model in self.models}

    @cached_property
    def unseen(self) -> Mapping[str, BoundStep]:
        """By graded kind, the step that keeps what the user had no such event on before."""
        return {kind: self._bind(NamedStep(kind, NotSeen((kind,), None))) for kind in self.graded}

    @cached_property
    def missing(self) -> tuple[MissingStep, ...]:
        """Steps that production may have besides."""
        if not len(self.logs.impressions.item):
            return ()
        return missing_steps(self.base.steps, self.chosen, self.base.served, Context(self.logs, self.setting.seed))

    def _bind(self, named: NamedStep) -> BoundStep:
        placed = None if named.table is None else self.placements[named.table]
        with named.place.blamed():
            change = named.step.bind(Context(self.logs, self.setting.seed, placed))
        return BoundStep(named, change, placed)

    def look_up(self) -> None:
        """Look everything up now: what cannot be is told before any work begins."""
        _ = self.steps, self.missing

    def __getstate__(self) -> dict[str, Any]:
        """What was looked up stays behind when the work moves to another process."""
        return {name: value for name, value in self.__dict__.items() if name not in {"steps", "missing", "unseen"}}


@dataclass(frozen=True)
class Doubt:
    """By metric, of each target: the unjudged share of the list, the value without unjudged items, and the value if they all had
    the best grade (for metrics of hits).
    """

    unjudged: Mapping[str, Floats]
    condensed: Mapping[str, Floats]
    at_best: Mapping[str, Floats]


@dataclass(frozen=True)
class TieValues:
    """The primary metric of targets (request codes) with ties, ordered at best and at worst."""

    targets: Ints
    best: Floats
    worst: Floats


@dataclass(frozen=True)
class Outcome:
    """A shard's tables and counts. By variant and metric, `values` have an entry per target of the shard, and `shown` is the
    state of metrics per variant, whose owners are request codes; `logged` are the values of the lists that were really shown.
    `doubts`: by variant, what rests on unjudged items. `shadows` are as `values`, `seen` is what lists show (None: those of the
    log), `ties` what equal scores are worth, `exposure` how often items are shown. `looked`: impressions (rows) and the
    baseline's score of each.
    """

    requests: Ints
    targets: Ints
    replays: Mapping[str, Replay]
    values: Mapping[str, Mapping[str, Floats]]
    shown: Mapping[str, Mapping[str, Shown]]
    logged: Mapping[str, Floats]
    doubts: Mapping[str, Doubt]
    looked: tuple[Ints, Floats]
    shadows: Mapping[str, Mapping[str, Floats]]
    seen: Mapping[str | None, Seen]
    ties: Mapping[str, TieValues]
    exposure: Mapping[str, Times]


def evaluate_shard(work: Work, shard: Shard) -> Outcome:
    """Replay (unless that was done before) and judge some requests; the lists stay on disk."""
    if shard.saved_in is None:
        requests, replays = shard.requests, _replay(work, shard)
    else:
        requests, replays = saved.read(shard.saved_in, shard.name, work.logs)
    mask = work.is_target[requests]
    targets = requests[mask]
    target_of = np.cumsum(mask) - 1
    judged_values, shown, open_to_doubt, shadows = {}, {}, {}, {}
    for name, replay in replays.items():
        rows = mask[replay.slates.position]
        slates = Slates(
            len(targets), target_of[replay.slates.position[rows]], replay.slates.item[rows], replay.slates.ranks()[rows]
        )
        judged = judge(slates, targets, work.labels, work.scene)
        judged_values[name] = values(judged, work.metrics, work.unlabelled_as_zero)
        shadows[name] = {one.name: _shadow(work, one, judged, slates, targets) for one in work.shadows}
        if work.impressed is not None:
            open_to_doubt[name] = _doubt(work, work.impressed, judged, targets)
        once = judged.rows_within(None)
        everything = Shown(targets[once.target], once.item, once.rank)
        pooled = [metric for metric in work.metrics if isinstance(metric, VariantMetric)]
        # Metrics of one cut that add in one way have one state.
        states = {(metric.k, type(metric).add): metric for metric in pooled}
        added = {way: metric.add(metric.create(), everything) for way, metric in states.items()}
        shown[name] = {str(metric): added[metric.k, type(metric).add] for metric in pooled}
    if shard.saved_in != work.folder:
        if shard.saved_in is None:
            trails.write(work.folder, shard.name, replays, work.baseline, work.chosen, work.logs)
        slates_frame = pl.concat([_slate_rows(name, replay.slates, work) for name, replay in replays.items()])
        saved.write(work.folder, shard.name, slates_frame, replays, work.logs)
    light = {name: replace(replay, slates=_nothing(requests), removed=None) for name, replay in replays.items()}
    logged, looked = _logged_values(work, targets), _looked(work, requests, replays[work.baseline])
    return Outcome(
        requests,
        targets,
        light,
        judged_values,
        shown,
        logged,
        open_to_doubt,
        looked,
        shadows,
        _seen(work, requests, replays) if work.metrics else {},
        {name: _tie_values(work, replay.tied) for name, replay in replays.items() if replay.tied is not None},
        {name: times(replay.slates.item) for name, replay in replays.items()},
    )


def _shadow(work: Work, shadow: Shadow, judged: Judged, slates: Slates, targets: Ints) -> Floats:
    if shadow.labels is not None:
        judged = judge(slates, targets, shadow.labels, work.scene)
    return values(judged, [shadow.metric], work.unlabelled_as_zero)[str(shadow.metric)]


def _seen(work: Work, requests: Ints, replays: Mapping[str, Replay]) -> dict[str | None, Seen]:
    base = replays[work.baseline].slates
    found: dict[str | None, Seen] = {
        name: seen(replay.slates, base, work.logs, work.unseen, work.chosen, work.baseline_served)
        for name, replay in replays.items()
    }
    if len(work.logs.impressions.item):
        logged = logged_lists(requests, work.logs).first(work.baseline_served)  # as fidelity looks at them
        found[None] = seen(logged, None, work.logs, work.unseen, work.chosen, work.baseline_served)
    return found


def _tie_values(work: Work, tied: Tied) -> TieValues:
    """What both orders are worth; nothing where the primary metric has no value per request."""
    targets, nothing = tied.best.requests, np.zeros(0)
    if work.primary is None:
        return TieValues(np.zeros(0, dtype=np.int64), nothing, nothing)

    def worth(lists: Lists, metric: RequestMetric) -> Floats:
        slates = Slates(len(targets), lists.position, lists.item, lists.ranks())
        judged = judge(slates, targets, work.labels, work.scene)
        return values(judged, [metric], work.unlabelled_as_zero)[str(metric)]

    return TieValues(targets, worth(tied.best, work.primary), worth(tied.worst, work.primary))


def _doubt(work: Work, impressed: Impressed, judged: Judged, targets: Ints) -> Doubt:
    rows = judged.rows_within(None)
    unknown = unknown_rows(rows, targets, work.labels, impressed, work.scene)
    closed = judge(condensed(rows, unknown, judged.n), targets, work.labels, work.scene) if unknown.any() else judged
    best = at_best(judged, rows, unknown, work.best) if unknown.any() else judged
    of_hits = [metric for metric in work.weighed if metric.of_hits and work.bounded]
    return Doubt(
        {str(metric): share(rows, unknown, metric.k, judged.n) for metric in work.weighed},
        values(closed, work.weighed, work.unlabelled_as_zero),
        values(best, of_hits, work.unlabelled_as_zero),
    )


def _looked(work: Work, requests: Ints, replay: Replay) -> tuple[Ints, Floats]:
    """Impressions of the requests that are looked at, and the score that the replayed baseline gave them (NaN: none)."""
    logs, nothing = work.logs, np.zeros(0, dtype=np.int64)
    if work.looked is None or not len(logs.impressions.item):
        return nothing, np.zeros(0)
    position = np.flatnonzero(work.looked[requests])
    start, length = logs.impressions_of(requests[position])
    owner, at = spans(start, length)
    once = ~logs.impressions.repeated[at]
    owner, at = position[owner[once]], at[once]
    size = np.int64(len(logs.ids.items) + 1)
    lists = replay.slates
    keys, wanted = lists.position * size + lists.item, owner * size + logs.impressions.item[at]
    if not len(keys):
        return at, np.full(len(at), np.nan)
    order = np.argsort(keys, kind="stable")
    place = order[np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)]
    return at, np.where(keys[place] == wanted, lists.value[place], np.nan)


def _replay(work: Work, shard: Shard) -> dict[str, Replay]:
    pools: dict[str, Pool] = {} if shard.part is None else {
        name: parts.read(shard.part) for name, parts in work.pools.items()
    }  # fmt: skip
    variants = [
        Variant(
            name=model.name,
            source=Batches.of(model.source.read(shard.part or 0))
            if isinstance(model.source, ScoreParts)
            else model.source,
            candidates=model.candidates,
            steps=work.steps[model.name],
            served=model.served,
            borrows=model.borrows,
            place=model.place,
        )
        for model in work.models
    ]
    question = Question(
        work.labels.relevant_of(shard.requests[work.is_target[shard.requests]])[:2],
        work.chosen,
        work.missing,
        work.chosen & work.is_target,
        work.labels.grades_of,
    )
    service = Service(work.logs, pools, work.setting)
    return reproduce(variants, work.baseline, shard.requests, service, question)


def _logged_values(work: Work, targets: Ints) -> Mapping[str, Floats]:
    """What the lists that were shown are worth by each metric that has a value per request; NaN where nothing was shown."""
    if not len(work.logs.impressions.item):
        return {}
    logged = Logged.of(targets, work.baseline_served, work.logs)
    slates = Slates(len(targets), logged.position, logged.item, logged.rank)
    judged = judge(slates, targets, work.labels, work.scene)
    measured = logged.measured
    return {
        name: np.where(measured, column, np.nan)
        for name, column in values(judged, work.metrics, work.unlabelled_as_zero).items()
    }


def _nothing(requests: Ints) -> Lists:
    """Lists that are on disk need no memory."""
    nothing = np.zeros(0, dtype=np.int64)
    return Lists(requests, nothing, nothing, np.zeros(0))


def _slate_rows(variant: str, slates: Lists, work: Work) -> pl.DataFrame:
    logs = work.logs
    requests = slates.row_requests()
    return pl.DataFrame(
        {
            c.VARIANT: pl.repeat(variant, len(requests), eager=True),
            c.REQUEST_ID: logs.ids.requests.gather(requests),
            c.USER_ID: logs.ids.users.gather(logs.requests.user[requests]),
            c.RANK: slates.ranks(),
            c.ITEM_ID: logs.ids.items.gather(slates.item),
            c.SCORE: pl.Series(slates.value, nan_to_null=True),
            c.GRADE: pl.Series(work.labels.grades_of(slates.requests, slates.position, slates.item), nan_to_null=True),
            TARGET: work.is_target[requests],
        }
    )
