"""Small random worlds on disk, dense in the cases where replay and evaluation go wrong.

Every instant lies on a grid of six hours (with a little jitter), so that requests, intervals, events, batches and
windows touch each other's borders all the time. Few knobs decide what a world contains; the rest follows from a seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st

from world_judgement import JUDGEMENT
from world_writer import Writer

Row = dict[str, Any]

TARGETS = [
    None,
    "request.surface = 'home' AND NOT request.is_bot",
    "request.surface IN ('home', 'search')",
    "request.is_bot IS NOT TRUE",
]


# What a world may be; the first choice of every knob is the plainest, and what a failing world shrinks to.
KNOBS: dict[str, list[Any]] = {
    "size": ["tiny", "small", "full"],
    "ids": ["int", "padded", "names"],
    "zone": ["UTC", "Asia/Tokyo", "Europe/Berlin"],
    "stamps": ["naive", "utc", "zoned", "mixed"],
    "form": ["parquet", "csv", "mixed"],
    "parts": [False, True],  # several files behind a glob
    "mapped": [False, True],  # columns under other names
    "lists": [False, True],  # list-typed filters on either side, in parquet
    "tables": ["all", "all", "all", "no_impressions", "empty_impressions", "no_availability", "bare"],
    "events": ["some"] * 8 + ["none", "ungraded"],
    "known": ["newest", "late", "early"],  # until when events are complete
    "scores": ["request", "user", "mixed"],
    "batches": [False, True],  # computed_at
    "order": ["score", "tied", "rank", "mixed"],
    "candidates": ["scored", "impressions", "available", "path"],
    "steps": [0, 1, 2, 3, 4, 5],
    "arranging": [0, 1, 2, 3],  # steps that do more than filter: rerank, pin, page, python
    "pinned": ["request", "everywhere"],  # a table of pins by request, or for every request
    "log": ["replayed", "replayed", "left_out", "stale", "noisy", "own"],  # how near impressions are to the replay
    "repeats": [False, False, True],  # impressions of an item that stands higher up in the same list
    "own": [False, True],  # a variant with its own steps and length
    "rivals": [1, 2, 3],  # file-scored variants beside production
    "builtins": [0, 1, 2, 3],
    "models": [0, 0, 1, 2],  # python variants
    "baseline": ["production"] * 5 + ["logged", "python"],
    "attribute": ["request_id", "last_shown", "last_request", "any_request"],
    "horizon": ["24h", "6h", "2d", "360m"],
    "without_labels": ["exclude", "zero"],
    "average": ["request", "user", "request.keyword"],
    "where": TARGETS,
    "metrics": [1, 2, 3, 5, 8, 12, 16],
    "coverage": [0, 1, 2, 4],  # it and other metrics with a value per variant
    "segments": [0, 1, 2, 3],
    "smallest": [None, "1%", "30%", "5 %"],
    "at_least": [0.0, 0.0, 0.0, None, 0.377],
    "studies": [1, 2],
}


@dataclass(frozen=True)
class World:
    """A world that is not yet written: the same files for the same seed and knobs, always."""

    seed: int
    knobs: Row

    def write(self, folder: Path) -> list[Path]:
        return write_world(folder, Random(self.seed), **self.knobs)


def worlds(large: bool = False, judgement: tuple[str, ...] = ()) -> st.SearchStrategy[World]:
    """Worlds that shrink towards few rows, no steps, one metric; `large` ones have segments that get a verdict.

    `judgement` names the knobs of `JUDGEMENT` that are turned too.
    """
    choices = KNOBS | {name: JUDGEMENT[name] for name in judgement} | ({"size": ["large"]} if large else {})
    knobs = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in choices.items()})
    return st.builds(World, seed=st.integers(0, 2**20), knobs=knobs)


def write_world(folder: Path, rng: Random, **options: Any) -> list[Path]:
    """Write tables, service and studies; each part has its own stream of chance, so that a knob moves only its part."""
    every = KNOBS | JUDGEMENT
    unknown = options.keys() - every.keys()
    assert not unknown, unknown
    plain = {name: values[0] for name, values in every.items()}
    return Writer(folder, SimpleNamespace(**(plain | options)), rng.getrandbits(64)).write()
