"""Two runs of one service against each other: the numbers by hand, and what else differs is named before any number is shown."""

from __future__ import annotations

import json
import math
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scipy import stats

import rankcast
from rankcast.errors import RankcastError, RunError
from rankcast.runs.folder import Run
from tiny import Outcome, World, assert_refused
from tiny import rankcast as command

Change = Callable[[World], object]
PER_REQUEST = ["dcg@10", "ndcg@10", "rr@3"]


def as_it_is(world: World) -> World:
    return world


def made(folder: Path, change: Change = as_it_is) -> Run:
    """A run of the tiny service after a change."""
    world = World(folder).study("metrics", "also", to=["ndcg@10", "rr@3"])
    change(world)
    outcome = world.write().run()
    assert outcome.code in (0, 3, 4), outcome.text
    (place,) = [path for path in (folder / "runs").glob("*/*") if not path.name.startswith(".")]
    return Run(place)


def another_model(world: World) -> World:
    """The treatment: scores of another file."""
    world.tables["newer"] = world.tables["new"].with_columns(score=-pl.col("score"))
    return world.study("variants", "new", "scores", "path", to="data/newer.parquet")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that no test changes."""
    return made(tmp_path_factory.mktemp("first"))


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same with another model."""
    return made(tmp_path_factory.mktemp("second"), another_model)


def compared(one: Run, other: Run, *more: str) -> Outcome:
    return command("compare", str(one.folder), str(other.folder), *more)


def shown(outcome: Outcome) -> None:
    assert outcome.code == 0, outcome.text
    assert "Traceback" not in outcome.text
    assert "\x1b" not in outcome.text
    assert all(metric in outcome.out for metric in PER_REQUEST)


def refused(one: Run, other: Run, *said: str) -> Outcome:
    """Exit 2, both runs and every difference named, and no number; in Python the same."""
    outcome = compared(one, other)
    assert_refused(outcome, *said)
    assert outcome.out == ""
    assert "dcg@10" not in outcome.err
    with pytest.raises(RunError) as error:
        rankcast.compare(one, other)
    assert all(words in str(error.value) for words in said)
    return outcome


# -- the numbers


def by_hand(one: Run, other: Run, variant: str, metric: str) -> dict[str, float]:
    """Values of the requests that both judged, paired; clustered by user."""
    mine, theirs = (
        {row["request_id"]: row for row in run.values.filter(pl.col("variant") == variant).to_dicts()}
        for run in (one, other)
    )
    both = sorted(mine.keys() & theirs.keys())
    weight = [mine[request]["weight"] for request in both]
    difference = [mine[request][metric] - theirs[request][metric] for request in both]
    total = math.fsum(weight)
    mean = math.fsum(w * d for w, d in zip(weight, difference, strict=True)) / total
    baseline = math.fsum(w * theirs[request][metric] for w, request in zip(weight, both, strict=True)) / total
    of_user: dict[Any, float] = defaultdict(float)
    for w, d, request in zip(weight, difference, both, strict=True):
        of_user[mine[request]["user_id"]] += w * (d - mean)
    users = len(of_user)
    error = math.sqrt(users / (users - 1) * math.fsum(u * u for u in of_user.values())) / total
    reach = float(stats.t.ppf(0.975, users - 1)) * error
    return {
        "difference": mean,
        "baseline_value": baseline,
        "low": mean - reach,
        "high": mean + reach,
        "p": float(2 * stats.t.sf(abs(mean / error), users - 1)) if error else 1.0,
        "n_requests": len(both),
        "n_users": users,
        "wins": sum(d > 1e-12 for d in difference),
        "losses": sum(d < -1e-12 for d in difference),
    }


@pytest.mark.parametrize("metric", PER_REQUEST)
@pytest.mark.parametrize("turned", [False, True])
def test_the_numbers_by_hand(first: Run, second: Run, metric: str, turned: bool) -> None:
    one, other = (second, first) if turned else (first, second)
    found = rankcast.compare(one, other)
    assert (found.differs, found.requests) == ((), 6)
    (row,) = [row for row in found.rows if row.metric == metric and row.variant.startswith("new ")]
    assert (row.variant, row.baseline) == (f"new ({one.id})", f"new ({other.id})")
    expected = by_hand(one, other, "new", metric)
    assert expected["difference"] != 0
    for name, value in expected.items():
        assert getattr(row, name) == pytest.approx(value, abs=1e-12), name
    assert (row.family == "primary") is (metric == "dcg@10")
    assert row.verdict == "undecided"


def test_the_baselines_are_held_against_each_other_too(first: Run, second: Run) -> None:
    rows = [row for row in rankcast.compare(first, second).rows if row.variant.startswith("production ")]
    assert [row.metric for row in rows] == PER_REQUEST
    assert {(row.difference, row.low, row.high, row.p, row.family) for row in rows} == {(0, 0, 0, 1, "exploration")}


def test_turned_round_the_sign_turns(first: Run, second: Run) -> None:
    there, back = rankcast.compare(first, second).rows, rankcast.compare(second, first).rows
    for one, other in zip(there, back, strict=True):
        assert (one.difference, one.low) == pytest.approx((-(other.difference or 0), -(other.high or 0)))
        assert (one.p, one.wins, one.losses) == (pytest.approx(other.p), other.losses, other.wins)


def test_the_command(first: Run, second: Run) -> None:
    outcome = compared(first, second)
    shown(outcome)
    assert outcome.err == ""
    assert outcome.out.startswith(f"{first.id} against {second.id}, on 6 requests that both judged\n")
    assert f"new ({first.id})" in outcome.out
    assert "coverage@3" in outcome.out  # left out, and said so


def test_json(first: Run, second: Run) -> None:
    outcome = compared(first, second, "--json")
    document = json.loads(outcome.out)
    assert (outcome.code, outcome.err) == (0, "")
    assert document == rankcast.compare(first, second).document()
    assert (document["run"], document["against"], document["n_requests"]) == (first.id, second.id, 6)
    assert document["differs"] == []
    assert {row["metric"] for row in document["comparisons"]} == set(PER_REQUEST)


def test_by_ids_below_a_folder(tmp_path: Path, first: Run, second: Run) -> None:
    for run in (first, second):
        shutil.copytree(run.folder, tmp_path / run.result.study / run.id)
    by_id = command("compare", first.id, second.id[:8], "--out", str(tmp_path))
    assert by_id == compared(first, second)


@pytest.mark.parametrize(
    "change",
    [
        lambda world: world.study("why", to="because"),
        lambda world: world.study("owner", to="others"),
        lambda world: world.study("study", to="second"),
        lambda world: world.study("segments", to=["day"]),
        lambda world: world.study("metrics", "guardrails", to=[]),
        lambda world: world.study("treatment", to=["scores", "served"]).study("variants", "new", "served", to=2),
        lambda world: world.study_document["variants"].update(other=world.study_document["variants"].pop("new")),
        lambda world: world.study_document["variants"].pop("popular"),
    ],
    ids=["why", "owner", "study", "segments", "guardrails", "served of a variant", "name of a variant", "no reference"],
)
def test_what_is_free_to_differ(tmp_path: Path, first: Run, change: Change) -> None:
    shown(compared(first, made(tmp_path, change)))


def test_a_model_trained_again(tmp_path: Path, first: Run) -> None:
    """Its file has the old name and another content: that is the treatment."""
    again = made(tmp_path, lambda world: world.table("new", lambda frame: frame.with_columns(score=-pl.col("score"))))
    shown(compared(first, again))


def test_metrics_that_only_one_has(tmp_path: Path, first: Run) -> None:
    fewer = made(tmp_path, lambda world: world.study("metrics", "also", to=["recall@3", "rr@3"]))
    found = rankcast.compare(first, fewer)
    assert {row.metric for row in found.rows} == {"dcg@10", "rr@3"}
    assert set(found.left_out) == {"ndcg@10", "recall@3", "coverage@3"}


def test_a_run_against_itself(first: Run) -> None:
    rows = rankcast.compare(first, first).rows
    assert [row.metric for row in rows] == PER_REQUEST * 2
    assert {(row.difference, row.p, row.wins, row.ties, row.losses) for row in rows} == {(0, 1, 0, 6, 0)}
    shown(compared(first, first))


def test_a_run_against_its_copy(tmp_path: Path, first: Run) -> None:
    copy = Run(Path(shutil.copytree(first.folder, tmp_path / first.id)))
    assert {row.difference for row in rankcast.compare(first, copy).rows} == {0}


# -- what differs


def fewer_events(world: World) -> World:
    return world.table("events", lambda frame: frame.head(10))


def another_baseline(world: World) -> World:
    world.tables["base"] = world.tables["scores"].with_columns(score=-pl.col("score"))
    return world.study("variants", "production", "scores", "path", to="data/base.parquet")


DIFFERENT: dict[str, tuple[Change, tuple[str, ...]]] = {
    "period": (lambda world: world.study("period", "to", to="2023-10-12"), ("period.to", "2023-10-15", "2023-10-12")),
    "step": (lambda world: world.service("production", "steps", 4, "cap", "at_most", to=1), ("production.steps",)),
    "one step less": (lambda world: world.service_document["production"]["steps"].pop(), ("production.steps",)),
    "served": (lambda world: world.service("production", "served", to=2), ("service.production.served: ",)),
    "grade": (lambda world: world.service("labels", "grades", "apply", to=5), ("labels.grades.apply", "4", "5")),
    "horizon": (lambda world: world.service("labels", "horizon", to="6d"), ("labels.horizon", "7d", "6d")),
    "late": (lambda world: world.service("labels", "late", to="report"), ("labels.late", "exclude", "report")),
    "attribute": (
        lambda world: world.service("labels", "attribute", to="last_request"),
        ("labels.attribute", "request_id", "last_request"),
    ),
    "average": (lambda world: world.service("targets", "average", to="user"), ("targets.average", "request", "user")),
    "where": (lambda world: world.service("targets", "where", to="NOT request.bot"), ("targets.where", "NOT request.bot")),
    "data": (fewer_events, ("data/events.parquet has another content",)),
    "seed": (lambda world: world.study("seed", to=8), ("study.seed: ", "7", "8")),
    "confidence": (lambda world: world.study("compare", "confidence", to=0.9), ("compare.confidence: ", "0.95", "0.9")),
    "baseline": (another_baseline, ("data/scores.parquet", "data/base.parquet")),
    "baseline's own list": (
        lambda world: world.study("treatment", to=["scores", "served"]).study("variants", "production", "served", to=2),
        ("the baseline.served: ", "2"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", DIFFERENT)
def test_what_must_not_differ(tmp_path: Path, first: Run, what: str) -> None:
    change, said = DIFFERENT[what]
    other = made(tmp_path, change)
    refused(first, other, first.id, other.id, *said, "--anyway")
    refused(other, first, *said)


@pytest.mark.parametrize("what", DIFFERENT)
def test_anyway(tmp_path: Path, first: Run, what: str) -> None:
    change, said = DIFFERENT[what]
    other = made(tmp_path, change)
    outcome = compared(first, other, "--anyway")
    shown(outcome)
    assert outcome.err.startswith("differs beyond the treatment: ")
    assert all(words in outcome.err for words in said)
    told = json.loads(compared(first, other, "--anyway", "--json").out)
    assert len(told["differs"]) == len(outcome.err.splitlines()) > 0
    assert told == rankcast.compare(first, other, anyway=True).document()


def test_a_changed_step_can_be_seen(tmp_path: Path, first: Run) -> None:
    other = made(tmp_path, DIFFERENT["step"][0])
    for line in rankcast.compare(first, other, anyway=True).differs:
        one, _, another = line.partition(": ")[2].partition(" and ")
        assert one != another, line


def test_everything_that_differs_is_named_at_once(tmp_path: Path, first: Run) -> None:
    def change(world: World) -> None:
        for name in ("period", "step", "grade", "data", "seed"):
            DIFFERENT[name][0](world)

    said = ("period.to", "production.steps", "labels.grades.apply", "data/events.parquet", "study.seed")
    refused(first, made(tmp_path, change), *said)


def test_nothing_differs_that_need_not(first: Run, second: Run) -> None:
    assert rankcast.compare(first, second, anyway=True) == rankcast.compare(first, second)


def test_refused_as_json(tmp_path: Path, first: Run) -> None:
    outcome = compared(first, made(tmp_path, DIFFERENT["seed"][0]), "--json")
    assert outcome.code == 2
    (error,) = json.loads(outcome.out)["errors"]
    assert "study.seed" in error["message"]


@pytest.mark.parametrize("more", [(), ("--anyway",)])
def test_another_service(tmp_path: Path, first: Run, more: tuple[str, ...]) -> None:
    other = made(tmp_path, lambda world: world.service("service", to="other"))
    outcome = compared(first, other, *more)
    assert_refused(outcome, '"tiny"', '"other"', "only runs of one service can be compared")
    assert outcome.out == ""


# -- what cannot be held against each other


def in_integers(world: World) -> None:
    for table in ("requests", "impressions", "events", "scores", "new"):
        world.table(table, lambda frame: frame.with_columns(pl.col("request_id").str.slice(1).cast(pl.Int64)))


def test_ids_of_different_types(tmp_path: Path, first: Run) -> None:
    other = made(tmp_path, in_integers)
    refused(first, other, "data/requests.parquet has another content")
    assert_refused(compared(first, other, "--anyway"), "request ids of different types")


def test_ids_that_are_integers(tmp_path: Path) -> None:
    def both(world: World) -> None:
        in_integers(world)
        another_model(world)

    one, other = made(tmp_path / "one", in_integers), made(tmp_path / "other", both)
    (row,) = [row for row in rankcast.compare(one, other).rows if row.family == "primary"]
    assert row.difference == pytest.approx(by_hand(one, other, "new", "dcg@10")["difference"], abs=1e-12)


def test_no_request_in_common(tmp_path: Path, first: Run) -> None:
    early, late = {"from": "2023-10-01", "to": "2023-10-05"}, {"from": "2023-10-05", "to": "2023-10-15"}
    one = made(tmp_path / "one", lambda world: world.study("period", to=early))
    other = made(tmp_path / "other", lambda world: world.study("period", to=late))
    refused(one, other, "period.from", "period.to")
    assert_refused(compared(one, other, "--anyway"), "no request in common")


@pytest.mark.parametrize("more", [(), ("--anyway",)])
def test_no_metric_in_common(tmp_path: Path, first: Run, more: tuple[str, ...]) -> None:
    other = made(tmp_path, lambda world: world.study("metrics", to={"primary": "recall@3"}))
    outcome = compared(first, other, *more)
    assert_refused(outcome, "no metric")
    assert outcome.out == ""


def test_some_requests_in_common(tmp_path: Path, first: Run) -> None:
    other = made(tmp_path, lambda world: another_model(world).study("period", "to", to="2023-10-10"))
    found = rankcast.compare(first, other, anyway=True)
    assert found.requests == 4
    for row in found.rows:
        expected = by_hand(first, other, row.variant.split(" ")[0], row.metric)
        assert (row.difference, row.n_requests) == (pytest.approx(expected["difference"], abs=1e-12), 4)


def spoiled(folder: Path, run: Run, name: str, text: str | None) -> Run:
    """A copy of a run with a file that holds something else (None: that is not there)."""
    copy = Path(shutil.copytree(run.folder, folder / "broken"))
    if text is None:
        (copy / name).unlink()
    else:
        (copy / name).write_text(text, encoding="utf-8")
    return Run(copy)


HALF = [("manifest.json", text) for text in ("{}", '{"plan": {}}', '{"plan": {"service": {"service": "tiny"}}}')]


@pytest.mark.parametrize("first_is_broken", [True, False])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        *((name, text) for name in ("manifest.json", "result.json") for text in (None, "", "{", "[]", "3")),
        ("result.json", "{}"),
        *HALF,
    ],
)
def test_a_broken_run(
    tmp_path: Path, first: Run, second: Run, name: str, text: str | None, first_is_broken: bool
) -> None:
    broken = spoiled(tmp_path, second, name, text)
    pair = (broken, first) if first_is_broken else (first, broken)
    outcome = compared(*pair)
    assert_refused(outcome)
    assert outcome.out == ""


@pytest.mark.parametrize("text", [None, "", "PAR1"])
def test_a_run_without_its_values(tmp_path: Path, first: Run, second: Run, text: str | None) -> None:
    broken = spoiled(tmp_path, second, "values/values.parquet", text)
    assert_refused(compared(first, broken))
    with pytest.raises(RankcastError):
        rankcast.compare(first, broken)


@pytest.mark.parametrize("name", ["nope", "", ".", "nope/", "\x1b[31m"])
def test_no_such_run(tmp_path: Path, first: Run, name: str) -> None:
    for pair in ((name, str(first.folder)), (str(first.folder), name)):
        assert_refused(command("compare", *pair, "--out", str(tmp_path)), "no run `")


def test_a_beginning_of_two_ids(tmp_path: Path, first: Run) -> None:
    for number in "ab":
        shutil.copytree(first.folder, tmp_path / "first" / f"77{number}")
    assert_refused(command("compare", "77", "77a", "--out", str(tmp_path)), "`77` could be 77a, 77b")


def test_a_run_against_scores(first: Run) -> None:
    scores = rankcast.score({"q": {"a": 1.0}}, {"q": {"a": 1}}, ["rr@3"])
    for pair in ((first, scores), (scores, first)):
        with pytest.raises(RankcastError, match="a run can only be compared with another run"):
            rankcast.compare(*pair)
