"""How a process came to its end, and what the run says of it; the process itself ends as ever."""

from __future__ import annotations

import os
import signal

import pytest
from waiting import LIMIT_S

import provml

_START = "import provml; run = provml.start_run('exits', run_id='one')\nprovml.log_metric('m', 1)\n"
_WITHOUT = "run = None\n"

CRASHED = "died without ending the run"

# what a script does at its end, and the run's status, reason, exception
_ENDS = {
    "plain end": ("pass", "finished", "the process exited without end_run", None),
    "uncaught": (
        "raise ValueError('läuft nicht')",
        "failed",
        "uncaught ValueError",
        ("builtins.ValueError", "läuft nicht"),
    ),
    "own exception": (
        "class Own(Exception): pass\nraise Own('a', 1)",
        "failed",
        "uncaught Own",
        ("__main__.Own", "('a', 1)"),
    ),
    "sys.exit()": ("import sys; sys.exit()", "finished", "sys.exit(0)", None),
    "sys.exit(0)": ("import sys; sys.exit(0)", "finished", "sys.exit(0)", None),
    "sys.exit(3)": ("import sys; sys.exit(3)", "failed", "sys.exit(3)", None),
    "sys.exit(text)": ("import sys; sys.exit('no data')", "failed", "sys.exit('no data')", None),
    "nested sys.exit": (
        "import sys\ntry:\n    sys.exit(2)\nfinally:\n    print('cleaned')",
        "failed",
        "sys.exit(2)",
        None,
    ),
    "KeyboardInterrupt": (
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhile True: pass",
        "interrupted",
        "KeyboardInterrupt",
        ("builtins.KeyboardInterrupt", ""),
    ),
    "SIGTERM": (
        "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nwhile True: pass",
        "crashed",
        CRASHED,
        None,
    ),
    "SIGTERM with a handler": (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\nwhile True: pass",
        "failed",
        "sys.exit(143)",
        None,
    ),
    "os._exit(1)": ("import os; os._exit(1)", "crashed", CRASHED, None),
    "os.abort()": (
        "import faulthandler, os\nfaulthandler.disable()\nos.abort()",
        "crashed",
        CRASHED,
        None,
    ),
    "exception in a thread": (
        "import threading\n"
        "def work(): raise RuntimeError('only a thread')\n"
        "thread = threading.Thread(target=work, name='worker')\nthread.start()\nthread.join()",
        "finished",
        "the process exited without end_run",
        None,
    ),
    "sys.exit in a thread": (
        "import sys, threading\n"
        "thread = threading.Thread(target=sys.exit, args=(3,))\nthread.start()\nthread.join()",
        "finished",
        "the process exited without end_run",
        None,
    ),
    "a caught exception": (
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    pass",
        "finished",
        "the process exited without end_run",
        None,
    ),
    "a message that can't be printed": (
        "class Own(Exception):\n    def __str__(self): raise OSError('no text')\nraise Own",
        "failed",
        "uncaught Own",
        ("__main__.Own", None),
    ),
    "a long message": (
        "raise ValueError('\\u6f22\\U0001f600' * 5000)",
        "failed",
        "uncaught ValueError",
        ("builtins.ValueError", "\u6f22\U0001f600" * 5000),
    ),
    "a lone surrogate": (
        "raise ValueError('\\udc80 broken')",
        "failed",
        "uncaught ValueError",
        ("builtins.ValueError", "\\udc80 broken"),
    ),
}

# the same within a block: the exception passes through Run.__exit__
_BLOCKS = {
    "left in order": ("pass", "finished", None, None),
    "exception": (
        "raise KeyError('lr')",
        "failed",
        "uncaught KeyError",
        ("builtins.KeyError", "'lr'"),
    ),
    "sys.exit(0)": ("import sys; sys.exit(0)", "finished", "sys.exit(0)", None),
    "sys.exit(3)": ("import sys; sys.exit(3)", "failed", "sys.exit(3)", None),
    "raise SystemExit": ("raise SystemExit(4)", "failed", "sys.exit(4)", None),
    "KeyboardInterrupt": (
        "import os, signal\n    os.kill(os.getpid(), signal.SIGINT)\n    while True: pass",
        "interrupted",
        "KeyboardInterrupt",
        ("builtins.KeyboardInterrupt", ""),
    ),
    "a message that can't be printed": (
        "class Own(Exception):\n        def __str__(self): raise OSError('no text')\n    raise Own",
        "failed",
        "uncaught Own",
        ("__main__.Own", None),
    ),
    "an exit status that can't be printed": (
        "class Own:\n        def __repr__(self): raise OSError('no text')\n"
        "        def __str__(self): return 'text'\n    raise SystemExit(Own())",
        "failed",
        "sys.exit(",
        None,
    ),
}


def check(tmp_path, status, reason, exception):
    run = provml.load(tmp_path / "store" / "exits" / "one")
    assert run.status == status
    if reason is None:
        assert run.reason is None
    else:
        assert reason in run.reason
    if exception is None:
        assert run.exception is None
    else:
        kind, message = exception
        assert run.exception["type"] == kind
        assert message is None or run.exception["message"] == message
        assert kind.rpartition(".")[2] in run.exception["traceback"]
    assert run.series("m").value.tolist() == [1]
    assert (run.ended is None) == (status == "crashed")


@pytest.mark.parametrize("name", _ENDS)
def test_the_end_of_a_process_without_end_run(children, tmp_path, name):
    """A run would be said to have ended otherwise than its process did, or change that end."""
    source, status, reason, exception = _ENDS[name]
    # the same text in the same file, so that tracebacks are the same
    with_run = children.run(f"if True:\n    exec({_START!r})\n{source}")
    check(tmp_path, status, reason, exception)
    without = children.run(f"if True:\n    exec({_WITHOUT!r})\n{source}")
    assert normal(with_run) == normal(without)


def normal(outcome):
    code, out, err = outcome
    for n in range(2):
        err = err.replace(f"script{n}.py", "script.py")
    lines = [line for line in err.splitlines() if "exec(" not in line]
    return code, out, [line for line in lines if "Exception in thread" not in line]


@pytest.mark.parametrize("name", _BLOCKS)
def test_the_end_of_a_block(children, tmp_path, name):
    """A body left by an exception would end its run otherwise, or the exception be another."""
    body, status, reason, exception = _BLOCKS[name]
    source = """
import contextlib
import provml

with {block}:
    {log}
    {body}
"""
    start = "provml.start_run('exits', run_id='one')"
    with_run = children.run(source.format(block=start, log="provml.log_metric('m', 1)", body=body))
    check(tmp_path, status, reason, exception)
    block = "contextlib.nullcontext()"
    without = children.run(source.format(block=block, log="pass", body=body))
    assert normal(with_run) == normal(without)


def test_ctrl_c_from_outside(children, tmp_path, until):
    """Ctrl-C on a training would leave its run as crashed, or the shell without the signal."""
    child = children.start(
        """
        import provml

        run = provml.start_run("exits", run_id="one")
        provml.log_metric("m", 1)
        print("ready", flush=True)
        while True:
            provml.log_metric("m", 1)
        """
    )
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=LIMIT_S)
    assert child.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in err
    run = provml.load(tmp_path / "store" / "exits" / "one")
    assert run.status == "interrupted"
    assert run.exception["type"] == "builtins.KeyboardInterrupt"
    assert len(run.series("m")) > 0


def test_two_runs_are_ended_at_exit(children, tmp_path):
    """Of two runs that a process left open only one would be ended."""
    code, _, err = children.run(
        """
        import provml

        provml.start_run("exits", run_id="outer")
        provml.start_run("exits", run_id="inner")
        raise ValueError("both")
        """
    )
    assert code == 1
    assert "run exits/outer has not ended" in err
    assert err.count("Traceback") == 1
    for name in ("outer", "inner"):
        run = provml.load(tmp_path / "store" / "exits" / name)
        assert (run.status, run.exception["message"]) == ("failed", "both")


def test_sys_exit_that_another_wraps(children, tmp_path):
    """A tool that wraps sys.exit between two runs would make it call itself for ever."""
    code, _, err = children.run(
        """
        import sys
        import provml

        provml.start_run("exits", run_id="first")
        exit_before = sys.exit
        sys.exit = lambda status=None: exit_before(status)
        provml.end_run()
        provml.start_run("exits", run_id="second")
        sys.exit(5)
        """
    )
    assert (code, err) == (5, "")
    run = provml.load(tmp_path / "store" / "exits" / "second")
    assert (run.status, run.reason) == ("failed", "sys.exit(5)")


@pytest.mark.parametrize("reason", [5, "\udc80"])
def test_a_bad_reason_is_refused_before_the_run_ends(tmp_path, reason):
    """A reason that can't be recorded would leave a run that is neither open nor ended."""
    run = provml.start_run("exits", store=tmp_path, formats=())
    with pytest.raises(provml.InvalidArgumentError, match="reason"):
        run.end_run(reason=reason)
    assert provml.active_run() is run
    run.log_metric("m", 1.0)
    run.end_run("failed", reason="r" * 5000)
    recorded = provml.load(run.path)
    assert recorded.status == "failed"
    assert recorded.reason == "r" * 1000
    assert not os.path.exists(run.path / "provenance.json")
