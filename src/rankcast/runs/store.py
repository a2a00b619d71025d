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

from rankcast.errors import RunError
from rankcast.runs import folder as folders
from rankcast.runs.folder import Run
from rankcast.runs.objects import Bucket, is_remote
from rankcast.runs.summary import Summary, summary_of

SUMMARY = "summary.json"
_SMALL = ("manifest.json", "result.json", "report.html", "report.md", SUMMARY)
_LAST = "result.json"  # written last: a run that has it is whole
_TOGETHER = 8  # summaries that are read at a time
_EVERY = 60.0  # seconds between two times that shards are put aside
Kept = Callable[[Path], bool]


@dataclass(frozen=True)
class Desk:
    """A folder to write a run into. `put_aside`: what is whole by now may be kept elsewhere, in case this machine goes.
    `travels`: it will be opened on other machines, so that no path can be told from it.
    """

    folder: Path
    put_aside: Callable[[], None] = lambda: None
    travels: bool = False


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


@dataclass(frozen=True)
class BucketStore(Store):
    """Runs in a bucket, with a folder on this machine that holds what was written or opened here.

    A run is uploaded whole, `result.json` last, so that others see it whole or not at all. Shards that are done are put aside in
    the bucket from time to time, and at the end of a run that is stopped: another machine takes it up from there.
    """

    bucket: Bucket
    cache: Path
    _memory: dict[str, float] = field(default_factory=dict, repr=False, compare=False)

    def __str__(self) -> str:
        return self.bucket.url

    def get(self, study: str, run: str) -> Run | None:
        if not self.bucket.has(f"{study}/{run}/{_LAST}"):
            return None
        folder = folders.place(self.cache, study, run)
        missing = [name for name in _SMALL if not (folder / name).is_file()]
        there = set(self.bucket.objects(f"{study}/{run}")) if missing else set()
        self.bucket.get((key, folder / name) for name in missing if (key := f"{study}/{run}/{name}") in there)
        return Run(folder, partial(self._bring, study, run))

    def names(self) -> list[tuple[str, str]]:
        keys = (key.split("/") for key in self.bucket.objects())
        return [(key[0], key[1]) for key in keys if len(key) == 3 and key[2] == _LAST and not key[1].startswith(".")]

    def short(self, study: str, run: str) -> Summary:
        told = self.bucket.read(f"{study}/{run}/{SUMMARY}")
        if told is not None:
            with suppress(ValueError):
                return Summary.model_validate_json(told)
        found = self.get(study, run)
        if found is None:
            raise RunError(f"{self}/{study}/{run} is gone")
        return _short(found)

    @contextmanager
    def writing(self, study: str, run: str, kept: Kept, wait: Callable[[], None]) -> Iterator[Desk | None]:
        place = folders.place(self.cache, study, run)
        if place.exists():
            shutil.rmtree(place)  # remembered here, gone from the bucket
        aside = f"{study}/.{run}.partial"
        with folders.writing(place, kept, wait) as folder:
            if folder is None or self.get(study, run) is not None:
                yield None
                return
            self._take_up(aside, folder)
            put_aside = partial(self._put_aside, aside, folder)
            try:
                yield Desk(folder, partial(put_aside, every=_EVERY), travels=True)
            except BaseException:
                with suppress(RunError):  # what went wrong before is what must be told
                    put_aside(every=0)
                raise
            self._upload(folder, f"{study}/{run}")
        self.bucket.remove(self.bucket.objects(aside))

    def replayed_before(self, study: str, replay: str) -> Path | None:
        for one in self.find():
            run = self.get(study, one.run) if (one.study, one.replay) == (study, replay) else None
            if run is not None:
                for name in ("slates", "replays", "trails", "answers"):
                    run.bring(name)
                return run.folder
        return None

    def whereabouts(self, run: Run) -> str:
        return f"{self.bucket.url.rstrip('/')}/{run.folder.parent.name}/{run.id}"

    def _bring(self, study: str, run: str, name: str) -> None:
        """Bring one of a run's tables here."""
        place = folders.place(self.cache, study, run)
        keys = self.bucket.objects(f"{study}/{run}/{name}")
        missing = [key for key in keys if not (place / name / key.rpartition("/")[2]).is_file()]
        self.bucket.get((key, place / name / key.rpartition("/")[2]) for key in missing)

    def _take_up(self, aside: str, folder: Path) -> None:
        """What another machine put aside before it went."""
        keys = self.bucket.objects(aside)
        self.bucket.get((key, folder / key[len(aside) + 1 :]) for key in keys if not key.endswith(".json"))
        self.bucket.get((key, folder / key[len(aside) + 1 :]) for key in keys if key.endswith(".json"))

    def _put_aside(self, aside: str, folder: Path, every: float) -> None:
        """Put what is whole aside: a shard's tables, then its `.json`, which says that it is whole."""
        now = time.monotonic()
        if now - self._memory.setdefault(aside, now) < every:
            return
        whole = {path.stem for path in (folder / "replays").glob("shard-*.json")}
        files = [path for name in whole for path in folder.glob(f"*/{name}.*")] + list((folder / "answers").glob("*"))
        there = set(self.bucket.objects(aside))
        pairs = [
            (path, key) for path in files if (key := f"{aside}/{path.relative_to(folder).as_posix()}") not in there
        ]
        self.bucket.put(pair for pair in pairs if not pair[1].endswith(".json"))
        self.bucket.put(pair for pair in pairs if pair[1].endswith(".json"))
        self._memory[aside] = time.monotonic()

    def _upload(self, folder: Path, key: str) -> None:
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
        names = [path.relative_to(folder).as_posix() for path in files]
        pairs = [(path, f"{key}/{name}") for path, name in zip(files, names, strict=True)]
        self.bucket.put(pair for pair in pairs if pair[1] != f"{key}/{_LAST}")
        self.bucket.put([(folder / _LAST, f"{key}/{_LAST}")])


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
    with suppress(OSError, ValueError):
        return Summary.model_validate_json((run.folder / SUMMARY).read_text(encoding="utf-8"))
    try:
        return summary_of(run.result, run.manifest)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{run.folder} is not a run that this version can read ({type(error).__name__}); remove it to run again"
        ) from error
