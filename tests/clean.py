"""A study of the simulated service on which every rule that can be checked passes, and excerpts that change it.

An excerpt is what a rule's page shows as `good` or `bad`: parts of the two files under `# study.yaml` and `# service.yaml`,
merged into the clean files (mappings key by key, null takes a key away, lists are replaced). A line `# data: ...` says in words
what else changes; what that is, is code in `faults`.
"""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import polars as pl
from ruamel.yaml import YAML

from rankcast.testing import demo
from rankcast.testing.jobboard import simulate
from rankcast.testing.past import write_past


def merged(base: Any, change: Any) -> Any:
    """A mapping with another merged into it."""
    if not isinstance(base, Mapping) or not isinstance(change, Mapping):
        return change
    both = {key: merged(base.get(key), change[key]) if key in change else base[key] for key in {**base, **change}}
    return {key: value for key, value in both.items() if not (key in change and change[key] is None)}


OWN = {  # what the clean service says beside the demo's
    "production": {"released": "2023-06-01"},
    "rules": {"CA05": {"warn": "40%"}, "DT06": {"windows": 2}},
}


def _variant(name: str) -> dict[str, Any]:
    return {
        "scores": {"path": f"../data/scores/{name}.parquet"},
        "trained_until": "2023-09-29",
        "training": {
            "split": "global_temporal",
            "tuned_on": {"from": "2023-09-01", "to": "2023-09-15"},
            "trials": 40,
            "seeds": 5,
            "features": {"path": "../data/features.parquet"},
        },
    }


STUDY: dict[str, Any] = {
    "rankcast": 1,
    "study": "clean",
    "service": "../service.yaml",
    "treatment": ["scores"],
    "period": {"from": "2023-10-02", "to": "2023-10-16"},
    "variants": {
        "production": _variant("production"),
        "two_tower": _variant("two_tower"),
        "popular": {"builtin": "popular", "within": "28d"},
    },
    "baseline": "production",
    "metrics": {
        "primary": "dcg@10",
        "guardrails": ["coverage@10", "empty"],
        "also": ["ndcg@10", "dcg(discount=examined)@10"],
    },
    "segments": ["request.job_type", "user.tenure"],
    "compare": {"smallest_effect": "20%"},
    "online": {"metric": "applications_per_request", "events": ["apply"], "attribute": "last_request"},
    "seed": 7,
}


def write_data(folder: Path, seed: int = 4, requests: int = 6_000) -> None:
    """The simulated service's tables without its deliberate flaws, and a table of features."""
    board = simulate(seed, requests)
    board.write(folder)
    pl.read_parquet(folder / "events.parquet").unique(maintain_order=True).write_parquet(folder / "events.parquet")
    asked = board.requests.select("request_id", pl.col("requested_at").alias("at"))
    shown = board.impressions.join(asked, on="request_id").join(board.items.select("item_id", "wage"), on="item_id")
    shown.select(
        "request_id",
        "item_id",
        (pl.col("at") - pl.duration(hours=2)).alias("as_of"),
        pl.col("wage").cast(pl.Float64).alias("wage"),
    ).write_parquet(folder / "features.parquet")


SERVICE: dict[str, Any] = merged(YAML(typ="safe").load(demo.SERVICE + demo.PAST), OWN)


class Case:
    """A folder with data and the two files; files are written when `write` is called."""

    def __init__(self, folder: Path, data: Path, excerpt: str = "") -> None:
        self.folder = folder
        shutil.copytree(data, folder / "data")
        write_past(folder / "history")
        self.service: dict[str, Any] = deepcopy(merged(SERVICE, part_of(excerpt, "service")))
        self.study: dict[str, Any] = deepcopy(merged(STUDY, part_of(excerpt, "study")))

    def table(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(self.folder / "data" / f"{name}.parquet")

    def put(self, name: str, frame: pl.DataFrame) -> None:
        frame.write_parquet(self.folder / "data" / f"{name}.parquet")

    def write(self) -> Path:
        """Write both files; the study's path."""
        (self.folder / "studies").mkdir(exist_ok=True)
        dump(self.service, self.folder / "service.yaml")
        dump(self.study, self.folder / "studies" / "clean.yaml")
        return self.folder / "studies" / "clean.yaml"


def part_of(excerpt: str, file: str) -> dict[str, Any]:
    """What an excerpt says of one of the two files."""
    found = re.search(
        rf"^# {file}\.yaml\n(.*?)(?=^# (?:study|service)\.yaml\n|\Z)", excerpt.strip() + "\n", re.MULTILINE | re.DOTALL
    )
    return (YAML(typ="safe").load(found[1]) or {}) if found else {}


def dump(document: Mapping[str, Any], path: Path) -> None:
    text = io.StringIO()
    YAML(typ="safe").dump(dict(document), text)
    path.write_text(text.getvalue(), encoding="utf-8")
