"""A run is a guest in its process: it leaves everything as it found it, and never raises."""

from __future__ import annotations

import json

import pytest

_GUEST = """
    import json, os, random, signal, sys, threading, warnings
    import numpy as np
    import provml

    def umask():
        mask = os.umask(0o22)
        os.umask(mask)
        return mask

    def state():
        return {
            "random": repr(random.getstate()),
            "numpy": repr(np.random.get_state()),
            "signals": {n: str(signal.getsignal(n)) for n in signal.valid_signals()},
            "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
            "wakeup": signal.set_wakeup_fd(-1),
            "folder": os.getcwd(),
            "umask": umask(),
            "environment": dict(os.environ),
            "hooks": [str(hook) for hook in (
                sys.excepthook, sys.unraisablehook, threading.excepthook, sys.displayhook,
                sys.gettrace(), sys.getprofile(), warnings.showwarning, sys.breakpointhook,
            )],
            "streams": [id(sys.stdout), id(sys.stderr), id(sys.stdin)],
            "limits": [sys.getrecursionlimit(), sys.getswitchinterval()],
            "path": list(sys.path),
            "loggers": __import__("logging").root.handlers == [],
            "filters": [str(f) for f in warnings.filters],
        }

    random.seed(1)
    np.random.seed(1)
    exit_before, before = sys.exit, state()
    threads = set(threading.enumerate())
    with provml.start_run("guest") as run:
        if os.environ["PROVML_SAMPLE_INTERVAL_S"] != "0":
            while run._writer.find_number(("process", "threads", None, None, "i64")) is None:
                os.sched_yield()
        for i in range(5000):
            run.log_metric("m", np.float64(i), "training", step=i)
        run.log_param("p", {"a": [1]})
        run.log_dataset("d", np.zeros(10))
        run.log_source_code()
        run.log_environment()
        during = state()
        new = [t for t in threading.enumerate() if t not in threads]
        alive = [(t.name, t.daemon) for t in new]
    after = state()
    for thread in new:
        thread.join(60)
    print(json.dumps({
        "during": [key for key in before if before[key] != during[key]],
        "after": [key for key in before if before[key] != after[key]],
        "threads": alive,
        "left": [t.name for t in threading.enumerate() if t not in threads],
        "exit": sys.exit is exit_before,
    }))
"""

_WARNINGS_ARE_ERRORS = """
    import resource, shutil, sys
    import provml

    run = provml.start_run("strict")
    run.log_metric("m", 0)
    shutil.rmtree(run.path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 2**10, 64 * 2**10))
    for i in range(10_000):
        run.log_metric("m", i)
        run.log_event("e", metadata={"x": "x" * 100})
    assert run.dropped[0] > 0 and run.dropped[1] > 0
    run.end_run()
    print(*run.dropped)
"""


@pytest.mark.parametrize("interval_s", ["0", "0.01"])
def test_nothing_of_the_process_is_changed(children, interval_s):
    """A training with a run would get other random numbers, signals, hooks or folders."""
    code, out, err = children.run(_GUEST, PROVML_SAMPLE_INTERVAL_S=interval_s)
    assert (code, err) == (0, "")
    found = json.loads(out)
    threads = {(name, daemon) for name, daemon in found.pop("threads")}
    assert ("provml-sync", True) in threads
    readers = {"provml-system", "provml-process", "provml-gpu", "provml-energy"}
    if interval_s == "0":
        readers = set()
    assert threads <= {("provml-sync", True), *((name, True) for name in readers)}
    assert found == {"during": [], "after": [], "left": [], "exit": True}


def test_no_thread_without_syncs(children):
    """A run that is never to sync would start a thread all the same."""
    code, out, err = children.run(
        """
        import threading
        import provml

        with provml.start_run("guest", formats=()):
            print("provml-sync" in [thread.name for thread in threading.enumerate()])
        """,
        PROVML_SYNC_INTERVAL_S="0",
    )
    assert (code, out, err) == (0, "False\n", "")


def test_trouble_never_raises_where_warnings_are_errors(children):
    """A training under ``-W error`` would be stopped by a warning, or would lose it unseen."""
    code, out, err = children.run(_WARNINGS_ARE_ERRORS, options=("-W", "error"))
    assert code == 0
    assert err.count("\n") == 2
    assert all(line.startswith("provml:1: ProvMLWarning: ") for line in err.splitlines())
    samples, events = map(int, out.split())
    assert samples > 0
    assert events > 0


def test_the_sync_thread_is_no_trouble(children):
    """The thread that syncs would touch descriptors that the end of the run has given back."""
    code, _, err = children.run(
        """
        import os
        import provml

        for i in range(300):
            with provml.start_run("sync", formats=()) as run:
                for j in range(50):
                    run.log_metric("m", j)
            # what reuses the numbers of the descriptors must not be touched
            with open(f"other{i % 10}", "w") as a, open(f"another{i % 10}", "w") as b:
                for file in (a, b):
                    os.utime(file.fileno(), ns=(1, 1))
                    assert os.fstat(file.fileno()).st_mtime_ns == 1
                for _ in range(200):
                    os.sched_yield()
                for file in (a, b):
                    assert os.fstat(file.fileno()).st_mtime_ns == 1
        """,
        PROVML_SYNC_INTERVAL_S="0.00001",
    )
    assert (code, err) == (0, "")


def test_standard_descriptors_that_were_closed_stay_closed(children):
    """What a process prints after closing its standard output would land in the journal."""
    code, _, _ = children.run(
        """
        import os
        import provml

        for number in (0, 1, 2):
            os.close(number)
        with provml.start_run("closed", run_id="run", formats=()) as run:
            for number in (0, 1, 2):
                try:
                    os.write(number, b"not for the journal")
                except OSError:
                    pass
                else:
                    os._exit(9)
            run.log_metric("m", 1.5)
        assert list(provml.load(run.path).series("m").value) == [1.5]
        os._exit(0)
        """
    )
    assert code == 0
