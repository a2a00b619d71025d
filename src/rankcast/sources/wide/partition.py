"""Score files and candidate tables, partitioned by user while they stream by."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl

from rankcast.errors import Problem
from rankcast.sources import border
from rankcast.sources.encode import Encoder, Encoders, micros
from rankcast.sources.wide.shelf import Records, Room, Shelf
from rankcast.sources.wide.table import Wide
from rankcast.tables import columns as c
from rankcast.tables.logs import FOREVER, Ints, Requests, Scores
from rankcast.tables.ragged import ascending

_LOOK_UP = 1 << 24  # integer ids up to here are looked up in a table
_EXAMPLES = 3
Codes = np.ndarray


class Dictionary:
    """Numbers for item ids in the order in which they turn up, where not all ids are known before."""

    def __init__(self, known: pl.Series) -> None:
        self.ids = known
        self._table: Codes | None = None

    def codes(self, values: pl.Series) -> Codes:
        """The number of each id; a new one for each that was not seen before."""
        found = self._find(values)
        fresh = values.filter(pl.Series(found < 0)).unique(maintain_order=True)
        if len(fresh):
            self.ids = pl.concat([self.ids.cast(values.dtype), fresh.rename(self.ids.name)])
            self._table = None
            found = self._find(values)
        return found

    def _find(self, values: pl.Series) -> Codes:
        table = self._look_up(values)
        if table is not None:
            found: Codes = table[values.to_numpy()]
            return found
        return Encoder(self.ids).codes(values).astype(np.int32)

    def _look_up(self, values: pl.Series) -> Codes | None:
        """A table from id to number, where ids are small integers."""
        if values.dtype != pl.Int64 or not len(values):
            return None
        low, high = int(values.min()), int(values.max())  # type: ignore[arg-type]
        if low < 0 or high >= _LOOK_UP or (len(self.ids) and self.ids.dtype != pl.Int64):
            return None
        if self._table is None or high >= len(self._table):
            known = self.ids.to_numpy()
            inside = (known >= 0) & (known < _LOOK_UP)
            table = np.full(max(high, int(known[inside].max(initial=0))) + 1, -1, dtype=np.int32)
            table[known[inside]] = np.flatnonzero(inside)
            self._table = table
        return self._table

    def places(self, encoder: Encoder) -> Ints:
        """For each number, the code that an encoder gives the id."""
        return encoder.codes(self.ids)


@dataclass
class _Owned:
    """What score files and candidate tables share: rows that belong to requests or users."""

    wide: Wide
    shelf: Shelf
    part_of: Codes  # by owner code; -1 for owners whose rows are not wanted
    owners: Encoder
    by_user: bool
    places: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    total: int = 0
    unknown: int = 0
    not_items: int = 0

    def owner_codes(self, frame: pl.DataFrame) -> Ints:
        """The owner of each row; -1 for one without a request. Rows of one owner mostly stand together."""
        ids = frame[c.USER_ID if self.by_user else c.REQUEST_ID]
        starts = (ids != ids.shift()).fill_null(value=True).arg_true()
        if len(starts) > len(ids) // 4:
            return self.owners.codes(ids)
        first = starts.to_numpy()
        return np.repeat(self.owners.codes(ids.gather(starts)), np.diff(np.append(first, len(ids))))

    def sort_in(self, frame: pl.DataFrame, items: Dictionary, known: Codes | None) -> None:
        """Take a batch of checked rows. `known` says by item number which items the table of items has."""
        owner = self.owner_codes(frame)
        inside = owner >= 0
        self.total += len(owner)
        if not inside.all():
            frame, owner = frame.filter(pl.Series(inside)), owner[inside]
        self.unknown += len(inside) - len(owner)
        item = items.codes(frame[c.ITEM_ID])
        if known is not None:
            self.not_items += int((item >= len(known)).sum()) + int((~known[item[item < len(known)]]).sum())
        part = self.part_of[owner]
        records = self.records(frame, owner, item)
        wanted = part >= 0
        if not wanted.all():
            part, records = part[wanted], records[wanted]
        self.shelf.append(part, records)

    def records(self, frame: pl.DataFrame, owner: Ints, item: Codes) -> Records:
        """Rows as they are kept."""
        raise NotImplementedError


@dataclass
class ScoreRows(_Owned):
    """A score file by part; `read` gives the canonical order: owner, batch, best first, ties by item."""

    ranked: bool = False
    batched: bool = False
    RECORD: ClassVar = [("owner", "<i4"), ("item", "<i4"), ("value", "<f8")]
    BATCHED: ClassVar = [*RECORD, ("computed", "<i8")]

    def records(self, frame: pl.DataFrame, owner: Ints, item: Codes) -> Records:
        rows = np.empty(len(owner), dtype=self.shelf.dtype)
        rows["owner"], rows["item"] = owner, item
        value = -frame[c.RANK].cast(pl.Float64) if self.ranked else frame[c.SCORE]
        rows["value"] = value.to_numpy() + 0.0  # -0.0 equals 0.0
        if self.batched:
            rows["computed"] = micros(frame[c.COMPUTED_AT])
        return rows

    def settle(self, places: Ints, ids: tuple[pl.Series, pl.Series]) -> list[Problem]:
        """Once all rows are in: put every part in order, and find what stands twice."""
        self.places = places
        broken: list[Records] = []
        count = 0
        for part in range(self.shelf.parts):
            rows = self.shelf.read(part)
            ordered = self._ordered(rows)
            if ordered is not rows:
                self.shelf.replace(part, ordered)
            twice = self._repeated(ordered)
            count += len(twice)
            broken += [ordered[twice[:_EXAMPLES]]] if len(twice) else []
        return [self._problem(count, np.concatenate(broken), ids)] if count else []

    def read(self, part: int) -> Scores:
        """One part, ready for look-ups."""
        rows = self.shelf.read(part)
        owner = rows["owner"].astype(np.int64)
        computed = rows["computed"] if self.batched else None
        fresh = np.ones(len(rows), dtype=bool)
        fresh[1:] = owner[1:] != owner[:-1]
        if computed is not None:
            fresh[1:] |= computed[1:] != computed[:-1]
        start = np.flatnonzero(fresh)
        return Scores(
            by_user=self.by_user,
            ranked=self.ranked,
            batched=self.batched,
            owner=owner[start],
            computed=np.full(len(start), -FOREVER, dtype=np.int64) if computed is None else computed[start],
            start=np.append(start, len(rows)).astype(np.int64),
            item=self.places[rows["item"]],
            value=np.ascontiguousarray(rows["value"]),
        )

    def _ordered(self, rows: Records) -> Records:
        keys = [rows["owner"].astype(np.int64), -np.ascontiguousarray(rows["value"]), self.places[rows["item"]]]
        if self.batched:
            keys.insert(1, rows["computed"])
        if ascending(keys):
            return rows
        frame = pl.DataFrame({str(at): key for at, key in enumerate(keys)})
        ordered: Records = rows[frame.select(pl.arg_sort_by(frame.columns)).to_series().to_numpy()]
        return ordered

    def _repeated(self, rows: Records) -> Ints:
        """Rows whose owner, batch and item stand before in the part."""
        owner, item = rows["owner"].astype(np.int64), self.places[rows["item"]]
        size = int(item.max(initial=0)) + 1
        if self.batched:
            fresh = np.ones(len(rows), dtype=bool)
            fresh[1:] = (owner[1:] != owner[:-1]) | (rows["computed"][1:] != rows["computed"][:-1])
            owner = np.cumsum(fresh) - 1
        key = owner * size + item
        sorted_key = np.sort(key, kind="stable")
        if not (sorted_key[1:] == sorted_key[:-1]).any():
            return np.zeros(0, dtype=np.int64)
        order = np.argsort(key, kind="stable")
        again: Ints = order[1:][key[order][1:] == key[order][:-1]]
        return again

    def _problem(self, count: int, rows: Records, ids: tuple[pl.Series, pl.Series]) -> Problem:
        rows = rows[:_EXAMPLES]
        owners, items = ids
        name = c.USER_ID if self.by_user else c.REQUEST_ID
        frame = pl.DataFrame(
            {
                name: owners.gather(rows["owner"]),
                c.ITEM_ID: items.gather(self.places[rows["item"]]),
                **({c.COMPUTED_AT: pl.Series(rows["computed"]).cast(pl.Datetime("us", "UTC"))} if self.batched else {}),
            }
        )
        key = ", ".join(frame.columns)
        return self.wide.source.data_problem(
            f"{count} rows repeat a ({key}) that is already there, such as {border.rows(frame)}", frame.columns[-1]
        )


@dataclass
class PoolRows(_Owned):
    """A candidates table by part."""

    RECORD: ClassVar = [("owner", "<i4"), ("item", "<i4")]

    def records(self, frame: pl.DataFrame, owner: Ints, item: Codes) -> Records:
        del frame
        rows = np.empty(len(owner), dtype=self.shelf.dtype)
        rows["owner"], rows["item"] = owner, item
        return rows

    def settle(self, places: Ints, ids: tuple[pl.Series, pl.Series]) -> list[Problem]:
        """Once all rows are in: find what stands twice."""
        self.places = places
        broken = []
        count = 0
        for part in range(self.shelf.parts):
            request, item = self.read(part)
            again = np.flatnonzero((request[1:] == request[:-1]) & (item[1:] == item[:-1]))
            count += len(again)
            broken += [(request[at], item[at]) for at in again[:_EXAMPLES]]
        if not count:
            return []
        owners, items = ids
        frame = pl.DataFrame(
            {
                c.REQUEST_ID: owners.gather([int(request) for request, _ in broken[:_EXAMPLES]]),
                c.ITEM_ID: items.gather([int(item) for _, item in broken[:_EXAMPLES]]),
            }
        )
        return [
            self.wide.source.data_problem(
                f"{count} rows repeat a (request_id, item_id) that is already there, such as {border.rows(frame)}",
                c.ITEM_ID,
            )
        ]

    def read(self, part: int) -> tuple[Ints, Ints]:
        """(request, item) codes of one part, sorted."""
        rows = self.shelf.read(part)
        request, item = rows["owner"].astype(np.int64), self.places[rows["item"]]
        order = np.lexsort((item, request))
        return request[order], item[order]


@dataclass(frozen=True)
class Cut:
    """How the users are cut into parts: the part of each user code, -1 for users whose rows are not wanted."""

    part_of_user: Codes
    parts: int

    @classmethod
    def by_requests(cls, user: Ints, wanted: Ints, parts: int, users: int) -> Cut:
        """About as many of the wanted requests (codes) in each part; a user's stay together. `user` is by request code.

        >>> Cut.by_requests(np.array([0, 0, 1, 2]), np.arange(4), 2, 4).part_of_user.tolist()
        [0, 1, 1, -1]
        """
        size = np.bincount(user[wanted], minlength=users)
        before = np.cumsum(size) - size
        share = max(1, -(-len(wanted) // parts))
        part = np.minimum((before + size - 1) // share, parts - 1).astype(np.int32)
        part[size == 0] = -1
        return cls(part, parts)


def open_scores(
    wide: Wide,
    head: pl.DataFrame,
    encoders: Encoders,
    requests: Requests,
    cut: Cut,
    room: Room,
    folder: Path,
) -> ScoreRows:
    """An empty shelf for a score file; its first row tells how it is keyed."""
    by_user = c.REQUEST_ID not in head.columns
    batched = c.COMPUTED_AT in head.columns
    dtype = np.dtype(ScoreRows.BATCHED if batched else ScoreRows.RECORD)
    part_of = cut.part_of_user if by_user else cut.part_of_user[requests.user]
    owners = encoders.users if by_user else encoders.requests
    if by_user:
        asking = np.zeros(len(cut.part_of_user), dtype=bool)
        asking[requests.user] = True
        owners = _Asking(owners.ids, asking)
    return ScoreRows(
        wide, Shelf(folder, dtype, cut.parts, room), part_of, owners, by_user,
        ranked=c.SCORE not in head.columns, batched=batched,
    )  # fmt: skip


def open_pool(wide: Wide, encoders: Encoders, requests: Requests, cut: Cut, room: Room, folder: Path) -> PoolRows:
    """An empty shelf for a candidates table."""
    shelf = Shelf(folder, np.dtype(PoolRows.RECORD), cut.parts, room)
    return PoolRows(wide, shelf, cut.part_of_user[requests.user], encoders.requests, by_user=False)


@dataclass(frozen=True)
class _Asking(Encoder):
    """Users that have a request; others have no code."""

    asking: np.ndarray

    def codes(self, values: pl.Series) -> Ints:
        found = super().codes(values)
        return np.where((found >= 0) & self.asking[np.maximum(found, 0)], found, -1)
