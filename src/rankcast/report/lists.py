"""Lists side by side: a capped sample of requests, the ones that a reader asks for first, small enough to travel in the page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from rankcast.errors import clip
from rankcast.tables import columns as c
from rankcast.text import printable

SHOWN = 10  # items of each list
REMOVED = 20  # items that steps took, of each list
MOST = 200  # requests
_CHANGED, _GAINS, _LOSSES = 80, 40, 40  # of them, by why they are here
_ATTRIBUTES, _CONTEXT = 4, 6  # columns of an item, of a request
_LONGEST, _SHORT = 80, 40  # characters of an id or a title, of an attribute
_TITLES = ("title", "name", "label", "headline", "description")


@dataclass(frozen=True)
class Logs:
    """What a run's lists are made of: files that hold whole requests, and frames keyed by request_id or item_id.

    `slates`, `replays`, `trails`: parquet files of a run. `values`: a row per variant and target. `requests`: request_id,
    timestamp (told in `timezone`) and context.
    """

    slates: Sequence[Path]
    replays: Sequence[Path]
    trails: Sequence[Path]
    values: pl.DataFrame
    items: pl.DataFrame
    requests: pl.DataFrame
    timezone: str


@dataclass(frozen=True)
class Item:
    """An item as it is shown: `attributes` in the order of `ListSample.attributes`."""

    id: str
    title: str | None
    attributes: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """A place of a list: `was` is the item's best rank in the baseline's list, None if it is not in it."""

    rank: int
    item: Item
    grade: float | None
    was: int | None


@dataclass(frozen=True)
class Gone:
    """An item that a step removed, and the rank that it had in the list which the step saw."""

    step: str
    rank: int
    item: Item


@dataclass(frozen=True)
class Taken:
    """What steps took from the first ranks of one list: how many items each, and the first of these."""

    counts: Mapping[str, int]
    items: tuple[Gone, ...]


@dataclass(frozen=True)
class Lists:
    """One request: every variant's list, and what its steps took (None: not recorded for this request).

    `moved` and `difference` (in the primary metric) are those of the variant that the sample is about.
    """

    request: str
    user: str
    context: str
    moved: int
    difference: float | None
    drives: bool
    target: bool
    lists: Mapping[str, tuple[Place, ...]]
    removed: Mapping[str, Taken] | None


@dataclass(frozen=True)
class ListSample:
    """The requests that a page shows, of how many; `attributes` are the columns of items; changes are those of `about`."""

    attributes: tuple[str, ...]
    requests: tuple[Lists, ...]
    of: int = 0
    about: str = ""

    def within(self, most: int) -> ListSample:
        """As many of its requests, from the first on, as take up so many bytes."""
        used, kept = 0, []
        seen: set[str] = set()
        for one in self.requests:
            fresh = {place.item.id: place.item for places in one.lists.values() for place in places}
            fresh |= {gone.item.id: gone.item for some in (one.removed or {}).values() for gone in some.items}
            size = sum(_bytes(item) for key, item in fresh.items() if key not in seen)
            size += 150 + 2 * len(one.context.encode()) + 14 * sum(len(places) for places in one.lists.values())
            size += 14 * sum(len(some.items) + 2 * len(some.counts) for some in (one.removed or {}).values())
            if used + size > most:
                break
            used += size
            seen |= set(fresh)
            kept.append(one)
        return ListSample(self.attributes, tuple(kept), self.of, self.about)

    def text(self, variants: Sequence[str]) -> str:
        """The sample as JSON that may stand in a page: items once, lists as numbers of items."""
        numbers: dict[Item, int] = {}

        def number(item: Item) -> int:
            return numbers.setdefault(item, len(numbers))

        steps = sorted({step for one in self.requests for some in (one.removed or {}).values() for step in some.counts})

        def taken(some: Taken | None) -> list[Any]:
            if some is None:
                return [[], []]
            counts = [[steps.index(step), count] for step, count in some.counts.items()]
            return [counts, [[number(gone.item), gone.rank, steps.index(gone.step)] for gone in some.items]]

        requests = [
            {
                "id": one.request,
                "user": one.user,
                "context": one.context,
                "moved": one.moved,
                "difference": one.difference,
                "drives": one.drives,
                "target": one.target,
                "lists": [
                    [[number(place.item), place.grade, place.was] for place in one.lists.get(variant, ())]
                    for variant in variants
                ],
                "removed": None if one.removed is None else [taken(one.removed.get(variant)) for variant in variants],
            }
            for one in self.requests
        ]
        items = [[item.id, item.title, list(item.attributes)] for item in numbers]
        document = {"variants": list(variants), "steps": steps, "items": items, "requests": requests}
        document |= {"attributes": list(self.attributes), "about": self.about}
        text = printable(json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")))
        return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _bytes(item: Item) -> int:
    return sum(len(text.encode()) for text in (item.id, item.title or "", *item.attributes)) + 20


def sample_lists(
    logs: Logs, variants: Sequence[str], decided: Sequence[str], primary: str, driving: Sequence[str | int]
) -> ListSample:
    """Requests that drive the difference; then targets whose lists moved most, that gained and lost most, and some others.
    `variants`: the baseline first; changes are those of the first that is `decided`.
    """
    baseline = variants[0]
    other = next((name for name in variants if name in decided), None) or _moved_most(logs.replays, variants)
    trails = pl.concat([pl.read_parquet(path, glob=False) for path in logs.trails])
    told = trails.filter(pl.col("step").is_null())[c.REQUEST_ID].unique()
    gain = _gains(logs.values, baseline, other, primary)
    ranked = _moved(logs.replays, other).join(gain, on=c.REQUEST_ID, how="left")
    chosen = _chosen(ranked, told, pl.Series(c.REQUEST_ID, list(driving), dtype=told.dtype))
    rows = _rows(logs.slates, chosen, baseline)
    steps = trails.filter(pl.col("step").is_not_null() & pl.col(c.REQUEST_ID).is_in(chosen.implode()))
    known = ranked.filter(pl.col(c.REQUEST_ID).is_in(chosen.implode()))
    about = _About(
        baseline,
        variants,
        _Items.of(logs.items, pl.concat([rows[c.ITEM_ID], steps[c.ITEM_ID]]).unique()),
        _contexts(logs.requests, chosen, logs.timezone),
        dict(known.select(c.REQUEST_ID, "moved").iter_rows()),
        dict(known.select(c.REQUEST_ID, "gain").iter_rows()),
        set(driving),
        set(told.to_list()),
    )
    by_request = {key[0]: part for key, part in rows.partition_by(c.REQUEST_ID, as_dict=True).items()}
    taken = {key[0]: part for key, part in steps.partition_by(c.REQUEST_ID, as_dict=True).items()}
    requests = tuple(
        about.lists(request, by_request[request], taken.get(request))
        for request in chosen.to_list()
        if request in by_request
    )
    return ListSample(about.items.columns, requests, len(logs.requests), other)


def _gains(values: pl.DataFrame, baseline: str, other: str, primary: str) -> pl.DataFrame:
    """By target, the difference in the primary metric; null where it has no value per request."""
    if primary not in values.columns:
        targets = values.filter(pl.col(c.VARIANT) == baseline)
        return targets.select(c.REQUEST_ID, gain=pl.lit(None, dtype=pl.Float64), target=pl.lit(value=True))
    sides = [
        values.filter(pl.col(c.VARIANT) == name).select(c.REQUEST_ID, pl.col(primary).alias(word))
        for name, word in ((other, "mine"), (baseline, "theirs"))
    ]
    both = sides[0].join(sides[1], on=c.REQUEST_ID)
    gain = pl.col("mine") - pl.col("theirs")
    known = pl.when(gain.is_finite()).then(gain)  # a team's own metric may be infinite, which JSON cannot say
    return both.select(c.REQUEST_ID, gain=known, target=pl.lit(value=True))


def _moved_most(replays: Sequence[Path], variants: Sequence[str]) -> str:
    """The variant whose lists moved most, where none is to be decided; of equals the first."""
    total = {name: int(_moved(replays, name)["moved"].sum()) for name in variants[1:]}
    return max(total, key=lambda name: total[name]) if total else variants[0]


def _moved(replays: Sequence[Path], other: str) -> pl.DataFrame:
    """How far the list of each replayed request moved."""
    rows = [pl.scan_parquet(path, glob=False).filter(pl.col(c.VARIANT) == other) for path in replays]
    return pl.concat([one.select(c.REQUEST_ID, "moved").collect() for one in rows])


def _chosen(ranked: pl.DataFrame, told: pl.Series, driving: pl.Series) -> pl.Series:
    """Request ids in the order in which they are kept."""
    moved = ranked.filter(pl.col("moved") > 0)
    by_change = moved.sort(pl.col("target").is_null(), "moved", c.REQUEST_ID, descending=[False, True, False])
    gains = ranked.filter(pl.col("gain") > 0).sort("gain", c.REQUEST_ID, descending=[True, False])
    losses = ranked.filter(pl.col("gain") < 0).sort("gain", c.REQUEST_ID)
    others = told.sort().gather_every(max(1, len(told) // MOST))
    parts = [
        part.head(most)[c.REQUEST_ID] for part, most in ((by_change, _CHANGED), (gains, _GAINS), (losses, _LOSSES))
    ]
    return pl.concat([driving, *parts, others]).unique(maintain_order=True).head(MOST)


def _rows(slates: Sequence[Path], chosen: pl.Series, baseline: str) -> pl.DataFrame:
    """The first ranks of every list, and the baseline's whole, in which items are looked up."""
    near = (pl.col(c.RANK) <= SHOWN) | (pl.col(c.VARIANT) == baseline)
    wanted = pl.col(c.REQUEST_ID).is_in(chosen.implode()) & near
    found = [pl.scan_parquet(path, glob=False).filter(wanted).collect(engine="streaming") for path in slates]
    return pl.concat(found).sort(c.REQUEST_ID, c.VARIANT, c.RANK)


def _contexts(requests: pl.DataFrame, chosen: pl.Series, timezone: str) -> dict[Any, str]:
    """When a request was made, and the first of its columns that are set."""
    rows = requests.filter(pl.col(c.REQUEST_ID).is_in(chosen.implode()))
    when = pl.col(c.TIMESTAMP).dt.convert_time_zone(timezone).dt.to_string("%Y-%m-%d %H:%M ") + pl.lit(timezone)
    rows = rows.with_columns(when)
    columns = [name for name in rows.columns if name not in {c.REQUEST_ID, c.USER_ID, c.TIMESTAMP}]
    return {row[c.REQUEST_ID]: " · ".join(_told(row, columns)) for row in rows.iter_rows(named=True)}


def _told(row: Mapping[str, Any], columns: Sequence[str]) -> Iterator[str]:
    if row.get(c.TIMESTAMP) is not None:
        yield row[c.TIMESTAMP]
    told = [name for name in columns if row[name] is not None and row[name] != [] and row[name] is not False]
    for name in told[:_CONTEXT]:
        value = ", ".join(map(str, row[name])) if isinstance(row[name], list) else str(row[name])
        yield f"{clip(name, _SHORT)}: {clip(value, _SHORT)}"


@dataclass(frozen=True)
class _Items:
    """What is known of the items that are shown."""

    columns: tuple[str, ...]
    known: Mapping[Any, Item]

    @classmethod
    def of(cls, items: pl.DataFrame, wanted: pl.Series) -> _Items:
        rows = items.filter(pl.col(c.ITEM_ID).is_in(wanted.implode()))
        title = next((name for name in _TITLES if name in rows.columns and rows[name].dtype == pl.String), None)
        plain = [
            name
            for name, kind in rows.schema.items()
            if name not in {c.ITEM_ID, title} and not kind.is_nested() and kind not in (pl.Binary, pl.Object)
        ]
        telling = [name for name in plain if rows[name].n_unique() > 2]  # a flag says little of an item
        plain = [name for name in plain if name in (telling or plain)][:_ATTRIBUTES]
        known = {
            row[c.ITEM_ID]: Item(
                clip(str(row[c.ITEM_ID]), _LONGEST),
                None if title is None or row[title] is None else clip(row[title], _LONGEST),
                tuple(_attribute(row[name], name in telling) for name in plain),
            )
            for row in rows.select(c.ITEM_ID, *([title] if title else []), *plain).iter_rows(named=True)
        }
        return cls(tuple(clip(name, _SHORT) for name in plain), known)

    def __getitem__(self, key: Any) -> Item:
        return self.known.get(key) or Item(clip(str(key), _LONGEST), None, ("",) * len(self.columns))


def _attribute(value: Any, telling: bool) -> str:
    """A value as it is shown; of a flag only that it is set."""
    return "" if value is None or (not telling and not value) else clip(str(value), _SHORT)


@dataclass(frozen=True)
class _About:
    """Everything that is told of requests."""

    baseline: str
    variants: Sequence[str]
    items: _Items
    contexts: Mapping[Any, str]
    moved: Mapping[Any, int]
    gain: Mapping[Any, float | None]
    driving: set[str | int]
    told: set[Any]

    def lists(self, request: Any, rows: pl.DataFrame, taken: pl.DataFrame | None) -> Lists:
        ranks: dict[Any, int] = {}
        for item, rank in rows.filter(pl.col(c.VARIANT) == self.baseline).select(c.ITEM_ID, c.RANK).iter_rows():
            ranks.setdefault(item, rank)
        lists: dict[str, list[Place]] = {variant: [] for variant in self.variants}
        for row in rows.filter(pl.col(c.RANK) <= SHOWN).iter_rows(named=True):
            item = row[c.ITEM_ID]
            lists[row[c.VARIANT]].append(Place(row[c.RANK], self.items[item], row[c.GRADE], ranks.get(item)))
        return Lists(
            request=clip(str(request), _LONGEST),
            user=clip(str(rows[c.USER_ID][0]), _LONGEST),
            context=self.contexts.get(request, ""),
            moved=self.moved.get(request, 0),
            difference=self.gain.get(request),
            drives=request in self.driving,
            target=bool(rows["target"][0]),
            lists={variant: tuple(places) for variant, places in lists.items()},
            removed=self._removed(taken) if request in self.told else None,
        )

    def _removed(self, taken: pl.DataFrame | None) -> dict[str, Taken]:
        if taken is None:
            return {}
        found = {}
        for (variant,), part in taken.partition_by(c.VARIANT, as_dict=True, maintain_order=True).items():
            counts = dict(part.group_by("step", maintain_order=True).len().iter_rows())
            first = (
                part.with_columns(at=pl.int_range(pl.len()).over("step")).sort("at", maintain_order=True).head(REMOVED)
            )
            found[str(variant)] = Taken(
                counts,
                tuple(
                    Gone(row["step"], row[c.RANK], self.items[row[c.ITEM_ID]]) for row in first.iter_rows(named=True)
                ),
            )
        return found
