"""Sends queries and graphs to a SPARQL 1.1 server, with credentials and retries.

A graph is uploaded in one ``PUT`` request (Graph Store HTTP Protocol), which is streamed in chunks.
The server replaces the whole graph at once, so no client sees half a graph. If the upload fails,
the old graph remains. Requests use the HTTP client of the standard library.
Imports `query`, `answers`, `export`, `base.settings` and `errors`; imports pyoxigraph only when
needed.
"""

from __future__ import annotations

import base64
import http.client
import io
import ipaddress
import netrc
import queue
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from provml.base.settings import SparqlCredentials, sparql_credentials
from provml.errors import EndpointError, InvalidArgumentError
from provml.export import ntriples
from provml.model.mapping import RunMapping
from provml.sparql.answers import SparqlAnswer
from provml.sparql.query import PREFIXES, Parameter, bind_parameters, check_syntax, is_absolute_iri
from provml.version import __version__

_REQUEST_ATTEMPTS: Final = 5
_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 30.0
_CONNECT_S: Final = 20.0
_ANSWER_S: Final = 3600.0
_RETRY_STATUSES: Final = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_REASON: Final = 200
_LARGEST_ANSWER: Final = 2**28
_CHUNK: Final = 2**18
_WAITING_CHUNKS: Final = 16

_ANSWERS: Final = "application/sparql-results+json, application/n-triples, text/turtle;q=0.8"

Body = Callable[[], Iterable[bytes]]
"""A function that returns the body of a request. Each attempt calls the function again."""


@dataclass(frozen=True, slots=True)
class Response:
    """The content and media type of a server's response."""

    content: bytes
    media_type: str


class Endpoint:
    """A SPARQL server: its URL, and the credentials for it.

    Credentials come from the first of these sources:

    - the environment variable ``PROVML_SPARQL_TOKEN``;
    - the environment variables ``PROVML_SPARQL_USER`` and ``PROVML_SPARQL_PASSWORD``;
    - the user's netrc file.

    Credentials are sent only over TLS, or to the local machine. Certificates are verified.
    Redirects are not followed, because the credentials would be sent to the new address too.
    """

    def __init__(self, url: str, wait_s: float = _FIRST_WAIT_S) -> None:
        """Check the URL and read the credentials. No connection is made.

        Args:
            url: ``https://...`` or ``http://...``.
            wait_s: seconds to wait before the second attempt. Each further wait is twice as long.

        Raises:
            InvalidArgumentError: the URL is invalid or contains credentials.
            EndpointError: credentials would be sent unencrypted, or the netrc file can't be read.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise InvalidArgumentError(f"{url!r} is not a URL: {error}") from None
        if "@" in parts.netloc:
            raise InvalidArgumentError(
                "the URL contains credentials, which others can see: put them in "
                "PROVML_SPARQL_USER and PROVML_SPARQL_PASSWORD, or in ~/.netrc"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii():
            raise InvalidArgumentError(
                f"a server's URL must start with https:// or http:// and be ASCII: {url!r}"
            )
        if any(character <= " " for character in url) or parts.fragment:
            raise InvalidArgumentError(
                f"a server's URL can't contain spaces or a fragment: {url!r}"
            )
        self.url = url
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._wait_s = wait_s
        self._authorization = _build_authorization(sparql_credentials(), parts.hostname)
        if self._authorization and not self._secure and not _is_loopback(parts.hostname):
            raise EndpointError(
                f"credentials would be sent to {parts.hostname} unencrypted: use https://"
            )

    def request(
        self,
        method: str,
        parameters: Mapping[str, str],
        headers: Mapping[str, str],
        body: Body | bytes | None = None,
    ) -> Response:
        """Send a request to the server, and return the response.

        If the connection fails, or the server reports a temporary error, the request is repeated.
        It is sent at most five times in total.

        Raises:
            EndpointError: the connection fails, the server refuses or redirects the request, or the
                response is too large.
        """
        path = self._path
        if parameters:
            joint = "&" if "?" in path else "?"
            path += joint + urlencode(parameters, quote_via=quote)
        reason = ""
        for attempt in range(_REQUEST_ATTEMPTS):
            if attempt:
                time.sleep(self._choose_pause_s(attempt))
            try:
                status, asked_s, response = self._send(method, path, headers, body)
            except ssl.SSLCertVerificationError as error:
                raise EndpointError(
                    f"{self.url}: the server's certificate can't be verified: "
                    f"{error.verify_message}"
                ) from None
            except EndpointError:
                raise
            except (OSError, http.client.HTTPException) as error:
                reason = str(error) or type(error).__name__
                continue
            if status in _RETRY_STATUSES:
                reason = _describe_refusal(status, response.content)
                if asked_s and attempt + 1 < _REQUEST_ATTEMPTS:
                    time.sleep(min(asked_s, _LONGEST_WAIT_S))
                continue
            if not 200 <= status < 300:
                raise EndpointError(f"{self.url}: {_describe_refusal(status, response.content)}")
            return response
        raise EndpointError(f"{self.url}: {reason}; tried {_REQUEST_ATTEMPTS} times")

    def _choose_pause_s(self, attempt: int) -> float:
        wait_s: float = min(self._wait_s * 2 ** (attempt - 1), _LONGEST_WAIT_S)
        return wait_s * random.uniform(0.75, 1.25)

    def _send(
        self, method: str, path: str, headers: Mapping[str, str], body: Body | bytes | None
    ) -> tuple[int, float, Response]:
        connection = self._open_connection()
        own = {"User-Agent": f"provml/{__version__}", **headers}
        if self._authorization:
            own["Authorization"] = self._authorization
        try:
            connection.connect()
            assert connection.sock is not None
            connection.sock.settimeout(_ANSWER_S)
            try:
                if callable(body):
                    own["Transfer-Encoding"] = "chunked"
                    connection.request(method, path, body(), own, encode_chunked=True)
                else:
                    connection.request(method, path, body, own)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the server stopped reading; the response says why
            try:
                response = connection.getresponse()
            except TimeoutError:  # do not retry: the server may still be working on the query
                raise EndpointError(f"{self.url}: no answer within {_ANSWER_S:.0f} s") from None
            content = response.read(_LARGEST_ANSWER + 1)
            if len(content) > _LARGEST_ANSWER:
                raise EndpointError(
                    f"{self.url}: the answer is larger than {_LARGEST_ANSWER:,} bytes"
                )
            asked = response.getheader("Retry-After", "")
            media_type = response.getheader("Content-Type", "").partition(";")[0].strip().lower()
            asked_s = float(asked) if asked.isdecimal() else 0.0
            if 300 <= response.status < 400:
                where = response.getheader("Location", "elsewhere")
                raise EndpointError(f"{self.url} redirects to {where}: use that URL")
            return response.status, asked_s, Response(content, media_type)
        finally:
            connection.close()

    def _open_connection(self) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=_CONNECT_S)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=_CONNECT_S, context=context
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _build_authorization(known: SparqlCredentials, host: str) -> str | None:
    if known.token is not None:
        return f"Bearer {_check_token(known.token)}"
    user, password = known.user, known.password
    if user is None:
        try:
            found = netrc.netrc().authenticators(host)
        except FileNotFoundError:
            return None
        except (OSError, netrc.NetrcParseError) as error:
            raise EndpointError(f"~/.netrc can't be read: {error}") from None
        if found is None:
            return None
        user, _, password = found
    pair = f"{user}:{password or ''}".encode()
    return f"Basic {base64.b64encode(pair).decode('ascii')}"


def _check_token(token: str) -> str:
    if not token.isascii() or not token.isprintable():
        raise EndpointError(
            "PROVML_SPARQL_TOKEN contains characters that are not allowed in an HTTP header"
        )
    return token


def _describe_refusal(status: int, content: bytes) -> str:
    """Describe a server's error response on one line."""
    said = " ".join(content[: 4 * _LONGEST_REASON].decode(errors="replace").split())
    name = http.client.responses.get(status, "")
    if status in (401, 403):
        said = "set PROVML_SPARQL_USER and PROVML_SPARQL_PASSWORD, or use ~/.netrc"
    return f"{status} {name}" + (f": {said[:_LONGEST_REASON]}" if said else "")


def ask_endpoint(
    endpoint: Endpoint,
    text: str,
    parameters: Mapping[str, Parameter],
    prefixes: Mapping[str, str],
    graphs: Sequence[str] = (),
) -> SparqlAnswer:
    """Send a query to a server (SPARQL 1.1 Protocol) and read the whole answer.

    Args:
        endpoint: the `Endpoint` for the server's query URL.
        text, parameters: as for `provml.sparql.LoadedRuns.query`.
        prefixes: prefixes to define in addition to `query.PREFIXES`.
        graphs: the names of the graphs to query; by default the server chooses the graphs.

    Raises:
        QueryError: the query is invalid.
        EndpointError: the request fails (see `Endpoint.request`), or the answer can't be read.
    """
    known = {**PREFIXES, **prefixes}
    whole = bind_parameters(text, parameters)
    # add no line breaks, so that the line numbers in a server's errors also apply to ``text``
    declared = " ".join(f"PREFIX {prefix}: <{iri}>" for prefix, iri in known.items())
    fields = [("query", f"{declared} {whole}")]
    for graph in graphs:
        fields += [("default-graph-uri", graph), ("named-graph-uri", graph)]
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": _ANSWERS}
    try:
        response = endpoint.request("POST", {}, headers, urlencode(fields).encode())
    except EndpointError:
        check_syntax(whole, known)
        raise
    return SparqlAnswer(_parse_response(endpoint, response), known)


def _parse_response(endpoint: Endpoint, response: Response) -> Any:
    import pyoxigraph

    kind = response.media_type
    try:
        if kind == "application/sparql-results+json":
            form = pyoxigraph.QueryResultsFormat.JSON
            return pyoxigraph.parse_query_results(response.content, form)
        if kind in ("application/n-triples", "text/turtle"):
            graph_form = pyoxigraph.RdfFormat.from_media_type(kind)
            return iter(list(pyoxigraph.parse(response.content, graph_form)))
    except (SyntaxError, ValueError) as error:
        raise EndpointError(f"{endpoint.url}: the answer can't be read: {error}") from None
    raise EndpointError(
        f"{endpoint.url}: the answer is not a SPARQL result: its media type is {kind or 'missing'}"
    )


# -- graphs -----------------------------------------------------------------------------------


def push_graph(
    endpoint: Endpoint,
    graph: str,
    mapping: RunMapping,
    progress: Callable[[int], None] = lambda sent: None,
) -> int:
    """Upload a run as a graph, and return the number of bytes sent.

    A graph that already exists on the server is replaced. The upload contains the triples of
    the N-Triples export and the triples that they entail. The triples are streamed, so memory use
    does not grow with the run, except perhaps on the server.

    Args:
        endpoint: the `Endpoint` for the server's Graph Store URL.
        graph: the graph's name, which is an absolute IRI.
        mapping: the `RunMapping` of the run to upload.
        progress: a function that is called with the number of bytes sent so far. The number starts
            again from 0 if the upload is retried.

    Raises:
        EndpointError: the request fails (see `Endpoint.request`).
    """
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        sent = 0
        for chunk in _stream_triples(mapping):
            yield chunk
            sent += len(chunk)
            progress(sent)

    headers = {"Content-Type": "application/n-triples"}
    endpoint.request("PUT", {"graph": graph}, headers, body)
    return sent


def _stream_triples(mapping: RunMapping) -> Iterator[bytes]:
    """Yield a run's triples in chunks. Another thread generates the chunks a little in advance."""
    chunks: queue.Queue[bytes | BaseException | None] = queue.Queue(_WAITING_CHUNKS)
    gone = threading.Event()

    class Sink(io.RawIOBase):
        def write(self, data: Any) -> int:
            for start in range(0, len(data), _CHUNK):
                _put(bytes(data[start : start + _CHUNK]))
            return len(data)

    def _put(item: bytes | BaseException | None) -> None:
        while not gone.is_set():
            try:
                chunks.put(item, timeout=1)
                return
            except queue.Full:
                continue
        raise BrokenPipeError

    def make() -> None:
        end: BaseException | None = None
        try:
            ntriples.write(mapping, Sink(), entailed=True)  # type: ignore[arg-type]
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            end = error
        if not gone.is_set():
            _put(end)

    maker = threading.Thread(target=make, name="provml-push", daemon=True)
    maker.start()
    try:
        while (item := chunks.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        gone.set()
        maker.join()


def validate_graph_name(name: str) -> str:
    """Return a graph's name unchanged. Raises InvalidArgumentError if it is not an absolute IRI."""
    if not is_absolute_iri(name):
        raise InvalidArgumentError(f"a graph's name must be an absolute IRI, not {name!r}")
    return name
