"""What models may do wrong, and how it is told."""

from __future__ import annotations

import json

import pytest

import rankcast
from own_code import ANSWERED, MODELS, Shop

# --- Bad models ---


BAD_MODELS = """
import sys

number = 7

def scoring(requests, candidates):
    return candidates["item.wage"]

def raises(requests, candidates):
    raise ValueError("no model\\nfor \\x1b[31mthis " + "x" * 5000)

def nothing_said(requests, candidates):
    assert False

def divides(requests, candidates):
    return 1 / 0

def exits(requests, candidates):
    sys.exit("enough")

def exits_well(requests, candidates):
    sys.exit(0)

def none(requests, candidates):
    candidates["item.wage"]

def text(requests, candidates):
    return "12345678"

def scalar(requests, candidates):
    return 1.0

def empty(requests, candidates):
    return []

def short(requests, candidates):
    return [1.0] * (len(candidates) - 1)

def long(requests, candidates):
    return np.zeros(2_000_000)

def nan(requests, candidates):
    return [1, float("nan"), 2, 3, 4, 5, 6, float("nan")]

def null(requests, candidates):
    return pl.Series([1, None, 2, 3, 4, 5, 6, 7])

def list_null(requests, candidates):
    return [1, None, 2, 3, 4, 5, 6, 7]

def nothing_but_nulls(requests, candidates):
    return [None] * len(candidates)

def strings(requests, candidates):
    return ["1"] * len(candidates)

def mixed(requests, candidates):
    return [1, "2", 3, 4, 5, 6, 7, 8]

def booleans(requests, candidates):
    return [True] * len(candidates)

def complex_(requests, candidates):
    return np.zeros(len(candidates), dtype=complex)

def times(requests, candidates):
    return np.zeros(len(candidates), dtype="datetime64[s]")

def big(requests, candidates):
    return [10 ** 400] * len(candidates)

def table(requests, candidates):
    return np.zeros((len(candidates), 2))

def ragged(requests, candidates):
    return [[1], [2, 3], 4, 5, 6, 7, 8, 9]

def dictionary(requests, candidates):
    return {"a": 1.0}

def generator(requests, candidates):
    return (1.0 for _ in candidates["item_id"])

def a_set(requests, candidates):
    return set(range(len(candidates)))

def no_score(requests, candidates):
    return candidates.select("request_id", "item_id", value="item.wage")

def keys_only(requests, candidates):
    return candidates.select("request_id", "item_id")

def one_key(requests, candidates):
    return candidates.select("item_id", score="item.wage").head(3)

def unknown(requests, candidates):
    more = pl.DataFrame({"request_id": ["r1"], "item_id": ["e"], "score": [9]})
    return pl.concat([candidates.select("request_id", "item_id", score="item.wage"), more])

def repeated(requests, candidates):
    rows = candidates.select("request_id", "item_id", score="item.wage")
    return pl.concat([rows, rows.head(2)])

def integers(requests, candidates):
    return candidates.select("request_id", item_id=pl.int_range(pl.len()), score="item.wage")

def lists(requests, candidates):
    return candidates.select(pl.concat_list("request_id").alias("request_id"), "item_id", score="item.wage")

def null_keys(requests, candidates):
    return candidates.select("request_id", pl.lit(None, dtype=pl.String).alias("item_id"), score="item.wage")

def frame_nan(requests, candidates):
    return candidates.select("request_id", "item_id", score=pl.lit(float("nan"))).reverse()

def frame_words(requests, candidates):
    return candidates.select("request_id", "item_id", score=pl.lit("good"))

def pandas_twice(requests, candidates):
    frame = candidates.to_pandas()[["request_id", "item_id", "item.wage", "item.wage"]]
    frame.columns = ["request_id", "item_id", "score", "score"]
    return frame

def pandas_index(requests, candidates):
    return candidates.to_pandas().set_index(["request_id", "item_id"])[["item.wage"]]

def lazy(requests, candidates):
    return candidates.lazy().select("nope")

def one_argument(frame):
    return frame

def four(a, b, c, d):
    return a

def no_column(requests, candidates):
    return candidates["item.wge"]

class Strange:
    def __array__(self, *args, **kwargs):
        raise RuntimeError("no array today")

def strange(requests, candidates):
    return Strange()

async def later(requests, candidates):
    return candidates["item.wage"]

class Panic(BaseException):  # as Polars has one
    pass

def panics(requests, candidates):
    raise Panic("out of order")

class Half:
    def __dataframe__(self, *args, **kwargs):
        raise RuntimeError("no frame today")

    columns = ["score"]

def half(requests, candidates):
    return Half()
"""


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("raises", ("ValueError: no model", "shop.py:")),
        ("nothing_said", ("AssertionError", "shop.py:")),
        ("divides", ("ZeroDivisionError", "shop.py:")),
        ("exits", ("SystemExit: enough", "shop.py:")),
        ("exits_well", ("SystemExit: 0", "shop.py:")),
        ("none", ("expected one number a candidate",)),
        ("text", ("expected one number a candidate",)),
        ("scalar", ("expected one number a candidate",)),
        ("empty", ("0 scores for 8 candidates; expected one for each row",)),
        ("short", ("7 scores for 8 candidates; expected one for each row",)),
        ("long", ("2,000,000 scores for 8 candidates",)),
        ("nan", ("2 of 8 scores are null or NaN, such as request_id=r1, item_id=b", "left out of a frame")),
        ("null", ("1 of 8 scores are null or NaN, such as request_id=r1, item_id=b",)),
        ("list_null", ("1 of 8 scores are null or NaN",)),
        ("nothing_but_nulls", ("8 of 8 scores are null or NaN",)),
        ("strings", ("expected numbers as scores, found",)),
        ("mixed", ("scores",)),
        ("booleans", ("expected numbers as scores, found Boolean",)),
        ("complex_", ("scores",)),
        ("times", ("scores",)),
        ("big", ("scores",)),
        ("table", ("expected one number a candidate", "(8, 2)")),
        ("ragged", ("scores",)),
        ("dictionary", ("expected one number a candidate",)),
        ("generator", ("expected one number a candidate",)),
        ("a_set", ("expected one number a candidate",)),
        ("no_score", ("the frame has no column `score`; found: request_id, item_id, value",)),
        ("keys_only", ("the frame has no column `score`",)),
        ("one_key", ("3 scores for 8 candidates",)),
        ("unknown", ("1 of 9 rows are none that it was given", "request_id=r1, item_id=e")),
        ("repeated", ("2 rows are repeated, such as request_id=r1, item_id=a",)),
        ("integers", ("8 of 8 rows are none that it was given",)),
        ("lists", ("request_id",)),
        ("null_keys", ("8 of 8 rows are none that it was given",)),
        ("frame_nan", ("8 of 8 scores are null or NaN, such as request_id=r3, item_id=e",)),
        ("frame_words", ("expected numbers as scores, found String",)),
        ("pandas_twice", ("cannot be read as a frame", "column names")),
        ("pandas_index", ("the frame has no column `score`",)),
        ("lazy", ("ColumnNotFoundError",)),
        ("one_argument", ("TypeError",)),
        ("four", ("TypeError",)),
        ("no_column", ("item.wge", "shop.py:")),
        ("strange", ("no array today",)),
        ("later", ("expected one number a candidate",)),
        ("half", ("cannot be read as a frame",)),
        ("panics", ("Panic: out of order", "shop.py:")),
        ("number", ("is no function",)),
        ("scorign", ("the module `shop` has no `scorign`; did you mean `scoring`?",)),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_bad_models(shop: Shop, function: str, said: tuple[str, ...]) -> None:
    shop.module(BAD_MODELS).variant(python=f"shop:{function}")
    told = shop.refused(f"`shop:{function}`", *said)
    assert len(told.splitlines()) <= 3, told


@pytest.mark.parametrize("function", ["raises", "nan", "none", "unknown", "number", "scorign"])
def test_a_bad_model_is_blamed_where_it_is_named(shop: Shop, function: str) -> None:
    shop.module(BAD_MODELS).variant(python=f"shop:{function}")
    shop.refused("study.yaml:", "variants.new", f"`shop:{function}`")


def test_a_bad_model_in_another_process(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rankcast.study, "SHARD_ROWS", 1)
    shop.module(BAD_MODELS).variant(python="shop:exits")
    shop.refused("`shop:exits`", "SystemExit: enough", more=("--processes", "2"))


def test_a_refused_model_can_be_mended(shop: Shop) -> None:
    shop.module(BAD_MODELS).variant(python="shop:raises").refused("ValueError")
    shop.variant(python="shop:scoring").done()
    assert shop.slates("new") == {"r1": "dcba", "r2": "cba", "r3": "e"}


def test_a_model_may_print(shop: Shop) -> None:
    shop.module("def f(requests, candidates):\n    print('hello')\n    return candidates['item.wage']\n")
    outcome = shop.variant(python="shop:f").run("--json")
    assert outcome.code in ANSWERED
    assert "results" in json.loads(outcome.out)  # standard output is the result's


def test_what_a_model_does_to_its_frames_stays_there(shop: Shop) -> None:
    shop.module(
        "def f(requests, candidates):\n"
        "    candidates['item.wage'][0] = 99\n"
        "    candidates.drop_in_place('item.wage')\n"
        "    return range(len(candidates))\n"
    )
    shop.variant(python="shop:f").world.study("variants", "then", to={"builtin": "random"})
    shop.steps({"rerank": {"sql": "item.wage"}}).done()
    assert shop.slates("new") == shop.slates() == {"r1": "dcba", "r2": "cba", "r3": "e"}


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("x", 'expected a function such as myshop.models:score, found "x"'),
        ("a.b", 'expected a function such as myshop.models:score, found "a.b"'),
        (":f", "expected a function"),
        ("shop:", "expected a function"),
        ("shop:f()", "expected a function"),
        ("shop.py:f g", "expected a function"),
        ("shop:f\n", "expected a function"),
        (7, "expected"),
        (1.5, "expected"),
        (True, "expected"),
        (["shop:f"], "expected"),
        ({}, "variants.new.python.function: this key is required and is missing"),
        ({"function": 7}, "expected text, found 7"),
        ({"function": "x"}, "expected a function"),
        ({"function": "shop:wage", "read": "x"}, "unknown key `read`; did you mean `reads`?"),
        ({"functoin": "shop:wage"}, "unknown key `functoin`; did you mean `function`?"),
    ],
    ids=repr,
)
def test_word_of_a_model(shop: Shop, way: object, said: str) -> None:
    shop.module(MODELS).variant(python=way).refused("study.yaml:", "variants.new", said, data=False)
