"""Holds a run against the oracle, figure by figure."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import oracle
import oracle_measure
import oracle_read
import rankcast

Row = dict[str, Any]
TOLERANCE = 1e-9


# What depends on an error, which is the bootstrap's for metrics per variant.
OF_ERRORS = {
    *("relative_low", "relative_high", "at_most_worse", "p_noninferior", "noninferior", "p_equivalent"),
    *("users_needed", "needed_for", "degrees_of_freedom"),
}
KEYS = {
    "late": ("event",),
    "averages": ("variant", "metric", "average"),
    "judgements": ("variant", "metric"),
    "standardised": ("variant", "metric", "column"),
}
RANDOM = {  # by method: what depends on chance
    "bootstrap": {
        "low",
        "high",
        "relative_low",
        "relative_high",
        "p",
        "p_adjusted",
        "minimum_detectable",
        "users_needed",
        "verdict",
    }
    | {"p_noninferior", "noninferior", "p_equivalent"},
    "permutation": {"p", "p_adjusted", "verdict"},
}


def differences(study: Path, out: Path) -> list[str]:
    """Every figure in which a run and the oracle differ."""
    expected = oracle.evaluate(study)
    document = rankcast.run(study, out=out).result.document()
    results = document["results"]
    found: list[str] = []
    found += _targets(expected["targets"], results["targets"])
    found += _rows(
        "steps", _keyed(expected["steps"], "variant", "step"), _keyed(results["steps"], "variant", "step"), set()
    )
    found += _rows(
        "variants", _keyed(expected["variants"], "variant"), _keyed(results.get("variants", []), "variant"), set()
    )
    found += _fidelity(expected["fidelity"] or {}, results["fidelity"] or {})
    random = RANDOM.get(oracle_read.load(study).get("compare", {}).get("method", "clustered"), set())
    found += _statistics(study, expected, results, random)
    for name, keys in KEYS.items():
        found += _rows(name, _keyed(expected[name], *keys), _keyed(results[name], *keys), random)
    found += _influence(expected["influence"], results["influence"])
    if not random:
        found += _reversals(expected["reversals"], results["reversals"])
    decided = {name: one["decision"] for name, one in document["decision"].items()}
    wanted = expected["decision"]
    if any(one["status"] == "fired" and one["severity"] == "error" for one in document["findings"]):
        wanted = dict.fromkeys(wanted, "invalid")  # rules have tests of their own
    if decided != wanted and not random:
        found.append(f"decision: expected {wanted}, found {decided}")
    return found


def _targets(expected: list[Row], found: list[Row]) -> list[str]:
    keys = ("scope", "step")
    problems = _rows("targets", _keyed(expected, *keys), _keyed(found, *keys), {"reason"})
    if [[row[key] for key in keys] for row in expected] != [[row[key] for key in keys] for row in found]:
        problems.append("targets: another order")
    return problems


def _statistics(study: Path, expected: Row, results: Row, random: set[str]) -> list[str]:
    """Values and comparisons."""
    metric = ("variant", "metric", "segment")
    per_variant = {"low", "high", "p", "minimum_detectable", "wins", "ties", "losses", "verdict", "p_adjusted"}
    per_variant |= OF_ERRORS
    blurred = any(_per_variant(row) for row in expected["metrics"])
    found: list[str] = []
    for name in ("metrics", "comparisons"):
        theirs = _keyed(results[name], *metric)
        for key, row in _keyed(expected[name], *metric).items():
            other = theirs.get(key)
            if other is None:
                found.append(f"{name} {key}: missing")
                continue
            skip = random | (per_variant if _per_variant(row) else set())
            if blurred and other.get("family") == "exploration":
                skip |= {
                    "p_adjusted",
                    "verdict",
                }  # a metric per variant has its p from a bootstrap, which shares the family
            p = row.get("p_adjusted")
            if p is not None and abs(p - (1 - _confidence(study))) < TOLERANCE:
                skip |= {"verdict"}
            found += _rows(f"{name} {key}", {"": _rounded(row, other)}, {"": other}, skip)
            found += _sane(f"{name} {key}", other) if random else []
        found += [f"{name} {key}: not expected" for key in set(theirs) - set(_keyed(expected[name], *metric))]
        order = [list(dict.fromkeys(repr(row["segment"]) for row in rows)) for rows in (expected[name], results[name])]
        if sorted(order[0]) == sorted(order[1]) and order[0] != order[1]:
            found.append(f"{name}: segments in another order, {order}")
    return found


def _sane(place: str, row: Row) -> list[str]:
    """What must hold whatever chance did."""
    p, low, high = row.get("p"), row["low"], row["high"]
    right = (p is None or 0 <= p <= 1) and (low is None) == (high is None) and (low is None or low <= high)
    return [] if right else [f"{place}: p {p}, low {low}, high {high}"]


def _rounded(row: Row, other: Row) -> Row:
    """Whole users: rounded up, but for a number that is whole already and has lost a digit."""
    exact, found = row.get("users_needed"), other.get("users_needed")
    if exact is None:
        return row
    near = found is not None and -1e-6 * exact <= found - exact <= 1 + 1e-6 * exact
    return row | {"users_needed": found if near and found == int(found) else math.ceil(exact)}


def _reversals(expected: list[tuple[str, str]], found: list[str]) -> list[str]:
    """A sentence for each, that names the variant and where it is the other way round."""
    left = [*found]
    for variant, where in expected:
        told = next((text for text in left if text.startswith(f"{variant}: ") and where in text), None)
        if told is None:
            return [f"reversals: nothing says {variant}, {where}: {found}"]
        left.remove(told)
    return [f"reversals: not expected: {text}" for text in left]


def _a_point(row: Row, other: Row) -> bool:
    """Is the interval of the ratio a point, which a square root of almost nothing makes 1e-8 wide?"""
    ends = [one[name] for one in (row, other) for name in ("relative_low", "relative_high")]
    return None not in ends and max(ends) - min(ends) < 1e-6 * max(1.0, abs(ends[0]))


def _influence(expected: list[Row], found: list[Row], most: int = 5) -> list[str]:
    """The oracle has all users and requests; the run those that move the difference most, in that order."""
    keys = ("variant", "metric", "unit", "id")
    mine, theirs = _keyed(expected, *keys), _keyed(found, *keys)
    problems = [f"influence {key}: not expected" for key in theirs if key not in mine]
    problems += _rows("influence", {key: mine[key] for key in theirs if key in mine}, theirs, {"moves"})
    for group in {key[:3] for key in mine}:
        sizes = sorted((row["moves"] for key, row in mine.items() if key[:3] == group), reverse=True)[:most]
        taken = [mine[key]["moves"] for key in theirs if key in mine and key[:3] == group]
        if len(sizes) != len(taken) or not all(
            math.isclose(*pair, abs_tol=TOLERANCE) for pair in zip(sizes, taken, strict=True)
        ):
            problems.append(f"influence {group}: expected those that move it by {sizes}, found {taken}")
    return problems


def _fidelity(expected: Row, found: Row) -> list[str]:
    """Tables are compared row by row, whatever their order, but for that of the steps."""
    keys = {"by": "segment", "replayed_against_logged": "metric"}
    problems = _rows("fidelity", {"": expected}, {"": found}, set(keys))
    if bool(expected) != bool(found):
        problems.append(f"fidelity: expected {expected}, found {found}")
    for name, key in keys.items():
        mine, theirs = expected.get(name, []), found.get(name, [])
        if len(theirs) != len(_keyed(theirs, key)):
            problems.append(f"fidelity {name}: repeated rows")
        problems += _rows(f"fidelity {name}", _keyed(mine, key), _keyed(theirs, key), set())
    return problems


def _per_variant(row: Row) -> bool:
    return oracle_measure.parse(row["metric"]).name in oracle_measure.PER_VARIANT


def _confidence(study: Path) -> float:
    return float(oracle_read.load(study).get("compare", {}).get("confidence", 0.95))


def _keyed(rows: list[Row], *names: str) -> dict[Any, Row]:
    return {tuple(repr(row[name]) for name in names): row for row in rows}


def _rows(place: str, expected: dict[Any, Row], found: dict[Any, Row], skip: set[str]) -> list[str]:
    problems = [f"{place} {key}: only on one side" for key in set(expected) ^ set(found)]
    for key in set(expected) & set(found):
        for name, value in expected[key].items():
            if name in ("relative_low", "relative_high") and _a_point(expected[key], found[key]):
                continue
            if name not in skip and not _same(value, found[key].get(name, "absent")):
                problems.append(f"{place} {key} {name}: expected {value!r}, found {found[key].get(name, 'absent')!r}")
    return problems


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_same(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(one == other)
