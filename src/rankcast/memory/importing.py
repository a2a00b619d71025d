"""A table of past tests as files of the record."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rankcast.config.online_test import OnlineTestFile
from rankcast.errors import Problem, RunError
from rankcast.experiment.past import of_folder, same_as, there_already
from rankcast.history.tests import Change, OnlineTest
from rankcast.memory.adding import offline_document, ready, rounded, write

CONTROL = "control"


def import_tests(tests: Sequence[OnlineTest], to: Path) -> list[Path]:
    """Write one file a test; all of them or, where one is refused, none."""
    told: dict[Path, dict[str, Any]] = {}
    names: dict[Path, str] = {}
    for test in tests:
        document = _document(test)
        path = ready(document, to)
        if path in told:
            raise RunError(f"{test.place}: the test {test.name} and {names[path]} would both be {path}; rename one")
        try:
            OnlineTestFile.model_validate(document)
        except ValidationError as error:
            raise RunError(f"{test.place}: the test {test.name} cannot be recorded: {_reason(error)}") from error
        told[path], names[path] = document, test.name
    there = of_folder(to, str(to)).tests if to.is_dir() else ()
    problems = [
        f"{test.place}: {one}"
        for at, test in enumerate(tests)
        for one in (*there_already(test, there), *same_as(test, tests[:at]))
    ]
    if problems:
        raise RunError(Problem(one) for one in problems)
    write(told)
    return list(told)


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in (*first["loc"], *first.get("ctx", {}).get("at", ())))
    return f"{place}: {first['msg']}" if place else str(first["msg"])


def _document(test: OnlineTest) -> dict[str, Any]:
    levels = any(change.level for changes in test.online.values() for change in changes.values())
    tested = {name for changes in test.online.values() for name in changes}
    for name in test.offline:
        if name not in tested:
            raise RunError(
                f"{test.place}: the variant {name} of the test {test.name} has no online number; leave its row out"
            )
    if not levels and test.control is None and CONTROL in tested:
        raise RunError(
            f"{test.place}: a variant is called `{CONTROL}`, and is held against one; rename it, or add --scale level"
        )
    if test.start is not None and test.end is None:
        raise RunError(f"{test.place}: the test {test.name} has a `start` and no `end`")
    period = None if test.start is None else {"from": test.start, "to": test.end or test.start}
    before = (
        None
        if test.offline_start is None
        else {"from": test.offline_start, "to": test.offline_end or test.offline_start}
    )
    told = {
        "rankcast": 1,
        "online_test": _name(test),
        "study": test.study,
        "run": test.run,
        "pipeline": test.pipeline,
        "era": test.era,
        "group": test.group,
        "period": period,
        "offline_period": before,
        "control": None if levels else test.control or CONTROL,
        "online": {
            metric: {name: _online(one) for name, one in changes.items()} for metric, changes in test.online.items()
        },
        "offline": {
            name: {metric: offline_document(one) for metric, one in numbers.items()}
            for name, numbers in test.offline.items()
            if numbers and name in tested
        },
        "launched": None if test.launched is None else sorted(test.launched & tested),
        "excluded": test.excluded,
        "treatment": list(test.kinds),
        "changes": list(test.changes),
        "notes": test.notes,
    }
    return {
        key: value for key, value in told.items() if value is not None and (value not in ([], {}) or key == "launched")
    }


def _name(test: OnlineTest) -> str:
    whole = test.name if test.group is None else f"{test.name}-{test.group}"
    return re.sub(r'[/\\:*?"<>|\s]+', "-", whole).strip(".-")[:100] or "test"


def _online(change: Change) -> dict[str, float]:
    if change.level:
        told = {"value": change.difference, "standard_error": change.error}
    elif change.log_ratio is not None:
        ratio, error = math.exp(change.log_ratio), change.error_log_ratio
        told = {"relative": ratio - 1, "standard_error": None if error is None else error * ratio}
    else:
        told = {"difference": change.difference, "standard_error": change.error}
    return {key: rounded(value) for key, value in told.items() if value is not None}
