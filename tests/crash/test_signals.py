"""Verbs in signal handlers, and exits that were caught or not."""

from __future__ import annotations

import pytest

import provml


@pytest.mark.slow
def test_a_signal_handler_that_logs_loses_nothing(children):
    """A preemption handler would crash the training, or its samples would vanish."""
    code, out, err = children.run(
        """
        import itertools, signal
        import provml

        run = provml.start_run("e", formats=())
        numbers = itertools.count(1)
        handled = [0]

        def handler(number, frame):
            n = next(numbers)
            run.log_metric("handled", n)
            run.log_metric(f"new{n % 97}", str(n))
            run.log_event("handled", metadata={"n": n})
            handled[0] += 1

        signal.signal(signal.SIGALRM, handler)
        # an interval shorter than the handler takes would leave no time for the loop
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        logged = 0
        while handled[0] < 1200:
            run.log_metric("plain", logged)
            run.log_metric("text", str(logged))
            run.log_metric(f"own{logged % 89}", logged)
            logged += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert run.dropped == (0, 0)
        run.end_run()
        print(run.path, logged, next(numbers) - 1)
        """
    )
    assert (code, err) == (0, "")
    path, logged, handled = out.split()
    run = provml.load(path)
    assert run.series("plain").value.tolist() == list(range(int(logged)))
    assert run.series("text").value.tolist() == [str(n) for n in range(int(logged))]
    # a handler may be interrupted by the next signal, between its counting and its logging
    assert sorted(run.series("handled").value.tolist()) == list(range(1, int(handled) + 1))
    assert len(run.events("handled")) == int(handled)
    new = [v for n in range(97) for v in run.series(f"new{n}").value.tolist()]
    assert sorted(map(int, new)) == list(range(1, int(handled) + 1))


@pytest.mark.slow
def test_a_signal_handler_that_ends_the_run(children):
    """A job that is preempted while it logs would hang, or end as crashed."""
    for round_number in range(10):
        code, out, err = children.run(
            """
            import signal, sys
            import provml

            run = provml.start_run("e")
            print(run.path, flush=True)

            def handler(number, frame):
                run.log_event("preempted")
                run.end_run("interrupted", reason="preempted")
                sys.exit(143)

            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.01 + 0.001 * int(sys.argv[1]))
            n = 0
            while True:
                run.log_metric(f"m{n % 1000}", str(n))
                n += 1
            """,
            round_number,
        )
        assert (code, err) == (143, "")
        run = provml.load(out.strip())
        assert (run.status, run.reason) == ("interrupted", "preempted")
        assert len(run.events("preempted")) == 1
        assert run.dropped[1] == 0


@pytest.mark.parametrize(
    ("end", "code", "status"),
    [
        ("sys.exit(3)", 3, "failed"),
        ("sys.exit()", 0, "finished"),
        ("sys.exit('usage')", 1, "failed"),
        ("\ntry:\n    sys.exit(3)\nexcept SystemExit:\n    pass", 0, "finished"),
        ("\ntry:\n    sys.exit(3)\nexcept SystemExit as e:\n    kept = e", 0, "finished"),
        ("\ntry:\n    sys.exit(3)\nexcept SystemExit:\n    raise", 3, "failed"),
        ("\ntry:\n    sys.exit(3)\nfinally:\n    run.log_event('cleanup')", 3, "failed"),
        ("\ntry:\n    sys.exit(3)\nexcept SystemExit:\n    pass\nsys.exit(0)", 0, "finished"),
        (
            "\nimport asyncio\nasync def main():\n    sys.exit(3)\nasyncio.run(main())",
            3,
            "failed",
        ),
        ("argparse.ArgumentParser().error('no')", 2, "failed"),
    ],
)
def test_how_a_process_exits_is_how_its_run_ended(children, end, code, status):
    """A failed training would count as finished, or one that went on as failed."""
    source = "import argparse, sys, provml\nrun = provml.start_run('e')\nprint(run.path)\n" + end
    returned, out, _ = children.run(source)
    assert returned == code
    run = provml.load(out.split()[0])
    assert run.status == status
