"""Validation errors in our words, at their file, line and key."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from rankcast.config.yaml import Document, Location
from rankcast.errors import Problem, nearest, show

_KINDS = {
    "string_type": "text", "int_type": "an integer", "int_from_float": "an integer", "bool_type": "true or false",
    "float_type": "a number", "dict_type": "keys and values", "model_type": "keys and values",
    "model_attributes_type": "keys and values", "tuple_type": "a list", "list_type": "a list",
    "int_parsing_size": "a smaller integer",
}  # fmt: skip


_NOTHING = object()


def problems_of(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Problem]:
    """One problem for each error, in order of lines."""
    problems = [
        document.problem(_message(detail, location, model), location)
        for detail in error.errors(include_url=False)
        for location in [_location(detail, document)]
        if not any(str(part).startswith("literal[") for part in detail["loc"])
    ]
    unique = list(dict.fromkeys(problems))
    return sorted(unique, key=lambda problem: problem.line or 0)


def _location(detail: ErrorDetails, document: Document) -> Location:
    """The place in the file: what pydantic adds for unions and validators is dropped."""
    value, place = document.values, []
    for part in (*detail["loc"], *detail.get("ctx", {}).get("at", ())):
        inside = _inside_value(value, part)
        if inside is not _NOTHING:
            value = inside
        elif not (detail["type"] == "missing" and part == detail["loc"][-1]):
            continue
        place.append(part)
    return tuple(place)


def _inside_value(value: Any, part: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(part, _NOTHING)
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return value[part]
    return _NOTHING


def message_of(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """An error of a part of a file that was read by itself, in our words."""
    inside = ".".join(str(part) for part in detail["loc"][: None if detail["type"] != "extra_forbidden" else -1])
    return f"{inside}{': ' if inside else ''}{_message(detail, tuple(detail['loc']), model)}"


def _message(detail: ErrorDetails, location: Location, model: type[BaseModel]) -> str:
    kind, found = detail["type"], detail.get("input")
    if kind == "missing":
        return "this key is required and is missing"
    if kind == "extra_forbidden":
        key = str(location[-1])
        return f"unknown key `{key}`{nearest(key, keys_at(model, location[:-1]))}"
    if kind == "rankcast":
        return detail["msg"]
    if kind == "literal_error":
        return f"expected {detail['ctx']['expected']}, found {show(found)}"
    if kind in _KINDS:
        return f"expected {_KINDS[kind]}, found {show(found)}"
    return f"{detail['msg'][0].lower()}{detail['msg'][1:]}, found {show(found)}"


def keys_at(model: type[BaseModel], location: Location) -> list[str]:
    """The keys that are known at a place of a file."""
    current: Any = model
    for part in location:
        current = _inside(current, part)
    models = [arm for arm in _arms(current) if isinstance(arm, type) and issubclass(arm, BaseModel)]
    return [field.alias or name for one in models for name, field in one.model_fields.items()]


def _inside(kind: Any, part: str | int) -> Any:
    for arm in _arms(kind):
        if isinstance(arm, type) and issubclass(arm, BaseModel):
            for name, field in arm.model_fields.items():
                if part in (field.alias, name):
                    return field.annotation
        elif get_origin(arm) in (dict, Mapping) and isinstance(part, str):
            return get_args(arm)[1]
        elif get_origin(arm) in (tuple, list) and isinstance(part, int):
            return get_args(arm)[0]
    return None


def _arms(kind: Any) -> list[Any]:
    if get_origin(kind) is Annotated:
        return _arms(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return [arm for part in get_args(kind) for arm in _arms(part)]
    return [kind]
