"""The job board's past: sixteen online tests beside what Rankcast said of each before.

They are initiatives of `benchmarks/initiatives.py` on a job board of another seed. The offline numbers are dcg@10 as Rankcast
measured it there with the demo's own labels, the online numbers simulated tests with 120,000 users.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from rankcast.config.write import to_yaml

METRIC, GOAL = "dcg@10", "applications_per_request"
_LAUNCHED = 0.015  # relative gain from which the team launched


class Past(NamedTuple):
    """A test: name, treatment, what changed, first day, and both relative changes with their standard errors."""

    name: str
    treatment: str
    changes: str
    start: str
    offline: float
    offline_error: float
    online: float
    online_error: float


TESTS = (
    Past("less-noise-a-tenth", "scores", "the model learns from two years instead of one", "2022-03-07",
         0.0060, 0.0048, 0.0322, 0.0088),
    Past("wage-first", "scores", "posts that pay well are pushed up", "2022-04-04",
         -0.0320, 0.0051, -0.0050, 0.0088),
    Past("one-per-company", "steps", "treatment adds: step cap at_most 2 -> 1", "2022-05-09",
         -0.0259, 0.0033, -0.0182, 0.0088),
    Past("sees-what-survives", "scores", "the model learns from what passed the filters", "2022-06-06",
         -0.0725, 0.0073, -0.0247, 0.0088),
    Past("for-new-users", "scores", "a model of its own for new users", "2022-07-04",
         0.0049, 0.0048, 0.0464, 0.0088),
    Past("no-cap", "steps", "treatment adds: step cap at_most 2 -> 10", "2022-09-05",
         -0.0007, 0.0008, 0.0013, 0.0088),
    Past("popular-mix", "scores", "popular posts are pushed up a little", "2022-10-03",
         -0.0114, 0.0043, 0.0380, 0.0088),
    Past("retrained", "scores", "the same model, trained again", "2022-11-07",
         -0.0128, 0.0030, -0.0062, 0.0088),
    Past("steady-posts", "scores", "urgent posts are pushed down", "2023-01-16",
         -0.0605, 0.0055, -0.0663, 0.0088),
    Past("smaller-model", "scores", "a model of half the size, to save money", "2023-02-06",
         -0.0509, 0.0045, -0.0591, 0.0088),
    Past("forty-candidates", "candidates", "40 candidates instead of 80", "2023-03-06",
         -0.0118, 0.0017, -0.0134, 0.0088),
    Past("sequence-model", "scores", "the model reads the order of what users did", "2023-04-10",
         0.0271, 0.0049, 0.1118, 0.0088),
    Past("decent-wages", "steps", "treatment adds: step where item.wage >= 1450", "2023-05-08",
         -0.1551, 0.0101, -0.0790, 0.0088),
    Past("filters-in-the-model", "scores", "the user's filters become features of the model", "2023-06-05",
         -0.1051, 0.0073, -0.0645, 0.0088),
    Past("for-regulars", "scores", "a model of its own for regular users", "2023-07-03",
         0.0033, 0.0052, 0.0552, 0.0088),
    Past("distilled", "scores", "a distilled model that answers in half the time", "2023-08-07",
         -0.0835, 0.0050, -0.0782, 0.0088),
)  # fmt: skip


def write_past(folder: Path) -> None:
    """A file a test; those that are there stay as they are."""
    folder.mkdir(exist_ok=True)
    for one in TESTS:
        path = folder / f"{one.name}.yaml"
        if not path.exists():
            path.write_text(to_yaml(_document(one)), encoding="utf-8")


def _document(one: Past) -> dict[str, object]:
    start = date.fromisoformat(one.start)
    before = start - timedelta(days=21)
    return {
        "rankcast": 1,
        "online_test": one.name,
        "study": one.name,
        "pipeline": "v1",
        "period": {"from": one.start, "to": (start + timedelta(days=14)).isoformat()},
        "offline_period": {"from": before.isoformat(), "to": (before + timedelta(days=14)).isoformat()},
        "control": "production",
        "users": {"production": 60_000, "new": 60_000},
        "online": {GOAL: {"new": {"relative": one.online, "standard_error": one.online_error}}},
        "offline": {"new": {METRIC: {"relative": one.offline, "relative_error": one.offline_error}}},
        "launched": ["new"] if one.online > _LAUNCHED else [],
        "treatment": [one.treatment],
        "changes": [one.changes],
    }
