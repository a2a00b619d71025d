"""Write the log of a small product search in which one change helps many rare keywords and hurts the few frequent ones.

    python make.py

Production learns a keyword's products from its clicks: it knows frequent keywords well and rare ones hardly. The
variant reads the keyword's text and knows all of them moderately. Every user wants one product and clicks on it
wherever it stands, so the labels favour no order. Writes `data/`; the same numbers each time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

SEED = 7
REQUESTS, USERS, KEYWORDS, PER_KEYWORD = 6_000, 400, 200, 10
BEGIN, DAYS = np.datetime64("2024-03-04", "us"), 14
FREQUENT, MIDDLE = 10, 60
"""How many keywords are frequent, and how many are so at least a little."""
PRODUCTION_ERROR = (0.2, 1.0, 2.0)
"""How far production's scores are off for frequent, middle and rare keywords."""
VARIANT_ERROR = 0.7
FOUND = 0.8
"""Share of requests at which the user clicks at all."""
HERE = Path(__file__).parent

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def main(folder: Path) -> None:
    """Draw keywords, products and requests, and write every table."""
    rng = np.random.default_rng(SEED)
    group = np.repeat([0, 1, 2], [FREQUENT, MIDDLE - FREQUENT, KEYWORDS - MIDDLE])
    appeal = rng.normal(size=(KEYWORDS, PER_KEYWORD))  # how much who types the keyword wants each of its products
    error = np.array(PRODUCTION_ERROR)[group][:, None]
    scores = {
        "production": appeal + error * rng.normal(size=appeal.shape),
        "from_text": appeal + VARIANT_ERROR * rng.normal(size=appeal.shape),
    }
    keyword = typed(rng)
    asked = requests(rng, keyword, group)
    tables = {"requests": asked, "items": items(), "events": clicks(rng, asked, keyword, appeal)}
    tables["impressions"] = shown(asked, keyword, scores["production"])
    for variant, score in scores.items():
        tables[f"scores_{variant}"] = every(asked, keyword).with_columns(score=score[keyword].ravel())
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.write_parquet(folder / f"{name}.parquet")
    print(f"wrote {len(asked):,} requests for {asked['keyword'].n_unique()} keywords to {folder}")


def typed(rng: np.random.Generator) -> Ints:
    """The keyword of every request: the n-th in proportion to 1/n, and each at least once."""
    share = 1.0 / np.arange(1, KEYWORDS + 1)
    drawn = rng.choice(KEYWORDS, size=REQUESTS - KEYWORDS, p=share / share.sum())
    return rng.permutation(np.concatenate([np.arange(KEYWORDS), drawn]))


def requests(rng: np.random.Generator, keyword: Ints, group: Ints) -> pl.DataFrame:
    """Who asked for what, when."""
    second = np.sort(rng.integers(DAYS * 86_400, size=REQUESTS))
    return pl.DataFrame(
        {
            "request_id": [f"q{number:05}" for number in range(REQUESTS)],
            "user_id": [f"u{user:03}" for user in rng.integers(USERS, size=REQUESTS)],
            "timestamp": BEGIN + (1_000_000 * second).astype("timedelta64[us]"),
            "keyword": [f"keyword {number:03}" for number in keyword],
            "traffic": pl.Series(["frequent", "middle", "rare"]).gather(group[keyword]),
        }
    )


def items() -> pl.DataFrame:
    """All products, in order of their number."""
    number = np.arange(KEYWORDS * PER_KEYWORD)
    return pl.DataFrame({"item_id": product(number), "title": [f"Product {n}" for n in number]})


def product(number: Ints) -> pl.Series:
    """Ids of products; those of the n-th keyword begin at n times `PER_KEYWORD`."""
    return pl.Series([f"p{n:04}" for n in number], dtype=pl.String)


def every(asked: pl.DataFrame, keyword: Ints) -> pl.DataFrame:
    """Every request with every product of its keyword."""
    number = keyword[:, None] * PER_KEYWORD + np.arange(PER_KEYWORD)
    return pl.DataFrame(
        {"request_id": np.repeat(asked["request_id"].to_numpy(), PER_KEYWORD), "item_id": product(number.ravel())}
    )


def shown(asked: pl.DataFrame, keyword: Ints, score: Floats) -> pl.DataFrame:
    """What production showed: the keyword's products, best first."""
    rank = np.argsort(np.argsort(-score, axis=1), axis=1) + 1
    return every(asked, keyword).with_columns(rank=rank[keyword].ravel()).sort("request_id", "rank")


def clicks(rng: np.random.Generator, asked: pl.DataFrame, keyword: Ints, appeal: Floats) -> pl.DataFrame:
    """One click on the wanted product (Gumbel noise makes the choice a softmax of appeal), half a minute later."""
    wanted = np.argmax(2.0 * appeal[keyword] + rng.gumbel(size=(REQUESTS, PER_KEYWORD)), axis=1)
    click = asked.select("request_id", "user_id", pl.col("timestamp").dt.offset_by("30s"), event=pl.lit("click"))
    return click.with_columns(item_id=product(keyword * PER_KEYWORD + wanted)).filter(rng.random(REQUESTS) < FOUND)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "data")
