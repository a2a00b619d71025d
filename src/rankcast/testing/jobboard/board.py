"""The job board as a whole: its tables, its files, and questions to its truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from rankcast.testing.jobboard import truth
from rankcast.testing.jobboard.arrays import NONE, Ints, normal
from rankcast.testing.jobboard.life import AS_ASSUMED, Nature, live
from rankcast.testing.jobboard.logs import events_table, impressions_table, logged
from rankcast.testing.jobboard.models import VARIANTS, Variant, build_pools
from rankcast.testing.jobboard.serving import SERVED
from rankcast.testing.jobboard.traffic import build_requests
from rankcast.testing.jobboard.visits import build_visits
from rankcast.testing.jobboard.world import build_world

USERS_PER_REQUEST = 0.12
FEWEST_USERS = 20


@dataclass(frozen=True)
class JobBoard:
    """The tables that the service would log, and the latent truth behind them."""

    requests: pl.DataFrame
    items: pl.DataFrame
    availability: pl.DataFrame
    impressions: pl.DataFrame
    events: pl.DataFrame
    users: pl.DataFrame
    scores: Mapping[Variant, pl.DataFrame]
    latent: truth.Latent

    def write(self, folder: Path) -> None:
        """Write every table as a parquet file, the scores into a folder of their own."""
        (folder / "scores").mkdir(parents=True, exist_ok=True)
        for name in ("requests", "items", "availability", "impressions", "events", "users"):
            table: pl.DataFrame = getattr(self, name)
            table.write_parquet(folder / f"{name}.parquet")
        for variant, table in self.scores.items():
            table.write_parquet(folder / "scores" / f"{variant}.parquet")

    def online(self, shown: Variant | pl.DataFrame) -> truth.OnlineTruth:
        """The true effect of a variant, or of any slates (request_id, item_id, rank), such as those of a run."""
        return truth.online(self.latent, *self._slates(shown))

    def ab_test(self, shown: Variant | pl.DataFrame, seed: int) -> truth.ABResult:
        """One simulated online test of a variant, or of any slates, against production."""
        return truth.ab_test(self.latent, *self._slates(shown), seed)

    def _slates(self, shown: Variant | pl.DataFrame) -> tuple[str, Ints]:
        if isinstance(shown, str):
            return shown, truth.counted_slates(self.latent, shown)
        request = codes_of(shown["request_id"], self.latent.requests.ids)
        post, rank = codes_of(shown["item_id"], self.latent.world.posts.ids), shown["rank"].to_numpy()
        kept = (request >= 0) & (post >= 0) & (rank <= SERVED)
        slates = np.full((self.requests.height, SERVED), NONE, dtype=np.int64)
        slates[request[kept], rank[kept] - 1] = post[kept]
        return "slates", slates

    def naive(self, variant: Variant) -> float:
        """What a notebook without post-processing reports as nDCG@10."""
        return truth.naive(self.latent, variant)


def codes_of(values: pl.Series, ids: Iterable[str]) -> Ints:
    """Position of each id among all ids; -1 for one that is not there."""
    known = pl.DataFrame({"id": list(ids)}).with_row_index("code")
    joined = values.alias("id").to_frame().join(known, on="id", how="left", maintain_order="left")
    return joined["code"].cast(pl.Int64).fill_null(-1).to_numpy()


def simulate(seed: int = 7, requests: int = 50_000, nature: Nature = AS_ASSUMED) -> JobBoard:
    """A job board with that many requests; the posts are the same 4,000 however small it is.

    Each stage draws from its own stream, so that a change in one leaves what the others drew as it was.
    """
    of_world, of_traffic, of_visits, of_models, of_life, of_logs, of_bait = np.random.default_rng(seed).spawn(7)
    world = build_world(of_world, max(FEWEST_USERS, round(requests * USERS_PER_REQUEST)))
    if nature.bait:
        world = replace(world, bait=np.float32(nature.bait) * normal(of_bait, world.bait.size))
    asked = build_requests(of_traffic, world, requests)
    visits = build_visits(of_visits, world, requests)
    pools = build_pools(of_models, world, asked, visits)
    past = live(of_life, world, asked, pools, visits, nature)
    events = logged(of_logs, past.events, world.posts)
    users, posts = world.users.ids, world.posts.ids
    return JobBoard(
        requests=asked.table(users),
        items=world.posts.items(),
        availability=world.posts.availability(),
        impressions=impressions_table(past.slates, posts, asked.ids),
        events=events_table(events, users, posts, asked.ids),
        users=world.users.table(),
        scores={variant: pools.table(variant, users, posts) for variant in VARIANTS},
        latent=truth.Latent(world, asked, pools, past, events, nature),
    )
