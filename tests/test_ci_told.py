"""What `rankcast ci` says: exit codes, the comment, SARIF, annotations; of few studies, of many, and of unkind ones."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import jsonschema
import markdown_it
import pytest

from rankcast.report.review import MARKER, Reviewed, comment, difference_markdown
from repositories import repo, study_text, with_data
from test_ci import Workflow, ci, spy, workflow
from tiny import assert_refused
from told import SARIF, place

__all__ = ["repo", "workflow"]  # fixtures
BALANCED = ("details", "summary")


def html(text: str) -> str:
    """As GitHub's renderer makes it, about: HTML blocks pass."""
    shown: str = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).render(text)
    return shown


def tags(text: str) -> set[str]:
    """The tags of what is shown, other than a comment's own."""
    return {one.lower() for one in re.findall(r"<\s*([a-zA-Z][\w-]*)", html(text))}


OWN_TAGS = set("h2 h3 h4 p ul li table thead tbody tr th td code strong em details summary a br hr".split())  # noqa: SIM905


def assert_calm(text: str) -> None:
    """A comment that GitHub takes, in which text of the change is text."""
    assert len(text) <= 65_536
    assert text.startswith(MARKER)
    for tag in BALANCED:
        assert text.count(f"<{tag}>") == text.count(f"</{tag}>")
    assert tags(text) <= OWN_TAGS, tags(text) - OWN_TAGS
    outside_code = re.sub(r"<code>.*?</code>", "", html(text), flags=re.DOTALL)
    assert not re.search(r"(?<!\w)@\w", outside_code), "somebody is mentioned"


# ---- exit codes


def test_a_study_that_is_refused(workflow: Workflow) -> None:
    workflow.repo.mend("studies/first.yaml", "dcg@3", "zz@3")
    done = ci("--base", "main", "--sarif", "out.sarif")
    assert done.code == 2
    assert "| `studies/first.yaml` | refused | not run |" in done.out
    (result,) = json.loads(Path("out.sarif").read_text())["runs"][0]["results"]
    assert place(result)[0] == workflow.repo.root / "studies/first.yaml"


def test_a_rule_that_finds_an_error(workflow: Workflow) -> None:
    workflow.repo.mend("studies/first.yaml", "new.parquet}", "new.parquet}, trained_until: 2023-10-09")
    workflow.pull()
    done = ci("--sarif", "out.sarif")
    assert done.code == 5
    assert "not fit to run, 1 error" in done.out
    assert "::error file=studies/first.yaml,line=" in done.err
    assert "::error" not in done.out
    log = json.loads(Path("out.sarif").read_text())
    jsonschema.validate(log, SARIF)
    for result in log["runs"][0]["results"]:
        assert place(result)[0] in {workflow.repo.root / one for one in ("studies/first.yaml", "service.yaml")}
    assert ci("--run").code == 5
    assert not Path("runs").exists()  # what is not fit is not run


def test_a_deleted_study_and_nothing(workflow: Workflow) -> None:
    workflow.repo.git("rm", "--quiet", "-f", "studies/first.yaml")
    done = ci("--base", "main")
    assert (done.code, "| `studies/first.yaml` | removed | |" in done.out) == (0, True)
    workflow.repo.git("checkout", "--quiet", "-f", "main")
    done = ci("--base", "main")
    assert (done.code, "touches no study" in done.out) == (0, True)


def test_bad_options(workflow: Workflow) -> None:
    assert_refused(ci("--run", "--submit"), "--run or --submit")
    for link in ("javascript:alert(1){run}", "https://x.example/", "https://x.example/{run})[x](y"):
        assert_refused(ci("--base", "main", "--link", link), "--link")
    assert_refused(ci("/etc/hosts", "--base", "main"))
    assert_refused(ci("--base=--output=x"), "a revision")


def test_the_summary_is_added_to(workflow: Workflow) -> None:
    workflow.pull()
    workflow.summary.write_text("before\n")
    text = ci("--comment", "said.md")
    assert (text.out, text.code) == ("", 0)
    assert workflow.summary.read_text() == "before\n" + Path("said.md").read_text()


def test_from_a_subfolder(workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow.repo.mend("studies/first.yaml", "dcg@3", "zz@3")
    monkeypatch.chdir(workflow.repo.root / "studies")
    workflow.pull()
    done = ci("--sarif", "out.sarif")
    assert "`studies/first.yaml`" in done.out
    (result,) = json.loads(Path("out.sarif").read_text())["runs"][0]["results"]
    assert place(result)[0] == workflow.repo.root / "studies/first.yaml"


def test_a_service_that_changes_alone_runs_nothing(workflow: Workflow) -> None:
    for number in range(40):
        workflow.repo.write(f"studies/s{number:02}.yaml", study_text(f"s{number:02}"))
    workflow.repo.commit("before")
    workflow.repo.mend("service.yaml", "exclude", "zero")
    done = ci("--base", "HEAD", "--run")
    assert "its service changes" in done.out
    assert not Path("runs").exists()
    assert done.out.count("exclude -&gt; zero") == 1  # said once, of all
    assert_calm(done.out)


# ---- runs


@pytest.mark.slow
def test_a_run(workflow: Workflow) -> None:
    with_data(workflow.repo)
    workflow.repo.mend("studies/first.yaml", "study: first", "study: first\nwhy: '<img src=x> @everyone | `a`'")
    workflow.repo.commit()
    workflow.pull()
    done = ci("--run", "--link", "https://runs.example/{study}/{run}/report.html", "--sarif", "out.sarif")
    (folder,) = (workflow.repo.root / "runs/first").iterdir()
    decision = json.loads((folder / "result.json").read_text())["decision"]["new"]["decision"]
    assert done.code == (5 if decision == "invalid" else 0)
    assert f"new **{decision}**" in done.out
    assert f"[The full report](https://runs.example/first/{folder.name}/report.html)" in done.out
    assert "| variant | metric | role |" in done.out
    assert "treatment adds: new: step cap at\\_most 2 -&gt; 3" in done.out
    assert re.search(r"\*\*[A-Z]{2}\d\d ", done.out)
    assert_calm(done.out)
    log = json.loads(Path("out.sarif").read_text())
    jsonschema.validate(log, SARIF)
    files = {place(one)[0] for one in log["runs"][0]["results"] if "locations" in one}
    assert files <= {workflow.repo.root / one for one in ("studies/first.yaml", "service.yaml")}


@pytest.mark.slow
def test_a_run_that_fails_is_told(workflow: Workflow) -> None:
    with_data(workflow.repo)
    spy(workflow.repo)
    workflow.repo.write("spy.py", "raise RuntimeError('<b>no</b>')\n")
    workflow.repo.write("studies/good.yaml", study_text("good"))
    workflow.patch.syspath_prepend(str(workflow.repo.root))
    sys.modules.pop("spy", None)
    done = ci("--base", "main", "--run")
    assert done.code == 2
    assert "| `studies/first.yaml` | refused" in done.out
    assert "&lt;b&gt;no" in done.out
    assert re.search(r"`studies/good.yaml` \| fine.*\| new \*\*", done.out)


# ---- many, and unkind ones


@pytest.mark.slow
def test_two_hundred_studies(workflow: Workflow) -> None:
    for number in range(200):
        broken = "zz@3" if number % 7 == 0 else "dcg@3"
        workflow.repo.write(f"studies/s{number:03}.yaml", study_text(f"s{number:03}").replace("dcg@3", broken))
    done = ci("--base", "main")
    assert done.code == 2
    assert_calm(done.out)
    assert "more studies" in done.out


HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "@everyone and a\\@team",
    "&#64;everyone &lt;b&gt;",
    "`code` ``` ~~~ $x$",
    "a | b | c",
    "</details></summary><details><summary>",
    "[link](javascript:alert(1)) ![i](x)",
    "<!-- rankcast:comment -->",
    "one\n\n# two\n\n<script>x</script>\n\n| a |\n| - |",
    "x" * 65_000,
    "\u202e\u0000\x1b[31m",
    "* * *",
    "- # heading",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_unkind_text(text: str) -> None:
    change = {
        "changes": [{"kind": kind, "text": text} for kind in ("treatment", "outside", "words")],
        "treatment": [text],
    }
    one = Reviewed(
        f"studies/{text}.yaml", problems=[text], change=change, verdict={text: "go"}, note=text, report=f"## {MARKER}\n"
    )
    told = comment([one] * 3)
    assert_calm(told)
    assert html(told).count("<table>") == 1
    assert {html(told).count(f"<{tag}>") for tag in ("h1", "h3")} == {0, 1}
    (row,) = {line for line in told.splitlines() if line.startswith("| ") and "go" in line and "study" not in line}
    cells = re.split(r"(?<!\\)\|", row)
    assert len(cells) == 5, row
    plain = re.sub(r"\s+", " ", text).strip()
    if text in HOSTILE[:8]:
        shown = html(difference_markdown(change)).replace("\u200b", "").replace("<!-- -->", "")
        seen = re.sub(r"<[^>]*>", "", shown).replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"')
        seen, plain = (
            seen.replace("&amp;", "&").replace("`", ""),
            plain.replace("`", ""),
        )  # what stands between them is code
        assert seen.count(plain) == 4, seen  # text is seen as it is written


@pytest.mark.parametrize("count", [1, 3, 31, 200])
def test_long_reports_are_cut_where_they_may_be(count: int) -> None:
    rows = "".join(f"| variant {at} | x |\n" for at in range(2_000))
    table = f"| variant | metric |\n| --- | --- |\n{rows}\n"
    report = f"## first: new **go**\n\n{table}<details><summary>Steps</summary>\n\n{rows}\n</details>\n"
    told = comment([Reviewed(f"studies/{at}.yaml", report=report, verdict={"new": "go"}) for at in range(count)])
    assert_calm(told)
    assert len(re.findall(r"^\| `studies/.*new \*\*go\*\*", told, re.MULTILINE)) == min(count, 30)


def test_names_of_files_in_a_comment(workflow: Workflow) -> None:
    for name in ("a|b", "it's `so`", "<b>x", "@everyone", "求人 böden", "line\nbreak"):
        workflow.repo.write(f"studies/{name}.yaml", study_text("odd"))
    workflow.pull()
    done = ci("--sarif", "out.sarif")
    assert done.code == 0
    assert_calm(done.out)
    rows = [line for line in done.out.splitlines() if line.startswith("| ") and "fine" in line]
    assert len(rows) == 7
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} == {5}
    log = json.loads(Path("out.sarif").read_text())
    jsonschema.validate(log, SARIF)
    commands = [line for line in done.err.splitlines() if line.startswith("::")]
    assert all(re.match(r"::(error|warning|notice) file=[^:]*::", line) for line in commands)


def test_a_note_has_no_place_for_a_study_without_words() -> None:
    assert comment([]) == f"{MARKER}\n### Rankcast\n\nThis change touches no study.\n"
    told: Any = comment([Reviewed("a.yaml", gone=True)])
    assert told.splitlines()[-1] == "| `a.yaml` | removed | |"
