"""Agreement of two noisy numbers: values of the literature, the same by brute force, and what must not matter."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize
from scipy import stats as reference

from rankcast.stats.agreement import denoised
from rankcast.stats.agreement.calibration import LEVELS, Forecasted, calibration
from rankcast.stats.agreement.correlations import (
    Correlation,
    bootstrapped,
    interval_of,
    kendall,
    pearson,
    permuted_p,
    spearman,
)
from rankcast.stats.agreement.denoised import (
    COARSE,
    Grid,
    Posterior,
    Spreads,
    Terms,
    forward,
    leaving_one_out,
    posterior_of,
    sum_of,
)
from rankcast.stats.agreement.lines import Line, deming, york
from rankcast.stats.agreement.mixture import Mixture
from rankcast.stats.agreement.pairs import Floats, Pairs
from rankcast.stats.agreement.periods import partially_pooled, trend
from rankcast.stats.agreement.restriction import unrestricted
from rankcast.stats.agreement.signs import SignAgreement, sign_agreement

Measure = Callable[[Floats, Floats, float], Correlation]

X = np.array([2.1, -0.8, 0.4, 3.5, 1.2, -1.9, 0.1, 2.8, -0.3, 1.7, 4.2, 0.9])
ERROR_X = np.array([0.5, 0.6, 0.4, 0.7, 0.5, 0.6, 0.4, 0.6, 0.5, 0.5, 0.8, 0.4])
ERROR_Y = np.array([0.6, 0.5, 0.6, 0.7, 0.6, 0.5, 0.5, 0.6, 0.6, 0.5, 0.8, 0.5])
Y_A = np.array([1, -0.2, 0.9, 1.6, -0.3, -1.1, 0.5, 0.8, -0.6, 1.4, 1.9, -0.2])
Y_B = np.array([1, -0.2, 1.9, 1.6, -1.3, -1.1, 1.5, 0.2, -0.6, 2.4, 1, -1.2])
A, B = Pairs.of(X, Y_A, ERROR_X, ERROR_Y), Pairs.of(X, Y_B, ERROR_X, ERROR_Y)
SMALL = (9, 15)  # cells where every one of them is looked at
SCALES = [1e-9, 1e-3, 1.0, 1e4, 1e9]

FINITE = st.floats(-4, 4).map(lambda value: round(value, 3))
ERRORS = st.floats(0.05, 2).map(lambda value: round(value, 3))


@st.composite
def some_pairs(draw: st.DrawFn, fewest: int = 4, most: int = 9) -> Pairs:
    """Pairs that vary on both axes, each with its own errors, which may share a part."""
    rows = draw(
        st.lists(st.tuples(FINITE, FINITE, ERRORS, ERRORS, st.floats(-0.9, 0.9)), min_size=fewest, max_size=most)
    )
    x, y, error_x, error_y, r = (np.array(column) for column in zip(*rows, strict=True))
    x[0], x[1], y[0], y[1] = 1.0, -1.5, 0.5, 2.0
    return Pairs(x, y, error_x, error_y, r * error_x * error_y)


def rescaled(pairs: Pairs, of_x: float = 1.0, of_y: float = 1.0) -> Pairs:
    return Pairs(
        pairs.x * of_x,
        pairs.y * of_y,
        pairs.error_x * abs(of_x),
        pairs.error_y * abs(of_y),
        pairs.shared * of_x * of_y,
    )


def correlated(r: float, n: int) -> tuple[Floats, Floats]:
    """n points whose Pearson correlation is r."""
    rows = np.random.default_rng(n).normal(size=(n, 2))
    rows -= rows.mean(axis=0)
    one, other = np.linalg.qr(rows)[0].T
    return one, r * one + math.sqrt(1 - r * r) * other


def simulated(seed: int, n: int, rho: float, noise: float) -> Pairs:
    """True effects of variance 1, and noise of this size on both axes."""
    generator = np.random.default_rng(seed)
    true = generator.multivariate_normal([0, 0], [[1, rho], [rho, 1]], n)
    seen = true + noise * generator.normal(size=(n, 2))
    return Pairs.of(seen[:, 0], seen[:, 1], noise, noise)


# --- Correlations ---


@pytest.mark.parametrize(
    ("value", "n", "confidence", "expected"),
    [
        (-0.1, 23, 0.90, (-0.4367, 0.2613)),
        (0.852689, 12, 0.95, (0.546, 0.958)),
        (0.434108, 12, 0.95, (-0.186, 0.807)),
        (0.6, 8, 0.95, (-0.18, 0.92)),
        (0.6, 20, 0.95, (0.21, 0.82)),
    ],
)
def test_fisher_intervals(value: float, n: int, confidence: float, expected: tuple[float, float]) -> None:
    digits = 4 if n == 23 else 3 if n == 12 else 2
    assert interval_of(value, n, confidence) == pytest.approx(expected, abs=0.51 * 10**-digits)


def test_interval_of_ranks_is_wider() -> None:
    found = interval_of(-0.18, 23, 0.90, 1 + 0.18**2 / 2)
    assert found == pytest.approx((-0.5026, 0.1866), abs=5e-5)


@pytest.mark.parametrize(("n", "least"), [(8, 0.705), (10, 0.63), (20, 0.44)])
def test_least_correlation_that_is_significant(n: int, least: float) -> None:
    at, below = pearson(*correlated(least + 0.005, n), 0.95), pearson(*correlated(least - 0.005, n), 0.95)
    assert at.p is not None
    assert below.p is not None
    assert at.p < 0.05 < below.p


@pytest.mark.parametrize(("rho", "n"), [(0.3, 85), (0.4, 47), (0.5, 30), (0.6, 20), (0.7, 14), (0.8, 10)])
def test_pairs_for_a_power_of_four_fifths(rho: float, n: int) -> None:
    generator, draws = np.random.default_rng(n), 800
    rows = generator.multivariate_normal([0, 0], [[1, rho], [rho, 1]], (draws, n))
    found = [pearson(one[:, 0], one[:, 1], 0.95).p or 1.0 for one in rows]
    assert 0.8 - 4 * math.sqrt(0.16 / draws) < np.mean(np.array(found) < 0.05) < 0.9  # n is rounded up


@pytest.mark.parametrize(
    ("measure", "of_a", "of_b"),
    [(pearson, 0.852689, 0.434108), (spearman, 0.819616, 0.360771), (kendall, 0.656508, 0.229014)],
)
def test_correlations_of_the_reference_data(measure: Measure, of_a: float, of_b: float) -> None:
    assert measure(X, Y_A, 0.95).value == pytest.approx(of_a, abs=1e-6)
    assert measure(X, Y_B, 0.95).value == pytest.approx(of_b, abs=1e-6)


def test_kendall_with_ties() -> None:
    found = kendall(np.array([12.0, 2, 1, 12, 2]), np.array([1.0, 4, 7, 1, 0]), 0.95)
    assert (found.value, found.p) == pytest.approx((-0.4714045, 0.2827455), abs=1e-7)


def ranks(values: Floats) -> Floats:
    return np.array([(values < one).sum() + ((values == one).sum() + 1) / 2 for one in values])


def tau_b(x: Floats, y: Floats) -> float:
    one, other = np.sign(x[:, None] - x), np.sign(y[:, None] - y)
    return float((one * other).sum() / math.sqrt((one != 0).sum() * (other != 0).sum()))


@given(some_pairs())
def test_correlations_are_their_definitions(pairs: Pairs) -> None:
    x, y, n = pairs.x, pairs.y, pairs.n
    of_ranks = float(np.corrcoef(ranks(x), ranks(y))[0, 1])
    expected = [
        (pearson, float(np.corrcoef(x, y)[0, 1]), 1.0, 3),
        (spearman, of_ranks, 1 + of_ranks**2 / 2, 3),
        (kendall, tau_b(x, y), 0.437, 4),
    ]
    for measure, value, variance, lost in expected:
        found = measure(x, y, 0.8)
        assert found.value == pytest.approx(value, abs=1e-9)
        assert found.n == n
        if n <= lost or abs(value) > 1 - 1e-9:
            continue
        half = reference.norm.ppf(0.9) * math.sqrt(variance / (n - lost))
        bounds = math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half)
        assert (found.low, found.high) == pytest.approx(bounds, abs=1e-9)


@given(some_pairs(), st.randoms(), st.sampled_from(SCALES), st.booleans())
def test_order_units_and_sign_of_pairs(pairs: Pairs, random: Random, scale: float, flipped: bool) -> None:
    order = np.array(random.sample(range(pairs.n), pairs.n))
    sign = -1.0 if flipped else 1.0
    for measure in (pearson, spearman, kendall):
        one = measure(pairs.x, pairs.y, 0.9)
        other = measure(pairs.x[order] * scale, sign * pairs.y[order], 0.9)
        assert other.value == pytest.approx(sign * (one.value or 0.0), abs=1e-9)
        assert other.p == pytest.approx(one.p, abs=1e-6)
        if one.low is not None and other.low is not None and abs(one.value or 0.0) < 1 - 1e-9:
            bounds = (one.low, one.high) if not flipped else (-(one.high or 0.0), -one.low)
            assert (other.low, other.high) == pytest.approx(bounds, abs=1e-6)


@pytest.mark.parametrize("measure", [pearson, spearman, kendall])
def test_correlations_that_are_not_defined(measure: Measure) -> None:
    for n in range(4):
        x = np.arange(n, dtype=np.float64)
        assert measure(x, x[::-1].copy(), 0.95) == Correlation(None, None, None, None, n)
    constant, varied = np.full(6, 0.1), np.arange(6.0)
    assert measure(constant, varied, 0.95) == Correlation(None, None, None, None, 6)
    assert measure(varied, constant, 0.95) == Correlation(None, None, None, None, 6)
    four = measure(np.array([1.0, 2, 3, 4]), np.array([2.0, 1, 4, 3]), 0.95)
    assert four.value is not None
    assert (four.low is None) == (measure is kendall)  # its interval needs a fifth pair


@pytest.mark.parametrize("value", [1.0, -1.0, 1.0000000000000002])
def test_no_interval_around_a_perfect_line(value: float) -> None:
    assert interval_of(value, 10, 0.95) == (None, None)


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.3, 7.0])
def test_no_interval_around_points_on_a_line(scale: float) -> None:
    found = pearson(np.arange(6.0) * scale, 1.0 + 0.7 * scale * np.arange(6.0), 0.95)
    assert found.value == pytest.approx(1.0, abs=1e-12)
    assert (found.low, found.high) == (None, None)


# --- Bootstrap and shuffling ---


@pytest.mark.parametrize(("seed", "n"), [(2, 12), (5, 15), (3, 19)])
def test_bootstrap_against_scipy(seed: int, n: int) -> None:
    pairs = simulated(seed, n, 0.7, 0.3)
    other = reference.bootstrap(
        (pairs.x, pairs.y),
        lambda x, y, axis: reference.pearsonr(x, y, axis=axis).statistic,
        paired=True,
        n_resamples=40_000,
        confidence_level=0.9,
        method="BCa",
        rng=np.random.default_rng(seed),
    )
    found = [bootstrapped(pairs.x, pairs.y, 0.9, one) or (math.nan, math.nan) for one in range(16)]
    expected = other.confidence_interval
    assert np.mean(found, axis=0) == pytest.approx((float(expected.low), float(expected.high)), abs=0.006)


@pytest.mark.parametrize("scale", [0.1, 0.3, 0.7, 1e-9, 1e9])
def test_bootstrap_knows_no_units(scale: float) -> None:
    """Draws of one point only are left out; 0.1 five times has no variation, whatever the rounding of its mean."""
    x, y = np.array([1.0, 1, 1, 1, 1, 7]), np.array([3.0, 1, 2, 5, 4, 9])
    whole = bootstrapped(x, y, 0.95, 1)
    assert bootstrapped(x * scale, y, 0.95, 1) == pytest.approx(whole, abs=0.005)


def test_bootstrap_stays_within_one() -> None:
    for seed in range(30):
        generator = np.random.default_rng(seed)
        x, y = generator.standard_t(1, (2, 6))
        low, high = bootstrapped(x, y, 0.99, seed) or (math.nan, math.nan)
        assert -1.0 <= low <= high <= 1.0


def test_bootstrap_is_the_same_every_time() -> None:
    assert bootstrapped(X, Y_A, 0.95, 3) == bootstrapped(X, Y_A, 0.95, 3)
    assert bootstrapped(X, Y_A, 0.95, 3) != bootstrapped(X, Y_A, 0.95, 4)


def test_too_little_for_a_bootstrap() -> None:
    for n in range(5):
        assert bootstrapped(X[:n], Y_A[:n], 0.95, 1) is None
    assert bootstrapped(X[:5], Y_A[:5], 0.95, 1) is not None
    assert bootstrapped(np.ones(6), X[:6], 0.95, 1) is None
    assert bootstrapped(X[:6], np.full(6, 0.1), 0.95, 1) is None


def enumerated(metrics: Floats, y: Floats) -> list[float]:
    """p of each row, of all orders of y: the share whose largest |r| is at least as large."""
    with np.errstate(invalid="ignore"):
        largest = np.array(
            [
                max(abs(float(np.corrcoef(row, order)[0, 1])) for row in metrics)
                for order in (np.array(one) for one in itertools.permutations(y))
            ]
        )
    return [float((largest >= abs(np.corrcoef(row, y)[0, 1]) - 1e-12).mean()) for row in metrics]


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("n", [4, 5, 6])
def test_shuffled_p_is_that_of_all_orders(k: int, n: int) -> None:
    generator = np.random.default_rng(10 * k + n)
    metrics, y = generator.normal(size=(k, n)), generator.normal(size=n)
    metrics[0] += 0.8 * y
    for found, exact in zip(permuted_p(metrics, y, seed=1), enumerated(metrics, y), strict=True):
        assert found == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 10_000) + 1e-3)


def test_ties_reach_the_same_correlation() -> None:
    """Of 0, 0, 0, 1 against itself a quarter of all orders are as good."""
    y = np.array([0.0, 0, 0, 1])
    assert permuted_p(y[None], y, seed=2)[0] == pytest.approx(0.25, abs=0.02)
    assert permuted_p(0.1 * y[None], 0.7 * y, seed=2) == permuted_p(y[None], y, seed=2)


def test_looking_at_more_metrics_costs() -> None:
    generator = np.random.default_rng(5)
    y = generator.normal(size=10)
    first = (0.6 * y + generator.normal(size=10))[None]
    alone = permuted_p(first, y, seed=1)[0]
    with_copies = permuted_p(np.vstack([first, 3 * first, -first]), y, seed=1)
    with_others = permuted_p(np.vstack([first, generator.normal(size=(20, 10))]), y, seed=1)[0]
    assert with_copies == pytest.approx([alone] * 3, abs=1e-12)
    assert with_others > 2 * alone


@pytest.mark.parametrize("scale", SCALES)
def test_shuffled_p_knows_no_units(scale: float) -> None:
    metrics = np.vstack([X, Y_B])
    assert permuted_p(metrics * scale, Y_A / scale, 1) == pytest.approx(permuted_p(metrics, Y_A, 1), abs=1e-3)


def test_a_constant_metric_proves_nothing() -> None:
    found = permuted_p(np.vstack([np.full(12, 0.1), X]), Y_A, 1)
    assert found[0] == 1.0
    assert found[1] < 0.01
    assert permuted_p(X[None], np.full(12, 0.1), 1) == [1.0]
    assert permuted_p(np.full((2, 12), 3.3), Y_A, 1) == [1.0, 1.0]


def test_shuffled_p_holds_its_level() -> None:
    generator, draws = np.random.default_rng(7), 400
    least = [
        min(permuted_p(generator.normal(size=(5, 8)), generator.normal(size=8), seed, draws=400))
        for seed in range(draws)
    ]
    assert np.mean(np.array(least) <= 0.1) == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / draws))


@pytest.mark.parametrize(("noise", "expected"), [(1.0, 0.40), (0.5, 0.64)])
def test_noise_pulls_pearson_down(noise: float, expected: float) -> None:
    found = [
        pearson(one.x, one.y, 0.95).value or 0.0 for one in (simulated(seed, 50, 0.8, noise) for seed in range(400))
    ]
    assert np.mean(found) == pytest.approx(expected, abs=0.02)


# --- Signs ---


def test_signs_of_the_reference_data() -> None:
    for pairs in (A, B):
        found = sign_agreement(pairs, 0.95)
        assert (found.agree, found.n, found.zeros) == (10, 12, 0)


def test_signs_with_interval_and_p() -> None:
    found = sign_agreement(Pairs.of([1.0] * 9 + [-1.0] * 3, [2.0] * 12, 1.0, 1.0), 0.95)
    assert (found.agree, found.n) == (9, 12)
    assert (found.low, found.high, found.p) == pytest.approx((0.4677, 0.9111, 0.1460), abs=5e-5)


@given(some_pairs(), st.floats(0.5, 0.99))
def test_signs_by_hand(pairs: Pairs, confidence: float) -> None:
    found = sign_agreement(pairs, confidence)
    rows = [row for row in zip(pairs.x, pairs.y, pairs.error_x, pairs.error_y, strict=True) if row[0] and row[1]]
    agree, n = sum(x * y > 0 for x, y, _, _ in rows), len(rows)
    assert (found.agree, found.n, found.zeros) == (agree, n, pairs.n - n)
    z = reference.norm.ppf(0.5 + confidence / 2)
    roots = np.roots(
        [n * n + n * z * z, -2 * n * agree - n * z * z, agree * agree]
    )  # |p - agree / n| = z sqrt(p (1 - p) / n)
    assert (found.low, found.high) == pytest.approx(tuple(sorted(roots.real)), abs=1e-6)
    tail = sum(math.comb(n, one) for one in range(min(agree, n - agree) + 1)) / 2**n
    assert found.p == pytest.approx(min(1.0, 2 * tail), abs=1e-9)
    sure = [(reference.norm.cdf(x / e), reference.norm.cdf(y / f), x * y > 0) for x, y, e, f in rows]
    assert found.ceiling == pytest.approx(sum(p * q + (1 - p) * (1 - q) for p, q, _ in sure) / n, abs=1e-9)
    weights = [abs(2 * p - 1) * abs(2 * q - 1) for p, q, _ in sure]
    same = sum(weight for weight, (_, _, one) in zip(weights, sure, strict=True) if one)
    assert found.weighted == pytest.approx(same / sum(weights), abs=1e-9)


@given(some_pairs())
def test_signs_turned(pairs: Pairs) -> None:
    one, both, other = (sign_agreement(rescaled(pairs, *by), 0.9) for by in ((1, 1), (-1, -1), (1, -1)))
    assert both == replace(one, ceiling=both.ceiling, weighted=both.weighted)
    assert (both.ceiling, both.weighted) == pytest.approx((one.ceiling, one.weighted), abs=1e-12)
    assert (other.agree, other.n) == (one.n - one.agree, one.n)
    assert 1 - (other.ceiling or 0.0) == pytest.approx(one.ceiling, abs=1e-12)
    assert 1 - (other.weighted or 0.0) == pytest.approx(one.weighted, abs=1e-12)


def test_signs_that_are_not_there() -> None:
    nothing = SignAgreement(0, 0, 3, None, None, None, None, None)
    assert sign_agreement(Pairs.of([0.0, 0, 1], [1.0, 0, 0], 1, 1), 0.95) == nothing
    assert sign_agreement(Pairs.of([], [], 1, 1), 0.95) == replace(nothing, zeros=0)
    for error in (0.0, math.nan):
        found = sign_agreement(Pairs.of([1.0, 2], [1.0, -2], [1.0, error], 1), 0.95)
        assert (found.agree, found.n, found.ceiling, found.weighted) == (1, 2, None, None)


def test_signs_far_below_their_noise_have_no_weight() -> None:
    found = sign_agreement(Pairs.of([1e-18, -1e-18], [1.0, 1.0], 1.0, 1.0), 0.95)
    assert found.ceiling == pytest.approx(0.5)
    assert found.weighted is None or math.isfinite(found.weighted)


# --- Lines ---

DEMING_X = np.array([7, 8.3, 10.5, 9, 5.1, 8.2, 10.2, 10.3, 7.1, 5.9])
DEMING_Y = np.array([7.9, 8.2, 9.6, 9, 6.5, 7.3, 10.2, 10.6, 6.3, 5.2])
YORK_X = np.array([0, 0.9, 1.8, 2.6, 3.3, 4.4, 5.2, 6.1, 6.5, 7.4])
YORK_Y = np.array([5.9, 5.4, 4.4, 4.6, 3.5, 3.7, 2.8, 2.8, 2.4, 1.5])
YORK_WX = np.array([1000, 1000, 500, 800, 200, 80, 60, 20, 1.8, 1])
YORK_WY = np.array([1, 1.8, 4, 8, 20, 20, 70, 70, 100, 500])


def line_of(pairs: Pairs) -> Line:
    found = york(pairs)
    assert found is not None
    return found


def errors_of(line: Line) -> tuple[float, float, float]:
    assert line.error_slope is not None
    assert line.error_intercept is not None
    assert line.fit is not None
    return line.error_slope, line.error_intercept, line.fit


def slope_of(x: Floats, y: Floats, ratio: float = 1.0) -> float:
    line = deming(x, y, ratio)
    assert line is not None
    return line.slope


@pytest.mark.parametrize(
    ("ratio", "slope", "intercept"),
    [(0.25, 1.0011942, -0.0897449), (1.0, 0.9422886, 0.3909254), (4.0, 0.8905995, 0.8127080)],
)
def test_deming_of_the_reference_data(ratio: float, slope: float, intercept: float) -> None:
    line = deming(DEMING_X, DEMING_Y, ratio)
    assert line is not None
    assert (line.slope, line.intercept) == pytest.approx((slope, intercept), abs=1e-7)


@given(some_pairs(), st.floats(0.1, 10))
def test_deming_is_closest_to_the_points(pairs: Pairs, ratio: float) -> None:
    """It has the least of sum (y - a - b x)^2 / (ratio + b^2)."""
    line = deming(pairs.x, pairs.y, ratio)
    across, up = pairs.x - pairs.x.mean(), pairs.y - pairs.y.mean()
    if line is None or abs(float(across @ up)) < 1e-3:
        return

    def far(slope: Floats) -> Floats:
        result: Floats = ((up - slope[:, None] * across) ** 2).sum(axis=1) / (ratio + slope**2)
        return result

    others = np.tan(np.linspace(-1.57, 1.57, 2001))
    assert float(far(np.array([line.slope]))[0]) <= float(far(others).min()) * (1 + 1e-9) + 1e-9
    assert line.slope * pairs.x.mean() + line.intercept == pytest.approx(pairs.y.mean(), abs=1e-9)


@pytest.mark.parametrize("scale", [*SCALES, -1.0, -1e-9])
def test_deming_in_other_units(scale: float) -> None:
    whole = slope_of(DEMING_X, DEMING_Y, 0.7)
    assert slope_of(DEMING_X, DEMING_Y * scale, 0.7 * scale**2) / scale == pytest.approx(whole, rel=1e-9)
    assert slope_of(DEMING_X * scale, DEMING_Y, 0.7 / scale**2) * scale == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize("ratio", [1e4, 1e8, 1e12, 1e16])
def test_deming_with_all_error_in_y_is_least_squares(ratio: float) -> None:
    least_squares = float(np.polyfit(DEMING_X, DEMING_Y, 1)[0])
    assert slope_of(DEMING_X, DEMING_Y, ratio) == pytest.approx(least_squares, rel=1e-3)


@pytest.mark.parametrize("scale", [1e-5, 1e-7, 1e-9])
def test_deming_of_small_slopes(scale: float) -> None:
    """Far flatter than the ratio of the errors: least squares, not 0."""
    least_squares = float(np.polyfit(DEMING_X, DEMING_Y, 1)[0])
    assert slope_of(DEMING_X, DEMING_Y * scale) / scale == pytest.approx(least_squares, rel=1e-6)


def test_no_deming_line() -> None:
    for n in range(2):
        assert deming(np.ones(n), np.ones(n)) is None
    assert deming(np.ones(4), np.arange(4.0)) is None
    assert deming(np.arange(4.0), np.ones(4)) is None
    two = deming(np.array([0.0, 1]), np.array([1.0, 3]))
    assert two is not None
    assert (two.slope, two.intercept) == pytest.approx((2.0, 1.0))


def test_york_of_pearsons_data() -> None:
    line = line_of(Pairs.of(YORK_X, YORK_Y, YORK_WX**-0.5, YORK_WY**-0.5))
    assert (line.slope, line.intercept) == pytest.approx((-0.4805334074, 5.4799102240), abs=1e-9)
    assert errors_of(line) == pytest.approx((0.0579850090, 0.2949707355, 1.4832941), abs=1e-7)


def test_york_of_the_reference_data() -> None:
    line = line_of(A)
    assert (line.slope, line.intercept) == pytest.approx((0.475634, -0.050069), abs=1e-6)
    assert errors_of(line) == pytest.approx((0.113784, 0.203571, 7.6243 / 10), abs=1e-5)


def chi_square(pairs: Pairs, slope: float) -> tuple[float, float]:
    """Of the best line with this slope, and its intercept."""
    weight = 1 / (pairs.error_y**2 + slope**2 * pairs.error_x**2 - 2 * slope * pairs.shared)
    rest = pairs.y - slope * pairs.x
    intercept = float(np.average(rest, weights=weight))
    return float((weight * (rest - intercept) ** 2).sum()), intercept


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(5, 20), st.floats(-3, 3), st.floats(-0.8, 0.8))
def test_york_is_the_best_line(seed: int, n: int, slope: float, r: float) -> None:
    """Points with their noise around a line: no other line has a smaller chi-square."""
    generator = np.random.default_rng(seed)
    true, error_x, error_y = generator.normal(size=n) * 3, *generator.uniform(0.05, 0.3, (2, n))
    noise = generator.normal(size=(2, n))
    x, y = true + error_x * noise[0], 1 + slope * true + error_y * (r * noise[0] + math.sqrt(1 - r * r) * noise[1])
    pairs = Pairs(x, y, error_x, error_y, r * error_x * error_y)
    found = york(pairs)
    if found is None:
        pytest.fail("no line")
    best = optimize.minimize_scalar(
        lambda angle: chi_square(pairs, math.tan(angle))[0],
        bounds=(math.atan(found.slope) - 0.5, math.atan(found.slope) + 0.5),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert math.atan(found.slope) == pytest.approx(best.x, abs=1e-5)
    chi, intercept = chi_square(pairs, found.slope)
    assert found.intercept == pytest.approx(intercept, rel=1e-9, abs=1e-9)
    assert found.fit == pytest.approx(chi / (n - 2), rel=1e-9)
    whole = min(chi_square(pairs, math.tan(angle))[0] for angle in np.linspace(-1.57, 1.57, 400))
    assert chi <= whole + 1e-9


def test_york_without_error_on_x_is_weighted_least_squares() -> None:
    line = line_of(Pairs.of(YORK_X, YORK_Y, 1e-9, ERROR_Y[:10]))
    design = np.vstack([np.ones(10), YORK_X]).T / ERROR_Y[:10, None]
    inverse = np.linalg.inv(design.T @ design)
    intercept, slope = inverse @ design.T @ (YORK_Y / ERROR_Y[:10])
    assert (line.slope, line.intercept) == pytest.approx((slope, intercept), rel=1e-7)
    assert errors_of(line)[:2] == pytest.approx((math.sqrt(inverse[1, 1]), math.sqrt(inverse[0, 0])), rel=1e-7)


def test_york_with_equal_errors_is_demings_line() -> None:
    line = line_of(Pairs.of(DEMING_X, DEMING_Y, 0.4, 0.2))
    assert line.slope == pytest.approx(1.0011942, abs=1e-7)


def test_york_error_is_that_of_repeated_noise() -> None:
    generator = np.random.default_rng(3)
    true = np.linspace(-3, 3, 12)
    found = [
        line_of(Pairs.of(true + noise[0], 2 * true + noise[1], 0.3, 0.3))
        for noise in generator.normal(0, 0.3, (600, 2, 12))
    ]
    said = np.mean([errors_of(line)[0] for line in found])
    assert said == pytest.approx(np.std([line.slope for line in found]), rel=0.1)
    assert np.mean([errors_of(line)[2] for line in found]) == pytest.approx(1.0, abs=0.08)


@pytest.mark.parametrize("scale", [*SCALES, 1e-12])
def test_york_in_other_units(scale: float) -> None:
    pairs = Pairs.of(YORK_X, YORK_Y, YORK_WX**-0.5, YORK_WY**-0.5)
    whole = line_of(pairs)
    for by, of_slope in (((1.0, scale), scale), ((scale, 1.0), 1 / scale), ((1.0, -scale), -scale)):
        line = line_of(rescaled(pairs, *by))
        assert line.slope / of_slope == pytest.approx(whole.slope, rel=1e-7)
        assert errors_of(line)[0] / abs(of_slope) == pytest.approx(errors_of(whole)[0], rel=1e-7)
        assert line.fit == pytest.approx(whole.fit, rel=1e-7)


@settings(max_examples=40)
@given(some_pairs(), st.randoms())
def test_york_with_pairs_in_another_order(pairs: Pairs, random: Random) -> None:
    one, other = york(pairs), york(pairs.take(np.array(random.sample(range(pairs.n), pairs.n))))
    if one is not None and other is not None:
        assert other.slope == pytest.approx(one.slope, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", [11, 27, 72, 76])
def test_york_of_points_without_a_line(seed: int) -> None:
    """None, or the best: not one of a chi-square that is twice that of another line."""
    generator = np.random.default_rng(seed)
    x, rest = generator.normal(size=(2, 8))
    pairs = Pairs.of(x, rest + 0.4 * x, *generator.uniform(0.1, 1, (2, 8)))
    found = york(pairs)
    best = min(chi_square(pairs, math.tan(angle))[0] for angle in np.linspace(-1.57, 1.57, 1500))
    assert found is None or chi_square(pairs, found.slope)[0] <= 1.001 * best


def test_no_york_line() -> None:
    for n in range(3):
        assert york(A.take(np.arange(n))) is None
    assert york(A.take(np.arange(3))) is not None
    assert york(Pairs.of(np.ones(5), np.arange(5.0), 1, 1)) is None
    for error in (0.0, math.nan, math.inf):
        assert york(Pairs.of(X, Y_A, [error] + [0.5] * 11, 0.5)) is None
        assert york(Pairs.of(X, Y_A, 0.5, [error] + [0.5] * 11)) is None


# --- The correlation behind the noise: the likelihood ---


def one_cell(deviation_x: float, deviation_y: float, rho: float) -> Grid:
    one = np.array([rho])
    return Grid(np.array([deviation_x]), np.array([deviation_y]), one, 1 - one**2, (1, 1, 1))


def dense(pairs: Pairs, t: Floats) -> Floats:
    """Covariance of x_1, y_1, x_2, y_2, ..."""
    result = np.zeros((2 * pairs.n, 2 * pairs.n))
    for one in range(pairs.n):
        shared = pairs.shared[one]
        noise = [[pairs.error_x[one] ** 2, shared], [shared, pairs.error_y[one] ** 2]]
        result[2 * one : 2 * one + 2, 2 * one : 2 * one + 2] = t + np.array(noise)
    return result


def stacked(pairs: Pairs) -> Floats:
    return np.column_stack([pairs.x, pairs.y]).ravel()


def of_contrasts(pairs: Pairs, t: Floats) -> float:
    """Log density of what is left of the data when both means are projected out: the restricted likelihood's definition."""
    design = np.tile(np.eye(2), (pairs.n, 1))
    basis = np.linalg.svd(design)[0][:, 2:]
    covariance = basis.T @ dense(pairs, t) @ basis
    seen = basis.T @ stacked(pairs)
    return float(reference.multivariate_normal(np.zeros(len(seen)), covariance).logpdf(seen))


def matrix(deviation_x: float, deviation_y: float, rho: float) -> Floats:
    shared = rho * deviation_x * deviation_y
    return np.array([[deviation_x**2, shared], [shared, deviation_y**2]])


@settings(max_examples=40)
@given(some_pairs(3), st.lists(st.tuples(ERRORS, ERRORS, st.floats(-0.95, 0.95)), min_size=2, max_size=3))
def test_restricted_likelihood_is_that_of_contrasts(pairs: Pairs, cells: list[tuple[float, float, float]]) -> None:
    """Up to a constant, which is the same in all cells."""
    off = [
        float(sum_of(grid, pairs).log_likelihood()[0]) - of_contrasts(pairs, matrix(*cell))
        for grid, cell in ((one_cell(*cell), cell) for cell in cells)
    ]
    assert off == pytest.approx([off[0]] * len(off), abs=1e-7)


def objective(pairs: Pairs, deviation_x: float, deviation_y: float, rho: float) -> float:
    return -float(sum_of(one_cell(deviation_x, deviation_y, rho), pairs).log_likelihood()[0])


REML_B = (math.sqrt(2.6998), math.sqrt(1.44739), 0.96884 / math.sqrt(2.6998 * 1.44739))


def test_restricted_likelihood_of_the_reference_data() -> None:
    """Data B in units of its spreads: the smallest objective, where it is, and the line there."""
    of_x, of_y = float(X.std()), float(Y_B.std())
    scaled = rescaled(B, 1 / of_x, 1 / of_y)
    found = optimize.minimize(
        lambda at: objective(scaled, math.exp(at[0]), math.exp(at[1]), math.tanh(at[2])), [0.0, 0.0, 0.5], tol=1e-10
    )
    one, other, rho = math.exp(found.x[0]) * of_x, math.exp(found.x[1]) * of_y, math.tanh(found.x[2])
    assert found.fun == pytest.approx(13.275815, abs=1e-5)
    assert (one**2, rho * one * other, other**2) == pytest.approx((2.6998, 0.96884, 1.44739), abs=5e-4)
    assert (rho, rho * other / one) == pytest.approx((0.49011, 0.35886), abs=1e-4)
    centre = sum_of(one_cell(one, other, rho), B).centre
    assert (float(centre[0][0]), float(centre[1][0])) == pytest.approx((1.11237, 0.44133), abs=1e-4)


def test_restricted_likelihood_on_the_boundary() -> None:
    """Data A: the larger the correlation, the better; there the slope is .48723."""
    best = [
        optimize.minimize(
            lambda at, rho=rho: objective(A, math.exp(at[0]), math.exp(at[1]), rho), [0.5, -0.5], tol=1e-9
        )
        for rho in (0.9, 0.97, 0.999, 0.99999)
    ]
    assert all(later.fun < earlier.fun for earlier, later in itertools.pairwise(best))
    assert math.exp(best[-1].x[1] - best[-1].x[0]) == pytest.approx(0.48723, abs=1e-3)


def at_one(grid: Grid, pairs: Pairs) -> Posterior:
    """All weight on one cell."""
    return Posterior(grid, np.ones(1), sum_of(grid, pairs), pairs.n)


def test_forecast_of_the_reference_data() -> None:
    """x = 2.0 +- 0.5 with the best T: mean .7329, deviation 1.0626 and chance .7548, had mu no error."""
    mixture = at_one(one_cell(*REML_B), B).forecast(2.0, 0.5)
    assert mixture.mean == pytest.approx(0.7329, abs=2e-4)
    terms = sum_of(one_cell(*REML_B), B)
    inverse = np.linalg.inv([[terms.w11[0], terms.w12[0]], [terms.w12[0], terms.w22[0]]])
    b = 0.96884 / (2.6998 + 0.25)
    of_mu = float(np.array([-b, 1]) @ inverse @ np.array([-b, 1]))
    assert math.sqrt(mixture.deviation**2 - of_mu) == pytest.approx(1.0626, abs=2e-4)
    known = Mixture(mixture.weight, mixture.means, np.sqrt(mixture.deviations**2 - of_mu))
    assert known.above(0.0) == pytest.approx(0.7548, abs=2e-4)


@settings(max_examples=30)
@given(some_pairs(), ERRORS, ERRORS, st.floats(-0.9, 0.9))
def test_true_effects_are_the_dense_regression(pairs: Pairs, one: float, other: float, rho: float) -> None:
    """E theta and its variance given the data and mu: covariance times inverse times deviation, all pairs at once."""
    t, grid = matrix(one, other, rho), one_cell(one, other, rho)
    found = at_one(grid, pairs).effects(pairs)
    covariance = dense(pairs, t)
    design = np.tile(np.eye(2), (pairs.n, 1))
    inverse = np.linalg.inv(covariance)
    mu = np.linalg.solve(design.T @ inverse @ design, design.T @ inverse @ stacked(pairs))
    gain = np.kron(np.eye(pairs.n), t) @ inverse
    means = design @ mu + gain @ (stacked(pairs) - design @ mu)
    variances = np.diag(np.kron(np.eye(pairs.n), t) - gain @ np.kron(np.eye(pairs.n), t))
    assert found[0] == pytest.approx(means[0::2], abs=1e-7)
    assert found[1] == pytest.approx(means[1::2], abs=1e-7)
    assert found[2] ** 2 == pytest.approx(variances[0::2], abs=1e-7)
    assert found[3] ** 2 == pytest.approx(variances[1::2], abs=1e-7)


@settings(max_examples=30)
@given(some_pairs(), ERRORS, ERRORS, st.floats(-0.9, 0.9), FINITE, ERRORS, ERRORS)
def test_forecast_is_kriging(
    pairs: Pairs, one: float, other: float, rho: float, x: float, error_x: float, error_y: float
) -> None:
    """With the same noise everywhere: the best linear unbiased prediction of theta_y from all x, all y and the new x."""
    n, t = pairs.n, matrix(one, other, rho)
    pairs = Pairs.of(pairs.x, pairs.y, error_x, error_y)
    found = at_one(one_cell(one, other, rho), pairs).forecast(x, error_x)
    covariance = np.zeros((2 * n + 1, 2 * n + 1))
    covariance[:-1, :-1], covariance[-1, -1] = dense(pairs, t), one**2 + error_x**2
    design = np.vstack([np.tile(np.eye(2), (n, 1)), [[1, 0]]])
    with_target = np.zeros(2 * n + 1)
    with_target[-1] = t[0, 1]
    system = np.block([[covariance, design], [design.T, np.zeros((2, 2))]])
    solved = np.linalg.solve(system, np.concatenate([with_target, [0, 1]]))
    seen = np.concatenate([stacked(pairs), [x]])
    variance = t[1, 1] - float(solved @ np.concatenate([with_target, [0, 1]]))
    assert found.mean == pytest.approx(float(solved[:-2] @ seen), abs=1e-7)
    assert found.deviation**2 == pytest.approx(variance, abs=1e-7)


# --- The correlation behind the noise: the posterior ---


def posterior(pairs: Pairs, cells: tuple[int, int] = SMALL) -> Posterior:
    found = posterior_of(pairs, cells)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def fine() -> tuple[Posterior, Posterior]:
    """Of data A and data B, on the grid that is used for them."""
    return posterior(A, denoised.FINE), posterior(B, denoised.FINE)


def test_posterior_of_the_reference_data(fine: tuple[Posterior, Posterior]) -> None:
    of_a, of_b = (one.correlation(0.90) for one in fine)
    assert (of_a.median, of_a.low, of_a.high) == pytest.approx((0.734, 0.261, 0.945), abs=0.02)
    assert of_a.positive == pytest.approx(0.991, abs=0.005)
    assert (of_b.median, of_b.low, of_b.high) == pytest.approx((0.336, -0.149, 0.697), abs=0.02)
    assert of_b.positive == pytest.approx(0.879, abs=0.01)
    slope = fine[0].slope(0.90)
    assert (slope.median, slope.low, slope.high) == pytest.approx((0.324, 0.090, 0.598), abs=0.02)
    assert slope.positive == pytest.approx(of_a.positive, abs=1e-9)


@pytest.mark.parametrize("which", [0, 1])
def test_coarse_cells_say_the_same(fine: tuple[Posterior, Posterior], which: int) -> None:
    one, other = fine[which], posterior((A, B)[which], COARSE)
    exact, rough = one.correlation(0.9), other.correlation(0.9)
    assert (rough.low, rough.median, rough.high) == pytest.approx((exact.low, exact.median, exact.high), abs=0.02)
    assert other.allowed(0.95) == pytest.approx(one.allowed(0.95), abs=0.02)
    assert other.forecast(2, 0.5).interval(0.8) == pytest.approx(one.forecast(2, 0.5).interval(0.8), abs=0.03)


def brute_weights(pairs: Pairs, cells: tuple[int, int]) -> Floats:
    """Prior times likelihood, cell by cell, with nothing left out but a constant."""
    deviations, correlations = cells
    found = []
    for i, j, k in itertools.product(range(deviations), range(deviations), range(correlations)):
        one, other = (4 * (at + 0.5) / deviations for at in (i, j))
        rho = math.tanh(7 * ((k + 0.5) / correlations - 0.5))
        t = matrix(one * pairs.x.std(), other * pairs.y.std(), rho)
        log_prior = reference.halfnorm.logpdf(one) + reference.halfnorm.logpdf(other) + math.log(1 - rho**2)
        found.append(log_prior + math.log(1 - rho**2) + of_contrasts(pairs, t))
    weight = np.exp(np.array(found) - max(found))
    result: Floats = weight / weight.sum()
    return result


@pytest.mark.parametrize("shared", [0.0, 0.1])
def test_posterior_is_prior_times_likelihood(shared: float) -> None:
    cells = (4, 7)
    pairs = replace(B.take(np.arange(7)), shared=np.full(7, shared))
    found = posterior(pairs, cells)
    weight = brute_weights(pairs, cells)
    assert found.weight == pytest.approx(weight, abs=1e-10)
    assert found.n == 7
    positive = weight[found.grid.rho > 0].sum() + weight[found.grid.rho == 0].sum() / 2
    assert found.correlation(0.9).positive == pytest.approx(positive, abs=1e-9)
    every = found.forecast(1.0, 0.4)
    by_cell = [
        at_one(one_cell(*cell), pairs).forecast(1.0, 0.4)
        for cell in zip(found.grid.deviation_x, found.grid.deviation_y, found.grid.rho, strict=True)
    ]
    mean = sum(w * one.mean for w, one in zip(weight, by_cell, strict=True))
    above = sum(w * one.above(0.3) for w, one in zip(weight, by_cell, strict=True))
    assert (every.mean, every.above(0.3)) == pytest.approx((mean, above), abs=1e-3)  # light cells are left out


def test_noise_without_end_leaves_the_prior() -> None:
    found = posterior(Pairs.of(X, Y_A, 1e6, 1e6), COARSE)
    of_prior = 2 * reference.beta(2, 2).ppf([0.05, 0.5, 0.95]) - 1  # LKJ(2) of two: (rho + 1) / 2 ~ Beta(2, 2)
    told = found.correlation(0.9)
    assert (told.low, told.median, told.high) == pytest.approx(tuple(of_prior), abs=0.01)
    assert told.positive == pytest.approx(0.5, abs=1e-6)
    assert found.allowed(0.95) == (-1.0, 1.0)
    slope = found.slope(0.9)
    assert slope.low == pytest.approx(-slope.high, rel=1e-3)


@pytest.mark.parametrize(("rho", "n"), [(0.0, 40), (0.6, 40), (-0.8, 60)])
def test_without_noise_it_is_fishers_interval(rho: float, n: int) -> None:
    x, y = correlated(rho, n)
    bounds = interval_of(rho, n, 0.95)
    assert posterior(Pairs.of(x, y, 0.0, 0.0), COARSE).allowed(0.95) == pytest.approx(bounds, abs=0.03)


def test_allowed_is_where_the_likelihood_crosses(fine: tuple[Posterior, Posterior]) -> None:
    found = fine[1]
    z, likelihood = found.likelihood_of_z()
    assert likelihood.max() == 1.0
    for confidence in (0.5, 0.8, 0.9):
        t = reference.t.ppf(0.5 + confidence / 2, 10)
        cut = -0.5 * 11 * math.log1p(t * t / 10)
        low, high = found.allowed(confidence)
        assert -1 < low < math.tanh(z[likelihood.argmax()]) < high < 1
        crossed = np.interp(np.arctanh([low, high]), z, np.log(likelihood))
        assert crossed == pytest.approx([cut, cut], abs=1e-6)


def test_allowed_reaches_one_where_one_is_not_ruled_out(fine: tuple[Posterior, Posterior]) -> None:
    low, high = fine[0].allowed(0.95)
    assert 0.2 < low < 0.8
    assert high == 1.0
    assert fine[0].likelihood_of_z()[1][-1] > 0.1


def test_allowed_holds_no_prior_of_rho() -> None:
    """Of each rho, the likelihood summed over the deviations with their priors."""
    pairs, cells = B.take(np.arange(7)), (4, 7)
    weight = brute_weights(pairs, cells).reshape(4, 4, 7).sum(axis=(0, 1))
    z = 7 * ((np.arange(7) + 0.5) / 7 - 0.5)
    plain = weight / (1 - np.tanh(z) ** 2) ** 2
    of_z, likelihood = posterior(pairs, cells).likelihood_of_z()
    assert of_z == pytest.approx(z, abs=1e-9)
    assert likelihood == pytest.approx(plain / plain.max(), abs=1e-9)


def test_surer_intervals_are_wider(fine: tuple[Posterior, Posterior]) -> None:
    levels = (0.3, 0.5, 0.8, 0.9, 0.95, 0.99)
    for found in fine:
        for bounds in (
            [found.allowed(level) for level in levels],
            [(found.correlation(level).low, found.correlation(level).high) for level in levels],
            [(found.slope(level).low, found.slope(level).high) for level in levels],
        ):
            for inner, outer in itertools.pairwise(bounds):
                assert outer[0] <= inner[0] < inner[1] <= outer[1]
                assert outer != inner


def test_quantiles_have_their_weight(fine: tuple[Posterior, Posterior]) -> None:
    for found in fine:
        told = [
            (found.grid.rho, found.correlation(0.8), 0.04),
            (found.grid.rho * found.grid.deviation_y / found.grid.deviation_x, found.slope(0.8), 0.04),
            (
                reliable(found.grid.deviation_x, ERROR_X),
                found.reliability_x(A, 0.8),
                0.09,
            ),  # half a cell of a deviation
            (reliable(found.grid.deviation_y, ERROR_Y), found.reliability_y(A, 0.8), 0.09),
        ]
        for values, summary, slack in told:
            for end, share in ((summary.low, 0.1), (summary.median, 0.5), (summary.high, 0.9)):
                cell = 1e-9 * abs(end)
                below, up_to = found.weight[values < end - cell].sum(), found.weight[values <= end + cell].sum()
                assert below - slack <= share <= up_to + slack


def reliable(deviation: Floats, error: Floats) -> Floats:
    result: Floats = deviation**2 / (deviation**2 + np.mean(error**2))
    return result


def test_reliability_without_and_with_noise() -> None:
    exact, noisy = Pairs.of(X, Y_A, 0.0, 0.0), Pairs.of(X, Y_A, 0.0, 50.0)
    found = posterior(exact, COARSE)
    assert found.reliability_x(exact, 0.9).low == 1.0
    assert found.reliability_y(exact, 0.9).low == 1.0
    assert posterior(noisy, COARSE).reliability_y(noisy, 0.9).high < 0.01
    assert posterior(noisy, COARSE).reliability_x(noisy, 0.9).low == 1.0


# --- The posterior: what must not matter, and limits ---


@settings(max_examples=25)
@given(some_pairs(), st.randoms(), st.sampled_from(SCALES), st.sampled_from(SCALES))
def test_order_and_units_do_not_matter(pairs: Pairs, random: Random, of_x: float, of_y: float) -> None:
    one = posterior(pairs)
    other = posterior(rescaled(pairs.take(np.array(random.sample(range(pairs.n), pairs.n))), of_x, of_y))
    assert other.weight == pytest.approx(one.weight, abs=1e-7)
    assert other.allowed(0.9) == pytest.approx(one.allowed(0.9), abs=1e-6)
    assert other.slope(0.9).median * of_x / of_y == pytest.approx(one.slope(0.9).median, rel=0.02, abs=0.01)
    forecast, expected = other.forecast(1.2 * of_x, 0.4 * of_x), one.forecast(1.2, 0.4)
    assert forecast.mean / of_y == pytest.approx(expected.mean, abs=1e-3)
    assert forecast.deviation / of_y == pytest.approx(expected.deviation, rel=1e-3)


@settings(max_examples=25)
@given(some_pairs())
def test_signs_and_axes_turned(pairs: Pairs) -> None:
    one, flipped = posterior(pairs).correlation(0.9), posterior(rescaled(pairs, 1, -1)).correlation(0.9)
    assert (flipped.low, flipped.median, flipped.high) == pytest.approx((-one.high, -one.median, -one.low), abs=1e-7)
    assert flipped.positive == pytest.approx(1 - one.positive, abs=1e-9)
    low, high = posterior(pairs).allowed(0.8)
    assert posterior(rescaled(pairs, 1, -1)).allowed(0.8) == pytest.approx((-high, -low), abs=1e-7)
    assert posterior(rescaled(pairs, -1, -1)).allowed(0.8) == pytest.approx((low, high), abs=1e-7)
    swapped = posterior(Pairs(pairs.y, pairs.x, pairs.error_y, pairs.error_x, pairs.shared))
    assert swapped.correlation(0.9).median == pytest.approx(one.median, abs=1e-7)


@pytest.mark.parametrize("shift", [1.0, 1e3, 1e6, 1e8])
def test_levels_far_from_zero(shift: float) -> None:
    """A constant added to all x and all y moves a forecast by as much, and nothing else."""
    one, moved = posterior(A, COARSE), posterior(Pairs.of(X + shift, Y_A - shift, ERROR_X, ERROR_Y), COARSE)
    before, after = one.correlation(0.9), moved.correlation(0.9)
    assert (after.low, after.median, after.high) == pytest.approx((before.low, before.median, before.high), abs=1e-3)
    assert moved.forecast(2 + shift, 0.5).mean + shift == pytest.approx(one.forecast(2, 0.5).mean, abs=1e-3)
    assert moved.forecast(2 + shift, 0.5).deviation == pytest.approx(one.forecast(2, 0.5).deviation, abs=1e-3)


def test_no_posterior() -> None:
    for n in range(3):
        few = A.take(np.arange(n))
        assert posterior_of(few) is None
        assert Spreads.of(few) is None
        assert list(leaving_one_out(few)) == []
        assert list(forward(few, 0)) == []
    same, constant_y = Pairs.of(np.ones(8), np.ones(8), 0.1, 0.1), Pairs.of(X, np.full(12, 0.1), 0.1, 0.1)
    unknown_x = replace(A, error_x=np.where(np.arange(12) == 3, math.nan, ERROR_X))
    unknown_y = replace(A, error_y=np.where(np.arange(12) == 3, math.nan, ERROR_Y))
    for pairs in (same, constant_y, unknown_x, unknown_y):
        assert posterior_of(pairs) is None
        assert list(leaving_one_out(pairs)) == []
        assert list(forward(pairs, 3)) == []


@pytest.mark.parametrize("n", [3, 4])
@pytest.mark.parametrize("error", [0.0, 0.3])
def test_few_pairs_say_little(n: int, error: float) -> None:
    found = posterior(Pairs.of([0.0, 1.0, 2.0, 1.5][:n], [0.1, 0.2, 0.8, 0.3][:n], error, error), COARSE)
    assert found.weight.sum() == pytest.approx(1.0)
    told = found.correlation(0.9)
    assert -1 < told.low < 0 < told.median < told.high < 1
    low, high = found.allowed(0.95)
    assert -1 <= low < told.median < high <= 1


def test_perfect_line_without_noise() -> None:
    found = posterior(Pairs.of(np.arange(8.0), 2 * np.arange(8.0), 0.0, 0.0), COARSE)
    assert found.correlation(0.9).median > 0.98
    low, high = found.allowed(0.95)
    assert 0.9 < low < high == 1.0
    assert found.slope(0.9).median == pytest.approx(2.0, rel=0.05)
    assert found.forecast(4.0, 0.0).mean == pytest.approx(8.0, rel=0.05)


def test_more_noise_is_less_sure() -> None:
    """Of the same true effects."""
    widths = []
    for noise in (0.0, 0.5, 1.0):
        found = [posterior(simulated(seed, 20, 0.6, noise), (16, 41)).allowed(0.9) for seed in range(12)]
        widths.append(np.mean([high - low for low, high in found]))
    assert widths[0] + 0.1 < widths[1] < widths[2] - 0.1


# --- Each pair without itself ---


@settings(max_examples=15)
@given(some_pairs(5, 8))
def test_leaving_one_out_is_starting_over(pairs: Pairs) -> None:
    spreads = Spreads.of(pairs)
    assert spreads is not None
    grid = Grid.over(*spreads, SMALL)
    seen = []
    for one, found in leaving_one_out(pairs, SMALL):
        rest = pairs.without(one)
        others = Spreads.of(rest)
        assert others is not None
        expected = Posterior.given(grid, sum_of(grid, rest), others, pairs.n - 1)
        assert found.n == expected.n == pairs.n - 1
        assert found.weight == pytest.approx(expected.weight, abs=1e-8)
        centre = found.terms.centre[1] + found.origin[1]
        assert centre == pytest.approx(expected.terms.centre[1] + expected.origin[1], rel=1e-5, abs=1e-5)
        seen.append(one)
    assert seen == [one for one in range(pairs.n) if Spreads.of(pairs.without(one)) is not None]


@settings(max_examples=15)
@given(some_pairs(5, 8), st.integers(0, 6))
def test_forward_is_starting_over(pairs: Pairs, fewest: int) -> None:
    spreads = Spreads.of(pairs)
    assert spreads is not None
    grid = Grid.over(*spreads, SMALL)
    seen = []
    for one, found in forward(pairs, fewest, SMALL):
        before = pairs.take(np.arange(one))
        earlier = Spreads.of(before)
        assert earlier is not None
        expected = Posterior.given(grid, sum_of(grid, before), earlier, one)
        assert found.n == one
        assert found.weight == pytest.approx(expected.weight, abs=1e-9)
        seen.append(one)
    assert seen == [at for at in range(max(fewest, 3), pairs.n) if Spreads.of(pairs.take(np.arange(at))) is not None]


def test_a_forecast_does_not_know_its_result() -> None:
    changed = replace(A, y=np.where(np.arange(12) == 7, Y_A + 1.5, Y_A))
    one, other = (dict(leaving_one_out(pairs, COARSE))[7].forecast(2.8, 0.6) for pairs in (A, changed))
    assert other.mean == pytest.approx(one.mean, abs=0.01)
    assert other.interval(0.8) == pytest.approx(one.interval(0.8), abs=0.02)


@pytest.mark.parametrize("far", [5.0, 10.0, 15.0])
def test_a_far_pair_that_is_left_out_leaves_the_others_as_they_are(far: float) -> None:
    """The grid spans all pairs; the posterior of the others hangs on that but little."""
    pairs = Pairs.of(np.append(X, far), np.append(Y_A, -far), np.append(ERROR_X, 0.5), np.append(ERROR_Y, 0.5))
    found, own = dict(leaving_one_out(pairs, COARSE))[12], posterior(A, COARSE)
    assert found.correlation(0.9).median == pytest.approx(own.correlation(0.9).median, abs=0.05)
    assert found.forecast(1.0, 0.5).mean == pytest.approx(own.forecast(1.0, 0.5).mean, abs=0.05)
    assert found.forecast(1.0, 0.5).deviation == pytest.approx(own.forecast(1.0, 0.5).deviation, rel=0.1)


# --- Mixtures ---


@st.composite
def mixtures(draw: st.DrawFn) -> Mixture:
    rows = draw(st.lists(st.tuples(st.floats(0.05, 1), st.floats(-5, 5), st.floats(0.01, 4)), min_size=1, max_size=5))
    weight, means, deviations = (np.array(column) for column in zip(*rows, strict=True))
    return Mixture(weight / weight.sum(), means, deviations)


@given(mixtures(), st.floats(0.001, 0.999))
def test_mixture_against_scipy(mixture: Mixture, probability: float) -> None:
    def below(value: float) -> float:
        return float(mixture.weight @ reference.norm.cdf(value, mixture.means, mixture.deviations))

    value = mixture.quantile(probability)
    expected = optimize.brentq(lambda at: below(at) - probability, -60, 60, xtol=1e-12)
    assert below(value) == pytest.approx(probability, abs=1e-5)
    assert below(value + 1e-6 * mixture.deviation) >= probability - 1e-12
    assert below(value - 1e-6 * mixture.deviation) <= probability + 1e-12
    if 0.01 < probability < 0.99 and len(mixture.weight) == 1:
        assert value == pytest.approx(expected, abs=1e-6 * mixture.deviation)
    assert mixture.below(0.7) == pytest.approx(below(0.7), abs=1e-12)
    assert mixture.above(0.7) == pytest.approx(1 - below(0.7), abs=1e-12)


@settings(max_examples=20)
@given(mixtures(), st.floats(0, 3))
def test_moments_of_a_mixture(mixture: Mixture, error: float) -> None:
    seen = mixture.with_error(error)
    spread = np.sqrt(mixture.deviations**2 + error**2)

    def moment(power: int, about: float) -> float:
        def at(value: float) -> float:
            return math.pow(value - about, power) * float(
                mixture.weight @ reference.norm.pdf(value, mixture.means, spread)
            )

        points = sorted(
            {float(m + k * s) for m, s in zip(mixture.means, spread, strict=True) for k in (-9, -3, 0, 3, 9)}
        )
        return float(sum(integrate.quad(at, low, high)[0] for low, high in itertools.pairwise(points)))

    assert seen.mean == pytest.approx(moment(1, 0.0), abs=1e-6)
    assert seen.deviation**2 == pytest.approx(moment(2, seen.mean), rel=1e-5)


@given(mixtures(), st.floats(0.1, 0.99))
def test_interval_of_a_mixture(mixture: Mixture, credible: float) -> None:
    low, high = mixture.interval(credible)
    assert mixture.below(low) == pytest.approx(0.5 - credible / 2, abs=1e-5)
    assert mixture.above(high) == pytest.approx(0.5 - credible / 2, abs=1e-5)


def test_mixture_without_spread() -> None:
    one = Mixture(np.ones(1), np.array([2.0]), np.zeros(1))
    assert (one.quantile(0.1), one.below(1.9), one.below(2.1)) == (2.0, 0.0, 1.0)
    two = Mixture(np.array([0.3, 0.7]), np.array([0.0, 1.0]), np.zeros(2))
    assert (two.quantile(0.2), two.quantile(0.6)) == pytest.approx((0.0, 1.0), abs=1e-6)
    assert two.below(0.5) == pytest.approx(0.3)


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1e-9), (1e9, 1e9), (1e6, 1.0), (1e3, 1e-6), (1e9, 1e-3)])
def test_quantiles_are_found(monkeypatch: pytest.MonkeyPatch, mean: float, deviation: float) -> None:
    """Bisection ends, also where numbers lie farther from each other than a ten-millionth of the deviation."""
    plain, calls = Mixture.below, itertools.count()

    def counted(self: Mixture, value: float) -> float:
        assert next(calls) < 500, "no end of it"
        return plain(self, value)

    monkeypatch.setattr(Mixture, "below", counted)
    found = Mixture(np.ones(1), np.array([mean]), np.array([deviation])).quantile(0.8)
    assert found == pytest.approx(mean + 0.8416212 * deviation, abs=1e-5 * deviation + 4 * math.ulp(mean))


# --- Periods ---


def test_trend_of_the_reference() -> None:
    found = trend([0.1, 0.5, 0.8], [8, 8, 8])
    assert found is not None
    assert (found.z, found.p) == pytest.approx((1.578, 0.114), abs=5e-4)


CORRELATION = st.floats(-0.99, 0.99)


@given(CORRELATION, CORRELATION, st.integers(4, 60), st.integers(4, 60))
def test_difference_of_two_periods(one: float, other: float, n: int, m: int) -> None:
    found, back = trend((one, other), (n, m)), trend((other, one), (m, n))
    z = (math.atanh(other) - math.atanh(one)) / math.sqrt(1 / (n - 3) + 1 / (m - 3))
    assert found is not None
    assert back is not None
    assert (found.z, found.p) == pytest.approx((z, 2 * reference.norm.sf(abs(z))), abs=1e-9)
    assert (back.z, back.p) == pytest.approx((-found.z, found.p), abs=1e-12)


@given(st.lists(st.tuples(CORRELATION, st.integers(4, 60)), min_size=2, max_size=6))
def test_trend_is_weighted_by_place(rows: list[tuple[float, int]]) -> None:
    r, n = [row[0] for row in rows], [row[1] for row in rows]
    found = trend(r, n)
    places = [at - (len(r) - 1) / 2 for at in range(len(r))]
    top = sum(place * math.atanh(one) for place, one in zip(places, r, strict=True))
    z = top / math.sqrt(sum(place**2 / (size - 3) for place, size in zip(places, n, strict=True)))
    assert found is not None
    assert found.z == pytest.approx(z, abs=1e-9)


@pytest.mark.parametrize(
    ("r", "n"), [([], []), ([0.3], [10]), ([0.3, 0.4], [10, 3]), ([0.3, 1.0], [10, 10]), ([-1.0, 0.2], [9, 9])]
)
def test_no_trend(r: list[float], n: list[int]) -> None:
    assert trend(r, n) is None


def normal_likelihoods(z: Floats, rows: Sequence[tuple[float, float]]) -> list[Floats]:
    return [np.exp(-0.5 * ((z - at) / spread) ** 2) for at, spread in rows]


def pooled_exactly(rows: Sequence[tuple[float, float]]) -> tuple[list[float], float]:
    """Normal likelihoods with a normal distribution between: normal given m and s, which are summed over finely."""
    m, s = np.meshgrid(np.linspace(-2.5, 2.5, 401), (np.arange(400) + 0.5) / 400 * 1.5, indexing="ij")
    weight = np.cosh(m) ** -4 * np.exp(-0.5 * (s / 0.5) ** 2)
    for at, spread in rows:
        weight = weight * np.exp(-0.5 * (at - m) ** 2 / (s**2 + spread**2)) / np.sqrt(s**2 + spread**2)
    weight = (weight / weight.sum()).ravel()
    parts = []
    for at, spread in rows:
        precision = 1 / s**2 + 1 / spread**2
        parts.append((((m / s**2 + at / spread**2) / precision).ravel(), (precision**-0.5).ravel()))
    medians = [
        math.tanh(optimize.brentq(lambda v, p=p: float(weight @ reference.norm.cdf(v, *p)) - 0.5, -4, 4)) for p in parts
    ]
    (first, last), (low, high) = (parts[0][0], parts[-1][0]), (parts[0][1], parts[-1][1])
    return medians, float(weight @ reference.norm.cdf((last - first) / np.sqrt(low**2 + high**2)))


@pytest.mark.parametrize(
    "rows", [((0.2, 0.3), (0.8, 0.3)), ((0.5, 0.2), (0.4, 0.5), (1.2, 0.4)), ((-0.5, 0.4), (1.5, 0.25))]
)
def test_pooling_is_the_hierarchical_model(rows: Sequence[tuple[float, float]]) -> None:
    z = np.linspace(-3.5, 3.5, 161)
    found = partially_pooled(z, normal_likelihoods(z, rows), 0.9)
    assert found is not None
    medians, rises = pooled_exactly(rows)
    assert found.medians == pytest.approx(medians, abs=0.01)
    assert found.rises == pytest.approx(rises, abs=0.01)
    for (low, high), median in zip(found.bounds, found.medians, strict=True):
        assert low < median < high


def test_pooling_draws_periods_together() -> None:
    z = np.linspace(-3.5, 3.5, 161)
    one = partially_pooled(z, normal_likelihoods(z, [(0.1, 0.3), (1.1, 0.3)]), 0.9)
    back = partially_pooled(z, normal_likelihoods(z, [(1.1, 0.3), (0.1, 0.3)]), 0.9)
    same = partially_pooled(z, normal_likelihoods(z, [(0.5, 0.3), (0.5, 0.3)]), 0.9)
    empty = partially_pooled(z, [np.ones(161)] * 2, 0.9)
    assert one is not None
    assert back is not None
    assert same is not None
    assert empty is not None
    assert math.tanh(0.1) < one.medians[0] < one.medians[1] < math.tanh(1.1)
    assert back.medians == pytest.approx(one.medians[::-1], abs=1e-9)
    assert back.rises == pytest.approx(1 - one.rises, abs=1e-9)
    assert (same.rises, empty.rises) == pytest.approx((0.5, 0.5), abs=1e-9)
    assert same.medians[0] == pytest.approx(same.medians[1], abs=1e-12)
    assert empty.medians == pytest.approx((0.0, 0.0), abs=1e-9)


def test_nothing_to_pool() -> None:
    z = np.linspace(-3, 3, 61)
    assert partially_pooled(z, [], 0.9) is None
    assert partially_pooled(z, [np.ones(61)], 0.9) is None


@pytest.mark.parametrize("spread", [0.2, 0.1, 0.05])
def test_pooling_of_sharp_periods(spread: float) -> None:
    """Many pairs with little noise: what each period says by itself, near enough."""
    z = np.linspace(-3.5, 3.5, 121)
    found = partially_pooled(z, normal_likelihoods(z, [(1.5, spread), (2.0, spread)]), 0.9)
    assert found is not None
    assert found.medians == pytest.approx((math.tanh(1.5), math.tanh(2.0)), abs=0.03)
    assert 0.9 < found.rises <= 1.0


# --- Restriction ---


def test_restriction_of_the_reference() -> None:
    assert unrestricted(0.4545, 1.9269, 1.0) == pytest.approx(0.7011, abs=5e-5)


@given(CORRELATION, st.floats(0.2, 5), st.floats(0.2, 5))
def test_restriction_and_back(r: float, one: float, other: float) -> None:
    found = unrestricted(r, one, other)
    assert -1 <= found <= 1
    assert unrestricted(found, other, one) == pytest.approx(r, abs=1e-9)
    assert unrestricted(-r, one, other) == pytest.approx(-found, abs=1e-12)
    assert unrestricted(r, one, one) == pytest.approx(r, abs=1e-12)
    assert unrestricted(math.copysign(1.0, r), one, other) == pytest.approx(math.copysign(1.0, r))


def test_restriction_of_a_selection() -> None:
    """All have .7; of those with x above half a deviation, .4545."""
    x, y = np.random.default_rng(1).multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], 200_000).T
    kept = x > 0.5
    r = pearson(x[kept], y[kept], 0.95).value or 0.0
    assert (r, 1 / x[kept].std()) == pytest.approx((0.4545, 1.9269), abs=0.01)
    assert unrestricted(r, float(x.std()), float(x[kept].std())) == pytest.approx(0.7, abs=0.01)


# --- Calibration ---


@given(st.lists(st.tuples(FINITE, st.floats(0, 1), FINITE, FINITE), min_size=3, max_size=12))
def test_calibration_by_hand(rows: list[tuple[float, float, float, float]]) -> None:
    found = calibration([Forecasted(*row) for row in rows])
    assert found is not None
    n = len(rows)
    for level, share in zip(LEVELS, found.coverage, strict=True):
        inside = [0.5 - level / 2 - 1e-12 <= place <= 0.5 + level / 2 + 1e-12 for _, place, _, _ in rows]
        assert share == pytest.approx(sum(inside) / n, abs=1e-9)
    mean, observed = [row[0] for row in rows], [row[2] for row in rows]
    centre, middle = sum(mean) / n, sum(observed) / n
    spread = sum((one - centre) ** 2 for one in mean)
    if max(mean) == min(mean):
        assert (found.slope, found.intercept) == (None, None)
    elif spread > 1e-3:
        slope = sum((one - centre) * (other - middle) for one, other in zip(mean, observed, strict=True)) / spread
        assert (found.slope, found.intercept) == pytest.approx((slope, middle - slope * centre), rel=1e-6, abs=1e-6)
    missed = sum((row[2] - row[3]) ** 2 for row in rows)
    if missed > 0:
        assert found.skill == pytest.approx(1 - sum((row[2] - row[0]) ** 2 for row in rows) / missed, abs=1e-9)
    else:
        assert found.skill is None
    assert found.n == n


def test_calibration_of_the_ideal_and_of_the_idle() -> None:
    ideal = calibration([Forecasted(one, 0.5, one, 0.0) for one in (-1.0, 0.5, 2.0)])
    idle = calibration([Forecasted(0.2, 0.97, one, 0.2) for one in (-1.0, 0.5, 2.0)])
    assert ideal is not None
    assert idle is not None
    assert (ideal.slope, ideal.intercept, ideal.skill) == pytest.approx((1.0, 0.0, 1.0))
    assert ideal.coverage == (1.0, 1.0, 1.0)
    assert (idle.slope, idle.intercept, idle.skill, idle.coverage) == (None, None, 0.0, (0.0, 0.0, 0.0))
    for n in range(3):
        assert calibration([Forecasted(0, 0.5, 0, 0)] * n) is None


# --- Pairs ---


def test_pairs_taken_and_left_out() -> None:
    pairs = Pairs(X, Y_A, ERROR_X, ERROR_Y, np.arange(12.0))
    rest = pairs.without(3)
    assert rest.n == 11
    for name in ("x", "y", "error_x", "error_y", "shared"):
        assert getattr(rest, name).tolist() == np.delete(getattr(pairs, name), 3).tolist()
        assert getattr(pairs.take(X > 1), name).tolist() == getattr(pairs, name)[X > 1].tolist()
    assert pairs.errors_known
    assert not replace(pairs, error_y=np.where(X > 4, math.inf, ERROR_Y)).errors_known


def test_terms_with_and_without() -> None:
    grid = Grid.over(1.0, 2.0, SMALL)
    one, other = Terms.of_pair(grid, A, 0), Terms.of_pair(grid, A, 1)
    back = one.plus(other).plus(other, -1.0)
    assert back.square == pytest.approx(one.square, abs=1e-12)
    assert Terms.none(grid).plus(one).log_determinant == pytest.approx(one.log_determinant)
    assert (grid.deviation_x.max() < 4.0, grid.deviation_y.max() < 8.0, grid.rho.max() < 1.0) == (True, True, True)
    assert grid.deviation_x.min() > 0
    rho = grid.rho.reshape(grid.shape)[0, 0]
    assert rho == pytest.approx(-rho[::-1], abs=1e-12)
