"""How variants are held against each other: guardrails, segments and `compare` of study.yaml."""

from __future__ import annotations

import re
from itertools import pairwise
from math import inf
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from rankcast.config.fields import Names, Several, Share, Strict, wrong
from rankcast.errors import nearest, show

DAY, HISTORY = "day", "user.history"
SCOPES = ("request", "user", "item")


class Guardrail(Strict):
    """A metric that must not get worse."""

    metric: str
    at_most_worse: Share | None = None
    """relative loss that is still acceptable: it must be ruled out"""


def _guardrail(value: object) -> object:
    if isinstance(value, str):
        return {"metric": value}
    if isinstance(value, dict) and len(value) == 1:
        metric, terms = next(iter(value.items()))
        if isinstance(metric, str) and isinstance(terms, dict):
            for key in terms:
                if key != "at_most_worse":
                    raise wrong(f"{metric}: unknown key `{key}`{nearest(str(key), ['at_most_worse'])}")
            return {"metric": metric, **terms}
    raise wrong(f"expected a metric, or `{{coverage@20: {{at_most_worse: 0.5%}}}}`, found {show(value)}")


def _guardrail_written(value: Guardrail) -> Any:
    return value.metric if value.at_most_worse is None else {value.metric: {"at_most_worse": value.at_most_worse}}


Guardrails = Annotated[
    tuple[
        Annotated[
            Guardrail,
            BeforeValidator(_guardrail),
            PlainSerializer(_guardrail_written),
            WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object", "minProperties": 1, "maxProperties": 1}]}),
        ],
        ...,
    ],
    Several,
]


class Bin(Strict):
    """A named range of numbers, both ends inside."""

    name: str
    low: float
    high: float
    written: str


class Axis(Strict):
    """One column by which requests are told apart; `bins` where its numbers are put into ranges."""

    column: str
    bins: tuple[Bin, ...] = ()


class SegmentBy(Strict):
    """One or two columns by which differences are shown."""

    axes: tuple[Axis, ...]

    @property
    def name(self) -> str:
        """How results call it."""
        return ", ".join(axis.column for axis in self.axes)


_RANGE = re.compile(r"^([0-9]+(?:\.[0-9]+)?)(?:\s*-\s*([0-9]+(?:\.[0-9]+)?)?)?$")


def _bin(name: object, written: object) -> Bin:
    text = "" if isinstance(written, bool) else str(written)
    form = _RANGE.match(text)
    if form is None:
        raise wrong(f"{name}: expected a range such as 0, 1-9 or 10-, found {show(written)}")
    low = float(form[1])
    high = float(form[2]) if form[2] else inf if "-" in text else low
    if high < low:
        raise wrong(f"{name}: the range {text} ends before it begins")
    return Bin(name=str(name), low=low, high=high, written=text)


def _axis(value: object) -> Axis:
    column: Any = value if isinstance(value, str) else None
    bins: Any = {}
    if isinstance(value, dict) and len(value) == 1:
        column, bins = next(iter(value.items()))
    scope, _, name = column.partition(".") if isinstance(column, str) else ("", "", "")
    if not isinstance(column, str) or (column != DAY and (scope not in SCOPES or not name)):
        raise wrong(
            "expected request.<column>, user.<column>, item.<column>, day, ranges such as `{user.history: {none: 0, some: 1-}}`"
            f", or a list of two of them, found {show(value)}"
        )
    if not isinstance(bins, dict) or (isinstance(value, dict) and not bins):
        raise wrong(f"{column}: expected named ranges such as `{{none: 0, few: 1-9, many: 10-}}`, found {show(bins)}")
    read = tuple(_bin(name, written) for name, written in bins.items())
    ordered = sorted(read, key=lambda one: (one.low, one.high))
    for one, other in pairwise(ordered):
        if other.low <= one.high:
            raise wrong(f"{column}: the ranges {one.written} and {other.written} overlap")
    return Axis(column=column, bins=read)


def _segment(value: object) -> SegmentBy:
    if isinstance(value, list) and len(value) == 2:
        return SegmentBy(axes=(_axis(value[0]), _axis(value[1])))
    return SegmentBy(axes=(_axis(value),))


def _segment_written(value: SegmentBy) -> Any:
    def axis(one: Axis) -> Any:
        return {one.column: {part.name: part.written for part in one.bins}} if one.bins else one.column

    written = [axis(one) for one in value.axes]
    return written[0] if len(written) == 1 else written


Segments = Annotated[
    tuple[
        Annotated[
            SegmentBy,
            BeforeValidator(_segment),
            PlainSerializer(_segment_written),
            WithJsonSchema(
                {"anyOf": [{"type": "string"}, {"type": "object"}, {"type": "array", "minItems": 2, "maxItems": 2}]}
            ),
        ],
        ...,
    ],
    Several,
]


def _confidence(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.5 <= value < 1:
        raise wrong(f"expected a confidence from 0.5 to below 1, such as 0.95, found {show(value)}")
    return float(value)


def _clusters(value: tuple[str, ...]) -> tuple[str, ...]:
    scope, _, column = value[-1].partition(".") if value else ("", "", "")
    if value[:1] != ("user",) or len(value) > 2 or (len(value) == 2 and (scope not in SCOPES or not column)):
        raise wrong(
            f"expected [user], or [user, item.<column>] (request.<column>, user.<column>), found {show(list(value))}"
        )
    return value


def _covariate(value: object) -> object:
    scope, _, column = value.partition(".") if isinstance(value, str) else ("", "", "")
    if value is not None and (scope not in ("request", "user") or not column):
        raise wrong(f"expected user.history, user.<column> or request.<column>, found {show(value)}")
    return value


class Compare(Strict):
    """How variants are compared."""

    confidence: Annotated[float, BeforeValidator(_confidence)] = 0.95
    """of intervals; 1 - confidence is the level of tests"""
    smallest_effect: Share | None = None
    """relative difference below which nothing matters; silent: nothing is called equivalent"""
    correction: Literal["holm", "benjamini_hochberg", "none"] = "holm"
    """how p-values of the primary metric are adjusted over the decided variants"""
    method: Literal["clustered", "robust", "bootstrap", "permutation"] = "clustered"
    """how sure a mean is: linearised and clustered; robust for few or unequal users; a bootstrap over users; p by sign flips"""
    replications: int = Field(default=2000, ge=100, le=100_000)
    """how often `bootstrap` and `permutation` draw"""
    cluster: Annotated[Names, AfterValidator(_clusters)] = ("user",)
    """what targets have in common: user, and one more such as item.company_id (of the first relevant item)"""
    cuped: Annotated[str | None, BeforeValidator(_covariate)] = None
    """a number known before, such as user.history: the primary difference is also shown adjusted to all replayed requests"""
    least_users: int = Field(default=30, ge=2)
    """a segment with fewer users gets no verdict"""

    @model_validator(mode="after")
    def _one_way_of_drawing(self) -> Compare:
        if len(self.cluster) > 1 and self.method in {"bootstrap", "permutation"}:
            raise wrong(
                f"`method: {self.method}` draws users and knows nothing of `{self.cluster[1]}`; expected clustered or robust "
                "with two clusters"
            )
        return self
