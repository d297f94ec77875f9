"""A process that is killed while it writes the last lines of its journal."""

from __future__ import annotations

import signal

import pytest
from waiting import LIMIT_S

import provml
from provml.journal.reader import Journal
from provml.journal.recovery import recover
from provml.run_check import check_run

_END = """
    import os, signal
    import provml
    from provml.journal.event_files import EventsFile

    write = EventsFile.append

    def die_at_the_end(events, record):
        if record["record"] == "{before}":
            os.kill(os.getpid(), signal.SIGKILL)
        place = write(events, record)
        if record["record"] == "{after}":
            os.kill(os.getpid(), signal.SIGKILL)
        return place

    EventsFile.append = die_at_the_end
    provml.start_run("ends", run_id="r", formats=(), sample_interval_s=0)
    for step in range(5000):
        provml.log_metric("loss", step / 7, step=step)
    provml.end_run()
"""


@pytest.fixture(params=[("", "end"), ("closed", "")], ids=["after the end", "before the closing"])
def ended(request, children, tmp_path):
    """A run whose process was killed after the line of the end."""
    before, after = request.param
    child = children.start(_END.format(before=before, after=after))
    assert child.wait(LIMIT_S) == -signal.SIGKILL
    return tmp_path / "store" / "ends" / "r"


def test_a_run_that_was_killed_at_its_end_is_not_damaged(ended):
    """A run that lost nothing would read as damaged, and its check would fail."""
    run = provml.load(ended)
    assert run.status == "finished"
    assert check_run(ended).damage == ()
    assert sum(len(c) for files in Journal(ended).writers for c in files.chunks()) == 5000


def test_recovery_closes_the_files_of_such_a_run_once(ended):
    """The last line would stay missing, so that later damage at the end would not be noticed."""
    assert "which died while it was ending the run" in "".join(recover(ended))
    assert recover(ended) == []
    assert check_run(ended) == check_run(ended)
    assert check_run(ended).damage == ()
    (events,) = ended.glob("journal/*.events.jsonl")
    events.write_bytes(events.read_bytes()[:-2])
    assert check_run(ended).damage != ()


def test_recovery_does_not_close_files_that_have_lost_samples(ended):
    """A closing line written by the recovery would declare the loss right."""
    (samples,) = ended.glob("journal/*.samples")
    samples.write_bytes(samples.read_bytes()[:-3200])
    assert recover(ended) == []
    assert check_run(ended).damage != ()
