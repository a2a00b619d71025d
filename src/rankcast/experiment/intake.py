"""Everything that comes in: tables, answers of APIs, and what an interrupted or an earlier run left."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import polars as pl

from rankcast.config.plan import Plan
from rankcast.errors import DataError
from rankcast.experiment import assembly, saved, trails
from rankcast.progress import Progress
from rankcast.records import Count
from rankcast.runs import folder as runs
from rankcast.runs.folder import Run
from rankcast.sources.answers import as_scores, ask, file_name, questions
from rankcast.sources.load import POOLED, SCORED, Inputs, Loaded, Means, load
from rankcast.tables import columns as c
from rankcast.tables.logs import Logs

WORK, ANSWERS = ".work", "answers"


@dataclass(frozen=True)
class Allowance:
    """What a run may use: bytes of memory, about; processes that share the work; whom to tell how it goes."""

    memory: int
    processes: int
    progress: Progress


@dataclass(frozen=True)
class Intake:
    """Brings in what a run needs. `folder` is where the run is written, `earlier` a run with the same lists, `repeated` the
    run that is made again.
    """

    plan: Plan
    folder: Path
    allowed: Allowance
    most_rows: int
    earlier: Path | None
    repeated: Run | None

    def tidy(self) -> None:
        """Of what an interrupted run left, only whole shards and recorded answers are of use; none where the lists are there
        from an earlier run.
        """
        saved.drop_overlaps(self.folder)
        whole = trails.told(self.folder, saved.names(self.folder)) if self.earlier is None else set()
        for path in list(self.folder.iterdir()):
            if path.is_dir() and path.name not in {saved.SLATES, saved.REPLAYS, trails.TRAILS, ANSWERS}:
                shutil.rmtree(path)
            elif path.is_file() and path.suffix in {".json", ".html", ".md"}:
                path.unlink()
        for name in (saved.SLATES, saved.REPLAYS, trails.TRAILS):
            (self.folder / name).mkdir(exist_ok=True)
            for path in list((self.folder / name).iterdir()):
                if path.name.startswith(".") or not (path.stem in whole or (whole and path.name == trails.WHOLE)):
                    path.unlink()

    def load(self) -> Loaded:
        """All tables; wide ones only as far as lists are still to be made."""
        note = partial(self.allowed.progress.note, "load")
        (self.folder / WORK).mkdir()
        means = Means(self.folder / WORK, self.allowed.memory, self.most_rows, self.allowed.processes)
        inputs = assembly.inputs_of(self.plan)
        if self.earlier is not None:
            note(f"the lists are those of {self.earlier}: nothing is replayed")
            loaded = load(inputs, replace(means, items=_shown(self.earlier)), note, with_wide=False)
            before = Run(self.earlier).results.counts
            if (self.earlier / ANSWERS).is_dir():  # whoever repeats this run needs them
                shutil.copytree(self.earlier / ANSWERS, self.folder / ANSWERS, dirs_exist_ok=True)
            kept = tuple(count for count in before if count.table.startswith((SCORED, POOLED)))
            return replace(loaded, counts=(*loaded.counts, *kept))
        finished = saved.names(self.folder)
        if finished:
            ids = pl.concat([saved.requests_of(self.folder, name) for name in finished])
            note(f"taking up an interrupted run: {len(ids):,} requests in {len(finished):,} shards are done")
            means = replace(means, done=ids)
        if all(variant.spec.http is None for variant in self.plan.variants):
            return load(inputs, means, note)
        inputs, counts = self._ask(load(inputs, means, note, with_wide=False).logs)
        loaded = load(inputs, means, note)
        return replace(loaded, counts=(*loaded.counts, *counts))

    def _ask(self, logs: Logs) -> tuple[Inputs, list[Count]]:
        """Ask APIs for their lists, unless their answers are recorded already."""
        problems = assembly.column_problems(self.plan, assembly.columns_of(logs))
        if problems:
            raise DataError(problems)
        requests = assembly.target_rule(self.plan, logs).replayed(logs.requests.time)
        answers, counts = {}, []
        for number, (api, asked) in enumerate(assembly.apis_of(self.plan, logs, requests)):
            recorded = None if self.repeated is None else self.repeated.folder / ANSWERS / file_name(api.name)
            path = ask(api, questions(asked), self.folder / ANSWERS, recorded, self.allowed.progress)
            answers[api.name] = self.folder / WORK / f"answers-{number}.parquet"
            failed = as_scores(api, path, answers[api.name], logs.ids.requests.dtype)
            what = "requests that the API did not answer"
            counts.append(Count(table=SCORED + api.name, what=what, count=failed, of=len(asked)))
        return assembly.inputs_of(self.plan, answers), counts


def _shown(run: Path) -> pl.Series:
    """The ids of all items in the lists of a run."""
    lists = pl.scan_parquet(runs.tables(run, saved.SLATES), glob=False)
    return lists.select(pl.col(c.ITEM_ID).unique()).collect(engine="streaming").to_series()
