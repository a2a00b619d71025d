"""Findings for tools that show them beside the code: SARIF 2.1.0, and the workflow commands of GitHub."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from rankcast.errors import Problem
from rankcast.records import Finding

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
INPUT = "INPUT"
_MOST = 1_000  # characters of a message


def problem_finding(problem: Problem) -> Finding:
    """What is wrong with an input, as a finding."""
    return Finding(
        rule=INPUT,
        name="input-refused",
        severity="error",
        status="fired",
        evidence=": ".join(part for part in (problem.key, problem.message) if part),
        remedy="",
        moment="plan",
        file=problem.file,
        line=problem.line,
    )


def sarif(
    findings: Iterable[Finding], version: str, pages: Mapping[str, tuple[str, str]], files: Mapping[str, str]
) -> dict[str, Any]:
    """A SARIF log of what fired, and of what is waived, as suppressed. `pages`: by code what goes wrong, and a rule's whole page;
    `files`: the paths of the study and the service.

    Rules that passed or cannot be checked are no results: a review tool would show them as problems.
    """
    told = [one for one in findings if one.status in {"fired", "waived"}]
    codes = sorted({one.rule for one in told})
    rules = [
        _rule(code, next(one.name for one in told if one.rule == code), *pages.get(code, ("", ""))) for code in codes
    ]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "Rankcast", "semanticVersion": version, "rules": rules}},
                "columnKind": "unicodeCodePoints",
                "results": [_result(one, codes.index(one.rule), files) for one in told],
            }
        ],
    }


def _rule(code: str, name: str, wrong: str, page: str) -> dict[str, Any]:
    return {
        "id": code,
        "name": "".join(part.capitalize() for part in name.split("-")),
        "shortDescription": {"text": name.replace("-", " ")},
        "fullDescription": {"text": wrong[:_MOST] or name},
        "help": {"text": page or name},
    }


def _result(one: Finding, index: int, files: Mapping[str, str]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": one.rule,
        "ruleIndex": index,
        "level": one.severity,
        "message": {"text": message(one)},
        "partialFingerprints": {"finding/v1": _fingerprint(one)},
    }
    if one.file is not None:
        place = {
            "artifactLocation": {"uri": _uri(files.get(one.file, one.file))},
            "region": {"startLine": one.line or 1},
        }
        result["locations"] = [{"physicalLocation": place}]
    if one.status == "waived":
        result["suppressions"] = [{"kind": "external", "justification": one.waived or ""}]
    return result


def _fingerprint(one: Finding) -> str:
    """By which a tool knows the finding again when lines move."""
    what = one.evidence if one.rule == INPUT else ""  # a file may have many problems
    return hashlib.blake2b(f"{one.rule} {one.file} {what}".encode(), digest_size=8).hexdigest()


def _uri(file: str) -> str:
    """A path as a relative reference."""
    return quote(PurePath(file).as_posix())


def message(one: Finding) -> str:
    """A finding in a sentence or two."""
    text = f"{one.evidence}. {one.remedy}" if one.remedy else one.evidence
    return text[:_MOST]


def workflow_commands(findings: Iterable[Finding], files: Mapping[str, str]) -> list[str]:
    """A line a finding, by which GitHub annotates the file in a pull request; what cannot be checked is a notice.

    >>> print(*workflow_commands([problem_finding(Problem("no: such, key", "a,b.yaml", 3))], {}))
    ::error file=a%2Cb.yaml,line=3,title=INPUT input-refused::no: such, key
    """
    lines = []
    for one in findings:
        kind = {"fired": one.severity, "cannot check": "notice"}.get(one.status)
        if kind is None:
            continue
        place = "" if one.file is None else f"file={_property(files.get(one.file, one.file))},line={one.line or 1},"
        title = f"{one.rule} {one.name}" + (": cannot check" if kind == "notice" else "")
        lines.append(f"::{kind} {place}title={_property(title)}::{_data(message(one))}")
    return lines


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
