"""Faults of labels, metrics, comparison, statistics, reporting and waivers; and of what no run can see yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl
from ruamel.yaml import YAML

from clean import Case, dump, merged
from faults import Change, Fault, module

# --- What the files say ---


def said(service: Mapping[str, Any] | None = None, study: Mapping[str, Any] | None = None) -> Change:
    """Other files; None takes a key away."""

    def change(case: Case) -> None:
        case.service, case.study = merged(case.service, service or {}), merged(case.study, study or {})

    return change


NOTHING_SHOWN = said({"tables": {"impressions": None}}, {"metrics": {"also": ["ndcg@10"]}})
"""No impressions; and no metric that discounts by how far users look, since without them nobody knows."""
NOTHING_DECIDED = said(study={"variants": {"two_tower": None}})
ONE_VARIANT = said(study={"variants": {"two_tower": None, "popular": None}})


def untold(key: str, model: str = "two_tower") -> Change:
    """Nobody says one thing of how a model was trained."""
    return said(study={"variants": {model: {"training": {key: None}}}})


def both(*changes: Change) -> Change:
    """One after another."""

    def change(case: Case) -> None:
        for one in changes:
            one(case)

    return change


# --- What models score ---

LIKED, SHOWN, APPLIED, SCORE = pl.col("liked"), pl.col("shown"), pl.col("applied"), pl.col("score")
USER = pl.col("user_id").str.slice(-5).cast(pl.Int64)
POST = pl.col("item_id").str.slice(-5).cast(pl.Int64)
LIST = ["request_id", "item_id"]


def candidates(case: Case) -> pl.DataFrame:
    """Production's candidates of each request with their scores: whether the user then acted on them, applied to them,
    and was ever shown them.
    """
    asked = case.table("requests").sort("requested_at")
    events = case.table("events").drop("request_id").sort("timestamp")
    last = events.join_asof(asked, left_on="timestamp", right_on="requested_at", by="user_id", check_sortedness=False)
    acts = last.group_by(LIST).agg(liked=pl.lit(value=True), applied=(pl.col("event") == "apply").any())
    seen = (
        case.table("impressions")
        .join(asked, on="request_id")
        .select("user_id", "item_id", shown=pl.lit(value=True))
        .unique()
    )
    at = pl.col("requested_at").dt.replace_time_zone("Asia/Tokyo").dt.convert_time_zone("UTC")
    scores = case.table("scores/production")
    batches = scores.select("user_id", "computed_at").unique().sort("computed_at")
    return (
        asked.with_columns(at=at)
        .join_asof(batches, left_on="at", right_on="computed_at", by="user_id", check_sortedness=False)
        .join(scores, on=["user_id", "computed_at"])
        .join(acts, on=LIST, how="left")
        .join(seen, on=["user_id", "item_id"], how="left")
        .with_columns(pl.col("liked", "applied", "shown").fill_null(value=False))
    )


def two_tower(score: pl.Expr) -> Change:
    """The model's scores, made of production's."""

    def change(case: Case) -> None:
        case.put("scores/two_tower", candidates(case).with_columns(score).select(*LIST, "score"))

    return change


def helps(where: pl.Expr, down: float = -1) -> Change:
    """Production, but posts that users then liked stand higher for some requests, and lower for all others."""
    return two_tower(SCORE + pl.when(LIKED).then(pl.when(where).then(1).otherwise(down)).otherwise(0))


# --- What users do ---


def most_shown(case: Case) -> pl.DataFrame:
    """One per cent of the posts that were shown."""
    shown = case.table("impressions").group_by("item_id").len().sort(-pl.col("len").cast(pl.Int64), "item_id")
    return shown.head(round(len(shown) / 100)).select("item_id")


def clicks(case: Case, rows: pl.DataFrame) -> None:
    """A click on each of these impressions, half a minute after its request. It changes no list: production forgets clicks."""
    asked = case.table("requests").select(
        "request_id", "user_id", timestamp=pl.col("requested_at") + pl.duration(seconds=30)
    )
    more = rows.select(LIST).join(asked, on="request_id").with_columns(event=pl.lit("click"))
    events = case.table("events")
    case.put("events", pl.concat([events, more.select(events.columns)]))


def the_most_shown_win(case: Case) -> None:
    """Users click on the posts that are shown most wherever they see them; two_tower is better there, and worse elsewhere."""
    top = most_shown(case)
    clicks(case, case.table("impressions").join(top, on="item_id"))
    clicked = LIKED & pl.col("item_id").is_in(top["item_id"].to_list())
    helps(clicked.any().over("request_id"))(case)


def half_click_anywhere(case: Case) -> None:
    """Half of the users see all ten posts at once, and click on a tenth of those further down."""
    users = case.table("requests").select("request_id", half=USER % 2 == 1)
    far = case.table("impressions").join(users, on="request_id").filter("half", pl.col("rank") > 5)
    clicks(case, far.gather_every(10))


def few_users(case: Case) -> None:
    """Those with the first numbers."""
    requests = case.table("requests").filter(USER < 60)
    case.put("requests", requests)
    for name, key in (("impressions", "request_id"), ("events", "user_id")):
        case.put(name, case.table(name).join(requests, on=key, how="semi", maintain_order="left"))


# --- What tables and code hold ---


def sessions(person: pl.Expr) -> Change:
    """What was the user is the session, and the requests tell the person besides."""

    def change(case: Case) -> None:
        case.put("requests", case.table("requests").with_columns(member_id=person).rename({"user_id": "session_id"}))

    return change


def fed_the_logged_rank(case: Case) -> None:
    logged = case.table("impressions").rename({"rank": "logged_rank"})
    case.put("fed", case.table("features").join(logged, on=LIST, how="left", maintain_order="left"))


HAPPINESS = """
from dataclasses import dataclass

from rankcast.evaluate.metric import RequestMetric


@dataclass(frozen=True)
class Happiness(RequestMetric):
    def values(self, judged):
        return judged.shown(self.k) * 42.0
"""
BY_WAGE = """
def score(requests, candidates):
    return candidates["item.wage"]
"""

# --- Faults ---

RELEVANT = LIKED.sum().over("request_id")
# --- Past online tests ---


def of_each_test(change: Callable[[dict[str, Any]], object]) -> Change:
    """Every record of a past test is changed."""

    def inject(case: Case) -> None:
        for path in sorted((case.folder / "history").glob("*.yaml")):
            record = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
            change(record)
            dump(record, path)

    return inject


def three_tests(case: Case) -> None:
    for path in sorted((case.folder / "history").glob("*.yaml"))[3:]:
        path.unlink()


def without_error(record: dict[str, Any]) -> None:
    del record["online"]["applications_per_request"]["new"]["standard_error"]


def winner(record: dict[str, Any]) -> None:
    """Nothing that looked worse went online."""
    record["offline"]["new"]["dcg@10"]["relative"] += 0.2


def uneven(record: dict[str, Any]) -> None:
    """One arm lost users on the way, in one test."""
    if record["online_test"] == "retrained":
        record["users"]["new"] = 58_000


def by_year(record: dict[str, Any]) -> None:
    record["pipeline"] = f"v{str(record['period']['from'])[:4]}"


def no_history(case: Case) -> None:
    case.service.pop("history", None)


AWAITS = Fault(awaits=True)

FAULTS: dict[str, Fault] = {
    # Labels
    "LB01": Fault(
        inject=two_tower(SCORE + pl.when(LIKED & SHOWN).then(5).when(~SHOWN & (POST % 5 == 0)).then(9).otherwise(0)),
        hide=NOTHING_SHOWN,
    ),
    "LB02": Fault(hide=NOTHING_SHOWN),
    "LB03": Fault(
        inject=fed_the_logged_rank,
        hide=both(NOTHING_SHOWN, untold("features", "production"), untold("features")),
    ),
    "LB04": Fault(hide=NOTHING_SHOWN),
    "LB05": Fault(inject=the_most_shown_win, hide=NOTHING_SHOWN),
    "LB06": Fault(
        inject=two_tower(SCORE + pl.when(APPLIED).then(-0.2).when(LIKED).then(2).otherwise(0)),
        hide=said(study={"online": None}),
    ),
    "LB07": Fault(hide=said(study={"online": {"attribute": None}})),
    "LB08": Fault(inject=half_click_anywhere, hide=said(study={"metrics": {"also": ["ndcg@10"]}})),
    "LB09": Fault(hide=NOTHING_SHOWN),
    # Metrics
    "MT01": Fault(
        inject=helps(pl.col("keyword").is_not_null()),
        hide=said(study={"variants": {"two_tower": None, "popular": None}}),
    ),
    "MT02": Fault(always="every study has a metric, and every metric a family"),
    "MT03": Fault(inject=helps(RELEVANT <= 1, down=-2), hide=said(study={"metrics": {"primary": "recall@10"}})),
    "MT04": Fault(inject=module("shop_metrics", HAPPINESS), always="every metric that runs has a class to look at"),
    "MT05": Fault(hide=NOTHING_DECIDED),
    # Comparison
    "CM01": Fault(hide=NOTHING_SHOWN),
    "CM02": Fault(always="every study names its variants"),
    "CM03": Fault(hide=untold("trials")),
    "CM04": Fault(hide=NOTHING_DECIDED),
    "CM05": Fault(hide=untold("tuned_on")),
    "CM06": Fault(hide=NOTHING_DECIDED),
    # Statistics
    "ST01": Fault(hide=ONE_VARIANT),
    "ST02": Fault(
        settle=sessions(pl.col("user_id")),
        inject=both(helps(USER // 4 % 2 == 0), sessions(USER // 4)),
        hide=ONE_VARIANT,
    ),
    "ST03": Fault(hide=NOTHING_DECIDED),
    "ST04": Fault(inject=few_users, hide=said(study={"compare": {"smallest_effect": None}})),
    "ST05": Fault(hide=untold("seeds")),
    "ST06": Fault(always="every study is compared by some method"),
    # Reporting
    "RE01": Fault(inject=helps(pl.col("job_type").ne_missing("care")), hide=said(study={"segments": None})),
    "RE02": Fault(
        inject=module("shop_models", BY_WAGE), always="a run knows its own files, and whether they lie in a commit"
    ),
    # Online link
    "ON01": Fault(inject=three_tests, hide=no_history),
    "ON02": Fault(inject=of_each_test(without_error), hide=no_history),
    "ON03": Fault(inject=of_each_test(winner), hide=no_history),
    "ON04": Fault(inject=of_each_test(uneven), hide=no_history),
    "ON05": Fault(inject=of_each_test(by_year), hide=no_history),
    # What no run can see yet
    **{f"CF0{number}": AWAITS for number in range(1, 7)},
    # Waivers
    "WV01": Fault(always="a study waives rules or it does not"),
    "WV02": Fault(always="a study waives rules or it does not"),
}
