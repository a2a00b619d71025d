"""Records of past online tests for tests, and what `rankcast history report` says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tiny import Outcome, rankcast

NOISE = np.random.default_rng(5).normal(0, 0.003, 40)


def record(name: str, x: float, y: float, **keys: Any) -> dict[str, Any]:
    """An online test: offline x, online y, relative changes."""
    return {
        "rankcast": 1,
        "online_test": name,
        "study": f"study-{name}",
        "period": {"from": "2022-03-01", "to": "2022-03-15"},
        "control": "production",
        "online": {"apply_rate": {"new": {"relative": y, "standard_error": 0.004}}},
        "offline": {"new": {"dcg@10": {"relative": x, "relative_error": 0.003}}},
        **keys,
    }


def alike(count: int, slope: float = 0.7, prefix: str = "t", **keys: Any) -> list[dict[str, Any]]:
    """Tests of which offline foretells online."""
    offline = [0.012 * ((at * 7) % 11 - 5) for at in range(count)]
    return [
        record(
            f"{prefix}{at:02}",
            round(x, 6),
            round(slope * x + NOISE[at], 6),
            period={"from": f"2022-{at % 12 + 1:02}-01", "to": f"2022-{at % 12 + 1:02}-15"},
            **keys,
        )
        for at, x in enumerate(offline)
    ]


def write(folder: Path, documents: list[dict[str, Any]]) -> Path:
    """A record of these tests."""
    folder.mkdir(parents=True, exist_ok=True)
    for at, one in enumerate(documents):
        (folder / f"f{at:03}.yaml").write_text(json.dumps(one), encoding="utf-8")
    return folder


def report(folder: Path, *more: str) -> Outcome:
    """What is said of a record."""
    where = ("--out", str(folder / "no-runs"), "--to", str(folder / "page"))
    return rankcast("history", "report", str(folder), *where, *more)


def numbers(outcome: Outcome) -> dict[str, Any]:
    """The numbers of `--json`."""
    assert outcome.code == 0, outcome.text
    return dict(json.loads(outcome.out))
