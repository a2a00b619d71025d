"""A recommendation API: how it is asked, and how its answers are read.

The only place that imports an HTTP client.
"""

from __future__ import annotations

import json
import math
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from rankcast.errors import NOWHERE, Place, PluginError, Problem, RankcastError, clip, show
from rankcast.tables import columns as c

_LISTS = ("items", "item_ids", "recommendations", "results")
_PASSING = frozenset({408, 425, 429})  # and every 5xx: another attempt may go well
_LONGEST_WAIT = 30.0
_FIRST_WAIT = 0.25  # seconds before the second attempt, at least; each further one doubles it
_HEADER = re.compile(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
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


def client_of(api: Api) -> Any:
    """A client for an API; ApiError says which of its settings no request could hold."""
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


class Pace:
    """At most so many requests a second, over all threads."""

    def __init__(self, rate: float | None) -> None:
        self._gap = 0.0 if rate is None else 1.0 / rate
        self._next = 0.0
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def wait(self) -> None:
        """Until the next request may go."""
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
        """Nobody waits any more."""
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


def put(api: Api, client: Any, pace: Pace, question: Question) -> Answer | None:
    """Put a question: what the API answers, after as many attempts as it takes; None when nobody waits for it any more."""
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


def _fetch(api: Api, client: Any, pace: Pace, question: Question) -> bytes:
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


def host(url: str) -> str:
    """An address without what may be secret in it."""
    return re.sub(r"//[^/@]*@", "//", url).partition("?")[0]
