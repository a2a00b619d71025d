"""study.yaml: one proposed change and how it is judged."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from rankcast.config.comparing import Compare, Guardrails, Segments
from rankcast.config.fields import (
    Code,
    DurationField,
    FileFormat,
    FolderName,
    Moment,
    Name,
    Names,
    Several,
    Share,
    Strict,
    wrong,
)
from rankcast.config.service import Candidates, Paths, Steps, Table
from rankcast.config.service.labelling import Attribution, kinds_given
from rankcast.errors import show
from rankcast.plugins import WORD

WAYS = ("scores", "builtin", "python", "http", "mlflow")
MODEL = re.compile(r"models:/[^/@\s][^/@]*(/[^/\s]+|@[^/\s]+)|runs:/[^/\s]+/\S+")
Treatment = Literal["scores", "candidates", "steps", "served"]


ShortText = Annotated[str, Field(max_length=1_000)]
LongText = Annotated[str, Field(max_length=10_000)]


class Period(Strict):
    """Half-open: requests from `from` on and before `to`."""

    from_: Moment = Field(alias="from")
    """first moment that is inside"""
    to: Moment
    """first moment that is not inside any more"""


def _function(value: object) -> object:
    return {"function": value} if isinstance(value, str) else value


def _columns(value: tuple[str, ...] | None) -> tuple[str, ...] | None:
    for name in value or ():
        scope, _, column = name.partition(".")
        if scope not in ("request", "item", "user") or not column:
            hint = f", such as item.{name}" if name.isidentifier() else ""
            raise wrong(f"expected request.<column>, item.<column> or user.<column>{hint}, found {show(name)}")
    return value


class PythonVariant(Strict):
    """A function that scores candidates, and what it reads."""

    function: str
    """package.module:function; (requests, candidates) in, scores out"""
    reads: Paths = ()
    """files that the function reads, such as a trained model: they belong to the run's identity"""
    columns: Annotated[Names | None, AfterValidator(_columns)] = None
    """which attributes are handed over (request.<column>, item.<column>, user.<column>); silent: all"""


class _OrText:
    """In the JSON Schema: a text will do."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [handler(schema), {"type": "string"}]}


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 3600:
        raise wrong(f"expected seconds from 0 to 3600, such as 10, found {show(value)}")
    return float(value)


def _url(value: object) -> object:
    if not isinstance(value, str) or not value.startswith(("http://", "https://", "${")):
        raise wrong(f"expected an address such as http://localhost:8080/recommend, found {show(value)}")
    return value


def _parameter(value: object) -> object:
    if isinstance(value, str) and value.partition(".")[0] in ("item", "items", "requests", "users"):
        raise wrong(f"expected request.<column>, user.<column> or a value as it is, found {show(value)}")
    return value


Parameter = Annotated[str | int | float | bool, BeforeValidator(_parameter)]


class HttpVariant(Strict):
    """A recommendation API: asked once per request, its answers are kept in the run."""

    url: Annotated[str, BeforeValidator(_url)]
    """address of the API; GET"""
    query: dict[str, Parameter] | None = None
    """parameters: name: request.<column>, user.<column>, or a value as it is; silent: user_id, request_id, timestamp and all
    columns of requests that are set"""
    headers: dict[str, str] = Field(default_factory=dict)
    """headers of every request, such as Authorization: "Bearer ${TOKEN}" """
    items: str | None = None
    """where in the answer the list stands, such as data.items; silent: the answer itself, or its only list"""
    item_id: str = "item_id"
    """key of the id where the list holds records"""
    score: str | None = None
    """key of the score where the list holds records; silent: `score` if every record has it, else the order counts"""
    concurrency: int = Field(default=4, ge=1, le=256)
    """requests at the same time"""
    timeout: Annotated[float, BeforeValidator(_seconds)] = 10.0
    """seconds to wait for an answer"""
    retries: int = Field(default=3, ge=0, le=20)
    """further attempts after a failure that may pass: no connection, no answer in time, 408, 425, 429 or 5xx"""
    rate: float | None = Field(default=None, gt=0)
    """requests a second, at most"""
    failures: Share = 0.0
    """share of requests that may fail for good; they have no list"""


class Training(Strict):
    """How a model came about: what nobody can see in its scores, declared for reviewers and rules."""

    split: Literal["global_temporal", "rolling", "leave_one_out", "random"] | None = None
    """how training and test data were told apart; rule DT02"""
    tuned_on: Period | None = None
    """the data by which parameters, features or the stopping point were chosen; rule CM05"""
    trials: int | None = Field(default=None, ge=0)
    """how many settings were tried; rule CM03 holds it against the baseline's"""
    seeds: int | None = Field(default=None, ge=0)
    """with how many random seeds it was trained; 0: nothing in it is random; rule ST05"""
    seed_sd: float | None = Field(default=None, ge=0)
    """standard deviation of the primary metric over those seeds; rule ST05"""
    features: Table | None = None
    """what the model was fed: as_of (when each row was known), request_id and item_id where they are known, then the features;
    rules DT03 and LB03"""


class Variant(Strict):
    """One way of scoring candidates: a `scores` file, a `builtin`, a function in `python`, an API behind `http`, or a model in
    `mlflow`. Own `steps`, `candidates`, `served` only as `treatment` says.
    """

    scores: Table | None = None
    """item_id, score (or rank), request_id or user_id, computed_at where there are batches"""
    builtin: str | None = None
    """a reference: logged, popular, random or recent"""
    within: DurationField | None = None
    """builtin popular: how far back events count"""
    trained_until: Moment | None = None
    """until when the model's training data reach; rule DT01 holds it against the period"""
    training: Training | None = None
    """how the model came about"""
    steps: Steps | None = None
    """own steps; `treatment` must name them"""
    candidates: Candidates | None = None
    """own candidates; `treatment` must name them"""
    served: int | None = Field(default=None, ge=1)
    """own list length; `treatment` must name it"""
    python: Annotated[PythonVariant, BeforeValidator(_function), _OrText()] | None = None
    """a function that scores candidates: package.module:function"""
    http: HttpVariant | None = None
    """a recommendation API"""
    mlflow: str | None = None
    """a model in an MLflow registry: models:/name/version"""

    @model_validator(mode="after")
    def _one_way(self) -> Variant:
        given = [name for name in WAYS if getattr(self, name) is not None]
        if len(given) != 1:
            found = f", found {' and '.join(f'`{name}`' for name in given)}" if given else ""
            raise wrong(f"expected one of `scores`, `builtin`, `python`, `http` and `mlflow`{found}")
        if self.mlflow is not None and not MODEL.fullmatch(self.mlflow):
            raise wrong(f"mlflow: expected a model such as models:/ranker/3, found {show(self.mlflow)}")
        if self.python is not None and not WORD.fullmatch(self.python.function):
            raise wrong(f"python: expected a function such as myshop.models:score, found {show(self.python.function)}")
        return self


class Metrics(Strict):
    """What decides, what must not get worse, what is shown besides."""

    primary: str
    """the metric that decides"""
    guardrails: Guardrails = ()
    """metrics that must not get worse: coverage@20, or {coverage@20: {at_most_worse: 0.5%}}"""
    also: Names = ()
    """metrics that are shown besides"""


class Bar(Strict):
    """How faithful the replayed baseline must be."""

    at_least: Share = 0.9
    """least mean overlap of the replayed baseline with the impressions; below it the decision is invalid"""


class Online(Strict):
    """The online metric that the study stands in for."""

    metric: str
    """the online metric that the study stands in for; shown in the plan"""
    events: Annotated[Names, BeforeValidator(kinds_given)] | None = None
    """the kinds of events that it counts; silent: those whose name it holds; rule LB06"""
    attribute: Attribution | None = None
    """for which request it counts an event, as `labels.attribute` says it here; rule LB07"""


def _reason(value: str) -> str:
    if not value.strip():
        raise wrong("expected why the rule may fire, found an empty text")
    return value


class Waiver(Strict):
    """A rule that may fire, for a reason, until a day."""

    reason: Annotated[str, AfterValidator(_reason), Field(max_length=1_000)]
    """why"""
    until: Moment
    """the last day on which that holds; from the next on the rule counts again"""


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
    segments: Segments = ()
    """by what differences are shown too: request.<column>, user.<column>, item.<column> of the first relevant item, day, ranges
    of a number ({user.history: {none: 0, some: 1-}}), or a list of two of them"""
    fidelity: Bar = Bar()
    """how faithful the replay must be"""
    compare: Compare = Compare()
    """how variants are compared"""
    online: Online | None = None
    """the online goal"""
    allow: dict[Code, Waiver] = Field(default_factory=dict)
    """rules that may fire: code: {reason, until}; they are reported as waived"""
    seed: int = 0
    """of everything random: the builtin random, the bootstrap"""
