"""Capture keeps its memory in one object, which handles forks."""

from __future__ import annotations

import threading

from provml.capture.state import CaptureState


class _Part:
    """A part that notices forks."""

    def __init__(self) -> None:
        self.is_child = False

    def after_fork_in_child(self) -> None:
        self.is_child = True


class _PlainPart:
    """A part that does not care about forks."""


def test_a_part_exists_once() -> None:
    """Modules would lose what they remembered, or threads would remember different things."""
    state = CaptureState()
    parts: list[object] = []
    threads = [threading.Thread(target=lambda: parts.append(state.part(_Part))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, parts))) == 1
    assert state.part(_PlainPart) is state.part(_PlainPart)
    assert CaptureState().part(_Part) is not state.part(_Part)


def test_parts_hear_of_a_fork() -> None:
    """A forked child would wait for a lock that a thread of its parent holds."""
    state = CaptureState()
    state.part(_PlainPart)
    assert not state.part(_Part).is_child
    state.after_fork_in_child()
    assert state.part(_Part).is_child
