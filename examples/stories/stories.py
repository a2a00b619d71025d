"""Five stories of evaluations that went wrong, each told by two runs: as the mistake has it, and as it should be.

    python stories.py [FOLDER]

Writes a simulated job board (and the keyword search of `../keywords`), makes each mistake, and prints what Rankcast says of it.
The guide's page of worked examples shows these very lines.
"""

from __future__ import annotations

import io
import runpy
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import polars as pl

import rankcast
from rankcast.runs.folder import Run
from rankcast.study import schema_files
from rankcast.testing.demo import write_demo
from rankcast.testing.jobboard import JobBoard

REQUESTS, SEED = 20_000, 7
HERE = Path(__file__).parent


class Story:
    """A folder with the demo's data and files, some of whose text is other."""

    def __init__(self, base: Path, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(base, folder)

    def edit(self, file: str, old: str, new: str) -> Story:
        """Write another text into one of the files; it must be there."""
        path = self.folder / file
        text = path.read_text(encoding="utf-8")
        if old not in text:
            raise ValueError(f"{file} does not say {old!r}")
        path.write_text(text.replace(old, new), encoding="utf-8")
        return self

    def scores(self, name: str, frame: pl.DataFrame) -> Story:
        """Write a score file."""
        frame.write_parquet(self.folder / "data" / "scores" / f"{name}.parquet")
        return self

    def run(self, study: str) -> Run:
        """Run one of the studies."""
        return rankcast.run(self.folder / "studies" / f"{study}.yaml", self.folder / "runs")


def told(title: str, done: Run, *rules: str) -> Iterator[str]:
    """What a run says: its difference, its decision, and some rules."""
    variant, decided = next(iter(done.decision.items()))
    row = next(
        r for r in done.result.results.comparisons if r.variant == variant and r.family == "primary" and not r.segment
    )
    fidelity = done.result.results.fidelity
    overlap = "not measured" if fidelity is None or fidelity.overlap is None else f"{fidelity.overlap:.3f}"
    yield f"{title}: {row.metric} {row.relative or 0:+.1%}, fidelity {overlap}: {decided.decision}"
    for one in done.findings:
        if one.rule in rules:
            yield f"  {one.rule} {one.status}{f' ({one.severity})' if one.status == 'fired' else ''}: {one.evidence}"


def forgotten_filter(base: Path, folder: Path) -> Iterator[str]:
    """The filter that was not replayed."""
    match = """    - match: {request.job_type: item.job_type}        # the filters that the user set
    - match: {request.employment: item.employment}
"""
    forgotten = Story(base, folder / "forgotten").edit("service.yaml", match, "")
    yield from told("without the user's filters", forgotten.run("filter-net"), "RP01", "RP02")
    yield from told("with them", Story(base, folder / "replayed").run("filter-net"), "RP01", "RP02")


def keyword_mean(base: Path, folder: Path) -> Iterator[str]:
    """The keyword mean."""
    del base
    shutil.copytree(HERE.parent / "keywords", folder / "keywords", ignore=shutil.ignore_patterns("data", "runs"))
    with redirect_stdout(io.StringIO()):
        runpy.run_path(str(folder / "keywords" / "make.py"))["main"](folder / "keywords" / "data")
    service = folder / "keywords" / "service.yaml"
    listed = "average: [request, user, request.keyword]"
    text = service.read_text(encoding="utf-8")
    for title, average in (
        ("every keyword alike", "average: request.keyword"),
        ("every request alike", "average: request"),
    ):
        service.write_text(text.replace(listed, average), encoding="utf-8")
        yield from told(title, rankcast.run(folder / "keywords" / "study.yaml", folder / "runs"), "MT01")


def users_who_fell_out(base: Path, folder: Path) -> Iterator[str]:
    """The users who fell out."""
    path = base / "data" / "scores" / "two_tower.parquet"
    scores, users = pl.read_parquet(path), pl.read_parquet(base / "data" / "users.parquet")
    warm = users.filter(pl.col("tenure") != "new")["user_id"]
    lost = Story(base, folder / "lost").scores("two_tower", scores.filter(pl.col("user_id").is_in(warm.implode())))
    done = lost.run("two-tower")
    values = done.values.pivot("variant", index=["request_id", "user_id"], values="dcg@10")
    served = values.filter(pl.col("user_id").is_in(warm.implode()))
    inner = served["two_tower"].mean() / served["production"].mean() - 1  # type: ignore[operator]
    yield f"the notebook, joined with the users that both models know: dcg@10 {inner:+.1%}"
    yield from told("all users, who got nothing count as nothing", done, "TG02", "CA02")
    yield from told("with scores of everybody", Story(base, folder / "everybody").run("two-tower"), "TG02", "CA02")


def leaking_model(base: Path, folder: Path, board: JobBoard) -> Iterator[str]:
    """The leaking model."""
    scores = pl.read_parquet(base / "data" / "scores" / "two_tower.parquet")
    later = board.events.filter(pl.col("timestamp") < pl.datetime(2023, 10, 9)).select("user_id", "item_id").unique()
    knows = scores.join(later.with_columns(knows=pl.lit(1.0)), on=["user_id", "item_id"], how="left")
    leaking = knows.with_columns(
        (pl.col("score") + 2 * pl.col("knows").fill_null(0.0)).cast(pl.Float32).alias("score")
    ).drop("knows")
    story = Story(base, folder / "leaking").scores("two_tower", leaking)
    story.edit(
        "studies/two-tower.yaml",
        "two_tower.parquet}, trained_until: 2023-09-29",
        "two_tower.parquet}, trained_until: 2023-10-09",
    )
    yield from told("trained on the first week of the answers", story.run("two-tower"), "DT01")
    yield from told("trained until the Friday before", Story(base, folder / "honest").run("two-tower"), "DT01")


def tie_order(base: Path, folder: Path) -> Iterator[str]:
    """The winner that was a tie order."""
    keys = ["user_id", "item_id", "computed_at"]
    ours = pl.read_parquet(base / "data" / "scores" / "production.parquet").rename({"score": "production"})
    whole = pl.read_parquet(base / "data" / "scores" / "two_tower.parquet").with_columns(pl.col("score").round(0))
    both = whole.join(ours, on=keys)
    sorted_file = both.select(*keys, score=pl.col("score").cast(pl.Float64) + 1e-3 * pl.col("production"))
    notebook = Story(base, folder / "notebook").scores("two_tower", sorted_file).run("two-tower")
    yield from told("whole scores, ties as in the file, which production had sorted", notebook, "RP06")
    rounded = Story(base, folder / "rounded").scores("two_tower", whole).run("two-tower")
    yield from told("whole scores, ties by item_id", rounded, "RP06")
    yield from told("scores with all their digits", Story(base, folder / "digits").run("two-tower"), "RP06")


def main(folder: Path) -> None:
    """Tell all five."""
    base = folder / "demo"
    board = write_demo(base, REQUESTS, SEED, schema_files())
    stories = (
        (forgotten_filter.__doc__, forgotten_filter(base, folder / "1")),
        (keyword_mean.__doc__, keyword_mean(base, folder / "2")),
        (users_who_fell_out.__doc__, users_who_fell_out(base, folder / "3")),
        (leaking_model.__doc__, leaking_model(base, folder / "4", board)),
        (tie_order.__doc__, tie_order(base, folder / "5")),
    )
    for title, lines in stories:
        print((title or "").rstrip("."))
        for line in lines:
            print(f"  {line}")
        print()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder))
