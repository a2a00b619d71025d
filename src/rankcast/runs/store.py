"""Where runs are kept: a folder, or a bucket that pods and people share. Both find, open and write runs in the same way."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import uuid4

from rankcast.errors import RunError
from rankcast.runs import folder as folders
from rankcast.runs.folder import Run
from rankcast.runs.objects import Bucket, is_remote
from rankcast.runs.summary import Summary, summary_of

SUMMARY = "summary.json"
_SMALL = ("manifest.json", "result.json", "report.html", "report.md", SUMMARY)
_TABLES = ("slates", "replays", "trails")  # of a shard
_LAST = "result.json"  # written last: a run that has it is whole
_TOGETHER = 8  # summaries that are read at a time
_EVERY = 60.0  # seconds between two times that shards are put aside
Kept = Callable[[Path], bool]


@dataclass(frozen=True)
class Desk:
    """A folder to write a run into. `put_aside`: what is whole by now may be kept elsewhere, in case this machine goes.
    `token`: on the names of its tables in a bucket; such a run is opened on other machines, so that no path can be told from it.
    """

    folder: Path
    put_aside: Callable[[], None] = lambda: None
    token: str | None = None


class Store(ABC):
    """Where runs are kept."""

    @abstractmethod
    def get(self, study: str, run: str) -> Run | None:
        """A whole run; None where there is none."""

    @abstractmethod
    def names(self) -> list[tuple[str, str]]:
        """Study and id of all runs."""

    @abstractmethod
    def short(self, study: str, run: str) -> Summary:
        """A run in short. RunError where it cannot be read."""

    def find(self, left_out: Callable[[RunError], None] = lambda _: None) -> list[Summary]:
        """All runs in short, by study and age, oldest first; what cannot be read is told."""

        def read(name: tuple[str, str]) -> Summary | RunError:
            try:
                return self.short(*name)
            except RunError as error:
                return error

        found = []
        with ThreadPoolExecutor(_TOGETHER) as pool:
            for one in pool.map(read, self.names()):
                if isinstance(one, Summary):
                    found.append(one)
                else:
                    left_out(one)
        return sorted(found, key=lambda one: (one.study, one.started))

    @abstractmethod
    def writing(
        self, study: str, run: str, kept: Kept, wait: Callable[[], None]
    ) -> AbstractContextManager[Desk | None]:
        """A desk; its folder takes its place when the block ends well. None where somebody else wrote the run meanwhile."""

    @abstractmethod
    def replayed_before(self, study: str, replay: str) -> Path | None:
        """The folder of a whole run of a study that made the same lists."""

    @abstractmethod
    def whereabouts(self, run: Run) -> str:
        """Where a run is, as people and their tools say it."""

    def open(self, name: str) -> Run:
        """A run by its id, or the beginning of it."""
        found = [(study, run) for study, run in self.names() if run.startswith(name)]
        if len(found) > 1:
            raise RunError(f"`{name}` could be {', '.join(run for _, run in found)}; write more of the id")
        run = self.get(*found[0]) if found else None
        if run is None:
            raise RunError(
                f"no run `{name}`: neither a run folder, nor the id of a run below {self}; `rankcast runs` lists them"
            )
        return run


@dataclass(frozen=True)
class FolderStore(Store):
    """Runs in a folder: `<folder>/<study>/<run>`."""

    root: Path

    def __str__(self) -> str:
        return str(self.root)

    def get(self, study: str, run: str) -> Run | None:
        place = folders.place(self.root, study, run)
        return Run(place) if place.exists() else None

    def names(self) -> list[tuple[str, str]]:
        return [(run.folder.parent.name, run.id) for run in folders.find(self.root)]

    def short(self, study: str, run: str) -> Summary:
        return _short(Run(folders.place(self.root, study, run)))

    @contextmanager
    def writing(self, study: str, run: str, kept: Kept, wait: Callable[[], None]) -> Iterator[Desk | None]:
        with folders.writing(folders.place(self.root, study, run), kept, wait) as folder:
            yield None if folder is None else Desk(folder)

    def replayed_before(self, study: str, replay: str) -> Path | None:
        return folders.replayed_before(self.root, study, replay)

    def whereabouts(self, run: Run) -> str:
        return str(run.folder)


class _DoneElsewhereError(Exception):
    """Another machine finished the run meanwhile."""


@dataclass(frozen=True)
class BucketStore(Store):
    """Runs in a bucket, with a folder on this machine that remembers what was written or opened here.

    A run is uploaded whole, `result.json` last, so that others see it whole or not at all. Its tables bear a token of whoever
    wrote them, which its manifest names: two machines that write the same run at the same time never mix. Shards that are done
    are put aside from time to time, and at the end of a run that is stopped: another machine takes it up from there.
    """

    bucket: Bucket
    cache: Path

    def __str__(self) -> str:
        return self.bucket.url

    def get(self, study: str, run: str) -> Run | None:
        if not self.bucket.has(f"{study}/{run}/{_LAST}"):
            return None
        folder = folders.place(self.cache, study, run)
        if folder.exists() and not self._still(study, run, folder):
            shutil.rmtree(folder)
        missing = [name for name in _SMALL if not (folder / name).is_file()]
        there = set(self.bucket.objects(f"{study}/{run}")) if missing else set()
        self.bucket.get((key, folder / name) for name in missing if (key := f"{study}/{run}/{name}") in there)
        return Run(folder, partial(self._bring, study, run, Run(folder).manifest.get("token")))

    def names(self, below: str = "") -> list[tuple[str, str]]:
        keys = (key.split("/") for key in self.bucket.objects(below))
        return [(key[0], key[1]) for key in keys if len(key) == 3 and key[2] == _LAST and not key[1].startswith(".")]

    def short(self, study: str, run: str) -> Summary:
        told = self.bucket.read(f"{study}/{run}/{SUMMARY}")
        if told is not None:
            with suppress(ValueError):
                return _named(Summary.model_validate_json(told), study, run)
        try:
            found = self.get(study, run)
            if found is not None:
                return _short(found)
        except RunError as error:
            raise RunError(f"{self}/{study}/{run} is not a run that this version can read") from error
        raise RunError(f"{self}/{study}/{run} is gone")

    @contextmanager
    def writing(self, study: str, run: str, kept: Kept, wait: Callable[[], None]) -> Iterator[Desk | None]:
        place, aside = folders.place(self.cache, study, run), f"{study}/.{run}.partial"
        token = uuid4().hex[:8]
        try:
            with folders.writing(place, kept, wait) as folder:
                if folder is None or self.bucket.has(f"{study}/{run}/{_LAST}"):
                    raise _DoneElsewhereError
                taken = self._take_up(aside, folder)
                put_aside = _Aside(self.bucket, f"{aside}/{token}", folder, done=taken)
                try:
                    yield Desk(folder, put_aside.now_and_then, token)
                except BaseException:
                    with suppress(RunError):  # what went wrong before is what must be told
                        put_aside.now()
                    raise
                self._upload(folder, f"{study}/{run}", token)
        except _DoneElsewhereError:
            shutil.rmtree(place.parent / f".{run}.partial", ignore_errors=True)
            if self.bucket.has(f"{study}/{run}/{_LAST}"):
                yield None
                return
            shutil.rmtree(place)  # remembered here, gone from the bucket
            with self.writing(study, run, kept, wait) as desk:
                yield desk
            return
        self.bucket.remove(self.bucket.objects(aside))

    def replayed_before(self, study: str, replay: str) -> Path | None:
        for _, name in self.names(study):
            with suppress(RunError):  # what cannot be read is of no use
                run = self.get(study, name) if self.short(study, name).replay == replay else None
                if run is not None:
                    for table in (*_TABLES, "answers"):
                        run.bring(table)
                    return run.folder
        return None

    def whereabouts(self, run: Run) -> str:
        return f"{self.bucket.url.rstrip('/')}/{run.folder.parent.name}/{run.id}"

    def _still(self, study: str, run: str, folder: Path) -> bool:
        """Whether what is remembered here is what is in the bucket; true where nothing is remembered yet."""
        name = SUMMARY if (folder / SUMMARY).is_file() else "manifest.json"
        if not (folder / name).is_file():
            return True
        return self.bucket.read(f"{study}/{run}/{name}") == (folder / name).read_bytes()

    def _bring(self, study: str, run: str, token: str | None, name: str) -> None:
        """Bring one of a run's tables here: the files with its token."""
        place, mark = folders.place(self.cache, study, run), f"{token}." if token else ""
        keys = [key for key in self.bucket.objects(f"{study}/{run}/{name}") if key.rpartition("/")[2].startswith(mark)]
        pairs = [(key, place / name / key.rpartition("/")[2].removeprefix(mark)) for key in keys]
        self.bucket.get(pair for pair in pairs if not pair[1].is_file())

    def _take_up(self, aside: str, folder: Path) -> set[Path]:
        """What other machines put aside before they went: of every shard that is not here all files, of one machine; of answers
        the longest file, since they are appended to. What was taken.
        """
        taken: set[Path] = set()
        for key, _ in sorted(self.bucket.sizes(aside).items(), key=lambda pair: (-pair[1], pair[0])):
            token, _, name = key[len(aside) + 1 :].partition("/")
            names = [name] if name.startswith("answers/") else []
            if name.startswith("replays/") and name.endswith(".json"):
                names = [*(f"{table}/{Path(name).stem}.parquet" for table in _TABLES), name]
            if names and not (folder / name).exists():
                for one in names:  # what says that a shard is whole comes last
                    self.bucket.get([(f"{aside}/{token}/{one}", folder / one)])
                taken |= {folder / one for one in names}
        return taken

    def _upload(self, folder: Path, key: str, token: str) -> None:
        """Tables first, under the token's names; then what tells of them; `result.json` last."""
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
        tables = [path for path in files if path.parent != folder]
        self.bucket.put(
            (path, f"{key}/{path.parent.relative_to(folder).as_posix()}/{token}.{path.name}") for path in tables
        )
        small = [path for path in files if path.parent == folder and path.name != _LAST]
        self.bucket.put((path, f"{key}/{path.name}") for path in small)
        self.bucket.put([(folder / _LAST, f"{key}/{_LAST}")])


@dataclass
class _Aside:
    """Puts shards that are done where another machine finds them. `at`: a prefix that nobody else writes to."""

    bucket: Bucket
    at: str
    folder: Path
    last: float = field(default_factory=time.monotonic)
    done: set[Path] = field(default_factory=set)

    def now_and_then(self) -> None:
        """If that was not done for a while."""
        if time.monotonic() - self.last > _EVERY:
            self.now()

    def now(self) -> None:
        """A shard's tables, then its `.json`, which says that it is whole."""
        told = sorted((self.folder / "replays").glob("shard-*.json"))
        whole = [path for path in told if (self.folder / "trails" / f"{path.stem}.parquet").is_file()]
        tables = [self.folder / table / f"{path.stem}.parquet" for path in whole for table in _TABLES]
        for some in ([*tables, *(self.folder / "answers").glob("*.ndjson")], whole):
            self.bucket.put(
                (path, f"{self.at}/{path.relative_to(self.folder).as_posix()}")
                for path in some
                if path not in self.done
            )
        self.done |= {*tables, *whole}
        self.last = time.monotonic()


def open_store(out: str | Path) -> Store:
    """Where `--out` says that runs are kept."""
    if not is_remote(str(out)):
        if Path(out).exists() and not Path(out).is_dir():
            raise RunError(f"{out} is a file; expected a folder to keep runs in")
        return FolderStore(Path(out))
    bucket = Bucket(str(out).rstrip("/"))
    home = os.environ.get("RANKCAST_CACHE")
    cache = Path(home) if home else Path.home() / ".cache" / "rankcast"
    return BucketStore(bucket, cache / hashlib.blake2b(bucket.url.encode(), digest_size=6).hexdigest())


def open_run(name: str, out: str | Path) -> Run:
    """A run by its folder, by its address in a bucket, or by its id (or the beginning of it) among the runs of `out`."""
    if (Path(name) / _LAST).is_file():
        return Run(Path(name))
    if is_remote(name):
        where, _, run = name.rstrip("/").rpartition("/")
        where, _, study = where.rpartition("/")
        found = open_store(where).get(study, run) if is_remote(where) else None
        if found is None:
            raise RunError(f"no run {name}; expected s3://bucket/prefix/<study>/<run id>")
        return found
    return open_store(out).open(name)


def _short(run: Run) -> Summary:
    """A run in short, from its summary or (an earlier version's) from the rest."""
    names = run.folder.parent.name, run.id
    with suppress(OSError, ValueError):
        return _named(Summary.model_validate_json((run.folder / SUMMARY).read_text(encoding="utf-8")), *names)
    try:
        return _named(summary_of(run.result, run.manifest), *names)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{run.folder} is not a run that this version can read ({type(error).__name__}); remove it to run again"
        ) from error


def _named(summary: Summary, study: str, run: str) -> Summary:
    """By the names under which it is kept: what a file says of itself leads nowhere."""
    return summary.model_copy(update={"study": study, "run": run})
