"""The values table: what is compared. After it there is only statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from rankcast.records import Segment, Value
from rankcast.tables.logs import Bools, Floats, Ints

Family = Literal["primary", "guardrails", "exploration"]
Method = Literal["clustered", "robust", "bootstrap", "permutation"]


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
class Doubts:
    """Of one variant's lists, by target: the unjudged share, the metric without unjudged items, and with all of them of the best
    grade (None where that bounds nothing).
    """

    unjudged: Floats
    condensed: Floats
    at_best: Floats | None


@dataclass(frozen=True)
class MetricColumn:
    """One metric: its values per variant and target, or how to get its one value per variant; its direction and its role."""

    name: str
    family: Family
    higher_is_better: bool
    values: Mapping[str, Floats] | None
    pooled: Mapping[str, Pooled] | None = None
    bounds: tuple[float, float] = (0.0, 1.0)
    at_most_worse: float | None = None
    doubts: Mapping[str, Doubts] = field(default_factory=dict)

    def of(self, variant: str) -> Floats:
        """Its value for every target, of a metric that has one."""
        if self.values is None:
            raise ValueError(f"{self.name} has no value per request")
        return self.values[variant]


@dataclass(frozen=True)
class Average:
    """A way to weigh targets, and the weight of each."""

    name: str
    weight: Floats


@dataclass(frozen=True)
class Covariate:
    """A number of each target that was known before, NaN where it was not; the same of all replayed requests, among which are the
    targets, with their users and weights.
    """

    name: str
    values: Floats
    replayed: Floats
    user: Ints
    weight: Floats


@dataclass(frozen=True)
class ValuesTable:
    """Everything that statistics need: users (codes) and weights per target, parts, metrics, variants.

    `averages`: all ways to weigh, the deciding one first; `weight` is its weight. `others`: what targets have in common besides
    their user, a code of each. `mixes`: of each segment column the share of every value among the replayed requests.
    """

    baseline: str
    variants: tuple[str, ...]
    decided: frozenset[str]
    user: Ints
    weight: Floats
    parts: tuple[Part, ...]
    metrics: tuple[MetricColumn, ...]
    averages: tuple[Average, ...] = ()
    others: Ints | None = None
    mixes: Mapping[str, Mapping[Value, float]] = field(default_factory=dict)
    covariate: Covariate | None = None

    @property
    def n(self) -> int:
        """Number of targets."""
        return len(self.user)


@dataclass(frozen=True)
class Terms:
    """What the study declared: confidence, smallest effect that matters (relative), correction, seed, how intervals are made, and
    with how many users a segment gets a verdict.
    """

    confidence: float
    smallest_effect: float | None
    correction: str
    seed: int
    method: Method = "clustered"
    replications: int = 2000
    least_users: int = 30


def measurable(*columns: Floats) -> Bools:
    """Where every column has a value."""
    everywhere: Bools = np.logical_and.reduce([~np.isnan(column) for column in columns])
    return everywhere
