"""service.yaml: how the product works today."""

from __future__ import annotations

from math import inf
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema

from rankcast.config.fields import Code, FileFormat, Moment, Name, Names, Several, Strict, later, number, wrong
from rankcast.config.labelling import Behaviour, Labels, Targets
from rankcast.config.submit import Submit
from rankcast.errors import show


def _paths(value: object) -> object:
    if value is None:
        return None
    paths = tuple(value) if isinstance(value, list) else (value,)
    if not paths or not all(isinstance(path, str) and path for path in paths):
        raise wrong(f"expected a path or a list of paths, found {show(value)}")
    for path in paths:
        if "://" in path:
            raise wrong(f"not available yet: reading `{path}`; copy it to a local path")
    return paths


Paths = Annotated[
    tuple[str, ...], BeforeValidator(_paths),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]  # fmt: skip


class Table(Strict):
    """Where a table comes from: `path` (parquet, csv, csv.gz, ndjson; globs; a list), or `sql` over named `files`."""

    path: Paths | None = None
    """files that are read as they are: parquet, csv, csv.gz, ndjson; a glob, or a list of paths"""
    sql: str | None = None
    """one SELECT over the named `files`, run by DuckDB"""
    files: dict[Name, Paths] = Field(default_factory=dict)
    """what `sql` reads: name: path (or glob, or list)"""
    columns: dict[str, str] = Field(default_factory=dict)
    """names that differ: ours: theirs"""
    database: later("databases") = None  # type: ignore[valid-type]

    @model_validator(mode="after")
    def _one_way(self) -> Table:
        if (self.path is None) == (self.sql is None):
            raise wrong("expected either `path`, or `sql` with `files`")
        if self.sql is None and self.files:
            raise wrong("`files` names what `sql` reads; expected `sql` beside it")
        if self.sql is not None and not self.files:
            raise wrong("expected `files: {name: path}` beside `sql`: the names that the SELECT reads from")
        return self


def _distinct(value: object) -> object:
    if value is None:
        return None
    names = value if isinstance(value, list) else []
    if not names or not all(isinstance(one, str) and one for one in names) or len(set(names)) < len(names):
        raise wrong(f"expected a list of columns, each once, such as [user_id, item_id], found {show(value)}")
    return value


class EventsTable(Table):
    """Events also say up to when they are complete, and which of them are the same."""

    complete_until: Moment | None = None
    """events are known until here; silent: until the newest event"""
    event: Name | None = None
    """every row is an event of this kind, where the table has no such column"""
    distinct: Annotated[Names | None, BeforeValidator(_distinct)] = None
    """columns: of rows of a kind that are equal in all of them, the earliest counts; silent: exact duplicates count once"""


class _OneOrSeveral:
    """In the JSON Schema: one alone will do."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        several = handler(schema)
        return {"anyOf": [several["items"], several]}


def _events(value: object) -> object:
    if isinstance(value, dict):
        return (value,)
    if isinstance(value, list) and value:
        return tuple(value)
    raise wrong(f"expected a table, or a list of tables, found {show(value)}")


Events = Annotated[
    tuple[EventsTable, ...], BeforeValidator(_events), _OneOrSeveral(),
    PlainSerializer(lambda tables: [table.model_dump(mode="json") for table in tables]),
]  # fmt: skip


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
    submit: Submit | None = None
    """how `rankcast submit` runs a study in a cluster"""
