"""GitHub, as far as a workflow needs it: what it runs for, and one comment that is found again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rankcast.errors import RunError, clip
from rankcast.report.review import MARKER

_PAGE, _PAGES = 100, 50
_SECONDS = 30.0
_TRIES = 4


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
                told: dict[str, Any] = json.load(file)
        except (KeyError, OSError, ValueError) as error:
            raise RunError(
                f"GITHUB_EVENT_PATH holds no event ({error}); expected to run in a workflow of GitHub"
            ) from error
        pull = told.get("pull_request") or {}
        repository = environ.get("GITHUB_REPOSITORY", "")
        return cls(
            repository,
            pull.get("number"),
            (pull.get("base") or {}).get("sha"),
            bool(pull) and ((pull.get("head") or {}).get("repo") or {}).get("full_name") != repository,
            environ.get("GITHUB_API_URL", "https://api.github.com").rstrip("/"),
        )


def put_comment(event: Event, token: str, text: str) -> str:
    """Write the comment of a pull request, or write it anew where it is there already; its address.

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

    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    with httpx.Client(base_url=event.api, headers=headers, timeout=_SECONDS) as client:

        @tenacity.retry(
            retry=tenacity.retry_if_exception(passing),
            stop=tenacity.stop_after_attempt(_TRIES),
            wait=tenacity.wait_exponential(multiplier=0.5, max=8),
            reraise=True,
        )
        def ask(method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
            answer = client.request(method, path, json=body)
            answer.raise_for_status()
            return answer.json()

        def earlier() -> Iterator[int]:
            for page in range(1, _PAGES + 1):
                found = ask(
                    "GET", f"/repos/{event.repository}/issues/{event.number}/comments?per_page={_PAGE}&page={page}"
                )
                yield from (one["id"] for one in found if str(one.get("body") or "").startswith(MARKER))
                if len(found) < _PAGE:
                    return

        try:
            for number in earlier():
                try:
                    return str(
                        ask("PATCH", f"/repos/{event.repository}/issues/comments/{number}", {"body": text})["html_url"]
                    )
                except httpx.HTTPStatusError as error:
                    if error.response.status_code not in {403, 404}:
                        raise  # a comment of somebody else that begins like ours, or one that is gone: look further
            made = ask("POST", f"/repos/{event.repository}/issues/{event.number}/comments", {"body": text})
            return str(made["html_url"])
        except httpx.HTTPStatusError as error:
            said = clip(" ".join(error.response.text.split()), 200)
            raise RunError(
                f"GitHub refuses the comment ({error.response.status_code}: {said}); the workflow needs `permissions: "
                "pull-requests: write`, which changes from forks never have"
            ) from error
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"GitHub does not answer as it should: {clip(str(error), 200)}") from error
