"""What tests of findings share: a tiny study whose rules fire, and how SARIF must look."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import jsonschema
import pytest

from tiny import Outcome, World

INSIDE = "2023-10-09"  # of the period


def of(required: str = "", **properties: Any) -> dict[str, Any]:
    """An object of these properties and no others."""
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


# fmt: off
TEXT = {"type": "string", "minLength": 1}
NUMBER, LINE = ({"type": "integer", "minimum": least} for least in (0, 1))
SEMANTIC = {"type": "string", "pattern": r"^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$"}
URI = {"type": "string", "pattern": r"^([A-Za-z0-9\-._~!$&'()*+,;=@/]|%[0-9A-F]{2})+$"}
SAID = of("text", text=TEXT)
RULE = of("id", id=TEXT, name=TEXT, shortDescription=SAID, fullDescription=SAID, help=SAID)
DRIVER = of("name rules", name=TEXT, semanticVersion=SEMANTIC, rules={"type": "array", "items": RULE, "uniqueItems": True})
PHYSICAL = of("artifactLocation region", artifactLocation=of("uri", uri=URI), region=of("startLine", startLine=LINE))
PLACES = {"type": "array", "items": of("physicalLocation", physicalLocation=PHYSICAL), "minItems": 1, "maxItems": 1}
WAIVED = {"type": "array", "items": of("kind", kind={"enum": ["inSource", "external"]}, justification=TEXT), "minItems": 1}
RESULT = of("ruleId ruleIndex level message", ruleId=TEXT, ruleIndex=NUMBER, level={"enum": ["error", "warning"]}, message=SAID,
            locations=PLACES, partialFingerprints={"type": "object", "additionalProperties": TEXT}, suppressions=WAIVED)
RUN = of("tool results", tool=of("driver", driver=DRIVER), columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
         results={"type": "array", "items": RESULT})
SARIF = of("version runs", **{"$schema": {"type": "string", "pattern": r"^https://.*sarif.*2\.1\.0.*\.json$"}},
           version={"const": "2.1.0"}, runs={"type": "array", "items": RUN, "minItems": 1, "maxItems": 1})
"""The parts of SARIF 2.1.0 that are written, by its specification."""
# fmt: on


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.chdir(tmp_path)
    return World(tmp_path)


def leaking(world: World) -> World:
    """DT01 fires, an error; DT05 fires and is waived."""
    world.study("variants", "new", "trained_until", to=INSIDE).study("period", "to", to="2023-10-14")
    return world.study("allow", to={"DT05": {"reason": "the log is short: it ends, 100%", "until": "2099-12-31"}})


def line(file: Path, key: str) -> int:
    """The line of a file that has a key; there is one only."""
    (found,) = [number for number, one in enumerate(file.read_text().splitlines(), 1) if f'"{key}":' in one]
    return found


def results_of(outcome: Outcome) -> dict[str, dict[str, Any]]:
    """What a SARIF log on stdout holds, by rule; it is held against the specification."""
    log = json.loads(outcome.out)
    jsonschema.validate(log, SARIF)
    (one,) = log["runs"]
    codes = [rule["id"] for rule in one["tool"]["driver"]["rules"]]
    assert len(set(codes)) == len(codes)
    for result in one["results"]:
        assert codes[result["ruleIndex"]] == result["ruleId"]
    return {result["ruleId"]: result for result in one["results"]}


def place(result: Mapping[str, Any]) -> tuple[Path, int]:
    """The file and the line of a result; the file is there, by a relative reference from where the command runs."""
    physical = result["locations"][0]["physicalLocation"]
    parts = urlsplit(physical["artifactLocation"]["uri"])
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("", "", "", "")
    file = Path(unquote(parts.path))
    assert not file.is_absolute()
    assert file.is_file(), file
    return file.resolve(), physical["region"]["startLine"]


def latest(world: World) -> dict[str, Any]:
    """The newest run: how many there are, its folder, result, manifest and findings."""
    folders = sorted((world.folder / "runs" / "first").iterdir(), key=lambda one: one.stat().st_mtime_ns)
    result, manifest = (json.loads((folders[-1] / f"{name}.json").read_text()) for name in ("result", "manifest"))
    found = {one["rule"]: one for one in result["findings"]}
    told = {"runs": len(folders), "folder": folders[-1], "lists_of": manifest["work"].get("lists_of"), "of": found}
    return {**told, "run": result["run"], "decision": result["decision"]["new"]["decision"]}
