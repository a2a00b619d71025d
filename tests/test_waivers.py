"""How a study and a service configure rules: what is refused, waivers, thresholds, and effects recomputed by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import clean
from clean import Case, merged
from rankcast.progress import Progress
from rankcast.records import Finding
from rankcast.rules import evidence
from rankcast.runs.folder import Run
from rankcast.study import run
from tiny import World, assert_refused
from told import INSIDE, latest, line, world

__all__ = ["world"]  # a fixture


# fmt: off
NO_NUMBER = ('"high"', '"0.9"', '"%"', '"nan%"', '"-5%"', "-0.1", ".nan", ".inf", "true", "null", "[0.9]")
NO_DATE = ('"soon"', '"2099-02-30"', "null", "7")
ALLOW, RULES, ONLINE, TRAINING = "study allow", "service rules", "study online events", "study variants new training"
REFUSED = [  # where, what, the key inside, what is said; whatever is wrong is the first of its mapping
    (ALLOW, '{"DT05": {"until": "2099-12-31"}}', "DT05.reason", "required and is missing"),
    (ALLOW, '{"DT05": {"reason": " ", "until": "2099-12-31"}}', "DT05.reason", "found an empty text"),
    (ALLOW, '{"DT05": {"reason": "r"}}', "DT05.until", "required and is missing"),
    *[(ALLOW, f'{{"DT05": {{"until": {day}, "reason": "r"}}}}', "DT05.until", "expected a date") for day in NO_DATE],
    (ALLOW, '{"DT05": {"untl": 1, "reason": "r", "until": "2099-12-31"}}', "DT05.untl", "did you mean `until`?"),
    *[(ALLOW, f'{{"{code}": {{"reason": "r", "until": "2099-12-31"}}}}', code, said) for code, said in
      [("XX99", "unknown rule `XX99`"), ("dt05", "such as RP02"), ("WV01", "cannot be waived"), ("WV02", "cannot be waived")]],
    (ALLOW, '{"DT05": "why not"}', "DT05", 'expected keys and values, found "why not"'),
    (ALLOW, '["DT05"]', "", 'expected keys and values, found ["DT05"]'),
    (RULES, '{"XX99": {"warn": 0.9}}', "XX99", "unknown rule `XX99`"),
    (RULES, '{"rp02": {"warn": 0.9}}', "rp02", 'such as RP02, found "rp02"'),
    (RULES, '{"RP02": {"wran": 0.9}}', "RP02.wran", "rule RP02 has no threshold `wran`; did you mean `warn`?"),
    (RULES, '{"DT01": {"warn": 0.9}}', "DT01.warn", "it has none at all"),
    *[(RULES, f'{{"RP02": {{"warn": {one}}}}}', "RP02.warn", "expected a number from 0, or a share") for one in NO_NUMBER],
    *[(RULES, f'{{"RP02": {{"warn": {one}}}}}', "RP02.warn", "a share from 0 to 1") for one in ("95", '"950%"', "1.01")],
    (RULES, '{"DT06": {"windows": 2.5}}', "DT06.windows", "expected a whole number, found 2.5"),
    (RULES, '{"RP02": 0.9}', "RP02", "expected keys and values, found 0.9"),
    (TRAINING, '{"trails": 3}', "trails", "unknown key `trails`; did you mean `trials`?"),
    (TRAINING, '{"tuned_on": {"from": "2023-09-15", "to": "2023-09-15"}}', "tuned_on", "the period is empty"),
    (TRAINING, '{"trials": -1}', "trials", "found -1"),
    (TRAINING, '{"features": {"path": "data/nope.parquet"}}', "features", "no file matches `data/nope.parquet`"),
    (TRAINING, '{"features": {"path": "data/scores.parquet"}}', "features.as_of", "column `as_of` is missing"),
    *[(ONLINE, one, "", "expected a list of kinds of events") for one in ("[]", '"click"', "[1]", '[""]', '{"click": 1}')],
]
# fmt: on


@pytest.mark.parametrize(("where", "what", "key", "said"), REFUSED, ids=str)
def test_what_is_refused(world: World, where: str, what: str, key: str, said: str) -> None:
    name, *at = where.split()
    world.study("online", to={"metric": "m"})
    (world.study if name == "study" else world.service)(*at, to="@here").write()
    file = world.folder / f"{name}.yaml"
    file.write_text(file.read_text().replace('"@here"', what.replace("{", "{\n")))
    number = line(file, at[-1]) + sum(f'"{one}"' in what for one in key.split(".") if one)
    for command in ("check", "run"):
        assert_refused(
            world.run(command=command), f"{file.name}:{number}: {'.'.join([*at, *key.split('.')]).rstrip('.')}: ", said
        )
    assert world.left_behind() == []


def test_a_threshold_of_no_share_may_be_above_one(world: World) -> None:
    world.service("rules", to={"TG06": {"error": 1.5}, "RP02": {"rank_mae": 3}, "CM03": {"ratio": "150%"}})
    assert world.write().run(command="check").code == 0  # the population stability index is no share


@pytest.mark.parametrize("written", ["5%", " 5.0 %", 0.05])
def test_a_share_is_written_in_two_ways(world: World, written: object) -> None:
    world.service("rules", to={"TG02": {"error": written, "warn": 0}}).write()
    plan = json.loads(world.run("--json", command="explain").out)
    assert plan["service"]["rules"] == {"TG02": {"error": 0.05, "warn": 0.0}}


def waiving(world: World, until: str, reason: str = "known", code: str = "DT01") -> World:
    """DT01 fires, an error; it, or another rule, is waived."""
    world.study("variants", "new", "trained_until", to=INSIDE)
    return world.study("allow", to={code: {"reason": reason, "until": until}}).write()


class Clock(datetime):
    """A clock that stands still."""

    moment = datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Clock:
        return cls.fromtimestamp(cls.moment.timestamp(), tz)


def test_a_waiver_in_force_past_its_end_or_not_used(world: World) -> None:
    checked, done = waiving(world, "2099-12-31").run(command="check"), world.run()
    last, one = latest(world), latest(world)["of"]["DT01"]
    assert (checked.code, "DT01 temporal-leakage: waived, known (until 2099-12-31)" in checked.out) == (0, True)
    assert (done.code in {0, 3, 4}, last["decision"] != "invalid") == (True, True)
    assert (one["status"], one["severity"], one["waived"]) == ("waived", "error", "known (until 2099-12-31)")
    assert (last["of"]["WV01"]["status"], last["of"]["WV02"]["status"]) == ("passed", "passed")
    checked, done = waiving(world, "2023-12-31").run(command="check"), world.run()
    last, over = latest(world), latest(world)["of"]["WV01"]
    assert (checked.code, done.code, last["decision"], last["of"]["DT01"]["status"]) == (5, 5, "invalid", "fired")
    assert (over["status"], over["severity"], over["count"]) == ("fired", "warning", 1)
    assert (over["key"], over["line"]) == ("allow.DT01", line(world.folder / "study.yaml", "DT01"))
    assert last["of"]["WV02"]["status"] == "passed"
    checked, done = waiving(world, "2099-12-31", code="TG03").run(command="check"), world.run()
    unused = latest(world)["of"]["WV02"]
    assert ("WV02" in checked.out, done.code) == (False, 5)  # what a run finds is not known to a check
    assert (unused["status"], unused["key"], "TG03" in unused["evidence"]) == ("fired", "allow.TG03", True)


def test_another_waiver_is_another_run_with_the_same_lists(world: World) -> None:
    ids: list[str] = []
    for until, reason in (("2023-12-31", "known"), ("2099-12-31", "known"), ("2099-12-31", "well known")):
        waiving(world, until, reason).run()
        last = latest(world)
        assert last["lists_of"] in (ids or [None])
        ids.append(last["run"])
    world.run()
    assert len(set(ids)) == latest(world)["runs"] == 3


def test_a_waiver_ends_between_two_runs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "datetime", Clock)
    assert waiving(world, "2026-01-31").run().code != 5
    first = latest(world)
    monkeypatch.setattr(Clock, "moment", datetime(2026, 2, 1, tzinfo=UTC))
    assert (world.run(command="check").code, world.run().code) == (5, 5)
    second = latest(world)
    told = [[one["of"][code]["status"] for code in ("DT01", "WV01")] for one in (first, second)]
    assert told == [["waived", "passed"], ["fired", "fired"]]
    assert (second["run"] != first["run"], second["lists_of"]) == (True, first["run"])
    monkeypatch.setattr(Clock, "moment", datetime(2027, 1, 1, tzinfo=UTC))
    assert (world.run().code, latest(world)["runs"]) == (5, 2)


class Bench:
    """A small clean study and its run; further runs reuse its lists where they can."""

    def __init__(self, folder: Path) -> None:
        clean.write_data(folder / "data", requests=2_000)
        self.case = Case(folder / "case", folder / "data")
        self.plain = self.run()

    def run(self, service: Mapping[str, Any] | None = None, study: Mapping[str, Any] | None = None) -> Run:
        self.case.service = deepcopy(merged(clean.SERVICE, service or {}))
        self.case.study = deepcopy(merged(clean.STUDY, study or {}))
        return run(self.case.write(), self.case.folder / "runs", Progress())


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


def finding(done: Run, code: str) -> Finding:
    return next(one for one in done.findings if one.rule == code)


# fmt: off
LIMITS: dict[str, dict[str, Any]] = {
    "RP02": {"covered": 1.0}, "LB05": {"share": "10%"}, "DT06": {"windows": 3},
    "CM06": {"least": 0.95}, "MT05": {"most": "50%"}, "TG02": {"warn": "0.1%"},
}
# fmt: on


@pytest.mark.parametrize("code", LIMITS)
def test_another_threshold(bench: Bench, code: str) -> None:
    done = bench.run({"rules": {code: LIMITS[code]}})
    before = {one.rule: one.status for one in bench.plain.findings}
    after = {one.rule: one.status for one in done.findings}
    assert (before[code], after[code]) == ("passed", "fired")
    assert {**after, code: "passed"} == before
    assert done.manifest["work"]["lists_of"] == bench.plain.id


def test_reused_lists_give_the_same_results(bench: Bench) -> None:
    done = bench.run({"rules": {"RP02": {"warn": 0.8}}})
    anew = run(bench.case.write(), bench.case.folder / "anew", Progress())
    assert (done.id, "lists_of" in anew.manifest["work"]) == (anew.id, False)
    assert done.results == bench.plain.results == anew.results


def assert_effect(done: Run, code: str, left: set[Any]) -> None:
    """The effect is the mean difference in the primary metric over the targets that are left, made by hand."""
    values = done.values.pivot("variant", index=["request_id", "weight"], values="dcg@10")
    both = values.select("request_id", "weight", d=pl.col("two_tower") - pl.col("production"))
    kept, one = both.filter(pl.col("request_id").is_in(list(left))), finding(done, code)
    whole, without = ((rows["d"] * rows["weight"]).sum() / rows["weight"].sum() for rows in (both, kept))
    assert 0 < len(kept) < len(both)
    assert abs(whole - without) > 1e-6
    assert one.effect is not None
    shown = one.effect.model_dump(mode="json")
    assert (one.status, shown["variant"], shown["metric"], shown["requests"]) == (
        "fired",
        "two_tower",
        "dcg@10",
        len(kept),
    )
    assert (shown["difference"], shown["without"]) == (pytest.approx(whole, rel=1e-9), pytest.approx(without, rel=1e-9))
    assert shown["low"] < shown["without"] < shown["high"]
    written = json.loads((done.folder / "result.json").read_text())["findings"]
    assert shown == next(found for found in written if found["rule"] == code)["effect"]


@pytest.mark.parametrize("average", ["request", "user"])
def test_the_effect_of_targets_without_labels(bench: Bench, average: str) -> None:
    done = bench.run({"targets": {"without_labels": "zero", "average": average}})
    assert_effect(done, "TG01", set(done.labels.filter(pl.col("grade") > 0)["request_id"].drop_nulls()))


def test_the_effect_of_busy_users(bench: Bench) -> None:
    done = bench.run({"rules": {"DT07": {"least": 20, "times": 1, "share": "2%"}}})
    one = finding(done, "DT07")
    assert one.count == len(one.examples) > 0
    assert_effect(done, "DT07", set(done.values.filter(~pl.col("user_id").is_in(one.examples))["request_id"]))


def test_the_effect_of_the_most_shown(bench: Bench) -> None:
    done = bench.run({"rules": {"LB05": {"share": "10%"}}})
    asked = done.values["request_id"].unique()
    shown = bench.case.table("impressions").group_by("item_id").len().sort("len", descending=True)
    top = set(shown["item_id"].head(round(len(shown) / 100)))
    good = done.labels.filter(pl.col("grade") > 0, pl.col("request_id").is_in(asked.to_list()))
    assert_effect(done, "LB05", set(asked) - set(good.filter(pl.col("item_id").is_in(list(top)))["request_id"]))
