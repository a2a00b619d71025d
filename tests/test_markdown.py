"""report.md: exactly what it says of some runs (tests/golden), how long it is, and how it is cut."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import markdown_it
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from conftest import Demo
from rankcast.records import Finding, Result
from rankcast.report.document import Proposal, Report
from rankcast.report.markdown import cell, cell_code, markdown, prose, shrunk
from test_report_hostile import many
from tiny import World

GOLDEN = Path(__file__).parent / "golden"
MOST = 65_536


# ---- exactly


def better(folder: Path, wanted: str = "i4") -> World:
    """400 users who apply for `wanted`; production shows i1 and i2, the new variant i4 and i3."""
    world = many(folder, 400)
    tables = world.tables
    tables["scores"], tables["new"] = tables["new"], tables["scores"]
    other = pl.int_range(pl.len()) % 5 == 0
    world.table(
        "events",
        lambda events: events.with_columns(item_id=pl.when(other).then(pl.lit("i2")).otherwise(pl.lit(wanted))),
    )
    world.service("production", "served", to=2).service("labels", "attribute", to="any_request")
    world.study(
        "metrics", to={"primary": "dcg@2", "guardrails": [{"coverage@2": {"at_most_worse": "5%"}}], "also": ["hit@2"]}
    )
    return world.study("segments", to=[]).study("why", to="New | *old*: `a_b`, <b>1 < 2</b> & @all")


def worse(folder: Path) -> World:
    return better(folder, wanted="i1").study("owner", to="team").study("expect", to="+1 %")


def invalid(folder: Path) -> World:
    world = better(folder).study("fidelity", "at_least", to=0.9)
    return world.table("impressions", lambda shown: shown.with_columns(rank=4 - pl.col("rank"), item_id=pl.lit("i8")))


def nothing(folder: Path) -> World:
    world = better(folder)
    return world.study(
        "variants", to={name: world.study_document["variants"][name] for name in ("production", "popular")}
    )


def averages(folder: Path) -> World:
    world = better(folder)
    columns = [pl.col("request_id").hash(at).mod(9).cast(pl.String).alias(f"c{at}") for at in range(5)]
    world.table("requests", lambda requests: requests.with_columns(columns))
    return world.service("targets", "average", to=["request", "user", *(f"request.c{at}" for at in range(5))])


def no_impressions(folder: Path) -> World:
    world = better(folder)
    del world.service_document["tables"]["impressions"]
    return world


WORLDS: dict[str, Callable[[Path], World]] = {
    "go": better,
    "no-go": worse,
    "invalid": invalid,
    "nothing to decide": nothing,
    "many averages": averages,
    "no impressions": no_impressions,
}


def run_of(world: World) -> Path:
    """The folder of the world's run."""
    done = world.write().run()
    assert done.code != 2, done.text
    (folder,) = (world.folder / "runs" / "first").iterdir()
    return folder


def finding(rule: str, status: str, severity: str = "warning", **more: Any) -> Finding:
    told = {"name": "some-rule", "evidence": f"what {rule} saw", "remedy": f"look at `{rule}`", "moment": "result"}
    return Finding.model_validate({"rule": rule, "status": status, "severity": severity, **told, **more})


FINDINGS = (
    finding("AA01", "fired"),
    finding("AA02", "fired", "error", evidence="3 of 4 | <b> requests"),
    finding("AA03", "waived", waived="until 2099-01-01: known"),
    finding("AA04", "cannot check", evidence="no table", remedy="add it"),
    finding("AA05", "cannot check", evidence="no table", remedy="add it"),
    finding("AA06", "passed"),
    finding("AA07", "passed"),
)


def fixed(folder: Path) -> str:
    """The Markdown of a run, with the words of rules, the name, the commit and the times replaced."""
    document, manifest = (json.loads((folder / f"{name}.json").read_text()) for name in ("result", "manifest"))
    document["run"] = "0123456789ab"
    result = Result.model_validate_json(json.dumps(document)).model_copy(update={"findings": FINDINGS})
    manifest["git"] = {"commit": "c" * 40, "dirty": True}
    proposal = Proposal(("treatment adds: new: scores a | b",), ("treatment adds: new: served 3 -> 4",))
    return markdown(Report(result, manifest, cast("Any", None), proposal))


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_what_is_said(tmp_path: Path, name: str) -> None:
    """RANKCAST_WRITE_GOLDEN=1 writes the files anew: read what changed."""
    file = GOLDEN / f"{name.replace(' ', '-')}.md"
    text = fixed(run_of(WORLDS[name](tmp_path)))
    if os.environ.get("RANKCAST_WRITE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
    word = name if name in {"go", "no-go", "invalid", "nothing to decide"} else "go"
    assert word in text.splitlines()[0]


@pytest.mark.parametrize("name", [name.replace(" ", "-") for name in WORLDS])
def test_the_golden_files_are_sound(name: str) -> None:
    """Decision first, one shape of tables, no tags but the folds, at most a screen or two."""
    text = (GOLDEN / f"{name}.md").read_text(encoding="utf-8")
    assert text.startswith("## first: ")
    assert text.endswith("\n")
    assert balanced(text)
    assert not ragged(text)
    assert {*re.findall(r"<\s*(/?\w+)", shown(text))} <= OWN | {f"/{one}" for one in OWN}
    assert "None" not in text
    assert "nan" not in text.lower().split()
    assert len(visible(text)) <= 60


OWN = {"h2", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "code", "strong", "details", "summary"}


def shown(text: str) -> str:
    rendered: str = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).render(text)
    return rendered


def visible(text: str) -> list[str]:
    """Lines outside of what is folded."""
    while (less := re.sub(r"<details>(?:(?!<details>).)*?</details>", "", text, flags=re.DOTALL)) != text:
        text = less
    return [line for line in text.splitlines() if line.strip()]


def balanced(text: str) -> bool:
    """Whether every fold ends, and none ends twice."""
    depth = 0
    for tag in re.findall(r"</?details>", text):
        depth += 1 if tag == "<details>" else -1
        if depth < 0:
            return False
    return depth == 0


def ragged(text: str) -> list[str]:
    """Rows whose number of cells is not that of their table."""
    found, cells = [], None
    for line in text.splitlines():
        if not line.startswith("|"):
            cells = None
            continue
        number = len(re.findall(r"(?<!\\)\|", line))
        cells = number if cells is None else cells
        if number != cells or not line.endswith("|"):
            found.append(line)
    return found


def test_the_report_of_the_demo_fits_a_screen(demo: Demo) -> None:
    text = (demo.run.folder / "report.md").read_text(encoding="utf-8")
    assert len(visible(text)) <= 60
    assert len(text) <= 12_000
    assert balanced(text)
    assert ragged(text) == []


@pytest.mark.slow
def test_pipes_in_what_the_files_say(tmp_path: Path) -> None:
    """Text of a WHERE, of names, of ids: all in tables."""
    world = better(tmp_path).service("targets", "where", to="request.surface || 'x|y' <> '@all <b>'")
    world.service("production", "steps", to=[{"where": "item.item_id || '|' <> '|'", "name": "a|b `c` <i>"}])
    variants = world.study_document["variants"]
    variants["new | *x* @all"] = variants.pop("new")
    text = (run_of(world) / "report.md").read_text(encoding="utf-8")
    assert ragged(text) == []
    assert balanced(text)
    assert {*re.findall(r"<\s*(/?\w+)", shown(text))} <= OWN | {f"/{one}" for one in OWN}


# ---- cut

LETTERS = st.characters(codec="utf-8", exclude_characters="|<>\n\r`", exclude_categories=["Cc", "Cs", "Zl", "Zp"])
WORDS = st.text(LETTERS, max_size=60)
HEADER = "| a | b |\n| --- | --- |\n"
ROW = st.builds("| {} | {} |\n".format, WORDS, WORDS)
TABLE = st.builds(lambda rows: f"\n{HEADER}{''.join(rows)}\n", st.lists(ROW, max_size=30))
BLOCK = st.one_of(st.builds("- {}\n".format, WORDS), TABLE)
BODY = st.builds("".join, st.lists(BLOCK, max_size=4))
FOLDED = "<details><summary>{}</summary>\n\n{}\n</details>\n\n".format
FOLD = st.recursive(
    st.builds(FOLDED, st.sampled_from(["Steps", "Rules", "Targets"]), BODY),
    lambda inner: st.builds("<details><summary>The run</summary>\n\n{}{}\n</details>\n\n".format, BODY, inner),
    max_leaves=3,
)
REPORT = st.builds(
    lambda parts: "## first: new **no-go**\n" + "".join(parts), st.lists(st.one_of(BLOCK, FOLD), max_size=8)
)
LIMIT = st.integers(min_value=200, max_value=4_000)


@given(REPORT, LIMIT)
@example("## first: new **no-go**\n" + HEADER + "| x | y |\n" * 400, 200)
@example("## first: new **no-go**\n" + HEADER + f"| {'x' * 80} | y |\n" * 3, 200)
@example("## first: new **no-go**\n" + "long " * 200, 200)
def test_what_is_shrunk(text: str, most: int) -> None:
    cut = shrunk(text, most)
    assert len(cut) <= most
    assert cut.startswith("## first: new **no-go**")
    assert balanced(cut)
    if len(text) <= most:
        assert cut == text
    if not any(len(line) > most // 2 for line in text.splitlines()):
        assert ragged(cut) == [], "a row was cut"


@given(st.integers(min_value=0, max_value=200))
def test_never_longer_even_if_there_is_no_room(most: int) -> None:
    assert len(shrunk("## first: new **no-go**\n" + "- x\n" * 200, most)) <= most


@given(REPORT, LIMIT)
@example("## first: new **no-go**\n" + HEADER + "| x | y |\n" * 400, 200)
def test_what_is_left_out_is_said(text: str, most: int) -> None:
    """Rows that are gone are said to be gone, as folds are."""
    cut = shrunk(text, most)
    lost = len([one for one in text.splitlines() if one.startswith("|")]) > len(
        [one for one in cut.splitlines() if one.startswith("|")]
    )
    if lost:
        assert "Left out for its length" in cut or "cut here" in cut or re.search(r"\bmore\b", cut)


def test_the_last_fold_goes_first() -> None:
    folds = "".join(f"<details><summary>{name}</summary>\n\n{'x' * 300}\n</details>\n\n" for name in ("A", "B", "C"))
    text = f"verdict\n\n{folds}"
    assert "Left out for its length: C.\n" in shrunk(text, len(text) - 1)
    assert shrunk(text, 400).endswith("Left out for its length: B, C.\n")
    assert shrunk(text, 100) == "verdict\n\nLeft out for its length: A, B, C.\n"


@pytest.mark.slow
def test_a_report_of_megabytes_is_cut_soon() -> None:
    folds = "".join(f"<details><summary>{at}</summary>\n\n{'| x | y |' * 3000}\n</details>\n\n" for at in range(300))
    assert len(shrunk(f"verdict\n\n{folds}", MOST)) <= MOST


# ---- text of the data


@given(st.text(max_size=200))
@example("# heading")
@example("- bullet")
@example("1. first")
@example("&lt;b&gt; &#64;all")
@example("\\| \\\\|")
@example("求人@all é@all (@all) -@all")
def test_text_is_shown_as_it_is(text: str) -> None:
    """In a cell and in a bullet: no markup, no line break, and nothing that mentions somebody."""
    for page in (f"| a | b |\n| --- | --- |\n| {cell(text)} | end |\n", f"- {prose(text)} end\n"):
        rendered = shown(page).replace("<!-- -->", "").replace("\u200b", "")
        assert {*re.findall(r"<\s*/?(\w+)", rendered)} <= {"table", "thead", "tbody", "tr", "th", "td", "ul", "li"}, (
            rendered
        )
        assert "end" in rendered
        assert not re.search(r"(?<![A-Za-z0-9_])@[A-Za-z0-9]", shown(page)), page  # GitHub's letters are those of ASCII


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100).filter(str.strip))
@example("a | b")
@example("``` ` ``")
@example("x\\")
def test_code_is_code_in_a_table_too(text: str) -> None:
    row = f"| a | b |\n| --- | --- |\n| {cell_code(text)} | end |\n".replace("\x00", "\ufffd")
    rendered = shown(row)
    assert rendered.count("<code>") == 1, rendered
    assert "<td>end</td>" in rendered, rendered
