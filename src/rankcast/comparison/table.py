"""The values table: what is compared. After it there is only statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from rankcast.records import Segment
from rankcast.tables.logs import Bools, Floats, Ints

Family = Literal["primary", "guardrails", "exploration"]


@dataclass(frozen=True)
class Part:
    """All targets (`segment` None), or those of a segment; `mask` has an entry per target."""

    segment: Segment | None
    mask: Bools


class Pooled(Protocol):
    """A number of one variant that is no mean over requests, from what was shown to many users together."""

    def values(self, part: int, weights: Floats) -> Floats:
        """The number over a part under B weightings (U, B) of the part's users, in order of their codes (B)."""


@dataclass(frozen=True)
class MetricColumn:
    """One metric: its values per variant and target, or how to get its one value per variant; its direction and its role."""

    name: str
    family: Family
    higher_is_better: bool
    values: Mapping[str, Floats] | None
    pooled: Mapping[str, Pooled] | None = None
    bounds: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class ValuesTable:
    """Everything that statistics need: users (codes) and weights per target, parts, metrics, variants."""

    baseline: str
    variants: tuple[str, ...]
    decided: frozenset[str]
    user: Ints
    weight: Floats
    parts: tuple[Part, ...]
    metrics: tuple[MetricColumn, ...]

    @property
    def n(self) -> int:
        """Number of targets."""
        return len(self.user)


@dataclass(frozen=True)
class Terms:
    """What the study declared: confidence, smallest effect that matters (relative), correction, seed."""

    confidence: float
    smallest_effect: float | None
    correction: str
    seed: int


def measurable(*columns: Floats) -> Bools:
    """Where every column has a value."""
    everywhere: Bools = np.logical_and.reduce([~np.isnan(column) for column in columns])
    return everywhere
