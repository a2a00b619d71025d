"""Statistics against SciPy and statsmodels, where they answer the same question, and against the definition written out where
they do not.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import optimize
from scipy import stats as scipy_stats

from rankcast.comparison.table import MetricColumn, Part, Terms, ValuesTable
from rankcast.comparison.verdicts import compare
from rankcast.records import ComparisonRow, MetricRow
from rankcast.stats.adjust import benjamini_hochberg, holm
from rankcast.stats.ratio import fieller

linear = pytest.importorskip("statsmodels.regression.linear_model")
multitest = pytest.importorskip("statsmodels.stats.multitest")
weightstats = pytest.importorskip("statsmodels.stats.weightstats")
power = pytest.importorskip("statsmodels.stats.power")

USERS = 25


def terms(smallest_effect=None, method="clustered", replications=2000, correction="none") -> Terms:
    return Terms(0.95, smallest_effect, correction, 7, method=method, replications=replications)


def world(
    seed: int, users: int = USERS, one_each: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Values of two variants that go together within a user, whose they are, and another thing that requests share."""
    generator = np.random.default_rng(seed)
    size = np.ones(users, dtype=int) if one_each else generator.geometric(0.3, users)
    user = np.repeat(np.arange(users) * 3 + 5, size)[generator.permutation(size.sum())]
    own, of_other = generator.normal(0, 0.5, user.max() + 1), generator.normal(0, 0.5, 9)
    other = generator.integers(0, 9, len(user))
    a = 2.0 + own[user] + generator.normal(0, 0.7, len(user))
    b = a + 0.15 + 0.4 * own[::-1][user] + of_other[other] + generator.normal(0, 0.5, len(user))
    return a, b, user, other


def weights_of(kind: str, user: np.ndarray) -> np.ndarray:
    """Weights of the three kinds of average."""
    if kind == "user":
        return 1 / np.bincount(user)[user]
    return np.ones(len(user)) if kind == "request" else np.random.default_rng(2).uniform(0.2, 3.0, len(user))


def table(columns, user, weight=None, others=None) -> ValuesTable:
    """All targets; the baseline is `a`, every other variant is decided."""
    variants = tuple(columns[0].values)
    weight = np.ones(len(user)) if weight is None else weight
    everything = Part(None, np.ones(len(user), dtype=bool))
    decided = frozenset(variants) - {"a"}
    return ValuesTable("a", variants, decided, user, weight, (everything,), tuple(columns), others=others)


def judged(a, b, user, weight=None, said=None, others=None) -> tuple[MetricRow, ComparisonRow]:
    """The value of `b`, and its comparison with `a`."""
    found = compare(
        table([MetricColumn("m", "primary", True, {"a": a, "b": b})], user, weight, others), said or terms()
    )
    return next(row for row in found.metrics if row.variant == "b"), found.comparisons[0]


def regression(values, weight, groups):
    """statsmodels' regression on a constant: its sandwich has the factor G / (G - 1) * (N - 1) / (N - K), K = 1, and t with G - 1
    degrees of freedom, so nothing is left to convert.
    """
    model = linear.WLS(values, np.ones(len(values)), weights=weight)
    return model.fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": True}, use_t=True)


# --- Clustered means ---


@pytest.mark.parametrize("average", ["request", "user", "custom"])
def test_clustered_interval_and_p_are_those_of_a_regression_on_a_constant(average) -> None:
    a, b, user, _ = world(1)
    weight = weights_of(average, user)
    value, difference = judged(a, b, user, weight)
    for row, values in ((value, b), (difference, b - a)):
        expected = regression(values, weight, user)
        found = row.value if isinstance(row, MetricRow) else row.difference
        assert found == pytest.approx(expected.params[0], rel=1e-12)
        assert (row.low, row.high) == pytest.approx(tuple(expected.conf_int(0.05)[0]), rel=1e-9)
    assert difference.p == pytest.approx(expected.pvalues[0], rel=1e-9)


def test_one_request_a_user_is_the_paired_t_test() -> None:
    a, b, user, _ = world(2, one_each=True)
    _, row = judged(a, b, user)
    expected = scipy_stats.ttest_rel(b, a)
    assert row.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert (row.low, row.high) == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-9)


@pytest.mark.parametrize("average", ["request", "user"])
def test_two_ways_of_clustering_are_those_of_statsmodels(average) -> None:
    """Both add the one-way variances and take away that of the crossed groups, each with its own factor; t with min(G) - 1."""
    a, b, user, other = world(3)
    weight = weights_of(average, user)
    _, row = judged(a, b, user, weight, others=other)
    expected = regression(b - a, weight, np.column_stack([user, other]))
    assert row.p == pytest.approx(expected.pvalues[0], rel=1e-9)
    assert (row.low, row.high) == pytest.approx(tuple(expected.conf_int(0.05)[0]), rel=1e-9)


def test_two_ways_without_a_variance_take_the_larger_single_one() -> None:
    """Differences that cancel within users as well as within the other groups: V_user + V_other < V_both."""
    user, other = np.repeat(np.arange(6), 6), np.tile(np.arange(6), 6)
    signs = (-1.0) ** (user + other)
    b = 1.0 + signs + 0.01 * np.random.default_rng(4).normal(size=36)
    _, row = judged(np.ones(36), b, user, others=other)
    assert regression(b - 1.0, np.ones(36), np.column_stack([user, other])).cov_params()[0, 0] < 0
    single = [regression(b - 1.0, np.ones(36), groups).bse[0] for groups in (user, other)]
    half = scipy_stats.t.ppf(0.975, 5) * max(single)
    assert (row.high - row.low) / 2 == pytest.approx(half, rel=1e-6)


@pytest.mark.parametrize("average", ["request", "user", "custom"])
def test_robust_errors_are_bell_and_mccaffreys(average) -> None:
    """CR2 and Satterthwaite's degrees of freedom with all matrices written out, as R's clubSandwich has them."""
    a, b, user, _ = world(5, users=12)
    weight = weights_of(average, user)
    _, row = judged(a, b, user, weight, terms(method="robust"))
    x, y = np.sqrt(weight), np.sqrt(weight) * (b - a)
    bread = 1 / float(x @ x)
    leave = np.eye(len(x)) - bread * np.outer(x, x)
    mean = bread * float(x @ y)
    residual, variance, vectors = y - x * mean, 0.0, []
    for group in np.unique(user):
        own = user == group
        values, base = np.linalg.eigh(leave[np.ix_(own, own)])
        adjust = base @ np.diag(values**-0.5) @ base.T
        pulled = bread * adjust @ x[own]
        variance += float(pulled @ residual[own]) ** 2
        vectors.append(leave[:, own] @ pulled)
    gram = np.array(vectors) @ np.array(vectors).T
    freedom = np.trace(gram) ** 2 / np.trace(gram @ gram)
    half = scipy_stats.t.ppf(0.975, freedom) * math.sqrt(variance)
    assert row.degrees_of_freedom == pytest.approx(freedom, rel=1e-9)
    assert (row.low, row.high) == pytest.approx((mean - half, mean + half), rel=1e-9)
    assert row.p == pytest.approx(2 * scipy_stats.t.sf(abs(mean) / math.sqrt(variance), freedom), rel=1e-9)


def test_equal_users_make_robust_and_clustered_the_same() -> None:
    a, b, user, _ = world(6, one_each=True)
    _, clustered = judged(a, b, user)
    _, robust = judged(a, b, user, said=terms(method="robust"))
    assert robust.degrees_of_freedom == pytest.approx(USERS - 1)
    assert (robust.low, robust.high, robust.p) == pytest.approx((clustered.low, clustered.high, clustered.p), rel=1e-9)


# --- Relative differences ---


@pytest.mark.parametrize("average", ["request", "user"])
def test_relative_bounds_are_where_a_regression_has_p_of_5_percent(average) -> None:
    """Fieller's bounds r: the clustered mean of d - r * baseline is just significantly different from 0."""
    a, b, user, _ = world(7)
    weight = weights_of(average, user)
    _, row = judged(a, b, user, weight)
    for bound in (row.relative_low, row.relative_high):
        assert regression(b - a - bound * a, weight, user).pvalues[0] == pytest.approx(0.05, rel=1e-7)
    assert row.relative_low < row.relative < row.relative_high


@pytest.mark.parametrize(
    ("numerator", "denominator", "variances"),
    [
        (0.3, 2.0, (0.01, 0.002, 0.02)),
        (-0.3, 2.0, (0.01, -0.002, 0.02)),
        (0.3, -2.0, (0.01, 0.002, 0.02)),
        (0.0, 1.0, (0.04, 0.0, 0.05)),
        (5.0, 0.5, (0.3, 0.05, 0.05)),  # a baseline that is just different from 0: lopsided
    ],
)
def test_fieller_is_where_the_distance_is_t_errors(numerator, denominator, variances) -> None:
    t = 2.1
    top, both, bottom = variances

    def beyond(ratio: float) -> float:
        return (numerator - ratio * denominator) ** 2 - t**2 * (top - 2 * ratio * both + ratio**2 * bottom)

    middle, far = numerator / denominator, 1e4
    low, high = optimize.brentq(beyond, -far, middle), optimize.brentq(beyond, middle, far)
    assert fieller(numerator, denominator, variances, t) == pytest.approx((low, high), rel=1e-6, abs=1e-9)


def test_no_relative_bounds_where_the_baseline_may_be_0() -> None:
    assert fieller(1.0, 0.5, (0.1, 0.0, 0.0625), 2.0) is None  # 0.5 is just two errors from 0
    assert fieller(1.0, 0.5001, (0.1, 0.0, 0.0625), 2.0) is not None
    generator = np.random.default_rng(8)
    _, row = judged(generator.normal(0.05, 1, 40), generator.normal(3, 1, 40), np.arange(40))
    assert (row.relative_low, row.relative_high) == (None, None)
    assert row.relative is not None


# --- Equivalence, non-inferiority, power ---


@pytest.mark.parametrize("shift", [-0.1, -0.02, 0.0, 0.03])
@pytest.mark.parametrize("margin", [0.01, 0.05])
def test_equivalence_is_statsmodels_two_one_sided_tests(shift, margin) -> None:
    a, b, user, _ = world(9, users=60, one_each=True)
    b = a + 0.2 * (b - a - (b - a).mean()) + shift
    _, row = judged(a, b, user, said=terms(margin))
    # Margins are relative to a mean that has an error too: b against a (1 - margin), and against a (1 + margin).
    above = weightstats.ttost_paired(b, a * (1 - margin), 0, math.inf)[1][1]
    below = weightstats.ttost_paired(b, a * (1 + margin), -math.inf, 0)[2][1]
    assert row.p_equivalent == pytest.approx(max(above, below), rel=1e-9)


@pytest.mark.parametrize("shift", [-0.12, -0.05, 0.0, 0.1])
def test_noninferiority_is_a_one_sided_t_test(shift) -> None:
    a, b, user, _ = world(10, users=60, one_each=True)
    b = a + 0.2 * (b - a - (b - a).mean()) + shift
    columns = [
        MetricColumn("m", "primary", True, {"a": a, "b": b}),
        MetricColumn("g", "guardrails", True, {"a": a, "b": b}, at_most_worse=0.03),
    ]
    row = next(row for row in compare(table(columns, user), terms()).comparisons if row.metric == "g")
    expected = scipy_stats.ttest_rel(b, a * (1 - 0.03), alternative="greater").pvalue
    assert row.p_noninferior == pytest.approx(expected, rel=1e-9)
    assert row.noninferior == (expected < 0.025)


@pytest.mark.parametrize("smallest_effect", [0.01, None])
def test_users_needed_are_statsmodels_sample_size(smallest_effect) -> None:
    a, b, user, _ = world(11, one_each=True)
    _, row = judged(a, b, user, said=terms(smallest_effect))
    goal = abs((b - a).mean()) if smallest_effect is None else smallest_effect * a.mean()
    expected = power.normal_sample_size_one_tail(goal, 0.8, 0.025, std_null=(b - a).std(ddof=1))
    assert row.needed_for == pytest.approx(goal, rel=1e-9)
    assert row.users_needed == math.ceil(expected)


# --- Looking more than once ---


FAMILIES = [
    [0.03],
    [1.0],
    [0.01, 0.04, 0.03, 0.005],
    [0.02, 0.02, 0.02],
    [0.0, 0.0, 1.0, 1.0],
    [0.04, 0.011, 0.011, 0.6, 0.04, 0.2],
    np.random.default_rng(12).uniform(0, 1, 40).round(2).tolist(),  # with ties
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("correct", "theirs"), [(holm, "holm"), (benjamini_hochberg, "fdr_bh")])
def test_adjusted_p_are_those_of_statsmodels(family, correct, theirs) -> None:
    assert correct(family) == pytest.approx(multitest.multipletests(family, method=theirs)[1].tolist(), abs=1e-12)


@pytest.mark.parametrize(("correction", "theirs"), [("holm", "holm"), ("benjamini_hochberg", "fdr_bh")])
def test_a_variant_without_p_is_no_member_of_the_family(correction, theirs) -> None:
    """A constant difference has no p: the other variants are adjusted as if it were not there."""
    generator = np.random.default_rng(13)
    a, _, user, _ = world(13)
    values = {"a": a, "constant": a + 0.5}
    values |= {f"v{number}": a + generator.normal(0.15 * number, 1, len(a)) for number in range(4)}
    found = table([MetricColumn("m", "primary", True, values)], user)
    rows = {row.variant: row for row in compare(found, terms(correction=correction)).comparisons}
    assert (rows["constant"].p, rows["constant"].p_adjusted) == (None, None)
    names = [name for name in rows if name != "constant"]
    expected = multitest.multipletests([rows[name].p for name in names], method=theirs)[1]
    assert [rows[name].p_adjusted for name in names] == pytest.approx(expected.tolist(), abs=1e-12)


# --- Resampling ---


@pytest.mark.parametrize("average", ["request", "user"])
@pytest.mark.parametrize("seed", [14, 15, 16])
def test_sign_flips_come_near_all_of_them(average, seed) -> None:
    """8 users have 256 patterns of signs; chance may be four standard errors off."""
    a, b, user, _ = world(seed, users=8)
    weight = weights_of(average, user)
    _, row = judged(a, b, user, weight, terms(method="permutation", replications=20_000))
    totals = np.array([(weight * (b - a))[user == one].sum() for one in np.unique(user)])
    flips = np.abs([np.dot(signs, totals) for signs in itertools.product((-1, 1), repeat=8)])
    exact = (flips >= abs(totals.sum()) * (1 - 1e-9)).mean()
    assert row.p == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 20_000) + 1e-4)


def test_sign_flips_are_scipys_permutation_test() -> None:
    a, b, user, _ = world(17, one_each=True)
    _, row = judged(a, b, user, said=terms(method="permutation", replications=20_000))
    expected = scipy_stats.permutation_test(
        (b - a,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(1)
    ).pvalue
    assert row.p == pytest.approx(expected, abs=6 * math.sqrt(expected / 20_000))


def by_user(a, b, user) -> tuple[np.ndarray, np.ndarray]:
    """Sums of differences, and numbers of requests."""
    _, member = np.unique(user, return_inverse=True)
    return np.bincount(member, b - a), np.bincount(member).astype(float)


def studentised(sums, counts, axis=-1):
    """(mean* - mean) / error* of resampled users, as `scipy.stats.bootstrap` asks for it."""
    mean = SUMS.sum() / COUNTS.sum()
    drawn = sums.sum(axis=axis) / counts.sum(axis=axis)
    residual = sums - np.expand_dims(drawn, axis) * counts
    users = sums.shape[axis]
    return (drawn - mean) / (np.sqrt(users / (users - 1) * (residual**2).sum(axis=axis)) / counts.sum(axis=axis))


A, B, USER, _ = world(18, users=150)
SUMS, COUNTS = by_user(A, B, USER)


def test_bootstrap_is_the_quantile_of_scipys_studentised_replicates() -> None:
    """SciPy draws as many users as there are, we draw each Poisson(1) times: with 150 users the same within chance."""
    _, row = judged(A, B, USER, said=terms(method="bootstrap", replications=20_000))
    _, clustered = judged(A, B, USER)
    replicates = scipy_stats.bootstrap(
        (SUMS, COUNTS), studentised, paired=True, n_resamples=20_000, method="percentile", rng=np.random.default_rng(3)
    ).bootstrap_distribution
    error = (clustered.high - clustered.low) / 2 / scipy_stats.t.ppf(0.975, 149)
    reach = np.quantile(np.abs(replicates), 0.95) * error
    mean = row.difference
    assert (row.low, row.high) == pytest.approx((mean - reach, mean + reach), abs=0.08 * error)
    expected = (np.abs(replicates) >= mean / error).mean()
    assert row.p == pytest.approx(expected, abs=5 * math.sqrt(expected / 20_000) + 2e-4)
    assert (row.p < 0.05) == (row.low > 0)  # p and interval are of the same replicates


def test_bootstrap_without_bounds_where_a_single_user_moves() -> None:
    """A replicate without that user has no spread, 37 of 100 are such: whatever the weights, rounding is no spread either."""
    for seed in range(20):
        user = np.repeat(np.arange(30), np.random.default_rng(seed).geometric(0.3, 30))
        b = np.zeros(len(user))
        b[5] = 0.37
        for average in ("request", "user", "custom"):
            weight = weights_of(average, user)
            _, row = judged(np.zeros(len(user)), b, user, weight, terms(method="bootstrap", replications=300))
            assert (row.low, row.high, row.verdict) == (None, None, "undecided"), (average, seed)
            assert row.p > 0.3


def test_bootstrap_is_near_scipys_bca() -> None:
    """Another way to an interval that knows skew: the two are much nearer to each other than they are wide."""
    _, row = judged(A, B, USER, said=terms(method="bootstrap", replications=20_000))

    def ratio(sums, counts, axis=-1):
        return sums.sum(axis=axis) / counts.sum(axis=axis)

    expected = scipy_stats.bootstrap(
        (SUMS, COUNTS), ratio, paired=True, n_resamples=20_000, rng=np.random.default_rng(4)
    )
    interval = expected.confidence_interval
    assert (row.low, row.high) == pytest.approx((interval.low, interval.high), abs=0.06 * (row.high - row.low))
