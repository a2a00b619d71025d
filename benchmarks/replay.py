"""From files to the values table: how many scored candidates a second, in how much memory, and where the time goes.

    python benchmarks/replay.py [--rows 5 50 100] [--pandas 5 50] [--profile 5] [--memory 2GB]

`--rows` are millions of scored candidates in two score files of 100 candidates a request. The service has six steps (two
filters, availability, what was applied to, a condition, a cap), the study eight metrics. Each size runs in a process of its own;
`cores` is processor time over elapsed time, so `Mrows/s/core` is rows per second of processor time; stages come from the
run's manifest. Ratios are to the smallest size of the same call: the cost is linear where they stay about 1.

`--pandas`: lists and metrics as a notebook would make them, on so many million rows (nothing of fidelity, steps left out,
reasons, report); how far the figures of both are apart is printed.
`--profile`: the functions that take longest, for so many million rows.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

PER_REQUEST = 100
ITEMS = 100_000
SERVED = 20
START = 1_696_118_400_000_000  # 2023-10-01
DAY = 86_400_000_000
CHUNK = 20_000  # requests that are made at once

SERVICE = """\
rankcast: 1
service: benchmark
tables:
  requests:     {path: requests.parquet}
  items:        {path: items.parquet}
  availability: {path: availability.parquet}
  impressions:  {path: impressions.parquet}
  events:       {path: events.parquet, complete_until: 2023-10-20}
production:
  steps:
    - match: {request.job_type: item.job_type}
    - match: {request.employment: item.employment}
    - available
    - not_seen: {events: [apply], within: 30d}
    - where: "NOT item.is_test"
    - cap: {by: item.company, at_most: 2}
  served: 20
labels: {grades: {click: 1, apply: 4}, horizon: 7d, attribute: request_id}
targets: {without_labels: zero}
"""
STUDY = """\
rankcast: 1
study: benchmark
service: service.yaml
period: {from: 2023-10-01, to: 2023-10-08}
variants:
  production: {scores: {path: production.parquet}}
  rival: {scores: {path: rival.parquet}}
baseline: production
metrics:
  primary: ndcg@10
  also: [dcg@20, ap@20, rr, recall@10, recall@20, precision@10, hit@10]
fidelity: {at_least: 0}
"""


def write(folder: Path, requests: int) -> Path:
    """Tables, service and study; the two score files have `requests` x 100 rows each, grouped by request, best first."""
    rng = np.random.default_rng(7)
    users = max(2, requests // 8)
    user = rng.integers(0, users, requests)
    moment = START + np.sort(rng.integers(0, 7 * DAY, requests))
    asked = np.where(rng.random(requests) < 0.5, rng.integers(0, 4, requests), -1)
    kind = np.where(rng.random(requests) < 0.3, rng.integers(0, 3, requests), -1)
    pl.DataFrame(
        {
            "request_id": np.arange(requests),
            "user_id": user,
            "timestamp": pl.Series(moment).cast(pl.Datetime("us", "UTC")),
            "job_type": pl.Series(asked).replace(-1, None).cast(pl.String),
            "employment": pl.Series(kind).replace(-1, None).cast(pl.String),
        }
    ).write_parquet(folder / "requests.parquet")
    pl.DataFrame(
        {
            "item_id": np.arange(ITEMS),
            "job_type": pl.Series(rng.integers(0, 4, ITEMS)).cast(pl.String),
            "employment": pl.Series(rng.integers(0, 3, ITEMS)).cast(pl.String),
            "company": rng.integers(0, 2_000, ITEMS),
            "is_test": rng.random(ITEMS) < 0.01,
        }
    ).write_parquet(folder / "items.parquet")
    opens = START - rng.integers(0, 60, ITEMS) * DAY
    pl.DataFrame(
        {
            "item_id": np.arange(ITEMS),
            "open_at": pl.Series(opens).cast(pl.Datetime("us", "UTC")),
            "close_at": pl.Series(opens + rng.integers(30, 90, ITEMS) * DAY).cast(pl.Datetime("us", "UTC")),
        }
    ).write_parquet(folder / "availability.parquet")
    shown = rng.integers(0, ITEMS, (requests, SERVED))
    pl.DataFrame(
        {
            "request_id": np.repeat(np.arange(requests), SERVED),
            "item_id": shown.ravel(),
            "rank": np.tile(np.arange(1, SERVED + 1), requests),
        }
    ).write_parquet(folder / "impressions.parquet")
    for name in ("production", "rival"):
        _write_scores(folder / f"{name}.parquet", requests, shown if name == "production" else None, rng)
    acted = rng.random((requests, SERVED)) < 0.05
    request, place = np.nonzero(acted)
    pl.DataFrame(
        {
            "user_id": user[request],
            "item_id": shown[request, place],
            "timestamp": pl.Series(moment[request] + rng.integers(1, DAY, len(request))).cast(pl.Datetime("us", "UTC")),
            "event": pl.Series(["click", "apply"]).gather((rng.random(len(request)) < 0.2).astype(np.int64)),
            "request_id": request,
        }
    ).write_parquet(folder / "events.parquet")
    (folder / "service.yaml").write_text(SERVICE, encoding="utf-8")
    (folder / "study.yaml").write_text(STUDY, encoding="utf-8")
    return folder / "study.yaml"


def _write_scores(path: Path, requests: int, shown: np.ndarray | None, rng: np.random.Generator) -> None:
    """Scored candidates, a chunk of requests at a time; production scored what it showed on top."""
    pieces = path.with_suffix("")
    pieces.mkdir()
    for number, first in enumerate(range(0, requests, CHUNK)):
        n = min(CHUNK, requests - first)
        item = np.sort(rng.integers(0, ITEMS - PER_REQUEST, (n, PER_REQUEST)), axis=1) + np.arange(PER_REQUEST)
        item = rng.permuted(item, axis=1)  # distinct
        if shown is not None:
            top = np.where(rng.random((n, SERVED)) < 0.6, shown[first : first + n], item[:, :SERVED])
            row = np.sort(np.concatenate((top, item[:, SERVED:]), axis=1), axis=1)
            fits = (row[:, 1:] != row[:, :-1]).all(axis=1)  # still distinct
            item[:, :SERVED] = np.where(fits[:, None], top, item[:, :SERVED])
        score = -np.sort(-rng.random((n, PER_REQUEST)), axis=1)
        pl.DataFrame(
            {
                "request_id": np.repeat(np.arange(first, first + n), PER_REQUEST),
                "item_id": item.ravel(),
                "score": score.ravel(),
            }
        ).write_parquet(pieces / f"{number:05}.parquet")
    pl.scan_parquet(str(pieces / "*.parquet")).sink_parquet(path)
    for piece in pieces.iterdir():
        piece.unlink()
    pieces.rmdir()


def measure(folder: Path, memory: str) -> dict[str, Any]:
    """Seconds, processor time and peak memory of one run in a process of its own."""
    command = [sys.executable, "-m", "rankcast", "run", str(folder / "study.yaml"), "--out", str(folder / "runs")]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([*command, "--memory", memory, "-q", "--json"], capture_output=True, text=True, check=False)
    elapsed, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if not done.stdout:
        raise SystemExit(done.stderr)
    result = json.loads(done.stdout)
    manifest = json.loads((folder / "runs" / "benchmark" / result["run"] / "manifest.json").read_text())
    stages = {stage["stage"]: stage["seconds"] for stage in manifest["stages"]}
    return {
        "rows": sum(variant["candidates"] for variant in result["results"]["variants"]),
        "elapsed": elapsed,
        "processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "memory": max(stage["peak_memory_mb"] for stage in manifest["stages"]),
        "stages": stages,
        "metrics": {(row["variant"], row["metric"]): row["value"] for row in result["results"]["metrics"]},
    }


def by_pandas(folder: Path) -> dict[tuple[str, str], float]:
    """The same study as a straightforward notebook: pandas, whole tables, joins and group-bys."""
    import pandas as pd

    read = pd.read_parquet
    requests, items = read(folder / "requests.parquet"), read(folder / "items.parquet")
    availability, events = read(folder / "availability.parquet"), read(folder / "events.parquet")
    grade = events.assign(grade=events["event"].map({"click": 1.0, "apply": 4.0}))
    asked = grade.merge(requests[["request_id", "timestamp"]], on="request_id", suffixes=("", "_request"))
    inside = (asked["timestamp"] >= asked["timestamp_request"]) & (
        asked["timestamp"] < asked["timestamp_request"] + pd.Timedelta(days=7)
    )
    labels = asked[inside].groupby(["request_id", "item_id"], as_index=False)["grade"].max()
    applied = events[events["event"] == "apply"][["user_id", "item_id", "timestamp"]]
    targets = requests["request_id"]
    figures = {}
    for name in ("production", "rival"):
        rows = (
            read(folder / f"{name}.parquet")
            .merge(requests, on="request_id")
            .merge(items, on="item_id", suffixes=("", "_item"))
        )
        rows = rows[rows["job_type"].isna() | (rows["job_type"] == rows["job_type_item"])]
        rows = rows[rows["employment"].isna() | (rows["employment"] == rows["employment_item"])]
        rows = rows.merge(availability, on="item_id")
        rows = rows[(rows["open_at"] <= rows["timestamp"]) & (rows["timestamp"] < rows["close_at"])]
        seen = rows.merge(applied, on=["user_id", "item_id"], suffixes=("", "_event"))
        before = (seen["timestamp_event"] < seen["timestamp"]) & (
            seen["timestamp_event"] >= seen["timestamp"] - pd.Timedelta(days=30)
        )
        gone = seen[before][["request_id", "item_id"]].drop_duplicates().assign(gone=True)
        rows = rows.merge(gone, on=["request_id", "item_id"], how="left")
        rows = rows[rows["gone"].isna() & ~rows["is_test"]]
        rows = rows.sort_values(["request_id", "score", "item_id"], ascending=[True, False, True])
        rows = rows[rows.groupby(["request_id", "company"]).cumcount() < 2]
        rows["rank"] = rows.groupby("request_id").cumcount() + 1
        slates = rows[rows["rank"] <= SERVED]
        figures |= _metrics(name, slates, labels, targets)
    return figures


def _metrics(name: str, slates: Any, labels: Any, targets: Any) -> dict[tuple[str, str], float]:
    hits = slates.merge(labels, on=["request_id", "item_id"])
    discount = 1 / np.log2(hits["rank"] + 1)
    by = hits["request_id"]
    total = labels.groupby("request_id").size().reindex(targets, fill_value=0)

    def column(values: Any) -> Any:
        return values.groupby(by).sum().reindex(targets, fill_value=0.0)

    top10 = hits["rank"] <= 10
    ideal = labels.sort_values(["request_id", "grade"], ascending=[True, False])
    place = ideal.groupby("request_id").cumcount() + 1
    best = (ideal["grade"] / np.log2(place + 1))[place <= 10].groupby(ideal["request_id"]).sum().reindex(targets)
    first = hits.groupby("request_id")["rank"].min().reindex(targets)
    precision = hits.sort_values(["request_id", "rank"])
    seen = precision.groupby("request_id").cumcount() + 1
    average = (seen / precision["rank"]).groupby(precision["request_id"]).sum().reindex(targets, fill_value=0.0)
    columns = {
        "ndcg@10": (column(hits["grade"] * discount * top10) / best).fillna(0.0),
        "dcg@20": column(hits["grade"] * discount),
        "ap@20": (average / total).fillna(0.0),
        "rr": (1 / first).fillna(0.0),
        "recall@10": (column(top10.astype(float)) / total).fillna(0.0),
        "recall@20": (column(top10 * 0.0 + 1) / total).fillna(0.0),
        "precision@10": column(top10.astype(float)) / 10,
        "hit@10": (column(top10.astype(float)) > 0).astype(float),
    }
    return {(name, metric): float(values.mean()) for metric, values in columns.items()}


def _in_pandas(folder: Path) -> dict[str, Any]:
    """The notebook in a process of its own."""
    command = [sys.executable, __file__, "--notebook", str(folder)]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    elapsed, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    told = json.loads(done.stdout)
    return {
        "elapsed": elapsed,
        "processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "memory": told["memory"],
        "metrics": {tuple(key.split(" ", 1)): value for key, value in told["metrics"].items()},
    }


def profile(folder: Path, most: int = 18) -> str:
    """The functions that take longest by themselves, of a run in this process."""
    import rankcast

    profiler = cProfile.Profile()
    profiler.enable()
    rankcast.run(folder / "study.yaml", out=folder / "profiled")
    profiler.disable()
    stream = StringIO()
    pstats.Stats(profiler, stream=stream).strip_dirs().sort_stats("tottime").print_stats(most)
    return "\n".join(line for line in stream.getvalue().splitlines() if line.strip())


def main() -> None:
    """Print a row per size, the profile, and the notebook's figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[5, 50, 100])
    parser.add_argument("--pandas", type=int, nargs="*", default=[5, 50])
    parser.add_argument("--profile", type=int, default=5)
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--notebook", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.notebook:
        figures = by_pandas(given.notebook)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"memory": peak, "metrics": {" ".join(key): value for key, value in figures.items()}}))
        return
    print(
        f"{'Mrows':>6} {'elapsed s':>10} {'processor s':>12} {'cores':>6} {'Mrows/s':>8} {'Mrows/s/core':>13} {'peak MB':>8} "
        f"{'ratio':>6}  stages"
    )
    first = None
    for millions in given.rows:
        with tempfile.TemporaryDirectory() as name:
            write(Path(name), millions * 1_000_000 // (2 * PER_REQUEST))
            one = measure(Path(name), given.memory)
        cost = one["processor"] / one["rows"]
        first = first or cost
        stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in one["stages"].items())
        print(
            f"{one['rows'] / 1e6:>6.1f} {one['elapsed']:>10.1f} {one['processor']:>12.1f} "
            f"{one['processor'] / one['elapsed']:>6.2f} {one['rows'] / one['elapsed'] / 1e6:>8.2f} "
            f"{one['rows'] / one['processor'] / 1e6:>13.2f} {one['memory']:>8.0f} {cost / first:>6.2f}  {stages}",
            flush=True,
        )
    if given.profile:
        with tempfile.TemporaryDirectory() as name:
            write(Path(name), given.profile * 1_000_000 // (2 * PER_REQUEST))
            print(f"\nWhere the time goes, {given.profile} million rows:\n{profile(Path(name))}", flush=True)
    for millions in given.pandas:
        with tempfile.TemporaryDirectory() as name:
            write(Path(name), millions * 1_000_000 // (2 * PER_REQUEST))
            ours, theirs = measure(Path(name), given.memory), _in_pandas(Path(name))
        apart = max(abs(ours["metrics"][key] - value) for key, value in theirs["metrics"].items())
        print(
            f"\nThe same in pandas, {millions} million rows: {theirs['elapsed']:.1f} s and {theirs['memory']:.0f} MB, "
            f"against {ours['elapsed']:.1f} s and {ours['memory']:.0f} MB: "
            f"{theirs['elapsed'] / ours['elapsed']:.1f} times as long; figures differ by {apart:.1e} at most"
        )


if __name__ == "__main__":
    main()
