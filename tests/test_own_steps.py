"""Steps of the team's own: functions, and classes that a distribution brings."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import polars as pl
import pytest

from own_code import ANSWERED, BAD_STEPS, Shop, as_is
from rankcast.plugins import STEPS, names
from tiny import Outcome, assert_refused
from tiny import rankcast as command

# --- python, as a step ---


GOOD_STEPS = """
def same(frame):
    return frame

def backwards(frame):
    return frame.reverse().select("item_id", "request_id")

def pandas_backwards(frame):
    return frame.to_pandas().iloc[::-1][["request_id", "item_id"]]

def arrow_backwards(frame):
    return frame.reverse().to_arrow()

def lazy_backwards(frame):
    return frame.lazy().reverse()

def second(frame):
    return frame.filter(pl.col("rank") != 2)

def nothing(frame):
    return frame.head(0)

def scored(frame):
    return frame.select("request_id", "item_id", score=pl.col("item.wage"))

def first_last(frame):
    return frame.filter(pl.col("rank") < 4).sort(pl.col("rank") == 1, maintain_order=True)

class Late:
    def __call__(self, frame):
        return frame.filter(pl.col("item.premium").is_not_null())

late = Late()

def seen(frame):
    assert frame.columns == [
        "request_id", "user_id", "timestamp", "item_id", "rank", "score", "request.surface", "request.wanted",
        "request.bot", "request.page", "item.kind", "item.wage", "item.premium", "user.tenure",
    ], frame.columns
    if len(frame) == 8:  # it is asked again about some requests, for fidelity
        assert frame["rank"].to_list() == [1, 2, 3, 4, 1, 2, 3, 1]
        assert frame["score"].to_list() == [5, 4, 3, 2, 2, 2, 1, 1]
    assert frame.schema["timestamp"] == pl.Datetime("us", "UTC")
    return frame
"""


@pytest.mark.parametrize(
    ("function", "slates", "counts"),
    [
        ("same", ("abcd", "abc", "e"), {}),
        ("seen", ("abcd", "abc", "e"), {}),
        ("backwards", ("dcba", "cba", "e"), {"reordered": 2}),
        ("pandas_backwards", ("dcba", "cba", "e"), {"reordered": 2}),
        ("arrow_backwards", ("dcba", "cba", "e"), {"reordered": 2}),
        ("lazy_backwards", ("dcba", "cba", "e"), {"reordered": 2}),
        ("second", ("acd", "ac", "e"), {"removed": 2, "requests": 2}),
        ("first_last", ("bca", "bca", "e"), {"removed": 1, "requests": 1, "reordered": 2}),
        ("late", ("abcd", "abc"), {"removed": 1, "requests": 1, "emptied": 1}),
        ("scored", ("abcd", "abc", "e"), {}),
        ("nothing", (), {"removed": 8, "requests": 3, "emptied": 3}),
    ],
)
def test_python_step(shop: Shop, function: str, slates: tuple[str, ...], counts: dict[str, int]) -> None:
    shop.module(GOOD_STEPS).steps({"python": f"shop:{function}"}).done()
    assert shop.slates() == dict(zip(("r1", "r2", "r3"), slates, strict=False))
    assert shop.step("python") == as_is(**counts)
    if function == "scored":
        assert shop.scores()["r1"] == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("adds", ("1 of 9 rows are none that it was given", "request_id=r1, item_id=e", "`pin`")),
        ("repeats", ("8 rows are repeated", "request_id=r1, item_id=a")),
        ("drops_keys", ("no column `request_id`", "found: item_id, score")),
        ("pandas_index", ("no column `request_id`",)),
        ("none", ("expected a frame with request_id and item_id, found NoneType",)),
        ("text", ("expected a frame with request_id and item_id, found str",)),
        ("items", ("expected a frame with request_id and item_id, found list",)),
        ("series", ("expected a frame with request_id and item_id, found Series",)),
        ("raises", ("KeyError", "shop.py:")),
        ("exits", ("SystemExit: 3", "shop.py:")),
        ("words", ("expected numbers as scores, found String",)),
        ("numbers", ("rows are none that it was given",)),
        ("nulls", ("rows are none that it was given",)),
        ("lists", ("item_id",)),
        ("no_argument", ("TypeError",)),
        ("three", ("TypeError",)),
        ("lazy", ("ColumnNotFoundError", "nope")),
        ("no_generator", ("AttributeError", "no_such_thing")),
        ("number", ("is no function",)),
        ("raise_", ("the module `shop` has no `raise_`; did you mean `raises`?",)),
    ],
)
def test_python_step_refused(shop: Shop, function: str, said: tuple[str, ...]) -> None:
    shop.module(BAD_STEPS).steps("available", {"python": f"shop:{function}"})
    shop.world.table("availability", lambda one: one.with_columns(close_at=pl.lit(None, dtype=pl.String)))
    shop.refused("service.yaml:", "production.steps[1]", f"`shop:{function}`", *said)


@pytest.mark.parametrize(
    "word",
    [
        "x",
        "a.b",
        "shop:f\n",
        ":f",
        "shop:",
        "shop:f()",
        "shop:a.b",
        "7",
        7,
        1.5,
        None,
        True,
        ["shop:f"],
        {"function": "shop:f"},
    ],
)
def test_word_of_a_step(shop: Shop, word: object) -> None:
    shop.steps({"python": word})
    shop.refused(
        "service.yaml:", "production.steps[0]", "expected a function such as `myshop.serving:diversify`, found"
    )


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import nowhere_at_all\n", "nowhere_at_all"),
        ("raise RuntimeError('closed today')\n", "closed today"),
        ("import sys\nsys.exit(0)\n", "SystemExit"),
        ("def f(:\n", "SyntaxError"),
        ("\x00", "cannot import `shop`"),
    ],
)
@pytest.mark.parametrize("way", ["step", "variant"])
def test_a_module_that_cannot_be_imported(shop: Shop, way: str, code: str, said: str) -> None:
    shop.module(code)
    if way == "step":
        shop.steps({"python": "shop:f"}).refused("service.yaml:", "production.steps[0]", "`shop:f`", said)
    else:
        shop.variant(python="shop:f").refused("study.yaml:", "variants.new", "`shop:f`", said)


def test_no_such_module(shop: Shop) -> None:
    shop.steps({"python": "nowhere.at_all:f"})
    shop.refused("service.yaml:", "production.steps[0]", "cannot import `nowhere.at_all`", "No module named 'nowhere'")


def test_two_python_steps_have_two_names(shop: Shop) -> None:
    shop.module(GOOD_STEPS).steps(
        {"python": "shop:second"}, {"python": "shop:backwards"}, {"python": "shop:same", "name": "last"}
    ).done()
    assert [row["step"] for row in shop.result()["steps"]] == ["python", "python-2", "last", "served"]
    assert shop.step("python-2") == as_is(reordered=2) | {"in": 6}


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"cap": {"by": "item.kind", "atmost": 1}}, "unknown key `atmost`; did you mean `at_most`?"),
        ({"cap": {"by": "item.kind", "at_most": 1, "most": 2}}, "unknown key `most`"),
        ({"rerank": {"sq": "score"}}, "unknown key `sq`; did you mean `sql`?"),
        ({"rerank": {}}, "key `sql` is missing"),
        ({"rerank": "score"}, "expected keys such as"),
        ({"reranc": {"sql": "score"}}, "unknown step `reranc`; did you mean `rerank`?"),
        ({"pins": {"path": "x"}}, "unknown step `pins`; did you mean `pin`?"),
        ({"pyton": "shop:f"}, "unknown step `pyton`; did you mean `python`?"),
        ({"not_seen": {"event": ["click"]}}, "unknown key `event`; did you mean `events`?"),
        ({"rerank": {"sql": "score"}, "nmae": "x"}, "expected a step such as"),
        ({"rerank": {"sql": "score"}, "name": ""}, "expected a name"),
        ({"rerank": {"sql": "score"}, "name": 7}, "expected text, found 7"),
    ],
    ids=str,
)
def test_unknown_keys_of_steps(shop: Shop, step: object, said: str) -> None:
    shop.steps(step).refused("service.yaml:", "production.steps[0]", said, data=False)


# --- What there is ---


def test_steps_are_listed() -> None:
    outcome = command("steps")
    assert outcome.code == 0
    told = [line.split(" ")[0] for line in outcome.out.splitlines()]
    assert told[:-1] == names(STEPS) == sorted(told[:-1])
    assert {"rerank", "pin", "page", "python"} <= set(told)
    pages = json.loads(command("steps", "--json").out)
    assert [page["name"] for page in pages] == names(STEPS)
    assert all("before" in page["picture"] and page["page"] for page in pages)


CAP = """\
- cap: {by: item.company, at_most: 1}

before                         after
1  a 0.90  company acme        1  a 0.90
2  b 0.80  company acme ✕      2  c 0.70
3  c 0.70  company blue        3  f 0.40
4  d 0.60  company acme ✕
5  e 0.50  company blue ✕
6  f 0.40  company coop
"""


def test_the_picture_of_cap() -> None:
    outcome = command("explain", "cap")
    assert outcome.code == 0
    assert outcome.out.endswith(CAP)


@pytest.mark.parametrize(
    ("kind", "after"),
    [
        ("available", "abcef"),
        ("cap", "acf"),
        ("match", "acdf"),
        ("not_seen", "abdef"),
        ("page", "cd"),
        ("pin", "faebcd"),
        ("python", "afedcb"),
        ("rerank", "eabcdf"),
        ("where", "acdef"),
    ],
)
def test_pictures(kind: str, after: str) -> None:
    outcome = command("explain", kind)
    assert outcome.code == 0
    head, *rows = outcome.out[outcome.out.index("\nbefore") + 1 :].splitlines()
    at = head.index("after")
    assert "".join(row[at:][3] for row in rows if row[at:]) == after
    assert [row[at:][0] for row in rows if row[at:]] == [str(rank) for rank in range(1, len(after) + 1)]
    left_out = {row[3] for row in rows if "✕" in row}
    assert left_out == set("abcdef") - set(after)
    assert max(map(len, outcome.out.splitlines())) <= 130


# --- A step of a distribution ---


DISTRIBUTION = """
from dataclasses import dataclass
from rankcast.errors import ConfigError, show

@dataclass(frozen=True)
class Every:
    '''Keeps every n-th item of a list.

    `every: 2`
    '''

    n: int
    kind = "every"
    alone = False
    has_table = False

    @classmethod
    def parse(cls, argument):
        if not isinstance(argument, int) or argument < 1:
            raise ConfigError(f"expected an integer from 1, found {show(argument)}")
        return cls(argument)

    def needs(self):
        return frozenset({"item.wage"})

    def bind(self, context):
        return lambda lists: (lists.ranks() - 1) % self.n == 0
"""


class Installed:
    """A folder that is on the path of another process, with a distribution `x` that brings a step."""

    def __init__(self, shop: Shop, code: str = DISTRIBUTION) -> None:
        self.world = shop.world
        place = shop.world.folder / "site"
        about = place / "x-1.0.dist-info"
        about.mkdir(parents=True)
        (place / "xsteps").mkdir()
        (place / "xsteps" / "__init__.py").write_text(code)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: x\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text("[rankcast.steps]\nevery = xsteps:Every\n")
        self.place = place

    def __call__(self, *arguments: str) -> Outcome:
        """`python -m rankcast`."""
        done = subprocess.run(
            [sys.executable, "-m", "rankcast", *arguments],
            cwd=self.world.folder,
            env={**os.environ, "PYTHONPATH": str(self.place), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)


def test_a_step_of_a_distribution(shop: Shop) -> None:
    installed = Installed(shop)
    shop.steps({"every": 2}).write()
    listed = installed("steps")
    assert listed.code == 0, listed.text
    assert "every      Keeps every n-th item of a list." in listed.out
    page = installed("explain", "every")
    assert page.code == 0, page.text
    assert "Keeps every n-th item of a list." in page.out
    checked = installed("check", "study.yaml")
    assert checked.code == 0, checked.text
    ran = installed("run", "study.yaml", "-q")
    assert ran.code in ANSWERED, ran.text
    assert shop.slates() == {"r1": "ac", "r2": "ac", "r3": "e"}
    assert shop.step("every") == as_is(removed=3, requests=2)


def test_arguments_and_needs_of_a_step_of_a_distribution(shop: Shop) -> None:
    installed = Installed(shop)
    shop.steps({"every": 0}, {"evry": 2}).write()
    assert_refused(installed("check", "study.yaml"), "expected an integer from 1, found 0", "did you mean `every`?")
    shop.steps({"every": 2}).world.table("items", lambda one: one.drop("wage"))
    shop.write()
    assert_refused(installed("check", "study.yaml"), "service.yaml:", "no column `wage` in the table of items")


def test_new_code_of_a_distribution_is_another_run(shop: Shop) -> None:
    installed = Installed(shop)
    shop.steps({"every": 2}).write()
    assert installed("run", "study.yaml", "-q").code in ANSWERED
    (installed.place / "xsteps" / "__init__.py").write_text(DISTRIBUTION.replace("== 0", "== 1"))
    assert installed("run", "study.yaml", "-q").code in ANSWERED
    assert len(shop.folders()) == 2


def test_a_broken_distribution(shop: Shop) -> None:
    installed = Installed(shop, "import nowhere_at_all\n")
    shop.steps({"every": 2}).write()
    assert_refused(installed("run", "study.yaml", "-q"), "service.yaml:", "every", "nowhere_at_all")
    listed = installed("steps")
    assert "bug in Rankcast" not in listed.text
    assert "nowhere_at_all" in listed.text
