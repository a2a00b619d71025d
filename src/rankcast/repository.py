"""Files of a git repository at a revision. Nothing that a repository configures (filters, external tools) is run."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from rankcast.errors import RunError, clip

WORKING_TREE = ""
_SECONDS = 60
_LINK = "120000"
_ENTRY = re.compile(r"(?P<mode>\d+) blob (?P<name>[0-9a-f]+)\t")


@dataclass(frozen=True)
class Repository:
    """The repository whose work tree has this root."""

    root: Path

    @classmethod
    def around(cls, place: Path) -> Repository:
        """The repository that a file or folder lies in."""
        folder = place if place.is_dir() else place.parent
        try:
            root = _git(folder, "rev-parse", "--show-toplevel").decode()
        except RunError as error:
            raise RunError(f"{folder.resolve()} lies in no git repository ({error})") from error
        return cls(Path(root.rstrip("\n")))

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

    def changed(self, base: str, head: str) -> list[str]:
        """Paths that differ between two commits (`head` empty: the work tree, with files that git does not know yet)."""
        compared = [base] if head == WORKING_TREE else [base, head]
        found = self._paths(
            "diff", "--name-only", "--no-renames", "--no-ext-diff", "--no-textconv", "-z", *compared, "--"
        )
        if head == WORKING_TREE:
            found += self._paths("ls-files", "--others", "--exclude-standard", "-z", "--full-name")
        return sorted(set(found))

    def files(self, head: str) -> list[str]:
        """All paths of a revision."""
        if head == WORKING_TREE:
            return self._paths("ls-files", "--cached", "--others", "--exclude-standard", "-z")
        return self._paths("ls-tree", "-r", "--name-only", "-z", "--full-tree", head)

    def text(self, path: str, revision: str) -> str | None:
        """A file at a revision (empty: of the work tree); None where it is not there. Links are not followed."""
        if revision == WORKING_TREE:
            file = self.root / path
            if not file.is_file() or file.is_symlink():
                return None
            content = file.read_bytes()
        else:
            entry = self._text("ls-tree", "-z", "--full-tree", revision, "--", path)
            found = _ENTRY.match(entry)
            if found is None or found["mode"] == _LINK:
                return None
            content = _git(self.root, "cat-file", "blob", found["name"])
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise RunError(f"{path} at {revision or 'the work tree'} is no UTF-8 text") from error

    def _text(self, *arguments: str) -> str:
        return _git(self.root, *arguments).decode("utf-8", "replace").strip()

    def _paths(self, *arguments: str) -> list[str]:
        listed = _git(self.root, *arguments).decode("utf-8", "surrogateescape")
        return [path for path in listed.split("\0") if path]


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(  # noqa: S603 - fixed program, no shell
            ["git", "-C", str(folder), "--no-optional-locks", "--literal-pathspecs", *arguments],  # noqa: S607
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
