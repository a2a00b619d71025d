"""A correct tiny service on disk, to break one thing at a time; and the command line, called in this process."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from typer.testing import CliRunner

from rankcast.cli.app import app

MOST_LINES = 40  # an error fits a screen

USERS, ITEMS = ("u1", "u2", "u3", "u4"), tuple(f"i{number}" for number in range(1, 9))
_REQUESTS = [(f"r{n:02}", USERS[n % 4], f"2023-10-{2 + n:02}T0{n % 9}:00:00Z") for n in range(12)]

TABLES: Mapping[str, pl.DataFrame] = {
    "requests": pl.DataFrame(_REQUESTS, schema=["request_id", "user_id", "timestamp"], orient="row").with_columns(
        surface=pl.Series(["home", "search"] * 6), wanted=pl.Series([None, "a", "b"] * 4), bot=False
    ),
    "items": pl.DataFrame(
        {"item_id": ITEMS, "kind": list("aabbaabb"), "wage": range(8), "is_test": [False] * 7 + [True]}
    ),
    "availability": pl.DataFrame(
        {
            "item_id": ITEMS,
            "open_at": ["2023-01-01T00:00:00Z"] * 8,
            "close_at": [None] * 6 + ["2023-10-05T00:00:00Z"] * 2,
        }
    ),
    "impressions": pl.DataFrame(
        [(request, ITEMS[(n + at) % 6], at + 1) for n, (request, _, _) in enumerate(_REQUESTS) for at in range(3)],
        schema=["request_id", "item_id", "rank"],
        orient="row",
    ),
    "events": pl.DataFrame(
        [
            (user, ITEMS[n % 6], time.replace(":00:00Z", ":05:00Z"), ("click", "apply")[n % 2], request)
            for n, (request, user, time) in enumerate(_REQUESTS)
        ]
        + [("u1", "i1", "2023-10-30T00:00:00Z", "click", None)],
        schema=["user_id", "item_id", "timestamp", "event", "request_id"],
        orient="row",
    ),
    "users": pl.DataFrame({"user_id": USERS, "tenure": ["new", "old", "new", "old"]}),
    "scores": pl.DataFrame(
        [
            (request, item, float((3 * at + n) % 8))
            for n, (request, _, _) in enumerate(_REQUESTS)
            for at, item in enumerate(ITEMS)
        ],
        schema=["request_id", "item_id", "score"],
        orient="row",
    ),
}
TIMES = ("timestamp", "open_at", "close_at", "computed_at")

SERVICE: dict[str, Any] = {
    "rankcast": 1,
    "service": "tiny",
    "tables": {name: {"path": f"data/{name}.parquet"} for name in TABLES if name != "scores"},
    "production": {
        "candidates": "scored",
        "steps": [
            {"match": {"request.wanted": "item.kind"}},
            "available",
            {"not_seen": {"events": ["apply"], "within": "365d"}},
            {"where": "NOT item.is_test"},
            {"cap": {"by": "item.kind", "at_most": 2}},
        ],
        "served": 3,
    },
    "labels": {"grades": {"click": 1, "apply": 4}, "horizon": "7d", "attribute": "request_id"},
    "targets": {
        "where": "request.surface = 'home' AND NOT request.bot",
        "without_labels": "exclude",
        "average": "request",
    },
}
STUDY: dict[str, Any] = {
    "rankcast": 1,
    "study": "first",
    "service": "service.yaml",
    "owner": "team",
    "treatment": ["scores"],
    "period": {"from": "2023-10-01", "to": "2023-10-15"},
    "variants": {
        "production": {"scores": {"path": "data/scores.parquet"}},
        "new": {"scores": {"path": "data/new.parquet"}},
        "popular": {"builtin": "popular", "within": "28d"},
    },
    "baseline": "production",
    "metrics": {"primary": "dcg@10", "guardrails": ["coverage@3"], "also": ["ndcg@10"]},
    "segments": ["user.tenure"],
    "fidelity": {"at_least": 0.0},
    "compare": {"confidence": 0.95, "smallest_effect": "1%", "correction": "holm"},
    "seed": 7,
}
GONE = object()  # `world.service("labels", "horizon", to=GONE)` takes a key out


@dataclass(frozen=True)
class Outcome:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Everything that it said."""
        return self.out + self.err


@dataclass
class World:
    """The tiny service in a folder: change its documents and tables, then `write` and `run`."""

    folder: Path
    ending: str = "parquet"
    service_document: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(SERVICE))
    study_document: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(STUDY))
    tables: dict[str, pl.DataFrame] = field(default_factory=lambda: {**TABLES, "new": TABLES["scores"]})

    def __post_init__(self) -> None:
        if self.ending != "parquet":
            written = json.dumps([self.service_document, self.study_document]).replace(".parquet", f".{self.ending}")
            self.service_document, self.study_document = json.loads(written)

    def service(self, *place: str | int, to: Any) -> World:
        """Set (or take out) a key of service.yaml."""
        _put(self.service_document, place, to)
        return self

    def study(self, *place: str | int, to: Any) -> World:
        """Set (or take out) a key of study.yaml."""
        _put(self.study_document, place, to)
        return self

    def table(self, name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> World:
        """Change a table."""
        self.tables[name] = change(self.tables[name])
        return self

    def data(self, name: str) -> Path:
        """The file of a table."""
        return self.folder / "data" / f"{name}.{self.ending}"

    def write(self, data: bool = True) -> World:
        """Put everything on disk. JSON is YAML, so the documents are written as they are, a key a line."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        for name, frame in self.tables.items() if data else ():
            self._write_table(frame, self.data(name))
        (self.folder / "service.yaml").write_text(
            json.dumps(self.service_document, indent=1, ensure_ascii=False), encoding="utf-8"
        )
        (self.folder / "study.yaml").write_text(
            json.dumps(self.study_document, indent=1, ensure_ascii=False), encoding="utf-8"
        )
        return self

    def _write_table(self, frame: pl.DataFrame, path: Path) -> None:
        if self.ending == "csv":
            frame.write_csv(path)
        elif self.ending == "ndjson":
            frame.write_ndjson(path)
        else:
            texts = [name for name in TIMES if frame.schema.get(name) == pl.String]
            if all(frame[name].str.contains(r"^\d{4}-").all() for name in texts):
                frame = (
                    frame.with_columns(pl.col(*texts).str.to_datetime(time_unit="us", time_zone="UTC"))
                    if texts
                    else frame
                )
            frame.write_parquet(path)

    def run(self, *more: str, command: str = "run") -> Outcome:
        """`rankcast run study.yaml --out runs`, or another command on the study."""
        where = ["--out", str(self.folder / "runs"), "--quiet"] if command == "run" else []
        return rankcast(command, str(self.folder / "study.yaml"), *where, *more)

    def left_behind(self) -> list[str]:
        """What stands in the folder of runs."""
        runs = self.folder / "runs"
        return (
            sorted(str(path.relative_to(runs)) for path in runs.rglob("*") if path.is_file()) if runs.exists() else []
        )


def rankcast(*arguments: str) -> Outcome:
    """The command line."""
    answer = CliRunner().invoke(app, list(arguments))
    return Outcome(answer.exit_code, answer.stdout, answer.stderr)


def assert_refused(outcome: Outcome, *said: str) -> None:
    """The user's input is at fault: exit 2, at most a screen, no traceback, and it says each of `said`."""
    assert "bug in Rankcast" not in outcome.text, outcome.text
    assert "Traceback" not in outcome.text, outcome.text
    assert outcome.code == 2, (outcome.code, outcome.text)
    lines = outcome.err.splitlines()
    assert 0 < len(lines) <= MOST_LINES, f"{len(lines)} lines"
    assert len(outcome.err) <= MOST_LINES * 120, f"{len(outcome.err)} characters"
    assert "\x1b" not in outcome.err
    for words in said:
        assert words in outcome.err, f"{words!r} is not in:\n{outcome.err}"


def _put(document: Any, place: tuple[str | int, ...], value: Any) -> None:
    for part in place[:-1]:
        document = document[part]
    if value is GONE:
        del document[place[-1]]
    else:
        document[place[-1]] = value
