"""The command's output is passed on."""

from __future__ import annotations

import os
import threading

import pytest

from provml.capture.command.streams import CommandStream


def test_output_passes_where_no_thread_is_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command would wait for ever, because nobody reads its output."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    reader, sink = os.pipe()
    stream = CommandStream((sink,), "stdout")
    command_fd = os.dup(stream.command_fd)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    stream.start(lambda block, time_ns: None)
    os.close(sink)
    os.write(command_fd, b"as ever")
    os.close(command_fd)
    with open(reader, "rb") as passed:
        assert passed.read() == b"as ever"
    assert stream.is_done
    assert "can't start new thread" in str(stream.trouble)
    stream.end()
