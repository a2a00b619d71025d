"""What the ranker sees of a request and a candidate: the same in training and in the study, so that neither can drift."""

from __future__ import annotations

import polars as pl

NAMES = ("wage", "same_type", "same_employment", "job_type", "employment", "tenure", "company_clicks", "item_clicks")
_CODES = {
    "job_type": ["kitchen", "logistics", "care", "office", "sales", "engineering"],
    "employment": ["full_time", "part_time", "contract", "temporary", "freelance", "internship"],
    "tenure": ["new", "regular", "veteran"],
}


def features(rows: pl.DataFrame, clicks: pl.DataFrame) -> pl.DataFrame:
    """One row of numbers per candidate. `rows` name columns as Rankcast does (`item.wage`, `user.tenure`, request columns as
    they are); `clicks` has the clicks on each item before training ended.
    """
    known = rows.select("item_id", "item.company_id").join(clicks, on="item_id", how="left", maintain_order="left")
    by_company = clicks.group_by("company_id").agg(company_clicks=pl.col("clicks").sum())
    company = rows.select(company_id="item.company_id").join(
        by_company, on="company_id", how="left", maintain_order="left"
    )
    return pl.DataFrame(
        {
            "wage": rows["item.wage"].cast(pl.Float64),
            "same_type": (rows["job_type"] == rows["item.job_type"]).cast(pl.Float64).fill_null(0.5),
            "same_employment": rows.select(pl.col("employment").list.contains(pl.col("item.employment")))
            .to_series()
            .cast(pl.Float64)
            .fill_null(0.5),
            "job_type": _code(rows["item.job_type"], "job_type"),
            "employment": _code(rows["item.employment"], "employment"),
            "tenure": _code(rows["user.tenure"], "tenure"),
            "company_clicks": company["company_clicks"].cast(pl.Float64).fill_null(0.0),
            "item_clicks": known["clicks"].cast(pl.Float64).fill_null(0.0),
        }
    )


def _code(values: pl.Series, name: str) -> pl.Series:
    codes = {word: float(at) for at, word in enumerate(_CODES[name])}
    return values.replace_strict(codes, default=-1.0, return_dtype=pl.Float64)
