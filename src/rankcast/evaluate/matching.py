"""Long tables of lists held against labels: find the labelled rows, and the rows that repeat an item.

The cost is a handful of array operations a row, whatever the number of labels: every row is hashed into a small table that
stays in cache, only what hits something there is looked at, and every hit is then compared exactly. Nothing is compiled.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rankcast.evaluate.ordering import Comparable, Order, ordered
from rankcast.tables.keys import KeyIndex
from rankcast.tables.logs import Bools, Floats, Ints
from rankcast.tables.ragged import spans

BLOCK = 1 << 16  # rows at a time: what is looked up for them fits the cache, and 16 bits number them
_ROOM = 4  # slots of a table for each row
_SHORT = 512  # lists up to this length are sorted faster than they are hashed
_HIGH = 1 if sys.byteorder == "little" else 0  # where the high half of 64 bits stands
# Odd multipliers, far from any pattern of ids.
_ODD = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], dtype=np.uint64)


@dataclass(frozen=True)
class Truth:
    """Labels of n requests: the key of each `owner`, and its labels `start[r]` .. `start[r + 1]`, best first."""

    owners: KeyIndex
    start: Ints
    item: Ints
    grade: Floats

    def labels_of(self, requests: Ints) -> tuple[Ints, Ints]:
        """(number of the request in the list, position of the label) for every label of some requests."""
        start = self.start[requests]
        return spans(start, self.start[requests + 1] - start)


@dataclass(frozen=True)
class Batch:
    """Rows of whole lists: keys of `owner` and `item`, and `value` (greater is better). A list's rows stand together.

    `start` is where each of the n lists starts (n + 1), `request` the number of each in the truth, -1 where it has no labels.
    """

    owner: Ints
    item: Ints
    value: Floats | Ints
    start: Ints
    request: Ints

    @classmethod
    def of(cls, owner: Ints, item: Ints, value: Floats | Ints, truth: Truth) -> Batch:
        """Find the lists, and their requests."""
        fresh = np.flatnonzero(owner[1:] != owner[:-1]) + 1
        start = np.concatenate(([0], fresh, [len(owner)])) if len(owner) else np.zeros(1, dtype=np.int64)
        return cls(owner, item, value, start, truth.owners.find(owner[start[:-1]]))

    def scattered(self) -> bool:
        """Whether a request has several lists, as where its rows do not stand together."""
        known = self.request[self.request >= 0]
        return bool((known[1:] <= known[:-1]).any()) and len(np.unique(known)) < len(known)


@dataclass(frozen=True)
class Matched:
    """What was found in the n lists of a batch: `start` (n + 1) and `request` (n, -1: no labels) of each; `item` best first.

    Hits by list and rank: `hit_list`, `hit_rank` (from 1) and `hit_label`, a position among the labels. `repeated`: rows, in
    the batch as it came, whose item their list has already. `tied`: rows whose value equals another's in their list.
    `order`: where each row stood in the batch as it came, None where it came best first.
    """

    start: Ints
    request: Ints
    item: Ints
    hit_list: Ints
    hit_rank: Ints
    hit_label: Ints
    repeated: Ints
    tied: int
    order: Ints | None


def match(batch: Batch, truth: Truth, ties: Order, comparable: Comparable) -> Matched:
    """Order each list best first, then find its labelled rows."""
    start, request = batch.start, batch.request
    wanted = _Wanted.of(truth, request)
    scratch = _Scratch()
    near: list[tuple[Ints, Ints]] = []
    crowded: list[Ints] = []
    repeated: list[Ints] = []
    orders: list[tuple[int, Ints]] = []
    tied, item = 0, batch.item
    for first, last in _blocks(start):
        low, high = int(start[first]), int(start[last])
        bounds = start[first : last + 1] - low
        order, ties_here = ordered(
            batch.value[low:high],
            bounds,
            ties,
            lambda some, low=low: comparable(some + low),  # type: ignore[misc]
        )
        tied += ties_here
        if order is not None:
            item = item.copy() if item is batch.item else item
            item[low:high] = batch.item[low:high][order]
            orders.append((low, order))
        block = _Block(batch.owner[low:high], item[low:high], bounds, scratch)
        rows, labels, others = block.near(wanted, first, last)
        near.append((rows + low, labels))
        crowded.append(others)
        twice = block.repeated()
        if len(twice):
            repeated.append((twice if order is None else order[twice]) + low)
    row, label, of = wanted.exactly(item, start, near, _joined(crowded))
    return Matched(
        start=start,
        request=request,
        item=item,
        hit_list=of,
        hit_rank=row - start[of] + 1,
        hit_label=wanted.label[label],
        repeated=_joined(repeated),
        tied=tied,
        order=_whole_order(orders, len(item)),
    )


def _whole_order(orders: list[tuple[int, Ints]], rows: int) -> Ints | None:
    if not orders:
        return None
    whole = np.arange(rows)
    for low, order in orders:
        whole[low : low + len(order)] = order + low
    return whole


def _blocks(start: Ints) -> Iterator[tuple[int, int]]:
    """Lists first..last - 1 of blocks with about BLOCK rows."""
    first, lists = 0, len(start) - 1
    while first < lists:
        last = int(np.searchsorted(start, start[first] + BLOCK, side="right")) - 1
        last = max(last, first + 1)
        yield first, last
        first = last


class _Scratch:
    """Memory that every block uses again: asking for it anew would cost more than the work."""

    def __init__(self) -> None:
        self._kept: dict[str, np.ndarray] = {}

    def table(self, name: str, bits: int, dtype: npt.DTypeLike) -> np.ndarray:
        """A table of 2^bits entries; zeroes when it is new."""
        key = f"{name} {bits} {dtype}"
        if key not in self._kept:
            self._kept[key] = np.zeros(1 << bits, dtype=dtype)
        return self._kept[key]

    def buffer(self, name: str, size: int, dtype: npt.DTypeLike) -> np.ndarray:
        """Room for some values, whatever they are."""
        if name not in self._kept or len(self._kept[name]) < size:
            self._kept[name] = np.empty(max(size, BLOCK), dtype=dtype)
        return self._kept[name][:size]


@dataclass(frozen=True)
class _Wanted:
    """The labels of all lists of a batch, by list: their list, item, position in the truth, and hash.

    Labels of list l are `start[l]` .. `start[l + 1]`.
    """

    start: Ints
    of_list: Ints
    item: Ints
    label: Ints
    mixed: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, truth: Truth, request: Ints) -> _Wanted:
        lists = np.flatnonzero(request >= 0)
        member, label = truth.labels_of(request[lists])
        count = np.zeros(len(request) + 1, dtype=np.int64)
        count[lists + 1] = truth.start[request[lists] + 1] - truth.start[request[lists]]
        owner, item = truth.owners.keys[request[lists]][member], truth.item[label]
        return cls(np.cumsum(count), lists[member], item, label, _mixed(owner, item))

    def exactly(self, item: Ints, start: Ints, near: list[tuple[Ints, Ints]], crowded: Ints) -> tuple[Ints, Ints, Ints]:
        """(row, wanted label, list) of the labelled rows, by row: those `near` ones, row and label, that are of one list.

        Each `crowded` label looks through its own list.
        """
        row, label = _joined([rows for rows, _ in near]), _joined([labels for _, labels in near])
        if len(crowded):
            low, high = start[self.of_list[crowded]], start[self.of_list[crowded] + 1]
            asker, place = spans(low, high - low)
            same = item[place] == self.item[crowded[asker]]
            row, label = np.concatenate((row, place[same])), np.concatenate((label, crowded[asker[same]]))
        if (row[1:] < row[:-1]).any():
            order = np.argsort(row, kind="stable")
            row, label = row[order], label[order]
        of = np.searchsorted(start, row, side="right") - 1
        same = of == self.of_list[label]
        return row[same], label[same], of[same]


def _mixed(owner: Ints, item: Ints, scratch: _Scratch | None = None) -> npt.NDArray[np.uint64]:
    """A hash of (owner, item), whose high bits are the good ones."""
    scratch = scratch or _Scratch()
    mixed: npt.NDArray[np.uint64] = scratch.buffer("mixed", len(item), np.uint64)
    part = scratch.buffer("part", len(item), np.uint64)
    np.multiply(item.view(np.uint64), _ODD[0], out=mixed)
    np.multiply(owner.view(np.uint64), _ODD[1], out=part)
    np.add(mixed, part, out=mixed)
    return mixed


class _Block:
    """Some lists, each row with a slot that its owner and item share with few others."""

    def __init__(self, owner: Ints, item: Ints, bounds: Ints, scratch: _Scratch) -> None:
        self.owner, self.item, self.scratch = owner, item, scratch
        lengths = np.diff(bounds)
        self.longest, self.shortest = int(lengths.max()), int(lengths.min())
        self.bits = max(8, int(_ROOM * len(owner) - 1).bit_length())
        self.mixed = _mixed(owner, item, scratch)
        self.slot = self._slots(self.mixed, scratch.buffer("slot", len(item), np.uint64))

    def _slots(self, mixed: npt.NDArray[np.uint64], out: npt.NDArray[np.uint64] | None = None) -> Ints:
        slots: Ints = np.right_shift(mixed, np.uint64(64 - self.bits), out=out).view(np.int64)
        return slots

    def near(self, wanted: _Wanted, first: int, last: int) -> tuple[Ints, Ints, Ints]:
        """(rows, labels) of one item that share a slot, for the wanted labels of the block's lists, which are first .. last - 1
        of the batch; and a few labels that share a slot with a later one, which are not found so.
        """
        low, high = int(wanted.start[first]), int(wanted.start[last])
        item, slot = wanted.item[low:high], self._slots(wanted.mixed[low:high])
        number = np.arange(1, high - low + 1, dtype=np.uint16 if high - low < 1 << 16 else np.uint32)
        table = self.scratch.table("label", self.bits, number.dtype)
        out = self.scratch.buffer(f"found {number.dtype}", len(self.slot), number.dtype)
        rows: list[Ints] = []
        labels: list[Ints] = []
        lost: Ints | None = None
        while True:
            at, mine = (slot, number) if lost is None else (slot[lost], number[lost])
            table[at] = mine
            # Every slot is in the table, so nothing is clipped; it is only the mode that writes to `out` directly.
            found = table.take(self.slot, out=out, mode="clip")
            near = np.flatnonzero(found != 0)
            which = found[near].astype(np.int64) - 1
            same = self.item[near] == item[which]
            rows.append(near[same])
            labels.append(which[same] + low)
            crowded = np.flatnonzero(table[at] != mine)
            crowded = crowded if lost is None else lost[crowded]
            table[at] = 0
            if len(crowded) * self.longest <= len(self.slot):
                return _joined(rows), _joined(labels), crowded + low
            lost = crowded  # too many to look through their lists one by one: they try again without the others

    def repeated(self) -> Ints:
        """Rows whose item stands in their list already.

        Of the rows that share a slot the last one wins it; the others are compared with it, then contend without it, until
        none is left: so every two rows of a slot are compared.
        """
        if self._even_and_distinct():
            return np.zeros(0, dtype=np.int64)
        number = np.arange(len(self.slot), dtype=np.uint16 if len(self.slot) <= 1 << 16 else np.uint32)
        table = self.scratch.table("row", self.bits, number.dtype)
        table[self.slot] = number
        winner = table.take(self.slot)
        lost = np.flatnonzero(winner != number)
        while len(lost):
            if self._same(lost, winner[lost]).any():
                return self._all_repeated()
            slot = self.slot[lost]
            table[slot] = number[lost]
            winner[lost] = table[slot]
            lost = lost[winner[lost] != number[lost]]
        return lost

    def _even_and_distinct(self) -> bool:
        """Whether lists of one length, which NumPy sorts fastest, surely hold no item twice: half of each hash will do."""
        length = self.longest
        if length > _SHORT or self.shortest != length:
            return False
        halves = self.scratch.buffer("halves", len(self.item), np.uint32)
        np.copyto(halves, self.mixed.view(np.uint32)[_HIGH::2])
        rows = halves.reshape(-1, length)
        rows.sort(axis=1)
        return not (rows[:, 1:] == rows[:, :-1]).any()

    def _same(self, one: np.ndarray, other: np.ndarray) -> Bools:
        same: Bools = (self.item[one] == self.item[other]) & (self.owner[one] == self.owner[other])
        return same

    def _all_repeated(self) -> Ints:
        order = np.lexsort((self.item, self.owner))
        twice = self._same(order[1:], order[:-1])
        return np.sort(order[1:][twice])


def _joined(parts: list[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
