"""Where tables come from."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, PlainSerializer, WithJsonSchema, model_validator
from pydantic_core import CoreSchema

from rankcast.config.fields import Moment, Name, Names, Strict, later, wrong
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
