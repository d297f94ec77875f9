"""Real servers for tests: Oxigraph, and an HTTP server with scripted answers."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from waiting import LIMIT_S


def free_port() -> int:
    """Return an unused port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def oxigraph(folder: Path) -> Iterator[str]:
    """Run Oxigraph's server on a folder; yields its URL."""
    beside = Path(sys.executable).with_name("oxigraph")
    program = str(beside) if beside.exists() else shutil.which("oxigraph")
    if program is None:
        pytest.skip("the Oxigraph server is not installed: pip install oxigraph")
    port = free_port()
    command = [program, "serve", "--location", str(folder), "--bind", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "Listening" not in (line := process.stderr.readline()):
            assert line, "the Oxigraph server ended"
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(LIMIT_S)
            drain.join()


@dataclass
class Scripted:
    """A server that gives the answers it was told, in order, the last one for ever.

    Attributes:
        answers: status, headers and body of each.
        requests: method, path, headers and the body's length of what came.
    """

    answers: list[tuple[int, dict[str, str], bytes]]
    requests: list[tuple[str, str, dict[str, str], int]] = field(default_factory=list)
    url: str = ""


@contextmanager
def scripted(*answers: tuple[int, dict[str, str], bytes], tls: object = None) -> Iterator[Scripted]:
    """Run a scripted server."""
    told = Scripted(list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            size = 0
            if self.headers.get("Transfer-Encoding") == "chunked":
                while length := int(self.rfile.readline(), 16):
                    self.rfile.read(length + 2)
                    size += length
                self.rfile.readline()
            else:
                size = len(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
            told.requests.append((self.command, self.path, dict(self.headers), size))
            status, headers, body = told.answers[0]
            if len(told.answers) > 1:
                told.answers.pop(0)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)  # type: ignore[attr-defined]
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    scheme = "http" if tls is None else "https"
    told.url = f"{scheme}://localhost:{server.server_address[1]}/store"
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def graph_size(url: str, graph: str) -> int:
    """Ask a server for the number of triples in a graph."""
    host = url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=LIMIT_S)
    text = f"SELECT (COUNT(*) AS ?n) {{ GRAPH <{graph}> {{ ?s ?p ?o }} }}"
    headers = {"Content-Type": "application/sparql-query", "Accept": "text/csv"}
    connection.request("POST", "/query", text.encode(), headers)
    lines = connection.getresponse().read().decode().split()
    connection.close()
    return int(lines[1])
