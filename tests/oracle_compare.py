"""The oracle compares: estimates, corrections, verdicts and the decision."""

from __future__ import annotations

import math
from typing import Any

from scipy.stats import norm
from scipy.stats import t as student

from oracle_measure import PER_VARIANT, parse
from oracle_read import Row

TIE = 1e-12
NO_VARIANCE = 1e-24
SEGMENT_USERS = 30
LOWER_IS_BETTER = {"empty", "unjudged", "popularity"}  # of those that have a value per request


def estimate(rows: list[tuple[float, float, Any]]) -> tuple[float | None, float | None, int]:
    """Weighted mean, its standard error clustered by user, and the number of users, from (weight, value, user)."""
    users = {user for _, _, user in rows}
    if not rows:
        return None, None, 0
    total = math.fsum(weight for weight, _, _ in rows)
    mean = math.fsum(weight * value for weight, value, _ in rows) / total
    if len(users) < 2:
        return mean, None, len(users)
    squares = [math.fsum(w * (value - mean) for w, value, user in rows if user == one) ** 2 for one in users]
    variance = len(users) / (len(users) - 1) * math.fsum(squares) / total**2
    return mean, 0.0 if variance <= NO_VARIANCE else math.sqrt(variance), len(users)


def interval(mean: float | None, error: float | None, users: int, confidence: float) -> Row:
    if mean is None or error is None:
        return {"low": None, "high": None}
    reach = float(student.ppf((1 + confidence) / 2, users - 1)) * error
    return {"low": mean - reach, "high": mean + reach}


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


def compared(pairs: list[tuple[float, float, float, Any]], confidence: float) -> Row:
    """A comparison from (weight, variant's value, baseline's value, user), without what depends on the others."""
    mean, error, users = estimate([(weight, ours - theirs, user) for weight, ours, theirs, user in pairs])
    reference, _, _ = estimate([(weight, theirs, user) for weight, _, theirs, user in pairs])
    differences = [ours - theirs for _, ours, theirs, _ in pairs]
    p: float | None = None
    if mean is not None and error is not None:
        if error > 0:
            p = 2 * float(student.sf(abs(mean) / error, users - 1))
        elif abs(mean) <= TIE:
            p = 1.0
    z = float(norm.ppf((1 + confidence) / 2) + norm.ppf(0.8))
    return {
        "reference": reference,
        "difference": mean,
        "relative": mean / reference if mean is not None and reference else None,
        **interval(mean, error, users, confidence),
        "p": p,
        "p_adjusted": None,
        "minimum_detectable": None if error is None else z * error,
        "wins": sum(d > TIE for d in differences),
        "ties": sum(abs(d) <= TIE for d in differences),
        "losses": sum(d < -TIE for d in differences),
        "n_requests": len(pairs),
        "n_users": users,
        "verdict": None,
    }


def verdict(row: Row, compare: Row) -> str | None:
    alpha, smallest = 1 - compare.get("confidence", 0.95), compare.get("smallest_effect")
    name = parse(row["metric"]).name
    if name in PER_VARIANT or (row["segment"] is not None and row["n_users"] < SEGMENT_USERS):
        return None
    if row["p_adjusted"] is not None and row["p_adjusted"] < alpha:
        return "better" if (row["difference"] < 0) == (name in LOWER_IS_BETTER) else "worse"
    if smallest is not None and row["reference"] and row["low"] is not None:
        text = str(smallest)
        bound = float(text.rstrip("% ")) / (100 if "%" in text else 1)
        if -bound <= row["low"] / row["reference"] and row["high"] / row["reference"] <= bound:
            return "equivalent"
    return "undecided"


def adjust(rows: list[Row], decided: list[str], metrics: Row) -> None:
    """Fill in `p_adjusted`, family by family; rows without p belong to none."""
    families: dict[str, list[Row]] = {"primary": [], "guardrails": [], "exploration": []}
    for row in rows:
        if row["p"] is None or (row["segment"] is not None and row["n_users"] < SEGMENT_USERS):
            continue
        main = row["segment"] is None and row["variant"] in decided
        role = next(role for role in ("primary", "guardrails", "also") if row["metric"] in metrics[role])
        families[role if main and role != "also" else "exploration"].append(row)
    for name, family in families.items():
        correct = holm if name == "primary" else benjamini_hochberg
        for row, value in zip(family, correct([row["p"] for row in family]), strict=True):
            row["p_adjusted"] = value


def decide(rows: list[Row], variant: str, metrics: Row, faithful: bool) -> str:
    if not faithful:
        return "invalid"
    main = {row["metric"]: row["verdict"] for row in rows if row["variant"] == variant and row["segment"] is None}
    primary = main[metrics["primary"][0]]
    if primary in ("worse", "equivalent") or any(main[name] == "worse" for name in metrics["guardrails"]):
        return "no-go"
    return "go" if primary == "better" else "undecided"
