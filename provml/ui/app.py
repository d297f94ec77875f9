"""The web application behind ``provml ui``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from provml.errors import ProvMLError, RunNotFoundError, SeriesNotFoundError
from provml.ui.answers import find_answer
from provml.ui.guard import Guard
from provml.ui.pages import PAGES, build_page, media_type, read_asset
from provml.ui.queries import Query

if TYPE_CHECKING:
    from starlette.requests import Request

    from provml.ui.browsed_store import BrowsedStore

_ABSENT: Final = (RunNotFoundError, SeriesNotFoundError)


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
    ]
    return Guard(Starlette(routes=routes), token)


class _Site:
    """The functions that answer requests."""

    def __init__(self, store: BrowsedStore) -> None:
        self._store = store

    async def redirect(self, request: Request) -> Response:
        return RedirectResponse("index.html", 307)

    async def page(self, request: Request) -> Response:
        name = request.path_params["page"]
        if name not in PAGES:
            return _error_answer("there is no such page", "NotFound", 404)
        return Response(build_page(name, self._store.name, live=True), media_type="text/html")

    async def asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        content = await run_in_threadpool(read_asset, name)
        if content is None:
            return _error_answer("there is no such file", "NotFound", 404)
        return Response(content, media_type=media_type(name))

    async def data(self, request: Request) -> Response:
        answer = find_answer(request.path_params["name"])
        if answer is None:
            return _error_answer("there is no such data", "NotFound", 404)
        try:
            query = Query(request.query_params.multi_items())
            made = await run_in_threadpool(answer, self._store, query)
        except ProvMLError as error:
            status = 404 if isinstance(error, _ABSENT) else 400
            return _error_answer(str(error), type(error).__name__, status)
        except OSError as error:
            return _error_answer(str(error), type(error).__name__, 500)
        return _json_answer(made, 200)


def _json_answer(content: Any, status: int) -> Response:
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status, media_type="application/json")


def _error_answer(message: str, kind: str, status: int) -> Response:
    return _json_answer({"error": message, "kind": kind}, status)
