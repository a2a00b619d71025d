"""Two arms of an online test: published examples, independent formulas, and resampling."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize
from scipy import stats as reference

from rankcast.stats.arms import RARE, Arm, ArmDifference, arm_difference, sample_ratio_p

SHARES = st.integers(1, 400).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
MEANS = st.builds(Arm, st.integers(2, 10_000), st.floats(0.1, 50), st.floats(0.01, 5))


def bounds_of(found: ArmDifference) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


# --- Shares ---


@pytest.mark.parametrize(
    ("treatment", "control", "expected"),
    [  # Newcombe (1998), table II, method 10
        ((70, 56), (80, 48), (0.0524, 0.3339)),
        ((10, 9), (10, 3), (0.1705, 0.8090)),
        ((7, 6), (7, 2), (0.0582, 0.8062)),
        ((56, 5), (29, 0), (-0.0381, 0.1926)),
        ((10, 0), (20, 0), (-0.1611, 0.2775)),
        ((10, 0), (10, 0), (-0.2775, 0.2775)),
        ((10, 10), (20, 0), (0.6791, 1.0)),
        ((10, 10), (10, 0), (0.6075, 1.0)),
    ],
)
def test_newcombes_examples(
    treatment: tuple[int, int], control: tuple[int, int], expected: tuple[float, float]
) -> None:
    found = arm_difference(Arm.of_share(*control), Arm.of_share(*treatment), 0.95)
    assert bounds_of(found) == pytest.approx(expected, abs=5.1e-5)


@given(SHARES, SHARES, st.floats(0.5, 0.99))
def test_interval_of_shares_is_wilsons_twice(one: tuple[int, int], other: tuple[int, int], confidence: float) -> None:
    def wilson(n: int, k: int) -> tuple[float, float]:
        found = reference.binomtest(k, n).proportion_ci(confidence, method="wilson")
        return float(found.low), float(found.high)

    p, q = one[1] / one[0], other[1] / other[0]
    (low_p, high_p), (low_q, high_q) = wilson(*one), wilson(*other)
    found = arm_difference(Arm.of_share(*other), Arm.of_share(*one), confidence)
    low = p - q - math.hypot(p - low_p, high_q - q)
    high = p - q + math.hypot(high_p - p, q - low_q)
    assert bounds_of(found) == pytest.approx((low, high), abs=1e-9)
    assert found.difference == pytest.approx(p - q, abs=1e-12)
    assert -1 - 1e-9 <= low <= found.difference <= high <= 1 + 1e-9


@given(SHARES, SHARES)
def test_p_of_shares(one: tuple[int, int], other: tuple[int, int]) -> None:
    """Fisher's where a cell is small: all tables with the same margins that are no more likely; else Pearson's chi-square."""
    (n, k), (m, j) = one, other
    found = arm_difference(Arm.of_share(m, j), Arm.of_share(n, k), 0.95)
    assert found.exact == (min(k, n - k, j, m - j) < RARE)
    if found.exact:
        total = math.comb(n + m, k + j)
        chances = {
            at: math.comb(n, at) * math.comb(m, k + j - at) / total
            for at in range(max(0, k + j - m), min(n, k + j) + 1)
        }
        expected = sum(chance for chance in chances.values() if chance <= chances[k] * (1 + 1e-7))
    else:
        expected = float(reference.chi2_contingency([[k, n - k], [j, m - j]], correction=False).pvalue)
    assert found.p == pytest.approx(min(1.0, expected), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    ("users", "successes", "exact"), [(100, 9, True), (100, 10, False), (100, 90, False), (100, 91, True)]
)
def test_where_the_exact_test_speaks(users: int, successes: int, exact: bool) -> None:
    other = Arm.of_share(1000, 500)
    assert arm_difference(Arm.of_share(users, successes), other, 0.95).exact is exact
    assert arm_difference(other, Arm.of_share(users, successes), 0.95).exact is exact


def test_interval_of_shares_covers() -> None:
    generator, draws = np.random.default_rng(1), 1_500
    for p, q, n, m in ((0.1, 0.13, 300, 300), (0.02, 0.02, 400, 200)):
        inside = []
        for _ in range(draws):
            control, treatment = int(generator.binomial(n, p)), int(generator.binomial(m, q))
            low, high = bounds_of(arm_difference(Arm.of_share(n, control), Arm.of_share(m, treatment), 0.9))
            inside.append(low <= q - p <= high)
        assert np.mean(inside) == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / draws) + 0.01)


@given(SHARES, SHARES)
def test_error_and_log_ratio_of_shares(one: tuple[int, int], other: tuple[int, int]) -> None:
    """Few successes: half of Newcombe's interval over z. None or all in an arm: (x + 1/2) / (n + 1) of both."""
    (n, k), (m, j) = one, other
    found = arm_difference(Arm.of_share(m, j), Arm.of_share(n, k), 0.9)
    low, high = bounds_of(found)
    plain = math.sqrt(k / n * (1 - k / n) / n + j / m * (1 - j / m) / m)
    assert found.error == pytest.approx((high - low) / 2 / reference.norm.ppf(0.95) if found.exact else plain)
    assert (found.error or 0.0) > 0
    half = 0.5 if k in (0, n) or j in (0, m) else 0.0
    x, y, a, b = k + half, j + half, n + 2 * half, m + 2 * half
    assert found.log_ratio == pytest.approx(math.log(x / a * b / y), abs=1e-9)
    assert found.error_log_ratio == pytest.approx(math.sqrt(max(0.0, 1 / x - 1 / a + 1 / y - 1 / b)), abs=1e-7)


@pytest.mark.parametrize(("treatment", "control"), [((50, 50), (50, 50)), ((1, 1), (2, 2)), ((20, 20), (20, 0))])
def test_a_log_ratio_is_never_known_without_error(treatment: tuple[int, int], control: tuple[int, int]) -> None:
    found = arm_difference(Arm.of_share(*control), Arm.of_share(*treatment), 0.95)
    assert (found.error_log_ratio or 0.0) > 0


# --- Means and ratios ---


@given(MEANS, MEANS, st.floats(0.5, 0.99))
def test_means_by_the_normal_distribution(control: Arm, treatment: Arm, confidence: float) -> None:
    assert control.error is not None
    assert treatment.error is not None
    found = arm_difference(control, treatment, confidence)
    error = math.hypot(control.error, treatment.error)
    apart = treatment.value - control.value
    assert (found.difference, found.error) == pytest.approx((apart, error), abs=1e-12)
    assert bounds_of(found) == pytest.approx(reference.norm.interval(confidence, apart, error), abs=1e-9)
    assert found.p == pytest.approx(2 * reference.norm.sf(abs(apart) / error), rel=1e-6, abs=1e-300)
    assert found.exact is False
    if max(control.error / control.value, treatment.error / treatment.value) > 0.5:  # one of them may be 0
        assert (found.log_ratio, found.error_log_ratio) == (None, None)
        return
    of_ratio = math.hypot(control.error / control.value, treatment.error / treatment.value)
    assert (found.log_ratio, found.error_log_ratio) == pytest.approx(
        (math.log(treatment.value / control.value), of_ratio), abs=1e-12
    )


@given(
    st.one_of(MEANS, SHARES.map(lambda one: Arm.of_share(*one))),
    st.one_of(MEANS, SHARES.map(lambda one: Arm.of_share(*one))),
)
def test_arms_changed_round(one: Arm, other: Arm) -> None:
    there, back = arm_difference(one, other, 0.95), arm_difference(other, one, 0.95)
    assert back.difference == -there.difference
    assert bounds_of(back) == pytest.approx((-(there.high or 0.0), -(there.low or 0.0)), abs=1e-12)
    assert back.p == pytest.approx(there.p, rel=1e-9)
    assert back.error_log_ratio == pytest.approx(there.error_log_ratio)
    if there.log_ratio is not None:
        assert back.log_ratio == pytest.approx(-there.log_ratio, abs=1e-12)


def test_mean_per_user() -> None:
    values = np.random.default_rng(2).gamma(2, 3, 80)
    arm = Arm.of_mean(80, float(values.mean()), float(values.std(ddof=1)))
    assert arm.error == pytest.approx(float(reference.sem(values)))
    assert Arm.of_mean(80, 3.0, None).error is None


@pytest.mark.parametrize("seed", [1, 2])
def test_ratio_of_sums_against_a_bootstrap(seed: int) -> None:
    generator = np.random.default_rng(seed)
    views = np.array(1.0 + generator.poisson(generator.gamma(2, 4, 600)), dtype=np.float64)
    clicks = np.array(generator.binomial(views.astype(np.int64), generator.beta(2, 8, 600)), dtype=np.float64)
    arm = Arm.of_users(clicks, views)
    rows = generator.integers(600, size=(3_000, 600))
    drawn = clicks[rows].sum(axis=1) / views[rows].sum(axis=1)
    assert arm.value == pytest.approx(clicks.sum() / views.sum())
    assert arm.error == pytest.approx(float(drawn.std()), rel=0.06)
    of_rows = math.sqrt(arm.value * (1 - arm.value) / views.sum())
    assert (arm.error or 0.0) > 1.2 * of_rows  # users differ: views are not independent


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1e4, 1e9])
def test_ratio_in_other_units(scale: float) -> None:
    a, b = np.array([1.0, 0, 2, 1, 4]), np.array([2.0, 1, 5, 4, 6])
    one, other = Arm.of_users(a, b), Arm.of_users(a * scale, b)
    assert (other.value / scale, (other.error or 0.0) / scale) == pytest.approx((one.value, one.error), rel=1e-9)


def test_ratio_of_a_mean_is_the_mean() -> None:
    values = np.array([1.0, 0, 2, 1, 4])
    arm = Arm.of_users(values, np.ones(5))
    assert (arm.value, arm.error) == pytest.approx((float(values.mean()), float(reference.sem(values))))


def test_log_ratio_against_simulated_tests() -> None:
    generator = np.random.default_rng(4)
    found = []
    for _ in range(1_000):
        control, treatment = generator.gamma(2, 3, 150), generator.gamma(2, 3.3, 200)
        one, other = (Arm.of_mean(len(arm), float(arm.mean()), float(arm.std(ddof=1))) for arm in (control, treatment))
        found.append(arm_difference(one, other, 0.95))
    said = np.mean([one.error_log_ratio or 0.0 for one in found])
    assert said == pytest.approx(float(np.std([one.log_ratio or 0.0 for one in found])), rel=0.1)
    assert np.mean([one.log_ratio or 0.0 for one in found]) == pytest.approx(math.log(1.1), abs=0.015)


# --- What is not known ---


def test_arms_without_errors() -> None:
    found = arm_difference(Arm(10, 2.0, None), Arm(10, 3.0, 0.1), 0.95)
    assert found == ArmDifference(1.0, None, None, None, found.log_ratio, None, None, False)
    assert found.log_ratio == pytest.approx(math.log(1.5))
    assert arm_difference(Arm(10, 0.0, None), Arm(10, 3.0, 0.1), 0.95).log_ratio is None
    assert Arm.of_users(np.array([1.0]), np.array([2.0])) == Arm(1, 0.5, None)


@pytest.mark.parametrize("values", [(0.0, 1.0), (1.0, 0.0), (-1.0, -2.0), (-1.0, 2.0)])
def test_no_ratio_of_what_is_not_above_zero(values: tuple[float, float]) -> None:
    found = arm_difference(Arm(10, values[0], 0.1), Arm(10, values[1], 0.1), 0.95)
    assert (found.log_ratio, found.error_log_ratio) == (None, None)
    assert found.difference == values[1] - values[0]


def test_arms_that_do_not_vary() -> None:
    found = arm_difference(Arm(10, 1.0, 0.0), Arm(10, 2.0, 0.0), 0.95)
    assert (found.p, bounds_of(found)) == (None, (1.0, 1.0))
    all_of_them = arm_difference(Arm.of_share(50, 50), Arm.of_share(50, 50), 0.95)
    assert all_of_them.exact
    assert all_of_them.p == pytest.approx(1.0)
    low, high = bounds_of(all_of_them)
    assert low < 0 < high


# --- Split ---


def test_split_of_the_reference() -> None:
    assert sample_ratio_p([821_588, 815_482], [0.5, 0.5]) == pytest.approx(1.82e-6, rel=5e-3)


@given(st.lists(st.tuples(st.integers(5, 10_000), st.floats(0.1, 5)), min_size=2, max_size=5))
def test_split_is_chi_square(rows: list[tuple[int, float]]) -> None:
    users, shares = [row[0] for row in rows], [row[1] for row in rows]
    expected = [share / sum(shares) * sum(users) for share in shares]
    square = sum((one - other) ** 2 / other for one, other in zip(users, expected, strict=True))
    assert sample_ratio_p(users, shares) == pytest.approx(
        reference.chi2.sf(square, len(rows) - 1), rel=1e-6, abs=1e-300
    )
    assert sample_ratio_p(users, [10 * one for one in shares]) == pytest.approx(sample_ratio_p(users, shares), rel=1e-6)


def test_two_arms_are_a_binomial_test() -> None:
    exact = reference.binomtest(5_100, 10_000, 0.5).pvalue
    assert sample_ratio_p([5_100, 4_900], [1, 1]) == pytest.approx(exact, rel=0.05)


def test_significant_where_the_interval_leaves_zero() -> None:
    """The least treatment mean whose p is below .05 is the least whose 95 % interval lies above 0."""
    control = Arm(100, 1.0, 0.1)

    def p(value: float) -> float:
        return (arm_difference(control, Arm(100, value, 0.2), 0.95).p or 0.0) - 0.05

    edge = float(optimize.brentq(p, 1.0, 3.0))
    assert bounds_of(arm_difference(control, Arm(100, edge, 0.2), 0.95))[0] == pytest.approx(0.0, abs=1e-9)
