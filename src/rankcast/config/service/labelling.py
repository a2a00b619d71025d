"""What counts as success, which requests count, and how far users look: three parts of service.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema, model_validator

from rankcast.config.fields import DurationField, Name, Names, Strict, wrong
from rankcast.errors import show

_MOST_GRADE = 1000
Attribution = Literal["request_id", "last_shown", "last_request", "any_request"]


class Grade(Strict):
    """What an event of a kind is worth."""

    grade: float
    """how good an item is that got this event; above 0 is relevant"""
    within: DurationField | None = None
    """this kind's own horizon; silent: labels.horizon"""
    after: Name | None = None
    """a kind of event that leads to this one, by the same user on the same item: this one counts for the same requests"""


def _grade(event: object, value: object) -> object:
    if not isinstance(event, str) or not event.strip():
        raise wrong(f"expected the name of a kind of event, found {show(event)}")
    number = value.get("grade") if isinstance(value, dict) else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise wrong(f"{event}: expected a number, or `{{grade: 4, within: 14d}}`, found {show(value)}")
    if not -_MOST_GRADE <= number <= _MOST_GRADE:
        raise wrong(f"{event}: expected a grade up to {_MOST_GRADE}, found {show(number)}")
    return {**value, "grade": float(number)} if isinstance(value, dict) else {"grade": float(number)}


def _grades(value: object) -> object:
    if not isinstance(value, dict) or not value:
        raise wrong(f"expected grades such as `{{click: 1, apply: 4}}`, found {show(value)}")
    return {event: _grade(event, grade) for event, grade in value.items()}


def _written(grades: Mapping[str, Grade]) -> dict[str, Any]:
    shown = {event: grade.model_dump(mode="json", exclude_none=True) for event, grade in grades.items()}
    return {event: grade["grade"] if len(grade) == 1 else grade for event, grade in shown.items()}


_GRADE_SCHEMA = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {
        "anyOf": [
            {"type": "number"},
            {
                "type": "object",
                "required": ["grade"],
                "additionalProperties": False,
                "properties": {
                    "grade": {"type": "number"},
                    "within": {"type": "string"},
                    "after": {"type": "string"},
                },
            },
        ]
    },
}


class Labels(Strict):
    """What counts as success."""

    grades: Annotated[
        dict[str, Grade], BeforeValidator(_grades), PlainSerializer(_written), WithJsonSchema(_GRADE_SCHEMA)
    ]
    """what an event is worth: event: grade, or event: {grade, within, after}"""
    horizon: DurationField
    """how long after a request an event counts for it"""
    attribute: Attribution = "request_id"
    """for which request an event counts"""
    negative_grades: bool = False
    """whether grades below 0 are meant: what users disliked, which counts against a list"""
    late: Literal["exclude", "report"] = "exclude"
    """requests whose horizon is not over: leave them out, or keep them and report what is still missing"""

    @model_validator(mode="after")
    def _sound(self) -> Labels:
        for event, grade in self.grades.items():
            if grade.grade < 0 and not self.negative_grades:
                raise wrong(
                    f"grades: {event}: {grade.grade:g} is below 0, which most metrics do not understand; if it is meant, add "
                    "`negative_grades: true`"
                )
            seen, kind = [event], grade.after
            while kind is not None:
                if kind in seen:
                    raise wrong(f"grades: {event}: `after` leads in a circle: {' after '.join([*seen, kind])}")
                seen.append(kind)
                kind = self.grades[kind].after if kind in self.grades else None
        return self


def _averages(value: object) -> object:
    several = tuple(value) if isinstance(value, list) else (value,)
    for one in several:
        if one in ("request", "user") or (isinstance(one, str) and one.startswith("request.") and len(one) > 8):
            continue
        raise wrong(f"expected request, user or request.<column>, found {show(one)}")
    if not several or len(set(several)) < len(several):
        raise wrong(f"expected each average once, found {show(value)}")
    return several


def _column_of(scopes: tuple[str, ...], example: str) -> Any:
    def check(value: object) -> object:
        scope, _, column = value.partition(".") if isinstance(value, str) else ("", "", "")
        if value is not None and (scope not in scopes or not column):
            wanted = " or ".join(f"{scope}.<column>" for scope in scopes)
            raise wrong(f"expected {wanted}, such as {example}, found {show(value)}")
        return value

    return BeforeValidator(check)


Averages = Annotated[
    tuple[str, ...],
    BeforeValidator(_averages),
    PlainSerializer(lambda averages: averages[0] if len(averages) == 1 else list(averages)),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]


class Targets(Strict):
    """Which requests count, and how much each."""

    where: str | None = None
    """SQL boolean over request.* and user.*; a request for which it is not true is not replayed"""
    without_labels: Literal["exclude", "zero"]
    """leave requests without a label out, or count them as zero; no default: the team must say"""
    average: Averages = ("request",)
    """what weighs the same: every request, every user, or every value of request.<column>; of a list the first decides"""
    weight: Annotated[str | None, _column_of(("request",), "request.value")] = None
    """request.<column>: how much each request counts, 0 or more; within the groups of `average`"""


def kinds_given(value: object) -> object:
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise wrong(f"expected a list of kinds of events, such as [click], found {show(value)}")
    return value


class Behaviour(Strict):
    """How far users look."""

    clicks: Annotated[Names, BeforeValidator(kinds_given)] = ("click",)
    """events that show that an item was looked at and liked"""
    depth: Annotated[str | None, _column_of(("request",), "request.depth")] = None
    """request.<column>: how many ranks the user had on the screen, where it is logged"""
    ranks: Literal["shown", "unknown"] = "shown"
    """whether `rank` of the impressions is the place on the screen, or unknown: just the order of the log"""
    by: Annotated[str | None, _column_of(("request",), "request.keyword")] = None
    """request.<column>: an item attracts differently for each of its values; silent: alike everywhere"""
