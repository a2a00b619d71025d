"""The oracle compares: estimates, corrections, verdicts and the decision."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from scipy.stats import norm
from scipy.stats import t as student

from oracle_measure import PER_VARIANT, parse
from oracle_read import Row

TIE = 1e-12
NO_VARIANCE = 1e-24
LOWER_IS_BETTER = {"empty", "unjudged", "popularity"}  # of those that have a value per request


def share(text: Any) -> float:
    """`1%` or 0.01."""
    return float(str(text).rstrip("% ")) / (100 if "%" in str(text) else 1)


@dataclass(frozen=True)
class Terms:
    """How a study wants to be compared."""

    confidence: float = 0.95
    smallest: float | None = None
    method: str = "clustered"
    least_users: int = 30
    margins: dict[str, float] = field(default_factory=dict)  # by guardrail, as shares of the baseline's value

    def reach(self, df: float) -> float:
        return float(student.ppf((1 + self.confidence) / 2, df))


@dataclass(frozen=True)
class Pair:
    """What one request says about a variant (`ours`) and the baseline (`theirs`)."""

    weight: float
    ours: float
    theirs: float
    user: Hashable
    clusters: tuple[Hashable, ...]  # one or two ways of saying which requests belong together

    @property
    def difference(self) -> float:
        return self.ours - self.theirs


# --- Estimates ---


@dataclass
class Estimate:
    """A weighted mean with its standard error, if there is one, and what its t has as degrees of freedom."""

    mean: float | None = None
    error: float | None = None
    df: float | None = None

    def interval(self, terms: Terms) -> Row:
        if self.mean is None or self.error is None or self.df is None:
            return {"low": None, "high": None}
        reach = terms.reach(self.df) * self.error
        return {"low": self.mean - reach, "high": self.mean + reach}

    def tail(self, distance: float) -> float | None:
        """How likely t is to lie beyond this distance from zero, on one side; without any error it never does."""
        if self.error is None:
            return None
        if not self.error:
            return 0.0 if distance > TIE else 1.0
        return float(student.sf(distance / self.error, self.df))


def grouped(keys: Sequence[Hashable], amounts: Sequence[float]) -> dict[Hashable, float]:
    groups: dict[Hashable, list[float]] = {}
    for key, amount in zip(keys, amounts, strict=True):
        groups.setdefault(key, []).append(amount)
    return {key: math.fsum(members) for key, members in groups.items()}


def average(weights: Sequence[float], values: Sequence[float]) -> float | None:
    total = math.fsum(weights)
    return math.fsum(w * value for w, value in zip(weights, values, strict=True)) / total if total else None


def scores(weights: Sequence[float], values: Sequence[float]) -> list[float]:
    """What each request contributes to the error of the mean."""
    mean = average(weights, values) or 0.0
    return [w * (value - mean) for w, value in zip(weights, values, strict=True)]


def one_way(keys: Sequence[Hashable], one: Sequence[float], other: Sequence[float]) -> float:
    """The sum of products over clusters, enlarged for their number."""
    mine, theirs = grouped(keys, one), grouped(keys, other)
    many = len(mine)
    return many / (many - 1) * math.fsum(mine[key] * theirs[key] for key in mine)


def shares(keys: Sequence[Hashable], weights: Sequence[float]) -> dict[Hashable, float]:
    total = math.fsum(weights)
    return {key: amount / total for key, amount in grouped(keys, weights).items()}


def satterthwaite(keys: Sequence[Hashable], weights: Sequence[float]) -> float | None:
    """Degrees of freedom of CR2, if all requests were independent."""
    parts = list(shares(keys, weights).values()) if math.fsum(weights) else []
    if len(parts) < 2 or max(parts) > 1 - TIE:
        return None
    x = [part**2 / (1 - part) for part in parts]
    return 1 / (math.fsum(p**2 for p in parts) + math.fsum(x) ** 2 - math.fsum(one**2 for one in x))


Ways = list[tuple[Hashable, ...]]  # the clusters of every request


def covariance(
    weights: Sequence[float], one: Sequence[float], other: Sequence[float], ways: Ways, terms: Terms
) -> float:
    """Of two weighted means."""
    u, v, total = scores(weights, one), scores(weights, other), math.fsum(weights)
    sides = list(zip(*ways, strict=True))
    if terms.method == "robust":
        keys = sides[0]
        parts, mine, theirs = shares(keys, weights), grouped(keys, u), grouped(keys, v)
        return math.fsum(mine[key] * theirs[key] / (1 - parts[key]) for key in mine) / total**2
    each = [one_way(side, u, v) for side in sides]
    return (each[0] if len(each) == 1 else math.fsum(each) - one_way(ways, u, v)) / total**2


def variance(weights: Sequence[float], values: Sequence[float], ways: Ways, terms: Terms) -> float:
    """Of a weighted mean; where two ways leave nothing, the larger of each alone."""
    return variances(weights, values, values, ways, terms)[0]


def variances(
    weights: Sequence[float], d: Sequence[float], b: Sequence[float], ways: Ways, terms: Terms
) -> tuple[float, float, float]:
    """Of d, of d and b, of b; where two ways leave no variance, all that one way alone says, the one with the larger variance."""

    def by(which: Ways) -> tuple[float, float, float]:
        return (
            covariance(weights, d, d, which, terms),
            covariance(weights, d, b, which, terms),
            covariance(weights, b, b, which, terms),
        )

    found = by(ways)
    alone = [by([(key,) for key in side]) for side in zip(*ways, strict=True)]
    if not found[0] > 0:
        found = max(alone, key=lambda one: one[0])
    if not found[2] > 0:
        _, vdb, vbb = max(alone, key=lambda one: one[2])
        found = (found[0], vdb, vbb)
    return found


def freedom(weights: Sequence[float], ways: Ways, terms: Terms) -> float | None:
    """Degrees of freedom of t; none where there is no error either."""
    fewest = min(len(set(side)) for side in zip(*ways, strict=True))
    if fewest < 2:
        return None
    return satterthwaite([way[0] for way in ways], weights) if terms.method == "robust" else fewest - 1


def estimated(weights: Sequence[float], values: Sequence[float], ways: Ways, terms: Terms) -> Estimate:
    mean = average(weights, values) if weights else None
    if mean is None:
        return Estimate()
    df = freedom(weights, ways, terms)
    if df is None:
        return Estimate(mean)
    spread = variance(weights, values, ways, terms)
    return Estimate(mean, 0.0 if spread <= NO_VARIANCE else math.sqrt(spread), df)


def estimate(rows: list[tuple[float, float, Any]]) -> tuple[float | None, float | None, int]:
    """Weighted mean, its standard error clustered by user, and the number of users, from (weight, value, user)."""
    users = [(user,) for _, _, user in rows]
    made = estimated([weight for weight, _, _ in rows], [value for _, value, _ in rows], users, Terms())
    return made.mean, made.error, len(set(users))


def fieller(pairs: list[Pair], terms: Terms) -> Row:
    """The interval of difference / baseline: all ratios whose t is within reach."""
    nothing: Row = {"relative_low": None, "relative_high": None}
    weights, ways = [pair.weight for pair in pairs], [pair.clusters for pair in pairs]
    d, b = [pair.difference for pair in pairs], [pair.theirs for pair in pairs]
    mean, base = average(weights, d) if pairs else None, average(weights, b) if pairs else None
    df = freedom(weights, ways, terms) if pairs else None
    if mean is None or base is None or df is None:
        return nothing
    vdd, vdb, vbb = variances(weights, d, b, ways, terms)
    t2 = terms.reach(df) ** 2
    a = base**2 - t2 * vbb
    if a <= 0:
        return nothing
    half = mean * base - t2 * vdb
    root = math.sqrt(max(0.0, half**2 - a * (mean**2 - t2 * vdd)))
    return {"relative_low": (half - root) / a, "relative_high": (half + root) / a}


# --- Corrections for looking more than once ---


def holm(values: list[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    adjusted, running = [0.0] * len(values), 0.0
    for place, index in enumerate(order):
        running = max(running, min(1.0, (len(values) - place) * values[index]))
        adjusted[index] = running
    return adjusted


def benjamini_hochberg(values: list[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__, reverse=True)
    adjusted, running = [0.0] * len(values), 1.0
    for place, index in enumerate(order):
        running = min(running, len(values) / (len(values) - place) * values[index])
        adjusted[index] = running
    return adjusted


# --- Comparisons ---


def two_sided(made: Estimate) -> float | None:
    if made.mean is None or made.error is None:
        return None
    if not made.error:
        return 1.0 if abs(made.mean) <= TIE else None
    return 2 * float(student.sf(abs(made.mean) / made.error, made.df))


def beyond(pairs: list[Pair], sign: float, margin: float, terms: Terms) -> float | None:
    """One-sided p that sign * difference + margin * |baseline value|, whose error has both in it, is above 0."""
    weights, ways = [pair.weight for pair in pairs], [pair.clusters for pair in pairs]
    reference = average(weights, [pair.theirs for pair in pairs]) if pairs else None
    if reference is None:
        return None
    bound = margin if reference >= 0 else -margin
    d, b = [pair.difference for pair in pairs], [pair.theirs for pair in pairs]
    df = freedom(weights, ways, terms)
    if df is None:
        return None
    vdd, vdb, vbb = variances(weights, d, b, ways, terms)
    spread = vdd + 2 * sign * bound * vdb + bound**2 * vbb
    mean = sign * (average(weights, d) or 0.0) + bound * reference
    made = Estimate(mean, 0.0 if spread <= NO_VARIANCE else math.sqrt(spread), df)
    return made.tail(mean)


def not_worse(pairs: list[Pair], guarded: str | None, terms: Terms) -> Row:
    """Is a loss as large as the margin out of the question?"""
    margin = terms.margins.get(guarded) if guarded else None
    row: Row = {"at_most_worse": margin, "p_noninferior": None, "noninferior": None}
    if not guarded or margin is None:
        return row
    sign = -1.0 if parse(guarded).name in LOWER_IS_BETTER else 1.0
    weights, ways = [pair.weight for pair in pairs], [pair.clusters for pair in pairs]
    made = estimated(weights, [pair.difference for pair in pairs], ways, terms)
    if made.mean is not None and made.error == 0 and sign * made.mean >= 0:
        return row | {"p_noninferior": 0.0, "noninferior": True}  # the same for all, and no loss
    p = beyond(pairs, sign, margin, terms)
    return row if p is None else row | {"p_noninferior": p, "noninferior": p < (1 - terms.confidence) / 2}


def same(pairs: list[Pair], terms: Terms) -> float | None:
    """Two one-sided tests: the larger p."""
    if terms.smallest is None:
        return None
    tails = [beyond(pairs, sign, terms.smallest, terms) for sign in (1.0, -1.0)]
    return max((tail for tail in tails if tail is not None), default=None)


def needed(detectable: float | None, mean: float | None, reference: float | None, users: int, terms: Terms) -> Row:
    """How many users would make the goal detectable."""
    goal: float | None = None
    if terms.smallest is None:
        goal = None if mean is None else abs(mean)
    elif reference is not None:
        goal = terms.smallest * abs(reference)
    if goal is None or goal <= TIE:
        return {"users_needed": None, "needed_for": None}
    return {"users_needed": None if detectable is None else users * (detectable / goal) ** 2, "needed_for": goal}


def compared(pairs: list[Pair], terms: Terms, guarded: str | None = None) -> Row:
    """A comparison without what depends on the others; of the metric that is `guarded` from loss, if it is one.

    `users_needed` is not rounded.
    """
    weights, ways = [pair.weight for pair in pairs], [pair.clusters for pair in pairs]
    made = estimated(weights, [pair.difference for pair in pairs], ways, terms)
    reference = average(weights, [pair.theirs for pair in pairs]) if pairs else None
    differences = [pair.difference for pair in pairs]
    users = len({pair.user for pair in pairs})
    z = float(norm.ppf((1 + terms.confidence) / 2) + norm.ppf(0.8))
    detectable = None if made.error is None else z * made.error
    return {
        "reference": reference,
        "difference": made.mean,
        "relative": made.mean / reference if made.mean is not None and reference else None,
        **made.interval(terms),
        **fieller(pairs, terms),
        "p": two_sided(made),
        "p_adjusted": None,
        **not_worse(pairs, guarded, terms),
        "p_equivalent": same(pairs, terms),
        "minimum_detectable": detectable,
        **needed(detectable, made.mean, reference, users, terms),
        "degrees_of_freedom": satterthwaite([way[0] for way in ways], weights),
        "wins": sum(d > TIE for d in differences),
        "ties": sum(abs(d) <= TIE for d in differences),
        "losses": sum(d < -TIE for d in differences),
        "n_requests": len(pairs),
        "n_users": users,
        "verdict": None,
    }


def verdict(row: Row, terms: Terms) -> str | None:
    name = parse(row["metric"]).name
    if name in PER_VARIANT or (row["segment"] is not None and row["n_users"] < terms.least_users):
        return None
    if row["p_adjusted"] is not None and row["p_adjusted"] < 1 - terms.confidence:
        return "better" if (row["difference"] < 0) == (name in LOWER_IS_BETTER) else "worse"
    if terms.smallest is not None and row["reference"] and row["low"] is not None:
        ends = [row["low"] / row["reference"], row["high"] / row["reference"]]
        if -terms.smallest <= min(ends) and max(ends) <= terms.smallest:
            return "equivalent"
    return "undecided"


def adjust(rows: list[Row], decided: list[str], metrics: dict[str, list[str]], terms: Terms) -> None:
    """Fill in `p_adjusted`, family by family; rows without p belong to none."""
    families: dict[str, list[Row]] = {"primary": [], "guardrails": [], "exploration": []}
    for row in rows:
        if row["p"] is None or (row["segment"] is not None and row["n_users"] < terms.least_users):
            continue
        main = row["segment"] is None and row["variant"] in decided
        role = next(role for role in ("primary", "guardrails", "also") if row["metric"] in metrics[role])
        families[role if main and role != "also" else "exploration"].append(row)
    for name, family in families.items():
        correct: Callable[[list[float]], list[float]] = holm if name == "primary" else benjamini_hochberg
        for row, value in zip(family, correct([row["p"] for row in family]), strict=True):
            row["p_adjusted"] = value


def decide(rows: list[Row], variant: str, metrics: dict[str, list[str]], faithful: bool) -> str:
    if not faithful:
        return "invalid"
    main = {row["metric"]: row for row in rows if row["variant"] == variant and row["segment"] is None}
    primary = main[metrics["primary"][0]]["verdict"]
    guarded = [main[name] for name in metrics["guardrails"] if not main[name]["noninferior"]]
    if primary in ("worse", "equivalent") or any(row["verdict"] == "worse" for row in guarded):
        return "no-go"
    shown = all(row["at_most_worse"] is None for row in guarded)
    return "go" if primary == "better" and shown else "undecided"
