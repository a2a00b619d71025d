"""What rules may look at: the plan, and after a run everything that it found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Protocol

import numpy as np

from rankcast.config.plan import Plan
from rankcast.config.service.labelling import Attribution
from rankcast.records import Results
from rankcast.records.history import History
from rankcast.tables.logs import Bools, Floats, Ints, Logs

# Metrics that are measured for rules alone.
TWIN = "the primary metric with, or without, its normalisation"
DEEPER = "the primary metric on what the online metric counts"


@dataclass(frozen=True)
class Difference:
    """Variant minus baseline on some targets, with its interval; `error` is its standard error."""

    value: float
    low: float | None
    high: float | None
    error: float | None
    requests: int

    @property
    def sure(self) -> bool:
        """Whether its interval leaves 0 out."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


class Again(Protocol):
    """A difference made again in another way; None where it cannot be made."""

    def __call__(
        self,
        variant: str,
        *,
        metric: str | None = None,
        keep: Bools | None = None,
        weight: Floats | None = None,
        cluster: Ints | None = None,
        against: str | None = None,
    ) -> Difference | None:
        """Of the primary `metric`, over all targets, weighed and clustered as the study does, against its baseline; unless said
        otherwise. `keep`, `weight` and `cluster` have an entry per target.
        """


@dataclass(frozen=True)
class Positives:
    """Labels above 0 of the targets: request and item codes, and whether that request showed the item."""

    request: Ints
    item: Ints
    grade: Floats
    shown: Bools


@dataclass(frozen=True)
class Features:
    """What a model was fed, as far as it is declared: names of its features; rows with a known request, those known only after
    it, and their requests; rank correlation of each feature with the logged rank; how well each alone tells clicked items (AUC).
    """

    names: tuple[str, ...]
    dated: bool
    rows: int
    late: int
    late_requests: tuple[str, ...]
    with_rank: Mapping[str, float]
    with_label: Mapping[str, float]


@dataclass(frozen=True)
class Origin:
    """Where the study comes from: a git commit or none, whether files differ from it, and private code that it runs."""

    commit: str | None
    dirty: bool
    private: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """What a run found. `replayed` and `targets` are request codes; `positives` under the study's own attribution, `attributed`
    under another one; `shadows` are the metrics that were measured for rules alone; `candidates`: how many the baseline has for
    each replayed request.
    """

    logs: Logs
    replayed: Ints
    targets: Ints
    results: Results
    positives: Positives
    again: Again
    attributed: Callable[[Attribution], Positives]
    origin: Origin
    features: Mapping[str, Features] = field(default_factory=dict)
    shadows: frozenset[str] = frozenset()
    candidates: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


def today() -> date:
    """The day by which waivers end, in UTC."""
    return datetime.now(tz=UTC).date()


@dataclass(frozen=True)
class Evidence:
    """The plan; what a run found, None before one; what past online tests say; and which day it is, for waivers that end."""

    plan: Plan
    found: Found | None = None
    history: History | None = None
    day: date = field(default_factory=today)
