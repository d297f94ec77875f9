"""Worker processes that start no run: they record into the run of the process that started them."""

from __future__ import annotations

import subprocess

import pytest
from waiting import LIMIT_S

import provml
from provml.journal.store import scan_runs

_GRID_SEARCH = """
    import sys
    import numpy as np
    import provml
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    LOGS = sys.argv[1] == "log"

    def scorer(model, data, labels):
        score = model.score(data, labels)
        if LOGS:
            provml.log_metric("cv", score, "validation")
            provml.log_param("seen", 1)
        return score

    if __name__ == "__main__":
        data = np.random.default_rng(0).normal(size=(60, 3))
        labels = (data[:, 0] > 0).astype(int)
        for run_id in ("first", "second"):
            with provml.start_run("search", run_id=f"{sys.argv[1]}-{run_id}", formats=()):
                grid = {"C": [0.001, 1, 10]}
                search = GridSearchCV(
                    LogisticRegression(), grid, scoring=scorer, n_jobs=2, cv=3, error_score="raise"
                )
                search.fit(data, labels)
            print(search.best_params_, search.best_score_, search.cv_results_["mean_test_score"])
"""

_POOLS = """
    import multiprocessing, os, sys
    from concurrent.futures import ProcessPoolExecutor
    import provml

    def work(i):
        provml.log_metric("m", i, "training", step=i)
        provml.log_event("worked", step=i)
        return os.getpid()

    def end(i):
        provml.log_metric("last", i)
        provml.end_run()
        return provml.active_run().id

    if __name__ == "__main__":
        context = multiprocessing.get_context(sys.argv[1])
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            assert pool.submit(os.getpid).result()  # the workers are older than the runs
            for name in ("one", "two"):
                with provml.start_run("pools", run_id=name, formats=()) as run:
                    pids = set(pool.map(work, range(40)))
                    assert os.getpid() not in pids
                    assert list(pool.map(end, range(4))) == [name] * 4
                assert provml.active_run() is None
                files = [p.name for p in run.path.glob("journal/*.samples")]
                assert len(files) <= 1 + 2 + 4, files
"""

_DATA_LOADER = """
    import torch
    import provml

    class Squares(torch.utils.data.Dataset):
        def __len__(self):
            return 12

        def __getitem__(self, i):
            provml.log_metric("read", i, "loading", step=i)
            return i * i

    if __name__ == "__main__":
        with provml.start_run("loader", run_id="one", formats=()):
            loader = torch.utils.data.DataLoader(
                Squares(), batch_size=3, num_workers=2, multiprocessing_context="spawn"
            )
            print(sum(int(batch.sum()) for batch in loader))
"""

_PARENT = """
    import os, subprocess, sys, warnings
    import provml

    child = [sys.executable, "-c", sys.argv[2]]
    if sys.argv[1] == "alone":
        with provml.start_run("parent", run_id="parent", formats=()):
            subprocess.run(child, check=True, env={**os.environ, "LEVEL": "1"})
    elif sys.argv[1] == "no run":
        subprocess.run(child, check=True)
    elif sys.argv[1] == "ended":
        with provml.start_run("parent", run_id="parent", formats=()):
            pass
        subprocess.run(child, check=True)
    elif sys.argv[1] == "disabled":
        with provml.start_run("parent", disabled=True):
            subprocess.run(child, check=True)
    elif sys.argv[1] == "nested":
        with provml.start_run("parent", run_id="outer", formats=()):
            with provml.start_run("parent", run_id="inner", formats=()):
                subprocess.run(child, check=True)
    elif sys.argv[1] == "several":
        import threading
        both = threading.Barrier(2)
        def trial(name):
            with provml.start_run("parent", run_id=name, formats=()):
                both.wait()
                if name == "a":
                    subprocess.run(child, check=True)
                both.wait()
        threads = [threading.Thread(target=trial, args=(name,)) for name in "ab"]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
"""

_LOGS = "import provml\nfor i in range(3): provml.log_metric('m', i)\n"


def test_a_grid_search_that_logs_chooses_the_same_model(children, tmp_path):
    """A scorer that logs in loky's workers would raise, and another model would win."""
    results = {}
    for how in ("off", "log"):
        code, results[how], err = children.run(_GRID_SEARCH, how)
        assert (code, err) == (0, "")
    assert results["log"] == results["off"]
    for run_id in ("first", "second"):  # joblib keeps its workers for the second run
        run = provml.load(tmp_path / "store" / "search" / f"log-{run_id}")
        assert (run.status, run.dropped) == ("finished", (0, 0))
        assert len(run.series("cv", "validation")) == 9
        assert run.params["seen"] == 1


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_a_pool_that_is_older_than_the_runs(children, tmp_path, method):
    """What a pool's workers log would be lost, or land in a run that has ended."""
    code, _, err = children.run(_POOLS, method)
    assert (code, err) == (0, "")
    for name in ("one", "two"):
        run = provml.load(tmp_path / "store" / "pools" / name)
        assert run.status == "finished"
        assert sorted(run.series("m", "training").value.tolist()) == list(range(40))
        assert sorted(event.step for event in run.events("worked")) == list(range(40))
        assert sorted(run.series("last").value.tolist()) == list(range(4))


def test_a_data_loader_whose_workers_are_spawned(children, tmp_path):
    """A dataset that logs would end the training where data loaders spawn their workers."""
    code, out, err = children.run(_DATA_LOADER)
    assert (code, out.strip(), err) == (0, str(sum(i * i for i in range(12))), "")
    run = provml.load(tmp_path / "store" / "loader" / "one")
    assert sorted(run.series("read", "loading").value.tolist()) == list(range(12))


@pytest.mark.parametrize("where", ["child", "grandchild"])
def test_a_script_that_is_started_as_a_subprocess(children, tmp_path, where):
    """An evaluation script that a training starts would raise at its first log_metric."""
    source = _LOGS
    if where == "grandchild":
        source = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {_LOGS!r}])"
    code, _, err = children.run(_PARENT, "alone", source)
    assert (code, err) == (0, "")
    run = provml.load(tmp_path / "store" / "parent" / "parent")
    assert run.series("m").value.tolist() == [0, 1, 2]
    assert run.status == "finished"


def test_the_workers_environment_may_be_empty(children, tmp_path):
    """A child that is started with an environment of its own would not find the run."""
    source = f"import os, sys\nos.execve(sys.executable, [sys.executable, '-c', {_LOGS!r}], {{}})"
    code, _, err = children.run(_PARENT, "alone", source)
    assert (code, err) == (0, "")
    run = provml.load(tmp_path / "store" / "parent" / "parent")
    assert run.series("m").value.tolist() == [0, 1, 2]


def test_a_child_that_starts_a_run_has_its_own(children, tmp_path):
    """A training that another training starts would record into that one's run."""
    source = (
        "import provml\nwith provml.start_run('parent', run_id='child', formats=()):\n"
        "    provml.log_metric('m', 1)\nprovml.log_metric('after', 1)"
    )
    code, _, err = children.run(_PARENT, "alone", source)
    assert (code, err) == (0, "")
    names = {
        run_id: [each.name for each in provml.load(path).series_names()]
        for run_id in ("parent", "child")
        for path in [tmp_path / "store" / "parent" / run_id]
    }
    assert names == {"child": ["m"], "parent": ["after"]}


def test_the_inner_of_nested_runs_serves_the_workers(children, tmp_path):
    """A worker would record into the outer run, the process that started it into the inner one."""
    code, _, err = children.run(_PARENT, "nested", _LOGS)
    assert (code, err) == (0, "")
    folder = tmp_path / "store" / "parent"
    assert provml.load(folder / "inner").series("m").value.tolist() == [0, 1, 2]
    assert provml.load(folder / "outer").series_names() == []


@pytest.mark.parametrize("state", ["no run", "ended"])
def test_a_script_without_a_run_still_says_so(children, tmp_path, state):
    """A script that forgot start_run would record nothing, and nobody would notice."""
    source = (
        "import provml\nassert provml.active_run() is None\n"
        "try: provml.log_metric('m', 1)\nexcept provml.NoActiveRunError: print('raised')"
    )
    code, out, err = children.run(_PARENT, state, source)
    assert (code, out, err) == (0, "raised\n", "")


_COMMAND = """
import subprocess, sys
script = '''
import provml
try:
    provml.log_metric("m", 1)
except provml.NoActiveRunError:
    provml.start_run("e").log_metric("m", 2)
'''
command = [sys.executable, "-m", "provml", "run", "--run-id", "inside", "--"]
subprocess.run([*command, sys.executable, "-c", script], check=True, stderr=subprocess.DEVNULL)
"""


def test_a_command_of_provml_run_does_not_record_into_a_run_outside(children, tmp_path):
    """A script under ``provml run`` would record into the run of whoever started the command."""
    code, _, err = children.run(_PARENT, "alone", _COMMAND)
    assert (code, err) == (0, "")
    runs = {entry.path.name: provml.load(entry.path) for entry in scan_runs(tmp_path / "store")}
    assert runs["parent"].series_names() == []
    assert runs["inside"].series("m").value.tolist() == [2]


def test_the_workers_of_a_disabled_run_are_silent(children, tmp_path):
    """A worker would warn of a missing run though recording is switched off."""
    code, _, err = children.run(_PARENT, "disabled", _LOGS)
    assert (code, err) == (0, "")
    assert not (tmp_path / "store").exists()


def test_a_worker_of_one_of_several_runs_records_nothing_and_says_so(children, tmp_path):
    """A worker would record into any one of the runs that its parent's threads record."""
    code, _, err = children.run(_PARENT, "several", _LOGS)
    assert code == 0
    assert err.count("ProvMLWarning") == 1
    assert "several runs" in err
    for entry in scan_runs(tmp_path / "store"):
        assert provml.load(entry.path).series_names() == []


_NO_RUN = """
    import multiprocessing, sys
    import provml

    def work(i):
        for _ in range(3):
            provml.log_metric("m", i)
        provml.end_run()
        return i

    if __name__ == "__main__":
        with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
            print(pool.map(work, range(5)))
"""


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_worker_without_any_run_warns_once(children, method):
    """A scorer that logs would raise in the workers, and turn its scores into NaN."""
    code, out, err = children.run(_NO_RUN, method)
    assert (code, out) == (0, "[0, 1, 2, 3, 4]\n")
    assert err.count("ProvMLWarning") == 1
    assert "provml.start_run" in err


_OUTLIVES = """
    import os, subprocess, sys
    import provml

    with provml.start_run("outlives", run_id="one", formats=()):
        child = subprocess.Popen(
            [sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdout.readline() == b"logged\\n"
    child.communicate(b"go on\\n", timeout=60)
    assert child.returncode == 0
"""


def test_a_worker_that_outlives_the_run(children, tmp_path):
    """A worker would raise, or record into a run that has ended and been archived."""
    source = (
        "import sys, provml\nprovml.log_metric('m', 1)\nrun = provml.active_run()\n"
        "print('logged', flush=True)\nsys.stdin.readline()\n"
        "for i in range(3): provml.log_metric('m', 2)\nrun.log_metric('m', 3)"
    )
    code, _, err = children.run(_OUTLIVES, source)
    assert code == 0, err
    assert err.count("ProvMLWarning") == 1
    run = provml.load(tmp_path / "store" / "outlives" / "one")
    assert run.series("m").value.tolist() == [1]


_UNPICKLED = """
    import pickle, sys
    run = pickle.loads(sys.stdin.buffer.read())
    for i in range(10):
        run.log_metric("m", i, "training", i)
        run.log_event("e")
    print(run.dropped.samples, run.dropped.events)
"""


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "another run"])
def test_a_run_that_is_unpickled_where_its_folder_is_not(children, tmp_path, there):
    """An actor on another machine would record into a folder that no run ever reads."""
    import pickle
    import sys

    with provml.start_run("away", run_id="one", formats=()) as run:
        pickled = pickle.dumps(run)
    run.path.rename(tmp_path / "elsewhere")
    if there == "an empty folder":
        run.path.mkdir()
    elif there == "another run":
        with provml.start_run("away", run_id="one", formats=()):
            pass
    before = sorted(tmp_path.rglob("*"))
    script = tmp_path / "actor.py"
    script.write_text("\n".join(line[4:] for line in _UNPICKLED.splitlines()))
    done = subprocess.run(
        [sys.executable, script], input=pickled, capture_output=True, timeout=LIMIT_S, check=True
    )
    assert done.stdout == b"10 10\n"
    assert done.stderr.count(b"ProvMLWarning") == 1
    assert b"run away/one is not on this machine" in done.stderr
    assert sorted(tmp_path.rglob("*")) == sorted([*before, script])


_PASSED_AND_FOUND = """
    import multiprocessing
    import provml

    def with_run(run):
        run.log_metric("m", 1)
        provml.log_metric("m", 2)

    def without(i):
        provml.log_metric("m", i)

    if __name__ == "__main__":
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            with provml.start_run("passed", run_id="one", formats=()) as run:
                pool.apply(with_run, (run,))
            with provml.start_run("passed", run_id="two", formats=()):
                pool.apply(without, (3,))
"""

_FORKED_IN_THE_FIRST = """
    import multiprocessing
    import provml

    def work(i):
        provml.log_metric("m", i)

    if __name__ == "__main__":
        with provml.start_run("forked", run_id="one", formats=()):
            pool = multiprocessing.get_context("fork").Pool(1)
            if {logs_in_the_first}:
                pool.apply(work, (1,))
        pool.apply(work, (2,))
        with provml.start_run("forked", run_id="two", formats=()):
            pool.apply(work, (3,))
        pool.close()
        pool.join()
"""


@pytest.mark.parametrize("logs_in_the_first", [True, False])
def test_a_forked_pool_that_serves_two_runs(children, tmp_path, logs_in_the_first):
    """Persistent workers would record the second run's data into the first one."""
    source = _FORKED_IN_THE_FIRST.format(logs_in_the_first=logs_in_the_first)
    code, _, err = children.run(source)
    assert (code, err) == (0, "")
    folder = tmp_path / "store" / "forked"
    first = [1, 2] if logs_in_the_first else [2]
    assert provml.load(folder / "one").series("m").value.tolist() == first
    assert provml.load(folder / "two").series("m").value.tolist() == [3]


def test_a_worker_that_was_passed_a_run_finds_the_next_one(children, tmp_path):
    """A pool's worker would go on recording into the run of an earlier task."""
    code, _, err = children.run(_PASSED_AND_FOUND)
    assert (code, err) == (0, "")
    folder = tmp_path / "store" / "passed"
    assert provml.load(folder / "one").series("m").value.tolist() == [1, 2]
    assert provml.load(folder / "two").series("m").value.tolist() == [3]
