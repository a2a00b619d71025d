"""Shards become one: tables in their canonical order, counts added up. No result depends on how the work was split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl

from rankcast.comparison.influence import Mover
from rankcast.comparison.table import Doubts, MetricColumn, ValuesTable
from rankcast.config.plan import Plan, PlannedMetric
from rankcast.evaluate.catalogue import Catalogue
from rankcast.evaluate.concentration import Times, lorenz, top_share
from rankcast.evaluate.exposure import Pool, Shown
from rankcast.evaluate.metric import VariantMetric, read
from rankcast.evaluate.truth.labels import REASONS, Outcomes
from rankcast.evaluate.truth.targets import Population
from rankcast.experiment.grouping import JudgedBy
from rankcast.experiment.shard import Outcome, Work
from rankcast.records import Count, ExposureRow, Fidelity, InfluenceRow, ItemRow, StepRow, VariantRow
from rankcast.replay.post_processing import StepCount
from rankcast.replay.reproduce import Facts
from rankcast.sources.load import POOLED, SCORED
from rankcast.sources.oddities import PLACED
from rankcast.tables import columns as c
from rankcast.tables.logs import Bools, Floats, Ints, Logs


def step_rows(done: Sequence[Outcome]) -> tuple[StepRow, ...]:
    """What each step did to each variant's lists."""
    rows = []
    for variant in done[0].replays:
        totals: list[StepCount] = list(done[0].replays[variant].counts)
        for outcome in done[1:]:
            totals = [one.plus(two) for one, two in zip(totals, outcome.replays[variant].counts, strict=True)]
        rows += [
            StepRow(
                variant=variant,
                step=total.step,
                in_=total.items_in,
                removed=total.removed,
                requests=total.requests,
                emptied=total.emptied,
                unknown=total.unknown,
                added=total.added,
                reordered=total.reordered,
            )
            for total in totals
        ]
    return tuple(rows)


def variant_rows(work: Work, done: Sequence[Outcome]) -> tuple[VariantRow, ...]:
    """How each variant's lists came about."""
    requests = sum(len(outcome.requests) for outcome in done)
    positives = int(sum((labels_of_targets(work, outcome.targets) for outcome in done), start=0))
    rows = []
    for variant in done[0].replays:
        facts = [outcome.replays[variant].facts for outcome in done]

        def total(name: str, facts: Sequence[Facts] = facts) -> int:
            return int(sum(getattr(one, name).sum() for one in facts))

        candidates, outside = total("candidates"), total("outside")
        overlap = by_request(done, [one.overlap for one in facts])
        overlap = overlap[~np.isnan(overlap)]
        rows.append(
            VariantRow(
                variant=variant,
                requests=requests,
                without_scores=total("without"),
                before_any_batch=total("early"),
                empty_slates=total("empty"),
                candidates=candidates,
                tied_share=total("tied") / candidates if candidates else None,
                candidate_overlap=float(overlap.mean()) if len(overlap) else None,
                not_candidates=total("refused"),
                positives=positives,
                positives_outside=outside,
                recall_ceiling=1 - outside / positives if positives else None,
                short=total("shorter"),
                cut_short=total("cut_short"),
            )
        )
    return tuple(rows)


def exposure_rows(
    plan: Plan, work: Work, done: Sequence[Outcome], replayed: Ints
) -> tuple[tuple[ExposureRow, ...], tuple[ItemRow, ...]]:
    """How every variant spreads its places over items, and which items gain and lose most against the baseline."""
    times = {name: done[0].exposure[name].plus(one.exposure[name] for one in done[1:]) for name in work.names}
    pool = _could_be_shown(plan, work, replayed)
    spread = tuple(_exposure_row(name, found, pool) for name, found in times.items())
    base = times[work.baseline]
    moved = [_movers(name, found, base, work.logs) for name, found in times.items() if name != work.baseline]
    return spread, tuple(row for rows in moved for row in rows)


def _could_be_shown(plan: Plan, work: Work, replayed: Ints) -> Bools | None:
    """Which items were open at the time of a replayed request; without such a table, all of `items`; None without any."""
    logs = work.logs
    if plan.service.tables.availability is not None:
        return logs.intervals.open_items(logs.requests.time[replayed])
    return logs.items.known if plan.service.tables.items is not None else None


def _exposure_row(variant: str, times: Times, pool: Bools | None) -> ExposureRow:
    never = 0 if pool is None else int((pool & (times.of(np.arange(len(pool))) == 0)).sum())
    curve = lorenz(times.count, never)
    return ExposureRow(
        variant=variant,
        places=int(times.count.sum()),
        items=len(times.item),
        available=None if pool is None else int(pool.sum()),
        top_1=top_share(times.count, never, 0.01),
        top_10=top_share(times.count, never, 0.1),
        lorenz=() if np.isnan(curve).any() else tuple(float(one) for one in curve),
    )


def _movers(variant: str, times: Times, base: Times, logs: Logs) -> list[ItemRow]:
    """The items that gained most, then those that lost most; of equals the first by id."""
    items = np.union1d(times.item, base.item)
    ours, theirs = times.of(items), base.of(items)
    gain = ours - theirs
    most = np.argsort(-gain, kind="stable")[:MOST_ITEMS]
    least = np.argsort(gain, kind="stable")[:MOST_ITEMS]
    chosen = [*most[gain[most] > 0], *least[gain[least] < 0]]
    return [
        ItemRow(
            variant=variant,
            item_id=logs.ids.items[int(items[at])],
            shown=int(ours[at]),
            shown_by_baseline=int(theirs[at]),
        )
        for at in chosen
    ]


def labels_of_targets(work: Work, targets: Ints) -> int:
    """How many labels above 0 some targets have."""
    positive = np.concatenate(([0], np.cumsum(work.labels.grade > 0)))
    counts: Ints = positive[work.labels.start[targets + 1]] - positive[work.labels.start[targets]]
    return int(counts.sum())


def invalid(measured: Fidelity | None, at_least: float, waived: bool = False) -> str | None:
    """Why nothing may be concluded, when the replayed baseline is not what users saw. `waived`: somebody allowed rule RP02."""
    if measured is None or measured.overlap is None or measured.overlap >= at_least:
        return None
    return (
        f"fidelity {measured.overlap:.3f} is below {at_least:g}: the replayed baseline is not what users saw, so neither "
        "is the replay of a variant"
        + ("; a waiver of RP02 does not lift the bar: lower `fidelity.at_least`" if waived else "")
    )


MOST_ITEMS = 10  # that gain, and that lose
CLUSTER = "cluster"  # of the values table: what targets have in common besides their user
_TABLES = ("", SCORED, POOLED, PLACED)


def in_order(counts: Iterable[Count]) -> tuple[Count, ...]:
    """Counts by kind of table and name, whether their tables were read now or by an earlier run."""

    def kind(count: Count) -> tuple[int, str]:
        prefix = next((one for one in _TABLES[1:] if count.table.startswith(one)), "")
        return _TABLES.index(prefix), (count.table + count.what) if prefix else ""

    return tuple(sorted(counts, key=kind))


def longer_logged(work: Work, population: Population) -> list[Count]:
    """Logged lists that are longer than what the study says is served: is `served` too short?"""
    lengths = np.diff(work.logs.impressions.start)[population.replayed]
    if not lengths.any():
        return []
    return [
        Count(
            table="impressions",
            what=f"replayed requests whose logged list is longer than `served` ({work.baseline_served})",
            count=int((lengths > work.baseline_served).sum()),
            of=int((lengths > 0).sum()),
        )
    ]


def label_counts(outcomes: Outcomes) -> list[Count]:
    """What became of the graded events."""
    reasons = outcomes.reasons()
    words = ("that count for a request", f"with {REASONS[1]}", REASONS[2])
    events = len(np.unique(outcomes.event))
    return [
        Count(
            table="labels",
            what=f"graded events {text}",
            count=len(np.unique(outcomes.event[reasons == reason])),
            of=events,
        )
        for reason, text in enumerate(words)
    ]


def values_table(
    plan: Plan, work: Work, done: Sequence[Outcome], population: Population, judged_by: JudgedBy
) -> ValuesTable:
    """The values table over all shards, targets in order of request_id."""
    parts = judged_by.parts
    logs, targets = work.logs, population.targets
    order = np.argsort(np.concatenate([outcome.targets for outcome in done]), kind="stable")
    user = logs.requests.user[targets]
    masks = tuple(part.mask for part in parts)
    catalogues = tuple(_catalogue(plan, work, targets[mask]) for mask in masks)

    def column(planned: PlannedMetric) -> MetricColumn:
        metric, name = planned.metric, str(planned.metric)
        about = (name, planned.family, metric.higher_is_better)
        if isinstance(metric, VariantMetric):
            pools = {
                variant: _pool(metric, [outcome.shown[variant][name] for outcome in done], targets)
                for variant in work.names
            }
            pooled = {
                variant: Pool(partial(read, metric), shown, user, masks, catalogues) for variant, shown in pools.items()
            }
            return MetricColumn(
                *about, values=None, pooled=pooled, bounds=metric.bounds, at_most_worse=planned.at_most_worse
            )

        def gathered(of: Callable[[Outcome], Mapping[str, Floats]]) -> Floats:
            return np.concatenate([of(outcome)[name] for outcome in done])[order]

        columns = {variant: gathered(partial(_values, variant)) for variant in work.names}
        doubts = {}
        if work.impressed is not None and name in {str(one) for one in work.weighed}:
            for variant in work.names:
                unjudged, closed = gathered(partial(_unjudged, variant)), gathered(partial(_condensed, variant))
                best = gathered(partial(_at_best, variant)) if metric.of_hits and work.bounded else None
                doubts[variant] = Doubts(unjudged, closed, best)
        return MetricColumn(
            *about, values=columns, bounds=metric.bounds, at_most_worse=planned.at_most_worse, doubts=doubts
        )

    return ValuesTable(
        baseline=plan.study.baseline,
        variants=tuple(variant.name for variant in plan.variants),
        decided=frozenset(
            variant.name for variant in plan.variants if variant.decided and variant.name != plan.study.baseline
        ),
        user=user,
        weight=judged_by.averages[0].weight,
        parts=tuple(parts),
        metrics=tuple(column(planned) for planned in plan.metrics),
        averages=judged_by.averages,
        others=judged_by.others,
        mixes=judged_by.mixes,
        covariate=judged_by.covariate,
    )


def _values(variant: str, outcome: Outcome) -> Mapping[str, Floats]:
    return outcome.values[variant]


def _unjudged(variant: str, outcome: Outcome) -> Mapping[str, Floats]:
    return outcome.doubts[variant].unjudged


def _condensed(variant: str, outcome: Outcome) -> Mapping[str, Floats]:
    return outcome.doubts[variant].condensed


def _at_best(variant: str, outcome: Outcome) -> Mapping[str, Floats]:
    return outcome.doubts[variant].at_best


def influence_rows(movers: Sequence[Mover], logs: Logs, population: Population) -> tuple[InfluenceRow, ...]:
    """Who moves a difference, by their ids."""
    return tuple(
        InfluenceRow(
            variant=mover.variant,
            metric=mover.metric,
            unit="user" if mover.by_user else "request",
            id=logs.ids.users[mover.unit] if mover.by_user else logs.ids.requests[int(population.targets[mover.unit])],
            requests=mover.requests,
            contribution=mover.contribution,
            difference_without=mover.without,
        )
        for mover in movers
    )


def _catalogue(plan: Plan, work: Work, targets: Ints) -> Catalogue | None:
    """What is known of items, with those available that were open at the time of one of the targets; without an availability
    table, every item of `items`.
    """
    if work.scene.catalogue is None:
        return None
    logs = work.logs
    if plan.service.tables.availability is None:
        return replace(work.scene.catalogue, available=logs.items.known)
    return replace(work.scene.catalogue, available=logs.intervals.open_items(logs.requests.time[targets]))


def _pool(metric: VariantMetric, states: Sequence[Shown], targets: Ints) -> Shown:
    """What one variant showed in all shards; owners become positions among the targets."""
    whole = metric.merge(*states)
    return replace(whole, owner=np.searchsorted(targets, whole.owner))


def by_request(done: Sequence[Outcome], parts: Sequence[np.ndarray]) -> np.ndarray:
    """An array per request over all shards, in order of request_id."""
    order = np.argsort(np.concatenate([outcome.requests for outcome in done]), kind="stable")
    return np.concatenate(list(parts))[order]


def values_frame(table: ValuesTable, logs: Logs, population: Population) -> pl.DataFrame:
    """A row per variant and target, a column per metric that has a value per request."""
    targets = population.targets
    frames = []
    for variant in table.variants:
        columns: dict[str, pl.Series | Floats] = {
            c.VARIANT: pl.repeat(variant, len(targets), eager=True),
            c.REQUEST_ID: logs.ids.requests.gather(targets),
            c.USER_ID: logs.ids.users.gather(logs.requests.user[targets]),
            "weight": table.weight,
        }
        if table.others is not None:
            columns[CLUSTER] = pl.Series(table.others)
        for metric in table.metrics:
            if metric.values is not None:
                columns[metric.name] = pl.Series(metric.values[variant], nan_to_null=True)
        frames.append(pl.DataFrame(columns))
    return pl.concat(frames)


def labels_frame(outcomes: Outcomes, logs: Logs) -> pl.DataFrame:
    """A row per graded event and request that it counts for; `request_id` is null where it counts for none."""
    events = logs.events
    kinds = pl.Series(list(events.kinds), dtype=pl.String)
    request = pl.Series(outcomes.request)
    return pl.DataFrame(
        {
            c.EVENT: kinds.gather(events.kind[outcomes.event]),
            c.USER_ID: logs.ids.users.gather(events.user[outcomes.event]),
            c.ITEM_ID: logs.ids.items.gather(events.item[outcomes.event]),
            c.TIMESTAMP: pl.Series(events.time[outcomes.event]).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
            c.REQUEST_ID: logs.ids.requests.gather(request.set(request < 0, None)),
            c.GRADE: outcomes.grade,
            "reason": pl.Series(REASONS).gather(outcomes.reasons()),
        }
    )
