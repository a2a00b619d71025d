"""What a record must not lead to: several variants of one test as many tests, groups mixed, numbers near 0, signs turned."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from past_tests import alike, numbers, record, report, write
from rankcast.history.panel import Wanted, history_of
from rankcast.history.tests import Change, OnlineTest
from rankcast.runs.folder import Run
from tiny import World, assert_refused, rankcast

# --- Variants of one test ---


def of_variants(name: str, points: list[tuple[float, float]], **keys: Any) -> dict[str, Any]:
    one = record(name, 0, 0, **keys)
    names = [f"v{at}" for at in range(len(points))]
    one["online"] = {
        "apply_rate": {v: {"relative": y, "standard_error": 0.004} for v, (_, y) in zip(names, points, strict=True)}
    }
    one["offline"] = {
        v: {"dcg@10": {"relative": x, "relative_error": 0.003}} for v, (x, _) in zip(names, points, strict=True)
    }
    return one


def test_one_test_of_many_variants_proves_nothing(tmp_path: Path) -> None:
    """Five variants at +8 %, and eight tests around 0 that say nothing by themselves."""
    x, y = np.random.default_rng(3).normal(0, 0.004, (2, 8)).round(5)
    documents = [record(f"t{at}", float(x[at]), float(y[at])) for at in range(8)]
    far = [(0.08 + 0.001 * at, 0.08 - 0.001 * at) for at in range(5)]
    (link,) = numbers(report(write(tmp_path / "past", [*documents, of_variants("big", far)]), "--json"))["links"]
    assert (len(link["pairs"]), link["tests"]) == (13, 9)
    assert link["pearson"]["value"] > 0.95
    assert (link["driver"]["test"], link["driver"]["variant"]) == ("big", "v0, v1, v2, v3, v4")
    assert abs(link["driver"]["without"]) < 0.7
    assert (link["driver"]["overturns"], link["standing"]) == (True, "unproven")
    assert "without big" in link["says"]


def test_variants_are_foretold_without_their_siblings(tmp_path: Path) -> None:
    twins = [
        of_variants(
            f"t{at}",
            [(0.01 * at, 0.01 * at), (0.01 * at, 0.01 * at)],
            period={"from": day, "to": f"2022-{at + 1:02}-15"},
        )
        for at, day in enumerate(f"2022-{at + 1:02}-01" for at in range(8))
    ]
    (link,) = numbers(report(write(tmp_path / "past", twins), "--json"))["links"]
    ways = {one["way"]: one for one in link["kept"]}
    assert {way: one["n"] for way, one in ways.items()} == {"leave one out": 16, "forward in time": 10}
    for one in ways.values():
        by_test: dict[str, set[float]] = {}
        for row in one["forecasts"]:
            by_test.setdefault(row["test"], set()).add(round(row["mean"], 12))
        assert all(len(means) == 1 for means in by_test.values())  # twins are foretold alike: neither knows the other


def test_seven_tests_of_two_variants_are_seven(tmp_path: Path) -> None:
    documents = [
        of_variants(f"t{at}", [(0.02 * at, 0.02 * at), (0.02 * at + 0.01, 0.02 * at + 0.01)]) for at in range(7)
    ]
    (link,) = numbers(report(write(tmp_path / "past", documents), "--json"))["links"]
    assert (len(link["pairs"]), link["tests"], link["standing"]) == (14, 7, "unproven")
    assert "7 tests, fewer than 8" in link["says"]


@pytest.mark.parametrize(("tests", "variants"), [(4, 4), (10, 3)])
def test_ideas_that_variants_share_earn_no_trust(tests: int, variants: int) -> None:
    """Offline and online effects are independent from test to test; within a test they are much alike."""
    earned, draws = 0, 60
    for seed in range(draws):
        generator = np.random.default_rng([seed, tests])
        middle = generator.normal(0, 0.03, (tests, 2))
        past = []
        for at in range(tests):
            points = middle[at] + generator.normal(0, 0.004, (variants, 2))
            past.append(
                OnlineTest(
                    name=f"t{at}",
                    offline={f"v{v}": {"m": Change(None, None, points[v, 0], 0.002)} for v in range(variants)},
                    online={"goal": {f"v{v}": Change(None, None, points[v, 1], 0.002) for v in range(variants)}},
                )
            )
        earned += history_of(past, Wanted()).links[0].standing == "earned"
    assert earned <= 5  # 2.5 % of 60 is 1.5; more than 5 come in 1 of 200 such tests


# --- Groups ---


def of_service(folder: Path, documents: list[dict[str, Any]], **history: Any) -> World:
    world = World(folder).service("history", to={"path": "history", **history}).write()
    write(folder / "history", documents)
    return world


def told_of(world: World) -> dict[str, Any]:
    outcome = world.run()
    assert outcome.code in (0, 3, 4), outcome.text
    (folder,) = [path for path in (world.folder / "runs").glob("*/*") if not path.name.startswith(".")]
    document: dict[str, Any] = json.loads((folder / "result.json").read_text())
    assert Run(folder).result.history is not None
    return document


TWO_GROUPS = [*alike(9, -0.7, "a", group="old"), *alike(9, 0.7, "b", group="new_users")]


def test_of_several_groups_none_speaks_unless_it_is_named(tmp_path: Path) -> None:
    document = told_of(of_service(tmp_path / "silent", TWO_GROUPS))
    (forecast,) = document["history"]["forecasts"]
    assert forecast["mean"] is None
    assert "several groups (old, new_users)" in forecast["says"]
    assert "history: {group: ...}" in forecast["says"]
    on = {one["rule"]: one for one in document["findings"] if one["rule"].startswith("ON")}
    assert {one["status"] for one in on.values()} == {"cannot check"}
    named = told_of(of_service(tmp_path / "named", TWO_GROUPS, group="new_users"))["history"]
    assert {link["group"] for link in named["links"]} == {"new_users"}
    assert named["forecasts"][0]["says"].startswith("By 9 past tests of new_users, apply_rate will change by ")
    everybody = told_of(of_service(tmp_path / "all", [*TWO_GROUPS, *alike(8, 0.7, "c")]))["history"]
    assert {link["group"] for link in everybody["links"]} == {None}


def test_a_group_that_nobody_tested(tmp_path: Path) -> None:
    world = of_service(tmp_path, TWO_GROUPS, group="new_user")
    assert_refused(world.run(command="check"), "service.yaml", "group new_user", "did you mean `new_users`")


def test_rank_asks_for_a_group(tmp_path: Path) -> None:
    folder = write(tmp_path / "past", TWO_GROUPS)
    assert_refused(
        rankcast("history", "rank", str(folder), "--out", str(tmp_path / "none")), "several groups", "--group"
    )
    refused = rankcast("history", "rank", str(folder), "--out", str(tmp_path / "none"), "--group", "odl")
    assert_refused(refused, "group odl", "did you mean `old`")


def test_tests_of_the_study_itself_are_named_as_missing(tmp_path: Path) -> None:
    forecast = told_of(of_service(tmp_path, [{**one, "study": "first"} for one in alike(9)]))["history"]["forecasts"][0]
    assert forecast["mean"] is None
    assert "0 past tests" in forecast["says"]
    assert "tests of the study itself take no part" in forecast["says"]


def test_a_pipeline_of_which_the_past_knows_nothing(tmp_path: Path) -> None:
    world = of_service(tmp_path, alike(9, pipeline="v1"), pipeline="v3")
    (finding,) = [one for one in told_of(world)["findings"] if one["rule"] == "ON05"]
    assert (finding["status"], finding["severity"]) == ("fired", "warning")
    assert "version v1 of the pipeline, and the service has v3" in finding["evidence"]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("control", "c", "scale: level"),
        ("columns", {"test": "x"}, "is a folder"),
        ("offline", ["dcg@10"], "is a folder"),
        ("scale", "absolute", "is a folder"),
        ("lower_is_better", ["aply_rate"], "did you mean `apply_rate`"),
    ],
)
def test_keys_that_would_mean_nothing(tmp_path: Path, key: str, value: Any, said: str) -> None:
    world = of_service(tmp_path, alike(6), **{key: value})
    for command in ("check", "run"):
        assert_refused(world.run(command=command), "service.yaml", key, said)


# --- Numbers near 0, and signs ---


def test_a_metric_near_zero_has_no_relative_change(tmp_path: Path) -> None:
    near = {"profit": {"production": {"mean": 0.002, "sd": 300}, "new": {"mean": 0.03, "sd": 300}}}
    users = {"production": 60_000, "new": 60_000}
    documents = [{**one, "online": near, "users": users} for one in alike(3)]
    steep = record("steep", -0.9999999, -0.9999)
    steep["online"]["apply_rate"]["new"]["standard_error"] = 0.5
    steep["offline"]["new"]["dcg@10"]["relative_error"] = 5
    folder = write(tmp_path / "past", [*documents, *alike(6, prefix="u"), steep])
    told = report(folder)
    assert told.code == 0, told.text
    page, markdown = ((folder / "page" / f"history.{ending}").read_text() for ending in ("html", "md"))
    for text in (told.out, re.sub(r'"data:[^"]*"', "", page), markdown):
        assert not re.search(r"\d{20}", text)
    links = {one["online"]: one for one in numbers(report(folder, "--json"))["links"]}
    assert links["profit"]["scale_online"] == "absolute"
    assert [one["online"] for one in links["profit"]["pairs"]] == pytest.approx([0.028] * 3)
    assert [one["test"] for one in links["apply_rate"]["left_out"]] == ["steep"]
    assert "left out: steep (new)" in told.out
    assert "left out: steep (new)" in markdown
    found = rankcast("history", "search", "profit", "--in", str(folder), "--out", str(tmp_path / "none"))
    assert not re.search(r"\d{20}", found.out)


def test_one_seeds_below_zero(tmp_path: Path) -> None:
    assert_refused(report(write(tmp_path / "past", alike(5)), "--seed", "-1"), "--seed")


def test_less_of_an_offline_metric_is_better(tmp_path: Path) -> None:
    folder = write(tmp_path / "past", alike(9, -0.7))
    (link,) = numbers(report(folder, "--lower-is-better", "dcg@10", "--json"))["links"]
    assert (link["turned"], link["pearson"]["value"] > 0.9, link["standing"]) == (["dcg@10"], True, "earned")
    assert_refused(report(folder, "--lower-is-better", "dcg@1"), "no past test has the metric dcg@1")


def test_the_same_metric_named_twice_is_looked_at_once(tmp_path: Path) -> None:
    twice = ("--online", "apply_rate", "--online", "apply_rate", "--json")
    assert len(numbers(report(write(tmp_path / "past", alike(8)), *twice))["links"]) == 1


def test_rank_shows_what_will_be_seen_of_a_metric_of_which_less_is_better(tmp_path: Path) -> None:
    world = World(tmp_path / "world").study("online", to={"metric": "apply_rate"}).write()
    assert world.run().code in (0, 3, 4)
    documents = [{**one, "lower_is_better": ["apply_rate"]} for one in alike(9, -0.7)]
    where = (str(write(tmp_path / "past", documents)), "--out", str(world.folder / "runs"))
    (row,) = json.loads(rankcast("history", "rank", *where, "--json").out)
    seen = re.search(r"apply_rate will change by ([-+.0-9]+%)", row["says"])
    assert seen is not None
    line = next(one for one in rankcast("history", "rank", *where).out.splitlines() if one.strip().startswith("first"))
    assert seen[1] in line.split()
    with_least = rankcast("history", "rank", *where, "--smallest-effect", "1%").out
    assert "P(> 1.0 %)" in with_least


# --- The same twice ---


def test_the_same_results_of_another_run_are_the_same_test(tmp_path: Path) -> None:
    one, other = record("one", 0.01, 0.02, run="a" * 12), record("two", 0.01, 0.02, run="b" * 12)
    other["study"] = one["study"]
    assert_refused(report(write(tmp_path / "past", [one, other])), "the same study, period and numbers")
    other["online"]["apply_rate"]["new"]["relative"] = 0.03
    assert report(write(tmp_path / "past", [one, other])).code == 0


def imported(folder: Path, text: str, *more: str) -> Any:
    (folder / "past.csv").write_text(text, encoding="utf-8")
    ways = ("--online", "ctr", "--offline", "mrr", *more)
    return rankcast("history", "import", str(folder / "past.csv"), "--to", str(folder / "past"), *ways)


def test_import_writes_nothing_that_cannot_be_read(tmp_path: Path) -> None:
    head = "test,variant,study,start,end,group,ctr,mrr\n"
    row = "{},v,s,2023-01-01,2023-01-10,{},1%,2%\n"
    refused = imported(tmp_path, head + row.format("a", "") + row.format("b", ""))
    assert_refused(refused, "past.csv: row 3", "the same study, period and numbers")
    assert not (tmp_path / "past").exists()
    told = imported(tmp_path, head + row.format("a", "x") + row.format("a", "y"))
    assert told.code == 0, told.text
    assert len(numbers(report(tmp_path / "past", "--json"))["links"]) == 2


# --- Tables ---


def links_of(folder: Path, text: str, *more: str) -> list[dict[str, Any]]:
    (folder / "past.csv").write_text(text, encoding="utf-8")
    ways = ("--online", "ctr", "--offline", "mrr", "--json", "--out", str(folder / "none"))
    return list(numbers(rankcast("history", "report", str(folder / "past.csv"), *ways, *more))["links"])


def test_a_row_without_numbers_is_no_second_row_of_another_variant(tmp_path: Path) -> None:
    (link,) = links_of(tmp_path, "test,variant,ctr,mrr\na,v,1%,2%\na,w,,\n")
    assert [one["variant"] for one in link["pairs"]] == ["v"]
    found = rankcast("history", "search", "cap", "--in", str(tmp_path / "past.csv"), "--out", str(tmp_path / "none"))
    assert (found.code, found.out) == (0, "")


def test_one_column_may_be_two_of_ours(tmp_path: Path) -> None:
    (link,) = links_of(
        tmp_path, "name,ctr,mrr\nx,1%,2%\ny,2%,3%\n", "--columns", "test=name", "--columns", "study=name"
    )
    assert [(one["test"], one["study"]) for one in link["pairs"]] == [("x", "x"), ("y", "y")]


def test_excluded_no_is_not_excluded(tmp_path: Path) -> None:
    rows = "".join(f"t{at},{said},1%,{at}%\n" for at, said in enumerate(("no", "false", "0", "", "broken log", "yes")))
    (link,) = links_of(tmp_path, "test,excluded,ctr,mrr\n" + rows)
    assert [one["test"] for one in link["pairs"]] == ["t0", "t1", "t2", "t3"]
    assert [(one["test"], one["why"]) for one in link["left_out"]] == [("t4", "broken log"), ("t5", "yes")]


def test_without_dates_nothing_is_forward_in_time(tmp_path: Path) -> None:
    rows = "".join(f"t{at},{0.7 * at:.1f}%,0.2%,{at}%,0.2%\n" for at in range(9))
    (link,) = links_of(tmp_path, "test,ctr,ctr_se,mrr,mrr_se\n" + rows)
    assert [one["way"] for one in link["kept"]] == ["leave one out"]


def test_problems_of_a_table_name_the_table(tmp_path: Path) -> None:
    history = {"path": "past.csv", "online": ["ctr"], "offline": ["mrr"]}
    world = World(tmp_path).service("history", to=history).write()
    (tmp_path / "past.csv").write_text("test,ctr,mrr\na,x,0.1\n", encoding="utf-8")
    assert_refused(world.run(command="check"), "service.yaml", "past.csv: row 2, `ctr`: expected a number")


def test_what_was_evaluated_and_never_tested_is_counted_with_what_was(tmp_path: Path) -> None:
    world = World(tmp_path / "world").write()
    assert world.run().code in (0, 3, 4)
    folder = write(tmp_path / "past", alike(8))
    ways = ("--out", str(world.folder / "runs"), "--json")
    (link,) = numbers(rankcast("history", "report", str(folder), *ways))["links"]
    assert (link["restriction"]["tested"], link["restriction"]["evaluated"]) == (8, 9)


# --- search ---


@pytest.mark.parametrize("word", ["study-t3", "coverage@10", "new_users"])
def test_search_finds_by_study_metric_and_group(tmp_path: Path, word: str) -> None:
    documents = alike(5)
    documents[3]["offline"]["new"]["coverage@10"] = {"relative": 0.1}
    documents[3] |= {"group": "new_users", "study": "study-t3"}
    where = ("--in", str(write(tmp_path / "past", documents)), "--out", str(tmp_path / "none"), "--json")
    found = rankcast("history", "search", word, *where)
    assert [one["name"] for one in json.loads(found.out)] == ["t03"]
