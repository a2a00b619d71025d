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


def differences(study: Path, out: Path) -> list[str]:
    """Every figure in which a run and the oracle differ."""
    expected = oracle.evaluate(study)
    document = rankcast.run(study, out=out).result.document()
    results = document["results"]
    found: list[str] = []
    found += _rows("targets", _keyed(expected["targets"], "step"), _keyed(results["targets"], "step"), {"reason"})
    found += _rows(
        "steps", _keyed(expected["steps"], "variant", "step"), _keyed(results["steps"], "variant", "step"), set()
    )
    found += _rows(
        "variants", _keyed(expected["variants"], "variant"), _keyed(results.get("variants", []), "variant"), set()
    )
    found += _fidelity(expected["fidelity"] or {}, results["fidelity"] or {})
    metric = ("variant", "metric", "segment")
    per_variant = {"low", "high", "p", "minimum_detectable", "wins", "ties", "losses", "verdict", "p_adjusted"}
    blurred = any(_per_variant(row) for row in expected["metrics"])
    for name in ("metrics", "comparisons"):
        for key, row in _keyed(expected[name], *metric).items():
            other = _keyed(results[name], *metric).get(key)
            if other is None:
                found.append(f"{name} {key}: missing")
                continue
            skip = set(per_variant) if _per_variant(row) else set()
            if blurred and other.get("family") == "exploration":
                skip |= {
                    "p_adjusted",
                    "verdict",
                }  # a metric per variant has its p from a bootstrap, which shares the family
            p = row.get("p_adjusted")
            if p is not None and abs(p - (1 - _confidence(study))) < TOLERANCE:
                skip.add("verdict")
            found += _rows(f"{name} {key}", {"": row}, {"": other}, skip)
        extra = set(_keyed(results[name], *metric)) - set(_keyed(expected[name], *metric))
        found += [f"{name} {key}: not expected" for key in extra]
    decided = {name: one["decision"] for name, one in document["decision"].items()}
    if decided != expected["decision"]:
        found.append(f"decision: expected {expected['decision']}, found {decided}")
    return found


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
