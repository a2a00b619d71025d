"""Uncertainty and verdicts against arithmetic written out, independent tools, and simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference

from rankcast.comparison.decision import decide, describe
from rankcast.comparison.estimates import Estimator
from rankcast.comparison.table import MetricColumn, Part, Terms, ValuesTable
from rankcast.comparison.verdicts import compare
from rankcast.evaluate.catalogue import Catalogue
from rankcast.evaluate.exposure import Pool, Shown
from rankcast.evaluate.metrics.exposure.coverage import Coverage
from rankcast.records import ComparisonRow, Finding, Segment
from rankcast.stats.adjust import benjamini_hochberg, holm, unadjusted
from rankcast.stats.clustered import Estimate, clustered_mean

P_VALUES = st.lists(st.floats(0, 1), max_size=12)
TERMS = Terms(0.95, None, "holm", 7)


# --- Corrections for looking more than once ---


@pytest.mark.parametrize(
    ("correct", "given_", "expected"),
    [
        (holm, [0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # R: p.adjust(p, "holm")
        (holm, [0.001, 0.03, 0.03, 0.04], [0.004, 0.09, 0.09, 0.09]),  # element by element the last would be 0.04
        (holm, [0.9, 0.8], [1.0, 1.0]),
        (benjamini_hochberg, [0.01, 0.04, 0.03, 0.005], [0.02, 0.04, 0.04, 0.02]),  # R: p.adjust(p, "BH")
        (benjamini_hochberg, [0.02, 0.024, 0.03], [0.03, 0.03, 0.03]),  # element by element the first would be 0.06
        (unadjusted, [0.2, 0.1], [0.2, 0.1]),
        (holm, [], []),
        (benjamini_hochberg, [], []),
    ],
)
def test_textbook_cases(correct, given_, expected) -> None:
    assert correct(given_) == pytest.approx(expected, abs=1e-12)


def holm_rejects(p: Sequence[float], alpha: float) -> set[int]:
    """Step down: stop at the first that is not below alpha / (those that are left)."""
    rejected: set[int] = set()
    for place, at in enumerate(sorted(range(len(p)), key=lambda at: p[at])):
        if p[at] * (len(p) - place) > alpha:
            break
        rejected.add(at)
    return rejected


def bh_rejects(p: Sequence[float], alpha: float) -> set[int]:
    """Step up: the largest i with p_(i) <= i alpha / m, and all before it."""
    order = sorted(range(len(p)), key=lambda at: p[at])
    most = max((place for place, at in enumerate(order, 1) if p[at] * len(p) / place <= alpha), default=0)
    return set(order[:most])


@given(P_VALUES, st.floats(0.001, 0.5))
def test_adjusted_p_reject_what_the_procedures_reject(p: list[float], alpha: float) -> None:
    assert {at for at, value in enumerate(holm(p)) if value <= alpha} == holm_rejects(p, alpha)
    assert {at for at, value in enumerate(benjamini_hochberg(p)) if value <= alpha} == bh_rejects(p, alpha)


@given(P_VALUES.filter(len), st.randoms())
def test_adjusting_keeps_order_and_never_helps(p: list[float], random) -> None:
    shuffled = random.sample(range(len(p)), len(p))
    for correct in (holm, benjamini_hochberg):
        adjusted = correct(p)
        assert all(one <= two + 1e-12 and two <= 1 for one, two in zip(p, adjusted, strict=True))
        assert [adjusted[at] for at in shuffled] == pytest.approx(correct([p[at] for at in shuffled]), abs=1e-15)
    assert benjamini_hochberg(p) == pytest.approx(reference.false_discovery_control(p).tolist(), abs=1e-12)


# --- Clustered means ---


def brute(values, weights, clusters) -> tuple[float, float]:
    total = sum(weights)
    mean = sum(w * v for w, v in zip(weights, values, strict=True)) / total
    groups = set(clusters)
    squares = 0.0
    for group in groups:
        rows = [(w, v) for w, v, c in zip(weights, values, clusters, strict=True) if c == group]
        squares += sum(w * (v - mean) for w, v in rows) ** 2
    return mean, math.sqrt(len(groups) / (len(groups) - 1) * squares) / total


@given(
    st.lists(st.tuples(st.floats(-5, 5), st.sampled_from([0.1, 0.5, 1.0, 3.0]), st.integers(0, 5)), min_size=2).filter(
        lambda rows: len({row[2] for row in rows}) > 1
    )
)
def test_clustered_mean_is_the_formula(rows) -> None:
    values, weights, clusters = (np.array(column) for column in zip(*rows, strict=True))
    estimate = clustered_mean(values, weights, clusters * 1000 - 7)
    mean, error = brute(values.tolist(), weights.tolist(), clusters.tolist())
    assert (estimate.value, estimate.error) == pytest.approx((mean, error), rel=1e-9, abs=1e-12)
    assert (estimate.n, estimate.clusters) == (len(rows), len(set(clusters.tolist())))


def test_one_request_a_user_is_the_textbook_t_test() -> None:
    values = np.array([0.3, -0.1, 0.4, 0.25, 0.0, 0.1, -0.2, 0.5])
    estimate = clustered_mean(values, np.ones(8), np.arange(8))
    expected = reference.ttest_1samp(values, 0)
    assert estimate.error == pytest.approx(values.std(ddof=1) / math.sqrt(8))
    assert estimate.p() == pytest.approx(expected.pvalue)
    assert estimate.interval(0.9) == pytest.approx(tuple(expected.confidence_interval(0.9)))


def many_users(generator: np.random.Generator, users: int, truth: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Differences that go together within a user, and users with 1 to 20 or so requests: most have few."""
    sizes = 1 + generator.geometric(0.3, users)
    user = np.repeat(np.arange(users), sizes)
    return truth + generator.normal(0, 0.5, users)[user] + generator.normal(0, 1, len(user)), user


@pytest.mark.parametrize("by_user", [False, True])
def test_error_agrees_with_jackknife_and_bootstrap(by_user: bool) -> None:
    generator = np.random.default_rng(3)
    values, user = many_users(generator, 300, truth=0.2)
    weights = 1 / np.bincount(user)[user] if by_user else np.ones(len(user))
    estimate = clustered_mean(values, weights, user)
    top, bottom = np.bincount(user, weights * values), np.bincount(user, weights)
    without = (top.sum() - top) / (bottom.sum() - bottom)
    jackknife = math.sqrt(299 / 300 * ((without - without.mean()) ** 2).sum())
    counts = generator.multinomial(300, np.full(300, 1 / 300), size=4000)
    bootstrap = ((counts @ top) / (counts @ bottom)).std(ddof=1)
    assert estimate.error == pytest.approx(jackknife, rel=0.01)
    assert estimate.error == pytest.approx(bootstrap, rel=0.06)


@pytest.mark.parametrize("by_user", [False, True])
def test_intervals_cover_the_truth(by_user: bool) -> None:
    generator = np.random.default_rng(11)
    covered = 0
    for _ in range(1500):
        values, user = many_users(generator, 60, truth=0.3)
        weights = 1 / np.bincount(user)[user] if by_user else np.ones(len(user))
        low, high = clustered_mean(values, weights, user).interval(0.95)
        covered += low <= 0.3 <= high
    assert 0.93 <= covered / 1500 <= 0.97


def test_minimum_detectable_difference_is_found_four_times_in_five() -> None:
    generator = np.random.default_rng(13)
    errors = [clustered_mean(v, np.ones(len(v)), u).error for v, u in (many_users(generator, 80) for _ in range(200))]
    truth = Estimate(0.0, float(np.mean(errors)), 99, 80).minimum_detectable(0.95)
    found = 0
    for _ in range(1500):
        values, user = many_users(generator, 80, truth)
        found += clustered_mean(values, np.ones(len(values)), user).p() < 0.05
    assert 0.76 <= found / 1500 <= 0.84


@pytest.mark.parametrize(
    ("values", "users", "expected"),
    [
        ([], [], (None, None, None, (None, None))),
        ([0.5, 0.7], [4, 4], (0.6, None, None, (None, None))),  # one user
        ([0.0, 0.0], [1, 2], (0.0, 0.0, 1.0, (0.0, 0.0))),  # no variance, no difference
        ([0.1, 0.1, 0.1], [1, 2, 3], (0.1, 0.0, None, (0.1, 0.1))),  # no variance, a difference
    ],
)
def test_edges(values, users, expected) -> None:
    estimate = clustered_mean(np.array(values, dtype=float), np.ones(len(values)), np.array(users, dtype=np.int64))
    found = (estimate.value, estimate.error, estimate.p(), estimate.interval(0.95))
    for one, other in zip(found, expected, strict=True):
        assert one == (None if other is None else pytest.approx(other, abs=1e-12))


# --- Verdicts ---


def table(metrics, users, weight=None, decided=("b",), parts=()) -> ValuesTable:
    """`metrics`: name -> (family, higher is better, values by variant)."""
    users = np.asarray(users)
    columns = tuple(MetricColumn(name, *rest) for name, rest in metrics.items())
    variants = tuple(next(iter(metrics.values()))[2])
    weight = np.ones(len(users)) if weight is None else weight
    everything = Part(None, np.ones(len(users), dtype=bool))
    return ValuesTable("a", variants, frozenset(decided), users, weight, (everything, *parts), columns)


def noisy(mean: float, n: int = 200, scale: float = 0.1) -> np.ndarray:
    """n values with exactly this mean, half a scale above and half below."""
    return mean + scale * np.resize([1.0, -1.0], n)


def judged(differences, terms=TERMS, higher=True, base=1.0, users=None) -> ComparisonRow:
    users = np.arange(len(differences)) if users is None else users
    values = {"a": np.full(len(differences), base), "b": base + differences}
    return compare(table({"m": ("primary", higher, values)}, users), terms)[1][0]


EQUIVALENT = Terms(0.95, 0.05, "holm", 7)


@pytest.mark.parametrize(
    ("differences", "options", "verdict"),
    [
        (noisy(0.05), {}, "better"),
        (noisy(-0.05), {}, "worse"),
        (noisy(0.05), {"higher": False}, "worse"),
        (noisy(-0.05), {"higher": False}, "better"),
        (noisy(0.005), {}, "undecided"),
        (noisy(0.005), {"terms": EQUIVALENT}, "equivalent"),
        (noisy(0.005), {"terms": EQUIVALENT, "base": 0.1}, "undecided"),  # 5 % of 0.1 is less than the interval
        (noisy(-0.03, scale=0.3), {"terms": EQUIVALENT}, "undecided"),  # the interval reaches below -5 %
        (noisy(0.03), {"terms": EQUIVALENT}, "better"),  # significant comes first, however small
        (noisy(0.005), {"terms": EQUIVALENT, "base": 0.0}, "undecided"),  # relative to nothing
        (noisy(0.0), {"users": np.zeros(200, dtype=int)}, "undecided"),  # one user
        (np.full(50, 0.2), {}, "undecided"),  # no variance: no p
        (np.full(50, 0.01), {"terms": EQUIVALENT}, "equivalent"),  # no variance: the interval is a point
        (np.zeros(50), {"terms": EQUIVALENT}, "equivalent"),
        (np.full(50, np.nan), {}, "undecided"),  # not measurable
    ],
)
def test_verdicts(differences, options, verdict) -> None:
    assert judged(differences, **options).verdict == verdict


def test_a_comparison_says_all_that_the_contract_asks() -> None:
    differences = np.array([0.2, -0.1, 0.0, 1e-13, 0.4, np.nan])
    row = judged(differences, users=np.array([1, 1, 2, 3, 4, 5]), base=2.0)
    mean, error = brute([0.2, -0.1, 0.0, 1e-13, 0.4], [1.0] * 5, [1, 1, 2, 3, 4])
    assert (row.wins, row.ties, row.losses, row.n_requests, row.n_users) == (2, 2, 1, 5, 4)
    assert (row.difference, row.relative, row.baseline_value) == pytest.approx((mean, mean / 2, 2.0))
    assert (row.low, row.high) == pytest.approx(tuple(reference.t.interval(0.95, 3, mean, error)))
    assert row.p == row.p_adjusted == pytest.approx(2 * reference.t(3).sf(mean / error))
    z = reference.norm.ppf(0.975) + reference.norm.ppf(0.8)
    assert row.minimum_detectable == pytest.approx(z * error)
    assert "5 requests of 4 users" in describe(row)


def test_families_are_corrected_apart() -> None:
    generator = np.random.default_rng(5)
    n = 100
    part = Part(Segment(column="request.x", value="y"), np.arange(n) < TERMS.least_users)
    small = Part(Segment(column="request.other", value="z"), np.arange(n) < TERMS.least_users - 1)
    metrics = {
        name: (family, True, {"a": np.ones(n)} | {one: generator.normal(1.02, 0.1, n) for one in ("b", "c", "ref")})
        for name, family in (("p", "primary"), ("g", "guardrails"), ("h", "guardrails"), ("x", "exploration"))
    }
    rows = compare(table(metrics, np.arange(n), decided=("b", "c"), parts=(part, small)), TERMS)[1]

    def family(name: str) -> tuple[list[float], list[float]]:
        members = [row for row in rows if row.family == name and row.p_adjusted is not None]
        return [row.p for row in members], [row.p_adjusted for row in members]

    for name, correct, size in (("primary", holm, 2), ("guardrails", benjamini_hochberg, 4)):
        p, adjusted = family(name)
        assert len(p) == size
        assert adjusted == pytest.approx(correct(p))
    p, adjusted = family("exploration")
    assert len(p) == 4 + 2 + 12  # every metric of the reference, `x` of the others, and the larger segment
    assert adjusted == pytest.approx(reference.false_discovery_control(p).tolist())
    unjudged = [row for row in rows if row.verdict is None]
    assert {(row.segment.value, row.n_users, row.p_adjusted) for row in unjudged} == {
        ("z", TERMS.least_users - 1, None)
    }


def test_better_or_worse_by_chance_at_most_one_time_in_twenty() -> None:
    generator = np.random.default_rng(17)
    names, wrong, runs = ("b", "c", "d"), 0, 600
    for _ in range(runs):
        _, user = many_users(generator, 40)
        values = {"a": np.ones(len(user))}
        for name in names:
            values[name] = 1 + generator.normal(0, 0.5, 40)[user] + generator.normal(0, 1, len(user))
        rows = compare(table({"m": ("primary", True, values)}, user, decided=names), TERMS)[1]
        wrong += any(row.verdict in {"better", "worse"} for row in rows)
    assert wrong / runs <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / runs)


# --- Decisions ---

FIRED = Finding(rule="RP02", name="n", severity="error", status="fired", evidence="e", remedy="r")
UP, DOWN, FLAT = noisy(0.05), noisy(-0.05), noisy(0.002)


@pytest.mark.parametrize(
    ("primary", "guardrail", "invalid", "findings", "decision"),
    [
        (UP, FLAT, None, (), "go"),
        (UP, UP, None, (), "go"),
        (UP, DOWN, None, (), "no-go"),
        (FLAT, DOWN, None, (), "no-go"),
        (DOWN, UP, None, (), "no-go"),
        (FLAT, UP, None, (), "no-go"),  # equivalent: no reason to ship
        (noisy(0.04, scale=0.6), UP, None, (), "undecided"),
        (UP, FLAT, "fidelity 0.3", (), "invalid"),
        (UP, FLAT, None, (FIRED,), "invalid"),
        (UP, FLAT, None, (FIRED.model_copy(update={"severity": "warning"}),), "go"),
        (UP, FLAT, None, (FIRED.model_copy(update={"status": "cannot check"}),), "go"),
        (np.full(200, np.nan), FLAT, None, (), "undecided"),
    ],
)
def test_decisions(primary, guardrail, invalid, findings, decision) -> None:
    ones = np.ones(200)
    values = {"p": ("primary", True, {"a": ones, "b": ones + primary, "popular": ones + 9})}
    values["g"] = ("guardrails", True, {"a": ones, "b": ones + guardrail, "popular": ones - 9})
    found = table(values, np.arange(200))
    decisions = decide(found, compare(found, EQUIVALENT)[1], invalid, findings)
    assert {name: one.decision for name, one in decisions.items()} == {"b": decision}  # a reference is never decided


def test_a_primary_that_nobody_can_measure_does_not_hide_a_guardrail() -> None:
    """Targets are there, so `no target is left` would be untrue; and the guardrail is worse."""
    ones = np.ones(200)
    values = {"p": ("primary", True, {"a": ones, "b": np.full(200, np.nan), "popular": ones})}
    values["g"] = ("guardrails", True, {"a": ones, "b": ones - UP, "popular": ones})
    found = table(values, np.arange(200))
    decision = decide(found, compare(found, EQUIVALENT)[1], None, ())["b"]
    assert decision.decision == "no-go"
    assert "guardrail g is worse" in decision.because
    assert "p is undecided: not measurable" in decision.because


# --- Coverage: a bootstrap over users ---


def shown_table(
    users: int, items: int, length: int, skew: float, seed: int
) -> tuple[ValuesTable, dict[str, np.ndarray]]:
    generator = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), 3)
    chance = 1 / np.arange(1, items + 1) ** skew
    shown, matrix = {}, {}
    for name in ("a", "b"):
        target = np.repeat(np.arange(len(user)), length)
        item = generator.choice(items, len(target), p=chance / chance.sum())
        mask = (np.ones(len(user), dtype=bool),)
        rows = Shown(target, item, np.ones(len(item), dtype=np.int64))
        shown[name] = Pool(
            Coverage(k=3).result, rows, user, mask, (Catalogue(pl.DataFrame(), np.ones(items, dtype=bool)),)
        )
        matrix[name] = np.zeros((users, items), dtype=bool)
        matrix[name][user[target], item] = True
    column = MetricColumn("coverage@3", "primary", True, None, shown)
    part = Part(None, np.ones(len(user), dtype=bool))
    return ValuesTable("a", ("a", "b"), frozenset("b"), user, np.ones(len(user)), (part,), (column,)), matrix


RARE = [(200, 2000, 3, 1.0), (100, 9000, 2, 0.0)]  # most items are shown to one user only


@pytest.mark.parametrize(
    ("users", "items", "length", "skew"),
    [(200, 300, 3, 1.0), (40, 30, 2, 1.0), *RARE],
)
def test_coverage_error_is_that_of_resampled_users(users, items, length, skew) -> None:
    found, matrix = shown_table(users, items, length, skew, seed=5)
    generator = np.random.default_rng(1)
    drawn = [np.unique(generator.integers(0, users, users)) for _ in range(1000)]
    share = {name: np.array([rows[one].any(axis=0).mean() for one in drawn]) for name, rows in matrix.items()}
    estimator, column = Estimator(found, TERMS), found.metrics[0]
    difference = estimator.contrasts(column, "b")[0].sure.estimate
    assert difference.error == pytest.approx((share["b"] - share["a"]).std(ddof=1), rel=0.25)
    row = next(row for row in compare(found, TERMS)[0] if row.variant == "b")
    assert row.value == pytest.approx(matrix["b"].any(axis=0).mean())
    assert row.low <= row.value <= row.high
    assert estimator.value(column, "b").error == pytest.approx(share["b"].std(ddof=1), rel=0.25)
