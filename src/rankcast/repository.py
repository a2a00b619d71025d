"""Files of a git repository at a revision. Nothing that a repository configures (filters, hooks, external tools) is run."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rankcast.errors import RunError, clip

WORKING_TREE = ""
_SECONDS = 60
_LINK = "120000"
_LINKS = 8  # that lead to a file, one after the other
_ENTRY = re.compile(r"(?P<mode>\d+) blob (?P<name>[0-9a-f]+)\t(?P<path>.*)", re.DOTALL)
_SAFE = (
    "-c",
    "core.fsmonitor=false",
    "-c",
    f"core.hooksPath={os.devnull}",
    "--no-optional-locks",
    "--literal-pathspecs",
)


@dataclass(frozen=True)
class Repository:
    """The repository whose work tree has this root."""

    root: Path

    @classmethod
    def around(cls, place: Path) -> Repository:
        """The repository that a file or folder lies in."""
        folder = place if place.is_dir() else place.parent
        try:
            root = git(folder, "rev-parse", "--show-toplevel").decode()
        except RunError as error:
            raise RunError(f"{folder.resolve()} lies in no git repository ({error})") from error
        return cls(Path(root.rstrip("\n")))

    def paths_of(self, files: Iterable[Path]) -> list[str]:
        """Files as the repository names them. RunError for those that lie elsewhere."""
        root, resolved = self.root.resolve(), [(file, file.resolve()) for file in files]
        outside = [str(file) for file, place in resolved if not place.is_relative_to(root)]
        if outside:
            raise RunError(f"{', '.join(outside)}: every study must lie in {self.root}")
        return [place.relative_to(root).as_posix() for _, place in resolved]

    def commit(self, revision: str) -> str:
        """The commit that a revision names."""
        if revision.startswith("-"):
            raise RunError(f"expected a revision such as main, found {clip(revision, 80)}")
        try:
            return self._text("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        except RunError as error:
            raise RunError(
                f"no revision {clip(revision, 80)} in {self.root}; in a workflow, check out with `fetch-depth: 0`"
            ) from error

    def fork_point(self, base: str, head: str) -> str:
        """Where one revision left another: what a pull request is compared with."""
        commits = self.commit(base), self.commit(head or "HEAD")
        try:
            return self._text("merge-base", *commits)
        except RunError as error:
            raise RunError(
                f"{base} and {head or 'HEAD'} have no commit in common; in a workflow, check out with `fetch-depth: 0`"
            ) from error

    def files(self, revision: str) -> dict[str, str]:
        """All files of a revision (empty: of the work tree, with those that git does not know yet), each with what its content is
        known by. Contents of the work tree are read as they are: git would run filters.
        """
        if revision != WORKING_TREE:
            return {path: found["name"] for path, found in self._entries(revision).items()}
        listed = self._paths("ls-files", "--cached", "--others", "--exclude-standard", "-z")
        return {path: self._known_by(path) for path in dict.fromkeys(listed) if os.path.lexists(self.root / path)}

    def text(self, path: str, revision: str) -> str | None:
        """A file at a revision (empty: of the work tree); None where it is not there. A link is followed where it leads to
        another file of the repository, and nowhere else.
        """
        content = self._of_tree(path) if revision == WORKING_TREE else self._of_commit(path, revision)
        try:
            return None if content is None else content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise RunError(f"{path} at {revision or 'the work tree'} is no UTF-8 text") from error

    def _of_tree(self, path: str) -> bytes | None:
        file = (self.root / path).resolve()
        inside = file.is_relative_to(self.root.resolve()) and ".git" not in file.relative_to(self.root.resolve()).parts
        return file.read_bytes() if inside and file.is_file() else None

    def _of_commit(self, path: str, revision: str) -> bytes | None:
        for _ in range(_LINKS):
            listed = self._paths("ls-tree", "-z", "--full-tree", revision, "--", path)
            found = _ENTRY.match(listed[0]) if listed else None
            if found is None:
                return None
            content = git(self.root, "cat-file", "blob", found["name"])
            if found["mode"] != _LINK:
                return content
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), os.fsdecode(content)))
            if posixpath.isabs(path) or path.startswith("../"):
                return None
        return None

    def _entries(self, revision: str) -> dict[str, re.Match[str]]:
        listed = self._paths("ls-tree", "-r", "-z", "--full-tree", revision)
        matched = (_ENTRY.match(entry) for entry in listed)
        return {found["path"]: found for found in matched if found is not None}

    def _known_by(self, path: str) -> str:
        """The name under which git would keep a file of the work tree, as it is."""
        file = self.root / path
        if file.is_symlink():
            content = os.fsencode(os.readlink(file))
        elif file.is_file():
            content = file.read_bytes()
        else:
            return ""
        return hashlib.new(self._hash, b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()

    @cached_property
    def _hash(self) -> str:
        try:
            return self._text("rev-parse", "--show-object-format")
        except RunError:
            return "sha1"

    def _text(self, *arguments: str) -> str:
        return git(self.root, *arguments).decode("utf-8", "replace").strip()

    def _paths(self, *arguments: str) -> list[str]:
        listed = git(self.root, *arguments).decode("utf-8", "surrogateescape")
        return [path for path in listed.split("\0") if path]


def git(folder: Path, *arguments: str) -> bytes:
    """What git answers in a folder. RunError where it refuses, or is not there."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed program, no shell
            ["git", "-C", str(folder), *_SAFE, *arguments],  # noqa: S607
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RunError(f"git cannot be asked: {error}") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise RunError(f"git {arguments[0]}: {clip(said[-1], 200) if said else f'exit code {done.returncode}'}")
    return done.stdout
