"""From the values table to every verdict: how long a comparison takes, beside what peers do on the same numbers.

    python benchmarks/compare.py [--requests 1000000] [--peer-requests 100000] [--replications 2000]

Two variants, eight metrics and 20 segments (four columns of five values), requests of a fifth as many users. `clustered`,
`robust`, `permutation` and `bootstrap` compare everything: 8 x 21 differences with intervals, and 8 x 21 x 2 values. SciPy's
bootstrap gets the differences of one metric over all targets, requests as if they were independent, since it knows no clusters;
ranx `compare` gets runs of `--peer-requests` requests and tests eight metrics by Student's t, without segments or intervals.
All in one process, one after the other; ratios are to `clustered` of the same call, a difference (metric x part) each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any, get_args

import numpy as np

from rankcast.comparison.table import Average, Method, MetricColumn, Part, Terms, ValuesTable
from rankcast.comparison.verdicts import compare
from rankcast.records import Segment

METRICS, COLUMNS, VALUES = 8, 4, 5


def table_of(requests: int, generator: np.random.Generator) -> ValuesTable:
    """A values table with unequal users, sparse values, and one metric that is not measurable everywhere."""
    user = generator.integers(0, max(2, requests // 5), requests)
    everything = Part(None, np.ones(requests, dtype=bool))
    parts = [everything]
    for column in range(COLUMNS):
        value = generator.integers(0, VALUES, requests)
        parts += [Part(Segment(column=f"request.c{column}", value=one), value == one) for one in range(VALUES)]
    metrics = []
    for number in range(METRICS):
        hit = generator.random(requests) < 0.3
        base = np.where(hit, generator.random(requests), 0.0)
        other = np.where(hit, np.clip(base + generator.normal(0.002, 0.1, requests), 0, None), 0.0)
        if number == METRICS - 1:
            base[generator.random(requests) < 0.1] = np.nan
        family = "primary" if number == 0 else "exploration"
        metrics.append(MetricColumn(f"m{number}", family, True, {"production": base, "new": other}))
    weight = np.ones(requests)
    return ValuesTable(
        "production",
        ("production", "new"),
        frozenset({"new"}),
        user,
        weight,
        tuple(parts),
        tuple(metrics),
        averages=(Average("request", weight),),
    )


def timed(work: Callable[[], Any]) -> float:
    """Seconds that it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def scipy_bootstrap(table: ValuesTable, replications: int) -> float:
    """One metric, all targets, requests alone."""
    from scipy.stats import bootstrap

    d = table.metrics[0].of("new") - table.metrics[0].of("production")
    return timed(
        lambda: bootstrap((d,), np.mean, n_resamples=replications, method="percentile", batch=10, random_state=7)
    )


def ranx_compare(requests: int, generator: np.random.Generator) -> float | None:
    """Eight metrics of two runs of 20 items by Student's t, evaluation included; None where ranx is not installed."""
    try:
        import ranx
    except (ImportError, AttributeError):  # its compiler may not fit what else is installed
        return None
    names = [f"q{at}" for at in range(requests)]
    qrels = ranx.Qrels({name: {f"d{generator.integers(20)}": 1} for name in names})
    runs = []
    for label in ("production", "new"):
        scores = generator.random((requests, 20))
        made = {name: {f"d{at}": float(row[at]) for at in range(20)} for name, row in zip(names, scores, strict=True)}
        runs.append(ranx.Run(made, name=label))
    metrics = ["ndcg@10", "ndcg@20", "recall@10", "precision@10", "mrr@10", "map@10", "hit_rate@10", "f1@10"]
    ranx.compare(
        ranx.Qrels({"q": {"d": 1}}), [ranx.Run({"q": {"d": 1.0}}, name=str(at)) for at in (1, 2)], metrics
    )  # compiles
    return timed(lambda: ranx.compare(qrels, runs, metrics, stat_test="student"))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--peer-requests", type=int, default=100_000)
    parser.add_argument("--replications", type=int, default=2_000)
    given = parser.parse_args()
    generator = np.random.default_rng(7)
    table = table_of(given.requests, generator)
    differences = METRICS * len(table.parts)
    print(
        f"{given.requests:,} requests, {METRICS} metrics, {len(table.parts) - 1} segments, {given.replications:,} replications\n"
    )
    print("| what | seconds | against clustered | a difference, against clustered |")
    print("| --- | ---: | ---: | ---: |")
    base = 0.0
    for method in get_args(Method):
        terms = Terms(0.95, 0.01, "holm", 7, method, given.replications)
        seconds = timed(lambda terms=terms: compare(table, terms))
        base = base or seconds
        print(f"| rankcast, {method} | {seconds:.1f} | {seconds / base:.1f} | {seconds / base:.1f} |", flush=True)
    seconds = scipy_bootstrap(table, given.replications)
    each = seconds / (base / differences)
    print(
        f"| scipy.stats.bootstrap, one metric, no segments, no clusters | {seconds:.1f} | {seconds / base:.1f} | {each:,.0f} |"
    )
    peer = ranx_compare(given.peer_requests, generator)
    if peer is None:
        print("| ranx compare | not installed | | |")
        return
    small = timed(lambda: compare(table_of(given.peer_requests, generator), Terms(0.95, 0.01, "holm", 7)))
    each = (peer / METRICS) / (small / differences)
    what = f"ranx compare, {given.peer_requests:,} requests, no segments (rankcast there: {small:.1f} s with segments)"
    print(f"| {what} | {peer:.1f} | {peer / small:.1f} | {each:,.0f} |")


if __name__ == "__main__":
    main()
