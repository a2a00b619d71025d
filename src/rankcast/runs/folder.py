"""A run on disk. A folder appears whole or not at all: it is written beside its place and renamed."""

from __future__ import annotations

import fcntl
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError

from rankcast.errors import RunError
from rankcast.records import Finding, Result, Results, VariantDecision

_PARTIAL = ".partial-"
_LOCK = ".lock"


@dataclass(frozen=True)
class Run:
    """The immutable outcome of a study.

    `decision`, `findings` and `results` are those of `result.json`; `values`, `slates` and `labels` are Polars frames.
    """

    folder: Path

    @cached_property
    def result(self) -> Result:
        """`result.json`, checked against its schema."""
        try:
            return Result.model_validate_json((self.folder / "result.json").read_text(encoding="utf-8"))
        except (OSError, ValidationError) as error:
            raise RunError(
                f"{self.folder} is not a run that this version can read ({type(error).__name__}); remove it to run again"
            ) from error

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """`manifest.json`."""
        try:
            read: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{self.folder / 'manifest.json'} cannot be read; remove the folder to run again") from error
        return read

    @property
    def decision(self) -> dict[str, VariantDecision]:
        """What to do with each decided variant, and why."""
        return self.result.decision

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the rules say."""
        return self.result.findings

    @property
    def results(self) -> Results:
        """All numbers."""
        return self.result.results

    @property
    def id(self) -> str:
        """The run's id."""
        return self.folder.name

    @property
    def report(self) -> Path:
        """The report to open in a browser."""
        return self.folder / "report.html"

    @property
    def values(self) -> pl.DataFrame:
        """A row per variant and target, a column per metric."""
        return self._table("values")

    @property
    def slates(self) -> pl.DataFrame:
        """Every replayed list: variant, request_id, user_id, rank, item_id, score, grade, target."""
        return self._table("slates")

    @property
    def labels(self) -> pl.DataFrame:
        """Every graded event, the request that it counts for, and why it counts for none."""
        return self._table("labels")

    def exit_code(self) -> int:
        """0 all go or nothing to decide, 3 no-go, 4 undecided, 5 invalid; the worst decision wins."""
        decisions = {decision.decision for decision in self.result.decision.values()}
        return next((code for word, code in (("invalid", 5), ("no-go", 3), ("undecided", 4)) if word in decisions), 0)

    def _table(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(tables(self.folder, name), glob=False)

    def __repr__(self) -> str:
        shown = (
            ", ".join(f"{name}: {one.decision}" for name, one in self.result.decision.items()) or "nothing to decide"
        )
        return f"Run({self.result.study} {self.id}; {shown}; {self.folder})"


def tables(folder: Path, name: str) -> list[Path]:
    """The files of one of a run's tables, in order."""
    return sorted((folder / name).glob("*.parquet"))


def place(out: Path, study: str, run: str) -> Path:
    """Where a run lives."""
    return out / study / run


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """A folder to write into; it takes its place when the block ends well, and is gone when it does not.

    Whoever writes holds a lock in the partial folder, so that what a killed process left is told from what is being written,
    on this machine and on others that share the disk.
    """
    made = [parent for parent in (folder.parent, folder.parent.parent) if not parent.exists()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    for stale in folder.parent.glob(f".{folder.name}{_PARTIAL}*"):
        _remove_if_abandoned(stale)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}{_PARTIAL}", dir=folder.parent))
    lock = (partial / _LOCK).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield partial
        (partial / _LOCK).unlink()
        partial.chmod(0o755)
        _take_place(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        for parent in made:
            with suppress(OSError):
                parent.rmdir()
        raise
    finally:
        lock.close()


def _take_place(partial: Path, folder: Path) -> None:
    try:
        partial.rename(folder)
    except OSError as error:
        if not (folder / "result.json").is_file():
            raise RunError(f"{folder} is in the way and is not a run; remove it and run again") from error
        shutil.rmtree(partial)  # another process wrote the same run meanwhile


def _remove_if_abandoned(partial: Path) -> None:
    try:
        with (partial / _LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(partial, ignore_errors=True)
    except FileNotFoundError:
        shutil.rmtree(partial, ignore_errors=True)
    except BlockingIOError:
        return  # somebody is writing it


def find(out: Path) -> list[Run]:
    """All runs below a folder, by study and age, oldest first."""
    found = [path.parent for path in out.glob("*/*/result.json") if not path.parent.name.startswith(".")]
    return [Run(path) for path in sorted(found, key=lambda path: (path.parent.name, path.stat().st_mtime))]


def open_run(name: str, out: Path) -> Run:
    """A run by its folder, or by its id (or the beginning of it) below `out`."""
    if (Path(name) / "result.json").is_file():
        return Run(Path(name))
    matches = [run for run in find(out) if run.id.startswith(name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise RunError(f"`{name}` could be {', '.join(run.id for run in matches)}; write more of the id")
    raise RunError(
        f"no run `{name}`: neither a run folder, nor the id of a run below {out}; `rankcast runs` lists them"
    )


def write_json(path: Path, document: Any) -> None:
    """Plain values as JSON for people and programs."""
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
