"""A tracker of another package is recorded, and its functions stay the same for the script."""

from __future__ import annotations

from pathlib import Path

import pytest
from capture.scripts import missed, run_script, script_done, seen, values

import provml
from provml.capture.bootstrap import SITE
from provml.capture.trackers.sources import get_source

TOY = '''
"""A tracker."""
import threading
from toy.helpers import twice

class Writer:
    """Writes."""

    def __init__(self, name):
        self.name = name
        self.kept = []

    def log(self, name, value, step=None, *, unit="s"):
        """Keep a value."""
        if name == "bad":
            raise ValueError("no such name")
        self.kept.append((name, value, step))
        return len(self.kept)

    def log_all(self, values, step=None):
        return [self.log(name, value, step) for name, value in values.items()]

def log(writer, name, value):
    return writer.log(name, value)
'''
TRACKER = """
import signal
from provml.capture.trackers.sources import get_source

name = "toy"
modules = ("toy.writing", "toy.broken", "toy.early")

def patch(module, calls):
    if module.__name__ == "toy.writing":
        calls.record(module.Writer, "log", _log)
        calls.record(module.Writer, "log_all", _log_all)
        calls.record(module, "log", _function)
        calls.record(module.Writer, "of_another_version", _log)
    else:
        calls.record(module, "log", _function)

def _source(writer):
    facts = {"version": "1.0", "uri": "https://me:secret@host/path?token=secret"}
    return get_source("toy", writer.name, writer.name, facts)

def _log(result, writer, name, value, step=None, **_):
    if name == "trouble":
        raise RuntimeError("a mistake of ours")
    if name == "signal":  # one that comes while a call is recorded
        signal.raise_signal(value)
    _source(writer).log_metric(name, value, step)

def _log_all(result, writer, values, step=None):
    _source(writer).log_metrics(values, step)

def _function(result, writer, name, value):
    _source(writer).log_metric(name, value)
"""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A folder with the package of a tracker, and one that records it."""
    folder = tmp_path / "packages"
    (folder / "toy").mkdir(parents=True)
    (folder / "toy" / "__init__.py").write_text("")
    (folder / "toy" / "writing.py").write_text(TOY)
    (folder / "toy" / "helpers.py").write_text("def twice(x):\n    return 2 * x\n")
    (folder / "toy" / "broken.py").write_text("value = 1\nimport nothing_of_that_name\n")
    (folder / "toy_tracker.py").write_text(TRACKER)
    metadata = folder / "toy_tracker-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-tracker\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[provml.trackers]\ntoy = toy_tracker\n")
    return folder


def test_a_tracker_is_one_file(tmp_path: Path, toy: Path) -> None:
    """The tracker of another package would not be recorded, or its calls more than once."""
    script = """
    from toy.writing import Writer, log
    writer = Writer("a")
    print(writer.log("loss", 0.5, 1), writer.log_all({"loss": 0.25, "acc": 1}, 2))
    print(log(writer, "by function", 3), writer.kept)
    """
    done = script_done(tmp_path, script, toy)
    assert seen(done.recorded) == seen(done.plain)
    assert done.plain.returncode == 0
    assert values(done.run, "loss") == [0.5, 0.25]
    assert values(done.run, "acc") == [1]
    assert values(done.run, "by function") == [3]
    (used,) = done.run.events("tracker used")
    assert (used.source, used.metadata["source"], used.metadata["version"]) == ("toy", "a", "1.0")
    assert used.metadata["uri"] == "https://***@host/path?token=***"
    (event,) = missed(done.run)
    assert event["what"] == "toy: Writer.of_another_version"


def test_nothing_of_the_tracker_changes(tmp_path: Path, toy: Path) -> None:
    """A script that inspects, pickles or wraps the functions would notice the wrappers."""
    script = """
    import inspect, pickle, traceback
    from toy import writing
    from toy.writing import Writer, log
    for function in (Writer.log, log, Writer.log_all):
        print(function.__name__, function.__qualname__, function.__module__, function.__doc__)
        print(inspect.signature(function), pickle.loads(pickle.dumps(function)) is function)
        print(inspect.isfunction(function), inspect.getsource(function))
    writer = pickle.loads(pickle.dumps(Writer("x")))
    print(isinstance(writer, Writer), vars(writer), [name for name in vars(Writer)])
    print([name for name in vars(writing) if not name.startswith("_")])
    for call in (lambda: writer.log("bad", 1), lambda: writer.log(), lambda: log(writer, "bad", 2),
                 lambda: writer.log_all({"bad": 2})):
        try:
            call()
        except Exception:
            traceback.print_exc()
    writer.log("bad", 1)
    """
    done = script_done(tmp_path, script, toy)
    assert seen(done.recorded) == seen(done.plain)
    assert done.plain.returncode == 1
    assert done.plain.stderr.count("Traceback") == 5
    assert done.run.series_names() == []


def test_the_import_system_is_as_it_was(tmp_path: Path, toy: Path) -> None:
    """A module would have another loader, or fail in another way, or fail to reload."""
    script = """
    import importlib, importlib.util, sys, traceback
    for name in ("toy.writing", "toy.helpers", "toy.broken", "toy.nothing"):
        spec = importlib.util.find_spec(name)
        print(name, spec and (spec.name, spec.origin and spec.origin[-20:], type(spec.loader)))
    for _ in range(2):
        try:
            import toy.broken
        except ImportError:
            traceback.print_exc()
        print("toy.broken" in sys.modules)
    import toy.writing as writing
    print(writing.__spec__.name, type(writing.__loader__), sorted(vars(writing.__loader__)))
    print(writing.__spec__.loader is writing.__loader__, writing.__file__[-20:])
    first = writing.Writer
    writing.Writer("before").log("m", 1)
    again = importlib.reload(writing)
    print(again is writing, writing.Writer is first)
    writing.Writer("after").log("n", 2)
    spec = importlib.util.find_spec("toy.writing")
    print(spec is writing.__spec__)
    del sys.modules["toy.writing"]
    import toy.writing
    print(toy.writing is writing)
    toy.writing.Writer("third").log("o", 3)
    """
    done = script_done(tmp_path, script, toy)
    assert seen(done.recorded) == seen(done.plain)
    assert done.plain.returncode == 0
    recorded = {name: values(done.run, name) for name, _ in done.run.series_names()}
    assert recorded == {"m": [1], "n": [2], "o": [3]}


def test_lazy_and_zipped_modules(tmp_path: Path, toy: Path) -> None:
    """A tracker with another kind of loader would be broken or not recorded."""
    script = """
    import importlib.util, sys, zipfile
    with zipfile.ZipFile("packed.zip", "w") as packed:
        packed.writestr("toy/early.py", "def log(writer, name, value):\\n    return name\\n")
        packed.writestr("toy/other.py", "value = 3\\n")
    import toy
    toy.__path__.append("packed.zip/toy")
    spec = importlib.util.find_spec("toy.early")
    import toy.other, toy.early
    class Writer: name = "w"
    print(toy.early.log(Writer, "zipped", 1), toy.other.value, type(toy.early.__loader__))

    spec = importlib.util.find_spec("toy.writing")
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules["toy.writing"] = module
    spec.loader.exec_module(module)
    print(type(module).__name__)
    print(module.Writer("lazy").log("lazy", 2), type(module).__name__)
    """
    done = script_done(tmp_path, script, toy)
    assert seen(done.recorded) == seen(done.plain)
    assert done.plain.returncode == 0
    assert values(done.run, "lazy") == [2]
    assert values(done.run, "zipped") == [1]


def test_our_mistakes_are_counted(tmp_path: Path, toy: Path) -> None:
    """An exception in a recorder would reach the script, or not be noted in the run."""
    script = """
    from toy.writing import Writer
    writer = Writer("a")
    print(writer.log("trouble", 1), writer.log("odd", object), writer.log("fine", 2))
    """
    done = script_done(tmp_path, script, toy)
    assert seen(done.recorded) == seen(done.plain)
    assert {"what": "toy: Writer.log", "reason": "RuntimeError: a mistake of ours"} in missed(
        done.run
    )
    (odd,) = done.run.events("tracker value")
    assert odd.metadata == {"name": "odd", "type": "type", "value": "<class 'object'>"}
    assert values(done.run, "fine") == [2]


def test_signals_reach_the_script(tmp_path: Path, toy: Path) -> None:
    """An exception raised by a signal handler during the recording would vanish."""
    script = """
    import signal
    from toy.writing import Writer
    class Late(Exception): pass
    def handler(*_): raise Late("time is up")
    signal.signal(signal.SIGALRM, handler)
    for number in (signal.SIGALRM, signal.SIGINT):
        try:
            Writer("a").log("signal", number)
            print("not met")
        except (Late, KeyboardInterrupt) as error:
            print(type(error))
    """
    done = script_done(tmp_path, script, toy)
    assert done.plain.stdout == "not met\nnot met\n"
    assert done.recorded.stdout == "<class '__main__.Late'>\n<class 'KeyboardInterrupt'>\n"


def test_threads_forks_and_sudden_ends(tmp_path: Path, toy: Path) -> None:
    """Samples of threads and child processes would be lost or doubled, or stop a process."""
    script = """
    import os, threading, warnings
    from toy.writing import Writer
    warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, of threads yet to end
    writer = Writer("a")
    def work(number):
        for step in range(200):
            writer.log_all({"all": step, f"own {number}": step}, step)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    [thread.start() for thread in threads]
    child = os.fork()
    if child == 0:
        Writer("a").log("child", 1)
        os._exit(3)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    [thread.join() for thread in threads]
    print(len(writer.kept), flush=True)
    os._exit(4)
    """
    done = script_done(tmp_path, script, toy)
    assert seen(done.recorded) == seen(done.plain)
    assert (done.plain.returncode, done.plain.stdout) == (4, "3\n6400\n")
    assert sorted(values(done.run, "all")) == sorted(list(range(200)) * 16)
    assert all(values(done.run, f"own {number}") == list(range(200)) for number in range(16))
    assert values(done.run, "child") == [1]
    assert len(done.run.events("tracker used")) == 1


def test_beside_the_script_s_own_run(tmp_path: Path, toy: Path) -> None:
    """The script's own records and those of a tracker would not be in one run."""
    script = """
    import provml
    from toy.writing import Writer
    writer = Writer("a")
    with provml.start_run("own"):
        provml.log_metric("direct", 1.0)
        writer.log("within", 2)
    writer.log("after", 3)
    with provml.start_run("own", disabled=True):
        writer.log("disabled", 4)
    print("end")
    """
    done = script_done(tmp_path, script, toy)
    assert (done.recorded.returncode, done.recorded.stdout) == (0, "end\n")
    recorded = {name: values(done.run, name) for name, _ in done.run.series_names()}
    assert recorded == {"direct": [1.0], "within": [2], "after": [3], "disabled": [4]}


def test_installed_late_and_removed(tmp_path: Path, toy: Path) -> None:
    """Functions of a tracker would stay replaced after the end."""
    script = """
    import sys
    import toy.writing
    from toy.writing import Writer, log
    functions = Writer.log, Writer.log_all, toy.writing.log, toy.writing.Writer
    finders = list(sys.meta_path)
    from provml.capture import trackers
    trackers.install()
    trackers.install()
    writer = Writer("a")
    writer.log("m", 1)
    if sys.argv[1:]:
        assert Writer.log is not functions[0]
    trackers.uninstall()
    trackers.uninstall()
    writer.log("m", 2)
    again = Writer.log, Writer.log_all, toy.writing.log, toy.writing.Writer
    print(all(a is b for a, b in zip(functions, again)), sys.meta_path == finders)
    """
    done = script_done(tmp_path, script, toy, PROVML_CAPTURE="nothing")
    assert (done.recorded.returncode, done.recorded.stdout) == (0, "True True\n")
    assert values(done.run, "m") == [1]


def test_processes_of_one_run_are_told_apart(tmp_path: Path, toy: Path) -> None:
    """Two scripts of one command that log the same name would look like one series."""
    script = """
    import subprocess, sys
    for name in ("a", "b", "a"):
        code = f"from toy.writing import Writer; Writer({name!r}).log('loss', 1)"
        subprocess.run([sys.executable, "-c", code], check=True)
    """
    done = script_done(tmp_path, script, toy)
    assert seen(done.recorded) == seen(done.plain)
    contexts = [str(context) for name, context in done.run.series_names()]
    assert sorted(contexts) == ["None", "a", "b"]


def test_no_run_to_record_into(tmp_path: Path, toy: Path) -> None:
    """An error of a deleted or damaged store would reach the script."""
    script = "from toy.writing import Writer; print(Writer('a').log('m', 1))"
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "run.json").write_text("{")
    for number, folder in enumerate((tmp_path / "gone", damaged)):
        joined = {"PROVML_JOINED_RUN": str(folder)}
        done = run_script(tmp_path / str(number), script, (SITE, toy), joined)
        assert seen(done) == (0, "1\n", "")


def test_a_tracker_that_cannot_be_loaded(tmp_path: Path, toy: Path) -> None:
    """A mistake in one package would keep scripts from starting, or not be noted."""
    (toy / "toy_tracker.py").write_text("import nothing_of_that_name")
    done = script_done(tmp_path, "print('started')", toy)
    assert seen(done.recorded) == seen(done.plain)
    (event,) = missed(done.run)
    assert event["what"] == "tracker toy"


def test_text_of_a_value_does_not_replace_it(tmp_path: Path) -> None:
    """A parameter would change its type, depending on which of two threads were first."""
    with provml.start_run("a", store=tmp_path) as run:
        run.log_params({"C": 0.5, "name": "0.1", "n_jobs": None})
        get_source("toy", "key", "label", {}).log_params({"C": "0.5", "n_jobs": "None", "lr": "1"})
        assert dict(run.params) == {"C": 0.5, "name": "0.1", "n_jobs": None, "lr": "1"}
        get_source("toy", "key", "label", {}).log_params({"C": "0.25", "name": "0.1"})
        assert dict(run.params) == {"C": "0.25", "name": "0.1", "n_jobs": None, "lr": "1"}
