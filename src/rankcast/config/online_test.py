"""history/*.yaml: one online test a file, beside the offline numbers that preceded it."""

from __future__ import annotations

from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, WithJsonSchema, model_validator

from rankcast.config.fields import FileFormat, FolderName, Name, Names, Several, Strict, number, wrong
from rankcast.config.problems import problems_of
from rankcast.config.study import LongText, Period
from rankcast.config.yaml import Document, load, text_of
from rankcast.errors import ConfigError, nearest, show


def _amount(value: object) -> float:
    found = number(value)
    if not isfinite(found) or abs(found) > _LARGEST or 0 < abs(found) < _SMALLEST:
        told = f"expected a number, or a percentage such as 1.5%, of a size from {_SMALLEST:g} to {_LARGEST:g}, or 0"
        raise wrong(f"{told}, found {show(value)}")
    return found


def _error(value: object) -> float:
    found = _amount(value)
    if found < 0:
        raise wrong(f"expected a standard error from 0, found {show(value)}")
    return found


def _ratio(value: object) -> float:
    found = _amount(value)
    if not -1 < found <= _MOST_TIMES:
        raise wrong(f"expected a relative change above -100%, such as 2.1%, up to {_MOST_TIMES:g}, found {show(value)}")
    return found


def _share(value: object) -> float:
    found = _amount(value)
    if found <= 0:
        raise wrong(f"expected a share of users above 0, found {show(value)}")
    return found


def _users(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and not 1 <= value <= _MOST_USERS:
        raise wrong(f"expected a number of users from 1, found {show(value)}")
    return value


def _test_name(value: str) -> str:
    if len(value.encode()) > _LONGEST_NAME:
        raise wrong(f"names a file: expected at most {_LONGEST_NAME} bytes, found {len(value.encode())}")
    return value


_LARGEST, _SMALLEST = 1e15, 1e-30
_MOST_TIMES, _MOST_USERS = 1e6, 10**12
_LONGEST_NAME = 200
_PERCENT = {"type": "string", "pattern": "^[-+0-9.e]+ *%$"}
_SCHEMA = WithJsonSchema({"anyOf": [{"type": "number"}, _PERCENT]})
Amount = Annotated[float, BeforeValidator(_amount), _SCHEMA]
Error = Annotated[float, BeforeValidator(_error), _SCHEMA]
Ratio = Annotated[float, BeforeValidator(_ratio), _SCHEMA]
Split = Annotated[float, BeforeValidator(_share), _SCHEMA]
Users = Annotated[int, BeforeValidator(_users)]
TestName = Annotated[FolderName, AfterValidator(_test_name)]

_FORMS = ("successes", "mean", "value", "difference", "relative")
_OF_ARMS = ("successes", "mean", "value")


class OnlineNumber(Strict):
    """One arm, in one of five ways: `successes` of its users; `mean` (and `sd`) over them; `value` with `standard_error`; or
    against the control, as `difference` or `relative`, with `standard_error`.
    """

    successes: Annotated[int | None, Field(ge=0, le=_MOST_USERS)] = None
    """users of the arm that did it, where the metric is a share of users"""
    mean: Amount | None = None
    """the metric per user"""
    sd: Error | None = None
    """its standard deviation over users"""
    value: Amount | None = None
    """the metric as the experiment platform gives it, such as a ratio of sums"""
    difference: Amount | None = None
    """arm - control"""
    relative: Ratio | None = None
    """arm / control - 1, such as 2.1%"""
    standard_error: Error | None = None
    """of `value`, `difference` or `relative`; it decides how much the test counts"""

    @property
    def form(self) -> str:
        """Which of the five ways."""
        return next(name for name in _FORMS if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _one_way(self) -> OnlineNumber:
        given = [name for name in _FORMS if getattr(self, name) is not None]
        if len(given) != 1:
            found = ", ".join(given) or "none of them"
            raise wrong(f"expected one of {', '.join(_FORMS)}, found {found}")
        if self.sd is not None and self.mean is None:
            raise wrong("`sd` is the standard deviation of a `mean` over users")
        if self.standard_error is not None and self.form in ("successes", "mean"):
            raise wrong(f"`standard_error` follows from `{self.form}` and the arm's users; leave it out")
        return self


class OfflineNumber(Strict):
    """What a run said of a variant: as a difference, as a relative change, or both, with standard errors."""

    difference: Amount | None = None
    """variant - baseline"""
    difference_error: Error | None = None
    """its standard error"""
    relative: Ratio | None = None
    """variant / baseline - 1"""
    relative_error: Error | None = None
    """its standard error"""
    value: Amount | None = None
    """the value itself, where there is no baseline"""
    value_error: Error | None = None
    """its standard error"""

    @model_validator(mode="after")
    def _something(self) -> OfflineNumber:
        if self.difference is None and self.relative is None and self.value is None:
            raise wrong("expected `difference`, `relative` or `value`")
        for name in ("difference", "relative", "value"):
            if getattr(self, name) is None and getattr(self, f"{name}_error") is not None:
                raise wrong(f"`{name}_error` is the standard error of `{name}`; expected both")
        return self


class UsersTable(Strict):
    """A table with a row a user of the test: parquet, csv, csv.gz or ndjson."""

    path: str
    """the file, relative to this one"""
    arm: str = "arm"
    """the column that says which arm the user was in"""
    user: str | None = None
    """the column of the user's id: no user may stand in two rows; silent: that is not looked at"""
    metrics: dict[Name, str] = Field(min_length=1)
    """metric: a column (its mean over users), or a ratio of two such as clicks/impressions (of their sums)"""


class OnlineTestFile(Strict):
    """history/*.yaml."""

    rankcast: FileFormat
    """format of the file"""
    online_test: TestName
    """name; no two files have the same"""
    study: Name | None = None
    """the study that preceded it"""
    run: Name | None = None
    """its run; `rankcast history add` writes it"""
    pipeline: Name | None = None
    """version of what made the offline number; numbers of different versions are told apart"""
    era: Name | None = None
    """the period of the product's life that it belongs to; silent: the year in which it began"""
    group: Name | None = None
    """the part of the users that it was about; groups are never put together"""
    period: Period | None = None
    """from when to when users were split; `to` is no day of it any more"""
    offline_period: Period | None = None
    """the period of the run"""
    control: Name | None = None
    """the arm that everything is held against; without one, numbers are levels"""
    users: dict[Name, Users] = Field(default_factory=dict)
    """users of each arm"""
    split: dict[Name, Split] = Field(default_factory=dict)
    """how users were meant to be split; silent: evenly"""
    online: dict[Name, dict[Name, OnlineNumber]] = Field(default_factory=dict)
    """metric: arm: what was seen"""
    from_users: UsersTable | None = None
    """a table with a row a user, from which `rankcast history add` makes `users` and `online`"""
    offline: dict[Name, dict[str, OfflineNumber]] = Field(default_factory=dict)
    """variant: metric: what the run said"""
    lower_is_better: Names = ()
    """metrics of which less is better"""
    launched: Names | None = None
    """the arms that users have got since; an empty list: none"""
    model: Name | None = None
    """what was tested: a version or a hash"""
    offline_model: Name | None = None
    """what was evaluated; when it is another one, the pair does not count (ON04)"""
    population: Name | None = None
    """whose users the test was about"""
    offline_population: Name | None = None
    """whose requests were evaluated; when they are others, the pair does not count (ON04)"""
    excluded: Annotated[LongText, Field(min_length=1)] | None = None
    """why its numbers count nowhere, such as a sample ratio that is off; it is remembered, and ON04 asks no more"""
    treatment: Names = ()
    """what the study changed: scores, candidates, steps, served"""
    changes: Annotated[tuple[LongText, ...], Several] = ()
    """what it changed, in words"""
    why: LongText | None = None
    """the reason that the study gave"""
    notes: LongText | None = None
    """what else should be remembered"""

    @model_validator(mode="after")
    def _sound(self) -> OnlineTestFile:
        for key, one in (("period", self.period), ("offline_period", self.offline_period)):
            if one is not None and _day(one.to) <= _day(one.from_):
                raise wrong(
                    f"it ends on {one.to}, and begins on {one.from_}; `to` is the first day that is no part of it", key
                )
        if not self.online and self.from_users is None:
            raise wrong("expected `{metric: {arm: ...}}`: what was seen", "online")
        if self.from_users is not None and self.control is None:
            raise wrong("needs `control:`, the arm that the others are held against", "from_users")
        for metric, arms in self.online.items():
            self._check_arms(metric, arms)
        if self.from_users is None:
            self._check_names()
        return self

    def _check_names(self) -> None:
        """Every arm that some key names was tested."""
        known = (*self.arms, *((self.control,) if self.control is not None else ()))
        variants = [one for one in known if one != self.control]
        for key, names in (("offline", tuple(self.offline)), ("launched", self.launched or ())):
            for name in names:
                if name == self.control:
                    raise wrong(f"{show(name)} is the control; expected {', '.join(variants)}", key)
                if name not in variants:
                    raise wrong(f"no arm {show(name)} was tested{nearest(name, variants)}", key)
        metrics = (*self.online, *(metric for numbers in self.offline.values() for metric in numbers))
        for name in self.lower_is_better:
            if name not in metrics:
                raise wrong(f"no metric {show(name)} is here{nearest(name, metrics)}", "lower_is_better")
        for name in self.users:
            if name not in known:
                raise wrong(f"no arm {show(name)} was tested{nearest(name, known)}", "users")
        if self.split and set(self.split) != set(self.users):
            given, wanted = ", ".join(self.split), ", ".join(self.users) or "which is missing"
            raise wrong(f"expected a share for each arm of `users`, {wanted}; found {given}", "split")

    @property
    def arms(self) -> tuple[str, ...]:
        """Every arm that some metric knows."""
        return tuple(dict.fromkeys(name for arms in self.online.values() for name in arms))

    def _check_arms(self, metric: str, arms: dict[str, OnlineNumber]) -> None:
        here = ("online", metric)
        if not arms:
            raise wrong("expected an arm at least", *here)
        forms = {one.form for one in arms.values()}
        if len(forms) != 1:
            raise wrong(f"expected every arm in the same way, found {', '.join(sorted(forms))}", *here)
        form = forms.pop()
        if self.control is None:
            if form != "value":
                raise wrong(f"`{form}` needs `control:`, the arm that it is held against", *here)
            return
        if form in _OF_ARMS and self.control not in arms:
            raise wrong(f"the control {show(self.control)} is missing; found {', '.join(arms)}", *here)
        if form not in _OF_ARMS and self.control in arms:
            raise wrong(f"`{form}` is held against the control, which has none itself", *here)
        if set(arms) <= {self.control}:
            raise wrong("no arm beside the control", *here)
        for name, one in arms.items():
            if form in ("successes", "mean") and name not in self.users:
                raise wrong(f"{form} of {show(name)} need its number of `users`", *here)
            if one.successes is not None and one.successes > self.users[name]:
                raise wrong(f"{one.successes:,} successes of {self.users[name]:,} users of {show(name)}", *here)


def _day(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(tzinfo=None)


def read_online_test(path: Path, shown: str) -> tuple[OnlineTestFile, Document]:
    """A file of the record. ConfigError with every problem that it has."""
    document = load(text_of(path, shown), shown)
    return validated(document.values, document), document


def validated(values: Any, document: Document) -> OnlineTestFile:
    """Plain values as a record; problems stand where `document` has them."""
    try:
        return OnlineTestFile.model_validate(values)
    except ValidationError as error:
        raise ConfigError(problems_of(error, document, OnlineTestFile)) from error
