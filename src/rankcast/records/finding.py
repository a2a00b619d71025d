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

    rule: str = Field(description="code of the rule")
    name: str = Field(description="its name, which says the problem")
    severity: Severity = Field(description="of what fired; else the most that it can be")
    status: Status = Field(description="the verdict")
    evidence: str = Field(description="what was found, or what is missing")
    remedy: str = Field(description="what to do next, or how to provide what is missing; empty where it passed")
    moment: Literal["plan", "data", "result", "history"] = Field(default="result", description="what the check needs")
    count: int | None = Field(default=None, description="how many")
    of: int | None = Field(default=None, description="of how many")
    examples: tuple[str, ...] = Field(default=(), description="at most five ids, the worst first")
    effect: Effect | None = Field(default=None, description="the difference without the problem")
    file: str | None = Field(default=None, description="which of the two files speaks of it: study or service")
    key: str | None = Field(default=None, description="where in that file")
    line: int | None = Field(default=None, description="the line of that file")
    waived: str | None = Field(default=None, description="the reason that `allow` gives, and until when it holds")
