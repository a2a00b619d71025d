"""How long `rankcast.score` takes, beside the peers on the same files in the same run, and beside just reading the file.

    python benchmarks/score.py [--requests 10000 100000] [--kinds grouped text scattered] [--peers pytrec_eval]
    python benchmarks/score.py --requests 1000000 --peers            # 100 million rows; rankcast alone

The work: lists of 100 items out of 100,000 (popular ones more often) with scores, on average 5 graded labels a request, of
which 2 in the list, and eight metrics. Everything counts from parquet on disk to the eight means: reading, converting,
computing. Each figure is the median of several processes of their own, start-up and imports left out; `first` is the
first call in such a process, `again` the second. Peak memory is the process's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

METRICS = ["ndcg@10", "ndcg@100", "ap@100", "rr@100", "recall@10", "recall@100", "precision@10", "hit@10"]
LENGTH, ITEMS = 100, 100_000
_CHILD = """
import json, sys, time
{prepare}
seconds = []
for _ in range({calls}):
    start = time.perf_counter()
    means = measure(sys.argv[1], sys.argv[2])
    seconds.append(time.perf_counter() - start)
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([seconds, means, peak / 1024]))
"""
_READ = """
import polars as pl
def measure(slates, labels):
    pl.read_parquet(slates)
"""
_RANKCAST = f"""
import rankcast
from rankcast.evaluate.grammar import parse
rankcast.score
[parse(metric) for metric in {METRICS}]  # imports their modules
def measure(slates, labels):
    scores = rankcast.score(slates, labels, {METRICS})
    return {{name: scores[name].value for name in scores}}
"""
_DICTS = """
import polars as pl
def dicts(path, value, kind):
    frame = pl.read_parquet(path)
    ids = frame["request_id"].cast(pl.String)
    starts = (ids != ids.shift(1)).fill_null(True).arg_true().to_list() + [len(frame)]
    items, numbers = frame["item_id"].cast(pl.String).to_list(), frame[value].cast(kind).to_list()
    return {
        ids[start]: dict(zip(items[start:end], numbers[start:end])) for start, end in zip(starts[:-1], starts[1:])
    }
"""
_PYTREC = (
    _DICTS
    + """
import pytrec_eval
names = {"ndcg_cut_10": "ndcg@10", "ndcg_cut_100": "ndcg@100", "map_cut_100": "ap@100", "recip_rank": "rr@100",
         "recall_10": "recall@10", "recall_100": "recall@100", "P_10": "precision@10", "success_10": "hit@10"}
def measure(slates, labels):
    qrels, run = dicts(labels, "grade", pl.Int64), dicts(slates, "score", pl.Float64)
    found = pytrec_eval.RelevanceEvaluator(qrels, set(names)).evaluate(run)
    return {ours: sum(one[theirs] for one in found.values()) / len(qrels) for theirs, ours in names.items()}
"""
)
_IR_MEASURES = (
    _DICTS
    + """
import ir_measures
from ir_measures import AP, P, R, RR, Success, nDCG
names = {nDCG@10: "ndcg@10", nDCG@100: "ndcg@100", AP@100: "ap@100", RR@100: "rr@100", R@10: "recall@10",
         R@100: "recall@100", P@10: "precision@10", Success@10: "hit@10"}
def measure(slates, labels):
    qrels, run = dicts(labels, "grade", pl.Int64), dicts(slates, "score", pl.Float64)
    found = ir_measures.calc_aggregate(list(names), qrels, run)
    return {ours: found[theirs] for theirs, ours in names.items()}
"""
)
_RANX = (
    _DICTS
    + """
from ranx import Qrels, Run, evaluate
names = ["ndcg@10", "ndcg@100", "map@100", "mrr@100", "recall@10", "recall@100", "precision@10", "hit_rate@10"]
ours = ["ndcg@10", "ndcg@100", "ap@100", "rr@100", "recall@10", "recall@100", "precision@10", "hit@10"]
def measure(slates, labels):
    qrels, run = Qrels(dicts(labels, "grade", pl.Int64)), Run(dicts(slates, "score", pl.Float64))
    found = evaluate(qrels, run, names, make_comparable=True)
    return {name: float(found[theirs]) for theirs, name in zip(names, ours)}
"""
)
WAYS = {"read": _READ, "rankcast": _RANKCAST, "pytrec_eval": _PYTREC, "ir_measures": _IR_MEASURES, "ranx": _RANX}


def workload(requests: int, folder: Path, generator: np.random.Generator) -> None:
    """Lists best first and their labels, as `slates.parquet` and `labels.parquet`."""
    chance = np.cumsum(1.0 / np.arange(1, ITEMS + 1))
    ids = generator.permutation(ITEMS) * 7 + 1_000_003
    slates, labels = [], []
    for start in range(0, requests, 20_000):
        n = min(20_000, requests - start)
        request = np.arange(start, start + n) * 3 + 5_000_000
        item = _distinct(n, chance, generator)
        score = -np.sort(-generator.random((n, LENGTH)), axis=1)
        slates.append(
            pl.DataFrame(
                {"request_id": np.repeat(request, LENGTH), "item_id": ids[item.ravel()], "score": score.ravel()}
            )
        )
        at = np.minimum(generator.exponential(15.0, (n, 2)).astype(np.int64), LENGTH - 1)  # near the head of the list
        inside = np.take_along_axis(item, at, axis=1).ravel()
        outside = np.searchsorted(chance / chance[-1], generator.random(3 * n))
        owner = np.concatenate((np.repeat(request, 2), np.repeat(request, 3)))
        grade = generator.choice([1, 2, 3], 5 * n, p=[0.6, 0.3, 0.1])
        frame = pl.DataFrame({"request_id": owner, "item_id": ids[np.concatenate((inside, outside))], "grade": grade})
        labels.append(frame.unique(["request_id", "item_id"], keep="first", maintain_order=True).sort("request_id"))
    pl.concat(slates).write_parquet(folder / "slates.parquet", compression="snappy", row_group_size=1 << 20)
    pl.concat(labels).write_parquet(folder / "labels.parquet", compression="snappy", row_group_size=1 << 20)


def _distinct(n: int, chance: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """n rows of LENGTH distinct items, popular ones more often."""
    drawn = np.searchsorted(chance / chance[-1], generator.random((n, 3 * LENGTH)))
    order = np.argsort(drawn, axis=1, kind="stable")
    ordered = np.take_along_axis(drawn, order, axis=1)
    again = np.zeros_like(drawn, dtype=bool)
    np.put_along_axis(again, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    place = np.argsort(again, axis=1, kind="stable")[:, :LENGTH]  # the first LENGTH that are new
    if np.take_along_axis(again, place, axis=1).any():
        raise SystemExit("the draw was too short; another seed will do")
    return np.take_along_axis(drawn, place, axis=1)


def remake(folder: Path, kind: str, generator: np.random.Generator) -> Path:
    """The same work with ids that are text, or with its rows in any order."""
    if kind == "grouped":
        return folder
    other = folder / kind
    other.mkdir()
    for name in ("slates", "labels"):
        frame = pl.read_parquet(folder / f"{name}.parquet")
        if kind == "text":
            text = [("r" + pl.col("request_id").cast(pl.String)).alias("request_id")]
            text.append(("item-" + pl.col("item_id").cast(pl.String)).alias("item_id"))
            frame = frame.with_columns(text)
        else:
            frame = frame[generator.permutation(len(frame))]
        frame.write_parquet(other / f"{name}.parquet", compression="snappy", row_group_size=1 << 20)
    return other


def timed(way: str, folder: Path, processes: int, calls: int = 2) -> dict[str, float | dict[str, float]]:
    """Medians over some processes."""
    code = _CHILD.format(prepare=WAYS[way], calls=calls)
    first, again, peak = [], [], []
    means: dict[str, float] = {}
    for _ in range(processes):
        command = [sys.executable, "-c", code, str(folder / "slates.parquet"), str(folder / "labels.parquet")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{way}: {done.stderr[-800:]}")
        seconds, means, memory = json.loads(done.stdout.splitlines()[-1])
        first.append(seconds[0])
        again.append(seconds[-1])
        peak.append(memory)
    return {
        "first": statistics.median(first),
        "again": statistics.median(again),
        "peak": max(peak),
        "means": means or {},
    }


def main() -> None:
    """Print a row per size, kind and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument(
        "--kinds", nargs="+", default=["grouped", "text", "scattered"], choices=["grouped", "text", "scattered"]
    )
    parser.add_argument("--peers", nargs="*", default=["pytrec_eval"], choices=["pytrec_eval", "ir_measures", "ranx"])
    parser.add_argument("--processes", type=int, default=5)
    given = parser.parse_args()
    print(
        f"{'requests':>9} {'kind':>9} {'way':>11} {'first s':>8} {'again s':>8} {'x rankcast':>10} {'x reading':>9} "
        f"{'peak MB':>8}"
    )
    for requests in given.requests:
        with tempfile.TemporaryDirectory() as name:
            generator = np.random.default_rng(20261124)
            workload(requests, Path(name), generator)
            for kind in given.kinds:
                folder = remake(Path(name), kind, generator)
                _row_of_each(requests, kind, folder, given.peers if kind != "scattered" else [], given.processes)


def _row_of_each(requests: int, kind: str, folder: Path, peers: list[str], processes: int) -> None:
    ways = {way: timed(way, folder, processes) for way in ("read", "rankcast")}
    for peer in peers:
        ways[peer] = timed(peer, folder, 1 if requests > 20_000 else min(3, processes), calls=1)
        for metric, value in ways[peer]["means"].items():  # type: ignore[union-attr]
            if abs(value - ways["rankcast"]["means"][metric]) > 1e-6:  # type: ignore[index]
                print(f"          {peer} gives {metric} = {value}, rankcast {ways['rankcast']['means'][metric]}")  # type: ignore[index]
    for way, one in ways.items():
        ratio, reading = (one["first"] / ways[base]["first"] for base in ("rankcast", "read"))  # type: ignore[operator]
        print(
            f"{requests:>9,} {kind:>9} {way:>11} {one['first']:>8.3f} {one['again']:>8.3f} {ratio:>10.2f} {reading:>9.1f} "
            f"{one['peak']:>8.0f}"
        )


if __name__ == "__main__":
    main()
