"""What rules answer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rankcast.records.base import Record

Severity = Literal["error", "warning"]
Status = Literal["fired", "passed", "cannot check", "waived"]


class Effect(Record):
    """The difference made again without the problem, beside what it is with it."""

    variant: str
    metric: str
    difference: float | None
    without: float | None = Field(description="the difference without the problem")
    low: float | None
    high: float | None
    requests: int = Field(description="targets that are left")
    overturns: bool = Field(description="it has the other sign, and its interval leaves zero out")


class Finding(Record):
    """A rule's answer. `count` of `of` is what its share is made of, where it counts something."""

    rule: str
    name: str
    severity: Severity
    status: Status
    evidence: str
    remedy: str
    moment: Literal["plan", "data", "result", "history"] = "result"
    count: int | None = None
    of: int | None = None
    examples: tuple[str, ...] = Field(default=(), description="at most five ids, the worst first")
    effect: Effect | None = None
    file: str | None = Field(default=None, description="where the study or the service speaks of it")
    line: int | None = None
    waived: str | None = Field(default=None, description="the reason that `allow` gives, and until when it holds")
