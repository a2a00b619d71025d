"""Models behind a Python function: what they are given, what they may answer, what is random in them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import rankcast
from own_code import HEAD, MODELS, Shop, as_is, lists_of
from tiny import GONE, World, assert_refused

# --- python, as a model ---


FORMS = """
def as_list(requests, candidates):
    return candidates["item.wage"].to_list()

def as_tuple(requests, candidates):
    return tuple(candidates["item.wage"].to_list())

def as_numpy(requests, candidates):
    return candidates["item.wage"].to_numpy()

def as_float32(requests, candidates):
    return candidates["item.wage"].to_numpy().astype("float32")

def as_objects(requests, candidates):
    return candidates["item.wage"].to_numpy().astype(object)

def as_column(requests, candidates):
    return candidates["item.wage"].to_numpy().reshape(-1, 1)

def as_polars(requests, candidates):
    return candidates["item.wage"]

def as_pandas(requests, candidates):
    return candidates["item.wage"].to_pandas()

def as_pandas_index(requests, candidates):
    return pd.Series(candidates["item.wage"].to_numpy(), index=range(100, 100 + len(candidates)))

def as_arrow(requests, candidates):
    return pa.array(candidates["item.wage"].to_list())

def as_frame(requests, candidates):
    return candidates.select("item_id", "request_id", score="item.wage")

def as_any_order(requests, candidates):
    return candidates.select("request_id", "item_id", score="item.wage").sample(fraction=1.0, shuffle=True, seed=3)

def as_pandas_frame(requests, candidates):
    return candidates.to_pandas().rename(columns={"item.wage": "score"}).sample(frac=1, random_state=1)

def as_arrow_table(requests, candidates):
    return candidates.select("request_id", "item_id", score="item.wage").reverse().to_arrow()

def as_lazy(requests, candidates):
    return candidates.lazy().select("request_id", "item_id", score="item.wage")

def as_scores_only(requests, candidates):
    return candidates.select(score="item.wage")

class Model:
    def score(self, requests, candidates):
        return candidates["item.wage"]

as_method = Model().score
as_lambda = lambda requests, candidates: candidates["item.wage"]

def as_optional(requests, candidates, *, more=None):
    return candidates["item.wage"]
"""
_FORMS = [line.split("(")[0].split()[-1] for line in FORMS.splitlines() if line.startswith("def as_")]


def test_every_form_of_an_answer(shop: Shop) -> None:
    forms = [*_FORMS, "as_method", "as_lambda"]
    for name in forms:
        shop.world.study("variants", name, to={"python": f"shop:{name}"})
    shop.module(FORMS).done()
    for name in forms:
        assert shop.slates(name) == {"r1": "dcba", "r2": "cba", "r3": "e"}, name
        assert shop.scores(name)["r1"] == [4.0, 3.0, 2.0, 1.0], name
    result = json.loads((shop.only() / "result.json").read_text())
    assert set(result["decision"]) == set(forms)


SELECTIVE = """
def some(requests, candidates):
    rows = candidates.filter(pl.col("item.premium").is_not_null() & (pl.col("item_id") != "b"))
    return rows.select("request_id", "item_id", score="item.wage").reverse()

def nobody(requests, candidates):
    return candidates.head(0).select("request_id", "item_id", score=pl.lit(1.0))

def ties(requests, candidates):
    return [-0.0, 0.0, 0.0, -0.0, 1, 1, 1, 1]

def endless(requests, candidates):
    best = {"c": float("inf"), "a": float("-inf"), "b": float("-inf")}
    return [best.get(item, 0.0) for item in candidates["item_id"]]

def huge(requests, candidates):
    return [10.0 ** 300 * (1 + (item == "b")) for item in candidates["item_id"]]
"""


def test_rows_left_out_ties_and_extremes(shop: Shop) -> None:
    for name in ("some", "nobody", "ties", "endless", "huge"):
        shop.world.study("variants", name, to={"python": f"shop:{name}"})
    shop.module(SELECTIVE).done()
    assert shop.slates("some") == {"r1": "dca", "r2": "ca"}
    assert shop.slates("nobody") == {}
    assert shop.slates("ties") == {"r1": "abcd", "r2": "abc", "r3": "e"}
    assert shop.slates("endless") == {"r1": "cdab", "r2": "cab", "r3": "e"}  # as in a file of scores
    assert shop.slates("huge") == {"r1": "bacd", "r2": "bac", "r3": "e"}
    rows = {row["variant"]: row for row in shop.result()["variants"]}
    assert rows["some"]["positives_outside"] == 2


def test_infinite_scores_of_a_file_are_ordered_too(shop: Shop) -> None:
    shop.world.table("scores", lambda one: one.with_columns(
        score=pl.Series([0.0, float("-inf"), float("inf"), 1.0, float("-inf"), float("-inf"), 0.0, 1.0])
    ))  # fmt: skip
    shop.done()
    assert shop.slates() == {"r1": "cdab", "r2": "cab", "r3": "e"}


@pytest.mark.parametrize(
    ("candidates", "seen"),
    [
        (None, "r1a r1b r1c r1d r2a r2b r2c r3e"),
        ("available", "r1a r1b r1c r1d r1e r2a r2b r2c r2d r2e r3a r3b r3c r3d"),
        ("impressions", "r1a r1b r1c r2a r3e"),
        ({"path": "data/pool.parquet"}, "r1c r1e r3a"),
    ],
    ids=str,
)
@pytest.mark.parametrize("own", [True, False])
def test_candidates(shop: Shop, candidates: object, seen: str, own: bool) -> None:
    rows = [("r3", "a"), ("r1", "e"), ("r1", "c"), ("r9", "a")]
    shop.world.tables["pool"] = pl.DataFrame(rows, schema=["request_id", "item_id"], orient="row")
    shop.module(MODELS).variant(python="shop:pairs")
    if candidates is not None and own:
        shop.world.study("treatment", to=["scores", "candidates"]).study("variants", "new", "candidates", to=candidates)
    elif candidates is not None:
        shop.world.service("production", "candidates", to=candidates)
    shop.refused(f"ValueError: {seen} (shop.py:")


def test_a_model_sees_the_candidates_before_steps(shop: Shop) -> None:
    shop.module(MODELS).steps({"where": "item.wage > 3"}).variant(python="shop:pairs")
    shop.refused("ValueError: r1a r1b r1c r1d r2a r2b r2c r3e (shop.py:")


def test_a_model_as_the_baseline_orders_what_was_shown(shop: Shop) -> None:
    shop.module(MODELS).world.study("variants", "production", to={"python": "shop:wage"})
    shop.done()
    assert shop.slates() == {"r1": "cba", "r2": "a", "r3": "e"}


def test_a_model_as_the_baseline_of_a_model(shop: Shop) -> None:
    shop.module(MODELS).world.study("variants", "production", to={"python": "shop:wage"})
    shop.variant(scores={"path": "data/scores.parquet"}).done()
    assert shop.slates("new") == {"r1": "abcd", "r2": "abc", "r3": "e"}


def test_steps_come_after_the_model(shop: Shop) -> None:
    shop.module(MODELS).steps({"cap": {"by": "item.kind", "at_most": 1}}).variant(python="shop:wage").done()
    assert shop.slates("new") == {"r1": "db", "r2": "cb", "r3": "e"}
    assert shop.step("cap", "new") == as_is(removed=3, requests=2)


COLUMNS = """
def some(requests, candidates):
    assert requests.columns == ["request_id", "user_id", "timestamp", "page", "user.tenure"], requests.columns
    assert candidates.columns == ["request_id", "item_id", "item.wage"], candidates.columns
    return candidates["item.wage"]

def none(requests, candidates):
    assert requests.columns == ["request_id", "user_id", "timestamp"], requests.columns
    assert candidates.columns == ["request_id", "item_id"], candidates.columns
    return [0] * len(candidates)

def all(requests, candidates):
    assert requests.columns == [
        "request_id", "user_id", "timestamp", "surface", "wanted", "bot", "page", "user.tenure"
    ], requests.columns
    assert candidates.columns == ["request_id", "item_id", "item.kind", "item.wage", "item.premium"], candidates.columns
    assert requests.schema["timestamp"] == pl.Datetime("us", "UTC")
    assert requests["request_id"].to_list() == ["r1", "r2", "r3"]
    return [0] * len(candidates)
"""


@pytest.mark.parametrize(
    ("function", "columns"),
    [("some", ["item.wage", "request.page", "user.tenure"]), ("none", []), ("all", None)],
)
def test_columns(shop: Shop, function: str, columns: list[str] | None) -> None:
    way = {"function": f"shop:{function}"} | ({} if columns is None else {"columns": columns})
    shop.module(COLUMNS).variant(python=way).done()


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (["item.wge"], "did you mean `wage`?"),
        (["user.age"], "no column `age`"),
        (["request.pge"], "did you mean `page`?"),
        (["wage"], "item.wage"),
        (["items.wage"], "items.wage"),
        (["score"], "score"),
        (["item."], "item."),
        ([""], "columns"),
        ("item.wage", "expected a list"),
        ([7], "expected text, found 7"),
    ],
    ids=str,
)
def test_columns_refused(shop: Shop, columns: object, said: str) -> None:
    shop.module(MODELS).variant(python={"function": "shop:wage", "columns": columns})
    shop.refused("study.yaml:", "variants.new.python.columns", said)


@pytest.mark.parametrize(("columns", "said"), [(["item.wge"], "did you mean `wage`?"), (["wage"], "columns")])
def test_columns_are_checked(shop: Shop, columns: list[str], said: str) -> None:
    shop.module(MODELS).variant(python={"function": "shop:wage", "columns": columns})
    assert_refused(shop.run(command="check"), "study.yaml:", "variants.new.python.columns", said)


def test_columns_of_users_without_a_table_of_users(shop: Shop) -> None:
    shop.module(MODELS).variant(python={"function": "shop:wage", "columns": ["user.tenure"]})
    shop.world.service("tables", "users", to=GONE).study("segments", to=[])
    shop.refused("study.yaml:", "variants.new.python", "users")


# --- Chance ---


CHANCE = """
def drawn(requests, candidates, generators):
    assert set(generators) == set(requests["request_id"]) and len(generators) == len(requests)
    drawn = {request: generators[request].random(9) for request in requests["request_id"]}
    met = {}
    scores = []
    for request in candidates["request_id"]:
        scores.append(drawn[request][met.get(request, 0)])
        met[request] = met.get(request, 0) + 1
    return scores

def step(frame, generators):
    noise = {request: generators[request].random(9) for request in set(frame["request_id"])}
    place = pl.Series([noise[request][rank] for request, rank in zip(frame["request_id"], frame["rank"])])
    return frame.with_columns(place=place).sort("place").select("request_id", "item_id")
"""


def chance(folder: Path) -> Shop:
    """The larger tiny service with a model and a step that draw."""
    shop = Shop(World(folder))
    shop.module(CHANCE).steps({"python": "shop:step"}).variant(python="shop:drawn")
    shop.world.service("production", "served", to=8).study("metrics", to={"primary": "dcg@10"})
    shop.world.service("targets", "where", to=GONE)
    return shop.write()


def drawn_lists(run: rankcast.Run) -> list[dict[str, list[Any]]]:
    """The lists of both variants."""
    return [lists_of(Path(run.folder), variant) for variant in ("production", "new")]


def test_draws_do_not_depend_on_how_the_work_is_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    shop = chance(tmp_path)
    study = tmp_path / "study.yaml"
    whole = drawn_lists(rankcast.run(study, tmp_path / "whole"))
    assert len(whole[0]) == len(whole[1]) == 12
    assert len({"".join(items) for items in whole[1].values()}) > 8
    monkeypatch.setattr(rankcast.study, "SHARD_ROWS", 1)
    split = rankcast.run(study, tmp_path / "split")
    assert len(list(Path(split.folder).glob("slates/*"))) > 1
    assert drawn_lists(split) == whole
    assert drawn_lists(rankcast.run(study, tmp_path / "four", processes=2)) == whole
    monkeypatch.undo()
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("requests", "items", "scores"):
        shop.world.table(name, lambda one: one.sample(fraction=1.0, shuffle=True, seed=5))
    shop.write()
    assert drawn_lists(rankcast.run(study, tmp_path / "shuffled")) == whole
    shop.world.study("seed", to=8)
    shop.write()
    other = drawn_lists(rankcast.run(study, tmp_path / "other"))
    assert other[0] != whole[0]
    assert other[1] != whole[1]
    sys.modules.pop("shop", None)


def test_requests_draw_independently(shop: Shop) -> None:
    shop.module(
        "def told(requests, candidates, generators):\n"
        "    first = [generators[request].random() for request in requests['request_id']]\n"
        "    again = [generators[request].random() for request in requests['request_id']]\n"
        "    assert first == again and len(set(first)) == 3, (first, again)\n"
        "    assert isinstance(generators['r1'], np.random.Generator)\n"
        "    return [0] * len(candidates)\n"
    )
    shop.variant(python="shop:told").done()


# --- What a model reads ---


READS = """
import pathlib

def weighed(requests, candidates):
    weight = float(pathlib.Path(__file__).with_name("model.txt").read_text())
    return candidates["item.wage"] * weight
"""


def test_what_a_model_reads_belongs_to_the_run(shop: Shop) -> None:
    model = shop.world.folder / "model.txt"
    shop.module(READS).variant(python={"function": "shop:weighed", "reads": "model.txt"})
    for weight in ("1", "-1", "1"):
        model.write_text(weight)
        shop.done()
    assert len(shop.folders()) == 2
    orders = {"".join(lists_of(path.parent, "new")["r1"]) for path in shop.world.folder.glob("runs/*/*/result.json")}
    assert orders == {"abcd", "dcba"}
    manifests = [path.read_text() for path in shop.world.folder.glob("runs/*/*/manifest.json")]
    assert all("model.txt" in text for text in manifests)


def test_the_code_of_a_model_belongs_to_the_run(shop: Shop) -> None:
    (shop.world.folder / "beside.py").write_text("SIGN = 1\n")
    shop.module("import beside\n\ndef f(requests, candidates):\n    return candidates['item.wage'] * beside.SIGN\n")
    shop.variant(python="shop:f")
    for sign in ("1", "-1"):
        (shop.world.folder / "beside.py").write_text(f"SIGN = {sign}\n")
        sys.modules.pop("beside", None)
        shop.done()
    sys.modules.pop("beside", None)
    assert len(shop.folders()) == 2


def test_code_that_is_rewritten_between_two_runs_of_a_process(shop: Shop) -> None:
    """As in a notebook: a run never bears the id of one text and the lists of another."""
    study = shop.world.folder / "study.yaml"
    text = "def f(requests, candidates):\n    return {sign} * candidates['item.wage']\n"
    shop.module(text.format(sign="+1")).variant(python="shop:f").write()
    first = rankcast.run(study, shop.world.folder / "runs")
    (shop.world.folder / "shop.py").write_text(HEAD + text.format(sign="-1"))
    second = rankcast.run(study, shop.world.folder / "runs")
    assert Path(second.folder) != Path(first.folder)
    assert lists_of(Path(first.folder), "new")["r1"] == list("dcba")
    assert lists_of(Path(second.folder), "new")["r1"] == list("abcd")


@pytest.mark.parametrize(
    ("reads", "said"),
    [
        ("nope.bin", "nope.bin"),
        (["model.txt", "nope.bin"], "nope.bin"),
        ("nope/*.bin", "nope/*.bin"),
        (7, "expected a path or a list of paths, found 7"),
        ([], "expected a path or a list of paths"),
        ("s3://bucket/model", "not available yet"),
        ("${NO_SUCH_MODEL}", "NO_SUCH_MODEL is not set"),
    ],
    ids=str,
)
def test_what_a_model_cannot_read(shop: Shop, reads: object, said: str) -> None:
    (shop.world.folder / "model.txt").write_text("1")
    shop.module(READS).variant(python={"function": "shop:weighed", "reads": reads})
    shop.refused("study.yaml:", "variants.new.python", said)
