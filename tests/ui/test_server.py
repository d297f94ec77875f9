"""The server answers this machine or whoever has the token, and no other website."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from select import select
from urllib.parse import quote, urlsplit

import pytest

import provml

pytest.importorskip("starlette", reason="provml ui needs starlette")
pytest.importorskip("uvicorn", reason="provml ui needs uvicorn")


def record(store: Path, experiment: str = "digits") -> str:
    """Record a run, and return its key."""
    with provml.start_run(experiment, store=store) as run:
        run.log_metric("loss", 0.5, step=1)
    return f"{run.path.parent.name}/{run.path.name}"


def get(
    address: str, path: str, headers: dict[str, str] | None = None, method: str = "GET"
) -> HTTPResponse:
    """Ask a server; the answer is read."""
    connection = HTTPConnection(urlsplit(address).netloc, timeout=30)
    connection.request(method, path, headers=headers or {})
    answer = connection.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]
    connection.close()
    return answer


def test_other_sites_are_refused(tmp_path: Path, serve) -> None:
    """A website that is open in the same browser could read the store."""
    key = record(tmp_path)
    address = serve(tmp_path)
    assert get(address, "/index.html").status == 200
    assert get(address, "/index.html", {"Host": "localhost:1"}).status == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", ""):
        assert get(address, "/index.html", {"Host": host}).status == 403
        assert get(address, f"/graph/{key}.html", {"Host": host}).status == 403
    for site in ("cross-site", "same-site"):
        asked = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "cors"}
        assert get(address, "/data/runs", asked).status == 403
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert get(address, "/data/runs", method=method).status == 405
    policy = get(address, "/index.html").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy


@pytest.mark.parametrize("path", ["..%2f..%2fetc/passwd", "%2e%2e/x", "a%00b/c", ".tables/x", "a/"])
def test_nothing_outside_the_store_is_read(tmp_path: Path, serve, path: str) -> None:
    """A path could lead out of the store."""
    record(tmp_path / "store")
    address = serve(tmp_path / "store")
    for kind in ("/graph/{}.html", "/download/{}/provjson"):
        assert get(address, kind.format(path)).status == 404
    assert get(address, f"/assets/{path}").status == 404
    assert get(address, "/assets/..%2fapp.py").status == 404


def test_linked_run_is_not_shown(tmp_path: Path, serve) -> None:
    """A link in a foreign store could show another store's run."""
    key = record(tmp_path / "other")
    record(tmp_path / "store")
    (tmp_path / "store" / "linked").symlink_to(tmp_path / "other" / key.split("/")[0])
    address = serve(tmp_path / "store")
    assert get(address, f"/graph/linked/{key.split('/')[1]}.html").status == 404


def test_documents_and_graph(tmp_path: Path, serve) -> None:
    """A run could not be downloaded, or its download would change the store."""
    key = record(tmp_path, 'odd <b> / "name" é')
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    address = serve(tmp_path)
    experiment, run = map(quote, key.split("/"))
    answer = get(address, f"/download/{experiment}/{run}/provjson")
    assert answer.status == 200
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert "activity" in json.loads(answer.body)
    unknown = get(address, f"/download/{experiment}/{run}/docx")
    assert unknown.status == 400
    assert "unknown format 'docx'" in json.loads(unknown.body)["error"]
    page = get(address, f"/graph/{experiment}/{run}.html")
    assert page.status == 200
    assert b"<script" in page.body
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_slow_requests_leave_room_for_quick_ones(tmp_path: Path, serve) -> None:
    """Some pages that check long runs would keep every other page waiting."""
    with provml.start_run("digits", store=tmp_path, collect=(), formats=()) as run:
        for step in range(3_000):
            run.log_metric(f"loss{step % 30}", 0.5, step=step)
    key = f"{run.path.parent.name}/{run.path.name}"
    address = urlsplit(serve(tmp_path)).netloc
    slow = []
    for _ in range(60):
        connection = HTTPConnection(address, timeout=60)
        connection.request("GET", f"/data/validity?run={key}")
        slow.append(connection)
    assert get(f"http://{address}/", f"/data/run?run={key}").status == 200
    answered, _, _ = select([connection.sock for connection in slow], [], [], 0)
    assert len(answered) < 10
    last = slow.pop()
    for connection in slow:
        connection.close()
    assert last.getresponse().status == 200  # without the work for the 59 others
    last.close()


def test_assets_are_kept_by_browsers(tmp_path: Path, serve) -> None:
    """Each page would load five megabytes again."""
    address = serve(tmp_path)
    first = get(address, "/assets/common.js")
    again = get(address, "/assets/common.js", {"If-None-Match": first.headers["etag"]})
    assert (first.status, again.status, again.body) == (200, 304, b"")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """The address that ``provml ui`` prints when it listens on all addresses."""
    record(tmp_path)
    command = [sys.executable, "-m", "provml", "ui", "--store", str(tmp_path), "--no-browser"]
    with subprocess.Popen(
        [*command, "--host", "0.0.0.0", "--port", "0"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        yield next(word for word in line.split() if word.startswith("http"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)


def test_other_addresses_need_the_token(guarded: str) -> None:
    """Everybody in the network could read the store."""
    port = urlsplit(guarded).port
    address = f"http://127.0.0.1:{port}/"
    assert urlsplit(guarded).hostname == socket.gethostname().lower()
    token = urlsplit(guarded).query.removeprefix("token=")
    assert len(token) >= 32
    assert get(address, "/index.html").status == 401
    assert get(address, "/index.html?token=wrong").status == 401
    assert get(address, "/index.html", {"Cookie": "provml_token=wrong"}).status == 401
    assert get(address, "/index.html", {"Authorization": f"Bearer {token}"}).status == 200
    moved = get(address, f"/index.html?run=a&token={token}")
    assert moved.status == 303
    assert moved.headers["location"] == "/index.html?run=a"
    cookie = moved.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    kept = {"Cookie": cookie.partition(";")[0], "Host": "machine.example"}
    assert get(address, "/index.html", kept).status == 200


def test_redirect_stays_on_the_server(guarded: str) -> None:
    """A link with the token could send the browser to another host."""
    port = urlsplit(guarded).port
    moved = get(f"http://127.0.0.1:{port}/", f"//evil.example/?{urlsplit(guarded).query}")
    assert moved.headers["location"].startswith("/")
    assert not moved.headers["location"].startswith("//")
