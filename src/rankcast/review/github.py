"""GitHub, as far as a workflow needs it: what it runs for, and one comment that is found again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from rankcast.errors import RunError, clip
from rankcast.report.review import MARKER

_PAGE, _PAGES = 100, 50
_SECONDS = 30.0
_TRIES = 4
_FINE, _NOT_OURS = 200, (403, 404)


@dataclass(frozen=True)
class Event:
    """What a workflow runs for. `fork`: the change comes from another repository, so that nothing of it may be run here.

    `number` is that of the pull request.
    """

    repository: str
    number: int | None
    base: str | None
    fork: bool
    api: str

    @classmethod
    def current(cls, environ: Mapping[str, str] = os.environ) -> Event | None:
        """The event of the workflow that this process belongs to; None outside of one."""
        if environ.get("GITHUB_ACTIONS") != "true":
            return None
        try:
            with open(environ["GITHUB_EVENT_PATH"], encoding="utf-8") as file:
                told = _Event.model_validate_json(file.read())
        except (KeyError, OSError, ValueError) as error:
            raise RunError(
                f"GITHUB_EVENT_PATH holds no event ({type(error).__name__}); expected to run in a workflow of GitHub"
            ) from error
        repository = environ.get("GITHUB_REPOSITORY", "")
        pull, other = told.pull_request, told.workflow_run
        heads = [pull.head.repo] if pull else []
        heads += [other.head_repository] if other else []
        return cls(
            repository,
            pull.number if pull else None,
            pull.base.sha if pull else None,
            any(head is None or head.full_name != repository for head in heads),
            environ.get("GITHUB_API_URL", "https://api.github.com").rstrip("/"),
        )


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Repo(_Lenient):
    full_name: str


class _Side(_Lenient):
    sha: str
    repo: _Repo | None = None


class _Pull(_Lenient):
    number: int
    base: _Side
    head: _Side


class _Run(_Lenient):
    head_repository: _Repo | None = None


class _Event(_Lenient):
    """What of an event it takes to know where a change comes from."""

    pull_request: _Pull | None = None
    workflow_run: _Run | None = None


class _User(_Lenient):
    login: str
    type: str = "User"


class _Comment(_Lenient):
    id: int
    html_url: str = ""
    body: str | None = None
    user: _User | None = None


_COMMENTS: TypeAdapter[list[_Comment]] = TypeAdapter(list[_Comment])


def put_comment(event: Event, token: str, text: str, create: bool = True) -> str | None:
    """Write the comment of a pull request, or write it anew where it is there already; its address. Unless `create`, nothing is
    written where there is none yet.

    RunError where GitHub refuses, as it does for a change from a fork, whose token can only read.
    """
    try:
        import httpx
        import tenacity
    except ImportError as error:
        raise RunError(f"a comment on GitHub: needs an extra: pip install 'rankcast[http]' ({error})") from error

    def passing(error: BaseException) -> bool:
        return isinstance(error, httpx.TransportError) or (
            isinstance(error, httpx.HTTPStatusError) and error.response.status_code in {429, 500, 502, 503, 504}
        )

    # What is tried again begins with a look: a comment whose answer got lost is found, and not written twice.
    @tenacity.retry(
        retry=tenacity.retry_if_exception(passing),
        stop=tenacity.stop_after_attempt(_TRIES),
        wait=tenacity.wait_exponential(multiplier=0.5, max=8),
        reraise=True,
    )
    def put() -> str | None:
        headers = {
            "Authorization": f"Bearer {token.strip()}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        with httpx.Client(base_url=event.api, headers=headers, timeout=_SECONDS) as client:
            return _put(client, f"/repos/{event.repository}/issues", event.number, text, create)

    try:
        return put()
    except httpx.HTTPStatusError as error:
        said = clip(" ".join(error.response.text.split()), 200)
        raise RunError(
            f"GitHub refuses the comment ({error.response.status_code}: {said}); the workflow needs `permissions: "
            "pull-requests: write`, which changes from forks never have"
        ) from error
    except (httpx.HTTPError, ValueError) as error:
        said = clip(" ".join(str(error).split()), 200).replace(token.strip(), "***")
        raise RunError(f"GitHub does not answer as it should: {type(error).__name__}: {said}") from error


def _put(client: Any, issues: str, number: int | None, text: str, create: bool) -> str | None:
    """Look for our comment, and write it."""
    for earlier in _ours(client, f"{issues}/{number}/comments"):
        answer = client.patch(f"{issues}/comments/{earlier.id}", json={"body": text})
        if answer.status_code not in _NOT_OURS:
            return _read(answer).html_url
    if not create:
        return None
    return _read(client.post(f"{issues}/{number}/comments", json={"body": text})).html_url


def _read(answer: Any) -> _Comment:
    answer.raise_for_status()
    return _Comment.model_validate_json(answer.content)


def _ours(client: Any, comments: str) -> Iterator[_Comment]:
    """Comments that begin like ours and were written by a workflow, or by whoever the token is of: others may begin so too."""
    me = client.get("/user")
    login = _User.model_validate_json(me.content).login if me.status_code == _FINE else None
    for page in range(1, _PAGES + 1):
        answer = client.get(f"{comments}?per_page={_PAGE}&page={page}")
        answer.raise_for_status()
        found = _COMMENTS.validate_json(answer.content)
        for one in found:
            own = one.user is not None and (one.user.type == "Bot" or one.user.login == login)
            if own and (one.body or "").startswith(MARKER):
                yield one
        if len(found) < _PAGE:
            return
