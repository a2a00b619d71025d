"""Faults of time, targets, candidates and replay."""

from __future__ import annotations

import numpy as np
import polars as pl

from clean import Case, merged, part_of
from faults import Change, Fault, module

MODELS = ("production", "two_tower")
KEYS = ("request_id", "item_id")
REFUSED = "a run that has no request to replay is refused"


# --- What is taken away ---

# A discount by how far users look needs clicks on logged lists.
WITHOUT_CLICKS = "# study.yaml\nmetrics: {also: [ndcg@10]}"
NO_IMPRESSIONS = f"# service.yaml\ntables: {{impressions: null}}\n{WITHOUT_CLICKS}"


def saying(excerpt: str) -> Change:
    """The files are changed by an excerpt."""

    def change(case: Case) -> None:
        case.service = merged(case.service, part_of(excerpt, "service"))
        case.study = merged(case.study, part_of(excerpt, "study"))

    return change


def no_events(case: Case) -> None:
    """The log of events is empty, so there is no target."""
    case.put("events", case.table("events").clear())
    saying(WITHOUT_CLICKS)(case)


def no_request_ids(case: Case) -> None:
    case.put("events", case.table("events").drop("request_id"))


def nothing_in_time(case: Case) -> None:
    """All scores are from after the period: no list has a post."""
    for model in MODELS:
        scores = case.table(f"scores/{model}")
        case.put(f"scores/{model}", scores.with_columns(pl.col("computed_at") + pl.duration(days=60)))


no_impressions = saying(NO_IMPRESSIONS)
no_availability = saying(
    "# service.yaml\ntables: {availability: null}\nproduction: {steps: [{match: {request.job_type: item.job_type}}]}"
)
no_filters = saying("# service.yaml\nproduction: {steps: [available]}")
no_second_model = saying("# study.yaml\nvariants: {two_tower: null}")
no_split = saying("# study.yaml\nvariants: {two_tower: {training: {split: null}}}")
no_features = saying("# study.yaml\nvariants: {two_tower: {training: {features: null}}}")
undated_models = saying("# study.yaml\nvariants: {production: {trained_until: null}, two_tower: {trained_until: null}}")


# --- Time ---


def features_from_the_end(case: Case) -> None:
    """A click rate of each post over the whole period."""
    clicks = case.table("events").filter(pl.col("event") == "click").group_by("item_id").len("clicks")
    shown = case.table("impressions").group_by("item_id").len("shown")
    both = shown.join(clicks, on="item_id", how="left")
    rate = both.select("item_id", click_rate=pl.col("clicks").fill_null(0) / pl.col("shown"))
    features = case.table("features").join(rate, on="item_id", how="left", maintain_order="left")
    case.put("features", features.with_columns(as_of=pl.datetime(2023, 10, 16, time_unit="us")))


def log_ends_early(case: Case) -> None:
    case.put("events", case.table("events").filter(pl.col("timestamp") < pl.datetime(2023, 10, 14)))


def crawlers(case: Case) -> None:
    """Bots repeat each request of theirs every ten seconds, and click on all that they are shown, half a second apart."""
    requests, shown, events = case.table("requests"), case.table("impressions"), case.table("events")
    more = (
        requests.filter("is_bot")
        .join(pl.DataFrame({"n": range(1, 26)}), how="cross")
        .with_columns(
            old="request_id",
            request_id=pl.format("{}-{}", "request_id", "n"),
            requested_at=pl.col("requested_at") + pl.duration(seconds=10 * pl.col("n")),
        )
    )
    lists = shown.rename({"request_id": "old"}).join(more, on="old", maintain_order="left_right")
    moment = pl.col("requested_at") + pl.duration(milliseconds=500 * pl.col("rank"))
    clicks = lists.with_columns(timestamp=moment, event=pl.lit("click"))
    case.put("requests", pl.concat([requests, more.select(requests.columns)]))
    case.put("impressions", pl.concat([shown, lists.select(shown.columns)]))
    case.put("events", pl.concat([events, clicks.select(events.columns)]))


def events_twice(case: Case) -> None:
    events = case.table("events")
    case.put("events", pl.concat([events, events.gather_every(10)]))


def slow_clocks(case: Case) -> None:
    """The phones of every third user run a minute behind."""
    behind = pl.col("user_id").str.tail(3).cast(pl.Int64) % 3 == 0
    early = pl.when(behind).then(pl.col("timestamp") - pl.duration(minutes=1)).otherwise(pl.col("timestamp"))
    case.put("events", case.table("events").with_columns(timestamp=early))


# --- Targets ---


def unscored(case: Case, every: int) -> None:
    """Every n-th user has no row of two_tower."""
    scores = case.table("scores/two_tower")
    case.put("scores/two_tower", scores.filter(pl.col("user_id").str.tail(5).cast(pl.Int64) % every != 0))


PRIVATE = '''
import numpy as np

from rankcast.evaluate.metric import RequestMetric


class ShareOfHits(RequestMetric):
    """share of hits = relevant items / items shown; an empty list has none."""

    source = "ours"

    def values(self, judged):
        shown = judged.shown(self.k)
        return np.divide(judged.relevant_hits(1, self.k), shown, out=np.full(judged.n, np.nan), where=shown > 0)
'''


def not_judged_where_empty(case: Case) -> None:
    """A metric of the team's own, and users for whom two_tower shows nothing."""
    unscored(case, 30)
    module("shop_hits", PRIVATE)(case)


def lost_requests(case: Case) -> None:
    requests = case.table("requests").with_row_index()
    case.put("requests", requests.filter(pl.col("index") % 10 != 0).drop("index"))


def known_posts_only(case: Case) -> None:
    """Events on posts that opened after the training are joined away."""
    trained = pl.datetime(2023, 9, 28, 15, time_zone="UTC")  # midnight of 29 September in Tokyo
    opened = case.table("availability").group_by("item_id").agg(pl.col("open_at").min())
    new = opened.filter(pl.col("open_at") >= trained)
    case.put("events", case.table("events").join(new, on="item_id", how="anti"))


def events_of_one_job_type(case: Case) -> None:
    """Only events on care posts reached the log."""
    care = case.table("items").filter(pl.col("job_type") == "care")
    case.put("events", case.table("events").join(care, on="item_id", how="semi"))


def filters_not_logged(case: Case) -> None:
    lost = pl.col("requested_at").is_between(pl.datetime(2023, 10, 4), pl.datetime(2023, 10, 7), closed="left")
    job_type = pl.when(~lost).then(pl.col("job_type"))
    case.put("requests", case.table("requests").with_columns(job_type=job_type))


# --- Candidates ---


def sampled(case: Case) -> None:
    """Each relevant post and sampled others, fifty a request; nothing says what production showed."""
    requests, events = case.table("requests").sort("requested_at"), case.table("events").sort("timestamp")
    at = {"left_on": "timestamp", "right_on": "requested_at", "by": "user_id", "check_sortedness": False}
    last = events.drop("request_id").join_asof(requests, tolerance="7d", **at).drop_nulls("request_id")
    posts = case.table("items")["item_id"]
    drawn = [posts.gather([(37 * row + 49 * n) % len(posts) for n in range(50)]) for row in range(len(requests))]
    others = requests.select("request_id", item_id=pl.Series(drawn)).explode("item_id")
    every = pl.concat([one.select(KEYS, good=good) for one, good in ((last, pl.lit(1)), (others, pl.lit(0)))])
    some = every.unique(KEYS, keep="first", maintain_order=True).group_by("request_id", maintain_order=True).head(50)
    for model, better in zip(MODELS, (1.0, 1.5), strict=True):
        luck = pl.Series(np.random.default_rng(1).normal(size=len(some)))
        case.put(f"scores/{model}", some.select(KEYS, score=pl.col("good") * better + luck))


def more_candidates(case: Case) -> None:
    """two_tower has twenty posts more for every user: those of the next user, with scores below all others."""
    scores, pool = case.table("scores/two_tower"), ["user_id", "computed_at"]
    following = pl.col("user_id").shift(-1).over("computed_at")
    pools = scores.select(pool).unique(maintain_order=True).with_columns(following=following)
    theirs = pools.join(scores, left_on=["following", "computed_at"], right_on=pool, maintain_order="left_right").join(
        scores, on=[*pool, "item_id"], how="anti"
    )
    some = theirs.group_by(pool, maintain_order=True).head(20).with_columns(score=pl.lit(-9.0, pl.Float32))
    case.put("scores/two_tower", pl.concat([scores, some.select(scores.columns)]))


def old_ids(case: Case) -> None:
    """More than a fifth of the posts were posted again under a new id, which the score files do not have."""
    old = pl.col("item_id") + "-old"
    again = pl.col("item_id").str.tail(5).cast(pl.Int64) % 9 < 2
    for name in ("items", "availability"):
        table = case.table(name)
        case.put(name, pl.concat([table, table.filter(again).with_columns(item_id=old)]))
    for model in MODELS:
        scores = case.table(f"scores/{model}")
        case.put(f"scores/{model}", scores.with_columns(item_id=pl.when(again).then(old).otherwise(pl.col("item_id"))))


# --- Replay ---


def best_ten(case: Case) -> None:
    scores = case.table("scores/two_tower").sort("score", descending=True, maintain_order=True)
    case.put("scores/two_tower", scores.group_by("user_id", "computed_at", maintain_order=True).head(10))


def shown_twice(case: Case) -> None:
    """One list in twenty shows its first post at rank 10 again."""
    shown = case.table("impressions")
    chosen = pl.col("request_id").str.tail(7).cast(pl.Int64) % 20 == 0
    first = pl.col("item_id").sort_by("rank").first().over("request_id")
    case.put(
        "impressions",
        shown.with_columns(item_id=pl.when(chosen & (pl.col("rank") == 10)).then(first).otherwise(pl.col("item_id"))),
    )


def trained_again(case: Case) -> None:
    """The scores of production are not those that served."""
    scores = case.table("scores/production")
    other = pl.Series(np.random.default_rng(1).normal(size=len(scores)))
    case.put("scores/production", scores.with_columns(score=pl.col("score") + other))


def rounded(case: Case) -> None:
    case.put("scores/two_tower", case.table("scores/two_tower").with_columns(pl.col("score").round()))


FAULTS: dict[str, Fault] = {
    "DT01": Fault(hide=undated_models),
    "DT02": Fault(hide=no_split),
    "DT03": Fault(features_from_the_end, hide=no_features),
    "DT04": Fault(log_ends_early, hide=no_events),
    "DT05": Fault(always="every study has a period"),
    "DT06": Fault(hide=no_events),
    "DT07": Fault(crawlers, hide=no_events),
    "DT08": Fault(events_twice, hide=no_events),
    "DT09": Fault(slow_clocks, hide=no_request_ids),
    "TG01": Fault(hide=no_events),
    "TG02": Fault(lambda case: unscored(case, 15), always=REFUSED),
    "TG03": Fault(lost_requests, always="every run has a ledger"),
    "TG04": Fault(not_judged_where_empty, hide=no_events),
    "TG05": Fault(known_posts_only, hide=undated_models),
    "TG06": Fault(events_of_one_job_type, hide=no_events),
    "TG07": Fault(filters_not_logged, hide=no_filters),
    "CA01": Fault(sampled, hide=nothing_in_time),
    "CA02": Fault(more_candidates, hide=no_second_model),
    "CA03": Fault(hide=no_availability),
    "CA04": Fault(hide=no_impressions),
    "CA05": Fault(old_ids, hide=no_events),
    "RP01": Fault(hide=no_impressions),
    "RP02": Fault(trained_again, hide=no_impressions),
    "RP03": Fault(best_ten, always=REFUSED),
    "RP04": Fault(hide=no_impressions),
    "RP05": Fault(shown_twice, hide=nothing_in_time),
    "RP06": Fault(rounded, hide=no_events),
}
