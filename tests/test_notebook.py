"""What runs, scores and comparisons show of themselves in a notebook."""

from __future__ import annotations

import dataclasses
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

import rankcast
from browsing import Visit
from rankcast.progress import Progress
from rankcast.runs.folder import Run
from rankcast.study import run as run_study
from rankcast.text import change, number, p_value, relative_interval, signed
from tiny import World

HOSTILE = "<script>alert(1)</script>"
SLATES = {f"q{at}": {"a": 3.0, "b": 2.0, f"c{at % 3}": 1.0} for at in range(30)}
OTHER = {f"q{at}": {"b": 3.0, "a": 2.0, f"c{at % 5}": 1.0} for at in range(28)}
LABELS = {f"q{at}": {"a": at % 2, "b": 1, "c1": 2} for at in range(30)}
METRICS = ["ndcg@10", "rr@10", "recall@2", "precision@2"]


class Table:
    """A display, parsed strictly."""

    def __init__(self, html: str) -> None:
        self.tree = ET.fromstring(f"<div>{html}</div>")
        self.tags = {one.tag for one in self.tree.iter()}
        (table,) = self.tree.iter("table")
        self.head = ["".join(one.itertext()) for one in table.iter("th")]
        self.rows = [["".join(one.itertext()) for one in row] for row in table.find("tbody") or ()]
        self.notes = ["".join(one.itertext()) for one in self.tree.iter("p")]

    def column(self, name: str) -> list[str]:
        at = self.head.index(name)
        return [row[at] for row in self.rows]


def shown(value: Any) -> Table:
    table = Table(value._repr_html_())
    assert table.tags <= {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td"}
    assert all(len(row) == len(table.head) for row in table.rows)
    return table


@pytest.fixture(scope="module")
def pair(demo: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two runs of the demo, whose seeds differ: the second against the first."""
    study = demo.folder / "studies" / "shown.yaml"
    text = demo.study("two-tower").read_text(encoding="utf-8")
    study.write_text(text.replace("study: two-tower", "study: shown"), encoding="utf-8")
    second = run_study(study, tmp_path_factory.mktemp("shown"), Progress())
    study.unlink()
    return rankcast.compare(second, demo.run, anyway=True)


@pytest.fixture(scope="module")
def scores() -> Any:
    return rankcast.score(SLATES, LABELS, METRICS)


def test_a_run_holds_the_numbers_of_its_result(demo: Any) -> None:
    table = shown(demo.run)
    told = json.loads((demo.run.folder / "result.json").read_text(encoding="utf-8"))
    rows = [row for row in told["results"]["comparisons"] if row["segment"] is None]
    assert len(table.rows) == len(rows) > 5
    assert table.column("variant") == [row["variant"] for row in rows]
    assert table.column("metric") == [row["metric"] for row in rows]
    assert table.column("baseline") == [number(row["baseline_value"]) for row in rows]
    assert table.column("p adjusted") == [p_value(row["p_adjusted"]) for row in rows]
    for cell, row in zip(table.column("difference"), rows, strict=True):
        digits = cell.replace("−", "-").replace("+", "").replace(" %", "")
        wanted, scale = (row["difference"], 1) if row["relative"] is None else (row["relative"], 100)
        assert float(digits) / scale == pytest.approx(wanted, abs=0.5e-4), row["metric"]
    for cell, row in zip(table.column("verdict"), rows, strict=True):
        assert cell == (row["verdict"] or "too few users")
    notes = " ".join(table.notes)
    for name, one in told["decision"].items():
        assert f"{name}: {one['decision']}. {one['because']}" in notes
    fired = [one for one in told["findings"] if one["status"] == "fired"]
    assert [one["rule"] for one in fired if one["evidence"] not in notes] == []
    assert str(demo.run.report) in notes


def test_two_runs(pair: Any) -> None:
    table = shown(pair)
    assert len(table.rows) == len(pair.rows) > 3
    for cells, row in zip(table.rows, pair.rows, strict=True):
        wanted = [
            row.variant,
            row.baseline,
            row.metric,
            number(row.baseline_value),
            change(row),
            relative_interval(row),
        ]
        assert cells[:6] == wanted
    assert pair.first in table.notes[0]
    assert pair.second in table.notes[0]
    assert f"{pair.requests:,} requests" in table.notes[0]
    assert [one for one in pair.differs if not any(one in note for note in table.notes)] == []
    assert [one for one in pair.left_out if not any(one in note for note in table.notes)] == [], (
        "metrics left out, unsaid"
    )


def test_scores(scores: Any) -> None:
    table = shown(scores)
    assert table.column("metric") == METRICS
    for cells, one in zip(table.rows, scores.scores.values(), strict=True):
        assert cells[1] == number(one.value)
        assert cells[3] == f"{one.n_requests:,}"
    assert [note for note in scores.notes if note not in table.notes] == []
    assert "95 % interval" in table.head


def test_a_comparison(scores: Any) -> None:
    compared = rankcast.compare(scores, rankcast.score(OTHER, LABELS, METRICS), confidence=0.9)
    table = shown(compared)
    assert "90 % interval" in table.head
    assert table.column("metric") == [row.metric for row in compared.rows]
    assert table.column("baseline") == [number(row.baseline_value) for row in compared.rows]
    assert table.column("difference") == [signed(row.difference) for row in compared.rows]
    assert "None" not in [cell for row in table.rows for cell in row]


def test_a_comparison_of_too_few_says_so() -> None:
    """Where there is no verdict, no cell reads None."""
    few = [
        rankcast.score({"q": one}, {"q": {"a": 1}}, ["rr@10", "ndcg@10"]) for one in ({"a": 1.0}, {"b": 2.0, "a": 1.0})
    ]
    compared = rankcast.compare(*few)
    table = shown(compared)
    assert table.column("verdict") == [row.verdict or "too few users" for row in compared.rows]
    assert "None" not in [cell for row in table.rows for cell in row]


def test_hostile_names_and_reasons_are_text(tmp_path: Path, demo: Any, pair: Any) -> None:
    world = World(tmp_path / "<b>&\"'")
    variants = dict(world.study_document["variants"])
    world.study("variants", to={f"{HOSTILE}&amp;": variants.pop("new"), **variants}).study("segments", to=[])
    assert world.write().run().code in (0, 3, 4, 5)
    (found,) = world.folder.glob("runs/*/*/result.json")
    table = shown(Run(found.parent))
    assert f"{HOSTILE}&amp;" in table.column("variant")
    assert any(note.startswith(f"{HOSTILE}&amp;: ") for note in table.notes)
    assert any(str(found.parent) in note for note in table.notes)
    changed = dataclasses.replace(pair, first=HOSTILE, differs=(HOSTILE, "a & b"))
    assert f"differs beyond the treatment: {HOSTILE}" in shown(changed).notes


def test_control_characters_do_not_break_it(scores: Any) -> None:
    """Text of data may hold what no document may."""
    shown(dataclasses.replace(scores, notes=("a\x00b\x1b[31mc\ufffed",)))


def test_nothing_to_decide(tmp_path: Path) -> None:
    world = World(tmp_path).study("variants", "new", to={"builtin": "random"})
    assert world.write().run().code == 0
    (found,) = tmp_path.glob("runs/*/*/result.json")
    assert "nothing to decide" in shown(Run(found.parent)).notes[0]


def formatted(value: Any) -> str | None:
    """As IPython's own formatter would, where it is installed."""
    pytest.importorskip("IPython")
    from IPython.core.formatters import HTMLFormatter

    answer: str | None = HTMLFormatter()(value)
    return answer


def test_through_the_formatter(demo: Any, scores: Any, pair: Any) -> None:
    for value in (demo.run, scores, pair):
        assert formatted(value) == value._repr_html_()


def test_a_notebook_runs(demo: Any, tmp_path: Path) -> None:
    pytest.importorskip("ipykernel")
    client, formats = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    book = formats.v4.new_notebook()
    book.cells = [
        formats.v4.new_code_cell(f"import rankcast\nrankcast.Run(__import__('pathlib').Path({str(demo.run.folder)!r}))")
    ]
    client.NotebookClient(book, timeout=120).execute()
    (output,) = book.cells[0].outputs
    assert output.data["text/html"] == demo.run._repr_html_()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser(browser: Any, demo: Any, pair: Any, scores: Any, tmp_path: Path, scheme: Any) -> None:
    """As a page shows it: every table is there, whole and quiet."""
    values = (demo.run, pair, scores, rankcast.compare(scores, rankcast.score(OTHER, LABELS, METRICS)))
    page = tmp_path / "cells.html"
    cells = "".join(f"<section>{one._repr_html_()}</section>" for one in values)
    page.write_text(f"<!doctype html><meta charset=utf-8><title>cells</title>{cells}", encoding="utf-8")
    with Visit(browser, page, color_scheme=scheme) as visit:
        assert visit.page.locator("table").count() == len(values)
        for at, value in enumerate(values):
            assert visit.page.locator("section").nth(at).locator("tbody tr").count() == len(shown(value).rows)
        visit.assert_quiet()


@pytest.mark.parametrize("name", ["Run", "Comparison", "Scores"])
def test_the_classes_show_themselves(name: str) -> None:
    assert callable(getattr(rankcast, name)._repr_html_)
