"""A metric is a value: a frozen dataclass whose fields are its parameters. Its string and its page follow from it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from math import inf
from typing import Any, ClassVar, get_args

import numpy as np

from rankcast.evaluate.catalogue import Catalogue
from rankcast.evaluate.exposure import Exposure, Shown
from rankcast.evaluate.judged import Judged
from rankcast.plugins import private
from rankcast.tables.logs import Floats

MOST_NUMBER = 1_000_000
_BARE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$")

CATALOGUE, HISTORY, IMPRESSIONS, EXAMINATION = "catalogue", "history", "impressions", "examination"
NEEDS = frozenset({CATALOGUE, HISTORY, IMPRESSIONS, EXAMINATION})


@dataclass(frozen=True)
class Metric:
    """What all metrics have: a cut-off k (None: the whole list), and the facts that make their page."""

    k: int | None = field(default=None, kw_only=True)

    name: ClassVar[str]
    version: ClassVar[int] = 1
    higher_is_better: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True
    per_request: ClassVar[bool]
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    of_empty_list: ClassVar[float | None] = 0.0  # where there are relevant labels; None: not measurable
    of_empty_truth: ClassVar[float | None] = None  # of a list, where no label is relevant
    cost: ClassVar[str] = "labelled items"
    source: ClassVar[str] = ""

    def __str__(self) -> str:
        shown = [
            f"{part.name}={_print(getattr(self, part.name), part.metadata.get('kind'))}"
            for part in fields(self)
            if part.name != "k" and (getattr(self, part.name) != part.default or part.metadata.get("always"))
        ]
        return self.name + (f"({', '.join(shown)})" if shown else "") + (f"@{self.k}" if self.k is not None else "")

    def empty_list(self) -> float | None:
        """What a list without items gives, where there are relevant labels; None: not measurable."""
        return self.of_empty_list

    def check(self, catalogue: Catalogue) -> None:
        """DataError where what is known of items cannot serve it."""
        for need in self.needs():
            if need.startswith("item."):
                catalogue.groups(need)

    def needs(self) -> frozenset[str]:
        """What it reads beside labels: columns (`item.<name>`), `catalogue`, `history`, `impressions`, `examination`."""
        return frozenset()


class RequestMetric(Metric):
    """A metric with a value per request."""

    per_request: ClassVar[bool] = True
    needs_rows: ClassVar[bool] = False  # whether it looks at `Judged.rows`
    of_hits: ClassVar[bool] = False  # whether it looks at hits alone, and a better grade never makes it less

    def values(self, judged: Judged) -> Floats:
        """The metric's value for each of the n targets; NaN where it is not measurable."""
        raise NotImplementedError


class VariantMetric(Metric):
    """A metric with one value per variant, from what was shown: every list counts alike, whatever means average over.

    Its state is `Shown`: created, added to and merged shard by shard, then read once.
    """

    per_request: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False
    of_empty_list: ClassVar[float | None] = None
    cost: ClassVar[str] = "shown items; its interval, a thousand times that"

    def create(self) -> Shown:
        """The state of nothing shown."""
        return Shown.create()

    def add(self, state: Shown, rows: Shown) -> Shown:
        """The state with further lists."""
        return state.merge(rows.within(self.k))

    def merge(self, *states: Shown) -> Shown:
        """The state of all shards; the same bytes in any order."""
        return Shown.create().merge(*states)

    def result(self, exposure: Exposure) -> Floats:
        """The value under each of B weightings of the users (B); NaN where it is not measurable."""
        raise NotImplementedError


def deepest(metrics: Sequence[Metric]) -> int | None:
    """The largest cut-off among metrics; None for the whole list. 0 for no metric at all."""
    cuts = [metric.k for metric in metrics]
    return None if None in cuts else max((k for k in cuts if k is not None), default=0)


def values(judged: Judged, metrics: Sequence[Metric], unlabelled_as_zero: bool) -> dict[str, Floats]:
    """Value per target of every metric that has one; NaN where it is not measurable.

    `unlabelled_as_zero`: a label metric that is not measurable for want of labels is 0.
    """
    measured = {}
    for metric in metrics:
        if isinstance(metric, RequestMetric):
            column = _own(metric, partial(metric.values, judged), judged.n)
            as_zero = unlabelled_as_zero and metric.needs_labels
            measured[str(metric)] = np.nan_to_num(column, nan=0.0) if as_zero else column
    return measured


def read(metric: VariantMetric, exposure: Exposure) -> Floats:
    """The metric's value under each weighting."""
    return _own(metric, partial(metric.result, exposure), exposure.weights.shape[1])


def _own(metric: Metric, compute: Callable[[], Floats], size: int) -> Floats:
    """What a metric answers. A private one is held to its promise: so many numbers, NaN where it is not measurable."""
    if ":" not in metric.name:
        return compute()
    with private(str(metric)):
        answer = compute()
        if not isinstance(answer, np.ndarray) or answer.shape != (size,) or answer.dtype.kind not in "fiub":
            shape = f"shape {answer.shape}, {answer.dtype}" if isinstance(answer, np.ndarray) else type(answer).__name__
            raise ValueError(f"expected an array of {size} numbers, found {shape}")
        if np.isinf(answer).any():
            raise ValueError("a value is infinite; NaN says that it is not measurable")
        return answer.astype(np.float64)


# --- Parameters ---


def choice(default: str, options: Any) -> Any:
    """A parameter with closed choices, a Literal."""
    return field(default=default, metadata={"kind": "choice", "choices": get_args(options)})


def number(default: float, most: float = MOST_NUMBER, below: bool = False, always: bool = False) -> Any:
    """A parameter that is a number above 0 and at most `most`, or `below` it; `always` shows it even as the default."""
    return field(default=default, metadata={"kind": "number", "most": most, "below": below, "always": always})


def level() -> Any:
    """The parameter `level`: the least grade that is relevant. Above 0 whatever it says."""
    return number(0.0)


def column() -> Any:
    """A required parameter that names a column of items."""
    return field(default="", metadata={"kind": "column", "required": True})


def condition() -> Any:
    """A required parameter that is an SQL boolean over item.*."""
    return field(default="", metadata={"kind": "condition", "required": True})


def _print(value: Any, kind: str | None) -> str:
    """A parameter as it stands in the metric's string: bare where it can be, else in double quotes; conditions always so."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(int(value)) if float(value).is_integer() else repr(value)
    bare = kind != "condition" and _BARE.match(str(value)) is not None
    return str(value) if bare else json.dumps(value, ensure_ascii=False)


UNBOUNDED = (0.0, inf)
