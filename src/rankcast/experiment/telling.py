"""From a run's results to what its report shows besides: what is proposed, and lists side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from rankcast.config.difference import proposed
from rankcast.config.plan import Plan
from rankcast.evaluate.truth.targets import Population
from rankcast.experiment import saved, trails
from rankcast.records import Result
from rankcast.report.document import Proposal, Report
from rankcast.report.lists import Logs as ListLogs
from rankcast.report.lists import sample_lists
from rankcast.runs.folder import tables
from rankcast.tables.logs import Logs


def report_of(
    plan: Plan,
    result: Result,
    manifest: dict[str, Any],
    folder: Path,
    values: pl.DataFrame,
    logs: Logs,
    population: Population,
) -> Report:
    """The report of a run whose tables are in `folder`. `values`: a row per variant and target."""
    baseline, decided = plan.study.baseline, list(result.decision)
    others = [variant.name for variant in plan.variants if variant.name != baseline]
    names = [baseline, *sorted(others, key=lambda name: name not in decided)]
    driving = [row.id for row in result.results.influence if row.unit == "request"]
    lists = ListLogs(
        tables(folder, saved.SLATES),
        tables(folder, saved.REPLAYS),
        [folder / trails.TRAILS / trails.WHOLE],
        values,
        logs.items.frame,
        logs.requests.frame[population.replayed],
        plan.service.timezone,
    )
    primary = str(plan.metrics[0].metric)
    sample = sample_lists(lists, names, decided, primary, list(dict.fromkeys(driving)))
    change = proposed(plan.document())
    proposal = Proposal(tuple(change.of("treatment")), tuple(change.of("outside")))
    return Report(result, manifest, sample, proposal)
