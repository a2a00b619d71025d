"""service.yaml: how the product works today."""

from __future__ import annotations

from math import inf
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from rankcast.config.fields import Code, FileFormat, Moment, Name, Several, Strict, number, wrong
from rankcast.config.service.labelling import Behaviour, Labels, Targets
from rankcast.config.service.past import Past
from rankcast.config.service.submit import Submit
from rankcast.config.service.tables import Events, Table
from rankcast.errors import show


class Tables(Strict):
    """The service's tables."""

    requests: Table
    """request_id, user_id, timestamp, then any context and filters"""
    items: Table | None = None
    """item_id, then attributes"""
    availability: Table | None = None
    """item_id, open_at, close_at (null: still open); several rows an item"""
    impressions: Table | None = None
    """request_id, item_id, rank from 1: what was really shown"""
    events: Events = ()
    """user_id, item_id, timestamp, event; request_id if known; one table or a list of them"""
    users: Table | None = None
    """user_id, then attributes for segments"""


class Step(Strict):
    """One step as it is written: its kind, its argument, and a name where the file gives one."""

    kind: str
    argument: Any = None
    name: Name | None = None


def _step(value: object) -> object:
    if isinstance(value, str):
        return {"kind": value}
    if isinstance(value, dict):
        kinds = [key for key in value if key != "name"]
        if len(kinds) == 1:
            return {"kind": kinds[0], "argument": value[kinds[0]], "name": value.get("name")}
    raise wrong(
        f"expected a step such as `available` or `cap: {{by: item.company_id, at_most: 2}}`, found {show(value)}"
    )


_STEP_SCHEMA = {
    "anyOf": [
        {"type": "string", "enum": ["available", "not_seen"]},
        {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 2,
            "properties": {
                "name": {"type": "string"},
                "match": {"type": "object", "additionalProperties": {"type": "string"}},
                "not_seen": {"type": "object"},
                "where": {"type": "string"},
                "cap": {"type": "object", "required": ["by", "at_most"]},
                "rerank": {"type": "object", "required": ["sql"]},
                "pin": {"type": "object"},
                "page": {"type": "object", "required": ["size", "number"]},
                "python": {"type": "string"},
            },
        },
    ]
}
Steps = Annotated[tuple[Annotated[Step, BeforeValidator(_step), WithJsonSchema(_STEP_SCHEMA)], ...], Several]


def _candidates(value: object) -> object:
    if isinstance(value, dict):
        return value
    if value not in ("scored", "available", "impressions"):
        raise wrong(f"expected scored, available, impressions or `{{path: ...}}`, found {show(value)}")
    return value


Candidates = Annotated[Literal["scored", "available", "impressions"] | Table, BeforeValidator(_candidates)]


class Production(Strict):
    """What stands between a score and the user's eye, in production's own order."""

    candidates: Candidates = "scored"
    """the items that could have been shown: scored, available, impressions, or a table of request_id, item_id"""
    steps: Steps = ()
    """post-processing, in production's own order"""
    served: int = Field(ge=1)
    """length of the list that the client receives"""
    released: Moment | None = None
    """when the model or the page was last changed; rule LB09 holds the period against it"""


def _threshold(value: object) -> float:
    found = number(value)
    if not 0 <= found < inf:
        raise wrong(f"expected a number from 0, or a share such as 5%, found {show(value)}")
    return found


Threshold = Annotated[
    float, BeforeValidator(_threshold),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": "^[0-9.]+ *%$"}]}),
]  # fmt: skip
_NOT_ZONES = frozenset({"Factory", "localtime", "posixrules"})


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise wrong(f"expected a time zone such as Asia/Tokyo, found {show(value)}") from error
    if value in _NOT_ZONES:
        raise wrong(
            f"expected a time zone such as Asia/Tokyo, found {show(value)}, which differs from machine to machine"
        )
    return value


class Service(Strict):
    """service.yaml."""

    rankcast: FileFormat
    """format of the file"""
    service: Name
    """name of the product surface"""
    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"
    """zone of dates, and of time stamps without one"""
    tables: Tables
    """where the logs are"""
    production: Production
    """what stands between a score and the user's eye"""
    labels: Labels
    """what counts as success"""
    targets: Targets
    """which requests count, and how much each"""
    behaviour: Behaviour | None = None
    """how far users look; silent: estimated from clicks, where there are any"""
    rules: dict[Code, dict[Name, Threshold]] = Field(default_factory=dict)
    """thresholds of rules that are other here: code: {name: number}; `rankcast explain RP02` lists them"""
    history: Past | None = None
    """where past online tests are kept, beside the offline numbers that preceded them"""
    submit: Submit | None = None
    """how `rankcast submit` runs a study in a cluster"""
