"""From what a service or a command says of past online tests to the tests themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rankcast.config.online_test import OfflineNumber, OnlineNumber, OnlineTestFile, read_online_test
from rankcast.config.plan import Plan
from rankcast.config.service import Past
from rankcast.errors import ConfigError, Problem, nearest
from rankcast.experiment.assembly import table_source
from rankcast.history.forecasting import Candidate, Oracle
from rankcast.history.offline import numbers_of
from rankcast.history.pairing import metrics_of
from rankcast.history.panel import Wanted, history_of, speaking_of
from rankcast.history.table import Layout, tests_of
from rankcast.history.tests import Bar, Change, OnlineTest
from rankcast.records import ComparisonRow, Fingerprint
from rankcast.records.history import History
from rankcast.rules.thresholds import THRESHOLDS
from rankcast.sources import files, sql
from rankcast.sources.source import FileSet, Pattern, Source
from rankcast.stats.arms import Arm, ArmDifference, arm_difference, sample_ratio_p

ENDINGS = ("*.yaml", "*.yml")


@dataclass(frozen=True)
class Record:
    """The tests of a folder or a table, metrics of which less is better, and the files that were read, as they may be shown."""

    tests: tuple[OnlineTest, ...]
    worse: frozenset[str]
    files: Mapping[Path, str]


def of_folder(folder: Path, shown: str) -> Record:
    """Every file of a folder. ConfigError with the problems of all of them, tests that stand there twice among them."""
    paths = {path: f"{shown.rstrip('/')}/{path.name}" for path in _files_in(folder)}
    tests: list[OnlineTest] = []
    worse: set[str] = set()
    problems: list[Problem] = []
    for path, name in paths.items():
        try:
            written, document = read_online_test(path, name)
        except ConfigError as error:
            problems += error.problems
            continue
        if written.from_users is not None:
            told = "`from_users` is read once, by `rankcast history add RUN --online FILE`; a record holds the numbers"
            problems.append(document.problem(told, ("from_users",)))
            continue
        one = test_of(written, name)
        problems += [document.problem(told, ("online_test",)) for told in there_already(one, tests)]
        tests.append(one)
        worse |= set(written.lower_is_better)
    if problems:
        raise ConfigError(problems)
    return Record(tuple(tests), frozenset(worse), paths)


def _files_in(folder: Path) -> tuple[Path, ...]:
    found = (path for ending in ENDINGS for path in folder.glob(ending))
    return tuple(sorted(path for path in found if not path.name.startswith(".")))


def there_already(test: OnlineTest, others: Sequence[OnlineTest]) -> list[str]:
    """Whether others have its name, or are the same under another name."""
    told = [f"a test {test.name} stands in {one.place} already" for one in others if one.name == test.name]
    return told + same_as(test, [one for one in others if one.name != test.name])


def same_as(test: OnlineTest, others: Sequence[OnlineTest]) -> list[str]:
    """Whether others are the same test under another name."""
    told = "the same study, period and numbers stand in {} already, as {}"
    return [told.format(one.place, one.name) for one in others if _same(one, test)]


def _same(one: OnlineTest, other: OnlineTest) -> bool:
    """Of one study (or run), with the same period, group and numbers; another run of it makes no other test."""
    whole = all(getattr(one, name) == getattr(other, name) for name in ("start", "end", "group", "online"))
    of_study = other.study is not None and one.study == other.study
    return whole and (of_study or (other.run is not None and one.run == other.run))


def test_of(written: OnlineTestFile, place: str) -> OnlineTest:
    """A file of the record as a test: counts of arms become differences, users are held against their split."""
    pairs = (("model", "model"), ("population", "population"))
    unlike = [
        f"{what}: {theirs} was evaluated, {mine} was tested"
        for what, name in pairs
        if (mine := getattr(written, name)) is not None
        and (theirs := getattr(written, f"offline_{name}")) is not None
        and mine != theirs
    ]
    before, period = written.offline_period, written.period
    return OnlineTest(
        name=written.online_test,
        offline={variant: {name: _offline(one) for name, one in found.items()} for variant, found in written.offline.items()},
        online={metric: _online(written, arms) for metric, arms in written.online.items()},
        control=written.control,
        study=written.study,
        run=written.run,
        start=None if period is None else period.from_[:10],
        end=None if period is None else period.to[:10],
        offline_start=None if before is None else before.from_[:10],
        offline_end=None if before is None else before.to[:10],
        era=written.era,
        pipeline=written.pipeline,
        group=written.group,
        launched=None if written.launched is None else frozenset(written.launched),
        sample_ratio_p=_sample_ratio(written),
        unlike=tuple(unlike),
        excluded=written.excluded,
        kinds=written.treatment,
        changes=written.changes,
        why=written.why,
        notes=written.notes,
        place=place,
    )  # fmt: skip


def _sample_ratio(written: OnlineTestFile) -> float | None:
    if len(written.users) < 2:
        return None
    return sample_ratio_p(list(written.users.values()), [written.split.get(name, 1.0) for name in written.users])


def differences_of(written: OnlineTestFile) -> dict[str, dict[str, ArmDifference]]:
    """By metric and arm, what counts or values of two arms say: difference, interval, p."""
    control = written.control
    return {
        metric: {
            name: arm_difference(_arm(written, control, arms[control]), _arm(written, name, one), 0.95)
            for name, one in arms.items()
            if name != control
        }
        for metric, arms in written.online.items()
        if control is not None and control in arms
    }


def _offline(one: OfflineNumber) -> Change:
    if one.value is not None and one.difference is None and one.relative is None:
        return Change(one.value, one.value_error, level=True)
    if one.relative is None:
        return Change(one.difference, one.difference_error)
    relative = Change.of_relative(one.relative, one.relative_error)
    return Change(one.difference, one.difference_error, relative.log_ratio, relative.error_log_ratio)


def _online(written: OnlineTestFile, arms: dict[str, OnlineNumber]) -> dict[str, Change]:
    control = written.control
    if control is None:
        return {name: Change(one.value, one.standard_error, level=True) for name, one in arms.items()}
    found = {}
    for name, one in arms.items():
        if one.relative is not None:
            found[name] = Change.of_relative(one.relative, one.standard_error)
        elif one.difference is not None:
            found[name] = Change(one.difference, one.standard_error)
        elif name != control:
            told = arm_difference(_arm(written, control, arms[control]), _arm(written, name, one), 0.95)
            found[name] = Change(told.difference, told.error, told.log_ratio, told.error_log_ratio)
    return found


def _arm(written: OnlineTestFile, name: str, one: OnlineNumber) -> Arm:
    users = written.users.get(name, 0)
    if one.successes is not None:
        return Arm.of_share(users, one.successes)
    if one.mean is not None:
        return Arm.of_mean(users, one.mean, one.sd)
    return Arm(users, one.value or 0.0, one.standard_error)


def source_of(paths: Sequence[str], shown: str, folder: Path) -> Source:
    """A table that a command names."""
    patterns = tuple(Pattern.of(path, path, folder) for path in paths)
    return Source(key="", files=FileSet(patterns), declared_in=shown, line=None)


def of_table(source: Source, layout: Layout, timezone: str) -> Record:
    """The tests of a table."""
    frame = sql.read(source, timezone) if source.sql is not None else files.read(source)[0]
    read = {path: name for one in source.file_sets for path, name in files.find(one, source).items()}
    named = replace(layout, name=next(iter(read)).name.partition(".")[0])
    shown = ", ".join(list(read.values())[:3])

    def place(message: str) -> Problem:
        return source.problem(message if source.declared_in == shown else f"{shown}: {message}")

    return Record(tests_of(frame, named, place), frozenset(), read)


def of_plan(plan: Plan) -> Record | None:
    """The record that a study's service names; None where it names none."""
    past = plan.service.history
    if past is None:
        return None
    source = table_source(plan, past, ("history",), plan.service_file, plan.service_folder)
    folder = _folder_of(source)
    if folder is not None and past.path is not None:
        for key in ("offline", "columns", "control", "scale"):
            if getattr(past, key) != type(past).model_fields[key].get_default(call_default_factory=True):
                told = f"`{key}` says how a table is read, and {past.path[0]} is a folder; leave it out"
                raise ConfigError(source.problem(told, key))
        found = of_folder(folder, past.path[0])
    else:
        layout = Layout(past.online, past.offline, past.scale, past.control, past.columns)
        found = of_table(source, layout, plan.service.timezone)
    _check_names(past, found, source)
    return Record(found.tests, found.worse | set(past.lower_is_better), found.files)


def _check_names(past: Past, found: Record, source: Source) -> None:
    """What service.yaml names is there."""
    online, offline = metrics_of(found.tests)
    groups = [one.group for one in found.tests if one.group is not None]
    wanted = (
        ("online", "online metric", past.online, online),
        ("offline", "offline metric", past.offline, offline),
        ("lower_is_better", "metric", past.lower_is_better, (*online, *offline)),
        ("group", "group", () if past.group is None else (past.group,), tuple(dict.fromkeys(groups))),
    )
    for key, what, names, there in wanted:
        for name in names:
            if found.tests and name not in there:
                raise ConfigError(source.problem(f"no past test has the {what} {name}{nearest(name, there)}", key))


def folder_files(plan: Plan) -> tuple[Path, ...]:
    """The files of a record that lies in a folder beside service.yaml; none where it lies elsewhere, or is a table."""
    past = plan.service.history
    if past is None or past.path is None or past.path[0].startswith(("/", "${")):
        return ()
    folder = _folder_of(table_source(plan, past, ("history",), plan.service_file, plan.service_folder))
    return () if folder is None else _files_in(folder)


def prints_of(record: Record | None) -> tuple[Fingerprint, ...]:
    """The files of the record: they shape a run's forecasts."""
    found = {} if record is None else record.files
    return tuple(files.fingerprint(path, name) for path, name in found.items())


def history_for(plan: Plan, record: Record | None, rows: Sequence[ComparisonRow]) -> History | None:
    """The links of the study's metrics with its online goal, the metric that decides first, and what to expect of each variant.

    Tests of this very study take no part in a forecast of it.
    """
    if record is None or plan.service.history is None:
        return None
    wanted = _wanted(plan, plan.service.history, record)
    speaking = speaking_of(record.tests, plan.service.history.group)
    tests, remark = (record.tests, "") if isinstance(speaking, str) else (speaking, "")
    history = history_of(tests, wanted)
    others = [one for one in tests if one.study != plan.study.study]
    if len(others) < len(tests):
        remark = "; tests of the study itself take no part"
    first = replace(wanted, offline=wanted.offline[:1])
    foretells = history if len(others) == len(tests) else history_of(others, first)
    refusal = f"{speaking} (`history: {{group: ...}}`)" if isinstance(speaking, str) else None
    oracle = Oracle(foretells.links[0], remark, refusal)
    metric, own = wanted.offline[0], plan.service.history.smallest_effect
    smallest = plan.study.compare.smallest_effect if own is None else own
    forecasts = []
    for variant in plan.variants:
        change = numbers_of(rows, variant.name, plan.study.compare.confidence).get(metric)
        if variant.decided and variant.name != plan.study.baseline and change is not None:
            turned = change.negated() if metric in wanted.worse else change
            forecasts.append(oracle.forecast(Candidate(variant.name, turned), smallest))
    return history.model_copy(update={"forecasts": tuple(forecasts)})


def _wanted(plan: Plan, past: Past, record: Record) -> Wanted:
    """What of the record a study looks at: its own metrics, as far as the record has them, and its online goal."""
    online, offline = metrics_of(record.tests)
    goal = (
        next(iter((*past.online, *online)), "the online goal")
        if plan.study.online is None
        else plan.study.online.metric
    )
    primary, *names = (str(planned.metric) for planned in plan.metrics)
    limits = {name: plan.service.rules.get("ON04", {}).get(name, one.value) for name, one in THRESHOLDS["ON04"].items()}
    return Wanted(
        (goal,),
        (primary, *(name for name in names if name in offline)),
        record.worse | {str(one.metric) for one in plan.metrics if not one.metric.higher_is_better},
        plan.study.compare.confidence,
        plan.study.seed,
        Bar(limits["days"], limits["p"]),
    )


def _folder_of(source: Source) -> Path | None:
    """The folder that a source names, where it names one and nothing else."""
    patterns = () if source.files is None else source.files.patterns
    if len(patterns) != 1:
        return None
    one = patterns[0]
    if one.whole.is_dir():
        return one.whole
    if one.written.endswith((".yaml", ".yml")):
        raise ConfigError(source.problem(f"`{one.written}` names files of a record; name their folder"))
    if not one.matches() and not one.whole.suffix:
        told = f"no folder or file `{one.written}`; make the folder: `rankcast history add` and `import` write into it"
        raise ConfigError(source.problem(told))
    return None
