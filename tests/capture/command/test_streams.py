"""The command's output on its way."""

from __future__ import annotations

import os
import threading

import pytest

from provml.capture.command.streams import Stream


def test_output_passes_where_no_thread_is_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command would wait for ever for somebody to read what it prints."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    reader, sink = os.pipe()
    stream = Stream((sink,), "stdout")
    given = os.dup(stream.given)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    stream.start(lambda block, time_ns: None)
    os.close(sink)
    os.write(given, b"as ever")
    os.close(given)
    with open(reader, "rb") as passed:
        assert passed.read() == b"as ever"
    assert stream.is_done
    assert "can't start new thread" in str(stream.trouble)
    stream.end()
