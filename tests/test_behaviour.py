"""The position-based click model: against a reference program on real clicks, a brute force, and known truths."""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import rankcast
from rankcast.errors import RankcastError
from rankcast.evaluate.behaviour.diagnostics import perplexity, perplexity_by_rank, rank_only
from rankcast.evaluate.behaviour.position_based import fit
from rankcast.runs.folder import Run
from rankcast.testing.jobboard import JobBoard, simulate
from rankcast.testing.jobboard.behaviour import EXAMINED, attraction
from tiny import World, assert_refused

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Row: TypeAlias = tuple[int, int, bool]  # unit, rank from 1, clicked

TRUTH: Floats = (EXAMINED / EXAMINED[0]).astype(np.float64)
DEEPEST = len(TRUTH)
CLOSE = 1e-6  # a fit may end before its last iteration where nothing moves any more


@dataclass(frozen=True)
class Log:
    """A row per item shown: what may be attractive, where it stood, and whether it was clicked."""

    unit: Ints
    rank: Ints
    click: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Log:
        unit, rank, click = zip(*rows, strict=True)
        return cls(np.array(unit), np.array(rank), np.array(click))

    def rows(self) -> list[Row]:
        return list(zip(self.unit.tolist(), self.rank.tolist(), self.click.tolist(), strict=True))


def curve(log: Log, iterations: int = 50) -> Floats:
    """Fitted examination, the first rank's as 1."""
    return fit(log.unit, log.rank, log.click, iterations=iterations).relative


def click_through(log: Log) -> Floats:
    """Clicks per item shown at each rank, the first rank's as 1."""
    rate = np.bincount(log.rank, log.click)[1:] / np.bincount(log.rank)[1:]
    relative: Floats = rate / rate[0]
    return relative


# -- the reference program on real clicks


@dataclass(frozen=True)
class Sessions:
    """Some sessions of the Yandex sample as rows; a document is a unit of its own in every query and region."""

    log: Log
    numbers: dict[tuple[str, str], int]


def sessions(folder: Path, first: int, step: int, numbers: dict[tuple[str, str], int] | None = None) -> Sessions:
    """Every `step`-th session; with `numbers` those of other sessions are kept, and -1 is a unit they did not have."""
    known: dict[tuple[str, str], int] = {} if numbers is None else numbers
    rows: list[Row] = []
    with gzip.open(folder / "sessions.csv.gz", "rt") as file:
        for number, session in enumerate(csv.DictReader(file)):
            if number % step != first:
                continue
            clicked = set(session["clicked_docs_in_click_order"].split())
            for rank, document in enumerate(session["docs_by_rank"].split(), 1):
                key = (session["query_region"], document)
                unit = known.setdefault(key, len(known)) if numbers is None else known.get(key, -1)
                rows.append((unit, rank, document in clicked))
    return Sessions(Log.of(rows), known)


@pytest.fixture(scope="module")
def yandex(shared_data: Path) -> Path:
    folder = shared_data / "yandex_relpred"
    if not folder.is_dir():
        pytest.skip(f"the sample of Yandex's sessions is not here ({folder})")
    return folder


@pytest.fixture(scope="module")
def reference(yandex: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((yandex / "pyclick_reference.json").read_text())
    return values


def assert_fits(p: Floats, log: Log, expected: dict[str, Any]) -> None:
    """Perplexity and log likelihood of a reference model whose click probabilities do not depend on other clicks."""
    assert np.log(np.where(log.click, p, 1 - p)).mean() == pytest.approx(expected["log_likelihood"], abs=1e-12)
    by_rank = perplexity_by_rank(p, log.click, log.rank)
    np.testing.assert_allclose(by_rank, expected["perplexity_at_rank"], rtol=0, atol=1e-12)
    assert perplexity(p, log.click, log.rank) == pytest.approx(expected["perplexity"], abs=1e-12)


def test_the_reference_program_finds_the_same_on_real_clicks(yandex: Path, reference: dict[str, Any]) -> None:
    expected = reference["dev_em_every8th"]["models"]["PBM"]
    train = sessions(yandex, 0, 8)
    test = sessions(yandex, 1, 8, train.numbers).log
    assert train.log.unit.size == test.unit.size == 43_830
    model = fit(train.log.unit, train.log.rank, train.log.click, iterations=50)
    np.testing.assert_allclose(model.examination, expected["examination_at_rank"], rtol=0, atol=1e-12)
    assert (test.unit < 0).sum() == 132
    assert_fits(model.predict(test.unit, test.rank), test, expected)


def test_click_rates_by_rank_fit_as_the_reference_program_says(yandex: Path, reference: dict[str, Any]) -> None:
    expected = reference["dev_mle_full"]["models"]["RCTR"]
    train, test = sessions(yandex, 0, 2).log, sessions(yandex, 1, 2).log
    rate = rank_only(train.rank, train.click, ranks=10)
    np.testing.assert_allclose(rate, expected["ctr_at_rank"], rtol=0, atol=1e-12)
    assert_fits(rate[test.rank - 1], test, expected)


# -- a brute force on tiny logs


def brute_force(rows: list[Row], iterations: int) -> tuple[dict[int, float], dict[int, float]]:
    """Attraction by unit and examination by rank: row by row, all from the last iteration's values."""
    attracts = dict.fromkeys((unit for unit, _, _ in rows), 0.5)
    examined = dict.fromkeys((rank for _, rank, _ in rows), 0.5)
    for _ in range(iterations):
        attracted, looked = dict.fromkeys(attracts, (1.0, 2)), dict.fromkeys(examined, (1.0, 2))
        for unit, rank, click in rows:
            a, e = attracts[unit], examined[rank]
            missed = 1 - a * e
            attracted[unit] = add(attracted[unit], 1.0 if click else a * (1 - e) / missed)
            looked[rank] = add(looked[rank], 1.0 if click else e * (1 - a) / missed)
        attracts = {unit: total / n for unit, (total, n) in attracted.items()}
        examined = {rank: total / n for rank, (total, n) in looked.items()}
    return attracts, examined


def add(so_far: tuple[float, int], share: float) -> tuple[float, int]:
    return so_far[0] + share, so_far[1] + 1


def log_posterior(rows: list[Row], attracts: Iterable[float], examined: Iterable[float]) -> float:
    """What every iteration raises: the log likelihood, and one click in two rows of every unit and rank beforehand."""
    a, e = list(attracts), list(examined)
    clicks = sum(
        math.log(a[unit] * e[rank - 1]) if click else math.log1p(-a[unit] * e[rank - 1]) for unit, rank, click in rows
    )
    return clicks + sum(math.log(value) + math.log1p(-value) for value in [*a, *e])


@st.composite
def tiny_logs(draw: st.DrawFn) -> list[Row]:
    """A few lists of a few ranks; every unit and every rank occurs."""
    units, ranks = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    row = st.tuples(st.integers(0, units - 1), st.integers(1, ranks), st.booleans())
    once = [(unit, 1 + unit % ranks, draw(st.booleans())) for unit in range(units)]
    deep = [(rank % units, rank, draw(st.booleans())) for rank in range(1, ranks + 1)]
    return draw(st.permutations([*once, *deep, *draw(st.lists(row, max_size=25))]))


@example(rows=[(0, 1, True), (1, 1, False), (1, 1, False), (1, 1, False)], iterations=50)  # ranks do not move at first
@given(rows=tiny_logs(), iterations=st.integers(1, 60))
def test_tiny_logs_as_a_brute_force_fits_them(rows: list[Row], iterations: int) -> None:
    log = Log.of(rows)
    model = fit(log.unit, log.rank, log.click, iterations=iterations)
    attracts, examined = brute_force(rows, iterations)
    np.testing.assert_allclose(model.attraction, [attracts[unit] for unit in sorted(attracts)], rtol=0, atol=CLOSE)
    np.testing.assert_allclose(model.examination, [examined[rank] for rank in sorted(examined)], rtol=0, atol=CLOSE)
    by_hand = [attracts[unit] * examined[rank] for unit, rank, _ in rows]
    np.testing.assert_allclose(model.predict(log.unit, log.rank), by_hand, rtol=0, atol=CLOSE)


@given(rows=tiny_logs(), iterations=st.integers(1, 30))
def test_every_iteration_fits_better(rows: list[Row], iterations: int) -> None:
    log = Log.of(rows)
    before, after = (fit(log.unit, log.rank, log.click, iterations=n) for n in (iterations, iterations + 1))
    assert log_posterior(rows, after.attraction, after.examination) >= (
        log_posterior(rows, before.attraction, before.examination) - 1e-9
    )


@given(rows=tiny_logs(), times=st.integers(2, 4), data=st.data())
def test_the_order_of_rows_does_not_matter(rows: list[Row], times: int, data: st.DataObject) -> None:
    log, other = Log.of(rows * times), Log.of(data.draw(st.permutations(rows * times)))
    one, two = (fit(each.unit, each.rank, each.click) for each in (log, other))
    np.testing.assert_allclose(one.examination, two.examination, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(one.attraction, two.attraction, rtol=0, atol=CLOSE)


def test_a_unit_that_was_never_shown_attracts_one_in_two() -> None:
    model = fit(np.array([0, 1, 0, 1]), np.array([1, 2, 2, 1]), np.array([True, False, True, False]))
    np.testing.assert_allclose(model.predict(np.array([-1, -1]), np.array([1, 2])), model.examination / 2)


def test_perplexity_by_hand() -> None:
    chance, rank = np.array([0.5, 0.24, 0.12] * 2), np.array([1, 2, 3] * 2)
    click = np.array([True, False, False, False, True, False])
    by_rank = perplexity_by_rank(chance, click, rank)
    np.testing.assert_allclose(by_rank, [2, (0.76 * 0.24) ** -0.5, 1 / 0.88], rtol=1e-12)
    assert perplexity(chance, click, rank) == pytest.approx((2 + (0.76 * 0.24) ** -0.5 + 1 / 0.88) / 3, rel=1e-12)


# -- truths that are known


def test_a_world_of_the_model_is_found_again() -> None:
    rng = np.random.default_rng(7)
    attracts = rng.uniform(0.05, 0.6, size=50)
    unit = rng.permuted(np.tile(np.arange(50), (8_000, 1)), axis=1)[:, :DEEPEST]
    rank = np.broadcast_to(np.arange(1, DEEPEST + 1), unit.shape)
    click = rng.random(unit.shape) < attracts[unit] * TRUTH
    found = curve(Log(unit.ravel(), rank.ravel(), click.ravel()), iterations=200)
    np.testing.assert_allclose(found, TRUTH, rtol=0.08)  # four standard errors of the last rank


@dataclass(frozen=True)
class Shown:
    """What people were shown on the simulated job board, and whether they clicked; with the score that put it there."""

    rows: pl.DataFrame

    def by(self, *columns: str) -> Log:
        unit = self.rows.select(pl.struct(columns).rank("dense")).to_series().cast(pl.Int64) - 1
        return Log(unit.to_numpy(), self.rows["rank"].to_numpy(), self.rows["click"].to_numpy())


@pytest.fixture(scope="module")
def shown() -> Shown:
    board = simulate(seed=7, requests=50_000)
    clicked = board.events.filter(pl.col("event") == "click").select("request_id", "item_id").unique()
    rows = (
        board.impressions.join(board.requests.filter(~pl.col("is_bot")), on="request_id")
        .join(clicked.with_columns(click=True), on=["request_id", "item_id"], how="left")
        .with_columns(pl.col("click").fill_null(value=False))
        .pipe(scored, board)
        .sort("request_id", "rank")
    )
    user = board.users.with_row_index("u").join(rows, on="user_id", maintain_order="right")["u"].to_numpy()
    post = board.items.with_row_index("p").join(rows, on="item_id", maintain_order="right")["p"].to_numpy()
    liked = pl.Series("liked", attraction(board.latent.world.utility[user, post]))
    return Shown(rows.with_columns(liked, score_tenth=quantile("score", 10), liked_twentieth=quantile(liked, 20)))


def scored(rows: pl.DataFrame, board: JobBoard) -> pl.DataFrame:
    """With production's score of the batch that was the newest at the request."""
    scores = board.scores["production"]
    asked = rows.with_columns(
        at=pl.col("requested_at").dt.replace_time_zone("Asia/Tokyo").dt.convert_time_zone("UTC")
    ).sort("at")
    batches = scores.select("user_id", "computed_at").unique().sort("computed_at")
    batch = asked.join_asof(batches, left_on="at", right_on="computed_at", by="user_id", check_sortedness=False)
    return batch.join(scores, on=["user_id", "item_id", "computed_at"])


def quantile(column: str | pl.Series, parts: int) -> pl.Expr:
    """In which of so many equal parts of all rows a row is."""
    value = pl.col(column) if isinstance(column, str) else pl.lit(column)
    return (value.rank("ordinal") - 1) * parts // pl.len()


def test_what_users_look_at_is_found_where_the_unit_is_what_decided_the_order(shown: Shown) -> None:
    log = shown.by("score_tenth")
    found = curve(log)
    assert np.abs(found - TRUTH).max() < 0.05
    assert np.abs(found - TRUTH).max() < np.abs(click_through(log) - TRUTH).max() / 3


def test_what_users_look_at_is_found_where_the_unit_is_the_true_attraction(shown: Shown) -> None:
    assert np.abs(curve(shown.by("liked_twentieth")) - TRUTH).max() < 0.06


def test_an_item_alone_leaves_users_tastes_in_the_curve(shown: Shown) -> None:
    """A limit that is known: whoever likes an item gets it higher up, so the fitted curve is too steep."""
    log = shown.by("item_id")
    found, rates = curve(log), click_through(log)
    assert (rates[1:] < found[1:]).all()
    assert (found[1:] < TRUTH[1:]).all()
    assert np.abs(found - TRUTH).max() > 0.1


# -- in a study

EXAMINED_METRICS = ("dcg(discount=examined)@10", "ndcg(discount=examined)@10")


def with_behaviour(demo: Any, folder: Path, behaviour: str = "", requests: pl.DataFrame | None = None) -> Run:
    """The demo's first study with metrics that discount by what users look at, and clicks that name their request."""
    (folder / "data").mkdir()
    for file in (demo.folder / "data").iterdir():
        (folder / "data" / file.name).symlink_to(file)
    if requests is not None:
        (folder / "data" / "requests.parquet").unlink()
        requests.write_parquet(folder / "data" / "requests.parquet")
    (folder / "history").symlink_to(demo.folder / "history")
    (folder / "studies").mkdir()
    service = (demo.folder / "service.yaml").read_text().replace("attribute: last_request", "attribute: request_id")
    (folder / "service.yaml").write_text(service + behaviour)
    study = demo.study("two-tower").read_text().replace("also: [", f"also: [{', '.join(EXAMINED_METRICS)}, ")
    (folder / "studies" / "study.yaml").write_text(study)
    return rankcast.run(folder / "studies" / "study.yaml", out=folder / "runs")


@pytest.fixture(scope="module")
def looked(demo: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return with_behaviour(demo, tmp_path_factory.mktemp("looked"))


def examination(run: Run) -> list[float]:
    behaviour = run.result.results.behaviour
    assert behaviour is not None
    raw = [row.examination if row.depth is None else row.depth / depth_of(run)[0] for row in behaviour.ranks]
    return [min(raw[: at + 1]) for at in range(len(raw))]


def depth_of(run: Run) -> list[float]:
    behaviour = run.result.results.behaviour
    assert behaviour is not None
    depths = [row.depth for row in behaviour.ranks if row.depth is not None]
    assert len(depths) == len(behaviour.ranks)
    return depths


def assert_discounted(run: Run) -> None:
    """Every value of both metrics equals one by hand, from the run's own lists, labels and examination."""
    weight = examination(run)
    assert len(weight) == DEEPEST
    grades: dict[str, dict[str, float]] = defaultdict(dict)
    for request, item, grade in (
        run.labels.filter(reason="counted").select("request_id", "item_id", "grade").iter_rows()
    ):
        grades[request][item] = max(grade, grades[request].get(item, 0.0))
    gained: dict[tuple[str, str], float] = defaultdict(float)
    for variant, request, rank, item in run.slates.select("variant", "request_id", "rank", "item_id").iter_rows():
        if rank <= DEEPEST:
            gained[variant, request] += weight[rank - 1] * grades[request].get(item, 0.0)
    checked = 0
    for variant, request, dcg, ndcg in run.values.select("variant", "request_id", *EXAMINED_METRICS).iter_rows():
        best = sorted(grades[request].values(), reverse=True)
        ideal = sum(w * grade for w, grade in zip(sorted(weight, reverse=True), best, strict=False))
        assert dcg == pytest.approx(gained[variant, request], abs=1e-9)
        assert ndcg == pytest.approx(gained[variant, request] / ideal, abs=1e-9)
        checked += dcg > 0
    assert checked > 100


def test_metrics_discount_by_what_users_look_at(looked: Run) -> None:
    assert_discounted(looked)
    assert {row.metric for row in looked.result.results.comparisons} >= set(EXAMINED_METRICS)


def test_the_record_says_what_was_shown_and_clicked_at_each_rank(looked: Run, demo: Any) -> None:
    behaviour = looked.result.results.behaviour
    assert behaviour is not None
    assert (behaviour.source, behaviour.clicks, behaviour.unit) == ("clicks", ("click",), "score")
    assert behaviour.requests == looked.result.results.fidelity.requests  # type: ignore[union-attr]
    assert behaviour.ranks[0].examination == 1
    replayed = looked.slates.select("request_id").unique()
    clicks = demo.board.events.filter(event="click").select("request_id", "item_id").unique()
    shown = demo.board.impressions.join(replayed, on="request_id", how="semi")
    clicked = shown.join(clicks, on=["request_id", "item_id"], how="semi")
    for rank, row in enumerate(behaviour.ranks, 1):
        assert (row.rank, row.shown, row.clicks) == (
            rank,
            shown.filter(rank=rank).height,
            clicked.filter(rank=rank).height,
        )
    assert sum(row.held_out for row in behaviour.ranks) == pytest.approx(shown.height / 2, rel=0.2)
    assert behaviour.perplexity is not None
    assert 1 < behaviour.perplexity < 2


def test_where_the_depth_is_logged_it_is_taken(demo: Any, tmp_path: Path) -> None:
    table = demo.board.requests.with_row_index()
    depth = pl.when(pl.col("index") % 3 == 0).then(None).when(pl.col("index") % 3 == 1).then(3).otherwise(20)
    requests = table.with_columns(depth=depth).drop("index")
    run = with_behaviour(demo, tmp_path, "behaviour: {depth: request.depth}\n", requests)
    behaviour = run.result.results.behaviour
    assert behaviour is not None
    assert behaviour.source == "depth"
    seen = (
        demo.board.impressions.join(run.slates.select("request_id").unique(), on="request_id", how="semi")
        .join(requests.select("request_id", "depth").drop_nulls(), on="request_id")
        .group_by("rank")
        .agg(share=(pl.col("depth") >= pl.col("rank")).mean())
        .sort("rank")
    )
    assert depth_of(run) == pytest.approx(seen["share"].to_list(), abs=1e-12)
    assert depth_of(run)[:3] == [1, 1, 1]
    assert_discounted(run)


def test_without_clicks_enough_nothing_can_be_discounted_by_what_users_look_at(tmp_path: Path) -> None:
    world = World(tmp_path).study("metrics", to={"primary": EXAMINED_METRICS[0]}).write()
    assert_refused(world.run(), "study.yaml", "discount=examined", "50 clicks")


def test_lists_without_a_service_cannot_be_discounted_by_what_users_look_at() -> None:
    slates = pl.DataFrame({"request_id": ["a"], "item_id": ["x"], "rank": [1]})
    labels = pl.DataFrame({"request_id": ["a"], "item_id": ["x"], "grade": [1.0]})
    with pytest.raises(RankcastError, match=r"discount=examined.*study"):
        rankcast.score(slates, labels, [EXAMINED_METRICS[0]])


def test_no_list_is_better_than_the_ideal_where_a_later_rank_is_looked_at_more(demo: Any, tmp_path: Path) -> None:
    """Users leave short lists at once and read full ones to the end: of the lists that hold rank 10 all are read."""
    length = demo.board.impressions.group_by("request_id").agg(full=pl.len() == DEEPEST)
    requests = demo.board.requests.join(length, on="request_id", how="left", maintain_order="left").with_columns(
        depth=pl.when("full").then(DEEPEST).otherwise(1)
    )
    run = with_behaviour(demo, tmp_path, "behaviour: {depth: request.depth}\n", requests.drop("full"))
    assert depth_of(run)[1] < depth_of(run)[-1] == 1
    assert run.values[EXAMINED_METRICS[1]].drop_nulls().is_between(0, 1 + 1e-9).all()
