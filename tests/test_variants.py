"""Ways of scoring and what a study may say of them; the command line."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from own_code import BAD_STEPS, MODELS, Shop
from tiny import assert_refused
from tiny import rankcast as command

# --- Ways and treatment ---


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        ({"python": "shop:f", "scores": {"path": "x.parquet"}}, "found `scores` and `python`"),
        ({"python": "shop:f", "http": {"url": "http://localhost:1"}}, "found `python` and `http`"),
        ({"mlflow": "models:/a/1", "builtin": "popular"}, "found `builtin` and `mlflow`"),
        ({}, "expected one of `scores`, `builtin`, `python`, `http` and `mlflow`"),
        ({"python": None}, "expected one of `scores`, `builtin`, `python`, `http` and `mlflow`"),
        ({"pyhton": "shop:f"}, "unknown key `pyhton`; did you mean `python`?"),
        ({"python": "shop:f", "within": "7d"}, "`within` belongs to a builtin variant"),
        ("python", "expected keys and values"),
    ],
    ids=str,
)
def test_ways(shop: Shop, ways: Any, said: str) -> None:
    shop.world.study("variants", "new", to=ways)
    shop.refused("study.yaml:", "variants.new", said, data=False)


WAYS: dict[str, Any] = {"python": "shop:wage", "http": {"url": "http://localhost:1/x"}, "mlflow": "models:/a/1"}


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize(("key", "value"), [("steps", []), ("candidates", "available"), ("served", 3)])
def test_treatment(shop: Shop, way: str, key: str, value: object) -> None:
    shop.module(MODELS).variant(**{way: WAYS[way], key: value})
    said = f"the study's `treatment` does not say that variants may change {key}; found treatment: [scores]"
    shop.refused("study.yaml:", f"variants.new.{key}", said)
    shop.world.study("treatment", to=["scores", key])
    assert shop.run(command="check").code == 0


def test_own_steps_candidates_and_served_of_a_model(shop: Shop) -> None:
    shop.module(MODELS).steps({"where": "item.wage < 4"}).world.study(
        "treatment", to=["scores", "steps", "candidates", "served"]
    )
    shop.variant(
        python="shop:wage", steps=[{"rerank": {"sql": "0 - item.wage"}}], candidates="impressions", served=2
    ).done()
    assert shop.slates("new") == {"r1": "ab", "r2": "a", "r3": "e"}
    assert shop.slates() == {"r1": "abc", "r2": "abc"}


def test_bad_steps_of_a_variant_are_blamed_in_the_study(shop: Shop) -> None:
    shop.module(BAD_STEPS).world.study("treatment", to=["steps"])
    shop.variant(scores={"path": "data/new.parquet"}, steps=[{"python": "shop:raises"}])
    shop.refused("study.yaml:", "variants.new.steps[0]", "KeyError")


# --- MLflow ---


@pytest.mark.parametrize("word", ["ranker", "model:/a/1", "http://x/models:/a/1", "", "models:", "models:/", "runs:/"])
def test_word_of_a_registered_model(shop: Shop, word: str) -> None:
    shop.variant(mlflow=word).refused("study.yaml:", "variants.new", "expected a model such as models:/ranker/3")


@pytest.mark.parametrize("word", [7, True, ["models:/a/1"], {"uri": "models:/a/1"}])
def test_type_of_a_registered_model(shop: Shop, word: object) -> None:
    shop.variant(mlflow=word).refused("study.yaml:", "variants.new.mlflow", "expected text, found")


def test_without_mlflow(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    shop.variant(mlflow="models:/nobody/1")
    told = shop.refused("`models:/nobody/1` needs MLflow", "pip install 'rankcast[mlflow]'")
    assert "study.yaml:" in told
    assert "variants.new" in told
    assert shop.run(command="check").code == 0


# --- The command line ---


@pytest.mark.parametrize("memory", ["lots", "", "2", "0GB", "-1GB", "99MB", "1e9GB", "2 TB", "2GB2", "nan GB", "٣GB"])
def test_memory(shop: Shop, memory: str) -> None:
    shop.refused("--memory: expected at least 100MB, such as 500MB or 2GB, found", more=("--memory", memory))


@pytest.mark.parametrize("processes", ["0", "-1", "257", "two", "1.5", ""])
def test_processes(shop: Shop, processes: str) -> None:
    shop.refused("--processes", more=("--processes", processes))


def test_memory_of_any_size(shop: Shop) -> None:
    shop.done("--memory", "100 mb").done("--memory", "1.5gb")
    assert len(shop.folders()) == 1


def test_more_memory_than_there_is(shop: Shop) -> None:
    shop.refused("--memory: expected", more=("--memory", "9" * 400 + "GB"))


def test_from_and_a_study(shop: Shop) -> None:
    said = "expected either a study (rankcast run study.yaml) or a run to repeat (rankcast run --from RUN)"
    shop.done()
    before = shop.visible()
    assert_refused(shop.world.run("--from", str(shop.only())), said)
    assert_refused(command("run", "--quiet"), said)
    assert "Usage: " in command("run").text
    assert_refused(command("run", "--from", str(shop.world.folder / "nowhere")), "nowhere")
    assert_refused(command("run", "--from", str(shop.world.folder)), str(shop.world.folder))
    assert shop.visible() == before


@pytest.mark.parametrize("name", ["check", "explain"])
def test_no_private_code_is_executed(shop: Shop, name: str) -> None:
    trace = shop.world.folder / "executed"
    shop.module(f"open({str(trace)!r}, 'w').close()\n\ndef f(*any):\n    return any[0]\n")
    shop.steps({"python": "shop:f"}).variant(python={"function": "shop:f", "columns": ["item.wage"]})
    shop.world.study("metrics", "also", to=["shop:f@10"])
    outcome = shop.run(command=name)
    assert not trace.exists()
    assert outcome.code == 0, outcome.text
    assert shop.run("--without-data", command="check").code == 0
    assert not trace.exists()
    shop.run()
    assert trace.exists()


def test_check_knows_no_module_that_is_missing(shop: Shop) -> None:
    shop.steps({"python": "nowhere.at_all:f"}).variant(python="nowhere:g")
    assert shop.run(command="check").code == 0
