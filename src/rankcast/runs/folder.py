"""A run on disk. A folder appears whole or not at all: it is written beside its place and renamed."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TextIO

import polars as pl

from rankcast.display import html_table
from rankcast.errors import RunError
from rankcast.records import Finding, Result, Results, VariantDecision
from rankcast.text import COMPARED, compared

_PARTIAL = ".partial"
_LOCK = ".lock"
_CODES = {"invalid": 5, "no-go": 3, "undecided": 4, "go": 0}  # the worst first
_ABANDONED = 7 * 24 * 3600  # seconds after which nobody will take up an interrupted run


@dataclass(frozen=True)
class Run:
    """The immutable outcome of a study.

    `decision`, `findings` and `results` are those of `result.json`; `values`, `slates` and `labels` are Polars frames.
    """

    folder: Path
    fetch: Callable[[str], None] | None = field(default=None, repr=False, compare=False)

    def bring(self, name: str) -> None:
        """See that one of the run's tables is on this machine."""
        if self.fetch is not None:
            self.fetch(name)

    @cached_property
    def result(self) -> Result:
        """`result.json`, checked against its schema."""
        try:
            return Result.model_validate_json((self.folder / "result.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(
                f"{self.folder} is not a run that this version can read ({type(error).__name__}); remove it to run again"
            ) from error

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """`manifest.json`."""
        try:
            read: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text(encoding="utf-8"))
            if not isinstance(read, dict):
                raise ValueError("no object")
        except (OSError, ValueError) as error:
            raise RunError(f"{self.folder / 'manifest.json'} cannot be read as a manifest ({error})") from error
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
    def replays(self) -> pl.DataFrame:
        """A row per variant and replayed request: how its list came about, and for the baseline how it agrees with the log."""
        return self._table("replays", how="diagonal")

    @property
    def labels(self) -> pl.DataFrame:
        """Every graded event, the request that it counts for, and why it counts for none."""
        return self._table("labels")

    def exit_code(self) -> int:
        """0 all go or nothing to decide, 3 no-go, 4 undecided, 5 invalid; the worst decision wins."""
        return exit_code(decision.decision for decision in self.result.decision.values())

    def _table(self, name: str, how: Literal["vertical", "diagonal"] = "vertical") -> pl.DataFrame:
        self.bring(name)
        paths = tables(self.folder, name)
        if not paths:
            raise RunError(f"{self.folder / name} is missing or empty; run the study again")
        try:
            return pl.concat([pl.read_parquet(path, glob=False) for path in paths], how=how)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise RunError(
                f"{self.folder / name} cannot be read ({str(error).splitlines()[0]}); run the study again"
            ) from error

    def __repr__(self) -> str:
        shown = (
            ", ".join(f"{name}: {one.decision}" for name, one in self.result.decision.items()) or "nothing to decide"
        )
        return f"Run({self.result.study} {self.id}; {shown}; {self.folder})"

    def _repr_html_(self) -> str:
        result = self.result
        decided = [f"{name}: {one.decision}. {one.because}" for name, one in result.decision.items()]
        fired = [
            f"{one.rule} {one.name} ({one.severity}): {one.evidence}" for one in self.findings if one.status == "fired"
        ]
        rows = [row for row in result.results.comparisons if row.segment is None]
        title = f"{result.study}: " + (
            ", ".join(f"{name} {one.decision}" for name, one in result.decision.items()) or "nothing to decide"
        )
        return html_table(COMPARED, map(compared, rows), [*decided, *fired, f"report: {self.report}"], title)


def exit_code(decisions: Iterable[str]) -> int:
    """The exit code of some decisions: the worst of them wins.

    >>> exit_code(["go", "undecided"]), exit_code([])
    (4, 0)
    """
    return _CODES[worst(decisions)]


def worst(decisions: Iterable[str]) -> str:
    """The worst of some decisions; `go` of none."""
    found = set(decisions)
    return next(word for word in _CODES if word in found or word == "go")


def tables(folder: Path, name: str) -> list[Path]:
    """The files of one of a run's tables, in order."""
    return sorted((folder / name).glob("*.parquet"))


def place(out: Path, study: str, run: str) -> Path:
    """Where a run lives."""
    return out / study / run


@contextmanager
def writing(folder: Path, kept: Callable[[Path], bool], wait: Callable[[], None]) -> Iterator[Path | None]:
    """A folder to write into, which takes its place when the block ends well; None where another process wrote it meanwhile.

    What an interrupted process left is found again, so that work that is done need not be done twice; when the block does
    not end well it stays if it is worth to be `kept`, else it goes. Whoever writes holds a lock in it, so that what a killed
    process left is told from what is being written, on this machine and on others that share the disk; `wait` is called
    before waiting for somebody else.
    """
    made = [parent for parent in folder.parents if not parent.exists()]
    partial = folder.parent / f".{folder.name}{_PARTIAL}"
    lock = _lock(partial, wait)
    if folder.exists():
        lock.close()
        shutil.rmtree(partial, ignore_errors=True)
        yield None
        return
    try:
        yield partial
        (partial / _LOCK).unlink()
        partial.chmod(0o755)
        _take_place(partial, folder)
    except BaseException:
        if not kept(partial):
            shutil.rmtree(partial, ignore_errors=True)
            for parent in made:
                with suppress(OSError):
                    parent.rmdir()
        raise
    finally:
        lock.close()
    _sweep(folder.parent)


def _lock(partial: Path, wait: Callable[[], None]) -> TextIO:
    """Hold the lock of a partial folder, which is made if need be."""
    waited = False
    while True:
        partial.mkdir(parents=True, exist_ok=True)
        try:
            lock = (partial / _LOCK).open("w")
        except FileNotFoundError:
            continue  # it took its place between these two lines
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not waited:
                wait()
            waited = True
            fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.fstat(lock.fileno()).st_ino == (partial / _LOCK).stat().st_ino:
                return lock
        lock.close()  # what was waited for has taken its place, or is gone


def _take_place(partial: Path, folder: Path) -> None:
    try:
        partial.rename(folder)
    except OSError as error:
        raise RunError(f"{folder} is in the way and is not a run; remove it and run again") from error


def _sweep(study: Path) -> None:
    """Remove what was interrupted long ago and never taken up again."""
    for partial in study.glob(f".*{_PARTIAL}"):
        with suppress(OSError):
            age = time.time() - partial.stat().st_mtime  # before the lock is opened, which may make it
            with (partial / _LOCK).open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if age > _ABANDONED:
                    shutil.rmtree(partial, ignore_errors=True)


def replayed_before(out: Path, study: str, replay: str) -> Path | None:
    """The folder of a finished run of a study that made the same lists."""
    for run in find(out):
        if run.folder.parent.name == study and (run.folder / "replays").is_dir():
            with suppress(RunError):
                if run.manifest.get("replay") == replay:
                    return run.folder
    return None


def find(out: Path) -> list[Run]:
    """All runs below a folder, by study and age, oldest first."""
    found = [path.parent for path in out.glob("*/*/result.json") if not path.parent.name.startswith(".")]
    return [Run(path) for path in sorted(found, key=lambda path: (path.parent.name, path.stat().st_mtime))]


def write_json(path: Path, document: Any) -> None:
    """Plain values as JSON for people and programs."""
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
