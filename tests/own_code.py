"""The tiny service with a module of functions of the team's own, to be called as steps and models."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from tiny import Outcome, World, assert_refused

ANSWERED = (0, 3, 4)
HEAD = "import numpy as np\nimport polars as pl\nimport pandas as pd\nimport pyarrow as pa\n\n"


@dataclass
class Shop:
    """A tiny service with three requests and five items, and a module `shop` with code of the team's own."""

    world: World
    code: str = ""

    def steps(self, *steps: Any) -> Shop:
        """Production's steps."""
        self.world.service("production", "steps", to=list(steps))
        return self

    def variant(self, **way: Any) -> Shop:
        """The variant `new`."""
        self.world.study("variants", "new", to=way)
        return self

    def module(self, text: str) -> Shop:
        """The text of shop.py."""
        self.code = HEAD + text
        return self

    def write(self, data: bool = True) -> Shop:
        """Put everything on disk; code that was imported is forgotten."""
        self.world.write(data)
        (self.world.folder / "shop.py").write_text(self.code)
        sys.modules.pop("shop", None)
        return self

    def run(self, *more: str, command: str = "run") -> Outcome:
        """Run the study, or another command on it."""
        return self.write().world.run(*more, command=command)

    def done(self, *more: str) -> Shop:
        """Run the study, which must go well."""
        outcome = self.run(*more)
        assert outcome.code in ANSWERED, outcome.text
        return self

    def refused(self, *said: str, more: tuple[str, ...] = (), data: bool = True) -> str:
        """Run the study, which must be refused; nothing stays."""
        outcome = self.write(data).world.run(*more)
        assert_refused(outcome, *said)
        assert self.visible() == []
        return outcome.err

    def visible(self) -> list[str]:
        """What can be seen in the folder of runs."""
        return [path for path in self.world.left_behind() if "/." not in f"/{path}"]

    def folders(self) -> set[str]:
        """The ids of the runs."""
        return {path.parent.name for path in self.world.folder.glob("runs/*/*/result.json")}

    def result(self) -> dict[str, Any]:
        """The results of the only run."""
        (path,) = self.world.folder.glob("runs/*/*/result.json")
        found: dict[str, Any] = json.loads(path.read_text())["results"]
        return found

    def step(self, name: str, variant: str = "production") -> dict[str, int]:
        """The counts of a step."""
        (row,) = (row for row in self.result()["steps"] if (row["variant"], row["step"]) == (variant, name))
        return {key: value for key, value in row.items() if key not in {"variant", "step", "unknown"}}

    def slates(self, variant: str = "production") -> dict[str, str]:
        """The replayed lists, an item a letter."""
        return {request: "".join(items) for request, items in lists_of(self.only(), variant).items()}

    def scores(self, variant: str = "production") -> dict[str, list[float | None]]:
        """The scores of the replayed lists."""
        return lists_of(self.only(), variant, "score")

    def only(self) -> Path:
        """The folder of the only run."""
        (path,) = self.world.folder.glob("runs/*/*/result.json")
        return path.parent


def lists_of(folder: Path, variant: str, column: str = "item_id") -> dict[str, list[Any]]:
    """A column of the replayed lists in a run folder, by request."""
    rows = pl.read_parquet(folder / "slates" / "*.parquet").filter(pl.col("variant") == variant)
    rows = rows.sort("request_id", "rank")
    return {key: group[column].to_list() for (key,), group in rows.group_by("request_id", maintain_order=True)}


def small(folder: Path) -> World:
    """r1 lists abcd, r2 abc with a tie of a and b, r3 only e; r1 asks for no page, r2 for the first, r3 for the second."""
    world = World(folder)
    world.tables["requests"] = pl.DataFrame(
        {
            "request_id": ["r1", "r2", "r3"],
            "user_id": ["u1", "u2", "u3"],
            "timestamp": [f"2023-10-0{day}T08:00:00Z" for day in (2, 3, 4)],
            "surface": ["home"] * 3,
            "wanted": ["x", None, None],
            "bot": [False] * 3,
            "page": [None, 1, 2],
        }
    )
    world.tables["items"] = pl.DataFrame(
        {
            "item_id": list("abcde"),
            "kind": list("xxyyx"),
            "wage": range(1, 6),
            "premium": [False, False, True, False, None],
        }
    )
    world.tables["availability"] = pl.DataFrame(
        {
            "item_id": list("abcde"),
            "open_at": ["2023-01-01T00:00:00Z"] * 5,
            "close_at": pl.Series([None, None, None, None, "2023-10-04T00:00:00Z"], dtype=pl.String),
        }
    )
    rows = [("r1", "a", 5.0), ("r1", "b", 4.0), ("r1", "c", 3.0), ("r1", "d", 2.0)]
    rows += [("r2", "b", 2.0), ("r2", "a", 2.0), ("r2", "c", 1.0), ("r3", "e", 1.0)]
    world.tables["scores"] = pl.DataFrame(rows, schema=["request_id", "item_id", "score"], orient="row")
    world.tables["new"] = world.tables["scores"]
    shown = [("r1", "b", 1), ("r1", "a", 2), ("r1", "c", 3), ("r2", "a", 1), ("r3", "e", 1)]
    world.tables["impressions"] = pl.DataFrame(shown, schema=["request_id", "item_id", "rank"], orient="row")
    happened = [("u1", "b", "2023-10-02T08:05:00Z", "r1"), ("u2", "a", "2023-10-03T08:05:00Z", "r2")]
    happened += [("u3", "e", "2023-10-04T08:05:00Z", "r3"), ("u1", "a", "2023-10-30T00:00:00Z", None)]
    world.tables["events"] = pl.DataFrame(
        happened, schema=["user_id", "item_id", "timestamp", "request_id"], orient="row"
    ).with_columns(event=pl.lit("click"))
    world.service("production", "served", to=10).service("production", "steps", to=[])
    world.study("variants", to={"production": {"scores": {"path": "data/scores.parquet"}}})
    return world.study("metrics", to={"primary": "dcg@10"})


def as_is(**more: int) -> dict[str, int]:
    """The counts of a step that did nothing to the eight items."""
    return {"in": 8, "removed": 0, "requests": 0, "emptied": 0, "added": 0, "reordered": 0, **more}


MODELS = """
def wage(requests, candidates):
    return candidates["item.wage"]

def handed(requests, candidates):
    return candidates["item.wage"]

def pairs(requests, candidates):
    raise ValueError(" ".join(f"{request}{item}" for request, item in zip(candidates["request_id"], candidates["item_id"])))
"""


BAD_STEPS = """
import sys

number = 7

def adds(frame):
    return pl.concat([frame.select("request_id", "item_id"), pl.DataFrame({"request_id": ["r1"], "item_id": ["e"]})])

def repeats(frame):
    return pl.concat([frame, frame])

def drops_keys(frame):
    return frame.select("item_id", "score")

def pandas_index(frame):
    return frame.to_pandas().set_index(["request_id", "item_id"])

def none(frame):
    frame.sort("score")

def text(frame):
    return "abc"

def items(frame):
    return frame["item_id"].to_list()

def series(frame):
    return frame["item_id"]

def raises(frame):
    raise KeyError("the price is " + "high " * 2000)

def exits(frame):
    sys.exit(3)

def words(frame):
    return frame.with_columns(score=pl.lit("good"))

def numbers(frame):
    return frame.with_columns(item_id=pl.int_range(pl.len()))

def nulls(frame):
    return frame.with_columns(item_id=pl.lit(None, dtype=pl.String))

def lists(frame):
    return frame.group_by("request_id").agg("item_id")

def no_argument():
    return None

def three(frame, generators, more):
    return frame

def lazy(frame):
    return frame.lazy().select(pl.col("nope"))

def no_generator(frame, generators):
    return frame.filter(generators["r1"].no_such_thing())
"""
