"""Kinds of values in the two files, and how they are written."""

from __future__ import annotations

import re
from datetime import date, datetime
from math import nan
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from rankcast.errors import show
from rankcast.tables.duration import Duration

_MOST_CHARACTERS = 100
_CODE = re.compile(r"[A-Z]{2}[0-9]{2}")


class Strict(BaseModel):
    """Base of all parts of a file: frozen, unknown keys refused, no silent conversion."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        extra="forbid",
        frozen=True,
        strict=True,
        populate_by_name=True,
        arbitrary_types_allowed=True,
    )


def wrong(message: str, *at: str) -> PydanticCustomError:
    """A problem with a value, in our own words; `at`: the keys inside of it that say where."""
    return PydanticCustomError("rankcast", "{message}", {"message": message, "at": at})


def later(feature: str) -> Any:
    """The type of a key whose feature comes in a later version: it is known, and refused by name."""

    def refuse(value: object) -> object:
        if value is not None:
            raise wrong(f"not available yet: {feature}")
        return value

    return Annotated[Any, BeforeValidator(refuse), WithJsonSchema({"description": f"Not available yet: {feature}"})]


def _duration(value: object) -> Duration:
    try:
        return Duration.parse(value)
    except ValueError as error:
        raise wrong(str(error)) from error


def _moment(value: object) -> str:
    expected = f"expected a date (2023-10-02) or a date-time (2023-10-02T09:00:00+09:00), found {show(value)}"
    if not isinstance(value, str):
        raise wrong(expected)
    try:
        date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
    except ValueError as error:
        raise wrong(expected) from error
    return value


def number(value: object) -> float:
    """A number as it is written, or a percentage; NaN for anything else."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return float(value.strip()[:-1]) / 100
        except ValueError:
            return nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        return nan
    try:
        return float(value)
    except OverflowError:
        return nan


def _share(value: object) -> float:
    found = number(value)
    if not 0 <= found <= 1:
        raise wrong(f"expected a share such as 1% or 0.01, found {show(value)}")
    return found


def _file_format(value: object) -> object:
    if type(value) is not int or value != 1:
        raise wrong(f"expected 1, the format that this version reads, found {show(value)}")
    return value


def _several(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _name(value: str) -> str:
    if not value.strip() or len(value) > _MOST_CHARACTERS or not value.isprintable():
        raise wrong(f"expected a name of 1 to {_MOST_CHARACTERS} printable characters, found {show(value)}")
    return value


def _folder_name(value: str) -> str:
    if value.startswith(".") or set(value) & set('/\\:*?"<>|'):
        raise wrong(
            f'names a folder: expected a name without / \\ : * ? " < > | and no dot in front, found {show(value)}'
        )
    return _name(value)


def _code(value: str) -> str:
    if not _CODE.fullmatch(value):
        raise wrong(f"expected the code of a rule, such as RP02, found {show(value)}")
    return value


DurationField = Annotated[
    Duration, BeforeValidator(_duration), PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]*[mhdw]$", "examples": ["24h", "7d"]}),
]  # fmt: skip
Moment = Annotated[
    str, BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "description": "ISO date or date-time; a date is midnight in the service's timezone"}),
]  # fmt: skip
Share = Annotated[
    float, BeforeValidator(_share),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": "^[0-9.]+ *%$"}]}),
]  # fmt: skip
FileFormat = Annotated[Literal[1], BeforeValidator(_file_format)]
Name = Annotated[str, AfterValidator(_name)]
FolderName = Annotated[str, AfterValidator(_folder_name)]
Names = Annotated[tuple[str, ...], BeforeValidator(_several)]
Code = Annotated[str, AfterValidator(_code)]
Several = BeforeValidator(_several)
