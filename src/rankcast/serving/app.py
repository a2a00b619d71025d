"""The pages over HTTP: Starlette, GET only, names looked up in the store, nothing written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any

from rankcast.errors import RankcastError
from rankcast.report import pages
from rankcast.runs.store import Store
from rankcast.serving.looking import NotThereError, Runs, against, lists_of, trend_points

PAGE = 100  # runs of a page
_FILES = {
    "report.html": "text/html; charset=utf-8",
    "report.md": "text/plain; charset=utf-8",
    "result.json": "application/json",
    "manifest.json": "application/json",
}
_LOCAL = ("localhost", "127.0.0.1", "[::1]")
# Of every answer, unless it says otherwise.
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
# A report is data of somebody: its script runs, but as a stranger to these pages.
_SANDBOX = "sandbox allow-scripts allow-modals"


def application(store: Store, host: str) -> Any:
    """The application. A page asked for under another name than that of this host is refused: no website reads runs through a
    visitor's browser.
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, JSONResponse, Response
    from starlette.routing import Route

    runs, where = Runs(store), str(store)

    def page(text: str, status: int = 200) -> Response:
        return HTMLResponse(text, status, {"Content-Security-Policy": pages.policy()})

    def told(work: Callable[[Request], Response]) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            try:
                return work(request)
            except NotThereError as error:
                return page(pages.problem_page(where, "Not found", str(error)), 404)
            except RankcastError as error:
                return page(pages.problem_page(where, "This did not work", str(error)), 400)

        return answer

    def overview(request: Request) -> Response:
        asked = {name: request.query_params.get(name, "") for name in ("q", "study", "decision")}
        found = [
            one
            for one in runs.all()
            if one.matches(asked["q"])
            and asked["study"] in ("", one.study)
            and (not asked["decision"] or asked["decision"] in one.decision.values())
        ]
        number = min(_number(request.query_params.get("page")), max(1, -(-len(found) // PAGE)))
        start = (number - 1) * PAGE
        shown, more = found[start : start + PAGE], len(found) > start + PAGE
        return page(pages.runs_page(where, shown, asked, number, more, runs.studies(), len(found), runs.unreadable))

    def listing(_: Request) -> Response:
        return JSONResponse([one.model_dump(mode="json") for one in runs.all()])

    def trend(request: Request) -> Response:
        metrics = runs.metrics()
        asked = {name: request.query_params.get(name, "") for name in ("metric", "study")}
        asked["metric"] = asked["metric"] or (metrics[0] if metrics else "")
        points = trend_points(runs.all(), asked["metric"], asked["study"])
        return page(pages.trend_page(where, points, asked, metrics, runs.studies()))

    def compare(request: Request) -> Response:
        chosen = request.query_params.getlist("run")
        if len(chosen) != 2:
            raise RankcastError(f"expected two runs, found {len(chosen)}: choose two in the list of runs")
        (one, first), (other, second) = (runs.one(*name.partition("/")[::2]) for name in chosen)
        return page(pages.against_page(where, one, other, against(first, second)))

    def summary(request: Request) -> Response:
        found, _ = runs.one(request.path_params["study"], request.path_params["run"])
        return page(pages.run_page(where, found))

    def lists(request: Request) -> Response:
        found, run = runs.one(request.path_params["study"], request.path_params["run"])
        wanted = request.query_params.get("find", "").strip()
        return page(pages.lists_page(where, found, wanted, *lists_of(run, wanted)))

    def file(request: Request) -> Response:
        name = request.path_params["file"]
        _, run = runs.one(request.path_params["study"], request.path_params["run"])
        if name not in _FILES or not (run.folder / name).is_file():
            raise NotThereError(f"a run has {', '.join(_FILES)}")
        content = (run.folder / name).read_bytes()
        return Response(content, headers={"Content-Type": _FILES[name], "Content-Security-Policy": _SANDBOX})

    async def not_there(request: Request, _: Exception) -> Response:
        return page(pages.problem_page(where, "Not found", f"there is no page {request.url.path[:200]}"), 404)

    async def broken(_: Request, error: Exception) -> Response:
        return page(pages.problem_page(where, "A bug in Rankcast", f"{type(error).__name__}: please report it"), 500)

    at = "/runs/{study}/{run}"
    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {404: not_there, 500: broken}
    app = Starlette(
        routes=[
            Route("/", told(overview)),
            Route("/runs.json", told(listing)),
            Route("/trend", told(trend)),
            Route("/compare", told(compare)),
            Route(at, told(summary)),
            Route(f"{at}/lists", told(lists)),
            Route(f"{at}/{{file}}", told(file)),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=_names(host), www_redirect=False)],
        exception_handlers=handlers,
    )
    app.router.redirect_slashes = False
    return _with_headers(app)


def _with_headers(app: Any) -> Any:
    """The application, with the headers on every answer: also on those that never come to a page."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                more = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *(one for one in more if one[0] not in there)]}
            await send(message)

        await app(scope, receive, with_headers)

    return answer


def _names(host: str) -> list[str]:
    """Under which names pages may be asked for: any, where everybody may."""
    unspecified = host != "localhost" and ip_address(host).is_unspecified
    return ["*"] if unspecified else [*_LOCAL, f"[{host}]" if ":" in host else host]


def _number(text: str | None) -> int:
    return max(1, int(text)) if text and text.isascii() and text.isdigit() and len(text) < 20 else 1
