"""The walk of a new user: from bare data files to a reviewed pull request, with the seconds that each step takes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from browsing import Visit
from test_serve import Server, Tab

pytestmark = [pytest.mark.slow, pytest.mark.browser]

THEIRS = {"user_id": "member_id", "item_id": "post_id", "request_id": "pageview_id"}
FILES = {
    "requests": ("logs/pageviews.parquet", {}),
    "impressions": ("logs/shown.csv", {"rank": "position"}),
    "events": ("logs/actions.parquet", {"timestamp": "happened_at", "event": "action"}),
    "items": ("logs/posts.parquet", {}),
    "availability": ("logs/open_posts.parquet", {"open_at": "published_at", "close_at": "expires_at"}),
    "users": ("logs/members.parquet", {}),
    "scores/production": ("models/production.parquet", {"score": "prediction", "computed_at": "scored_at"}),
    "scores/two_tower": ("models/two_tower.parquet", {"score": "prediction", "computed_at": "scored_at"}),
}
STEPS = """  steps:
    - match: {request.job_type: item.job_type}
    - match: {request.employment: item.employment}
    - available
    - not_seen: {events: [apply], within: 365d}
    - where: "NOT item.is_test"
    - cap: {by: item.company_id, at_most: 2}
"""
MENDED = (
    ("timezone: UTC ", "timezone: Asia/Tokyo "),
    ("  steps:\n    - available\n", STEPS),
    ("click: 1, apply: 1, bookmark: 1", "click: 1, bookmark: 2, apply: 4"),
    ("attribute: request_id", "attribute: last_request"),
    ("targets:\n", "targets:\n  where: \"request.surface = 'home' AND NOT request.is_bot\"\n"),
)
PROPOSED = (
    ("study: my-idea", "study: two-towers"),
    ("owner: my-team", "owner: feed-team"),
    (
        "What is wrong today, and why should this change mend it?",
        "Cold users get popular posts only. Two towers know them.",
    ),
    ("to: 2023-10-09}", "to: 2023-10-16}"),
    ("guardrails: [empty]  ", "guardrails: [coverage@10, empty]  "),
    ("# segments: [user.tenure] ", "segments: [user.tenure] "),
)


@dataclass
class Walk:
    """Steps in order, each with its seconds; what they show is kept where RANKCAST_CAPTURE says."""

    folder: Path
    seconds: list[tuple[str, float]] = field(default_factory=list)
    kept: int = 0

    def place(self, name: str) -> Path | None:
        where = os.environ.get("RANKCAST_CAPTURE")
        if not where:
            return None
        Path(where).mkdir(parents=True, exist_ok=True)
        self.kept += 1
        return Path(where) / f"{self.kept:02}-{name}"

    def keep(self, name: str, text: str) -> None:
        place = self.place(name)
        if place is not None:
            place.write_text(text, encoding="utf-8")

    def picture(self, name: str, visit: Visit, whole: bool = False) -> None:
        place = self.place(f"{name}.png")
        if place is not None:
            visit.page.screenshot(path=str(place), full_page=whole)

    def step(self, name: str, *command: str, codes: tuple[int, ...] = (0,)) -> str:
        """A command in the repository; everything that it says."""
        begun = time.monotonic()
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=300, env=environment()
        )
        self.seconds.append((name, time.monotonic() - begun))
        shown = " ".join(command).replace(f"{sys.executable} -m rankcast", "rankcast")
        self.keep(f"{name}.txt", f"$ {shown}\n{done.stdout}--- stderr\n{done.stderr}--- exit {done.returncode}\n")
        assert done.returncode in codes, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert "bug in Rankcast" not in done.stderr
        return done.stdout + done.stderr

    def rankcast(self, name: str, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        return self.step(name, sys.executable, "-m", "rankcast", *arguments, codes=codes)

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True, env=environment())

    def mend(self, name: str, changes: tuple[tuple[str, str], ...], to: str | None = None) -> None:
        """Edit a file, as a person would."""
        text = (self.folder / name).read_text(encoding="utf-8")
        for before, after in changes:
            assert before in text, f"{before!r} is not in {name}:\n{text}"
            text = text.replace(before, after, 1)
        (self.folder / (to or name)).write_text(text, encoding="utf-8")
        self.keep(Path(to or name).name, text)

    def timed(self, name: str) -> Timed:
        return Timed(self, name)


@dataclass
class Timed:
    """The seconds of a block."""

    walk: Walk
    name: str
    begun: float = 0.0

    def __enter__(self) -> None:
        self.begun = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.walk.seconds.append((self.name, time.monotonic() - self.begun))


def environment() -> dict[str, str]:
    told = {key: value for key, value in os.environ.items() if not key.startswith(("GITHUB_", "GIT_"))}
    who = {"NAME": "A User", "EMAIL": "user@example.com"}
    return {**told, **{f"GIT_{role}_{key}": one for role in ("AUTHOR", "COMMITTER") for key, one in who.items()}}


def write_logs(data: Path, folder: Path) -> None:
    """The files of a team: other folders, other names of files and columns, one of them csv."""
    for name, (path, renamed) in FILES.items():
        frame = pl.read_parquet(data / f"{name}.parquet")
        frame = frame.rename({ours: theirs for ours, theirs in {**THEIRS, **renamed}.items() if ours in frame.columns})
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        frame.write_csv(place) if place.suffix == ".csv" else frame.write_parquet(place)


def look_at_report(walk: Walk, browser: Any, report: Path) -> None:
    with Visit(browser, report) as visit:
        walk.picture("report-first-screen", visit)
        told = visit.text("[aria-label='Decision']")
        assert "two_tower: " in told
        assert "Two towers know them" in told
        some = visit.page.locator("#requests button > bdi").first.inner_text()
        visit.page.locator("#find").fill(some)
        assert visit.page.locator("#requests button > bdi").all_inner_texts() == [some]
        visit.page.locator("#find").scroll_into_view_if_needed()
        walk.picture("report-lists", visit)
        visit.assert_quiet()
        walk.picture("report-whole", visit, whole=True)
    with Visit(browser, report, 390) as visit:
        walk.picture("report-phone", visit)
        visit.assert_quiet()


def look_at_server(walk: Walk, browser: Any, server: Server, run: str) -> None:
    with Tab(browser, server) as tab:
        walk.picture("serve-list", tab)
        boxes = tab.page.locator("input[name=run]")
        assert boxes.count() == 2
        boxes.nth(0).check()
        boxes.nth(1).check()
        tab.press("Compare the two")
        walk.picture("serve-compare", tab, whole=True)
        assert len(tab.rows("The first against the second")) > 0
        tab.go("/trend")
        walk.picture("serve-trend", tab)
        tab.go(f"/runs/two-towers/{run}")
        walk.picture("serve-run", tab)
        tab.page.get_by_role("link", name="Open the report").click()
        assert tab.page.locator("#find").is_visible()
        walk.picture("serve-report", tab)
        user = tab.page.locator("#requests button > bdi").first.inner_text()
        tab.go(f"/runs/two-towers/{run}/lists?find={user}")
        assert tab.page.locator(".lists h3").count() >= 2
        walk.picture("serve-lists", tab)
        tab.assert_quiet()
    with Tab(browser, server, "/", 390) as tab:
        walk.picture("serve-list-phone", tab)


def test_from_bare_files_to_a_review(
    browser: Any, demo: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    walk = Walk(tmp_path / "team")
    write_logs(demo.folder / "data", walk.folder)
    walk.git("init", "-q", "-b", "main", ".")
    (walk.folder / ".gitignore").write_text("logs/\nmodels/\nruns/\n", encoding="utf-8")

    told = walk.rankcast("init", "init", ".", "--github")
    for path, _ in FILES.values():
        assert re.search(rf"^{re.escape(path)}: (?!not recognised)", told, re.MULTILINE), told
    assert (walk.folder / ".github" / "workflows" / "rankcast.yml").is_file()
    for name in ("service.yaml", "studies/first.yaml", "studies/template.yaml"):
        walk.keep(f"as-written-{Path(name).name}", (walk.folder / name).read_text(encoding="utf-8"))
    walk.rankcast("check-as-written", "check", "studies/first.yaml", codes=(0, 5))

    walk.mend("service.yaml", MENDED)
    walk.mend("studies/first.yaml", (("to: 2023-10-09}", "to: 2023-10-16}"),))
    walk.rankcast("check-first", "check", "studies/first.yaml", codes=(0, 5))
    told = walk.rankcast("run-first", "run", "studies/first.yaml", codes=(0, 3, 4, 5))
    overlap = re.search(r"overlap (\d\.\d+)", told)
    assert overlap
    assert float(overlap[1]) > 0.9, "production is replayed"
    walk.git("add", ".")
    walk.git("commit", "-qm", "A service and a first study")

    walk.git("switch", "-qc", "two-towers")
    walk.mend("studies/template.yaml", PROPOSED, to="studies/two-towers.yaml")
    walk.rankcast("check", "check", "studies/two-towers.yaml")
    told = walk.rankcast("diff", "diff", "--git", "main")
    assert "studies/two-towers.yaml" in told
    assert "two_tower" in told
    walk.git("add", ".")
    walk.git("commit", "-qm", "Two towers")

    link = "http://127.0.0.1:8600/runs/{study}/{run}/report.html"
    more = ("--run", "--comment", "comment.md", "--sarif", "findings.sarif", "--link", link)
    walk.rankcast("ci", "ci", "--base", "main", *more)
    comment = (walk.folder / "comment.md").read_text(encoding="utf-8")
    walk.keep("comment.md", comment)
    (report,) = walk.folder.glob("runs/two-towers/*/report.html")
    assert link.replace("{study}", "two-towers").replace("{run}", report.parent.name) in comment
    assert "two\\_tower **go**" in comment
    sarif = json.loads((walk.folder / "findings.sarif").read_text(encoding="utf-8"))
    assert sarif["runs"][0]["results"]

    with walk.timed("review-report"):
        look_at_report(walk, browser, report)
    with walk.timed("review-serve"), Server(walk.folder / "runs") as server:
        look_at_server(walk, browser, server, report.parent.name)

    lines = [f"{name:<18}{seconds:6.1f} s" for name, seconds in walk.seconds]
    lines.append(f"{'together':<18}{sum(seconds for _, seconds in walk.seconds):6.1f} s")
    walk.keep("seconds.txt", "\n".join(lines) + "\n")
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *lines, ""]))
