"""The web application behind ``provml ui``."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from provml.errors import ProvMLError, RunNotFoundError, SeriesNotFoundError
from provml.ui.answers import find_answer
from provml.ui.guard import Guard
from provml.ui.news import News
from provml.ui.pages import PAGES, build_page, media_type, read_asset
from provml.ui.queries import Query
from provml.ui.run_documents import write_graph, write_temporary

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

    from provml.ui.browsed_store import BrowsedStore

_ABSENT: Final = (RunNotFoundError, SeriesNotFoundError)
_AT_ONCE: Final = 2
_WITH_TABLES: Final = ("runs", "compare", "file")
"""Data that comes from the store's tables, which answer one request at a time."""
_WITH_DOCUMENT: Final = ("validity",)
"""Data that needs the whole graph of a run, as documents do."""
_GRAPH_POLICY: Final = "frame-ancestors 'self'"
"""The part of the graph page's content security policy that the server sends.

The rest of the policy is in the page itself, because the rest names the page's scripts.
"""


def build_app(store: BrowsedStore, token: str | None = None) -> Guard:
    """Build the application that shows a store.

    Args:
        store: the store.
        token: the token that every request needs; None to answer only requests from this machine.
    """
    site = _Site(store)
    routes = [
        Route("/", site.redirect),
        Route("/{page}.html", site.page),
        Route("/assets/{name}", site.asset),
        Route("/data/{name}", site.data),
        Route("/live", site.live),
        Route("/graph/{experiment}/{run}.html", site.graph),
        Route("/download/{experiment}/{run}/{format}", site.download),
    ]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return Guard(app, token)


class _Site:
    """The functions that answer HTTP requests."""

    def __init__(self, store: BrowsedStore) -> None:
        self._store = store
        self._news = News(store.path)
        # slow requests wait here, so that they don't take the threads that answer quick ones
        documents, tables = asyncio.Semaphore(_AT_ONCE), asyncio.Semaphore(_AT_ONCE)
        self._documents = documents
        self._queues = dict.fromkeys(_WITH_DOCUMENT, documents)
        self._queues.update(dict.fromkeys(_WITH_TABLES, tables))

    async def redirect(self, request: Request) -> Response:
        return RedirectResponse("index.html", 307)

    async def page(self, request: Request) -> Response:
        name = request.path_params["page"]
        if name not in PAGES:
            return _error_answer("there is no such page", "NotFound", 404)
        return Response(build_page(name, self._store.name, live=True), media_type="text/html")

    async def asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        try:
            asset = await run_in_threadpool(_load_asset, name)
        except ProvMLError as error:
            return _describe_error(error)
        if asset is None:
            return _error_answer("there is no such file", "NotFound", 404)
        headers = {"etag": asset.tag, "cache-control": "no-cache", "vary": "accept-encoding"}
        if request.headers.get("if-none-match") == asset.tag:
            return Response(status_code=304, headers=headers)
        content = asset.content
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
            content = asset.compressed
        return Response(content, headers=headers, media_type=media_type(name))

    async def data(self, request: Request) -> Response:
        name = request.path_params["name"]
        try:
            answer = find_answer(name)
            if answer is None:
                return _error_answer("there is no such data", "NotFound", 404)
            query = Query(request.query_params.multi_items())
            async with self._queues.get(name) or nullcontext():
                if await request.is_disconnected():
                    return _error_answer("the page was closed", "Closed", 408)
                made = await run_in_threadpool(answer, self._store, query)
        except (ProvMLError, OSError) as error:
            return _describe_error(error)
        return _json_answer(made, 200)

    async def live(self, request: Request) -> Response:
        if self._news.is_full:
            return _error_answer("too many pages are open: close some", "TooMany", 503)
        return StreamingResponse(self._news.messages(), media_type="text/event-stream")

    async def graph(self, request: Request) -> Response:
        try:
            async with self._documents:
                if await request.is_disconnected():
                    return _error_answer("the page was closed", "Closed", 408)
                page = await run_in_threadpool(write_graph, self._find_run(request))
        except (ProvMLError, OSError) as error:
            return _describe_error(error)
        headers = {"content-security-policy": _GRAPH_POLICY}
        return Response(page, media_type="text/html", headers=headers)

    async def download(self, request: Request) -> Response:
        try:
            folder, format_name = self._find_run(request), request.path_params["format"]
            async with self._documents:
                if await request.is_disconnected():
                    return _error_answer("the page was closed", "Closed", 408)
                name, chunks = await run_in_threadpool(write_temporary, folder, format_name)
        except (ProvMLError, OSError) as error:
            return _describe_error(error)
        headers = {"content-disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
        return StreamingResponse(chunks, media_type="application/octet-stream", headers=headers)

    def _find_run(self, request: Request) -> Path:
        place = request.path_params
        return self._store.run_folder(f"{place['experiment']}/{place['run']}")


class _Asset(NamedTuple):
    """A file that the pages load, with a tag that changes with its content."""

    content: bytes
    compressed: bytes
    tag: str


@cache
def _load_asset(name: str) -> _Asset | None:
    content = read_asset(name)
    if content is None:
        return None
    return _Asset(content, gzip.compress(content), f'"{hashlib.sha256(content).hexdigest()}"')


def _describe_error(error: ProvMLError | OSError) -> Response:
    status = 404 if isinstance(error, _ABSENT) else 400 if isinstance(error, ProvMLError) else 500
    return _error_answer(str(error), type(error).__name__, status)


def _json_answer(content: Any, status: int) -> Response:
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status, media_type="application/json")


def _error_answer(message: str, kind: str, status: int) -> Response:
    return _json_answer({"error": message, "kind": kind}, status)
