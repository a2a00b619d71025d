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
class Pattern:
    """A path or glob that a user `written`, as it is on this machine: `tail` below the folder `base`.

    Only the tail can be a glob: what stands above it is nobody's pattern, whatever characters it holds.
    """

    written: str
    base: Path
    tail: str

    @classmethod
    def of(cls, written: str, expanded: str, base: Path) -> Pattern:
        """The pattern `expanded`, relative to `base` unless it is absolute."""
        parts = Path(os.path.normpath(expanded)).parts
        if os.path.isabs(expanded):
            return cls(written, Path(parts[0]), os.path.join(*parts[1:]) if len(parts) > 1 else "")
        while parts and parts[0] == os.pardir:
            base, parts = base.parent, parts[1:]
        return cls(written, base, os.path.join(*parts) if parts else "")

    @property
    def whole(self) -> Path:
        """The path, where it is one file or folder."""
        return self.base / self.tail

    def matches(self) -> list[Path]:
        """The files that exist, in order of name."""
        if self.whole.is_file():  # a name may hold what a glob would read as its own
            return [self.whole]
        found = (self.base / match for match in glob.glob(self.tail, root_dir=self.base, recursive=True))
        return sorted(path for path in found if path.is_file())

    def show(self, path: Path) -> str:
        """A matching file's name, beginning as the pattern is written."""
        if path == self.whole:
            return self.written
        above = self.base / os.path.dirname(_before_glob(self.tail))
        return os.path.join(os.path.dirname(_before_glob(self.written)), os.path.relpath(path, above))


@dataclass(frozen=True)
class FileSet:
    """Files that a user named. `hidden` maps the value of an environment variable to its `${NAME}`: values never reach a
    message or a run folder.
    """

    patterns: tuple[Pattern, ...]
    hidden: Mapping[str, str] = field(default_factory=dict)

    @property
    def written(self) -> tuple[str, ...]:
        """The patterns as the user wrote them."""
        return tuple(pattern.written for pattern in self.patterns)

    def find(self) -> tuple[dict[Path, str], list[Pattern]]:
        """The files that exist, each with its name as it may be shown, and the patterns that match none."""
        found: dict[Path, str] = {}
        missing = []
        for pattern in self.patterns:
            matches = pattern.matches()
            for path in matches:
                found.setdefault(path, self._mask(pattern.show(path)))
            if not matches:
                missing.append(pattern)
        return found, missing

    def _mask(self, text: str) -> str:
        for value, name in self.hidden.items():
            text = text.replace(value, name)
        return text


def why_missing(pattern: Pattern) -> str:
    """What to say of a pattern that matches no file."""
    if pattern.whole.is_dir():
        return f"`{pattern.written}` is a folder; expected files, such as `{pattern.written.rstrip('/')}/*.parquet`"
    start = "where the command runs" if pattern.written.startswith("${") else "the file that names it"
    return f"no file matches `{pattern.written}`; a path is relative to {start}"


def _before_glob(pattern: str) -> str:
    return re.split(r"[*?\[]", pattern, maxsplit=1)[0]


@dataclass(frozen=True)
class Source:
    """One table's source: `files` read as they are, or `sql` over `named` files; `columns` maps ours to theirs.

    `key` says where the table is declared (`tables.items`), `declared_in` and `line` in which file and line.
    """

    key: str
    files: FileSet | None = None
    sql: str | None = None
    named: Mapping[str, FileSet] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    declared_in: str | None = None
    line: int | None = None
    given: str | None = None  # what was handed over in Python, instead of files
    alone: bool = False  # handed over to `score`: there is no file that declares it

    @property
    def file_sets(self) -> list[FileSet]:
        """Every set of files that this source reads."""
        return ([] if self.files is None else [self.files]) + list(self.named.values())

    @property
    def reads(self) -> str:
        """What the data come from, as it is written."""
        if self.given is not None:
            return self.given
        if self.files is None:
            return f"sql over {', '.join(self.named)}"
        return ", ".join(self.files.written)

    def how_to_map(self, ours: str) -> str:
        """How to say which of their columns is one of ours."""
        if self.alone:
            return f"map it with --columns {ours}=<theirs> (in Python, columns={{'{ours}': ...}})"
        return f"map it with `columns: {{{ours}: <theirs>}}`"

    @property
    def by_sql(self) -> str:
        """Where rows and types are mended: in `sql`, or beforehand."""
        return "beforehand" if self.alone else "with `sql`"

    def data_problem(self, message: str, column: str | None = None) -> Problem:
        """A problem of the data themselves: it names their files too."""
        return self.problem(f"{clip(self.reads, 120)}: {message}", column)

    def problem(self, message: str, column: str | None = None) -> Problem:
        """A problem of this source, with its place."""
        return Problem(message, self.declared_in, self.line, self.key if column is None else f"{self.key}.{column}")
