"""Where a table comes from: files, or SQL over named files."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rankcast.errors import Problem


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
            matches = sorted(Path(match) for match in glob.glob(resolved, recursive=True) if os.path.isfile(match))
            found += matches
            if not matches:
                missing.append(written)
        return list(dict.fromkeys(found)), missing

    def show(self, path: Path) -> str:
        """A file's name as it may be shown: as it was written when it was written whole, else masked."""
        for written, resolved in zip(self.written, self.resolved, strict=True):
            if str(path) == resolved:
                return written
        text = str(path)
        for value, name in self.hidden.items():
            text = text.replace(value, name)
        if text != str(path):
            return text
        for written, resolved in zip(self.written, self.resolved, strict=True):
            if resolved.endswith(written):
                base = resolved.removesuffix(written)
                if text.startswith(base):
                    return text.removeprefix(base)
        return path.name


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

    def problem(self, message: str, column: str | None = None) -> Problem:
        """A problem of this source, with its place."""
        return Problem(message, self.declared_in, self.line, self.key if column is None else f"{self.key}.{column}")
