"""What steps removed and how far lists moved; how places, values and days are told: against plain Python."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from math import isclose, isnan
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rankcast
from rankcast.comparison.distributions import distributions
from rankcast.comparison.table import MetricColumn, ValuesTable
from rankcast.evaluate.concentration import lorenz, times, top_share
from rankcast.experiment import trails
from rankcast.replay import trail
from rankcast.replay.lists import Lists
from rankcast.replay.post_processing import Stage
from rankcast.replay.trail import moved, removed
from rankcast.runs.folder import Run
from tiny import World
from worlds import write_world

SEVERAL = st.lists(st.lists(st.integers(0, 14), unique=True, max_size=12), min_size=1, max_size=4)
REPEATING = st.lists(st.lists(st.integers(0, 9), max_size=12), min_size=1, max_size=4)
NUMBERS = st.floats(-10, 10, allow_subnormal=False)


def as_lists(of: Sequence[Sequence[int]], repeats: bool = False) -> Lists:
    """Lists of requests 0, 1, ..."""
    position = [at for at, items in enumerate(of) for _ in items]
    item = [one for items in of for one in items]
    return Lists(
        np.arange(len(of)),
        np.array(position, dtype=np.int64),
        np.array(item, dtype=np.int64),
        np.zeros(len(item)),
        repeats,
    )


# --- What steps removed ---


@given(of=SEVERAL, reach=st.integers(1, 12), keep=st.lists(st.sets(st.integers(0, 14)), min_size=1, max_size=3))
@pytest.mark.parametrize("filters", [True, False])
def test_removed(filters: bool, of: list[list[int]], reach: int, keep: list[set[int]]) -> None:
    """Filters by their mask; other steps by what is not there any more, in whatever order they leave the rest."""
    stages, wanted, now = [], [], [list(one) for one in of]
    for number, kept in enumerate(keep):
        after = [[item for item in items if item in kept] for items in now]
        wanted += [
            (at, item, rank, number)
            for at, items in enumerate(now)
            for rank, item in enumerate(items, 1)
            if item not in kept and rank <= reach
        ]
        before = as_lists(now)
        mask = np.array([item in kept for items in now for item in items], dtype=bool) if filters else None
        left = after if filters else [items[::-1] for items in after]
        bound = SimpleNamespace(named=SimpleNamespace(name=f"step {number}"))
        stages.append(Stage(cast("Any", bound), before, as_lists(left), mask))
        now = left
    found = removed(stages, reach, 15)
    rows = zip(*(one.tolist() for one in (found.position, found.item, found.rank, found.step)), strict=True)
    assert sorted(rows) == sorted(wanted)
    assert found.steps == tuple(f"step {number}" for number in range(len(keep)))


def test_of_lists_that_moved_alike_the_first_by_id_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trails, "MOST_MOVED", 3)
    facts, slates = SimpleNamespace(moved=np.array([3, 3, 0, 3, 5])), SimpleNamespace(requests=np.arange(5))
    logs = SimpleNamespace(ids=SimpleNamespace(requests=pl.Series(["d", "b", "a", "c", "e"])))
    found = trails._moved_most(cast("Any", SimpleNamespace(facts=facts, slates=slates)), cast("Any", logs))
    assert found.tolist() == [False, True, False, True, True]


def test_nothing_is_removed_without_steps() -> None:
    found = removed([], 10, 3)
    assert (len(found.position), len(found.item), len(found.rank), len(found.step), found.steps) == (0, 0, 0, 0, ())


# --- How far lists moved ---


def distance(ours: Sequence[int], theirs: Sequence[int], k: int) -> int:
    """Over the items of either's first k places: how far their ranks are apart, k at most, and k where one list has none."""
    mine, base = (list(dict.fromkeys(one)) for one in (ours, theirs))
    return sum(
        min(k, abs(mine.index(item) - base.index(item))) if item in mine and item in base else k
        for item in {*mine[:k], *base[:k]}
    )


@given(of=SEVERAL, other=SEVERAL, k=st.integers(1, 12))
def test_moved(of: list[list[int]], other: list[list[int]], k: int) -> None:
    size = min(len(of), len(other))
    wanted = [distance(*both, k) for both in zip(of[:size], other[:size], strict=True)]
    assert moved(as_lists(of[:size]), as_lists(other[:size]), k).tolist() == wanted


@given(of=REPEATING, other=REPEATING, k=st.integers(1, 12))
def test_moved_where_lists_repeat_items(of: list[list[int]], other: list[list[int]], k: int) -> None:
    size = min(len(of), len(other))
    wanted = [distance(*both, k) for both in zip(of[:size], other[:size], strict=True)]
    assert moved(as_lists(of[:size], True), as_lists(other[:size], True), k).tolist() == wanted


@given(of=SEVERAL, k=st.integers(1, 12))
def test_what_is_the_same_has_not_moved(of: list[list[int]], k: int) -> None:
    assert moved(as_lists(of), as_lists(of), k).tolist() == [0] * len(of)


def test_moved_many_lists_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    of, other = ([rng.permutation(15)[: rng.integers(0, 15)].tolist() for _ in range(50)] for _ in range(2))
    whole = moved(as_lists(of), as_lists(other), 5).tolist()
    monkeypatch.setattr(trail, "_TOGETHER", 7)
    assert moved(as_lists(of), as_lists(other), 5).tolist() == whole


def test_falling_further_is_moving_further() -> None:
    """An item at the baseline's first rank that is found further and further down."""
    base = list(range(30))
    found = [moved(as_lists([[*base[1:at], 0, *base[at:]]]), as_lists([base]), 10)[0] for at in range(1, 31)]
    assert all(one <= other for one, other in pairwise(found)), found


# --- How places spread over items ---


@given(shown=st.lists(st.lists(st.integers(0, 9)), min_size=1, max_size=4), asked=st.lists(st.integers(0, 12)))
def test_times(shown: list[list[int]], asked: list[int]) -> None:
    parts = [times(np.array(one, dtype=np.int64)) for one in shown]
    whole, wanted = parts[0].plus(parts[1:]), Counter(item for one in shown for item in one)
    assert dict(zip(whole.item.tolist(), whole.count.tolist(), strict=True)) == dict(wanted)
    assert whole.item.tolist() == sorted(wanted)
    assert whole.of(np.array(asked, dtype=np.int64)).tolist() == [wanted[item] for item in asked]


@given(count=st.lists(st.integers(1, 50), max_size=12), zeros=st.integers(0, 9), points=st.integers(1, 20))
def test_lorenz(count: list[int], zeros: int, points: int) -> None:
    curve = lorenz(np.array(count, dtype=np.int64), zeros, points).tolist()
    assert len(curve) == points + 1
    if not count:
        assert all(isnan(one) for one in curve)
        return
    poor = [0] * zeros + sorted(count)
    for at, value in enumerate(curve):
        whole, rest = divmod(at * len(poor), points)
        part = poor[whole] * rest / points if rest else 0
        assert isclose(value, (sum(poor[:whole]) + part) / sum(count), abs_tol=1e-9)


@given(count=st.lists(st.integers(1, 50), max_size=12), zeros=st.integers(0, 90), share=st.floats(0.01, 1))
def test_top_share(count: list[int], zeros: int, share: float) -> None:
    found = top_share(np.array(count, dtype=np.int64), zeros, share)
    if not count:
        assert found is None
        return
    most = max(1, round((len(count) + zeros) * share))
    assert found is not None
    assert isclose(found, sum(sorted(count, reverse=True)[:most]) / sum(count))


# --- How values spread over targets ---


def table_of(columns: dict[str, list[float]]) -> ValuesTable:
    """A table with one metric; the first variant is the baseline."""
    values = {name: np.array(column, dtype=float) for name, column in columns.items()}
    size = len(next(iter(values.values())))
    metric = MetricColumn("dcg@3", "primary", True, values)
    return ValuesTable(next(iter(values)), tuple(values), frozenset(), np.arange(size), np.ones(size), (), (metric,))


@given(rows=st.lists(st.tuples(*[st.one_of(st.just(0.0), st.just(float("nan")), NUMBERS)] * 3), max_size=30))
def test_distributions(rows: list[tuple[float, float, float]]) -> None:
    columns = {name: [row[at] for row in rows] for at, name in enumerate(("base", "new", "newer"))}
    found = {(row.of, row.variant): row for row in distributions(table_of(columns))}
    assert set(found) == {("value", name) for name in columns} | {("difference", "new"), ("difference", "newer")}
    for (of, variant), row in found.items():
        pairs = zip(columns[variant], columns["base"], strict=True)
        values = columns[variant] if of == "value" else [one - other for one, other in pairs]
        known = sorted(one for one in values if not isnan(one))
        other = [one for one in known if abs(one) > 1e-12]
        assert row.zero == len(known) - len(other)
        assert sum(row.counts) == len(other), "each target is in a bin or exactly 0"
        assert all(row.low <= one <= row.high for one in known)
        assert (row.low == -row.high) or of == "value"
        assert len({(one.low, one.high, len(one.counts)) for one in found.values() if one.of == of}) == 1
        if known:
            for share, quantile in zip((0.1, 0.5, 0.9), row.quantiles, strict=True):
                place = share * (len(known) - 1)
                low = int(place)
                high = min(low + 1, len(known) - 1)
                wanted = known[low] + (known[high] - known[low]) * (place - low)
                assert isclose(quantile, wanted, rel_tol=1e-9, abs_tol=1e-9)
        else:
            assert row.quantiles == ()
        check_bins(row, other)


def check_bins(row: Any, values: list[float]) -> None:
    """Every value is in its bin, but for what lies on an edge but for rounding."""
    width, inside = (row.high - row.low) / len(row.counts), [0] * len(row.counts)
    for value in values:
        place = (value - row.low) / width
        if abs(place - round(place)) < 1e-6:
            return
        inside[min(int(place), len(inside) - 1)] += 1
    assert tuple(inside) == row.counts


# --- The rows of a run ---


def distributions_of(run: Run) -> dict[tuple[str, str, str], Any]:
    return {(row.metric, row.of, row.variant): row for row in run.results.distributions}


def test_distributions_of_a_run_are_those_of_its_values(demo: Any) -> None:
    metrics = [name for name in demo.run.values.columns if "@" in name or name == "empty"]
    rows = distributions_of(demo.run)
    assert {metric for metric, _, _ in rows} == set(metrics)
    base = demo.run.values.filter(pl.col("variant") == "production").sort("request_id")
    for metric, of, variant in rows:
        mine = demo.run.values.filter(pl.col("variant") == variant).sort("request_id")[metric]
        values = (mine if of == "value" else mine - base[metric]).drop_nulls()
        row = rows[metric, of, variant]
        assert row.zero == int((values.abs() <= 1e-12).sum())
        assert row.zero + sum(row.counts) == len(values)


def test_exposure_and_items_are_counts_of_slates(demo: Any) -> None:
    """Over all replayed requests and all places; of what could be shown, those open at any of them."""
    shown = {
        str(variant): Counter(part["item_id"].to_list()) for (variant,), part in demo.run.slates.group_by("variant")
    }
    for row in demo.run.results.exposure:
        count = shown[row.variant]
        assert (row.places, row.items) == (sum(count.values()), len(count))
        assert row.available is not None
        never = row.available - len(count)  # in the demo only open items are shown
        assert never >= 0
        most = sorted(count.values(), reverse=True)
        for share, told in ((0.01, row.top_1), (0.1, row.top_10)):
            assert told is not None
            assert isclose(told, sum(most[: max(1, round(row.available * share))]) / row.places)
        assert len(row.lorenz) == 21
        assert (row.lorenz[0], row.lorenz[-1]) == (0, 1)
        assert all(one <= other for one, other in pairwise(row.lorenz))
    for variant in ("two_tower", "popular"):
        gain = {item: shown[variant][item] - shown["production"][item] for item in shown[variant] | shown["production"]}
        rows = [row for row in demo.run.results.items if row.variant == variant]
        for row in rows:
            assert (row.shown, row.shown_by_baseline) == (
                shown[variant][row.item_id],
                shown["production"][row.item_id],
            )
        told = [row.shown - row.shown_by_baseline for row in rows]
        most = sorted((one for one in gain.values() if one > 0), reverse=True)[:10]
        assert told == most + sorted(one for one in gain.values() if one < 0)[:10]


@pytest.mark.parametrize("method", ["clustered", "bootstrap"])
def test_days_are_those_of_the_segment_day(method: str, demo: Any, tmp_path: Path) -> None:
    """Whatever the method, their intervals are the clustered ones; whether `day` is a segment or not."""
    wanted = {
        (row.variant, row.segment.value): row
        for row in demo.run.results.comparisons
        if row.segment is not None and row.segment.column == "day" and row.metric == "dcg@10"
    }
    days = demo.run.results.days
    if method != "clustered":
        shutil.copytree(demo.folder, tmp_path / "demo", ignore=shutil.ignore_patterns("runs"))
        study = tmp_path / "demo" / "studies" / "two-tower.yaml"
        text = study.read_text(encoding="utf-8").replace("confidence: 0.95", f"confidence: 0.95, method: {method}")
        assert method in text
        study.write_text(text.replace(", day]", "]"), encoding="utf-8")
        days = rankcast.run(study, tmp_path / "runs").results.days
    assert {(row.variant, row.day) for row in days} == set(wanted)
    for row in days:
        same = wanted[row.variant, row.day]
        assert (row.metric, row.n_requests, row.n_users) == (same.metric, same.n_requests, same.n_users)
        for one, other in ((row.difference, same.difference), (row.low, same.low), (row.high, same.high)):
            assert (one is None and other is None) or isclose(one or 0, other or 0, rel_tol=1e-9, abs_tol=1e-12)


# --- What no trail depends on ---


def trails_of(run: Run) -> pl.DataFrame:
    """All rows, in an order of their own."""
    rows = pl.read_parquet(run.folder / "trails" / "*.parquet")
    return rows.sort(rows.columns, nulls_last=True)


def sampled(run: Run) -> str:
    """The lists in the page."""
    page: str = run.report.read_text(encoding="utf-8")
    return page.partition('id="sample">')[2].partition("</script>")[0]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few requests are told that most are not."""
    monkeypatch.setattr(trails, "MOST_MOVED", 5)
    monkeypatch.setattr("rankcast.experiment.work.sample_of", lambda replayed, size, _: first(replayed, size))


def first(replayed: Any, size: int) -> Any:
    """Three requests."""
    chosen = np.zeros(size, dtype=bool)
    chosen[replayed[:3]] = True
    return chosen


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("rows", [1, 60])
@pytest.mark.parametrize("ids", ["int", "padded", "names"])
def test_trails_do_not_depend_on_how_work_is_split(
    ids: str, rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from random import Random

    (study,) = write_world(tmp_path, Random(3), size="small", ids=ids, steps=5, rivals=2, builtins=1)
    whole = rankcast.run(study, tmp_path / "whole")
    monkeypatch.setattr("rankcast.study.SHARD_ROWS", rows)
    split = rankcast.run(study, tmp_path / "split", memory=1, processes=1)
    assert split.manifest["work"]["shards"] > whole.manifest["work"]["shards"]
    assert len(trails_of(whole)) > 5
    assert trails_of(split).equals(trails_of(whole))
    assert sampled(split) == sampled(whole)


@pytest.mark.slow
def test_trails_of_two_processes(demo: Any, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rankcast.study.SHARD_ROWS", 3_000)
        split = rankcast.run(demo.study("two-tower"), tmp_path / "runs", memory=100_000_000, processes=2)
    assert split.manifest["work"]["shards"] > 3
    assert trails_of(split).equals(trails_of(demo.run))
    assert sampled(split) == sampled(demo.run)


def test_trails_do_not_depend_on_whose_lists_they_are(tmp_path: Path) -> None:
    """A run that takes its lists over from an earlier one tells the same of them as a run that makes them."""
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
    world = World(tmp_path / "one").write()
    lists = Run(run_folder(world))
    world.study("metrics", to={"primary": "ndcg@3", "also": ["recall@3"]}).write(data=False)
    judged = next(run for run in runs_of(world) if run.id != lists.id)
    assert judged.manifest["work"]["lists_of"] == lists.id
    anew = World(tmp_path / "other").study("metrics", to={"primary": "ndcg@3", "also": ["recall@3"]}).write()
    whole = Run(run_folder(anew))
    assert "lists_of" not in whole.manifest["work"]
    assert trails_of(judged).equals(trails_of(lists))
    assert trails_of(judged).equals(trails_of(whole))
    assert sampled(judged) == sampled(whole)


def runs_of(world: World) -> list[Run]:
    """Run, and give all runs of the study."""
    outcome = world.run()
    assert outcome.code in (0, 3, 4, 5), outcome.text
    return [Run(path.parent) for path in world.folder.glob("runs/*/*/result.json")]


def run_folder(world: World) -> Path:
    """The folder of the only run."""
    (run,) = runs_of(world)
    return run.folder


@settings(max_examples=8)
@given(seed=st.integers(0, 2**16))
def test_what_a_trail_says_is_true_of_any_world(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a step removed is not in the list; ranks count from 1 and are within reach."""
    from random import Random

    folder = tmp_path_factory.mktemp("world")
    (study,) = write_world(folder, Random(seed), size="small", steps=4, rivals=2, builtins=2, own=True)
    run = rankcast.run(study, folder / "runs")
    rows = pl.read_parquet(run.folder / "trails" / "*.parquet")
    told = rows.filter(pl.col("step").is_null())
    assert not told.select("variant", "request_id").is_duplicated().any()
    gone = rows.filter(pl.col("step").is_not_null())
    assert set(gone["request_id"]) <= set(told["request_id"])
    assert gone["rank"].min() is None or (gone["rank"] >= 1).all()
    both = gone.join(run.slates, on=["variant", "request_id", "item_id"])
    assert len(both) == 0
    removed_by = {(row.variant, row.step): row.removed for row in run.results.steps}
    for (variant, step), part in gone.group_by("variant", "step"):
        assert len(part) <= removed_by[str(variant), str(step)]
