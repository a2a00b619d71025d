"""A new online test in the record: what the run said, what the test showed."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp
from typing import Any

import polars as pl

from rankcast.config.difference import proposed
from rankcast.config.online_test import OnlineTestFile, UsersTable, read_online_test, validated
from rankcast.config.write import to_yaml
from rankcast.config.yaml import Document
from rankcast.errors import ConfigError, RunError, nearest, show
from rankcast.experiment.past import of_folder, source_of, test_of, there_already
from rankcast.history.offline import numbers_of
from rankcast.history.tests import Change
from rankcast.runs.folder import Run
from rankcast.sources import files
from rankcast.stats.arms import Arm

_DIGITS = 6
_ORDER = tuple(OnlineTestFile.model_fields)


def add(run: Run, results: Path, to: Path) -> tuple[Path, OnlineTestFile]:
    """Write the record of an online test of a run; its path. ConfigError where the two do not belong together."""
    written, document = read_online_test(results, str(results))
    if written.from_users is not None:
        written = _with_users(written, written.from_users, results, document)
    _check_run(written, run, document)
    told = _dumped(written)
    told |= {key: value for key, value in _of_run(run, written).items() if key not in told or key in ("offline", "run")}
    path, whole = ready(told, to), validated(told, document)
    problems = there_already(test_of(whole, str(path)), of_folder(to, str(to)).tests if to.is_dir() else ())
    if problems:
        raise ConfigError(document.problem(one, ("online_test",)) for one in problems)
    write({path: told})
    return path, whole


def ready(told: Mapping[str, Any], to: Path) -> Path:
    """Where a record is to stand, when nothing stands there yet."""
    if to.exists() and not to.is_dir():
        raise RunError(f"--to {to} is a file; expected the folder of the record")
    path = to / f"{told['online_test']}.yaml"
    if path.exists():
        raise RunError(
            f"{path} exists; a test is recorded once. Give it another name (`online_test:`), or change that file"
        )
    return path


def write(records: Mapping[Path, Mapping[str, Any]]) -> None:
    """Write files that are not there yet: all of them, each whole, or none."""
    written: list[Path] = []
    made = {path.parent for path in records if not path.parent.exists()}
    try:
        for path, told in records.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_whole(path, to_yaml({key: told[key] for key in _ORDER if key in told}))
            written.append(path)
    except BaseException as error:
        for path in written:
            path.unlink(missing_ok=True)
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        if isinstance(error, FileExistsError):
            raise RunError(
                f"{error.filename2 or path} was written by somebody else meanwhile; nothing was recorded"
            ) from error
        raise


def _write_whole(path: Path, text: str) -> None:
    """A file of its own becomes the record at once, and never takes the place of another."""
    number, partial = mkstemp(prefix=".partial-", dir=path.parent)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(partial, 0o644)
        os.link(partial, path)
    finally:
        os.unlink(partial)


def _check_run(written: OnlineTestFile, run: Run, document: Document) -> None:
    """The arms are the run's variants, the control its baseline, the study its study."""
    study = run.manifest["plan"]["study"]
    baseline, decided = study["baseline"], [name for name in study["variants"] if name != study["baseline"]]
    problems = []
    if written.study is not None and written.study != study["study"]:
        problems.append(document.problem(f"the run is of the study {study['study']}", ("study",)))
    if written.run is not None and written.run != run.result.run:
        problems.append(document.problem(f"the run given is {run.result.run}", ("run",)))
    if written.control != baseline:
        told = f"expected the run's baseline, {baseline}, found {written.control or 'none'}"
        problems.append(document.problem(told, ("control",)))
    for name in written.arms:
        if name not in (written.control, *decided):
            told = f"the run has no variant `{name}`{nearest(name, decided)}"
            problems.append(document.problem(told, ("online",)))
    goal = (study.get("online") or {}).get("metric")
    if goal is not None and goal not in written.online:
        told = f"the study's online goal is {goal}; found {', '.join(written.online)}"
        problems.append(document.problem(told, ("online",)))
    if problems:
        raise ConfigError(dict.fromkeys(problems))


def _of_run(run: Run, written: OnlineTestFile) -> dict[str, Any]:
    """What the run knows: its numbers, its period, the treatment in words."""
    plan = run.manifest["plan"]
    study, service = plan["study"], plan["service"]
    confidence = study["compare"]["confidence"]
    arms = [name for name in written.arms if name != written.control]
    change = proposed(plan)
    told = {
        "study": study["study"],
        "run": run.result.run,
        "pipeline": (service.get("history") or {}).get("pipeline"),
        "offline_period": {key: str(study["period"][key]) for key in ("from", "to")},
        "offline": {
            name: {metric: offline_document(one) for metric, one in numbers.items()}
            for name in arms
            if (numbers := numbers_of(run.results.comparisons, name, confidence))
        },
        "treatment": list(study["treatment"]),
        "changes": [*change.of("treatment"), *change.of("outside")],
        "why": study.get("why"),
    }
    return {key: value for key, value in told.items() if value not in (None, [], {})}


def offline_document(change: Change) -> dict[str, float]:
    """An offline number as the record writes it."""
    told: dict[str, float | None] = {}
    if change.level:
        told = {"value": change.difference, "value_error": change.error}
    else:
        told = {"difference": change.difference, "difference_error": change.error}
        if change.log_ratio is not None:
            ratio = math.exp(change.log_ratio)
            told["relative"] = ratio - 1
            told["relative_error"] = None if change.error_log_ratio is None else change.error_log_ratio * ratio
    return {key: rounded(value) for key, value in told.items() if value is not None}


def rounded(value: float) -> float:
    """Six significant digits."""
    return float(f"{value:.{_DIGITS}g}")


def _dumped(written: OnlineTestFile) -> dict[str, Any]:
    told = written.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"from_users"})
    return {key: value for key, value in told.items() if value not in ([], {}) or key == "launched"}


# --- Users ---


def _with_users(written: OnlineTestFile, table: UsersTable, results: Path, document: Document) -> OnlineTestFile:
    """The same with `users` and `online` out of a table with a row a user."""
    frame, _ = files.read(source_of([table.path], str(results), results.parent))
    here = ("from_users",)
    own = () if table.user is None else (table.user,)
    needed = [table.arm, *own, *(part for one in table.metrics.values() for part in _parts(one, frame.columns))]
    missing = [one for one in needed if one not in frame.columns]
    if missing:
        raise ConfigError(
            document.problem(f"{table.path} has no column `{one}`{nearest(one, frame.columns)}", here)
            for one in missing
        )
    lost = frame[table.arm].null_count()
    if lost or not len(frame):
        told = f"{lost:,} of {len(frame):,} rows have no `{table.arm}`" if lost else "it has no rows"
        raise ConfigError(document.problem(f"{table.path}: {told}; expected a row a user of the test", here))
    if table.user is not None and frame[table.user].n_unique() < len(frame):
        twice = frame.filter(pl.col(table.user).is_duplicated())[table.user][0]
        raise ConfigError(
            document.problem(f"{table.path}: the user {show(twice)} stands in several rows; sum them first", here)
        )
    users = {
        str(key[0]): part for key, part in frame.partition_by(table.arm, as_dict=True, maintain_order=True).items()
    }
    single = [name for name, part in users.items() if len(part) < 2]
    if single:
        told = f"{table.path}: the arm {show(single[0])} has one user; expected two at least, to see how they differ"
        raise ConfigError(document.problem(told, here))
    if written.control not in users:
        told = (
            f"{table.path}: no user was in the control {show(written.control)}{nearest(written.control or '', users)}"
        )
        raise ConfigError(document.problem(told, ("control",)))
    whole: dict[str, Any] = written.model_dump(mode="python", by_alias=True, exclude_none=True, exclude={"from_users"})
    whole["users"] = {name: len(part) for name, part in users.items()}
    whole["online"] = {
        **whole.get("online", {}),
        **{
            metric: {name: _of_users(part, column, table, document) for name, part in users.items()}
            for metric, column in table.metrics.items()
        },
    }
    return validated(_plain(whole), document)


def _parts(column: str, columns: list[str]) -> list[str]:
    return [column] if column in columns or "/" not in column else [one.strip() for one in column.split("/", 1)]


def _of_users(part: pl.DataFrame, column: str, table: UsersTable, document: Document) -> dict[str, float]:
    numbers = []
    for name in _parts(column, part.columns):
        values = part[name].cast(pl.Float64, strict=False)
        bad = part.filter(values.is_null() | ~values.is_finite().fill_null(value=False))
        if len(bad):
            told = f"{table.path}: `{name}`: expected a number for every user, found {bad[name][0]!r} ({len(bad):,} such rows)"
            raise ConfigError(document.problem(told, ("from_users",)))
        numbers.append(values.to_numpy())
    if len(numbers) == 1:
        deviation = float(numbers[0].std(ddof=1)) if len(part) > 1 else 0.0
        return {"mean": rounded(float(numbers[0].mean())), "sd": rounded(deviation)}
    if not numbers[1].sum() > 0:
        told = f"{table.path}: `{column}`: the sum that it is divided by is {numbers[1].sum():g}"
        raise ConfigError(document.problem(told, ("from_users",)))
    arm = Arm.of_users(numbers[0], numbers[1])
    found = {"value": rounded(arm.value)}
    return found if arm.error is None else {**found, "standard_error": rounded(arm.error)}


def _plain(value: Any) -> Any:
    """Tuples as lists, as a file has them."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
