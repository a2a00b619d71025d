"""Studies of a repository: which of them a change touches, and their plans as they are and were."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rankcast.config.difference import Difference, difference, proposed
from rankcast.config.plan import FileText, Plan
from rankcast.errors import ConfigError, RankcastError, RunError
from rankcast.repository import WORKING_TREE, Repository
from rankcast.study import plan_of_texts

_KEY = re.compile(r"^(study|service|tables|variants)[ \t]*:[ \t]*(.*)$", re.MULTILINE)
_ENDINGS = (".yaml", ".yml")
_MOST = 1_000_000  # characters of a file that may be a study


@dataclass(frozen=True)
class Touched:
    """A study that a change touches: its path in the repository; `own`: the study itself was changed, not only its service."""

    path: str
    own: bool
    gone: bool = False


@dataclass(frozen=True)
class Change:
    """What differs between two revisions of a repository; `head` empty is the work tree."""

    repository: Repository
    base: str
    head: str = WORKING_TREE

    def touched(self) -> list[Touched]:
        """Every study that was changed, added or removed, and every study whose service was."""
        changed = set(self.paths)
        found = []
        for path in self._files:
            text = self._study_text(path, self.head)
            if text is None:
                continue
            if path in changed:
                found.append(Touched(path, own=True))
            elif _service_path(path, text) in changed:
                found.append(Touched(path, own=False))
        there = {one.path for one in found}
        gone = [path for path in changed if path not in there and self.repository.text(path, self.head) is None]
        found += [Touched(path, own=True, gone=True) for path in gone if self._study_text(path, self.base) is not None]
        return sorted(found, key=lambda one: one.path)

    @cached_property
    def paths(self) -> list[str]:
        """Every path that differs."""
        return self.repository.changed(self.base, self.head)

    def difference(self, path: str) -> Difference:
        """What changes in a study; of a new one, what it proposes against its own baseline."""
        after = self.plan(path, self.head)
        if self._study_text(path, self.base) is None:
            return proposed(after.document())
        try:
            before = self.plan(path, self.base)
        except RankcastError:  # it was broken before: what it proposes now is all that can be said
            return proposed(after.document())
        return difference(before.document(), after.document())

    def is_new(self, path: str) -> bool:
        """Whether a study was not there before."""
        return self._study_text(path, self.base) is None

    def plan(self, path: str, revision: str) -> Plan:
        """The plan of a study as it is at a revision."""
        text = self.repository.text(path, revision)
        if text is None:
            raise RunError(f"no file {path} at {revision or 'the work tree'}")
        service = _service_path(path, text)
        told = None if service is None else self.repository.text(service, revision)
        if service is None or told is None:
            raise ConfigError(f"{path}: its `service` ({service or 'nothing'}) is no file of the repository")
        root = self.repository.root
        return plan_of_texts(
            {"study": FileText(path, text), "service": FileText(service, told)}, Path(os.path.abspath(root))
        )

    @property
    def _files(self) -> Iterator[str]:
        return (path for path in self.repository.files(self.head) if path.endswith(_ENDINGS))

    def _study_text(self, path: str, revision: str) -> str | None:
        """The text of a file that is a study by its keys."""
        if not path.endswith(_ENDINGS):
            return None
        try:
            text = self.repository.text(path, revision)
        except RunError:
            return None
        return text if text is not None and is_study(text) else None


def is_study(text: str) -> bool:
    """Whether a text is meant as a study: it has the keys `study` and `service`, or `study` and `variants`.

    >>> is_study("study: a\\nservice: service.yaml\\n"), is_study("service: shop\\ntables: {}\\n")
    (True, False)
    """
    keys = {found[1] for found in _KEY.finditer(text[:_MOST])}
    return "study" in keys and bool(keys & {"service", "variants"})


def _service_path(path: str, text: str) -> str | None:
    """Where a study's service lies in the repository; None where that cannot be told."""
    written = next((found[2] for found in _KEY.finditer(text[:_MOST]) if found[1] == "service"), "")
    name = written.split(" #")[0].strip().strip("'\"")
    if not name or "${" in name or posixpath.isabs(name):
        return None
    joined = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
    return None if joined.startswith("../") else joined
