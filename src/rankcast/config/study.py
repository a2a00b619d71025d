"""study.yaml: one proposed change and how it is judged."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from rankcast.config.fields import (
    DurationField,
    FileFormat,
    FolderName,
    Moment,
    Name,
    Names,
    Several,
    Share,
    Strict,
    later,
    wrong,
)
from rankcast.config.service import Candidates, Steps, Table
from rankcast.errors import show

Treatment = Literal["scores", "candidates", "steps", "served"]


ShortText = Annotated[str, Field(max_length=1_000)]
LongText = Annotated[str, Field(max_length=10_000)]


class Period(Strict):
    """Half-open: requests from `from` on and before `to`."""

    from_: Moment = Field(alias="from")
    """first moment that is inside"""
    to: Moment
    """first moment that is not inside any more"""


class Variant(Strict):
    """One way of scoring candidates: a `scores` file or a `builtin`. Own `steps`, `candidates`, `served` only as `treatment`
    says.
    """

    scores: Table | None = None
    """item_id, score (or rank), request_id or user_id, computed_at where there are batches"""
    builtin: str | None = None
    """a reference: logged, popular, random or recent"""
    within: DurationField | None = None
    """builtin popular: how far back events count"""
    trained_until: Moment | None = None
    """until when the model's training data reach; rule DT01 holds it against the period"""
    steps: Steps | None = None
    """own steps; `treatment` must name them"""
    candidates: Candidates | None = None
    """own candidates; `treatment` must name them"""
    served: int | None = Field(default=None, ge=1)
    """own list length; `treatment` must name it"""
    http: later("variants behind an HTTP API") = None  # type: ignore[valid-type]
    python: later("variants in Python") = None  # type: ignore[valid-type]
    mlflow: later("variants in MLflow") = None  # type: ignore[valid-type]

    @model_validator(mode="after")
    def _one_way(self) -> Variant:
        if (self.scores is None) == (self.builtin is None):
            raise wrong("expected either `scores` or `builtin`")
        return self


class Metrics(Strict):
    """What decides, what must not get worse, what is shown besides."""

    primary: str
    """the metric that decides"""
    guardrails: Names = ()
    """metrics that must not get worse"""
    also: Names = ()
    """metrics that are shown besides"""


class Bar(Strict):
    """How faithful the replayed baseline must be."""

    at_least: Share = 0.9
    """least mean overlap of the replayed baseline with the impressions; below it the decision is invalid"""


def _confidence(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.5 <= value < 1:
        raise wrong(f"expected a confidence from 0.5 to below 1, such as 0.95, found {show(value)}")
    return float(value)


class Compare(Strict):
    """How variants are compared."""

    confidence: Annotated[float, BeforeValidator(_confidence)] = 0.95
    """of intervals; 1 - confidence is the level of tests"""
    smallest_effect: Share | None = None
    """relative difference below which nothing matters; silent: nothing is called equivalent"""
    correction: Literal["holm", "benjamini_hochberg", "none"] = "holm"
    """how p-values of the primary metric are adjusted over the decided variants"""
    method: later("choosing the method of intervals") = None  # type: ignore[valid-type]


class Online(Strict):
    """The online metric that the study stands in for."""

    metric: str
    """the online metric that the study stands in for; shown in the plan"""


class Study(Strict):
    """study.yaml."""

    rankcast: FileFormat
    """format of the file"""
    study: FolderName
    """name; the run's folder bears it"""
    service: str
    """path of service.yaml, relative to this file"""
    owner: ShortText | None = None
    """who answers questions; shown in the report"""
    why: LongText | None = None
    """the reason; shown in the report"""
    expect: ShortText | None = None
    """what was expected beforehand; shown in the report"""
    treatment: Annotated[tuple[Treatment, ...], Several] = ("scores",)
    """what variants may change: scores, candidates, steps, served"""
    period: Period
    """which requests are replayed"""
    variants: dict[Name, Variant] = Field(min_length=1)
    """name: a way of scoring candidates"""
    baseline: str
    """the variant that reproduces what users get today"""
    metrics: Metrics
    """what decides and what is shown"""
    segments: Names = ()
    """columns by which differences are shown too: request.<column>, user.<column>"""
    fidelity: Bar = Bar()
    """how faithful the replay must be"""
    compare: Compare = Compare()
    """how variants are compared"""
    online: Online | None = None
    """the online goal"""
    allow: later("switching rules off") = None  # type: ignore[valid-type]
    seed: int = 0
    """of everything random: the builtin random, the bootstrap"""
