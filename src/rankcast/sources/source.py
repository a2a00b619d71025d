"""Where a table comes from: files, or SQL over named files."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rankcast.errors import Problem, clip


@dataclass(frozen=True)
class FileSet:
    """Files that a user named: paths or globs as written, and as found on this machine.

    `hidden` maps the value of an environment variable to its `${NAME}`: values never reach a message or a run folder.
    """

    written: tuple[str, ...]
    resolved: tuple[str, ...]
    hidden: Mapping[str, str] = field(default_factory=dict)

    def find(self) -> tuple[list[Path], list[str]]:
        """The files that exist, in order of name, and the patterns that match none."""
        found: list[Path] = []
        missing: list[str] = []
        for written, resolved in zip(self.written, self.resolved, strict=True):
            matches = _matches(resolved)
            found += matches
            if not matches:
                missing.append(written)
        return list(dict.fromkeys(found)), missing

    def why_missing(self, written: str) -> str:
        """What to say of a pattern that matches no file."""
        resolved = self.resolved[self.written.index(written)]
        if os.path.isdir(resolved):
            return f"`{written}` is a folder; expected files, such as `{written.rstrip('/')}/*.parquet`"
        return f"no file matches `{written}`; a path is relative to the file that names it"

    def show(self, path: Path) -> str:
        """A file's name as it may be shown: beginning as it is written in the file that names it, without hidden values."""
        text = str(path)
        for written, resolved in zip(self.written, self.resolved, strict=True):
            if text == resolved:
                return written
            folder = os.path.dirname(_before_glob(resolved))
            if path in _matches(resolved):
                text = os.path.join(os.path.dirname(_before_glob(written)), os.path.relpath(text, folder or "."))
                break
        for value, name in self.hidden.items():
            text = text.replace(value, name)
        return text


def _matches(pattern: str) -> list[Path]:
    if os.path.isfile(pattern):  # a name may hold what a glob would read as its own
        return [Path(pattern)]
    return sorted(Path(match) for match in glob.glob(pattern, recursive=True) if os.path.isfile(match))


def _before_glob(pattern: str) -> str:
    return re.split(r"[*?\[]", pattern, maxsplit=1)[0]


@dataclass(frozen=True)
class Source:
    """One table's source: `files` read as they are, or `sql` over `named` files; `columns` maps ours to theirs.

    `key` says where the table is declared (`tables.items`), `where` in which file and line.
    """

    key: str
    files: FileSet | None = None
    sql: str | None = None
    named: Mapping[str, FileSet] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    declared_in: str | None = None
    line: int | None = None

    @property
    def file_sets(self) -> list[FileSet]:
        """Every set of files that this source reads."""
        return ([] if self.files is None else [self.files]) + list(self.named.values())

    @property
    def reads(self) -> str:
        """What the data come from, as it is written."""
        if self.files is None:
            return f"sql over {', '.join(self.named)}"
        return ", ".join(self.files.written)

    def data_problem(self, message: str, column: str | None = None) -> Problem:
        """A problem of the data themselves: it names their files too."""
        return self.problem(f"{clip(self.reads, 120)}: {message}", column)

    def problem(self, message: str, column: str | None = None) -> Problem:
        """A problem of this source, with its place."""
        return Problem(message, self.declared_in, self.line, self.key if column is None else f"{self.key}.{column}")
