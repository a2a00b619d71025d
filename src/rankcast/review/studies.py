"""Studies of a repository: which of them a change touches, and their plans as they are and were."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rankcast.config.difference import Difference, difference, proposed
from rankcast.config.plan import FileText, Plan
from rankcast.config.yaml import load
from rankcast.errors import ConfigError, RankcastError, RunError
from rankcast.repository import WORKING_TREE, Repository
from rankcast.study import plan_of_texts

_KEY = re.compile(r"""^\ufeff?[{ \t]*["']?(study|service|variants)["']?[ \t]*:[ \t]*(.*)$""", re.MULTILINE)
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
        before, after = self._files
        changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
        found, known = [], {path: path in changed for path in changed}
        for path in after:
            text = self._study_text(path, self.head)
            if text is not None and path in changed:
                found.append(Touched(path, own=True))
            elif text is not None and self._differs(service_path(path, text), known):
                found.append(Touched(path, own=False))
        gone = [path for path in before if path not in after and self._study_text(path, self.base) is not None]
        return sorted([*found, *(Touched(path, own=True, gone=True) for path in gone)], key=lambda one: one.path)

    def _differs(self, path: str | None, known: dict[str, bool]) -> bool:
        """Whether a file says something else than before, be it behind a link; what is `known` is not read again."""
        if path is None:
            return False
        if path not in known:
            try:
                known[path] = self.repository.text(path, self.base) != self.repository.text(path, self.head)
            except RunError:
                known[path] = True
        return known[path]

    def difference(self, path: str) -> Difference:
        """What changes in a study; of a new one, what it proposes against its own baseline."""
        after = self.plan(path, self.head)
        if self.is_new(path):
            return proposed(after.reviewed())
        try:
            before = self.plan(path, self.base)
        except RankcastError:  # it was broken before: what it proposes now is all that can be said
            return proposed(after.reviewed())
        return difference(before.reviewed(), after.reviewed())

    def is_new(self, path: str) -> bool:
        """Whether a study was not there before."""
        return self._study_text(path, self.base) is None

    def plan(self, path: str, revision: str) -> Plan:
        """The plan of a study as it is at a revision."""
        text = self.repository.text(path, revision)
        if text is None:
            raise RunError(f"no file {path} at {revision or 'the work tree'}")
        service = service_path(path, text)
        told = None if service is None else self.repository.text(service, revision)
        if service is None or told is None:
            raise ConfigError(f"{path}: its `service` ({service or 'nothing'}) is no file of the repository")
        files = {"study": FileText(path, text), "service": FileText(service, told)}
        return plan_of_texts(files, self.repository.root.absolute())

    @cached_property
    def _files(self) -> tuple[dict[str, str], dict[str, str]]:
        """Files that may be studies or services, before and after, with what they are known by."""
        both = (self.repository.files(revision) for revision in (self.base, self.head))
        before, after = ({path: name for path, name in one.items() if path.endswith(_ENDINGS)} for one in both)
        return before, after

    def _study_text(self, path: str, revision: str) -> str | None:
        """The text of a file that is a study by its keys."""
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
    if "study" not in text or len(text) > _MOST:
        return False
    keys = set(_keys(text))
    return "study" in keys and bool(keys & {"service", "variants"})


def service_path(path: str, text: str) -> str | None:
    """Where a study's service lies in the repository; None where that cannot be told."""
    name = _keys(text).get("service")
    if not isinstance(name, str) or not name or "${" in name or posixpath.isabs(name):
        return None
    joined = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
    return None if joined.startswith("../") else joined


def _keys(text: str) -> Mapping[str, Any]:
    """The keys of a file with their values; of one that cannot be read, those that look like keys."""
    try:
        return dict(load(text.removeprefix("\ufeff"), "").values)
    except ConfigError:
        return {found[1]: found[2].split(" #")[0].strip().strip("'\",") for found in _KEY.finditer(text)}
