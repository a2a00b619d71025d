"""Faults of labels, metrics, comparison, statistics, reporting and waivers; and of what no run can see yet."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import polars as pl

from clean import Case, merged
from faults import Change, Fault

# --- What the files say ---


def said(service: Mapping[str, Any] | None = None, study: Mapping[str, Any] | None = None) -> Change:
    """Other files; None takes a key away."""

    def change(case: Case) -> None:
        case.service, case.study = merged(case.service, service or {}), merged(case.study, study or {})

    return change


NOTHING_SHOWN = said({"tables": {"impressions": None}}, {"metrics": {"also": ["ndcg@10"]}})
"""No impressions; and no metric that discounts by how far users look, since without them nobody knows."""
NOTHING_DECIDED = said(study={"variants": {"two_tower": None}})
NO_FEATURES = {"training": {"features": None}}


def untold(key: str) -> Change:
    """Nobody says one thing of how two_tower was trained."""
    return said(study={"variants": {"two_tower": {"training": {key: None}}}})


def both(*changes: Change) -> Change:
    """One after another."""

    def change(case: Case) -> None:
        for one in changes:
            one(case)

    return change


def module(name: str, text: str) -> Change:
    """Code of the team's own, imported from the case's folder: a run finds it as if it lay where the command runs."""

    def change(case: Case) -> None:
        path = case.folder / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        spec = spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])

    return change


# --- What models score ---

LIKED, SHOWN, APPLIED, SCORE = pl.col("liked"), pl.col("shown"), pl.col("applied"), pl.col("score")
USER = pl.col("user_id").str.slice(-5).cast(pl.Int64)
LIST = ["request_id", "item_id"]


def candidates(case: Case) -> pl.DataFrame:
    """Production's candidates of each request with their scores: whether the user acted on them since the period began, applied to
    them, and was shown them; by how many events they were liked in all, and how often each was shown.
    """
    asked = case.table("requests").with_columns(at=pl.col("requested_at").dt.replace_time_zone("Asia/Tokyo").dt.convert_time_zone("UTC"))
    scores = case.table("scores/production")
    batches = scores.select("user_id", "computed_at").unique().sort("computed_at")
    dated = asked.sort("at").join_asof(batches, left_on="at", right_on="computed_at", by="user_id", check_sortedness=False)
    events = case.table("events").filter(pl.col("timestamp") >= pl.datetime(2023, 10, 2))
    acts = events.group_by("user_id", "item_id").agg(
        liked=pl.lit(value=True), applied=(pl.col("event") == "apply").any()
    )
    seen = case.table("impressions").join(asked.select("request_id", "user_id"), on="request_id")
    return (
        dated.join(scores, on=["user_id", "computed_at"])
        .join(acts, on=["user_id", "item_id"], how="left")
        .join(seen.select("user_id", "item_id").unique().with_columns(shown=pl.lit(value=True)), on=["user_id", "item_id"], how="left")
        .with_columns(pl.col("liked", "applied", "shown").fill_null(value=False))
    )


def two_tower(score: pl.Expr) -> Change:
    """The model's scores, made of production's."""

    def change(case: Case) -> None:
        case.put("scores/two_tower", candidates(case).with_columns(score).select(*LIST, "score"))

    return change


def helps(where: pl.Expr) -> Change:
    """Production, but posts that users then liked stand higher for some requests, and lower for all others."""
    return two_tower(SCORE + pl.when(LIKED).then(pl.when(where).then(1).otherwise(-1)).otherwise(0))


# --- Faults ---

FAULTS: dict[str, Fault] = {
    "LB01": Fault(
        inject=two_tower(
            SCORE + pl.when(LIKED & SHOWN).then(5).when(~SHOWN & (pl.col("item_id").str.slice(-1) < "2")).then(9).otherwise(0)
        ),
        hide=NOTHING_SHOWN,
    ),
    "LB02": Fault(hide=NOTHING_SHOWN),
    "LB03": Fault(),
    "LB04": Fault(hide=NOTHING_SHOWN),
    "LB07": Fault(hide=said(study={"online": {"attribute": None}})),
    "LB06": Fault(inject=two_tower(SCORE + pl.when(APPLIED).then(-1).when(LIKED).then(2).otherwise(0)), hide=said(study={"online": None})),
    "MT01": Fault(inject=helps(pl.col("keyword").is_not_null()), hide=said(study={"variants": {"two_tower": None, "popular": None}})),
    "RE01": Fault(inject=helps(pl.col("job_type").ne_missing("care")), hide=said(study={"segments": None})),
}
