"""Decides which requests the server answers, and adds the headers that browsers obey.

Another website that is open in the same browser must not read the store, and neither must another
user of the machine or the network who does not know the token.
"""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from provml.ui.pages import CONTENT_POLICY

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOCAL_NAMES: Final = ("localhost", "localhost.localdomain")
_METHODS: Final = ("GET", "HEAD")
_COOKIE: Final = "provml_token"
_HEADERS: Final = {
    "content-security-policy": f"{CONTENT_POLICY}; frame-ancestors 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def is_loopback(host: str) -> bool:
    """Return whether a host name or address always means this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() in _LOCAL_NAMES


class Guard:
    """Refuses requests from other websites and other users before the application sees them.

    Without a token, only requests whose ``Host`` header means this machine are answered: otherwise
    a website could point its own name at 127.0.0.1 and read the store. With a token, a request
    needs the token as a cookie, as a bearer token, or as the parameter ``token``, which is moved to
    a cookie at once.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if self._token is None:  # browsers ignore and report it on other addresses
                    headers["cross-origin-opener-policy"] = "same-origin"
            await send(message)

        refusal = self._refuse(scope)
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refuse(self, scope: Scope) -> Response | None:
        """Return an answer that refuses a request; None if the request is allowed."""
        headers = Headers(scope=scope)
        if scope["method"] not in _METHODS:
            return PlainTextResponse("Only GET and HEAD are allowed here.\n", 405)
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and (
            headers.get("sec-fetch-mode") != "navigate"
        ):
            return PlainTextResponse("Another website may not read this page.\n", 403)
        if self._token is None:
            if not is_loopback(_host_name(headers.get("host", ""))):
                return PlainTextResponse("Open this page as http://127.0.0.1:PORT.\n", 403)
            return None
        return self._check_token(scope, headers, self._token)

    def _check_token(self, scope: Scope, headers: Headers, token: str) -> Response | None:
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in query if name == "token"]
        if given and _is_same(given[0], token):
            kept = urlencode([pair for pair in query if pair[0] != "token"])
            target = scope["path"] + (f"?{kept}" if kept else "")
            # a path such as //host would lead to another host
            answer = RedirectResponse("/" + target.lstrip("/"), 303)
            answer.set_cookie(_COOKIE, token, httponly=True, samesite="strict", path="/")
            return answer
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _is_same(bearer.strip(), token):
            return None
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(_COOKIE)
        except CookieError:
            cookie = None
        if cookie is not None and _is_same(cookie.value, token):
            return None
        return PlainTextResponse(
            "This page needs a token: open the address that provml ui printed, with ?token=...\n",
            401,
            {"www-authenticate": "Bearer"},
        )


def _is_same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def _host_name(header: str) -> str:
    """Return the name in a Host header, without the port and without an address's brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.rpartition(":")[0] or header if ":" in header else header
