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


class Period(Strict):
    """Half-open: requests from `from` on and before `to`."""

    from_: Moment = Field(alias="from")
    to: Moment


class Variant(Strict):
    """One way of scoring candidates: a `scores` file or a `builtin`. Own `steps`, `candidates`, `served` only as `treatment`
    says.
    """

    scores: Table | None = None
    builtin: str | None = None
    within: DurationField | None = Field(default=None, description="builtin popular: how far back events count")
    trained_until: Moment | None = None
    steps: Steps | None = None
    candidates: Candidates | None = None
    served: int | None = Field(default=None, ge=1)
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
    guardrails: Names = ()
    also: Names = ()


class Bar(Strict):
    """How faithful the replayed baseline must be."""

    at_least: Share = 0.9


def _confidence(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.5 <= value < 1:
        raise wrong(f"expected a confidence from 0.5 to below 1, such as 0.95, found {show(value)}")
    return float(value)


class Compare(Strict):
    """How variants are compared."""

    confidence: Annotated[float, BeforeValidator(_confidence)] = 0.95
    smallest_effect: Share | None = Field(default=None, description="relative; smaller differences do not matter")
    correction: Literal["holm", "benjamini_hochberg", "none"] = "holm"
    method: later("choosing the method of intervals") = None  # type: ignore[valid-type]


class Online(Strict):
    """The online metric that the study stands in for."""

    metric: str


class Study(Strict):
    """study.yaml."""

    rankcast: FileFormat = Field(description="file format")
    study: FolderName
    service: str = Field(description="path of service.yaml, relative to this file")
    owner: str | None = None
    why: str | None = None
    expect: str | None = None
    treatment: Annotated[tuple[Treatment, ...], Several] = ("scores",)
    period: Period
    variants: dict[Name, Variant] = Field(min_length=1)
    baseline: str
    metrics: Metrics
    segments: Names = ()
    fidelity: Bar = Bar()
    compare: Compare = Compare()
    online: Online | None = None
    allow: later("switching rules off") = None  # type: ignore[valid-type]
    seed: int = 0
