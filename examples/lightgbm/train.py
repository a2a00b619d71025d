"""Train a LightGBM ranker on the demo's impressions of before the study's period.

    python train.py ../../demo

Writes `ranker.txt` (the model) and `clicks.parquet` (what it knows of items); both are named under `reads` in study.yaml, so a
newly trained model is another run.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import lightgbm
import polars as pl
from features import NAMES, features

UNTIL = datetime(2023, 10, 2)  # the period begins; the demo logs local times
HERE = Path(__file__).parent


def main(demo: Path) -> None:
    """Read, label, train, write."""
    tables = {path.stem: pl.read_parquet(path) for path in (demo / "data").glob("*.parquet")}
    asked = tables["requests"].filter(pl.col("requested_at") < UNTIL)
    clicked = tables["events"].filter(
        pl.col("event") == "click", pl.col("timestamp").dt.replace_time_zone(None) < UNTIL
    )
    clicks = (
        tables["items"]
        .select("item_id", "company_id")
        .join(clicked.group_by("item_id").agg(clicks=pl.len()), on="item_id", how="left")
        .with_columns(pl.col("clicks").fill_null(0))
        .sort("item_id")
    )
    items = tables["items"].rename({name: f"item.{name}" for name in tables["items"].columns if name != "item_id"})
    users = tables["users"].rename({"tenure": "user.tenure"})
    rows = (
        tables["impressions"]
        .join(asked, on="request_id")
        .join(users, on="user_id", how="left")
        .join(items, on="item_id", how="left")
        .join(
            clicked.select("user_id", "item_id").unique().with_columns(label=1), on=["user_id", "item_id"], how="left"
        )
        .with_columns(pl.col("label").fill_null(0))
        .sort("request_id", "rank")
    )
    data = lightgbm.Dataset(
        features(rows, clicks).to_numpy(),
        label=rows["label"].to_numpy(),
        group=rows.group_by("request_id", maintain_order=True).len()["len"].to_numpy(),
        feature_name=list(NAMES),
    )
    settings = {"objective": "lambdarank", "num_leaves": 15, "learning_rate": 0.1, "verbose": -1, "seed": 7,
                "deterministic": True, "num_threads": 1}  # fmt: skip
    lightgbm.train(settings, data, num_boost_round=60).save_model(str(HERE / "ranker.txt"))
    clicks.write_parquet(HERE / "clicks.parquet")
    print(f"trained on {len(rows):,} impressions of {rows['request_id'].n_unique():,} requests")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
