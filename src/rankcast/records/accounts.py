"""What came in, what fell out, and what was counted."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rankcast.records.base import Record


class Fingerprint(Record):
    """One input file: what it was when the study ran."""

    path: str
    bytes: int
    hash: str
    rows: int | None = None


class Count(Record):
    """Something odd in the data that is counted, never refused."""

    table: str
    what: str
    count: int
    of: int


class LedgerRow(Record):
    """One step of the ledger of targets: in = out + lost. Scope `labels` counts events."""

    scope: Literal["requests", "users", "items", "labels"]
    step: str
    in_: int = Field(alias="in")
    out: int
    lost: int
    reason: str
    new_lost: float | None = Field(
        default=None,
        description="share of the lost whose user had no event before the request (users: before the first)",
    )
    new_kept: float | None = Field(default=None, description="the same share of the kept")


class LateRow(Record):
    """Events of one kind that are still to come for requests whose horizon is not over, estimated from the delay curve."""

    event: str
    requests: int = Field(description="replayed requests whose horizon for this kind is not over")
    seen: int = Field(description="events that count for them already")
    missing: float | None = Field(description="events still to come; null: no request is mature")
    share_missing: float | None = Field(description="missing over missing and seen of all replayed requests")
