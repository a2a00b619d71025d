"""Services that are not as the evaluation assumes, and the initiatives of `benchmarks/agreement.py` on them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from rankcast.testing.jobboard import JobBoard, Nature, serving, simulate
from rankcast.testing.jobboard import truth as truths
from rankcast.testing.jobboard.arrays import NONE, Ints
from rankcast.testing.jobboard.behaviour import CLICK, CONTINUES, SATISFIED, attraction, clicked, clicks_expected

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def benchmark(name: str) -> Any:
    """A module of the benchmark, under a name of its own: a helper of other tests is called `agreement` too."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARKS))
    return module


@pytest.fixture(scope="module")
def initiatives() -> Any:
    return benchmark("initiatives")


@pytest.fixture(scope="module")
def odd() -> JobBoard:
    """Users read from the top, posts promise what they do not keep, companies pause in the evening."""
    return simulate(seed=5, requests=3_000, nature=Nature("cascade", pauses=True, bait=0.4))


def chance_by_hand(attracted: list[float]) -> list[float]:
    """Chance of a click at each place, place by place."""
    looks, found = 1.0, []
    for one in attracted:
        found.append(looks * one)
        looks *= CONTINUES * (1 - SATISFIED * one)
    return found


def test_the_chances_of_a_cascade() -> None:
    rng = np.random.default_rng(1)
    attracted = rng.uniform(0, 1, (5, 10)).astype(np.float32)
    expected = [chance_by_hand([float(one) for one in row]) for row in attracted]
    assert clicks_expected("cascade", attracted) == pytest.approx(np.array(expected), abs=1e-5)


@pytest.mark.parametrize("reading", ["places", "cascade"])
def test_clicks_come_as_often_as_expected(reading: Any) -> None:
    rng = np.random.default_rng(2)
    row = rng.uniform(0.1, 0.9, 10).astype(np.float32)
    many = np.tile(row, (40_000, 1))
    drawn = clicked(rng, reading, many, np.zeros(len(many), dtype=np.bool_))
    assert drawn.mean(axis=0) == pytest.approx(clicks_expected(reading, many[:1])[0], abs=0.012)


def test_the_plain_nature_is_the_demos() -> None:
    """What the demo is made of stays what it was."""
    plain, named = simulate(3, 400), simulate(3, 400, Nature())
    for name in ("requests", "items", "impressions", "events"):
        assert getattr(plain, name).equals(getattr(named, name))
    assert not simulate(3, 400, Nature("cascade")).events.equals(plain.events)


def test_truth_agrees_with_what_happened(odd: JobBoard) -> None:
    latent = odd.latent
    counted = np.flatnonzero(latent.requests.counted)
    expected = truths.online(latent, "production", latent.past.slates).clicks * len(counted)
    events = latent.events.take((latent.events.kind == CLICK) & (latent.events.request != NONE))
    seen = np.unique(np.stack([events.request, events.post, events.moment]), axis=1)[0]  # some are logged twice
    happened = int(np.isin(seen, counted).sum())
    assert happened == pytest.approx(expected, abs=5 * expected**0.5)


def test_nobody_sees_a_paused_company(odd: JobBoard) -> None:
    latent = odd.latent
    shown, paused = latent.past.slates, serving.paused(latent.world.posts, latent.requests, latent.past.slates)
    assert not (paused & (shown != NONE)).any()
    usual = simulate(seed=5, requests=3_000, nature=Nature("cascade", bait=0.4)).latent
    assert (serving.paused(usual.world.posts, usual.requests, usual.past.slates) & (usual.past.slates != NONE)).any()


def test_bait_is_clicked_and_not_applied_to(odd: JobBoard) -> None:
    world = odd.latent.world
    user = np.zeros(len(world.bait), dtype=np.int64)
    post = np.arange(len(world.bait))
    promised, kept = attraction(world.promised(user, post)), attraction(world.kept(user, post))
    baited = world.bait > 0.2
    assert (promised > kept)[baited].all()
    assert world.bait.std() == pytest.approx(0.4, abs=0.03)


@pytest.mark.slow
def test_rankcast_reproduces_every_initiative(tmp_path: Path) -> None:
    """The lists that the benchmark makes by itself are those of a run, for all sixty; kinds are as many as it says."""
    agreement = benchmark("agreement")
    world = agreement.world_of(tmp_path, Nature("cascade", bait=0.4), 3, 1_500, 1)
    latent = world.board.latent
    assert len(world.made) == 60
    assert len({one.name for one in world.made}) == 60
    slates = world.run.slates
    for one in world.made:
        _, theirs = world.board._slates(slates.filter(pl.col("variant") == one.name))
        assert np.array_equal(one.serving.slates(latent, one.scores), theirs), one.name
    points = list(agreement.points("as-assumed", 3, world))
    by_name = {one.initiative: one for one in points}
    assert by_name["better-0.6"].truth > 0.05
    assert by_name["worse-1.7"].truth < -0.05
    assert by_name["scaled"].truth == 0
    for way in ("naive", "plain", "usage", "full"):
        assert by_name["scaled"].said[way] == 0
    assert by_name["cap-1"].said["naive"] == 0 != by_name["cap-1"].said["plain"]


def test_what_was_applied_to_is_not_wanted_twice(initiatives: Any, odd: JobBoard) -> None:
    latent = odd.latent
    serving_of = initiatives.Serving(memory=1)
    slates: Ints = serving_of.slates(latent, latent.pools.scores["production"])
    wanted = serving_of.liked(latent, slates)
    usual = initiatives.PRODUCTION.slates(latent, latent.pools.scores["production"])
    assert ((slates != NONE) & (wanted == NONE)).any()
    assert np.array_equal(initiatives.PRODUCTION.liked(latent, usual), usual)
    assert np.array_equal(usual, truths.counted_slates(latent, "production"))
