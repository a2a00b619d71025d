"""The id of a run: derived from the plan, the data and the code, so that the same inputs give the same id."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any


def run_id(plan: dict[str, Any], private: str, code: Mapping[str, str], contents: Iterable[tuple[str, str]]) -> str:
    """12 hexadecimal digits. `private` is text that shapes the results and is written nowhere (filled-in variables); `code` the
    text of private modules; `contents` are (table, hash) of every file that it reads.
    """
    parts = {
        "plan": plan,
        "private": hashlib.blake2b(private.encode(), digest_size=16).hexdigest(),
        "private code": code_hashes(code),
        "data": list(contents),
        "code": code_fingerprint(),
        "packages": [version(name) for name in ("duckdb", "numpy", "polars", "scipy", "tzdata")],
    }
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def code_hashes(code: Mapping[str, str]) -> dict[str, str]:
    """A hash for the text of each module."""
    return {name: hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for name, text in sorted(code.items())}


@cache
def code_fingerprint() -> str:
    """A hash over Rankcast's own source files."""
    folder = Path(__file__).parents[1]
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
