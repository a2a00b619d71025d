"""What rules may look at, from everything that a run has made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import polars as pl

from rankcast.comparison.table import ValuesTable, measurable
from rankcast.config.plan import Plan
from rankcast.errors import ConfigError, clip
from rankcast.evaluate.grammar import parse
from rankcast.evaluate.metric import RequestMetric
from rankcast.evaluate.truth import labels as labelling
from rankcast.evaluate.truth.labels import Attribution, Labels
from rankcast.evaluate.truth.targets import Population
from rankcast.experiment import assembly
from rankcast.experiment.merge import by_request
from rankcast.experiment.shard import Outcome, Shadow, Work
from rankcast.records import Results, ShownRow, TieRow
from rankcast.replay.fidelity.logged import Logged
from rankcast.replay.shown import Seen, together
from rankcast.rules.evidence import DEEPER, TWIN, Difference, Evidence, Features, Found, Origin, Positives
from rankcast.rules.goal import kpi_kinds
from rankcast.rules.telling import area
from rankcast.stats.clustered import clustered_mean
from rankcast.tables import columns as c
from rankcast.tables.logs import Bools, Floats, Ids, Ints, Logs
from rankcast.tables.ragged import members


def shadows_of(plan: Plan, logs: Logs) -> tuple[Shadow, ...]:
    """Metrics that rules alone ask for: the primary metric's twin with or without normalisation, and the primary metric on what
    the online goal counts.
    """
    primary = plan.metrics[0].metric
    if not isinstance(primary, RequestMetric):
        return ()
    shadows = []
    twin = {"dcg": f"n{primary}", "ndcg": str(primary)[1:]}.get(primary.name)
    if twin is not None:
        with suppress(ConfigError):  # a parameter that the other does not have
            other = parse(twin)
            shadows.extend([Shadow(TWIN, other)] if isinstance(other, RequestMetric) else [])
    kinds = kpi_kinds(plan, logs.events.kinds)
    terms = assembly.labelling_of(plan)
    if kinds is not None and primary.needs_labels and set(kinds) != set(terms.grades):
        grades = {kind: terms.grades[kind] if terms.grades.get(kind, 0) > 0 else 1.0 for kind in kinds}
        counted = labelling.attribute(logs, replace(terms, grades=grades))
        shadows.append(Shadow(DEEPER, primary, labelling.labels_of(counted, logs)))
    return tuple(shadows)


def shown_rows(work: Work, done: Sequence[Outcome]) -> tuple[ShownRow, ...]:
    """What each variant's lists show, and those that were really shown."""
    ids, known = work.logs.ids, len(work.logs.intervals.item) > 0
    rows = []
    for variant in done[0].seen:
        found = together(outcome.seen[variant] for outcome in done)
        rows.append(
            ShownRow(
                variant=variant,
                requests=found.requests,
                rows=found.rows,
                closed=found.closed if known else None,
                unlisted=found.unlisted if known else None,
                consumed=dict(found.consumed),
                repeated=found.repeated,
                logged=len(found.logged),
                rbo_to_log=float(found.rbo.mean()) if len(found.rbo) else None,
                same_as_baseline=found.same,
                examples=_examples(found, ids),
            )
        )
    return tuple(rows)


def _examples(found: Seen, ids: Ids) -> dict[str, tuple[str, ...]]:
    return {
        name: tuple(f"{_short(ids.requests[request])}: {_short(ids.items[item])}" for request, item in pairs)
        for name, pairs in found.examples.items()
        if pairs
    }


def _short(one: object) -> str:
    """An id that a message can hold."""
    return clip(str(one), 40)


def tie_rows(work: Work, table: ValuesTable, done: Sequence[Outcome], targets: Ints) -> tuple[TieRow, ...]:
    """What the order of equal scores is worth, over the targets that were looked at."""
    primary = next(metric for metric in table.metrics if metric.family == "primary")
    if work.primary is None or primary.values is None:
        return ()
    looked = work.chosen[targets]
    rows = []
    for variant in done[0].ties:
        parts = [outcome.ties[variant] for outcome in done if variant in outcome.ties]
        with_ties = np.concatenate([part.targets for part in parts])
        order = np.argsort(with_ties, kind="stable")
        at = np.searchsorted(targets, with_ties[order])
        own = primary.of(variant)
        value, best, worst = own.copy(), own.copy(), own.copy()
        best[at] = np.concatenate([part.best for part in parts])[order]
        worst[at] = np.concatenate([part.worst for part in parts])[order]
        kept = looked & measurable(value, best, worst) & (table.weight > 0)
        weight = table.weight[kept]

        def mean(values: Floats, kept: Bools = kept, weight: Floats = weight) -> float | None:
            return float(np.sum(weight * values[kept]) / np.sum(weight)) if len(weight) else None

        rows.append(
            TieRow(
                variant=variant,
                requests=int(kept.sum()),
                tied=len(at),
                value=mean(value),
                best=mean(best),
                worst=mean(worst),
            )
        )
    return tuple(rows)


@dataclass(frozen=True)
class Made:
    """What a run has made, as far as rules look at it."""

    plan: Plan
    logs: Logs
    labels: Labels
    population: Population
    work: Work
    done: Sequence[Outcome]
    table: ValuesTable
    features: Mapping[str, pl.DataFrame]
    origin: Origin

    def evidence(self, results: Results) -> Evidence:
        """For rules."""
        targets = self.population.targets
        order = np.argsort(np.concatenate([outcome.targets for outcome in self.done]), kind="stable")
        shadows = {
            one.name: {
                variant: np.concatenate([outcome.shadows[variant][one.name] for outcome in self.done])[order]
                for variant in self.work.names
            }
            for one in self.work.shadows
        }
        facts = [outcome.replays[self.work.baseline].facts for outcome in self.done]
        found = Found(
            logs=self.logs,
            replayed=self.population.replayed,
            targets=targets,
            results=results,
            positives=positives_of(self.labels, targets, self.logs),
            again=partial(_again, self.plan, self.table, shadows),
            attributed=self._attributed,
            origin=self.origin,
            features={name: self._features(frame) for name, frame in self.features.items()},
            shadows=frozenset(shadows),
            candidates=by_request(self.done, [one.candidates for one in facts]),
        )
        return Evidence(self.plan, found)

    def _attributed(self, rule: Attribution) -> Positives:
        """The positives of the same targets under another rule of attribution."""
        terms = assembly.labelling_of(self.plan)
        other = labelling.attribute(self.logs, replace(terms, attribute=rule))
        return positives_of(labelling.labels_of(other, self.logs), self.population.targets, self.logs)

    def _features(self, frame: pl.DataFrame) -> Features:
        return features_of(frame, self.logs, self.labels, self.population.replayed)


def positives_of(labels: Labels, targets: Ints, logs: Logs) -> Positives:
    """Labels above 0 of some targets (request codes)."""
    request, item, grade = labels.relevant_of(targets)
    size = np.int64(len(logs.ids.items) + 1)
    shown = members(request * size + item, logs.impressions.request * size + logs.impressions.item)
    return Positives(request, item, grade, shown)


def _again(
    plan: Plan,
    table: ValuesTable,
    shadows: Mapping[str, Mapping[str, Floats]],
    variant: str,
    *,
    metric: str | None = None,
    keep: Bools | None = None,
    weight: Floats | None = None,
    cluster: Ints | None = None,
    against: str | None = None,
) -> Difference | None:
    primary = next(one for one in table.metrics if one.family == "primary")
    columns = primary.values if metric is None else shadows.get(metric)
    if columns is None:
        return None
    difference = columns[variant] - columns[against or table.baseline]
    weights = table.weight if weight is None else weight
    kept = measurable(difference) & (weights > 0)
    if keep is not None:
        kept &= keep
    if not kept.any():
        return None
    found = clustered_mean(difference[kept], weights[kept], (table.user if cluster is None else cluster)[kept])
    if found.value is None:
        return None
    low, high = found.interval(plan.study.compare.confidence)
    return Difference(found.value, low, high, found.error, found.n)


def features_of(frame: pl.DataFrame, logs: Logs, labels: Labels, replayed: Ints) -> Features:
    """What a table of features tells: which were known after their request, which know the logged rank or the answer."""
    names = tuple(name for name in frame.columns if name not in {c.REQUEST_ID, c.ITEM_ID, c.USER_ID, c.AS_OF})
    if c.REQUEST_ID not in frame.columns:
        return Features(names, c.AS_OF in frame.columns, 0, 0, (), {}, {})
    requests = pl.DataFrame({c.REQUEST_ID: logs.ids.requests.gather(replayed), "position": np.arange(len(replayed))})
    ours = frame.join(requests, on=c.REQUEST_ID, how="inner")
    request = replayed[ours["position"].to_numpy()]
    late, dated = np.zeros(len(ours), dtype=bool), c.AS_OF in ours.columns
    if dated:
        late = (ours[c.AS_OF].dt.epoch("us") > pl.Series(logs.requests.time[request])).fill_null(value=False).to_numpy()
    worst = logs.ids.requests.gather(np.unique(request[late])[:5]).cast(pl.String).to_list()
    with_rank: dict[str, float] = {}
    with_label: dict[str, float] = {}
    if c.ITEM_ID in ours.columns and len(ours):
        items = pl.DataFrame({c.ITEM_ID: logs.ids.items, "item": np.arange(len(logs.ids.items))})
        numbered = ours.join(items, on=c.ITEM_ID, how="inner")
        position, item = numbered["position"].to_numpy(), numbered["item"].to_numpy()
        relevant = labels.grades_of(replayed, position, item) > 0
        rank = Logged.of(replayed, len(logs.ids.items), logs).ranks_of(position, item)
        for name in names:
            if not numbered[name].dtype.is_numeric():
                continue
            values = numbered[name].cast(pl.Float64).fill_nan(None).to_numpy()
            known = ~np.isnan(values)
            auc = area(values[known], relevant[known])
            if auc is not None:
                with_label[name] = max(auc, 1 - auc)
            shown = known & (rank > 0)
            correlation = _spearman(values[shown], rank[shown].astype(np.float64))
            if correlation is not None:
                with_rank[name] = correlation
    return Features(names, dated, len(ours) if dated else 0, int(late.sum()), tuple(worst), with_rank, with_label)


def _spearman(one: Floats, other: Floats) -> float | None:
    """Rank correlation; None where nothing varies."""
    found = pl.select(pl.corr(pl.Series(one), pl.Series(other), method="spearman")).item()
    return None if found is None or np.isnan(found) else float(found)
