"""Child processes of a run: forked, pooled, spawned. They record; none of them ends the run."""

from __future__ import annotations

import json
import os

import pytest

import provml

_FORKED = """
    import os, sys
    import provml

    run = provml.start_run("fork")
    for i in range(100):
        provml.log_metric("loss", i, step=i)
    pid = os.fork()
    if pid == 0:
        for i in range(100, 5100):
            provml.log_metric("loss", i, step=i)
        provml.log_param("child", 1)
        {leave}
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == {code}
    assert provml.load(run.path).status == "running", provml.load(run.path).status
    assert not (run.path / "provenance.json").exists()
    for i in range(5100, 5200):
        provml.log_metric("loss", i, step=i)
    provml.log_param("parent", 1)
    run.end_run()
    print(run.path)
"""

_LEFT_A_BLOCK = """
    import os, sys
    import provml

    pid = None
    try:
        with provml.start_run("fork") as run:
            provml.log_metric("loss", 0.0, step=0)
            pid = os.fork()
            if pid == 0:
                {log}
                {leave}
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == {code}
            assert provml.load(run.path).status == "running", provml.load(run.path).status
            assert not (run.path / "provenance.json").exists()
            provml.log_metric("loss", 2.0, step=2)
    finally:
        if pid != 0:
            print(run.path)
"""

_POOL = """
    import multiprocessing, os
    import provml

    def work(i):
        provml.log_metric("squares", i * i, step=i)
        provml.log_event("worked", step=i)
        return os.getpid()

    def work_with(job):
        run, i = job
        run.log_metric("handed", i * i, step=i)
        return os.getpid()

    if __name__ == "__main__":
        with provml.start_run("pool") as run:
            provml.log_metric("squares", 0, step=0)
            with multiprocessing.get_context("fork").Pool(3) as pool:
                pids = set(pool.map(work, range(1, 200), chunksize=5))
                pids |= set(pool.map(work_with, [(run, i) for i in range(60)], chunksize=1))
                pool.close()
                pool.join()
            assert provml.active_run() is run
            provml.log_metric("squares", 200 * 200, step=200)
        print(len(pids), run.path)
"""

_LOADERS = """
    import multiprocessing, sys
    import provml

    def load(worker, queue):
        for i in range(500):
            provml.log_metric("read", worker * 500 + i, "loading", step=i)
        queue.put(worker)
        queue.close()
        queue.join_thread()
        while sys.argv[1] == "daemon":
            pass  # the parent's exit ends it

    if __name__ == "__main__":
        context = multiprocessing.get_context("fork")
        with provml.start_run("loaders") as run:
            queue = context.Queue()
            workers = [
                context.Process(target=load, args=(n, queue), daemon=sys.argv[1] == "daemon")
                for n in range(3)
            ]
            for worker in workers:
                worker.start()
            for _ in workers:
                queue.get(timeout=60)
            for i in range(1500, 2000):
                provml.log_metric("read", i, "loading", step=i)
            if sys.argv[1] != "daemon":
                for worker in workers:
                    worker.join()
        print(run.path)
"""

_SPAWNED = """
    import multiprocessing, pickle, sys
    import provml

    def work(run, worker):
        assert provml.active_run() is run
        for i in range(100):
            run.log_metric("spawned", worker * 100 + i, step=i)
        provml.log_param(f"worker{worker}", worker)
        if worker == 2:
            sys.exit(4)
        if worker == 3:
            run.end_run()

    def work_without():
        provml.log_metric("without", 1.0)
        sys.exit(7)

    if __name__ == "__main__":
        context = multiprocessing.get_context(sys.argv[1])
        with provml.start_run("spawn") as run:
            workers = [context.Process(target=work, args=(run, n)) for n in range(4)]
            workers.append(context.Process(target=work_without))
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join(60)
            assert [w.exitcode for w in workers] == [0, 0, 4, 0, 7]
            assert provml.load(run.path).status == "running"
            assert not (run.path / "provenance.json").exists()
            assert pickle.loads(pickle.dumps(run)) is run
            assert provml.active_run() is run
        print(run.path)
"""


@pytest.mark.parametrize(
    ("leave", "code"),
    [
        ("sys.exit(0)", 0),
        ("sys.exit(3)", 3),
        ("os._exit(5)", 5),
        ("raise ValueError('in the child')", 1),
        ("provml.end_run(); os._exit(0)", 0),
    ],
)
def test_a_forked_child_records_and_does_not_end_the_run(children, leave, code, logged_params):
    """A forked child's samples would be lost or overwrite the parent's, or its exit end the run."""
    source = _FORKED.format(leave=leave, code=code)
    exit_code, out, err = children.run(source)
    assert exit_code == 0, err
    run = provml.load(out.strip())
    assert run.status == "finished"
    series = run.series("loss")
    assert sorted(series.value.tolist()) == list(range(5200))
    assert series.step.tolist() == series.value.tolist()
    assert logged_params(run) == {"child": 1, "parent": 1}
    assert run.dropped == (0, 0)


@pytest.mark.parametrize("log", ["provml.log_metric('loss', 1.0, step=1)", "pass"])
@pytest.mark.parametrize(
    ("leave", "code"),
    [("raise ValueError('in the child')", 1), ("sys.exit(3)", 3), ("os._exit(0)", 0)],
)
def test_a_child_that_leaves_the_block_does_not_end_the_run(children, log, leave, code):
    """A child that leaves the parent's ``with start_run()`` by an exception would end its run."""
    exit_code, out, err = children.run(_LEFT_A_BLOCK.format(log=log, leave=leave, code=code))
    assert exit_code == 0, err
    run = provml.load(out.strip())
    assert run.status == "finished"
    assert run.reason is None
    expected = [0.0, 2.0] if log == "pass" else [0.0, 1.0, 2.0]
    assert sorted(run.series("loss").value.tolist()) == expected
    assert (run.path / "provenance.json").exists()


def test_a_pool_of_forked_workers(children):
    """What a pool's workers log would be lost, or each task would open files of its own."""
    code, out, err = children.run(_POOL)
    assert (code, err) == (0, "")
    workers, path = out.split()
    run = provml.load(path)
    assert run.status == "finished"
    squares = run.series("squares")
    assert sorted(squares.value.tolist()) == [i * i for i in range(201)]
    assert [step * step for step in squares.step.tolist()] == squares.value.tolist()
    assert sorted(event.step for event in run.events("worked")) == list(range(1, 200))
    assert sorted(run.series("handed").value.tolist()) == [i * i for i in range(60)]
    assert len(list((run.path / "journal").glob("*.samples"))) <= int(workers) + 1


@pytest.mark.parametrize("kind", ["daemon", "joined"])
def test_forked_data_loaders(children, kind):
    """What data loader processes log would be lost when the parent ends or kills them."""
    code, out, err = children.run(_LOADERS, kind)
    assert (code, err) == (0, "")
    run = provml.load(out.strip())
    assert run.status == "finished"
    assert sorted(run.series("read", "loading").value.tolist()) == list(range(2000))


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_run_that_is_handed_to_other_processes(children, method, logged_params):
    """A spawned process that was handed the run would not record, or would end the run."""
    code, out, err = children.run(_SPAWNED, method)
    assert (code, err) == (0, "")
    run = provml.load(out.strip())
    assert run.status == "finished"
    assert sorted(run.series("spawned").value.tolist()) == list(range(400))
    assert run.series("without").value.tolist() == [1.0]
    assert logged_params(run) == {f"worker{n}": n for n in range(4)}


def test_a_fork_while_other_threads_log(children):
    """A child forked while another thread logs would inherit a held lock and hang."""
    code, out, err = children.run(
        """
        import os, threading, warnings
        import provml

        warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, of the threads below
        run = provml.start_run("busy")
        stop = threading.Event()

        def log(n):
            i = 0
            while not stop.is_set():
                run.log_event(f"e{n}", metadata={"i": i})
                run.log_metric(f"m{n}.{i % 50}", i)
                i += 1

        threads = [threading.Thread(target=log, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        for child in range(20):
            pid = os.fork()
            if pid == 0:
                run.log_metric("child", child)
                run.log_param(f"child{child}", child)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        stop.set()
        for thread in threads:
            thread.join()
        run.end_run()
        print(run.path)
        """
    )
    assert (code, err) == (0, "")
    run = provml.load(out.strip())
    assert sorted(run.series("child").value.tolist()) == list(range(20))
    assert len([name for name in run.params if name.startswith("child")]) == 20
    assert os.path.getsize(run.path / "provenance.json") > 0
    with open(run.path / "provenance.json", "rb") as file:
        assert json.load(file)["prefix"]


@pytest.mark.parametrize("interval_s", ["0", "0.001"])
def test_a_fork_meets_no_thread_of_ours(children, interval_s):
    """A child could wait for ever for a lock that our thread held when it was forked."""
    code, out, err = children.run(
        """
        import os, threading, warnings
        import provml

        warnings.simplefilter("ignore", DeprecationWarning)

        def ours():
            return [t.name for t in threading.enumerate() if t.name.startswith("provml-")]

        seen = []
        # what is called before a fork is called in reverse order: this after the run's own
        os.register_at_fork(before=lambda: seen.append(ours()))
        run = provml.start_run("e")
        for _ in range(3):
            assert "provml-sync" in ours()
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)
        print(seen)
        run.end_run()
        """,
        PROVML_SAMPLE_INTERVAL_S=interval_s,
    )
    assert (code, err) == (0, "")
    assert out.strip() == "[[], [], []]"
