"""`rankcast history`: report, rank, search, import; what they say of few tests, of hostile names, and of real logs."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from past_tests import alike, numbers, record, report, write
from rankcast.records.history import Forecast, History
from rankcast.runs.folder import Run
from tiny import Outcome, World, assert_refused, rankcast

METRICS = ("r2Score", "aucScore", "mrr", "nDCGFull", "novelty10", "user_novelty10", "ild10")
HOSTILE = "<img src=x onerror=alert(1)>|[a](http://e)`**b**"


# --- report ---


@pytest.mark.parametrize(("count", "standing"), [(1, "too few"), (4, "too few"), (5, "unproven"), (8, "earned")])
def test_what_so_many_pairs_may_say(tmp_path: Path, count: int, standing: str) -> None:
    folder = write(tmp_path / "past", alike(count))
    (link,) = numbers(report(folder, "--json"))["links"]
    told = report(folder)
    pages = [(folder / "page" / f"history.{ending}").read_text() for ending in ("html", "md")]
    assert (len(link["pairs"]), link["standing"]) == (count, standing)
    if standing == "too few":
        for text in (told.out, link["says"], *pages):
            assert f"Nothing can be said: {count} pair" in text
        assert (link["denoised"], link["p_adjusted"], link["kept"]) == (None, None, [])
    elif standing == "unproven":
        assert "fewer than 8 pairs" in link["says"]
        assert not re.search("has earned the right", "".join((told.out, *pages)))
    else:
        assert "dcg@10 for apply_rate: has earned the right to decide." in told.out
        assert all("has earned the right to decide" in page for page in pages)


def test_five_good_pairs_are_not_said_to_be_chance(tmp_path: Path) -> None:
    """What is missing are pairs: chance and noise are ruled out here."""
    folder = write(tmp_path / "past", alike(5))
    (link,) = numbers(report(folder, "--json"))["links"]
    assert link["p_adjusted"] < 0.05
    assert link["denoised"]["allowed_low"] > 0
    assert "none rules out chance" not in report(folder).out


def test_a_metric_that_points_the_wrong_way_is_told_so(tmp_path: Path) -> None:
    folder = write(tmp_path / "past", alike(9, -0.7))
    (link,) = numbers(report(folder, "--json"))["links"]
    assert (link["standing"], link["denoised"]["allowed_high"] < 0) == ("unproven", True)
    assert "none rules out chance" not in report(folder).out
    assert "0, or below, is not ruled out" not in link["says"]


def test_no_pair_at_all(tmp_path: Path) -> None:
    one = record("a", 0.1, 0.1)
    del one["offline"]
    folder = write(tmp_path / "past", [one])
    assert numbers(report(folder, "--json"))["links"] == []
    assert "Nothing can be said: no test has both" in report(folder).out


def test_correlations_are_scipys(tmp_path: Path) -> None:
    (link,) = numbers(report(write(tmp_path / "past", alike(14)), "--json"))["links"]
    x, y = ([one[key] for one in link["pairs"]] for key in ("offline", "online"))
    pearson = stats.pearsonr(x, y)
    bounds = pearson.confidence_interval(0.95)
    found = link["pearson"]
    assert [found[key] for key in ("value", "low", "high", "p")] == pytest.approx(
        [pearson.statistic, bounds.low, bounds.high, pearson.pvalue], rel=1e-6
    )
    assert link["spearman"]["value"] == pytest.approx(stats.spearmanr(x, y).statistic)
    assert link["kendall"]["value"] == pytest.approx(stats.kendalltau(x, y).statistic)
    agree = sum(a * b > 0 for a, b in zip(x, y, strict=True))
    said = stats.binomtest(agree, link["signs"]["n"])
    wilson = said.proportion_ci(0.95, "wilson")
    assert [link["signs"][key] for key in ("agree", "p", "low", "high")] == pytest.approx(
        [agree, said.pvalue, wilson.low, wilson.high]
    )


def test_the_seed_and_the_confidence_are_heard(tmp_path: Path) -> None:
    folder = write(tmp_path / "past", alike(12))
    plain, again, seeded = (report(folder, "--json", *more).out for more in ((), (), ("--seed", "9")))
    assert plain == again
    assert json.loads(plain)["links"][0]["bootstrap"] != json.loads(seeded)["links"][0]["bootstrap"]
    wide, narrow = (numbers(report(folder, "--json", "--confidence", c))["links"][0] for c in ("0.99", "0.8"))
    assert wide["pearson"]["low"] < narrow["pearson"]["low"] < narrow["pearson"]["high"] < wide["pearson"]["high"]


def test_json_is_the_record_and_writes_no_page(tmp_path: Path) -> None:
    folder = write(tmp_path / "past", alike(9))
    outcome = report(folder, "--json")
    history = History.model_validate(json.loads(outcome.out), strict=False)
    assert history.model_dump(mode="json") == json.loads(outcome.out)
    assert (history.tests, outcome.err, (folder / "page").exists()) == (9, "", False)


def test_a_level_does_not_silence_the_others(tmp_path: Path) -> None:
    level = record("level", 0.1, 0.1)
    del level["control"]
    level["online"] = {"apply_rate": {"new": {"value": 0.3}}}
    level["offline"] = {"new": {"dcg@10": {"value": 0.2}}}
    (link,) = numbers(report(write(tmp_path / "past", [*alike(8), level]), "--json"))["links"]
    assert (len(link["pairs"]), [one["test"] for one in link["left_out"]]) == (8, ["level"])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--online", "apply_rat"), ("did you mean `apply_rate`",)),
        (("--offline", "dcg@1"), ("did you mean `dcg@10`",)),
        (("--lower-is-better", "nothing"), ("nothing",)),
        (("--confidence", "1"), ("--confidence",)),
        (("--scale", "log"), ("relative, absolute, level",)),
        (("--columns", "x"), ("ours=theirs",)),
    ],
)
def test_report_refuses(tmp_path: Path, more: tuple[str, ...], said: tuple[str, ...]) -> None:
    folder = write(tmp_path / "past", alike(3))
    assert_refused(report(folder, *more), *said)
    assert not (folder / "page").exists()


def test_nothing_is_said_twice(tmp_path: Path) -> None:
    """`known: apply_rate; found apply_rate` is one too many."""
    told = report(write(tmp_path / "past", alike(3)), "--online", "zzzz")
    assert_refused(told, "zzzz")
    assert told.err.count("apply_rate") == 1


@pytest.mark.parametrize("command", ["report", "rank"])
def test_places_that_hold_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(rankcast("history", command), "history", "rankcast history add RUN --online")
    (tmp_path / "history").mkdir()
    assert_refused(rankcast("history", command), "no past online test", "rankcast history add")
    assert_refused(rankcast("history", command, "nowhere"), "no folder or file nowhere")
    (tmp_path / "history" / "a.yaml").mkdir()
    assert_refused(rankcast("history", command), "a.yaml", "cannot be read")
    (tmp_path / "history" / "a.yaml").rmdir()
    (tmp_path / "history" / "a.yaml").symlink_to("nowhere")
    assert_refused(rankcast("history", command), "a.yaml", "no such file")


def test_a_report_where_a_file_is(tmp_path: Path) -> None:
    folder = write(tmp_path / "past", alike(3))
    (folder / "file").write_text("mine")
    told = rankcast("history", "report", str(folder), "--to", str(folder / "file"))
    assert_refused(told, "file")
    assert (folder / "file").read_text() == "mine"


def hostile(count: int) -> list[dict[str, Any]]:
    """Tests whose every name means harm."""
    found = []
    for at, one in enumerate(alike(count)):
        number = next(iter(one["online"]["apply_rate"].values()))
        offline = one["offline"]["new"]["dcg@10"]
        one |= {
            "online_test": f"t{at}&amp;[x](y)",
            "era": "<i>era</i>",
            "pipeline": "<script>alert(1)</script>",
            "online": {'o"&<b>': {HOSTILE: number}},
            "offline": {HOSTILE: {f"{HOSTILE}\x1b[31m": offline}},
            "notes": "two\nlines \x1b[31mred",
            "excluded": f"{HOSTILE} broken" if at == 0 else None,
            "users": {"production": 1000, HOSTILE: 2000} if at == 1 else {},
        }
        found.append({key: value for key, value in one.items() if value is not None})
    return found


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    folder = write(tmp_path / "<b>past", hostile(11))
    told = report(folder)
    assert told.code == 0, told.text
    page, markdown = ((folder / "page" / f"history.{ending}").read_text() for ending in ("html", "md"))
    assert not re.search(r"<(img src=x|script|i>|b>past)", page)
    assert "&lt;img src=x" in page
    assert not re.search(r"<(img|script|i>|b>)", markdown)
    assert "](http://e)" not in markdown.replace("\\](http", "")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", page + markdown + told.text)
    rows = [line for line in markdown.splitlines() if re.match(r"\| t\d", line)]
    assert len(rows) == 9
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in rows}) == 1


# --- search ---


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A service with one study that waits."""
    world = World(tmp_path_factory.mktemp("studied")).study("why", to="a cap of two is too strict").write()
    assert world.run().code in (0, 3, 4)
    return world


def found(world: World, folder: Path, *words: str) -> list[dict[str, Any]]:
    outcome = rankcast("history", "search", *words, "--in", str(folder), "--out", str(world.folder / "runs"), "--json")
    assert outcome.code == 0, outcome.text
    return list(json.loads(outcome.out))


def test_search(studied: World, tmp_path: Path) -> None:
    folder = write(
        tmp_path / "past",
        [
            record("two-per-company", 0.01, 0.02, treatment=["steps"], changes=["adds the step CAP"], launched=["new"]),
            record("model", 0.01, 0.02, treatment=["scores"], notes="the cap was changed too", launched=[]),
            record("other", 0.01, 0.02, period={"from": "2021-01-01", "to": "2021-02-01"}, why="capped"),
            record("far", 0.01, 0.02),
        ],
    )
    names = [one["name"] for one in found(studied, folder, "cap")]
    assert names == ["first", "two-per-company", "model", "other"]
    assert [one["name"] for one in found(studied, folder, "Cap", "step")] == ["two-per-company"]
    assert [one["name"] for one in found(studied, folder, "cap step")] == ["two-per-company"]
    assert found(studied, folder, "nothing-like-it") == []
    one = found(studied, folder, "company")[0]
    assert set(one) == {"name", "when", "kinds", "changes", "outcomes", "launched", "notes", "place", "also"}
    assert (one["when"], one["launched"], one["kinds"]) == ("2022-03-01", ["new"], ["steps"])
    value, error = math.log(1.02), 0.004 / 1.02
    low, high = (math.expm1(value + sign * 1.96 * error) for sign in (-1, 1))
    assert one["outcomes"][0] == f"new: apply_rate +2.0% ({low:+.1%} to {high:+.1%})"
    waits = found(studied, folder, "strict")[0]
    assert (waits["name"], waits["launched"]) == ("first", None)
    assert "not tested online" in waits["outcomes"][0]


def test_search_in_words(studied: World, tmp_path: Path) -> None:
    folder = write(tmp_path / "past", [record("a", 0.1, 0.1, notes="two\nlines \x1b[31m[red]x[/red]", launched=[])])
    where = ("--in", str(folder), "--out", str(studied.folder / "runs"))
    told = rankcast("history", "search", "lines", *where)
    assert (told.code, "launched: nothing" in told.out, "[red]x[/red]" in told.out) == (0, True, True)
    assert "\x1b" not in told.out
    none = rankcast("history", "search", "zzzz", *where)
    assert (none.code, none.out) == (0, "")
    assert "nothing of 2 past tests and studies has all of: zzzz" in none.err


def test_search_without_a_record_finds_studies(studied: World, tmp_path: Path) -> None:
    assert [one["name"] for one in found(studied, tmp_path / "none", "cap")] == ["first"]
    told = rankcast("history", "search", "cap", "--in", str(tmp_path / "no"), "--out", str(tmp_path / "none"))
    assert_refused(told, "no folder or file")


def test_search_and_rank_of_a_table(studied: World, tmp_path: Path) -> None:
    """Their help says that a table will do."""
    path = tmp_path / "past.csv"
    rows = [f"t{at},new,{0.01 * (at % 4)},0.004,{0.02 * (at % 5)},0.004,a cap" for at in range(8)]
    path.write_text("test,variant,ctr,ctr_se,dcg@10,dcg@10_se,notes\n" + "\n".join(rows))
    assert len(found(studied, path, "cap")) == 9
    told = rankcast(
        "history", "rank", str(path), "--online", "ctr", "--offline", "dcg@10", "--out", str(studied.folder / "runs"),
        "--json",
    )  # fmt: skip
    assert told.code == 0, told.text
    assert json.loads(told.out)[0]["n"] == 8


@pytest.mark.parametrize("word", ["", "  "])
def test_a_search_for_nothing(studied: World, tmp_path: Path, word: str) -> None:
    folder = write(tmp_path / "past", alike(2))
    assert_refused(rankcast("history", "search", word, "--in", str(folder)), "word")


# --- rank ---

GOAL = {"metric": "apply_rate"}


class Waiting:
    """Two studies that wait: `same` changes nothing, `better` puts first what was clicked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("same", "better"):
            world = World(folder / name).study("study", to=name).study("online", to=GOAL)
            if name == "better":
                clicked = world.tables["events"].filter(pl.col("request_id").is_not_null())
                gained = clicked.select("request_id", "item_id", plus=pl.lit(3.0))
                both = world.tables["new"].join(gained, on=["request_id", "item_id"], how="left")
                score = pl.col("score") + pl.col("plus").fill_null(0.0)
                world.tables["new"] = both.select("request_id", "item_id", score=score)
            outcome = world.write().run()
            assert outcome.code in (0, 3, 4), outcome.text
            (place,) = [path for path in (world.folder / "runs" / name).iterdir() if not path.name.startswith(".")]
            shutil.copytree(place, folder / "runs" / name / place.name)

    def rank(self, past: Path, *more: str) -> Outcome:
        return rankcast("history", "rank", str(past), "--out", str(self.folder / "runs"), *more)

    def runs(self) -> Mapping[str, Run]:
        return {path.parent.name: Run(path) for path in (self.folder / "runs").glob("*/*")}


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Waiting:
    return Waiting(tmp_path_factory.mktemp("waiting"))


def absolute(count: int) -> list[dict[str, Any]]:
    """Tests whose offline numbers are differences, online ones relative."""
    documents = alike(count)
    for one in documents:
        number = one["offline"]["new"]["dcg@10"]
        one["offline"] = {"new": {"dcg@10": {"difference": number["relative"], "difference_error": 0.003}}}
    return documents


def test_rank_by_gain_and_by_what_a_test_teaches(waiting: Waiting, tmp_path: Path) -> None:
    folder = write(tmp_path / "past", absolute(12))
    rows = json.loads(waiting.rank(folder, "--json", "--smallest-effect", "1%").out)
    assert [one["study"] for one in rows] == ["better", "same"]
    better, same = rows
    change = next(one for one in waiting.runs()["better"].results.comparisons if one.metric == "dcg@10")
    assert change.difference is not None
    assert change.difference > 0
    assert better["given"] == pytest.approx(change.difference)
    assert better["mean"] > same["mean"]
    assert better["gain"] > same["gain"] >= 0
    for one in rows:
        assert one["gain"] >= max(0.0, one["mean"]) - 1e-12
        assert one["teaches"] >= 0
        assert one["smallest"] == pytest.approx(math.log(1.01))
        assert one["above_smallest"] <= one["positive"]
        Forecast.model_validate({key: one[key] for key in Forecast.model_fields}, strict=False)
    teaches = json.loads(waiting.rank(folder, "--json", "--by", "teaches").out)
    assert [one["teaches"] for one in teaches] == sorted((one["teaches"] for one in rows), reverse=True)


def test_the_offline_number_is_shown_on_its_own_scale(waiting: Waiting, tmp_path: Path) -> None:
    """A difference of 0.3 dcg@10 is no 35 %."""
    folder = write(tmp_path / "past", absolute(12))
    given = json.loads(waiting.rank(folder, "--json").out)[0]["given"]
    line = next(one for one in waiting.rank(folder).out.splitlines() if one.strip().startswith("better"))
    assert f"{math.expm1(given):+.1%}" not in line
    assert f"{given:+.4g}" in line


def test_a_tested_study_waits_no_more(waiting: Waiting, tmp_path: Path) -> None:
    documents = absolute(9)
    documents[0]["study"] = "better"
    folder = write(tmp_path / "past", documents)
    assert [one["study"] for one in json.loads(waiting.rank(folder, "--json").out)] == ["same"]
    documents[1] |= {"study": "elsewhere", "run": waiting.runs()["same"].id}
    none = waiting.rank(write(folder, documents))
    assert (none.code, none.out) == (0, "")
    assert "no study waits" in none.err
    assert waiting.rank(folder, "--json").out.strip() == "[]"


def test_rank_with_four_pairs_says_that_nothing_can_be_foretold(waiting: Waiting, tmp_path: Path) -> None:
    folder = write(tmp_path / "past", absolute(4))
    told = waiting.rank(folder)
    assert told.code == 0
    assert "Nothing can be foretold of apply_rate: 4 past tests pair dcg@10 with apply_rate" in told.out
    for one in json.loads(waiting.rank(folder, "--json").out):
        assert (one["mean"], one["positive"], "gain" in one) == (None, None, False)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--by", "hope"), ("gain or teaches",)),
        (("--smallest-effect", "lots"), ("a share such as 1%",)),
        (("--smallest-effect", "nan"), ("a share such as 1%",)),
        (("--smallest-effect=-1%",), ("a share such as 1%",)),
        (("--online", "apply_rat"), ("did you mean `apply_rate`",)),
        (("--scale", "log"), ("relative, absolute, level",)),
    ],
)
def test_rank_refuses(waiting: Waiting, tmp_path: Path, more: tuple[str, ...], said: tuple[str, ...]) -> None:
    assert_refused(waiting.rank(write(tmp_path / "past", absolute(6)), *more), *said)


# --- import ---

HEAD = "test,variant,ctr,ctr_se,mrr,mrr_se,start,end,launched\n"
ROWS = "".join(
    f"t{at},new,{0.01 * (at % 4) - 0.005:.4f},0.004,{0.02 * (at % 5) - 0.01 * (at % 2):.4f},0.005,"
    f"2022-{at + 1:02}-01,2022-{at + 1:02}-09,{'yes' if at % 2 else 'no'}\n"
    for at in range(7)
)
WIDE = ("--online", "ctr", "--offline", "mrr")


def imported(folder: Path, text: str, *more: str) -> Outcome:
    (folder / "past.csv").write_text(text, encoding="utf-8")
    return rankcast("history", "import", str(folder / "past.csv"), "--to", str(folder / "past"), *more)


@pytest.mark.parametrize("scale", ["relative", "absolute"])
def test_an_imported_table_says_what_the_table_said(tmp_path: Path, scale: str) -> None:
    told = imported(tmp_path, HEAD + ROWS, *WIDE, "--scale", scale, "--json")
    assert told.code == 0, told.text
    written = json.loads(told.out)["written"]
    assert [Path(one).name for one in written] == [f"t{at}.yaml" for at in range(7)]
    table = report(tmp_path / "past.csv", *WIDE, "--scale", scale, "--json")
    (one,), (other,) = (numbers(each)["links"] for each in (table, report(tmp_path / "past", "--json")))
    for mine, theirs in zip(one["pairs"], other["pairs"], strict=True):
        for key in ("test", "variant", "start", "end", "launched"):
            assert mine[key] == theirs[key]
        for key in ("offline", "offline_error", "online", "online_error"):
            assert mine[key] == pytest.approx(theirs[key], rel=1e-5, abs=1e-9)
    assert (one["standing"], one["scale_online"]) == (other["standing"], other["scale_online"])


def test_imported_levels_stay_levels(tmp_path: Path) -> None:
    text = "variant,clicks,shown,mrr\na,10,100,0.1\nb,30,200,0.2\n"
    told = imported(tmp_path, text, "--online", "clicks/shown", "--offline", "mrr", "--scale", "level")
    assert told.code == 0, told.text
    (link,) = numbers(report(tmp_path / "past", "--json"))["links"]
    assert (link["scale_online"], [one["online"] for one in link["pairs"]]) == ("level", [0.1, 0.15])


BAD: dict[str, tuple[str, tuple[str, ...]]] = {
    "a bad number": ("t0,new,0.1,,0.1,,,,\nt1,new,x,,0.1,,,,\n", ("row 3, `ctr`", "'x'")),
    "no online number": ("t0,new,0.1,,0.1,,,,\nt1,new,,,0.1,,,,\n", ("past.csv", "row 3", "t1")),
    "no online number of one variant": (
        "t0,new,0.1,,0.1,,,,\nt0,old,,,0.1,,,,\n",
        ("past.csv", "old", "leave its row out"),
    ),
    "one file name of two": ("a b,new,0.1,,0.1,,,,\na-b,new,0.2,,0.1,,,,\n", ("past.csv", "a b", "a-b")),
    "a variant called control": ("t0,control,0.1,,0.1,,,,\n", ("past.csv", "row 2", "control")),
    "a name of control characters": ("t0\x07,new,0.1,,0.1,,,,\n", ("past.csv", "row 2")),
    "no row": ("", ("no rows",)),
}


@pytest.mark.parametrize("name", BAD)
def test_import_refuses_all_or_nothing(tmp_path: Path, name: str) -> None:
    rows, said = BAD[name]
    told = imported(tmp_path, HEAD + rows, *WIDE)
    assert_refused(told, *said)
    assert not (tmp_path / "past").exists()


def test_a_second_import_changes_nothing(tmp_path: Path) -> None:
    assert imported(tmp_path, HEAD + "".join(ROWS.splitlines(keepends=True)[3:5]), *WIDE).code == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "past").iterdir()}
    assert_refused(imported(tmp_path, HEAD + ROWS, *WIDE), "t3.yaml exists")
    assert {path.name: path.read_bytes() for path in (tmp_path / "past").iterdir()} == before


def test_what_cannot_be_imported(tmp_path: Path) -> None:
    assert_refused(rankcast("history", "import", str(tmp_path)), "folder")
    assert_refused(rankcast("history", "import", str(tmp_path / "no.csv")), "no file matches")


# --- Real logs: 12 variants of a recommender, three groups of users ---


def real(shared_data: Path) -> Path:
    path = shared_data / "offline_online_pairs" / "slantour_2018_pairs.csv"
    if not path.is_file():
        pytest.skip(f"the pairs of the online test are not here ({path.name})")
    return path


def of_real(path: Path, *more: str) -> Outcome:
    offline = [part for metric in METRICS for part in ("--offline", metric)]
    ways = ("--online", "clicks/shown", *offline, "--columns", "group=user_group", "--scale", "level")
    return rankcast("history", "report", str(path), *ways, *more)


def test_correlations_of_real_tests_are_those_of_scipy(shared_data: Path) -> None:
    path = real(shared_data)
    links = {(one["group"], one["offline"]): one for one in numbers(of_real(path, "--json"))["links"]}
    expected = list(csv.DictReader((shared_data / "slantour_ab" / "expected_correlations_scipy.csv").open()))
    assert set(links) == {(row["group"], row["offline_metric"]) for row in expected}
    assert len(links) == 21
    for row in expected:
        link = links[row["group"], row["offline_metric"]]
        for ours, theirs in (("pearson", "pearson"), ("spearman", "spearman"), ("kendall", "kendall_tau_b")):
            assert link[ours]["value"] == pytest.approx(float(row[theirs]), abs=1e-6), (row, ours)
        assert link["pearson"]["p"] == pytest.approx(float(row["pearson_p"]), abs=1e-6)
        assert link["pearson"]["n"] == link["spearman"]["n"] == 12
        assert link["signs"] is None


def test_no_metric_is_proven_by_twelve_variants(shared_data: Path, tmp_path: Path) -> None:
    path = real(shared_data)
    history = numbers(of_real(path, "--json"))
    assert {one["standing"] for one in history["links"]} == {"unproven"}
    assert {one["looks"] for one in history["links"]} == {21}
    assert min(one["p_adjusted"] for one in history["links"]) > 0.05
    assert all(one["pearson"]["low"] < 0 < one["pearson"]["high"] for one in history["links"])
    told = of_real(path, "--to", str(tmp_path / "page"), "--out", str(tmp_path / "none"))
    assert "No offline metric is proven: of 21 links" in told.out
    pages = [(tmp_path / "page" / f"history.{ending}").read_text() for ending in ("html", "md")]
    assert all("No offline metric is proven" in page and "earned the right" not in page for page in pages)


@pytest.mark.parametrize(
    ("flag", "yes", "no"), [("noveltyEnhance", 0.008705, 0.008007), ("diversityEnhance", 0.008188, 0.008334)]
)
def test_published_means_of_real_tests(shared_data: Path, flag: str, yes: float, no: float) -> None:
    """Unweighted means over variants of the group 1-2, as the authors' notebook has them."""
    path = real(shared_data)
    variants = csv.DictReader((shared_data / "slantour_ab" / "variants_offline.csv").open())
    flags = {row["variant"]: row[flag] for row in variants}
    links = numbers(of_real(path, "--json"))["links"]
    pairs = next(one for one in links if one["group"] == "1-2")["pairs"]
    means = [np.mean([one["online"] for one in pairs if flags[one["variant"]] == said]) for said in ("yes", "no")]
    assert means == pytest.approx([yes, no], abs=5e-7)
    rows = {row["variant"]: row for row in csv.DictReader(path.open()) if row["user_group"] == "1-2"}
    for one in pairs:
        shown, clicks = (int(rows[one["variant"]][name]) for name in ("shown", "clicks"))
        p = clicks / shown
        assert one["online"] == pytest.approx(p)
        assert one["online_error"] == pytest.approx(math.sqrt(p * (1 - p) / shown))


def test_four_real_points_say_nothing(shared_data: Path) -> None:
    real(shared_data)
    path = shared_data / "offline_online_pairs" / "multitron_2024_digitised.csv"
    ways = ("--online", "ctr_uplift_pct_online", "--offline", "neg_click_loss_offline", "--scale", "level")
    told = rankcast("history", "report", str(path), *ways, "--columns", "variant=point", "--json")
    (link,) = numbers(told)["links"]
    assert (link["standing"], len(link["pairs"])) == ("too few", 4)
    assert link["says"].startswith("Nothing can be said: 4 pairs")
    assert link["pearson"]["value"] > 0.9
