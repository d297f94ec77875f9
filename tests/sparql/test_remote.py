"""Runs are pushed to a server completely, once and safely."""

from __future__ import annotations

import base64
import io
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sparql.servers import free_port, graph_size, oxigraph, scripted
from store_names import base_iri

import provml
from provml.export import ntriples
from provml.journal.reader import Journal
from provml.model.bundles import bundle_iri
from provml.model.mapping import RunMapping
from provml.model.statements import Iri
from provml.sparql.ready_queries import list_ready_queries
from provml.sparql.remote import Endpoint, ask_endpoint, push_graph

DONE = (204, {}, b"")


@pytest.fixture(autouse=True)
def no_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own credentials out of the tests."""
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """An empty Oxigraph server."""
    with oxigraph(tmp_path / "server") as url:
        yield url


def mapping_of(path: Path, detail: str | None = None) -> RunMapping:
    """A run's mapping, ready to push."""
    return RunMapping(Journal(path), detail)


def triples_of(path: Path) -> int:
    """The number of lines in a run's N-Triples export."""
    sink = io.BytesIO()
    ntriples.write(mapping_of(path), sink, entailed=True)
    return sink.getvalue().count(b"\n")


def push(url: str, path: Path, detail: str | None = None) -> str:
    """Push a run to an Oxigraph server; returns its graph."""
    graph = bundle_iri(Journal(path))
    push_graph(Endpoint(f"{url}/store", wait_s=0.01), graph, mapping_of(path, detail))
    return graph


def test_a_pushed_run_is_the_run(store: Path, server: str) -> None:
    """The server would hold a graph other than the export."""
    for name in ("run1", "run2", "run1"):  # pushing again changes nothing
        path = store / "digits" / name
        assert graph_size(server, push(server, path)) == triples_of(path)


def test_a_push_takes_the_place_of_what_was_there(store: Path, server: str) -> None:
    """Pushing a run again would mix it with its old state."""
    path = store / "digits" / "run1"
    graph = push(server, path)
    full = graph_size(server, graph)
    push(server, path, "series")
    assert 0 < graph_size(server, graph) < full


PUSH = """
import os, signal, sys
from pathlib import Path
from provml.journal.reader import Journal
from provml.model.bundles import bundle_iri
from provml.model.mapping import RunMapping
from provml.sparql.remote import Endpoint, push_graph
journal = Journal(Path(sys.argv[1]))
def progress(sent):
    if sent > 300_000:
        os.kill(os.getpid(), signal.SIGKILL)
push_graph(Endpoint(sys.argv[2] + "/store"), bundle_iri(journal), RunMapping(journal), progress)
"""


@pytest.mark.slow
def test_a_push_killed_in_its_middle_and_pushed_again_is_whole(store: Path, server: str) -> None:
    """Half a graph would stay on the server, or block a complete one."""
    with provml.start_run("big", store=store, formats=(), run_id="big") as run:
        for step in range(1000):
            run.log_metric("loss", step * 0.5, "training", step)
    graph = push(server, run.path, "series")
    before = graph_size(server, graph)
    killed = subprocess.run([sys.executable, "-c", PUSH, str(run.path), server], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert graph_size(server, graph) == before
    push(server, run.path)
    assert graph_size(server, graph) == triples_of(run.path)


def test_a_server_answers_as_the_store_does(store: Path, server: str) -> None:
    """The same query would give different answers here and on the server."""
    from provml.sparql import load_runs

    graphs = [push(server, store / "digits" / name) for name in ("run1", "run2")]
    endpoint = Endpoint(f"{server}/query")
    with load_runs(["run1", "run2"], store) as loaded:
        for query in list_ready_queries():
            here = sorted(map(str, loaded.query(query.text)))
            there = sorted(map(str, ask_endpoint(endpoint, query.text, {}, {}, graphs)))
            assert there == here, query.name
            assert here or query.name in ("alerts", "failures")
        text = "SELECT ?id { VALUES ?run { UNDEF } ?run a provml:Run ; provml:runId ?id }"
        chosen = {"run": Iri(f"{base_iri(store)}digits/run2/run")}
        assert list(ask_endpoint(endpoint, text, chosen, {}, graphs)) == [("run2",)]
    one = "SELECT ?id { ?run a provml:Run ; provml:runId ?id }"
    assert list(ask_endpoint(endpoint, one, {}, {}, graphs[:1])) == [("run1",)]
    assert ask_endpoint(endpoint, "ASK { GRAPH ?g { ?run a provml:Run } }", {}, {})
    made = "CONSTRUCT { ?run provml:runId ?id } WHERE { ?run provml:runId ?id }"
    assert len(list(ask_endpoint(endpoint, made, {}, {}, graphs))) == 2


def test_a_syntax_error_is_placed_in_the_users_text(server: str) -> None:
    """The added prefixes would shift the line of an error."""
    with pytest.raises(provml.QueryError, match=r"^line 2, column 3: unexpected '\}'"):
        ask_endpoint(Endpoint(f"{server}/query"), "SELECT * { ?s ?p\n  }", {}, {})


def test_a_busy_server_is_asked_again(store: Path) -> None:
    """A moment's trouble would fail a push, or truncate it."""
    path = store / "digits" / "run1"
    with scripted((503, {}, b"busy"), (429, {}, b""), DONE) as server:
        sent = push_graph(Endpoint(server.url, wait_s=0.01), "urn:g", mapping_of(path))
    assert [request[:2] for request in server.requests] == [("PUT", "/store?graph=urn%3Ag")] * 3
    assert [request[3] for request in server.requests] == [sent] * 3
    assert server.requests[0][2]["Content-Type"] == "application/n-triples"


def test_a_broken_server_is_not_asked_for_ever(store: Path) -> None:
    """A push would never end, or not say why it failed."""
    with (
        scripted((500, {}, b"the disk\nis full")) as server,
        pytest.raises(provml.EndpointError, match=r"500 .*: the disk is full; tried 5 times"),
    ):
        ask_endpoint(Endpoint(server.url, wait_s=0.01), "ASK {}", {}, {})
    assert len(server.requests) == 5


def test_a_server_that_is_down_is_said_so(store: Path) -> None:
    """A push to a dead server would end in a traceback."""
    endpoint = Endpoint(f"http://127.0.0.1:{free_port()}/store", wait_s=0.01)
    with pytest.raises(provml.EndpointError, match="refused; tried 5 times"):
        push_graph(endpoint, "urn:g", mapping_of(store / "digits" / "run1"))


def test_a_refusal_is_not_tried_again(store: Path) -> None:
    """Wrong credentials would be sent five times and lock the account."""
    with (
        scripted((401, {}, b"")) as server,
        pytest.raises(provml.EndpointError, match=r"401 Unauthorized: .*PROVML_SPARQL_USER"),
    ):
        push_graph(Endpoint(server.url), "urn:g", mapping_of(store / "digits" / "run1"))
    assert len(server.requests) == 1


def test_a_redirect_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials would be sent wherever a server points."""
    monkeypatch.setenv("PROVML_SPARQL_TOKEN", "secret")
    with scripted(DONE) as other:
        away = (307, {"Location": other.url}, b"")
        with (
            scripted(away) as server,
            pytest.raises(provml.EndpointError, match=f"redirects to {other.url}: use that URL"),
        ):
            ask_endpoint(Endpoint(server.url), "ASK {}", {}, {})
    assert other.requests == []


def test_credentials_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could log in, or a name would be sent without its password."""
    answer = (200, {"Content-Type": "application/sparql-results+json"}, b'{"boolean":true}')
    monkeypatch.setenv("PROVML_SPARQL_USER", "ann")
    monkeypatch.setenv("PROVML_SPARQL_PASSWORD", "pä:ss")
    with scripted(answer) as server:
        assert ask_endpoint(Endpoint(server.url), "ASK {}", {}, {})
        monkeypatch.setenv("PROVML_SPARQL_TOKEN", "t0ken")
        assert ask_endpoint(Endpoint(server.url), "ASK {}", {}, {})
    shown = [request[2]["Authorization"] for request in server.requests]
    assert shown == [f"Basic {base64.b64encode('ann:pä:ss'.encode()).decode()}", "Bearer t0ken"]


def test_credentials_come_from_netrc(tmp_path: Path) -> None:
    """Users with a netrc file would have to copy their passwords."""
    (tmp_path / ".netrc").write_text("machine localhost login bob password x\n")
    (tmp_path / ".netrc").chmod(0o600)
    answer = (200, {"Content-Type": "application/sparql-results+json"}, b'{"boolean":true}')
    with scripted(answer) as server:
        assert ask_endpoint(Endpoint(server.url), "ASK {}", {}, {})
    (request,) = server.requests
    assert request[2]["Authorization"] == f"Basic {base64.b64encode(b'bob:x').decode()}"


def test_credentials_do_not_travel_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password would be readable on the network."""
    Endpoint("http://example.org/store")
    monkeypatch.setenv("PROVML_SPARQL_TOKEN", "secret")
    Endpoint("https://example.org/store")
    Endpoint("http://127.0.0.1:7878/store")
    with pytest.raises(provml.EndpointError, match="unencrypted: use https"):
        Endpoint("http://example.org/store")
    with pytest.raises(provml.EndpointError, match="unencrypted: use https"):
        Endpoint("http://127.0.0.1.example.org/store")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://ann:secret@example.org/store", "contains credentials"),
        ("ftp://example.org/", "must start with https"),
        ("example.org/store", "must start with https"),
        ("https://", "must start with https"),
        ("https://example.org:port/", "not a URL"),
        ("https://example.org/a b", "can't contain spaces or a fragment"),
        ("https://example.org/\r\nX: y", "can't contain spaces or a fragment"),
    ],
)
def test_a_url_that_is_none_is_refused(url: str, said: str) -> None:
    """A typing error would end in a traceback, or write a password to a log."""
    with pytest.raises(provml.InvalidArgumentError, match=said) as caught:
        Endpoint(url)
    assert "secret" not in str(caught.value)


def test_a_certificate_of_nobody_is_not_trusted(tmp_path: Path) -> None:
    """Anybody on the network could read and change what is pushed."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate, and is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = f"{openssl} req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
    made = [*make.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with (
        scripted(DONE, tls=context) as server,
        pytest.raises(provml.EndpointError, match="certificate can't be verified"),
    ):
        ask_endpoint(Endpoint(server.url), "ASK {}", {}, {})
    assert server.requests == []


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("text/html", b"<html>"),
        ("application/sparql-results+json", b"{"),
        ("application/n-triples", b"<urn:a> <urn:b>"),
    ],
)
def test_an_answer_that_is_none_is_said_so(kind: str, content: bytes) -> None:
    """A login page would end in a traceback, or pass for an empty table."""
    with (
        scripted((200, {"Content-Type": kind}, content)) as server,
        pytest.raises(provml.EndpointError, match="the answer"),
    ):
        list(ask_endpoint(Endpoint(server.url), "ASK {}", {}, {}))
