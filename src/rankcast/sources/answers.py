"""What a recommendation API answers: asked once per request, written down, and from then on a score file like any other.

The only place that imports an HTTP client.
"""

from __future__ import annotations

import json
import math
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from rankcast.errors import NOWHERE, Place, PluginError, Problem, RankcastError, clip, show
from rankcast.progress import Progress
from rankcast.tables import columns as c

_LISTS = ("items", "item_ids", "recommendations", "results")
_PASSING = frozenset({408, 425, 429})  # and every 5xx: another attempt may go well
_LONGEST_WAIT = 30.0
_EXAMPLES = 3
_ENOUGH = 10  # failures and nothing else: there is nobody to ask
_FIRST_WAIT = 0.25  # seconds before the second attempt, at least; each further one doubles it
_HEADER = re.compile(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
_AT_ONCE = 3  # questions that wait for each one that is asked
_INTEGER = re.compile(r"^(0|-?[1-9][0-9]{0,17})$")


class ApiError(RankcastError):
    """An API does not answer as it should. What it answered is kept: the next run asks for the rest."""


@dataclass(frozen=True)
class Api:
    """How to ask, and how to read the answer. `integers`: whether ids of items are; None where no table tells."""

    name: str
    url: str
    headers: Mapping[str, str]
    items: str | None
    item_id: str
    score: str | None
    concurrency: int
    timeout: float
    retries: int
    rate: float | None
    failures: float
    integers: bool | None
    place: Place = NOWHERE
    mask: Callable[[str], str] = str  # takes out what must not be seen

    def problem(self, message: str) -> Problem:
        """A problem of this API, at its place."""
        return Problem(message, self.place.file, self.place.line, self.place.key)

    def shown(self, text: str, longest: int = 120) -> str:
        """Text that the API sent, as it may be written down."""
        return clip(self.mask(text).encode("utf-8", "replace").decode(), longest)


@dataclass(frozen=True)
class Question:
    """One request and its parameters."""

    request: str | int
    query: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Answer:
    """What came back: items, best first, with scores where there are any; or why there is no list."""

    request: str | int
    items: tuple[str | int, ...] = ()
    scores: tuple[float, ...] | None = None
    error: str | None = None

    def line(self) -> str:
        """As it is written down."""
        return json.dumps(
            {"request_id": self.request, "items": self.items, "scores": self.scores, "error": self.error},
            ensure_ascii=False,
        )

    @classmethod
    def read(cls, line: str) -> Answer:
        """As it was written down."""
        told = json.loads(line)
        scores = None if told["scores"] is None else tuple(told["scores"])
        return cls(told["request_id"], tuple(told["items"]), scores, told["error"])


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
        progress.note("ask", f"{api.name}: {len(waiting):,} requests to {_host(api.url)}")
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
        f"{_host(api.url)}: {len(failed):,} of {done:,} requests failed{allowed}: {examples}. See that the API answers, "
        f"be more patient (`timeout`, `retries`, `rate`), or allow some to fail (`failures: 5%`).{kept}"
    )


class _Asking:
    """Questions under way, some at the same time."""

    def __init__(self, api: Api, asked: list[Question]) -> None:
        self._api = api
        self._client = _client(api)
        self._pace = _Pace(api.rate)
        self._waiting = iter(asked)
        self._pending: set[Future[Answer | None]] = set()
        self._pool = ThreadPoolExecutor(api.concurrency)

    def answers(self) -> Iterator[Answer]:
        """Answers as they come."""
        while True:
            room = self._api.concurrency * _AT_ONCE - len(self._pending)
            for question in islice(self._waiting, room):
                self._pending.add(self._pool.submit(_answer, self._api, self._client, self._pace, question))
            if not self._pending:
                return
            done, _ = wait(self._pending, return_when=FIRST_COMPLETED)
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


def _client(api: Api) -> Any:
    try:
        import httpx
        import tenacity  # noqa: F401 - told here, before anything is asked
    except ImportError as error:
        raise PluginError(
            api.problem("a variant behind HTTP needs an HTTP client; install it with `pip install 'rankcast[http]'`")
        ) from error
    _check_settings(api)
    limits = httpx.Limits(max_connections=api.concurrency, max_keepalive_connections=api.concurrency)
    return httpx.Client(timeout=api.timeout, headers=dict(api.headers), limits=limits, follow_redirects=True)


def _check_settings(api: Api) -> None:
    """What would fail for every request is told once, and shows no value."""
    import httpx

    problems = []
    for name, value in api.headers.items():
        if not _HEADER.match(name):
            problems.append(api.problem(f"headers: {show(name)} is no name of a header"))
        elif not value.isascii() or not value.isprintable() or value != value.strip():
            problems.append(
                api.problem(
                    f"headers.{name}: the value holds what a header cannot: expected printable ASCII without spaces around it; "
                    "see that the variable has no line break at its end"
                )
            )
    try:
        url = httpx.URL(api.url)
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError
    except (httpx.InvalidURL, ValueError):
        problems.append(
            api.problem(
                f"url: expected an address such as http://localhost:8080/recommend, found {show(api.shown(api.url))}"
            )
        )
    if problems:
        raise ApiError(problems)


class _Pace:
    """At most so many requests a second, over all threads."""

    def __init__(self, rate: float | None) -> None:
        self._gap = 0.0 if rate is None else 1.0 / rate
        self._next = 0.0
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def wait(self) -> None:
        with self._lock:
            now = time.monotonic()
            mine = max(now, self._next)
            self._next = mine + self._gap
        self.sleep(mine - now)

    def sleep(self, seconds: float) -> None:
        """Wait; `_Stopped` when nobody waits for the answer any more."""
        if self._stopped.wait(max(0.0, seconds)):
            raise _Stopped

    def stop(self) -> None:
        self._stopped.set()


class _Passing(Exception):  # noqa: N818 - it is no error yet
    """A failure that may pass; `after` is when the API wants to be asked again."""

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.after = after


class _Wrong(Exception):  # noqa: N818
    """An answer that no further attempt mends."""


class _Stopped(Exception):  # noqa: N818
    """Nobody waits for the answer any more."""


def _answer(api: Api, client: Any, pace: _Pace, question: Question) -> Answer | None:
    import tenacity

    def before_next(state: Any) -> float:
        """Exponential back-off with jitter, or as long as the API asks for."""
        asked = getattr(state.outcome.exception(), "after", None)
        backoff = _FIRST_WAIT * 2 ** (state.attempt_number - 1) * random.uniform(1.0, 2.0)  # noqa: S311 - no secret
        return float(min(_LONGEST_WAIT, backoff if asked is None else asked))

    attempts = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(api.retries + 1),
        wait=before_next,
        retry=tenacity.retry_if_exception_type(_Passing),
        sleep=pace.sleep,
        reraise=True,
    )
    try:
        body = attempts(_fetch, api, client, pace, question)
        items, scores = read_answer(api, body)
    except _Stopped:
        return None
    except _Passing as error:
        tries = f" after {api.retries + 1} attempts" if api.retries else ""
        return Answer(question.request, error=f"{error}{tries}")
    except _Wrong as error:
        return Answer(question.request, error=str(error))
    return Answer(question.request, items, scores)


def _fetch(api: Api, client: Any, pace: _Pace, question: Question) -> bytes:
    import httpx

    pace.wait()
    deadline = time.monotonic() + api.timeout
    url = httpx.URL(api.url)
    query = [*url.params.multi_items(), *question.query]
    try:
        with client.stream("GET", url.copy_with(query=None), params=query) as response:
            body = b""
            for piece in response.iter_bytes():
                body += piece
                if time.monotonic() > deadline:  # the client's own timeout is one for each piece
                    raise _Passing(f"no answer within {api.timeout:g} s")
    except httpx.TimeoutException as error:
        raise _Passing(f"no answer within {api.timeout:g} s") from error
    except httpx.TransportError as error:
        raise _Passing(f"{type(error).__name__}: {api.shown(str(error)).rstrip('.')}") from error
    except httpx.HTTPError as error:
        raise _Wrong(f"{type(error).__name__}: {api.shown(str(error)).rstrip('.')}") from error
    if response.status_code in _PASSING or response.status_code >= 500:
        raise _Passing(f"status {response.status_code}", _seconds(response.headers.get("retry-after", "")))
    if response.status_code != 200:
        said = api.shown(body.decode("utf-8", "replace"))
        raise _Wrong(f"status {response.status_code}{': ' if said else ''}{said}")
    return body


def _seconds(text: str) -> float | None:
    """What `Retry-After` says: seconds, or a moment."""
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else max(0.0, (moment - datetime.now(tz=UTC)).total_seconds())


def read_answer(api: Api, body: bytes) -> tuple[tuple[str | int, ...], tuple[float, ...] | None]:
    """Items and, where there are any, scores; `_Wrong` says what was found instead."""
    try:
        whole = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _Wrong(f"the answer is not JSON: {api.shown(body[:400].decode('utf-8', 'replace'), 80)}") from error
    found = _list_in(api, whole)
    if not all(isinstance(one, dict) for one in found):
        return _distinct([_id(api, one) for one in found]), None
    if not found:
        return (), None
    lost = next((one for one in found if api.item_id not in one), None)
    if lost is not None:
        raise _Wrong(
            f"a record has no `{api.item_id}`: {api.shown(show(lost))}; say which key holds the id with `item_id`"
        )
    items = _distinct([_id(api, one[api.item_id]) for one in found])
    key = api.score or c.SCORE
    if api.score is None and not all(key in one for one in found):
        return items, None
    return items, tuple(_score(api, one, key) for one in found)


def _list_in(api: Api, whole: Any) -> list[Any]:
    if api.items is not None:
        for part in api.items.split("."):
            if not isinstance(whole, dict) or part not in whole:
                there = f"; there are {', '.join(map(str, list(whole)[:10]))}" if isinstance(whole, dict) else ""
                raise _Wrong(f"the answer has no `{api.items}`{api.shown(there)}")
            whole = whole[part]
    elif isinstance(whole, dict):
        lists = [name for name, value in whole.items() if isinstance(value, list)]
        name = next((name for name in _LISTS if name in lists), lists[0] if len(lists) == 1 else None)
        if name is None:
            found = f"{len(lists)} lists ({', '.join(lists)})" if lists else f"no list: {api.shown(show(whole))}"
            raise _Wrong(f"the answer has {found}; say with `items` where the items stand")
        whole = whole[name]
    if not isinstance(whole, list):
        raise _Wrong(f"expected a list of items, found {api.shown(show(whole))}")
    return whole


def _id(api: Api, value: Any) -> str | int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _Wrong(f"expected the id of an item, found {api.shown(show(value))}")
    if isinstance(value, str) and value != value.encode("utf-8", "replace").decode():
        raise _Wrong(f"expected the id of an item, found text that is no Unicode: {api.shown(show(value))}")
    if api.integers is None:
        return value
    if not api.integers:
        return str(value)
    if isinstance(value, str) and not _INTEGER.match(value):
        raise _Wrong(f"expected an integer as in the service's tables, found the id {show(value)}")
    if abs(int(value)) >= 2**63:
        raise _Wrong(f"expected an id of 64 bits, found {show(value)}")
    return int(value)


def _distinct(items: list[str | int]) -> tuple[str | int, ...]:
    if len(set(items)) < len(items):
        twice = next(item for at, item in enumerate(items) if item in items[:at])
        raise _Wrong(f"the list holds the item {show(twice)} twice")
    return tuple(items)


def _score(api: Api, record: dict[str, Any], key: str) -> float:
    value = record.get(key)
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.nan
    if not math.isfinite(number):
        raise _Wrong(f"expected a number as `{key}`, found {api.shown(show(value))} in {api.shown(show(record))}")
    return number


def _host(url: str) -> str:
    """An address without what may be secret in it."""
    return re.sub(r"//[^/@]*@", "//", url).partition("?")[0]
