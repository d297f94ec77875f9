"""A disk that fails: each call gives EIO. The training goes on, and every loss is counted.

The calls fail in a library that the tests build with the machine's C compiler and preload.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import LIMIT_S

import provml

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs LD_PRELOAD"),
    pytest.mark.filterwarnings("ignore:the files of run:provml.ProvMLWarning"),
]

_TRAINING = """
    import os
    import provml

    run = provml.start_run("e", run_id="r")
    for i in range(50):
        run.log_metric("m", i, step=i)
    run.log_param("before", 1)
    with open("weights", "wb") as file:
        file.write(os.urandom(100_000))
    open(os.environ["FAILING_SINCE"], "x").close()
    for i in range(50, 10_000):
        run.log_metric("m", i, step=i)
    run.log_param("after", 2)
    run.log_event("e", metadata={"x": "y" * 1000})
    run.log_artifact("weights")
    run.log_dataset("data", "weights")
    run.end_run()
    print(sum(range(10_000)), *run.dropped)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library whose calls fail."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    made = tmp_path_factory.mktemp("library") / "failing_disk.so"
    source = Path(__file__).with_name("failing_disk.c")
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(made), str(source), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    if done.returncode:
        pytest.skip(f"the compiler can't build the library: {done.stderr[:200]}")
    return made


def _fail(library: Path, folder: Path, calls: str) -> dict[str, str]:
    return {
        "LD_PRELOAD": str(library),
        "FAILING_FOLDER": str(folder / "store"),
        "FAILING_CALLS": calls,
        "FAILING_SINCE": str(folder / "since"),
    }


@pytest.mark.parametrize(
    "calls",
    [
        "|write|",
        "|sync|truncate|",
        "|create|open|",
        "|allocate|map|",
        "|write|read|sync|truncate|rename|unlink|mkdir|allocate|create|map|open|",
    ],
)
def test_the_training_goes_on(children, tmp_path: Path, library: Path, calls: str) -> None:
    """An error of the disk would reach the training, kill it, or lose samples unsaid."""
    code, out, err = children.run(_TRAINING, **_fail(library, tmp_path, calls))
    assert code == 0, err
    total, samples, events = map(int, out.split())
    assert total == sum(range(10_000))
    assert "Traceback" not in err
    assert err.count("the run continues") <= 1
    recorded = provml.load(tmp_path / "store" / "e" / "r")
    assert recorded.status == "finished"
    assert recorded.dropped == (samples, events)
    values = recorded.series("m").value.tolist()
    assert values[:50] == list(range(50))
    assert len(values) + samples == 10_000
    assert recorded.params["before"] == 1
    assert events or recorded.params["after"] == 2
    assert not recorded.events("journal removed during the run")


def test_a_command_goes_on(children, tmp_path: Path, library: Path) -> None:
    """`provml run` would lose output or the exit status of its command."""
    command = "seq 1 2000; touch since; seq 1 50000; echo made > made; exit 3"
    source = f"""
        import subprocess, sys
        done = subprocess.run([sys.executable, "-m", "provml", "run", "--experiment", "e",
            "--run-id", "r", "--", "sh", "-c", {command!r}], capture_output=True, text=True)
        print(done.returncode, done.stdout == "".join(f"{{n}}\\n" for n in
            [*range(1, 2001), *range(1, 50001)]))
        print(done.stderr, file=sys.stderr)
    """
    failing = _fail(library, tmp_path, "|write|sync|allocate|create|rename|")
    code, out, err = children.run(source, **failing)
    assert (code, out) == (0, "3 True\n"), err
    assert "Traceback" not in err
    assert provml.load(tmp_path / "store" / "e" / "r").experiment == "e"
