"""The declared schema of every table that enters: checked once, at the border, then trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from rankcast.tables import columns as c


class Kind(StrEnum):
    """What a column must hold."""

    ID = "an id (integer or text)"
    TIME = "a time stamp (date, date-time or ISO text)"
    TEXT = "text"
    COUNT = "an integer from 1"
    NUMBER = "a number"
    ANY = "anything"


@dataclass(frozen=True)
class Schema:
    """Columns of one table.

    `required` must be there; `optional` may; of each pair in `either` at least one must, and the
    first wins where both are. `nullable` columns may hold
    nulls. `unique` must not repeat. Columns that are not named here are kept as they are, for filters and segments.
    """

    table: str
    required: Mapping[str, Kind]
    optional: Mapping[str, Kind] = field(default_factory=dict)
    either: tuple[tuple[str, str], ...] = ()
    nullable: frozenset[str] = frozenset()
    unique: tuple[str, ...] = ()
    extras: bool = True

    @property
    def kinds(self) -> dict[str, Kind]:
        """Every declared column with its kind."""
        return {**self.required, **self.optional}

    @property
    def ids(self) -> frozenset[str]:
        """The columns that hold ids."""
        return frozenset(name for name, kind in self.kinds.items() if kind is Kind.ID)


REQUESTS = Schema(
    "requests",
    {c.REQUEST_ID: Kind.ID, c.USER_ID: Kind.ID, c.TIMESTAMP: Kind.TIME},
    unique=(c.REQUEST_ID,),
)
ITEMS = Schema("items", {c.ITEM_ID: Kind.ID}, unique=(c.ITEM_ID,))
USERS = Schema("users", {c.USER_ID: Kind.ID}, unique=(c.USER_ID,))
AVAILABILITY = Schema(
    "availability",
    {c.ITEM_ID: Kind.ID, c.OPEN_AT: Kind.TIME, c.CLOSE_AT: Kind.TIME},
    nullable=frozenset({c.CLOSE_AT}),
    extras=False,
)
IMPRESSIONS = Schema(
    "impressions",
    {c.REQUEST_ID: Kind.ID, c.ITEM_ID: Kind.ID, c.RANK: Kind.COUNT},
    extras=False,
)
EVENTS = Schema(
    "events",
    {c.USER_ID: Kind.ID, c.ITEM_ID: Kind.ID, c.TIMESTAMP: Kind.TIME, c.EVENT: Kind.TEXT},
    optional={c.REQUEST_ID: Kind.ID},
    nullable=frozenset({c.REQUEST_ID}),
    extras=False,
)
CANDIDATES = Schema(
    "candidates",
    {c.REQUEST_ID: Kind.ID, c.ITEM_ID: Kind.ID},
    unique=(c.REQUEST_ID, c.ITEM_ID),
    extras=False,
)
PLACEMENTS = Schema(
    "placements",
    {c.ITEM_ID: Kind.ID, c.RANK: Kind.COUNT},
    optional={c.REQUEST_ID: Kind.ID},
    extras=False,
)
SCORES = Schema(
    "scores",
    {c.ITEM_ID: Kind.ID},
    optional={
        c.REQUEST_ID: Kind.ID,
        c.USER_ID: Kind.ID,
        c.SCORE: Kind.NUMBER,
        c.RANK: Kind.COUNT,
        c.COMPUTED_AT: Kind.TIME,
    },
    either=((c.REQUEST_ID, c.USER_ID), (c.SCORE, c.RANK)),
    extras=False,
)
FEATURES = Schema(
    "features",
    {c.AS_OF: Kind.TIME},
    optional={c.REQUEST_ID: Kind.ID, c.ITEM_ID: Kind.ID},
)
SLATES = Schema(
    "slates",
    {c.REQUEST_ID: Kind.ID, c.ITEM_ID: Kind.ID},
    optional={c.SCORE: Kind.NUMBER, c.RANK: Kind.COUNT},
    either=((c.SCORE, c.RANK),),
    extras=False,
)
LABELS = Schema("labels", {c.REQUEST_ID: Kind.ID, c.ITEM_ID: Kind.ID, c.GRADE: Kind.NUMBER})
BESIDE: Mapping[str, Schema] = {  # what `score` may be told besides
    "items": ITEMS,
    "history": Schema("history", {c.USER_ID: Kind.ID, c.ITEM_ID: Kind.ID}, extras=False),
}
SCHEMAS: Mapping[str, Schema] = {
    schema.table: schema for schema in (REQUESTS, ITEMS, USERS, AVAILABILITY, IMPRESSIONS, EVENTS)
}
