"""What a reviewer reads of a change: a comment that is found again and written anew."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rankcast.records import Finding
from rankcast.report.markdown import MOST_CHARACTERS, cell, cell_code, code, prose, shrunk
from rankcast.text import printable

MARKER = "<!-- rankcast:comment -->"
_LINES = 30  # of what changes
_STUDIES = 30  # of a comment


@dataclass(frozen=True)
class Reviewed:
    """A study that a change touches: what the check says, what changes, and what its run says (Markdown), if it was run.

    `problems`: why it is no study that could run. `verdict` by variant.
    """

    path: str
    new: bool = False
    gone: bool = False
    own: bool = True
    problems: Sequence[str] = ()
    findings: Sequence[Finding] = ()
    change: Mapping[str, Any] | None = None
    verdict: Mapping[str, str] = field(default_factory=dict)
    report: str | None = None
    link: str | None = None
    note: str | None = None

    @property
    def fired(self) -> list[Finding]:
        """What fired, errors first."""
        return sorted(
            (one for one in self.findings if one.status == "fired"), key=lambda one: (one.severity != "error", one.rule)
        )

    @property
    def fit(self) -> bool:
        """Whether it may run."""
        return not self.problems and all(one.severity != "error" for one in self.fired)


def comment(studies: Sequence[Reviewed], most: int = MOST_CHARACTERS) -> str:
    """Everything about a change, in one comment."""
    if not studies:
        return f"{MARKER}\n### Rankcast\n\nThis change touches no study.\n"
    head = [MARKER, "### Rankcast", "", "| study | check | verdict |", "| --- | --- | --- |"]
    head += [_row(one) for one in studies[:_STUDIES]]
    if len(studies) > _STUDIES:
        head += ["", f"and {len(studies) - _STUDIES} more studies."]
    start = "\n".join(head) + "\n"
    shown = _together([one for one in studies[:_STUDIES] if not one.gone])
    parts = [_study(some, folded=len(shown) > 2) for some in shown]
    room = (most - len(start)) // max(1, len(parts))
    return printable(start + "".join(shrunk(part, room) for part in parts))


def difference_markdown(change: Mapping[str, Any], path: str | None = None) -> str:
    """What changes from one plan to another."""
    by_kind: dict[str, list[str]] = {"treatment": [], "outside": [], "words": []}
    for one in change["changes"]:
        by_kind[one["kind"]].append(one["text"])
    lines = [] if path is None else [f"#### {code(path)}", ""]
    lines += _bullets(by_kind["treatment"], "- ")
    if by_kind["outside"]:
        lines += [
            "",
            f"**Outside the treatment** ({cell(', '.join(change['treatment']))}): this changes what the numbers mean.",
        ]
        lines += ["", *_bullets(by_kind["outside"], "- :warning: ")]
    if by_kind["words"]:
        lines += ["", "Words only:", "", *_bullets(by_kind["words"], "- ")]
    if not change["changes"]:
        lines.append("Nothing differs.")
    return "\n".join(lines).strip("\n") + "\n"


def _bullets(texts: Sequence[str], bullet: str) -> list[str]:
    more = [f"- and {len(texts) - _LINES} more"] if len(texts) > _LINES else []
    return [bullet + prose(text) for text in texts[:_LINES]] + more


def _row(one: Reviewed) -> str:
    if one.gone:
        return f"| {cell_code(one.path)} | removed | |"
    errors = sum(finding.severity == "error" for finding in one.fired)
    warnings = len(one.fired) - errors
    counted = [f"{n} {word}{'s' * (n > 1)}" for n, word in ((errors, "error"), (warnings, "warning")) if n]
    state = "refused" if one.problems else "fine" if one.fit else "not fit to run"
    said = ", ".join([state, *counted]) + ("" if one.own else " (its service changes)")
    verdict = ", ".join(f"{cell(name)} **{word}**" for name, word in one.verdict.items())
    return f"| {cell_code(one.path)} | {said} | {verdict or cell(one.note or 'not run')} |"


def _together(studies: Sequence[Reviewed]) -> list[list[Reviewed]]:
    """Studies of which the same is to be said, because only their service changes, in one part."""
    parts: list[list[Reviewed]] = []
    for one in studies:
        same = [part for part in parts if not one.own and _said(part[0]) == _said(one)]
        if same:
            same[0].append(one)
        else:
            parts.append([one])
    return parts


def _said(one: Reviewed) -> tuple[Any, ...]:
    """What is to be said of a study besides its name."""
    fired = tuple((finding.rule, finding.evidence) for finding in one.fired)
    changes = None if one.change is None else one.change["changes"]
    return one.own, tuple(one.problems), fired, changes, one.note


def _study(same: Sequence[Reviewed], folded: bool) -> str:
    one = same[0]
    lines = ["", f"#### {', '.join(code(each.path) for each in same)}", ""]
    if one.link is not None:
        lines += [f"[The full report]({one.link})", ""]
    lines += [f"- {prose(problem)}" for problem in one.problems[:_LINES]]
    if one.report is None:
        lines += [
            f"- **{finding.rule} {finding.name}** ({finding.severity}{_place(finding)}): {prose(finding.evidence)} → "
            f"{prose(finding.remedy)}"
            for finding in one.fired
        ]
        lines += [f"- {prose(one.note)}"] if one.note else []
    if one.change is not None and not (one.new and one.report is not None):  # a run says what it proposes
        title = "What it proposes" if one.new else "What changes"
        outside = sum(each["kind"] == "outside" for each in one.change["changes"])
        mark = f", {outside} of it outside the treatment" if outside and not one.new else ""
        lines += ["", f"**{title}{mark}**", "", difference_markdown(one.change)]
    if one.report is not None:
        told = one.report.strip("\n")
        lines += ["", f"<details><summary>The run</summary>\n\n{told}\n</details>"] if folded else ["", told]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip("\n") + "\n"


def _place(finding: Finding) -> str:
    return f", line {finding.line}" if finding.line else ""
