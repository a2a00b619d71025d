"""Intervals hold the truth as often as they say, and chance alone decides as seldom as it may: on lists and values of the
simulated service. The work is done by `benchmarks/intervals.py`, which prints more of it.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _benchmark() -> ModuleType:
    """The benchmark as a module; its folder stays off the path, where its name would hide the package `coverage`."""
    spec = importlib.util.spec_from_file_location(
        "benchmark_intervals", Path(__file__).parents[1] / "benchmarks" / "intervals.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


bench = _benchmark()
OFTEN = 2_000
MODEL, ALIKE, POPULAR = "a new model", "a new model, users alike", "popular posts"
AGAIN, WHALE = "a new model, every request 4 times", "popular posts, one user makes 2 %"
UNEQUAL, UNEQUAL_POPULAR = "a new model, lognormal activity", "popular posts, lognormal activity"
SPARSE = "a new model, 1% of requests move"


class Service:
    """What was observed: populations by name, and lists."""

    def __init__(self, run) -> None:
        self.populations = {one.name: one for one in bench.populations(run.values)}
        self.lists = bench.Lists.of(run)


@pytest.fixture(scope="module")
def small(demo) -> Service:
    return Service(demo.run)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return Service(bench.simulated(tmp_path_factory.mktemp("coverage"), requests=20_000))


def at_most(share: float, replications: int) -> float:
    """What a share of that may come to by chance, 39 times in 40."""
    return share + 2 * math.sqrt(share * (1 - share) / replications)


# --- Intervals ---


def test_populations_are_what_they_say(small) -> None:
    model = small.populations[MODEL]
    assert model.truth == pytest.approx(model.difference.mean())
    owner = [user for user, size in enumerate(model.size) for _ in range(size)]
    means = [
        model.difference[[at for at, one in enumerate(owner) if one == user]].mean() for user in range(len(model.size))
    ]
    assert small.populations[ALIKE].truth == pytest.approx(sum(means) / len(means))
    assert small.populations[AGAIN].truth == pytest.approx(model.truth)
    assert (small.populations[SPARSE].difference != 0).mean() == pytest.approx(0.01, abs=0.01)
    whale = next(bench.samples(small.populations[WHALE], 200, 5))
    for at in range(5):
        own = whale.user[whale.sample == at] == 199
        assert own.mean() == pytest.approx(0.02, abs=0.001)


@pytest.mark.parametrize("population", [MODEL, ALIKE, POPULAR, AGAIN])
def test_intervals_hold_about_what_they_should(small, population) -> None:
    """A quick look with wide bounds; the slow tests are strict."""
    found = bench.coverage(small.populations[population], 100, 300, ["clustered", "robust", "bootstrap"])
    assert all(0.90 <= found.shares[method] <= 0.99 for method in ("clustered", "robust", "bootstrap")), found


def test_intervals_that_ignore_users_fail_where_their_requests_are_alike(small) -> None:
    """What the package must not do: beside it, the same samples with users as clusters."""
    again = bench.coverage(small.populations[AGAIN], 100, 300, ["clustered"])
    assert again.shares["naive"] < 0.80
    assert again.shares["clustered"] > 0.90
    assert bench.coverage(small.populations[UNEQUAL], 300, 300, []).shares["naive"] < 0.75


HOLD = [
    *((population, users, "clustered") for population in (MODEL, ALIKE, POPULAR, AGAIN) for users in (100, 300, 1000)),
    (WHALE, 300, "clustered"),
    (WHALE, 1000, "clustered"),
    (UNEQUAL, 1000, "clustered"),
    (MODEL, 30, "clustered"),
    (MODEL, 30, "robust"),
    (AGAIN, 30, "robust"),
    (ALIKE, 50, "robust"),
    (UNEQUAL, 100, "robust"),
    (UNEQUAL, 1000, "robust"),
    (MODEL, 100, "bootstrap"),
    (AGAIN, 300, "bootstrap"),
    (UNEQUAL_POPULAR, 100, "bootstrap"),
    (UNEQUAL_POPULAR, 300, "bootstrap"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("population", "users", "method"), HOLD)
def test_intervals_hold_the_truth_95_times_in_100(large, population, users, method) -> None:
    shares = bench.coverage(large.populations[population], users, OFTEN, [method]).shares
    assert 0.935 <= shares[method] <= 0.965, shares


@pytest.mark.slow
@pytest.mark.parametrize(
    ("population", "users", "bound"),
    [(POPULAR, 300, 0.935), (AGAIN, 300, 0.75), (UNEQUAL, 300, 0.70), (UNEQUAL_POPULAR, 1000, 0.60)],
)
def test_requests_as_if_they_were_independent_are_too_sure(large, population, users, bound) -> None:
    assert bench.coverage(large.populations[population], users, OFTEN, []).shares["naive"] < bound


@pytest.mark.slow
@pytest.mark.parametrize(("population", "users"), [(UNEQUAL_POPULAR, 100), (SPARSE, 100)])
def test_few_users_who_count_are_where_the_default_is_too_sure(large, population, users) -> None:
    """The limits of what is claimed: below 50 effective users, or 40 with any difference."""
    found = bench.coverage(large.populations[population], users, OFTEN, ["clustered"])
    assert found.shares["clustered"] < 0.935
    assert found.effective < 50 or found.touched < 40


# --- Decisions ---


def test_chance_has_no_favourite(small) -> None:
    """Over many samples, systems that differ by noise alone have the same values."""
    chance = bench.Chance.of(small.lists, systems=3)
    generator = bench.np.random.default_rng(1)
    means = bench.np.mean([chance.draw(100, generator)[1].mean(axis=1) for _ in range(300)], axis=0)
    assert means[1:] == pytest.approx(means[:1].repeat(2, axis=0), rel=0.02)


@pytest.mark.parametrize(
    "replications", [150, pytest.param(OFTEN, marks=pytest.mark.slow)], ids=["a quick look", "often"]
)
def test_a_variant_that_is_production_but_for_noise_goes_at_most_once_in_20_studies(small, replications) -> None:
    """5 variants, a primary and two guardrails: the family of the decision is kept at 5 % as a whole."""
    shares = bench.decided(bench.Chance.of(small.lists, systems=6), 100, replications)
    assert shares["go"] <= at_most(0.05, replications), shares


@pytest.mark.slow
@pytest.mark.parametrize("method", ["robust", "bootstrap", "permutation"])
def test_no_method_goes_by_chance(small, method) -> None:
    shares = bench.decided(bench.Chance.of(small.lists, systems=6), 100, 500, method)
    assert shares["go"] <= at_most(0.05, 500), shares


@pytest.mark.parametrize(
    "replications", [150, pytest.param(OFTEN, marks=pytest.mark.slow)], ids=["a quick look", "often"]
)
@pytest.mark.parametrize("proportional", [False, True], ids=["the same for all", "of each value"])
@pytest.mark.parametrize(
    "noise",
    [2.0, 0.3],
    ids=["half of the requests move", "few requests move"],
)
def test_a_difference_that_just_matters_is_seldom_called_none(small, noise, proportional, replications) -> None:
    """At the border itself: two one-sided tests at 5 %, the verdict (both ends of the interval) and the guardrail at 2.5 %.

    Where few requests move, the baseline's value is the less certain of the two: a margin relative to it is no known number.
    """
    shares = bench.said(bench.Chance.of(small.lists, 2, noise), 200, replications, 0.05, 0.05, proportional)
    assert shares["equivalent"] <= at_most(0.05, replications), shares
    assert shares["verdict"] <= at_most(0.025, replications), shares
    assert shares["noninferior"] <= at_most(0.025, replications), shares


def test_no_difference_is_called_none(small) -> None:
    """The same study finds what is there to find."""
    shares = bench.said(bench.Chance.of(small.lists, 2), 600, 100, 0.05, 0.0)
    assert min(shares["equivalent"], shares["noninferior"]) > 0.8, shares
    assert shares["verdict"] > 0.75, shares
