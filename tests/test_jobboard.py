"""The simulated job board keeps its promises: exact serving, known truth, a real improvement and a trap."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from rankcast.testing.jobboard import VARIANTS, JobBoard, Variant, simulate
from rankcast.testing.jobboard.names import HOSTILE_TITLE
from rankcast.testing.jobboard.truth import counted_slates, labels

TABLES = ("requests", "items", "availability", "impressions", "events", "users")
TOKYO = timezone(timedelta(hours=9))
PERIOD = (datetime(2023, 10, 2), datetime(2023, 10, 16))
COUNTED = (pl.col("surface") == "home") & ~pl.col("is_bot") & pl.col("requested_at").is_between(*PERIOD, closed="left")


@pytest.fixture(scope="module")
def board() -> JobBoard:
    return simulate(seed=7, requests=6_000)


@pytest.fixture(scope="module")
def large() -> JobBoard:
    return simulate(seed=7, requests=50_000)


def counted(board: JobBoard) -> pl.DataFrame:
    return board.requests.filter(COUNTED)


def shown(board: JobBoard) -> pl.DataFrame:
    """Every impression with its request and its item (the item's filter columns end in `_right`)."""
    return board.impressions.join(board.requests, on="request_id").join(board.items, on="item_id")


def last_request_labels(board: JobBoard) -> pl.DataFrame:
    """Labels as the design defines them, by a join as of the event's time."""
    asked = board.requests.select("user_id", "request_id", at="requested_at").sort("at", "request_id")
    grade = pl.col("event").replace_strict({"click": 1, "bookmark": 2, "apply": 4}, return_dtype=pl.Int64)
    return (
        board.events.select("user_id", "item_id", "timestamp", grade=grade)
        .sort("timestamp")
        .join_asof(asked, left_on="timestamp", right_on="at", by="user_id", check_sortedness=False)
        .filter(pl.col("timestamp") < pl.col("at") + pl.duration(days=7))
        .group_by("request_id", "item_id")
        .agg(pl.max("grade"))
    )


def offline_dcg(board: JobBoard, variant: Variant) -> pl.DataFrame:
    """DCG@10 of the variant's slates, per counted request that has a label."""
    slates = counted_slates(board.latent, variant)
    row, place = np.nonzero(slates >= 0)
    slate = pl.DataFrame(
        {
            "request_id": board.requests["request_id"].gather(row),
            "item_id": board.items["item_id"].gather(slates[row, place]),
            "discount": 1.0 / np.log2(place + 2),
        }
    )
    known = last_request_labels(board)
    gained = known.join(slate, on=["request_id", "item_id"]).group_by("request_id")
    dcg = gained.agg(dcg=(pl.col("grade") * pl.col("discount")).sum())
    return (
        counted(board)
        .select("request_id", "user_id")
        .join(known.select("request_id").unique(), on="request_id", how="semi")
        .join(dcg, on="request_id", how="left", maintain_order="left")
        .with_columns(pl.col("dcg").fill_null(0.0))
    )


def offline_t(board: JobBoard, variant: Variant) -> float:
    """The t value of the variant's offline difference in DCG@10, clustered by user."""
    mine, theirs = offline_dcg(board, variant), offline_dcg(board, "production")
    difference = mine.select("user_id", d=pl.col("dcg") - theirs["dcg"])
    mean = difference.select(pl.mean("d")).item()
    sums = difference.group_by("user_id").agg((pl.col("d") - mean).sum())["d"].to_numpy()
    return float(mean / (math.sqrt((sums**2).sum()) / difference.height))


def test_same_seed_same_tables() -> None:
    one, two, other = simulate(3, 300), simulate(3, 300), simulate(4, 300)
    for name in TABLES:
        assert_frame_equal(getattr(one, name), getattr(two, name))
    for variant in VARIANTS:
        assert_frame_equal(one.scores[variant], two.scores[variant])
    assert not one.events.equals(other.events)


def test_written_files_read_back(tmp_path: Path) -> None:
    small = simulate(3, 300)
    small.write(tmp_path / "data")
    for name in TABLES:
        assert_frame_equal(pl.read_parquet(tmp_path / "data" / f"{name}.parquet"), getattr(small, name))
    for variant in VARIANTS:
        assert_frame_equal(pl.read_parquet(tmp_path / "data/scores" / f"{variant}.parquet"), small.scores[variant])


def test_a_handful_of_requests_is_a_world_too() -> None:
    tiny = simulate(1, 20)
    assert tiny.requests.height == 20
    assert math.isfinite(tiny.online("two_tower").applications)


def replay(board: JobBoard) -> dict[str, list[str]]:
    """Production's slates from the tables alone, in obvious loops: an oracle for the vectorised serving."""
    items = {row["item_id"]: row for row in board.items.to_dicts()}
    opened: dict[str, list[tuple[datetime, datetime | None]]] = defaultdict(list)
    for row in board.availability.to_dicts():
        opened[row["item_id"]].append((row["open_at"], row["close_at"]))
    batches: dict[str, dict[datetime, list[tuple[float, str]]]] = defaultdict(lambda: defaultdict(list))
    for user, item, score, at in board.scores["production"].iter_rows():
        batches[user][at].append((-score, item))
    applied: dict[str, list[tuple[str, datetime]]] = defaultdict(list)
    for row in board.events.filter(pl.col("event") == "apply").to_dicts():
        applied[row["user_id"]].append((row["item_id"], row["timestamp"].replace(tzinfo=TOKYO)))
    return {
        request["request_id"]: replay_one(request, items, opened, batches[request["user_id"]], applied)
        for request in board.requests.to_dicts()
    }


def replay_one(request: dict[str, Any], items: Any, opened: Any, batches: Any, applied: Any) -> list[str]:
    t = request["requested_at"].replace(tzinfo=TOKYO)
    newest = max((at for at in batches if at <= t), default=None)
    year = timedelta(days=365)
    gone = {item for item, at in applied[request["user_id"]] if t - year <= at < t}
    slate: list[str] = []
    of_company: Counter[str] = Counter()
    for _, item in sorted(batches[newest]) if newest else []:
        post = items[item]
        keep = request["job_type"] in (None, post["job_type"])
        keep = keep and (not request["employment"] or post["employment"] in request["employment"])
        keep = keep and any(start <= t and (end is None or t < end) for start, end in opened[item])
        keep = keep and item not in gone and not post["is_test"]
        if keep and of_company[post["company_id"]] < 2:
            of_company[post["company_id"]] += 1
            slate.append(item)
    return slate[:10]


def test_exact_replay_gives_the_impressions() -> None:
    small = simulate(5, 1_500)
    seen = small.impressions.sort("request_id", "rank").group_by("request_id", maintain_order=True).agg("item_id")
    expected = {request: slate for request, slate in replay(small).items() if slate}
    assert dict(seen.iter_rows()) == expected


def test_impressions_pass_every_filter(board: JobBoard) -> None:
    rows = shown(board)
    assert rows.height == board.impressions.height
    assert not rows["is_test"].any()
    assert rows.filter(pl.col("job_type") != pl.col("job_type_right")).is_empty()
    kinds = pl.col("employment")
    missed = rows.filter(kinds.list.len() > 0, ~kinds.list.contains(pl.col("employment_right")))
    assert missed.is_empty()
    assert rows.group_by("request_id", "company_id").len()["len"].max() == 2
    assert rows["rank"].max() == 10


def test_impressions_are_open_posts(board: JobBoard) -> None:
    at = pl.col("requested_at").dt.replace_time_zone("Asia/Tokyo").dt.convert_time_zone("UTC")
    is_open = (pl.col("open_at") <= at) & (pl.col("close_at").is_null() | (at < pl.col("close_at")))
    rows = shown(board).join(board.availability, on="item_id").filter(is_open)
    assert rows.select("request_id", "item_id").n_unique() == board.impressions.height


def test_impressions_are_not_applied_to_yet(board: JobBoard) -> None:
    applied = board.events.filter(pl.col("event") == "apply").select("user_id", "item_id", "timestamp")
    again = shown(board).join(applied, on=["user_id", "item_id"]).filter(pl.col("timestamp") < pl.col("requested_at"))
    assert again.is_empty()


def test_all_steps_have_something_to_do(board: JobBoard) -> None:
    posts, requests, past = board.latent.world.posts, board.latent.requests, board.latent.past
    rows = np.flatnonzero(requests.counted & (board.latent.pools.of_request >= 0))
    post = past.candidates[rows]
    is_open = posts.is_open(post, requests.moment[rows, None])
    assert 0.02 < 1 - is_open.mean() < 0.3
    assert posts.is_test[post].any()
    lengths = (past.slates[rows] >= 0).sum(axis=1)
    assert 9.0 < lengths.mean() < 10.0
    assert 0 < (board.latent.pools.of_request < 0).sum() < 0.05 * requests.user.size


def test_all_variants_score_the_same_candidates(board: JobBoard) -> None:
    keys = ["user_id", "item_id", "computed_at"]
    production = board.scores["production"].select(keys)
    assert not production.is_duplicated().any()
    for variant in VARIANTS:
        assert_frame_equal(board.scores[variant].select(keys), production)
        assert board.scores[variant]["score"].is_finite().all()


def test_tables_have_the_shapes_that_a_study_meets(board: JobBoard) -> None:
    requests = board.requests
    inside = requests["requested_at"].is_between(*PERIOD, closed="left").mean()
    assert inside is not None
    assert 0.75 < inside < 0.9  # type: ignore[operator]
    assert 0.5 < requests["job_type"].null_count() / requests.height < 0.6
    assert requests["employment"].null_count() > 0
    assert set(requests["employment"].list.len().drop_nulls()) == {0, 1, 2}
    assert requests["requested_at"].dtype == pl.Datetime("us")
    assert board.availability["close_at"].null_count() > 0
    assert board.availability["item_id"].is_duplicated().any()
    assert board.availability["open_at"].dtype == pl.Datetime("us", "UTC")


def test_event_log_is_as_dirty_as_promised(board: JobBoard) -> None:
    events = board.events
    twice = events.height - events.unique().height
    assert 0.003 < twice / events.height < 0.007
    unknown = events.join(board.items, on="item_id", how="anti").height
    assert 0 < unknown < 0.005 * events.height
    assert 0.2 < events["request_id"].null_count() / events.height < 0.9
    assert events["timestamp"].min().date() < date(2023, 9, 1)  # type: ignore[union-attr]
    assert events["timestamp"].max() > datetime(2023, 10, 23)  # type: ignore[operator]


def test_a_post_is_applied_to_once(board: JobBoard) -> None:
    applied = board.events.unique().filter(pl.col("event") == "apply")
    known = applied.join(board.items, on="item_id", how="semi")
    assert not known.select("user_id", "item_id").is_duplicated().any()


def test_hostile_title_is_shown_to_somebody(board: JobBoard) -> None:
    assert (board.items["title"] == HOSTILE_TITLE).sum() == 1
    assert (shown(board)["title"] == HOSTILE_TITLE).any()


def test_labels_agree_with_a_join_as_of(board: JobBoard) -> None:
    request, post, grade = labels(board.latent)
    known = post < board.items.height
    mine = pl.DataFrame(
        {
            "request_id": board.requests["request_id"].gather(request[known]),
            "item_id": board.items["item_id"].gather(post[known]),
            "grade": grade[known],
        }
    )
    theirs = last_request_labels(board).join(board.items, on="item_id", how="semi")
    assert_frame_equal(mine, theirs, check_row_order=False)


def test_share_of_requests_with_labels(board: JobBoard) -> None:
    share = offline_dcg(board, "production").height / counted(board).height
    assert 0.25 < share < 0.5


def test_truth_agrees_with_what_happened(board: JobBoard) -> None:
    clicked = board.events.unique().filter(pl.col("event") == "click").join(counted(board), on="request_id", how="semi")
    expected = board.online("production").clicks * counted(board).height
    assert abs(clicked.height - expected) < 4 * math.sqrt(expected)


def test_production_against_itself_changes_nothing(board: JobBoard) -> None:
    truth = board.online("production")
    assert truth.requests == counted(board).height
    assert truth.relative_applications == 0.0
    assert np.array_equal(
        counted_slates(board.latent, "production")[board.latent.requests.counted],
        board.latent.past.slates[board.latent.requests.counted],
    )


def test_two_tower_is_a_real_improvement(board: JobBoard) -> None:
    assert 0.05 < board.online("two_tower").relative_applications < 0.12
    assert offline_t(board, "two_tower") > 2


def test_filter_net_is_a_trap(board: JobBoard) -> None:
    assert -0.12 < board.online("filter_net").relative_applications < -0.04
    assert board.naive("filter_net") > 1.02 * board.naive("production")
    assert offline_t(board, "filter_net") < -2


def test_online_test_covers_the_truth(board: JobBoard) -> None:
    mine, theirs = board.online("two_tower"), board.online("production")
    people = counted(board)
    truth = (mine.applications - theirs.applications) * people.height / people["user_id"].n_unique()
    results = [board.ab_test("two_tower", seed) for seed in range(60)]
    assert results[0] == board.ab_test("two_tower", 0)
    covered = np.mean([result.low <= truth <= result.high for result in results])
    assert covered > 0.85


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "sign"), [("two_tower", 1), ("filter_net", -1)])
def test_offline_and_online_agree_at_full_size(large: JobBoard, variant: Variant, sign: int) -> None:
    assert large.scores[variant].height <= 2_000_000
    assert sign * large.online(variant).relative_applications > 0.04
    assert sign * offline_t(large, variant) > 3
    agree = [sign * large.ab_test(variant, seed).difference > 0 for seed in range(10)]
    assert np.mean(agree) >= 0.8
