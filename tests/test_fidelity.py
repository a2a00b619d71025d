"""Fidelity says what differs: every step, batch of scores and time zone that is wrong in the files is found and named.

The simulated job board knows the truth, so each fault is put in on purpose; real lists show what is there without one.
"""

from __future__ import annotations

import gzip
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl
import pytest
from scipy import stats

import rankcast
from rankcast.records import Fidelity
from rankcast.runs.folder import Run
from rankcast.testing.demo import SERVICE
from rankcast.testing.jobboard import JobBoard, simulate

Ranked: TypeAlias = Mapping[str, list[str]]
Frames: TypeAlias = Mapping[str, pl.DataFrame]
Batches: TypeAlias = Mapping[str, Mapping[Any, set[str]]]
Change: TypeAlias = Callable[[Frames], pl.DataFrame]

TABLES = ("requests", "items", "availability", "impressions", "events", "users")
TIMES = {
    "requests": ("requested_at",),
    "availability": ("open_at", "close_at"),
    "events": ("timestamp",),
    "scores": ("computed_at",),
}
SCORES, SERVED = "scores", 10
STUDY = """\
rankcast: 1
study: fidelity
service: service.yaml
owner: tests
period: {from: 2023-10-02, to: 2023-10-16}
variants:
  production: {scores: {path: data/scores.parquet}}
baseline: production
metrics: {primary: dcg@10, guardrails: [coverage@10], also: [rr@10, list_length@10]}
segments: [request.job_type, user.tenure]
"""
LINES = {  # production's steps as they stand in the file
    name: next(line + "\n" for line in SERVICE.splitlines() if line.startswith(f"    - {begin}"))
    for name, begin in {
        "match": "match: {request.job_type",
        "match-2": "match: {request.employment",
        "available": "available",
        "not_seen": "not_seen",
        "where": "where",
        "cap": "cap",
    }.items()
}
LEFT_OUT = {
    "match": "with a step `match: {request.job_type: item.job_type}`",
    "match-2": "with a step `match: {request.employment: item.employment}`",
    "available": "with a step `available`",
    "not_seen": "with a step `not_seen: {events: [apply]}`",
    "where": "with a step `where: NOT item.is_test`",
    "cap": "with a step `cap: {by: item.company_id, at_most: 2}`",
}
ADDED = {  # name of the step: its line, at the end of production's steps
    "cap-2": "cap: {by: item.job_type, at_most: 3}",
    "match-3": "match: {request.keyword: item.job_type}",
    "not_seen-2": "not_seen: {events: [click]}",
    "where-2": "where: item.wage > 1300",
    "good-wage": '{where: "item.wage >= 1250", name: good-wage}',
}
FAILED_NIGHT, NEXT_NIGHT = datetime(2023, 10, 8, 3), datetime(2023, 10, 11, 3)


@dataclass(frozen=True)
class Fault:
    """What is otherwise than in production: the two files, and changes of tables (and of `scores`)."""

    service: str = SERVICE
    study: str = STUDY
    tables: Mapping[str, Change] = field(default_factory=dict)


class Bench:
    """The job board on disk; every fault gets a folder of its own, and is run once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.board: JobBoard = simulate(seed=11, requests=3_000)
        self.frames: Frames = {
            **{name: getattr(self.board, name) for name in TABLES},
            SCORES: self.board.scores["production"],
        }
        for name, frame in self.frames.items():
            frame.write_parquet(folder / f"{name}.parquet")
        self._runs: dict[str, Run] = {}

    def run(self, name: str) -> Run:
        """The run of a fault of `FAULTS`."""
        if name not in self._runs:
            self._runs[name] = self.run_of(FAULTS[name], f"fault-{len(self._runs)}")
        return self._runs[name]

    def run_of(self, fault: Fault, folder: str) -> Run:
        """A run with some fault."""
        place = self.folder / folder
        (place / "data").mkdir(parents=True)
        for name in self.frames:
            if name in fault.tables:
                self.table(fault, name).write_parquet(place / "data" / f"{name}.parquet")
            else:
                (place / "data" / f"{name}.parquet").symlink_to(self.folder / f"{name}.parquet")
        (place / "service.yaml").write_text(fault.service)
        (place / "study.yaml").write_text(fault.study)
        return rankcast.run(place / "study.yaml", out=place / "runs")

    @cached_property
    def batches(self) -> Batches:
        """The batches of the scores as they are."""
        return batches_of(self.frames[SCORES])

    def fidelity(self, name: str) -> Fidelity:
        """The fidelity of a fault's run."""
        return fidelity_of(self.run(name))

    def table(self, fault: Fault, name: str) -> pl.DataFrame:
        """A table as a fault leaves it."""
        change = fault.tables.get(name)
        return self.frames[name] if change is None else change(self.frames)


def fidelity_of(run: Run) -> Fidelity:
    found = run.results.fidelity
    assert found is not None
    return found


def clock(table: str, hours: int) -> Fault:
    """One table whose clock is `hours` fast."""
    late = pl.col(TIMES[table]) + pl.duration(hours=hours)
    return Fault(tables={table: lambda frames: frames[table].with_columns(late)})


def zone(name: str) -> str:
    return SERVICE.replace("Asia/Tokyo", name)


def newest_lost(frames: Frames) -> pl.DataFrame:
    return frames[SCORES].filter(pl.col("computed_at") < pl.col("computed_at").max())


def naive_utc(frames: Frames) -> pl.DataFrame:
    """Times in UTC that lost their zone on the way, and are read as local ones."""
    return frames["availability"].with_columns(pl.col("open_at", "close_at").dt.replace_time_zone(None))


def shown_by_older(frames: Frames, since: datetime = datetime.min, until: datetime = datetime.max) -> pl.DataFrame:
    """The impressions, had production taken each user's batch before the newest one for requests of that time."""
    items = {row["item_id"]: row for row in frames["items"].iter_rows(named=True)}
    opened: dict[str, list[tuple[datetime, datetime | None]]] = defaultdict(list)
    local = pl.col("open_at", "close_at").dt.convert_time_zone("Asia/Tokyo").dt.replace_time_zone(None)
    for item, start, end in frames["availability"].with_columns(local).iter_rows():
        opened[item].append((start, end))
    batches: dict[str, dict[datetime, list[tuple[float, str]]]] = defaultdict(lambda: defaultdict(list))
    stamp = pl.col("computed_at").dt.convert_time_zone("Asia/Tokyo").dt.replace_time_zone(None)
    for user, item, score, time in frames[SCORES].with_columns(stamp).iter_rows():
        batches[user][time].append((-score, item))
    applied: dict[str, list[tuple[str, datetime]]] = defaultdict(list)
    for user, item, time, event, _ in frames["events"].iter_rows():
        if event == "apply":
            applied[user].append((item, time))
    rows = []
    for row in frames["requests"].iter_rows(named=True):
        now, mine = row["requested_at"], batches.get(row["user_id"], {})
        past = sorted(time for time in mine if time <= now)
        if since <= now < until:
            past = past[:-1]
        gone = {item for item, time in applied[row["user_id"]] if time < now}
        slate: list[str] = []
        of_company: Counter[str] = Counter()
        for _, item in sorted(mine[past[-1]]) if past else []:
            post = items[item]
            if (
                row["job_type"] in (None, post["job_type"])
                and (not row["employment"] or post["employment"] in row["employment"])
                and any(start <= now and (end is None or now < end) for start, end in opened[item])
                and item not in gone
                and not post["is_test"]
                and of_company[post["company_id"]] < 2
            ):
                of_company[post["company_id"]] += 1
                slate.append(item)
        rows += [(row["request_id"], item, rank) for rank, item in enumerate(slate[:SERVED], start=1)]
    return pl.DataFrame(rows, schema=["request_id", "item_id", "rank"], orient="row")


FAULTS: dict[str, Fault] = {
    "none": Fault(),
    "other order of filters": Fault(
        SERVICE.replace("".join(list(LINES.values())[:5]), "".join(list(LINES.values())[4::-1]))
    ),
    **{f"without {name}": Fault(SERVICE.replace(line, "")) for name, line in LINES.items()},
    **{
        f"added {name}": Fault(SERVICE.replace(LINES["cap"], LINES["cap"] + f"    - {line}\n"))
        for name, line in ADDED.items()
    },
    "added rerank": Fault(SERVICE.replace(LINES["cap"], "    - rerank: {sql: item.wage}\n" + LINES["cap"])),
    "tighter cap": Fault(SERVICE.replace("at_most: 2", "at_most: 1")),
    "match on another column": Fault(SERVICE.replace("item.employment", "item.job_type")),
    "without match, in another zone": Fault(zone("UTC").replace(LINES["match"], "")),
    "served 20": Fault(SERVICE.replace("served: 10", "served: 20")),
    "served 5": Fault(SERVICE.replace("served: 10", "served: 5")),
    "service in UTC": Fault(zone("UTC")),
    "service in Shanghai": Fault(zone("Asia/Shanghai")),
    "service in Seoul": Fault(zone("Asia/Seoul")),
    **{f"requests {hours:+} h": clock("requests", hours) for hours in (9, -9, 1, -1)},
    **{f"availability {hours:+} h": clock("availability", hours) for hours in (9, 1, -1)},
    "availability in naive UTC": Fault(tables={"availability": naive_utc}),
    **{f"events {hours:+} h": clock("events", hours) for hours in (9, -9)},
    **{f"scores {hours:+} h": clock(SCORES, hours) for hours in (9, -9, 1, -1)},
    "scores a batch early": clock(SCORES, -72),
    "scores a batch late": clock(SCORES, 72),
    "newest scores lost": Fault(tables={SCORES: newest_lost}),
    "production a batch behind": Fault(tables={"impressions": shown_by_older}),
    "production's night failed": Fault(
        tables={"impressions": partial(shown_by_older, since=FAILED_NIGHT, until=NEXT_NIGHT)}
    ),
}
NOISE_FREE = ("none", "other order of filters", "service in Seoul", "served 5")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


# Nothing wrong: nothing is said.


@pytest.mark.parametrize("fault", NOISE_FREE)
def test_what_does_not_differ_is_not_blamed(bench: Bench, fault: str) -> None:
    found = bench.fidelity(fault)
    assert (found.overlap, found.exact, found.rbo, found.kendall_tau, found.rank_mae) == (1.0, 1.0, 1.0, 1.0, 0.0)
    assert (found.mismatches, found.examples, found.suspects) == ({}, (), ())
    assert found.by_step[-1].overlap == 1.0
    assert (
        {row.overlap for row in found.by} == {row.exact for row in found.by} == {row.rbo for row in found.by} == {1.0}
    )
    assert all(value < 1 for value in found.without_step.values())  # every step does something


@pytest.mark.parametrize("fault", NOISE_FREE[:-1])
def test_replayed_against_logged_is_exactly_nothing(bench: Bench, fault: str) -> None:
    rows = bench.fidelity(fault).replayed_against_logged
    assert [row.metric for row in rows] == ["dcg@10", "rr@10", "list_length@10"]  # coverage has no value per request
    for row in rows:
        assert row.replayed == row.logged
        assert (row.difference, row.low, row.high) == (0.0, 0.0, 0.0)
        assert row.n_requests > 500


@pytest.mark.parametrize("seed", [1, 2])
def test_other_boards_replay_exactly_too(tmp_path: Path, seed: int) -> None:
    board = simulate(seed, 800)
    board.write(tmp_path / "data")
    (tmp_path / "data" / "scores.parquet").symlink_to(tmp_path / "data" / "scores" / "production.parquet")
    (tmp_path / "service.yaml").write_text(SERVICE)
    (tmp_path / "study.yaml").write_text(STUDY)
    found = fidelity_of(rankcast.run(tmp_path / "study.yaml", out=tmp_path / "runs"))
    assert (found.overlap, found.exact, found.mismatches, found.suspects) == (1.0, 1.0, {}, ())


def test_noise_in_the_log_is_nobody_s_fault(bench: Bench) -> None:
    """A twentieth of the impressions show anything: fidelity falls, and no step, batch or clock is the cause."""
    every, known = bench.frames["impressions"], bench.frames["items"]["item_id"]
    noisy = pl.int_range(pl.len()) % 20 == 7
    anything = known.gather([(at * 7_919) % len(known) for at in range(len(every))])
    changed = every.with_columns(item_id=pl.when(noisy).then(anything).otherwise(pl.col("item_id")))
    found = fidelity_of(bench.run_of(Fault(tables={"impressions": lambda _: changed}), "noise"))
    assert found.overlap is not None
    assert 0.94 < found.overlap < 0.96
    assert found.suspects == ()


# Steps.


@pytest.mark.parametrize("step", LINES)
def test_a_step_that_is_left_out_is_named_first(bench: Bench, step: str) -> None:
    found, everything = bench.fidelity(f"without {step}"), bench.fidelity("none")
    assert found.overlap is not None
    assert found.overlap == pytest.approx(everything.without_step[step], abs=1e-12)
    assert found.overlap < 0.99
    first, *others = found.suspects
    assert first.what == LEFT_OUT[step]
    assert first.overlap > max(0.9, first.before + 0.05)
    assert all(one.overlap - one.before < first.overlap - first.before for one in others)
    assert not any(one.what.startswith(("without", "with requests", "with scores")) for one in others)
    reasons = {reason for reason in found.mismatches if reason.startswith("not_shown:")}
    assert reasons
    assert ("not_shown:unavailable" in reasons) == (step == "available")
    if step == "available":
        assert reasons == {"not_shown:unavailable"}  # a closed post takes one place, and pushes out one open post


def test_what_a_missing_filter_let_through_is_what_it_would_have_removed(bench: Bench) -> None:
    """Each item that is replayed too much is a test post: so the example's items tell the missing step."""
    run = bench.run("without where")
    tests = set(bench.frames["items"].filter("is_test")["item_id"])
    examples = [one for one in fidelity_of(run).examples if one.reason == "not_shown:other"]
    assert len(examples) == 3
    assert {one.item_id for one in examples} <= tests
    slates = replayed(run)
    assert all(slates[str(one.request_id)].index(str(one.item_id)) + 1 == one.rank for one in examples)


@pytest.mark.parametrize(
    ("fault", "step"),
    [
        *((f"added {name}", name) for name in (*ADDED, "rerank")),
        ("tighter cap", "cap"),
        ("match on another column", "match-2"),
    ],
)
def test_a_step_that_production_lacks_is_named_first(bench: Bench, fault: str, step: str) -> None:
    found = bench.fidelity(fault)
    assert found.overlap is not None
    assert found.without_step[step] > found.overlap
    assert found.suspects[0].what == f"without the step `{step}`"
    assert (found.suspects[0].before, found.suspects[0].overlap) == (found.overlap, found.without_step[step])
    if fault.startswith("added"):
        assert found.without_step[step] == 1.0
    shown = {reason for reason in found.mismatches if not reason.startswith("not_shown:")}
    if step == "rerank":
        assert shown <= {"below_cut", "removed_by:cap"}  # it removes nothing itself
    else:
        assert shown == {f"removed_by:{step}"}


def test_two_faults_at_once_are_both_named(bench: Bench) -> None:
    found = bench.fidelity("without match, in another zone")
    assert [one.what for one in found.suspects[:2]] == [LEFT_OUT["match"], "with requests 9 h earlier"]


def test_a_list_that_is_replayed_too_long(bench: Bench) -> None:
    found = bench.fidelity("served 20")
    slates, shown = replayed(bench.run("served 20")), logged(bench.frames["impressions"], 20)
    extra = sum(len(slates[request]) - len(shown[request]) for request in measured(slates, shown))
    assert found.mismatches == {"not_shown:beyond_log": extra}
    assert found.rank_mae == 0.0
    assert found.kendall_tau == 1.0


# Batches of scores.


def test_production_a_batch_behind(bench: Bench) -> None:
    found = bench.fidelity("production a batch behind")
    assert found.exact is not None
    assert found.exact < 0.1
    assert found.suspects[0].what == "with scores one batch older"
    assert found.suspects[0].overlap == 1.0
    assert found.mismatches["shown_in_older_batch"] > found.mismatches.get("shown_not_scored", 0)
    assert not any(reason in found.mismatches for reason in ("shown_no_batch", "not_shown:unavailable"))


def test_one_night_in_which_the_scores_failed(bench: Bench) -> None:
    found = bench.fidelity("production's night failed")
    assert found.suspects[0].what == "with scores one batch older"
    assert found.suspects[0].overlap == 1.0
    assert found.mismatches["shown_in_older_batch"] > 0
    by_day = {row.segment.value: row.overlap for row in found.by if row.segment.column == "day"}
    stale = {f"2023-10-{day:02}" for day in (8, 9, 10, 11)}
    assert all((overlap < 1) == (day in stale) for day, overlap in by_day.items())
    assert all(by_day[day] < 0.6 for day in ("2023-10-09", "2023-10-10"))


def test_scores_of_the_future(bench: Bench) -> None:
    """Stamped a batch early, a file gives requests what was computed after them: production used the one before."""
    found = bench.fidelity("scores a batch early")
    assert found.suspects[0].what == "with scores one batch older"
    assert found.suspects[0].overlap == 1.0
    assert found.mismatches["shown_in_older_batch"] > 0


def test_scores_that_are_stamped_a_batch_late(bench: Bench) -> None:
    """The replay is what is stale: what was shown is in no batch yet, and no clock is to blame."""
    found = bench.fidelity("scores a batch late")
    reasons = {reason: count for reason, count in found.mismatches.items() if reason.startswith("shown_")}
    assert max(reasons, key=lambda reason: reasons[reason]) == "shown_not_scored"
    assert reasons["shown_no_batch"] > 0
    assert "batch" in found.suspects[0].what


def test_newest_scores_that_are_lost(bench: Bench) -> None:
    found = bench.fidelity("newest scores lost")
    reasons = {reason: count for reason, count in found.mismatches.items() if not reason.startswith("not_shown:")}
    assert max(reasons, key=lambda reason: reasons[reason]) == "shown_not_scored"
    assert found.suspects == ()
    by_day = {row.segment.value: row.overlap for row in found.by if row.segment.column == "day"}
    assert {day for day, overlap in by_day.items() if overlap < 1} == {"2023-10-14", "2023-10-15"}


# Clocks.


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ("service in UTC", "9 h earlier"),  # requests and events are naive; availability and scores are not
        ("service in Shanghai", "1 h earlier"),
        ("requests +9 h", "9 h earlier"),
        ("requests -9 h", "9 h later"),
        ("requests +1 h", "1 h earlier"),
        ("requests -1 h", "1 h later"),
    ],
)
def test_a_slip_of_the_requests_clock_is_named_in_hours(bench: Bench, fault: str, what: str) -> None:
    found = bench.fidelity(fault)
    assert found.overlap is not None
    assert found.overlap < 1
    assert found.suspects[0].what == f"with requests {what}"
    assert found.suspects[0].overlap > 0.99
    assert found.mismatches


@pytest.mark.parametrize(
    ("fault", "hours"),
    [
        ("availability +9 h", 9),
        ("availability in naive UTC", 9),
        ("availability +1 h", 1),
        ("availability -1 h", 1),
        ("scores +9 h", 9),
        ("scores -9 h", 9),
        ("scores +1 h", 1),
        ("scores -1 h", 1),  # other hours may explain as much: the least is the one to name
        ("events +9 h", 9),
        ("events -9 h", 9),
    ],
)
def test_a_slip_of_another_tables_clock_is_named_in_hours(bench: Bench, fault: str, hours: int) -> None:
    """Of the hours that are named the first are the right ones, and they explain most of what differs."""
    found = bench.fidelity(fault)
    assert found.overlap is not None
    assert found.overlap < 1
    named = [(int(hit[1]), one) for one in found.suspects if (hit := re.search(r"(\d+) h (?:earlier|later)", one.what))]
    assert [hour for hour, _ in named[:1]] == [hours]
    assert named[0][1].overlap - named[0][1].before > 0.8 * (1 - named[0][1].before)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("availability -1 h", "removed_by:available"),
        ("availability in naive UTC", "removed_by:available"),
        ("events -9 h", "removed_by:not_seen"),
        ("events +9 h", "below_cut"),
        ("scores +9 h", "shown_no_batch"),
        ("scores -9 h", "shown_in_older_batch"),
    ],
)
def test_a_slip_of_another_tables_clock_shows_in_what_it_does(bench: Bench, fault: str, reason: str) -> None:
    shown = {name: count for name, count in bench.fidelity(fault).mismatches.items() if "not_shown" not in name}
    assert shown[reason] > 0
    if reason.startswith("removed_by:"):
        assert max(shown, key=lambda name: shown[name]) == reason


# Sums: everything by a second way, in plain Python.


@pytest.mark.parametrize("fault", FAULTS)
def test_every_item_that_differs_is_counted_once(bench: Bench, fault: str) -> None:
    run, slips = bench.run(fault), FAULTS[fault]
    served = int(re.findall(r"served: (\d+)", slips.service)[0])
    slates, shown = replayed(run), logged(bench.table(slips, "impressions"), served)
    known = measured(slates, shown)
    found = fidelity_of(run)
    counts = found.mismatches
    assert found.requests == len(known)
    assert all(count > 0 for count in counts.values())
    expected = reasons_of(bench, slips, {request: slates[request] for request in known}, shown)
    for reason in {reason for reason in {*counts, *expected} if reason.startswith(("not_shown:", "shown_"))}:
        assert counts.get(reason, 0) == expected[reason], reason
    in_steps = sum(count for reason, count in counts.items() if reason.startswith(("removed_by:", "below_cut")))
    assert in_steps == expected["in the steps"]
    overlap = [len({*slates[r]} & {*shown[r]}) / max(len(slates[r]), len(shown[r])) for r in known]
    assert found.overlap == pytest.approx(mean(overlap), abs=1e-12)
    assert found.exact == pytest.approx(mean(slates[r] == shown[r] for r in known), abs=1e-12)
    common = [[(slates[r].index(i), shown[r].index(i)) for i in shown[r] if i in slates[r]] for r in known]
    errors = [mean(abs(a - b) for a, b in pairs) for pairs in common if pairs]
    assert found.rank_mae == pytest.approx(mean(errors), abs=1e-12)


@pytest.mark.parametrize("fault", ["without available", "added where-2", "requests -9 h", "production's night failed"])
def test_parts_and_steps_are_the_means_of_the_replays(bench: Bench, fault: str) -> None:
    run, slips = bench.run(fault), FAULTS[fault]
    found = fidelity_of(run)
    asked = bench.table(slips, "requests").join(bench.frames["users"], on="user_id", how="left")
    day = pl.col("requested_at").dt.date().cast(pl.String)
    rows = run.replays.filter("measured").join(asked.with_columns(day=day), on="request_id", validate="1:1")
    expected = {}
    for column in ("request.job_type", "user.tenure", "day"):
        for (value,), part in rows.group_by(column.split(".")[-1]):
            means = part.select(pl.mean("fidelity_overlap", "fidelity_rbo"), pl.col("fidelity_exact").mean()).row(0)
            expected[column, value] = (part.height, *means)
    given = {(row.segment.column, row.segment.value): row for row in found.by}
    assert len(given) == len(found.by)
    assert given.keys() == expected.keys()
    for key, (requests, overlap, rbo, exact) in expected.items():
        assert given[key].requests == requests
        assert (given[key].overlap, given[key].rbo, given[key].exact) == pytest.approx((overlap, rbo, exact), abs=1e-12)
    for name in ("overlap", "exact", "rbo", "rbo_low", "rbo_high", "kendall_tau", "rank_mae"):
        assert getattr(found, name) == pytest.approx(rows[f"fidelity_{name}"].mean(), abs=1e-12)
    for step, value in found.without_step.items():
        assert value == pytest.approx(rows[f"without:{step}"].mean(), abs=1e-12)
    for one in found.by_step:
        assert one.overlap == pytest.approx(rows[f"after:{one.step}"].mean(), abs=1e-12)
    assert [one.step for one in found.by_step] == ["candidates", *found.without_step]


@pytest.mark.parametrize("fault", ["without available", "service in UTC"])
def test_replayed_against_logged_by_hand(bench: Bench, fault: str) -> None:
    run = bench.run(fault)
    counted = run.labels.filter(pl.col("reason") == "counted").group_by("request_id", "item_id").agg(pl.max("grade"))
    grades: dict[str, dict[str, float]] = defaultdict(dict)
    for request, item, grade in counted.iter_rows():
        grades[request][item] = grade
    slates, shown = replayed(run), logged(bench.frames["impressions"], SERVED)
    user_of = dict(bench.frames["requests"].select("request_id", "user_id").iter_rows())
    values: dict[str, Callable[[str, list[str]], float]] = {
        "dcg@10": lambda request, items: math.fsum(
            grades[request].get(item, 0.0) / math.log2(rank + 1) for rank, item in enumerate(items, start=1)
        ),
        "list_length@10": lambda _, items: len(items),
    }
    targets = [request for request in run.values["request_id"].unique() if request in shown]
    rows = {row.metric: row for row in fidelity_of(run).replayed_against_logged}
    for metric, value in values.items():
        ours, theirs = ([value(r, lists.get(r, [])) for r in targets] for lists in (slates, shown))
        difference = [a - b for a, b in zip(ours, theirs, strict=True)]
        of_user: dict[str, float] = defaultdict(float)
        for request, one in zip(targets, difference, strict=True):
            of_user[user_of[request]] += one - mean(difference)
        users = len(of_user)
        error = math.sqrt(users / (users - 1) * math.fsum(u * u for u in of_user.values())) / len(targets)
        half = float(stats.t.ppf(0.975, users - 1)) * error
        row = rows[metric]
        assert (row.n_requests, row.n_users) == (len(targets), users)
        assert (row.replayed, row.logged) == pytest.approx((mean(ours), mean(theirs)), abs=1e-9)
        assert row.difference == pytest.approx(mean(difference), abs=1e-9)
        assert (row.low, row.high) == pytest.approx((mean(difference) - half, mean(difference) + half), abs=1e-9)
    assert rows["dcg@10"].difference  # closed posts, or those of another hour, do cost something


def test_the_period_is_half_open_to_the_second(bench: Bench) -> None:
    asked = bench.frames["requests"].filter(pl.col("surface") == "home", ~pl.col("is_bot"))
    shown = logged(bench.frames["impressions"], SERVED)
    times = sorted(time for request, time in asked.select("request_id", "requested_at").iter_rows() if request in shown)
    first, last = times[200], times[-200]
    period = f"{{from: {first.isoformat()}, to: {last.isoformat()}}}"
    study = STUDY.replace("{from: 2023-10-02, to: 2023-10-16}", period)
    run = bench.run_of(Fault(study=study), "edges")
    found = fidelity_of(run)
    inside = [time for time in times if first <= time < last]
    assert (first in inside, last in inside) == (True, False)
    assert found.requests == len(inside)
    days = {row.segment.value: row.requests for row in found.by if row.segment.column == "day"}
    assert days == Counter(time.date().isoformat() for time in inside)
    assert (found.overlap, found.exact, found.suspects) == (1.0, 1.0, ())


def test_requests_before_any_batch_are_not_measured(bench: Bench) -> None:
    study = STUDY.replace("from: 2023-10-02", "from: 2023-09-29")
    found = fidelity_of(bench.run_of(Fault(study=study), "from the first day"))
    assert found.requests > bench.fidelity("none").requests
    assert (found.overlap, found.exact, found.mismatches, found.suspects) == (1.0, 1.0, {}, ())


def mean(values: Iterable[float]) -> float:
    """The mean of some numbers."""
    known = list(values)
    return math.fsum(known) / len(known)


def replayed(run: Run) -> Ranked:
    """The baseline's slates; a request without one has an empty list."""
    baseline = fidelity_of(run).variant
    slates: dict[str, list[str]] = {
        request: [] for request in run.replays.filter(pl.col("variant") == baseline)["request_id"]
    }
    rows = run.slates.filter(pl.col("variant") == baseline).sort("request_id", "rank")
    for request, item in rows.select("request_id", "item_id").iter_rows():
        slates[request].append(item)
    return slates


def logged(impressions: pl.DataFrame, served: int) -> Ranked:
    """What was shown, as long as a list is served."""
    shown: dict[str, list[str]] = defaultdict(list)
    for request, item in impressions.sort("request_id", "rank").select("request_id", "item_id").iter_rows():
        if len(shown[request]) < served:
            shown[request].append(item)
    return dict(shown)


def measured(slates: Ranked, shown: Ranked) -> list[str]:
    """The replayed requests that were shown anything."""
    return [request for request in slates if request in shown]


def instants(frame: pl.DataFrame, column: str, timezone: str) -> list[Any]:
    """Time stamps in UTC."""
    series = frame[column]
    if series.dtype == pl.Datetime("us"):
        series = series.dt.replace_time_zone(timezone)
    return series.dt.convert_time_zone("UTC").to_list()


def batches_of(scores: pl.DataFrame) -> Batches:
    """The items of every user's batches."""
    batches: dict[str, dict[Any, set[str]]] = defaultdict(lambda: defaultdict(set))
    for user, item, time in scores.select("user_id", "item_id", "computed_at").iter_rows():
        batches[user][time].add(item)
    return batches


def reasons_of(bench: Bench, fault: Fault, slates: Ranked, shown: Ranked) -> Counter[str]:
    """Reasons of every item that stands in one list only, but for what happened to it in the steps."""
    timezone = next(line for line in fault.service.splitlines() if line.startswith("timezone"))[10:]
    asked, intervals = bench.table(fault, "requests"), bench.table(fault, "availability")
    at = dict(zip(asked["request_id"], instants(asked, "requested_at", timezone), strict=True))
    user_of = dict(asked.select("request_id", "user_id").iter_rows())
    opened: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
    times = (instants(intervals, name, timezone) for name in ("open_at", "close_at"))
    for item, start, end in zip(intervals["item_id"], *times, strict=True):
        opened[item].append((start, end))
    batches = batches_of(bench.table(fault, SCORES)) if SCORES in fault.tables else bench.batches
    counts: Counter[str] = Counter()
    for request, slate in slates.items():
        now, mine = at[request], batches.get(user_of[request], {})
        past = sorted(time for time in mine if time <= now)
        for rank, item in enumerate(slate, start=1):
            if item in shown[request]:
                continue
            is_open = any(start <= now and (end is None or now < end) for start, end in opened[item])
            beyond = rank > len(shown[request])
            counts["not_shown:" + ("unavailable" if not is_open else "beyond_log" if beyond else "other")] += 1
        for item in set(shown[request]) - set(slate):
            if mine and not past:
                counts["shown_no_batch"] += 1
            elif past and item in mine[past[-1]]:
                counts["in the steps"] += 1
            elif any(item in mine[time] for time in past[:-1]):
                counts["shown_in_older_batch"] += 1
            else:
                counts["shown_not_scored"] += 1
    return counts


# Real lists.

YANDEX_SERVICE = """\
rankcast: 1
service: search
tables:
  requests:    {path: requests.parquet}
  impressions: {path: impressions.parquet}
  events:      {path: events.parquet, complete_until: 2011-11-02}
production: {candidates: scored, served: 10}
labels: {grades: {click: 1}, horizon: 1h, attribute: request_id}
targets: {without_labels: zero}
"""
YANDEX_STUDY = """\
rankcast: 1
study: lists-as-shown
service: service.yaml
owner: tests
period: {from: 2011-10-01, to: 2011-11-01}
variants:
  production: SOURCE
baseline: production
metrics: {primary: rr@10, also: [ndcg@10]}
"""


@pytest.fixture(scope="module")
def sessions(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sessions of the Yandex sample as tables; the log has no time and no users: both are made up."""
    folder = tmp_path_factory.mktemp("sessions")
    log = shared_data / "yandex_relpred" / "sessions.csv.gz"
    if not log.is_file():
        pytest.skip(f"the Yandex sessions are not here ({log})")
    with gzip.open(log) as file:
        read = pl.read_csv(file.read(), schema_overrides={"session_id": pl.Int64}, infer_schema_length=0)
    start = datetime(2011, 10, 1)
    asked = read.select(
        request_id=pl.col("session_id"),
        user_id=pl.col("session_id") % 9_973,
        timestamp=pl.lit(start) + pl.duration(minutes=pl.col("session_id")),
    )
    docs = read.select(request_id="session_id", item_id=pl.col("docs_by_rank").str.split(" ")).explode("item_id")
    lists = docs.with_columns(
        pl.col("item_id").cast(pl.Int64), rank=pl.int_range(pl.len()).over("request_id") + pl.lit(1)
    )
    clicked = pl.col("clicked_docs_in_click_order").str.split(" ")
    clicks = read.select(request_id="session_id", item_id=clicked).drop_nulls().explode("item_id")
    asked.write_parquet(folder / "requests.parquet")
    lists.write_parquet(folder / "impressions.parquet")
    lists.sample(fraction=1, shuffle=True, seed=5).write_parquet(folder / "scores.parquet")
    clicks.with_columns(pl.col("item_id").cast(pl.Int64), event=pl.lit("click")).join(asked, on="request_id").select(
        "user_id", "item_id", "timestamp", "event", "request_id"
    ).write_parquet(folder / "events.parquet")
    (folder / "service.yaml").write_text(YANDEX_SERVICE)
    return folder


@pytest.mark.parametrize("source", ["{builtin: logged}", "{scores: {path: scores.parquet}}"])
def test_real_lists_come_back_as_they_were(sessions: Path, tmp_path: Path, source: str) -> None:
    study = sessions / f"study-{'logged' if 'builtin' in source else 'scores'}.yaml"
    study.write_text(YANDEX_STUDY.replace("SOURCE", source))
    run = rankcast.run(study, out=tmp_path / "runs")
    found = fidelity_of(run)
    assert found.requests == 35_064
    assert (found.overlap, found.exact, found.rbo, found.kendall_tau, found.rank_mae) == (1.0, 1.0, 1.0, 1.0, 0.0)
    assert (found.mismatches, found.suspects) == ({}, ())
    columns = ["request_id", "rank", "item_id"]
    shown = pl.read_parquet(sessions / "impressions.parquet").select(columns).cast(pl.Int64).sort(columns)
    assert run.slates.select(columns).cast(pl.Int64).sort(columns).equals(shown)
    for row in found.replayed_against_logged:
        assert row.n_requests == 35_064
        assert (row.difference, row.low, row.high) == (0.0, 0.0, 0.0)
        assert row.replayed == row.logged


@pytest.mark.parametrize(("group", "expired", "unknown"), [("3-5", 100, 24), ("16plus", 32, 5)])
def test_expired_tours_are_why_real_lists_differ(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, expired: int, unknown: int
) -> None:
    folder = tmp_path / "slantour_ab"
    folder.mkdir()
    for name in (f"impressions_{group}.csv.gz", "item_attributes.csv.gz", "item_validity.csv.gz"):
        os.symlink(shared_data.resolve() / "slantour_ab" / name, folder / name)
    monkeypatch.setenv("RANKCAST_DATA", str(tmp_path))
    study = Path(__file__).parents[1] / "examples" / "slan_tour" / "studies" / "reorder.yaml"
    run = rankcast.run(study, out=tmp_path / "runs")
    found = fidelity_of(run)
    assert {reason: count for reason, count in found.mismatches.items() if reason != "shown_twice"} == {
        "removed_by:available": expired + unknown
    }
    step = next(row for row in run.results.steps if (row.variant, row.step) == ("logged", "available"))
    assert (step.removed, step.unknown) == (expired + unknown, unknown)
    assert found.without_step == {"available": 1.0}
    assert [one.what for one in found.suspects] == ["without the step `available`"]
    assert {one.reason for one in found.examples} <= {"removed_by:available", "shown_twice"}
