"""The variant: a score for each candidate, by the trained model."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import lightgbm
import numpy as np
import polars as pl
from features import features

HERE = Path(__file__).parent


def score(requests: pl.DataFrame, candidates: pl.DataFrame) -> np.ndarray:
    """Called by Rankcast once per shard: requests and candidates in, a score per candidate out."""
    model, clicks = _trained()
    asked = requests.select("request_id", "job_type", "employment", "user.tenure")
    rows = candidates.join(asked, on="request_id", how="left", maintain_order="left")
    return model.predict(features(rows, clicks).to_numpy(), num_threads=1)


@cache
def _trained() -> tuple[lightgbm.Booster, pl.DataFrame]:
    return lightgbm.Booster(model_file=str(HERE / "ranker.txt")), pl.read_parquet(HERE / "clicks.parquet")
