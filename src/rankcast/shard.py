"""One pure function evaluates one shard: from requests to slates and values. Everything per request happens here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from rankcast.evaluate.exposure import Shown
from rankcast.evaluate.judge import Scene, Slates, judge
from rankcast.evaluate.labels import Labels
from rankcast.evaluate.metric import Metric, VariantMetric, values
from rankcast.replay.lists import Lists
from rankcast.replay.reproduce import Replay, Service, Variant, reproduce
from rankcast.tables import columns as c
from rankcast.tables.logs import Bools, Floats, Ints

TARGET = "target"


@dataclass(frozen=True)
class Work:
    """What every shard needs besides its requests. `is_target` has an entry per request code."""

    service: Service
    variants: Sequence[Variant]
    baseline: str
    labels: Labels
    scene: Scene
    is_target: Bools
    metrics: Sequence[Metric]
    unlabelled_as_zero: bool


@dataclass(frozen=True)
class Outcome:
    """A shard's tables and counts. By variant and metric, `values` have an entry per target of the shard, and `shown` is the
    state of metrics per variant, whose owners are request codes.
    """

    requests: Ints
    targets: Ints
    replays: Mapping[str, Replay]
    values: Mapping[str, Mapping[str, Floats]]
    shown: Mapping[str, Mapping[str, Shown]]
    slates: pl.DataFrame


def evaluate_shard(work: Work, requests: Ints) -> Outcome:
    """Replay and judge some requests. Depends on nothing but its arguments."""
    replays = reproduce(work.variants, work.baseline, requests, work.service)
    mask = work.is_target[requests]
    targets = requests[mask]
    target_of = np.cumsum(mask) - 1
    judged_values, shown = {}, {}
    for name, replay in replays.items():
        rows = mask[replay.slates.position]
        slates = Slates(
            len(targets), target_of[replay.slates.position[rows]], replay.slates.item[rows], replay.slates.ranks()[rows]
        )
        judged = judge(slates, targets, work.labels, work.scene)
        judged_values[name] = values(judged, work.metrics, work.unlabelled_as_zero)
        once = judged.rows_within(None)
        everything = Shown(targets[once.target], once.item, once.rank)
        pooled = [metric for metric in work.metrics if isinstance(metric, VariantMetric)]
        # Metrics of one cut that add in one way have one state.
        states = {(metric.k, type(metric).add): metric for metric in pooled}
        added = {way: metric.add(metric.create(), everything) for way, metric in states.items()}
        shown[name] = {str(metric): added[metric.k, type(metric).add] for metric in pooled}
    frames = [_slate_rows(name, replay.slates, work) for name, replay in replays.items()]
    return Outcome(requests, targets, replays, judged_values, shown, pl.concat(frames))


def _slate_rows(variant: str, slates: Lists, work: Work) -> pl.DataFrame:
    logs = work.service.logs
    requests = slates.row_requests()
    return pl.DataFrame(
        {
            c.VARIANT: pl.repeat(variant, len(requests), eager=True),
            c.REQUEST_ID: logs.ids.requests.gather(requests),
            c.USER_ID: logs.ids.users.gather(logs.requests.user[requests]),
            c.RANK: slates.ranks(),
            c.ITEM_ID: logs.ids.items.gather(slates.item),
            c.SCORE: slates.value,
            c.GRADE: pl.Series(work.labels.grades_of(slates.requests, slates.position, slates.item), nan_to_null=True),
            TARGET: work.is_target[requests],
        }
    )
