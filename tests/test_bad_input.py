"""Wrong files, keys, values and commands: each gets an error that fits a screen and exit code 2; nothing is left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tiny import GONE, World, assert_refused, rankcast


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def refused(world: World, *said: str, more: tuple[str, ...] = ()) -> None:
    assert_refused(world.write(data=False).run(*more), *said)  # what the two files tell is told before data are read
    assert world.left_behind() == []


@pytest.mark.parametrize("ending", ["parquet", "csv", "ndjson"])
def test_the_tiny_service_is_right(tmp_path: Path, ending: str) -> None:
    world = World(tmp_path, ending).write()
    assert world.run(command="check").code == 0
    assert world.run().code == 3


@pytest.mark.parametrize(
    ("place", "near"),
    [
        (("servce",), "service"),
        (("tables", "item"), "items"),
        (("tables", "items", "pth"), "path"),
        (("production", "step"), "steps"),
        (("production", "steps", 4, "cap", "at_mots"), "at_most"),
        (("labels", "horison"), "horizon"),
        (("targets", "weher"), "where"),
    ],
)
def test_unknown_key_in_the_service(world: World, place: tuple[str, ...], near: str) -> None:
    refused(world.service(*place, to="x"), "service.yaml:", f"unknown key `{place[-1]}`; did you mean `{near}`?")


@pytest.mark.parametrize(
    ("place", "near"),
    [
        (("perod",), "period"),
        (("period", "form"), "from"),
        (("variants", "new", "score"), "scores"),
        (("variants", "new", "scores", "pth"), "path"),
        (("metrics", "guardrail"), "guardrails"),
        (("fidelity", "atleast"), "at_least"),
        (("compare", "confidense"), "confidence"),
    ],
)
def test_unknown_key_in_the_study(world: World, place: tuple[str, ...], near: str) -> None:
    refused(world.study(*place, to="x"), "study.yaml:", f"unknown key `{place[-1]}`; did you mean `{near}`?")


WRONG = [None, True, 3.5, "", "x", [], ["a"], {}, {"a": 1}, [[1]], -1]
SERVICE_PLACES: dict[tuple[str, ...], list[Any]] = {
    ("rankcast",): [True],
    ("service",): ["x"],
    ("timezone",): [],
    ("tables",): [],
    ("tables", "requests"): [],
    ("tables", "items", "path"): [],
    ("tables", "items", "columns"): [{}],
    ("production",): [],
    ("production", "candidates"): [],
    ("production", "steps"): [[]],
    ("production", "served"): [],
    ("labels",): [],
    ("labels", "grades"): [{"a": 1}],
    ("labels", "grades", "click"): [3.5],
    ("labels", "horizon"): [],
    ("labels", "attribute"): [],
    ("targets",): [],
    ("targets", "where"): [None, "x"],
    ("targets", "without_labels"): [],
    ("targets", "average"): [],
    ("tables", "events", "complete_until"): [None],
}
STUDY_PLACES: dict[tuple[str, ...], list[Any]] = {
    ("study",): ["x"],
    ("service",): [],
    ("owner",): [None, "", "x"],
    ("treatment",): [[]],
    ("period",): [],
    ("period", "from"): [],
    ("variants",): [],
    ("variants", "new"): [],
    ("variants", "new", "scores"): [],
    ("variants", "popular", "builtin"): [],
    ("variants", "popular", "within"): [None],
    ("variants", "new", "trained_until"): [None],
    ("variants", "new", "served"): [None],
    ("baseline",): [],
    ("metrics",): [],
    ("metrics", "primary"): [],
    ("metrics", "guardrails"): [[]],
    ("segments",): [[]],
    ("fidelity",): [{}],
    ("fidelity", "at_least"): [],
    ("compare",): [{}],
    ("compare", "confidence"): [],
    ("compare", "smallest_effect"): [None],
    ("compare", "correction"): [],
    ("seed",): [-1],
}


@pytest.mark.parametrize("place", SERVICE_PLACES, ids=".".join)
def test_wrong_type_in_the_service(tmp_path: Path, place: tuple[str, ...]) -> None:
    for at, value in enumerate(WRONG):
        if value not in SERVICE_PLACES[place]:
            refused(World(tmp_path / str(at)).service(*place, to=value), place[0])


@pytest.mark.parametrize("place", STUDY_PLACES, ids=".".join)
def test_wrong_type_in_the_study(tmp_path: Path, place: tuple[str, ...]) -> None:
    for at, value in enumerate(WRONG):
        if value not in STUDY_PLACES[place]:
            refused(World(tmp_path / str(at)).study(*place, to=value), place[0])


@pytest.mark.parametrize(
    "place",
    [
        ("rankcast",),
        ("service",),
        ("tables", "requests"),
        ("production", "served"),
        ("labels", "grades"),
        ("labels", "horizon"),
        ("targets", "without_labels"),
    ],
    ids=".".join,
)
def test_required_key_of_the_service(world: World, place: tuple[str, ...]) -> None:
    refused(world.service(*place, to=GONE), f"{'.'.join(place)}: this key is required and is missing")


@pytest.mark.parametrize("key", ["rankcast", "study", "service", "period", "variants", "baseline", "metrics"])
def test_required_key_of_the_study(world: World, key: str) -> None:
    refused(world.study(key, to=GONE), f"{key}: this key is required and is missing")


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}, *{old}]\n" for old, new in zip("abcde", "bcdef", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "required and is missing"),
        ("# nothing\n", "required and is missing"),
        ("- a\n- b\n", "expected keys and values"),
        ("hello\n", "expected keys and values"),
        ("rankcast: 1\n\tstudy: x\n", "study.yaml:2: not YAML"),
        ("rankcast: 1\n---\nrankcast: 1\n", "another document"),
        ("rankcast: 1\nrankcast: 1\n", "study.yaml:2: rankcast: the key stands here twice; first in line 1"),
        ("period: {from: 2023-01-01, from: 2023-01-02}\n", "period.from: the key stands here twice"),
        ("why: &a x\nowner: *a\n", "owner: an alias"),
        ("owner: *a\n", "undefined alias"),
        ("x: &a [*a]\n", "alias"),
        (LAUGHS, "alias"),
        ("why: !foo x\n", "!foo is not understood"),
        ("why: !!python/name:os.system\n", "python/name"),
        ("? [a, b]\n: c\n", "expected a plain key"),
        ("period: {from: 2023-01-01\n", "not YAML"),
        ("a: 1\n b: 2\n", "not YAML"),
        ("why: " + "[" * 60 + "]" * 60, "nested too deeply"),
        ("why: " + "[" * 50_000, "nested too deeply"),
        ("# " + "x" * (2 << 20), "bytes; expected at most"),
        ("".join(f"k{number}: 1\n" for number in range(5000)), "... and"),
        ("seed: " + "9" * 5000, "seed"),
        (b"rankcast: 1\nowner: caf\xe9\n", "not UTF-8"),
        ("rankcast: 1\n".encode("utf-16"), "not UTF-8"),
        (b"owner: a\x00b\n", "not YAML"),
        (b"owner: a\x1bb\n", "not YAML"),
    ],
    ids=lambda value: repr(value)[:24],
)
@pytest.mark.parametrize("name", ["study.yaml"])
def test_yaml(world: World, name: str, text: str | bytes, said: str) -> None:
    world.write()
    (world.folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    assert_refused(world.run(), said)
    assert world.left_behind() == []


def test_a_byte_order_mark_does_no_harm(world: World) -> None:
    world.write()
    study = world.folder / "study.yaml"
    study.write_bytes(b"\xef\xbb\xbf" + study.read_bytes())
    assert world.run().code == 3


def test_yaml_tag_bool(world: World) -> None:
    world.write()
    (world.folder / "study.yaml").write_text("seed: !!bool maybe\n")
    assert_refused(world.run(), "study.yaml:1: seed")


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!foo", "!!set"])
def test_yaml_tag_on_a_list(world: World, tag: str) -> None:
    world.write()
    study = world.folder / "study.yaml"
    study.write_text(study.read_text().replace('"segments": [', f'"segments": {tag} ['))
    assert_refused(world.run(), "segments", "tag")


def test_yaml_surrogate(world: World) -> None:
    world.write()
    study = world.folder / "study.yaml"
    study.write_text(study.read_text().replace('"team"', '"\\ud83d"'))
    assert_refused(world.run(), "study.yaml")


@pytest.mark.parametrize("path", ["nope.yaml", ".", "data"])
def test_no_such_service(world: World, path: str) -> None:
    refused(world.study("service", to=path), f"service: no file `{path}`; the path is relative to this study")


def test_no_such_study(world: World) -> None:
    world.write()
    assert_refused(rankcast("run", str(world.folder / "nope.yaml")), "nope.yaml: no such file")
    assert_refused(rankcast("run", str(world.folder)), "cannot be read: Is a directory")
    assert_refused(rankcast("run", str(world.folder / "data/items.parquet")), "not UTF-8")


def test_problems_of_both_files_come_at_once(world: World) -> None:
    world.service("production", "steps", 0, to={"capp": 1}).study("metrics", "primary", to="zz@1").study(
        "baseline", to="q"
    )
    refused(world, "3 errors", "unknown step `capp`; did you mean `cap`?", "unknown metric `zz`", "no variant `q`")


def test_problems_of_all_kinds_come_at_once(world: World) -> None:
    world.service("labels", "horizon", to="x").study("metrics", "primary", to="zz@1").study("baseline", to="q")
    refused(world, "labels.horizon", "unknown metric `zz`", "no variant `q`")


@pytest.mark.parametrize("place", [("production", "steps", 3), ("tables", "items", "path"), ("targets", "where")])
def test_long_texts_are_clipped(world: World, place: tuple[Any, ...]) -> None:
    text = "request.bot AND " * 500 + "("
    refused(world.service(*place, to={"where": text} if 3 in place else text))


@pytest.mark.parametrize(
    ("from_", "to"),
    [
        ("2023-10-15", "2023-10-01"),
        ("2023-10-01", "2023-10-01"),
        ("2023-13-01", "2023-10-15"),
        ("2023-02-30", "2023-10-15"),
        ("2023-10-01T25:00", "2023-10-15"),
        ("2023-10", "2023-10-15"),
        ("yesterday", "2023-10-15"),
        ("2023-10-01T09:00:00+09:00", "2023-10-01T00:00:00Z"),
    ],
)
def test_period(world: World, from_: str, to: str) -> None:
    refused(world.study("period", to={"from": from_, "to": to}), "study.yaml:", "period.")


@pytest.mark.parametrize("zone", ["Tokyo", "+09:00", "../../etc/passwd", "America", "asia/tokyo", "a'; DROP"])
def test_timezone(world: World, zone: str) -> None:
    refused(world.service("timezone", to=zone), "timezone: expected a time zone such as Asia/Tokyo")


def test_timezone_of_the_machine(world: World) -> None:
    refused(world.service("timezone", to="Factory"), "timezone: expected a time zone such as Asia/Tokyo")


@pytest.mark.parametrize(
    "text", ["7", "7 d", "7D", "1.5d", "-1d", "0d", "d", "7days", "99999999999d", "1y", " 7d", "９d"]
)
def test_duration(world: World, text: str) -> None:
    refused(world.service("labels", "horizon", to=text), "expected a duration such as 30m, 24h, 7d or 4w")


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("exposure_gini@20", "`by` is needed, such as `exposure_gini(by=item.category)`"),
        ('exposure_share(where="item.x ==")@20', "cannot be parsed"),
        ("rbp(p=1.8)@10", "expected a number above 0, below 1"),
        ("nowhere_at_all:Thing@10", "cannot import `nowhere_at_all`"),
        ("precisoin@10", "did you mean `precision`?"),
        ("dcg@0", "cut-off from 1 to"),
        ("dcg@x", "expected a metric such as"),
        ("", "expected a metric such as"),
        ("dcg(gain=foo)@10", "expected linear or exp or binary"),
        ("dcg(foo=1)@10", "unknown parameter `foo`; known: discount, gain"),
        ("recall(level=nan)@10", "expected a number above 0"),
        ("ndcg_cut_10", "which the study names already"),
    ],
)
def test_metric(world: World, metric: str, said: str) -> None:
    refused(world.study("metrics", "primary", to=metric), "study.yaml:", "metrics.", said)


LATER_IN_SERVICE: list[tuple[tuple[Any, ...], Any]] = [
    (("tables", "items", "database"), "postgres://x"),
    (("tables", "items", "path"), "s3://bucket/items.parquet"),
    (("tables", "items", "path"), ["gs://bucket/items.parquet"]),
]
LATER_IN_STUDY: list[tuple[tuple[Any, ...], Any]] = [
    (("variants", "new", "scores", "path"), "s3://bucket/scores.parquet"),
]


@pytest.mark.parametrize(("place", "value"), LATER_IN_SERVICE)
def test_later_in_the_service(world: World, place: tuple[Any, ...], value: Any) -> None:
    refused(world.service(*place, to=value), "service.yaml:", "not available yet")


@pytest.mark.parametrize(("place", "value"), LATER_IN_STUDY)
def test_later_in_the_study(world: World, place: tuple[Any, ...], value: Any) -> None:
    refused(world.study(*place, to=value), "study.yaml:", "not available yet")


def test_later_engine(world: World) -> None:
    refused(world, "--engine spark: not available yet", more=("--engine", "spark"))


@pytest.mark.parametrize(
    "name", ["..", "a/b", "x" * 300, "", "\x1b[31mred", "<script>", "a\nb", "\u202eabc", ".hidden", "a:b"]
)
def test_study_name(world: World, name: str) -> None:
    refused(world.study("study", to=name), "study.yaml:3: study:", "expected a name")


@pytest.mark.parametrize("arguments", [["nonsense"], ["XX99"], ["ginny@10"], ["diversity@10"], [""], ["nope.yaml"]])
def test_explain(arguments: list[str]) -> None:
    assert_refused(rankcast("explain", *arguments))


@pytest.mark.parametrize("subject", ["RP02", "ndcg@10", "gini", "cap", "popular"])
def test_explain_what_there_is(subject: str) -> None:
    assert rankcast("explain", subject).code == 0


def test_no_such_run(tmp_path: Path) -> None:
    assert_refused(rankcast("report", "nonsense", "--out", str(tmp_path)), "no run `nonsense`", "rankcast runs")
    assert rankcast("runs", "--out", str(tmp_path / "nowhere")).code == 0


def test_errors_as_json(world: World) -> None:
    outcome = world.study("baseline", to="x").write().run("--json")
    (error,) = json.loads(outcome.out)["errors"]
    assert (error["key"], error["line"] is not None) == ("baseline", True)
