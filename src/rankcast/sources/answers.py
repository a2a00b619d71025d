"""What recommendation APIs answered: written down as it comes, and from then on a score file like any other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from rankcast.errors import Problem, show
from rankcast.progress import Progress
from rankcast.sources.api import Answer, Api, ApiError, Pace, Question, client_of, host, put
from rankcast.tables import columns as c

_EXAMPLES = 3
_ENOUGH = 10  # failures and nothing else: there is nobody to ask
_LOOK = 0.2  # seconds after which whoever waits looks whether somebody pressed Ctrl-C
_AT_ONCE = 3  # questions that wait for each one that is asked


def questions(frame: pl.DataFrame) -> list[Question]:
    """A question for each row: `request_id`, and a column `?name` for each parameter; null parameters are left out."""
    columns = [name for name in frame.columns if name.startswith("?")]
    return [
        Question(
            row[c.REQUEST_ID],
            tuple((name[1:], text) for name in columns for text in _texts(row[name])),
        )
        for row in frame.with_columns(pl.col(pl.Datetime).dt.to_string("iso:strict")).iter_rows(named=True)
    ]


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [str(value).lower() if isinstance(value, bool) else str(value)]


def ask(api: Api, asked: list[Question], folder: Path, recorded: Path | None, progress: Progress) -> Path:
    """The file with an answer to every question. What the folder has already is not asked again, nor what is `recorded`.

    ApiError when more fails than may.
    """
    folder.mkdir(exist_ok=True)
    target = folder / file_name(api.name)
    known = _written(recorded) if recorded is not None and recorded.exists() else {}
    known |= {request: answer for request, answer in _written(target).items() if answer.error is None}
    waiting = [question for question in asked if question.request not in known]
    _write(target, known.values())
    if waiting:
        progress.note("ask", f"{api.name}: {len(waiting):,} requests to {host(api.url)}")
        _ask_for(api, waiting, known, len(asked), target, progress)
    _write(target, [known[question.request] for question in asked])
    return target


def file_name(variant: str) -> str:
    """The file of a variant's answers, whatever the variant is called.

    >>> file_name("api/v2")
    'api%2Fv2.ndjson'
    """
    name = variant.replace("%", "%25").replace("/", "%2F")
    return f"{'%2E' + name[1:] if name.startswith('.') else name}.ndjson"


def _ask_for(
    api: Api, waiting: list[Question], known: dict[str | int, Answer], total: int, target: Path, progress: Progress
) -> None:
    """Ask, and write down every answer as it comes; also those that are still on their way when there is a reason to stop."""
    failed: list[Answer] = []
    hopeless = False
    asking = _Asking(api, waiting)
    with target.open("a", encoding="utf-8") as file:

        def keep(answer: Answer) -> None:
            file.write(answer.line() + "\n")
            file.flush()
            known[answer.request] = answer

        try:
            for answer in progress.track("ask", asking.answers(), len(waiting)):
                keep(answer)
                if answer.error is not None:
                    failed.append(answer)
                    hopeless = hopeless or _hopeless(api, failed, len(known), total)
                    if hopeless:
                        asking.stop()
        except BaseException:
            asking.stop()
            for answer in asking.answers():
                keep(answer)
            raise
        finally:
            asking.close()
    if hopeless:
        raise ApiError(_told(api, failed, len(known)))


def as_scores(api: Api, path: Path, target: Path, requests: pl.DataType) -> int:
    """Answers as a score file, and how many requests failed. `requests` is the type of request ids."""
    answers = list(_written(path).values())
    integers = api.integers
    if integers is None:
        integers = all(isinstance(item, int) for one in answers for item in one.items)
    with_scores = all(answer.scores is not None for answer in answers if answer.items)
    rows = {
        c.REQUEST_ID: pl.Series([one.request for one in answers for _ in one.items], dtype=requests),
        c.ITEM_ID: pl.Series(
            [item if integers else str(item) for one in answers for item in one.items],
            dtype=pl.Int64 if integers else pl.String,
        ),
    }
    if with_scores:
        rows[c.SCORE] = pl.Series([score for one in answers for score in one.scores or ()], dtype=pl.Float64)
    else:
        rows[c.RANK] = pl.Series([rank for one in answers for rank in range(1, len(one.items) + 1)], dtype=pl.Int64)
    pl.DataFrame(rows).write_parquet(target)
    return sum(answer.error is not None for answer in answers)


def _written(path: Path) -> dict[str | int, Answer]:
    """Answers that are written down; a line that was cut off is none."""
    if not path.exists():
        return {}
    found = {}
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            answer = Answer.read(line)
        except (ValueError, KeyError, TypeError):
            continue
        found[answer.request] = answer
    return found


def _write(path: Path, answers: Iterable[Answer]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text("".join(answer.line() + "\n" for answer in answers), encoding="utf-8")
    partial.rename(path)


def _hopeless(api: Api, failed: list[Answer], done: int, total: int) -> bool:
    """More failures than may be, for certain; or nothing but failures."""
    return len(failed) > api.failures * total or _nothing_else(api, failed, done)


def _nothing_else(api: Api, failed: list[Answer], done: int) -> bool:
    return len(failed) == done >= max(_ENOUGH, 2 * api.concurrency)


def _told(api: Api, failed: list[Answer], done: int) -> Problem:
    nothing_else = _nothing_else(api, failed, done)
    examples = "; ".join(f"request {show(one.request)}: {one.error}" for one in failed[:_EXAMPLES])
    allowed = f"; `failures: {100 * api.failures:g}%` allows fewer" if api.failures and not nothing_else else ""
    kept = " What was answered is kept: run again to ask for the rest." if done > len(failed) else ""
    return api.problem(
        f"{host(api.url)}: {len(failed):,} of {done:,} requests failed{allowed}: {examples}. See that the API answers, "
        f"be more patient (`timeout`, `retries`, `rate`), or allow some to fail (`failures: 5%`).{kept}"
    )


class _Asking:
    """Questions under way, some at the same time."""

    def __init__(self, api: Api, asked: list[Question]) -> None:
        self._api = api
        self._client = client_of(api)
        self._pace = Pace(api.rate)
        self._waiting = iter(asked)
        self._pending: set[Future[Answer | None]] = set()
        self._pool = ThreadPoolExecutor(api.concurrency)

    def answers(self) -> Iterator[Answer]:
        """Answers as they come."""
        while True:
            room = self._api.concurrency * _AT_ONCE - len(self._pending)
            for question in islice(self._waiting, room):
                self._pending.add(self._pool.submit(put, self._api, self._client, self._pace, question))
            if not self._pending:
                return
            done, _ = wait(self._pending, timeout=_LOOK, return_when=FIRST_COMPLETED)
            for future in done:
                self._pending.discard(future)
                answer = None if future.cancelled() else future.result()
                if answer is not None:
                    yield answer

    def stop(self) -> None:
        """Ask no more, and wait for no further attempt; what is on its way may still be answered."""
        self._waiting = iter(())
        self._pace.stop()
        for future in self._pending:
            future.cancel()

    def close(self) -> None:
        """Nothing is under way any more."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._client.close()
