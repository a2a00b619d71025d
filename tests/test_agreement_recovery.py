"""Simulated histories whose truth is known: do intervals hold it as often as they say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from scipy import stats as reference

from rankcast.stats.agreement.calibration import Forecasted, calibration
from rankcast.stats.agreement.denoised import (
    Grid,
    Posterior,
    Spreads,
    Terms,
    leaving_one_out,
    posterior_of,
    sum_of,
)
from rankcast.stats.agreement.mixture import Mixture
from rankcast.stats.agreement.pairs import Floats, Pairs
from rankcast.stats.agreement.periods import partially_pooled, trend

COARSE = (20, 61)
COARSER = (12, 31)
SIZES, CORRELATIONS, NOISES = (6, 10, 20, 40, 60), (-0.3, 0.0, 0.5, 0.8, 0.95), (0.25, 1.0, 2.0)
Truth = tuple[float, float, float]  # sqrt(T11), sqrt(T22), rho


def effects(generator: np.random.Generator, n: int, truth: Truth) -> Floats:
    """n true effects on both axes, around (0.3, -0.2)."""
    one, other, rho = truth
    plain = generator.normal(size=(n, 2))
    across = plain[:, 0]
    result: Floats = np.column_stack(
        [0.3 + one * across, -0.2 + other * (rho * across + math.sqrt(1 - rho**2) * plain[:, 1])]
    )
    return result


def posterior_with(seen: Floats, noise: float, spreads: Spreads, cells: tuple[int, int] = COARSE) -> Posterior:
    """As `sum_of` makes it, but at once: with the same noise everywhere, sums and squares of the data are enough."""
    grid, n = Grid.over(*spreads, cells), len(seen)
    one = Terms.of_pair(grid, Pairs.of([0.0], [0.0], noise, noise), 0)
    (x, y), squares = seen.sum(axis=0), seen.T @ seen
    terms = Terms(
        n * one.log_determinant,
        n * one.w11,
        n * one.w12,
        n * one.w22,
        one.w11 * x + one.w12 * y,
        one.w12 * x + one.w22 * y,
        one.w11 * squares[0, 0] + 2 * one.w12 * squares[0, 1] + one.w22 * squares[1, 1],
    )
    return Posterior.given(grid, terms, spreads, n)


def observed(seen: Floats) -> Spreads:
    return Spreads(float(seen[:, 0].std()), float(seen[:, 1].std()))


def histories(seed: int, draws: int, n: int, rho: float, noise: float) -> Iterator[Posterior]:
    generator = np.random.default_rng([seed, n, round(100 * rho + 100), round(100 * noise)])
    for _ in range(draws):
        seen = effects(generator, n, (1.0, 1.0, rho)) + noise * generator.normal(size=(n, 2))
        yield posterior_with(seen, noise, observed(seen))


def least(nominal: float, draws: int, sure: float = 3.5) -> float:
    """The share below which so many draws are no accident."""
    return nominal - sure * math.sqrt(nominal * (1 - nominal) / draws)


def holds(bounds: tuple[float, float], value: float) -> bool:
    return bounds[0] <= value <= bounds[1]


def test_sums_are_enough() -> None:
    seen = effects(np.random.default_rng(1), 9, (1.0, 2.0, 0.6))
    pairs = Pairs.of(seen[:, 0], seen[:, 1], 0.4, 0.4)
    one, other = posterior_with(seen, 0.4, observed(seen)), posterior_of(pairs, COARSE)
    assert other is not None
    assert one.weight == pytest.approx(other.weight, abs=1e-12)
    assert one.terms.square == pytest.approx(sum_of(one.grid, pairs).square)


# --- The likelihood-ratio interval ---


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("n", [6, 20, 60])
def test_allowed_holds_the_truth(n: int, noise: float) -> None:
    draws = 80
    for rho in (-0.3, 0.5, 0.95):
        found = [holds(one.allowed(0.95), rho) for one in histories(1, draws, n, rho, noise)]
        assert np.mean(found) >= least(0.95, draws), rho


@pytest.mark.slow
@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("n", SIZES)
def test_allowed_holds_the_truth_everywhere(n: int, confidence: float) -> None:
    draws = 500
    short = {}
    for rho in CORRELATIONS:
        for noise in NOISES:
            share = np.mean([holds(one.allowed(confidence), rho) for one in histories(2, draws, n, rho, noise)])
            if share < least(confidence, draws) - 0.01:  # one point for the integration over the deviations
                short[rho, noise] = float(share)
    assert short == {}


@pytest.mark.parametrize(
    ("n", "rho", "noise", "widest"),
    [(60, 0.8, 0.25, 0.25), (60, 0.0, 0.25, 0.6), (20, 0.95, 0.25, 0.3), (40, 0.8, 1.0, 1)],
)
def test_allowed_rules_something_out(n: int, rho: float, noise: float, widest: float) -> None:
    widths = [high - low for low, high in (one.allowed(0.95) for one in histories(3, 40, n, rho, noise))]
    assert np.mean(widths) < widest


def test_allowed_with_little_noise_is_as_sure_as_it_says() -> None:
    """No more and no less, where the correlation is well inside."""
    draws = 600
    for n in (10, 40):
        share = np.mean([holds(one.allowed(0.8), 0.3) for one in histories(4, draws, n, 0.3, 0.05)])
        assert share == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / draws) + 0.01)


def test_allowed_where_every_pair_has_its_own_noise() -> None:
    draws, generator = 100, np.random.default_rng(5)
    for rho in (0.0, 0.9):
        found = []
        for _ in range(draws):
            errors = np.exp(generator.normal(-1.0, 0.7, (12, 2)))
            seen = effects(generator, 12, (0.02, 3.0, rho)) + errors * [0.02, 3.0] * generator.normal(size=(12, 2))
            one = posterior_of(Pairs.of(seen[:, 0], seen[:, 1], 0.02 * errors[:, 0], 3.0 * errors[:, 1]), COARSER)
            found.append(one is not None and holds(one.allowed(0.9), rho))
        assert np.mean(found) >= least(0.9, draws), rho


def test_why_there_are_two_intervals() -> None:
    """A prior that expects moderate correlations pulls a strong one in under noise; the likelihood-ratio interval does not."""
    found = list(histories(6, 100, 20, 0.95, 1.0))
    central = np.mean([holds((one.correlation(0.9).low, one.correlation(0.9).high), 0.95) for one in found])
    assert central < 0.5
    assert np.mean([holds(one.allowed(0.9), 0.95) for one in found]) >= least(0.9, 100)


# --- The posterior, averaged over its prior ---


def from_prior(generator: np.random.Generator) -> Truth:
    one, other = np.abs(generator.normal(size=2))
    return float(one), float(other), float(2 * generator.beta(2, 2) - 1)


def reached(posterior: Posterior, value: Floats, truth: float) -> float:
    """Posterior probability below the truth; a value that many cells share lies in the middle of its weight."""
    return float(posterior.weight[value < truth].sum() + posterior.weight[value == truth].sum() / 2)


@pytest.mark.parametrize(("n", "noise"), [(6, 0.25), (12, 0.5), (12, 2.0), (40, 0.5)])
def test_posterior_of_draws_from_the_prior(n: int, noise: float) -> None:
    """Calibrated by construction: with the prior's own scale, what is drawn from it lies anywhere in its posterior."""
    draws, generator = 300, np.random.default_rng([7, n])
    places: dict[str, list[float]] = {"rho": [], "x": [], "forecast": [], "observed": []}
    inside: dict[str, list[bool]] = {"rho": [], "slope": []}
    for _ in range(draws):
        truth = from_prior(generator)
        true = effects(generator, n + 1, truth)
        seen = true + noise * generator.normal(size=(n + 1, 2))
        found = posterior_with(seen[:-1], noise, Spreads(1.0, 1.0))
        rho, slope = found.correlation(0.8), found.slope(0.8)
        inside["rho"].append(holds((rho.low, rho.high), truth[2]))
        inside["slope"].append(holds((slope.low, slope.high), truth[2] * truth[1] / truth[0]))
        forecast = found.forecast(float(seen[-1, 0]), noise)
        places["rho"].append(reached(found, found.grid.rho, truth[2]))
        places["x"].append(reached(found, found.grid.deviation_x, truth[0]))
        places["forecast"].append(forecast.below(float(true[-1, 1])))
        places["observed"].append(forecast.with_error(noise).below(float(seen[-1, 1])))
    for name, found_in in inside.items():
        assert np.mean(found_in) == pytest.approx(0.8, abs=3.5 * math.sqrt(0.16 / draws) + 0.015), name
    for name, place in places.items():
        assert reference.kstest(place, "uniform").pvalue > 1e-3, name


@pytest.mark.parametrize("n", [8, 20])
def test_posterior_with_the_spread_of_what_was_observed(n: int) -> None:
    """The scale that is used: near enough to nominal on average."""
    draws, noise, generator = 300, 0.5, np.random.default_rng([8, n])
    inside: list[bool] = []
    for _ in range(draws):
        truth = from_prior(generator)
        seen = effects(generator, n, truth) + noise * generator.normal(size=(n, 2))
        told = posterior_with(seen, noise, observed(seen)).correlation(0.9)
        inside.append(holds((told.low, told.high), truth[2]))
    assert np.mean(inside) == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / draws) + 0.01)


def test_chance_of_a_positive_correlation_is_kept() -> None:
    """Of histories of which it is said to be likely by so much, so many are."""
    generator, said, came = np.random.default_rng(9), [], []
    for _ in range(500):
        truth = from_prior(generator)
        seen = effects(generator, 12, truth) + 0.5 * generator.normal(size=(12, 2))
        said.append(posterior_with(seen, 0.5, Spreads(1.0, 1.0)).correlation(0.9).positive)
        came.append(truth[2] > 0)
    for low, high in ((0.0, 0.25), (0.25, 0.75), (0.75, 1.0)):
        chosen = (np.array(said) >= low) & (np.array(said) <= high)
        expected, count = float(np.array(said)[chosen].mean()), int(chosen.sum())
        assert count > 50
        assert np.array(came)[chosen].mean() == pytest.approx(expected, abs=4 * math.sqrt(0.25 / count))


def test_true_effects_are_told_better_than_they_are_seen() -> None:
    generator = np.random.default_rng(10)
    inside: list[bool] = []
    off: list[float] = []
    plain: list[float] = []
    for _ in range(60):
        true = effects(generator, 12, from_prior(generator))
        seen = true + 0.7 * generator.normal(size=(12, 2))
        pairs = Pairs.of(seen[:, 0], seen[:, 1], 0.7, 0.7)
        found = posterior_with(seen, 0.7, Spreads(1.0, 1.0), COARSER).effects(pairs)
        for axis in (0, 1):
            inside.extend(np.abs(found[axis] - true[:, axis]) <= 1.2815516 * found[axis + 2])
            off.append(float(((found[axis] - true[:, axis]) ** 2).mean()))
            plain.append(float(((seen[:, axis] - true[:, axis]) ** 2).mean()))
    assert np.mean(inside) == pytest.approx(0.8, abs=0.06)  # mu is taken as known in each cell
    assert np.mean(off) < 0.7 * np.mean(plain)


# --- Forecasts ---


def forecasts(seed: int, draws: int, n: int, rho: float, noise: float) -> Iterator[tuple[Mixture, float]]:
    """Of a thing of which only x was seen, with its true y."""
    generator = np.random.default_rng([seed, n, round(100 * rho + 100), round(100 * noise)])
    for _ in range(draws):
        true = effects(generator, n + 1, (1.0, 1.0, rho))
        seen = true + noise * generator.normal(size=(n + 1, 2))
        found = posterior_with(seen[:-1], noise, observed(seen[:-1]))
        yield found.forecast(float(seen[-1, 0]), noise), float(true[-1, 1])


@pytest.mark.parametrize("noise", [0.25, 1.0])
@pytest.mark.parametrize("rho", [0.0, 0.8])
@pytest.mark.parametrize("n", [6, 20, 60])
def test_forecasts_hold_what_came(n: int, rho: float, noise: float) -> None:
    draws = 150
    inside = [abs(told.below(true) - 0.5) <= 0.4 for told, true in forecasts(11, draws, n, rho, noise)]
    assert least(0.8, draws) - (0.08 if n <= 10 else 0.03) <= np.mean(inside) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("n", SIZES)
def test_forecasts_hold_what_came_everywhere(n: int) -> None:
    draws = 300
    short = {}
    for rho in CORRELATIONS:
        for noise in NOISES:
            inside = [abs(told.below(true) - 0.5) <= 0.4 for told, true in forecasts(12, draws, n, rho, noise)]
            if np.mean(inside) < least(0.8, draws) - (
                0.08 if n <= 10 else 0.03
            ):  # of few pairs the spread, too, is unsure
                short[rho, noise] = float(np.mean(inside))
    assert short == {}


def test_forecasts_by_a_good_metric_are_sharper_than_the_spread_of_effects() -> None:
    good = [told.deviation for told, _ in forecasts(13, 60, 40, 0.95, 0.25)]
    idle = [told.deviation for told, _ in forecasts(13, 60, 40, 0.0, 0.25)]
    assert np.mean(good) < 0.6
    assert np.mean(idle) == pytest.approx(1.0, abs=0.12)


def left_out(seed: int, rho: float, noise: float) -> list[Forecasted]:
    """Each pair of a history of ten, as the others foretell it."""
    generator, n = np.random.default_rng(seed), 10
    seen = effects(generator, n, (1.0, 1.0, rho)) + noise * generator.normal(size=(n, 2))
    pairs = Pairs.of(seen[:, 0], seen[:, 1], noise, noise)
    told = []
    for one, posterior in leaving_one_out(pairs, COARSER):
        mixture = posterior.forecast(float(pairs.x[one]), noise)
        y = float(pairs.y[one])
        place = mixture.with_error(noise).below(y)
        told.append(Forecasted(mixture.mean, place, y, float(np.delete(pairs.y, one).mean())))
    return told


@pytest.mark.parametrize(("rho", "helps"), [(0.9, True), (0.0, False)])
def test_leaving_one_out_tells_whether_forecasts_are_right(rho: float, helps: bool) -> None:
    found = calibration([row for seed in range(40) for row in left_out(seed, rho, 0.25)])
    assert found is not None
    assert found.skill is not None
    assert found.slope is not None
    assert found.n == 400
    assert found.coverage == pytest.approx((0.5, 0.8, 0.9), abs=0.1)
    assert (found.skill > 0.3) == helps
    assert (abs(found.slope - 1) < 0.3) == helps  # the prior holds forecasts back


# --- Periods ---


def test_trend_of_equal_correlations_is_rarely_told() -> None:
    generator, draws, told = np.random.default_rng(14), 500, []
    for _ in range(draws):
        r = [float(reference.pearsonr(*effects(generator, n, (1.0, 1.0, 0.6)).T).statistic) for n in (12, 20, 30)]
        found = trend(r, [12, 20, 30])
        assert found is not None
        told.append(found.p < 0.1)
    assert np.mean(told) == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / draws) + 0.01)


@pytest.mark.parametrize("spreads", [(0.4, 0.4), (0.3, 0.6, 0.4)])
def test_pooled_intervals_of_draws_from_the_prior(spreads: Sequence[float]) -> None:
    generator, z, draws = np.random.default_rng(15), np.linspace(-3.5, 3.5, 101), 200
    inside: list[bool] = []
    said, came = [], []
    for _ in range(draws):
        middle, spread = math.atanh(2 * generator.beta(2, 2) - 1), 0.5 * abs(generator.normal())
        true = middle + spread * generator.normal(size=len(spreads))
        seen = true + np.array(spreads) * generator.normal(size=len(spreads))
        likelihoods = [np.exp(-0.5 * ((z - at) / one) ** 2) for at, one in zip(seen, spreads, strict=True)]
        found = partially_pooled(z, likelihoods, 0.8)
        assert found is not None
        inside.extend(holds(bounds, math.tanh(at)) for bounds, at in zip(found.bounds, true, strict=True))
        said.append(found.rises)
        came.append(true[-1] > true[0])
    assert np.mean(inside) == pytest.approx(0.8, abs=0.06)
    assert np.mean(came) == pytest.approx(np.mean(said), abs=4 * math.sqrt(0.25 / draws))
    assert np.corrcoef(said, came)[0, 1] > 0.2
