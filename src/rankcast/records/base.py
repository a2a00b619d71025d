"""The base of all rows, and the words that they share."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Decision = Literal["go", "no-go", "undecided", "invalid"]
Verdict = Literal["better", "worse", "equivalent", "undecided"]
Value = str | int | float | bool | None
Method = Literal["clustered", "robust", "bootstrap", "permutation"]


class Record(BaseModel):
    """Base of all rows."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="forbid")


class Segment(Record):
    """The part of the targets whose `column` holds `value`."""

    column: str
    value: Value
