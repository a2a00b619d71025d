"""Writes the tables of one small random world."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

import oracle_read
import oracle_replay
import world_judgement

Row = dict[str, Any]

GRID = timedelta(hours=6)
TICK = timedelta(microseconds=1)
SHAPES = {"tiny": (1, 3, 4), "small": (5, 14, 10), "full": (12, 40, 25), "large": (70, 210, 18)}  # users, asks, items
STARTS = (date(2023, 10, 2), date(2023, 10, 27), date(2023, 3, 24))  # the last two hold a clock change in Berlin
NAMES = ["ä", "ñandú", "求人", "zebra", "Ω", "é", "e\u0301", "Z", "a", "\U0001d518", "ﬀ", "ß", "仕事", "b", "É"]
THEIRS = {"request_id": "req", "user_id": "member_id", "item_id": "post", "timestamp": "happened_at", "score": "model"}
THEIRS |= {"visited": "visit", "worth": "weight"}
WORDS = {"job": ["cook", "nurse", "driver"], "city": ["x", "y"], "company": ["acme", "umbra", "hooli"]}


class Tables:
    """All tables of a world, and what is known about them while they are written."""

    def __init__(self, folder: Path, world: SimpleNamespace, base: int) -> None:
        self.folder, self.world, self.base = folder, world, base
        rng = self.chance("frame")
        self.zone = ZoneInfo(world.zone)
        first = rng.choice(STARTS)
        self.day = datetime(first.year, first.month, first.day, tzinfo=self.zone)
        self.start = self.day.astimezone(UTC)
        users, requests, items = SHAPES[world.size]
        self.users = self.identities("u", users + 1)  # the last one never asks
        self.items = self.identities("i", items + 2)  # the last two are missing from `items`
        self.request_ids = self.identities("r", requests)
        self.quality = {item: rng.random() for item in self.items}
        self.bare = world.tables == "bare"
        self.served = rng.choice([1, 3, 4, 8])
        self.scored = world.builtins == 0 and world.baseline != "logged"  # does every variant have scores?
        self.preferred: dict[Any, list[Any]] = {}  # production's order, by request or by user
        self.shown: dict[Any, list[Any]] = {}
        self.pin_tables = 0
        self.logged = not self.bare and world.tables != "no_impressions"
        self.available = not self.bare and world.tables != "no_availability"
        self.grades = world_judgement.grades(self.chance("grades"), world)
        self.candidates = {
            "scored": "scored",
            "impressions": "impressions" if self.logged else "scored",
            "available": "available" if self.available else "scored",
            "path": {"path": "data/candidates.parquet"},
        }[world.candidates]

    def chance(self, name: str) -> Random:
        return Random(f"{self.base}/{name}")

    def identities(self, name: str, count: int) -> list[Any]:
        """Padded numbers stay text in csv too, and their order as text is not their order as numbers."""
        numbers = self.chance("ids-" + name).sample(range(1, 40 + 3 * count), count)
        if self.world.ids == "int":
            return numbers
        return [
            f"0{n}" if self.world.ids == "padded" else NAMES[n % len(NAMES)] + str(n // len(NAMES)) for n in numbers
        ]

    def moment(self, rng: Random, first: int = 0, last: int = 20) -> datetime:
        jitter = rng.choice(
            [timedelta(0)] * 5 + [TICK, -TICK, GRID / 6, GRID / 2, timedelta(seconds=rng.randrange(9999))]
        )
        if self.world.zone == "Europe/Berlin" and rng.random() < 0.2:
            return self.start + 8 * GRID + rng.choice([2.5, 3, 3.5]) * GRID / 6
        return self.start + rng.randint(first, last) * GRID + jitter

    def keep(self, name: str, rows: list[Row], schema: Row, flat: bool = True, folder: str = "data") -> Row:
        """Write a table in the world's dialect, rows shuffled, and return its entry for the YAML file.

        In a schema None stands for an id. Tables that are not flat have lists, which csv cannot hold.
        """
        world, rng = self.world, self.chance("file-" + name)
        rng.shuffle(rows)
        stamps = rng.choice(["naive", "utc", "zoned"]) if world.stamps == "mixed" else world.stamps
        csv = flat and (world.form == "csv" or (world.form == "mixed" and rng.random() < 0.5))
        columns = {ours: theirs for ours, theirs in THEIRS.items() if ours in schema} if world.mapped else {}
        time = pl.Datetime("ns" if rng.random() < 0.3 else "us", {"utc": "UTC", "zoned": world.zone}.get(stamps))
        own: dict[Any, Any] = {
            pl.Datetime: pl.String if csv else time,
            None: pl.Int64 if world.ids == "int" else pl.String,
        }
        types = {columns.get(column, column): own.get(kind, kind) for column, kind in schema.items()}
        separator = rng.choice("T ")
        table = []
        for row in rows:
            cells = []
            for column, kind in schema.items():
                cell = row[column]
                if kind is pl.Datetime and cell is not None:
                    cell = cell.astimezone(UTC if stamps == "utc" else self.zone)
                    cell = cell.replace(tzinfo=None) if stamps == "naive" else cell
                    odd = name in ("requests", "events") and stamps == "naive" and world.zone == "Europe/Berlin"
                    if odd and cell.hour in (2, 3) and cell.date() == self.day.date() + timedelta(days=2):
                        cell = cell.replace(hour=2, minute=30)  # in a night of clock change: skipped, or there twice
                    cell = cell.isoformat(separator) if csv else cell
                cells.append(cell)
            table.append(cells)
        ending = "csv" if csv else "parquet"
        half = len(table) // 2
        pieces = [table[:half], table[half:]] if world.parts and half else [table]
        for number, piece in enumerate(pieces):
            path = self.folder / folder / (f"{name}/part-{number}.{ending}" if world.parts else f"{name}.{ending}")
            path.parent.mkdir(parents=True, exist_ok=True)
            frame = pl.DataFrame(piece, schema=types, orient="row")
            frame.write_csv(path) if csv else frame.write_parquet(path)
        entry: Row = {"path": f"{folder}/{name}/*.{ending}" if world.parts else f"{folder}/{name}.{ending}"}
        return entry | ({"columns": columns} if columns else {})

    def attribute(self, rng: Random, name: str, many: bool) -> Any:
        value = rng.choice([*WORDS[name], None])
        return rng.sample(WORDS[name], rng.randint(0, 2)) if many and value else value

    def write_requests(self) -> Row:
        rng = self.chance("requests")
        lists = self.world.lists and rng.random() < 0.7
        self.requests: list[Row] = []
        for identity in self.request_ids:
            previous = self.requests[-1] if self.requests and rng.random() < 0.15 else None
            self.requests.append({
                "request_id": identity,
                "user_id": previous["user_id"] if previous else rng.choice(self.users[:-1]),
                "timestamp": previous["timestamp"] if previous else self.moment(rng, 2, 18),
                "surface": rng.choice(["home", "home", "home", "search", "mail", None]),
                "is_bot": rng.choice([False, False, False, True, None]),
                "job": self.attribute(rng, "job", lists),
                "city": self.attribute(rng, "city", False),
                "keyword": rng.choice(["k", "l", "m", None]),
                "page": self.chance(f"page-{identity}").choice([1, 1, 1, 2, 3, None]),
                **world_judgement.context(self.chance(f"context-{identity}"), self.world),
            })  # fmt: skip
        always = self.requests[0]  # a study without any request to replay would be refused
        always |= {"surface": "home", "is_bot": False, "timestamp": self.start + 9 * GRID, "page": 1}
        always |= {"price": 50.0}  # a csv column without any value would have no type
        schema: Row = {"request_id": None, "user_id": None, "timestamp": pl.Datetime, "surface": pl.String}
        schema |= {"is_bot": pl.Boolean, "job": pl.List(pl.String) if lists else pl.String}
        schema |= {"city": pl.String, "keyword": pl.String} | ({"page": pl.Int64} if self.world.arranging else {})
        schema |= world_judgement.context_schema(self.world)
        return self.keep("requests", list(self.requests), schema, not lists)

    def write_items(self) -> Row:
        rng = self.chance("items")
        lists = self.world.lists and rng.random() < 0.7
        rows = [
            {
                "item_id": item,
                "job": self.attribute(rng, "job", lists),
                "city": self.attribute(rng, "city", False),
                "company": self.attribute(rng, "company", False),
                "wage": rng.choice([8.5, 10.0, 12.0, 15.25, None]),
                "is_test": rng.choice([False, False, False, True, None]),
            }
            for item in self.items[:-2]
        ]
        rows[0] |= {"wage": 12.0, "is_test": False}  # a csv column without any value would have no type
        schema: Row = {"item_id": None, "job": pl.List(pl.String) if lists else pl.String, "city": pl.String}
        schema |= {"company": pl.String, "wage": pl.Float64, "is_test": pl.Boolean}
        return self.keep("items", rows, schema, not lists)

    def write_availability(self) -> Row:
        rng = self.chance("availability")
        rows = []
        for item in self.items:
            for _ in range(rng.choice([0, 1, 1, 1, 1, 2, 3])):
                opens = self.start + rng.choice([*range(-4, 15), 8, 8, 8]) * GRID + rng.choice([0, 0, 1]) * GRID / 2
                closes = rng.choice([None, opens, *[opens + rng.randint(1, 16) * GRID] * 6])
                rows.append({"item_id": item, "open_at": opens, "close_at": closes})
        return self.keep("availability", rows, {"item_id": None, "open_at": pl.Datetime, "close_at": pl.Datetime})

    def replayed(self, draft: Path) -> dict[Any, list[Any]]:
        """What production would have listed by the oracle, without the cut; as far as the world's log is in step."""
        rng, world = self.chance("log"), self.world
        past = oracle_read.open_world(draft)
        steps = past.steps["production"]
        if world.log == "left_out" and steps:
            left_out = rng.randrange(len(steps))
            steps = steps[:left_out] + steps[left_out + 1 :]
        lists = {}
        for request in past.requests:
            asked = request | ({"timestamp": request["timestamp"] - 2 * GRID} if world.log == "stale" else {})
            order = oracle_replay.ranked(past, "production", asked)
            if world.log == "noisy" and rng.random() < 0.5:
                order = [pair for pair in order if rng.random() < 0.8]
            made = oracle_replay.trace(past, steps, request, order, self.served)
            lists[request["request_id"]] = [item for item, _ in made.lists[-1]]
        return lists

    def write_shown(self, replayed: dict[Any, list[Any]]) -> Row:
        """What production listed: what the replay says, or its own first items, or something else."""
        rng, world = self.chance("impressions"), self.world
        own = world.log == "own" or self.candidates == "impressions"
        rows = []
        for request in self.requests if world.tables != "empty_impressions" else []:
            one = request["request_id"]
            order = self.preferred.get(one) or self.preferred.get(request["user_id"]) or self.items
            order = order if own else replayed.get(one, [])
            count = rng.choice([0, 1, *[self.served] * 6, 6])
            odd = rng.random() < (0.3 if own else 0.2 if world.log == "noisy" else 0.08)
            shown = rng.sample(self.items, min(count, len(self.items))) if odd else order[:count]
            if world.log == "noisy" and len(shown) > 1 and rng.random() < 0.4:
                place = rng.randrange(len(shown) - 1)
                shown[place : place + 2] = [shown[place + 1], shown[place]]
            if world.repeats and shown and rng.random() < 0.4:
                shown = [*shown]
                shown.insert(rng.randint(1, len(shown)), shown[0])
            self.shown[one] = shown
            for rank, item in enumerate(shown, start=1):
                tied = rank - (rank > 1 and rng.random() < (0.25 if own else 0.04))
                rows.append({"request_id": one, "item_id": item, "rank": tied})
        return self.keep("impressions", rows, {"request_id": None, "item_id": None, "rank": pl.Int64})

    def write_pins(self, number: int) -> Row:
        """Some items at fixed ranks, for all requests or for some; also for one that never was."""
        rng = self.chance(f"pins-{number}")
        everywhere = self.world.pinned == "everywhere"
        rows: list[Row] = []
        for request in [None] if everywhere else self.request_ids:
            many = rng.randint(1, 2) if everywhere else rng.choice([0, 0, 1, 2])
            ranks, items = rng.sample([1, 1, 2, 3, 5, 40], many), rng.sample(self.items, many)
            for rank, item in dict(zip(ranks, items, strict=True)).items():
                rows.append({"request_id": request, "item_id": item, "rank": rank})
        nobody = 10**6 if self.world.ids == "int" else "nobody"
        rows += [] if everywhere else [{"request_id": nobody, "item_id": self.items[0], "rank": 1}]
        schema: Row = {"item_id": None, "rank": pl.Int64} | ({} if everywhere else {"request_id": None})
        return self.keep(f"pins-{number}", rows, schema)

    def write_events(self) -> Any:
        rng, world = self.chance("events"), self.world
        horizon = {"24h": 4, "6h": 1, "2d": 8, "360m": 1}[world.horizon] * GRID
        offsets = [
            timedelta(0),
            horizon,
            horizon - TICK,
            horizon / 2,
            horizon / 3,
            horizon / 4,
            -TICK,
            TICK,
            -GRID,
            -2 * GRID,
            *world_judgement.widest(self.grades),
        ]
        kinds = ["view", "scroll"] if world.events == "ungraded" else ["click", "click", "save", "apply", "view"]
        kinds += world_judgement.kinds(world) if world.events != "ungraded" else []
        rows: list[Row] = []
        for request in self.requests if world.events != "none" else []:
            shown = self.shown.get(request["request_id"]) or self.items
            for _ in range(rng.choice([0, 1, 1, 2, 3])):
                item = max(rng.choices(shown, k=2), key=self.quality.__getitem__)
                time = request["timestamp"] + rng.choice(offsets)
                bears = rng.choice([request["request_id"]] * 8 + [None, rng.choice(self.request_ids)])
                user = request["user_id"] if rng.random() < 0.92 else rng.choice(self.users)
                event = {"user_id": user, "item_id": item, "timestamp": time, "event": rng.choice(kinds)}
                rows += [event | {"request_id": bears}] * rng.choice([1, 1, 1, 1, 2])
                if rng.random() < 0.3:
                    other = rng.choice([{"event": rng.choice(kinds)}, {"request_id": rng.choice(self.request_ids)}])
                    rows.append(event | {"request_id": bears} | other)
        for _ in range(len(rows) // 4):  # what nobody asked for
            item = rng.choice(self.items)
            event = {"user_id": rng.choice(self.users), "item_id": item, "timestamp": self.moment(rng, -8, 20)}
            rows.append(event | {"event": rng.choice(kinds), "request_id": None})
        bearing = world.attribute == "request_id" or rng.random() < 0.7
        first = self.day.date()
        own = self.chance("event-tables")
        rows += world_judgement.followers(own, self.grades, rows)
        entries = world_judgement.event_tables(own, world, rows, self.keep, first, bearing, self.grades)
        until = {"late": first + timedelta(days=12), "early": f"{first + timedelta(days=3)}T12:00:00"}
        if world.untils == "same" and world.known in until:
            for entry in entries if isinstance(entries, list) else [entries]:
                entry["complete_until"] = until[world.known]
        return entries

    def write_scores(self, name: str, skill: float) -> Row:
        rng, world = self.chance("scores-" + name), self.world
        style = rng.choice(["score", "tied", "rank"]) if world.order == "mixed" else world.order
        key = "user_id" if world.scores == "user" or (world.scores == "mixed" and rng.random() < 0.5) else "request_id"
        keys = self.users if key == "user_id" else self.request_ids
        times: list[datetime | None] = [None]
        if world.batches:
            times = [self.start + step * GRID for step in rng.sample([-3, 3, 6, 9, 12, 40], rng.randint(1, 3))]
        rows = []
        for owner in keys:
            for time in times:
                if rng.random() < 0.1:
                    continue
                chosen = rng.sample(self.items, rng.randint(1, len(self.items)))
                score = {item: skill * self.quality[item] + (1 - skill) * rng.random() for item in chosen}
                order = sorted(chosen, key=lambda item: -score[item])
                self.preferred.setdefault(owner, order)
                for rank, item in enumerate(order, start=1):
                    tied = rng.choice([-0.0, 0.0, 0.25, 0.5]) if rng.random() < 0.5 else round(score[item] * 2) / 2
                    value = tied if style == "tied" else round(score[item], 4)
                    tied_rank = rank - (rank > 1 and rng.random() < 0.1)
                    rows.append({key: owner, "item_id": item, "computed_at": time, "score": value, "rank": tied_rank})
        ordering: Row = {"rank": pl.Int64} if style == "rank" else {"score": pl.Float64}
        self.scored = self.scored and style != "rank"
        schema: Row = {key: None, "item_id": None} | ({"computed_at": pl.Datetime} if world.batches else {}) | ordering
        return {"scores": self.keep(name, rows, schema, folder="scores")}
