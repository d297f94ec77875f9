"""Files that a script reads and writes are recorded, and the script does not notice."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from waiting import LIMIT_S

import provml
from provml import RecordedContent
from provml.capture.files import record_files
from provml.capture.files.access_history import OVERWRITTEN
from provml.capture.files.access_log import list_access_logs, read_access_log
from provml.capture.files.access_records import CAPTURED, MAX_FILES_PER_FOLDER, SECRET
from provml.capture.files.ignore_rules import IgnoreRules

Script = Callable[..., "subprocess.CompletedProcess[str]"]


def _sha256(content: bytes | str) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


class _Captured:
    """The files that a run recorded, by kind and name."""

    def __init__(self, run: provml.Run) -> None:
        record_files(run)
        run.end_run()
        self.recorded = provml.load(run.path)
        found = self.recorded.artifacts()
        self.used = {item.name: item for item in found if item.kind == "dataset"}
        self.made = {item.name: item for item in found if item.kind == "artifact"}

    @property
    def counts(self) -> dict[str, int]:
        (event,) = self.recorded.events(CAPTURED)
        return dict(event.metadata)


def _digest(item: RecordedContent) -> str | None:
    return item.sha256


def _ended(done: subprocess.CompletedProcess[str]) -> None:
    assert (done.returncode, done.stderr) == (0, "")


# -- what is recorded --------------------------------------------------------------------------


def test_read_and_written(run: provml.Run, work: Path, inside: Script) -> None:
    """The run would not say which files it used and generated."""
    (work / "in.csv").write_text("a,b\n1,2\n")
    _ended(inside("open('out.txt', 'w').write(open('in.csv').read().upper())"))
    captured = _Captured(run)
    assert list(captured.used) == ["in.csv"]
    assert list(captured.made) == ["out.txt"]
    assert _digest(captured.used["in.csv"]) == _sha256("a,b\n1,2\n")
    assert _digest(captured.made["out.txt"]) == _sha256("A,B\n1,2\n")
    assert captured.counts == {"used": 1, "generated": 1}
    assert not list_access_logs(run.path)


def test_files_of_the_store_are_not_files_of_the_script(
    run: provml.Run, work: Path, inside: Script
) -> None:
    """A file that is named like one of provml's own would seem to have been read or written."""
    names = ("run.json", "journal", "artifacts", run.experiment, run.id)
    for name in names:
        (work / name).write_text(name)
    script = (
        "import provml; from provml.base import store_files as s\n"
        "run = provml.start_run('x'); run.log_artifact('made')\n"
        "s.read_file(s.store_root(run.path), run.path / 'run.json', 1000)\n"
    )
    (work / "made").write_text("made")
    _ended(inside(script))
    captured = _Captured(run)
    assert list(captured.used) == []
    assert set(captured.made) == {"made"}


def test_ways_to_open(run: provml.Run, work: Path, inside: Script) -> None:
    """A file would be missed, or recorded under another path, because of how it was opened."""
    for name in ("text", "path", "bytes", "flags", "fd", "opener", "relative", "chdir", "dot"):
        (work / name).write_text(name)
    (work / "sub").mkdir()
    script = """
import io, os, pathlib
open("text").close()
pathlib.Path("path").read_text()
open(b"bytes").close()
os.close(os.open("flags", os.O_RDONLY))
open(os.open("fd", os.O_RDONLY)).close()
open("opener", opener=lambda path, flags: os.open(path, flags)).close()
open("sub/../relative").close()
open("./dot").close()
os.chdir("sub")
open("../chdir").close()
open("made", "x").close()
with open("updated", "w+") as file:
    file.write("u")
os.close(os.open("by flags", os.O_WRONLY | os.O_CREAT))
os.listdir("."), os.close(os.open(".", os.O_RDONLY)), open(os.devnull).close()
"""
    _ended(inside(script))
    captured = _Captured(run)
    names = {"text", "path", "bytes", "flags", "fd", "opener", "relative", "chdir", "dot"}
    assert set(captured.used) == names
    assert {_digest(item) for item in captured.used.values()} == {_sha256(name) for name in names}
    assert set(captured.made) == {"sub/made", "sub/updated", "sub/by flags"}


def test_name_that_is_no_unicode(run: provml.Run, work: Path, inside: Script) -> None:
    """One file with a strange name would prevent the record of all others."""
    strange = os.fsencode(work) + b"/caf\xe9\n.txt"
    with open(strange, "w") as file:
        file.write("x")
    _ended(inside(r"open(b'caf\xe9\n.txt').read(); open('other', 'w').close()"))
    captured = _Captured(run)
    assert _digest(captured.used["caf\\xe9\n.txt"]) == _sha256("x")
    assert "other" in captured.made


def test_overwritten_input_is_two_entities(run: provml.Run, work: Path, inside: Script) -> None:
    """The data that was read would be mistaken for the file that replaced it."""
    for name in ("w", "append", "update", "replaced", "removed"):
        (work / name).write_text("before")
    script = """
import os
for name in ("w", "replaced", "removed"):
    open(name).read()
open("w", "w").write("after")
open("append", "a").write(" after")
open("update", "r+").write("a")
open("other", "w").write("new")
os.replace("other", "replaced")
os.remove("removed")
"""
    _ended(inside(script))
    captured = _Captured(run)
    assert {name: _digest(item) for name, item in captured.used.items()} == dict.fromkeys(
        ("w", "append", "update", "replaced", "removed"), _sha256("before")
    )
    assert {name: _digest(item) for name, item in captured.made.items()} == {
        "w": _sha256("after"),
        "append": _sha256("before after"),
        "update": _sha256("aefore"),
        "replaced": _sha256("new"),
    }
    document = captured.recorded.to_prov().serialize(format="json")
    relations = json.loads(document)["wasDerivedFrom"].values()
    pairs = {(r["prov:generatedEntity"], r["prov:usedEntity"]) for r in relations}
    assert any("artifact" in made and "dataset" in used for made, used in pairs)


def test_opened_to_be_written_and_left(run: provml.Run, work: Path, inside: Script) -> None:
    """A log that was opened for appending would count as new."""
    (work / "log").write_text("as it was")
    _ended(inside("open('log', 'a').close(); open('log', 'r+').close()"))
    captured = _Captured(run)
    assert list(captured.used) == ["log"]
    assert not captured.made


def test_written_by_a_library_then_appended_to(run: provml.Run, work: Path, inside: Script) -> None:
    """A model that a C library writes and Python completes would count as an input of its run."""
    script = """
import subprocess, time
time.sleep(0.05)  # the file system's clock may be a tick late
subprocess.run(["sh", "-c", "echo tree > model.txt"], check=True)
open("model.txt", "a").write("end")
"""
    _ended(inside(script))
    captured = _Captured(run)
    assert not captured.used
    assert _digest(captured.made["model.txt"]) == _sha256("tree\nend")


def test_too_large_to_be_hashed_at_once(run: provml.Run, work: Path, inside: Script) -> None:
    """A script would hang, or the digest of other content would be recorded."""
    with open(work / "large", "wb") as file:
        file.truncate(65 * 2**20)
    _ended(inside("open('large').close(); open('large', 'w').write('small')"))
    captured = _Captured(run)
    assert captured.used["large"].facts["unread"] == OVERWRITTEN
    assert _digest(captured.made["large"]) == _sha256("small")


def test_changed_by_what_is_not_watched(run: provml.Run, work: Path, inside: Script) -> None:
    """The digest of a file that another program wrote would pass for that of the file read."""
    (work / "in").write_text("before")
    script = """
import os, time
open("in").read()
opened = time.time_ns()
while os.stat("in").st_mtime_ns < opened:  # a file system's clock is some milliseconds late
    os.system("echo after > in")
"""
    _ended(inside(script))
    captured = _Captured(run)
    assert "sha256" not in captured.used["in"].facts
    assert "changed" in captured.used["in"].facts["unread"]


def test_written_then_moved_and_removed(run: provml.Run, work: Path, inside: Script) -> None:
    """A checkpoint would be missed, or a deleted file would be recorded."""
    script = """
import os, pathlib, shutil
open("part", "w").write("whole"); os.replace("part", "final")
os.mkdir("step.tmp"); open("step.tmp/model", "w").write("m"); os.rename("step.tmp", "step")
open("gone", "w").close(); os.remove("gone")
os.mkdir("all"); open("all/gone", "w").close(); shutil.rmtree("all")
open("first", "w").write("1"); shutil.copyfile("first", "copy"); shutil.move("first", "moved")
os.link("copy", "linked")
pathlib.Path("twice").write_text("1"); pathlib.Path("twice").write_text("2")
pathlib.Path("twice").read_text()
"""
    _ended(inside(script))
    captured = _Captured(run)
    assert {name: _digest(item) for name, item in captured.made.items()} == {
        "final": _sha256("whole"),
        "step/model": _sha256("m"),
        "copy": _sha256("1"),
        "moved": _sha256("1"),
        "linked": _sha256("1"),
        "twice": _sha256("2"),
    }
    assert not captured.used
    assert captured.counts["removed again"] == 2


def test_moved_input(run: provml.Run, work: Path, inside: Script) -> None:
    """An input that is moved away after use would be lost."""
    for name in ("in", "later"):
        (work / name).write_text(name)
    (work / "folder").mkdir()
    (work / "folder" / "deep").write_text("deep")
    script = """
import os
open("in").read(); os.rename("in", "done")
open("folder/deep").read(); os.rename("folder", "processed")
open("later").read(); os.system("rm later")
"""
    _ended(inside(script))
    captured = _Captured(run)
    assert _digest(captured.used["in"]) == _sha256("in")
    assert _digest(captured.made["done"]) == _sha256("in")
    assert _digest(captured.used["folder/deep"]) == _sha256("deep")
    assert captured.counts["not there at the end"] == 1


def test_links(run: provml.Run, work: Path, inside: Script) -> None:
    """One file with two names would be an input and an output at once."""
    (work / "real").mkdir()
    (work / "way").symlink_to("real")
    (work / "real" / "data").write_text("d")
    (work / "link").symlink_to("real/data")
    _ended(inside("open('link').read(); open('way/out', 'w').write('o'); open('real/out').read()"))
    captured = _Captured(run)
    assert list(captured.used) == ["link"]
    assert list(captured.made) == ["way/out"]


def test_many_files_of_a_folder_are_one_entity(run: provml.Run, work: Path, inside: Script) -> None:
    """A dataset of images would become ten thousand entities."""
    for kind in ("cat", "dog"):
        (work / "data" / kind).mkdir(parents=True)
        for number in range(MAX_FILES_PER_FOLDER + 1):
            (work / "data" / kind / f"{number}.jpg").write_text(f"{kind}{number}")
    _ended(inside("import pathlib\nfor p in pathlib.Path('data').rglob('*.jpg'): p.read_bytes()"))
    captured = _Captured(run)
    assert set(captured.used) == {"data/cat", "data/dog"}
    cats = captured.used["data/cat"].facts
    assert (cats["kind"], cats["files"]) == ("folder", MAX_FILES_PER_FOLDER + 1)
    manifest = list((run.path / "artifacts").rglob("files.sha256"))
    lines = sorted(manifest[0].read_text().splitlines())
    assert len(lines) == MAX_FILES_PER_FOLDER + 1
    checked = subprocess.run(
        ["sha256sum", "--check", "--quiet"],
        input=manifest[0].read_text(),
        text=True,
        cwd=work / "data" / ("cat" if _sha256("cat0") in manifest[0].read_text() else "dog"),
        check=False,
    )
    assert checked.returncode == 0
    assert _sha256(manifest[0].read_bytes()) in {_digest(i) for i in captured.used.values()}


def test_what_the_script_logs_is_not_recorded_twice(
    run: provml.Run, work: Path, inside: Script
) -> None:
    """Each dataset and artifact would be recorded twice."""
    (work / "in").write_text("i")
    (work / "folder").mkdir()
    (work / "folder" / "part").write_text("p")
    script = """
import provml
with provml.start_run("own") as run:
    provml.log_dataset("train", "in")
    provml.log_dataset("more", "folder")
    open("out", "w").write("o")
    provml.log_artifact("out")
    open("later", "w").write("1")
    provml.log_artifact("later")
    open("later", "a").write("2")
"""
    _ended(inside(script))
    captured = _Captured(run)
    assert set(captured.used) == {"train", "more"}
    found = [(item.name, _digest(item)) for item in captured.recorded.artifacts()]
    assert found.count(("out", _sha256("o"))) == 1
    assert ("later", _sha256("12")) in found


# -- ignored files ---------------------------------------------------------------------------


def test_left_out(run: provml.Run, work: Path, inside: Script) -> None:
    """The files of Python, libraries and the system would bury those that the run used."""
    for name in (".env", "module.py", "key.pem"):
        (work / name).write_text("secret = 1")
    os.mkfifo(work / "pipe")
    script = """
import json, os, sys, tempfile, subprocess, logging.config, email.message
import module, numpy
open("/proc/self/status").read(); open("/etc/hostname").close(); open(os.devnull, "w").close()
open(json.__file__).read(); open(".env").read(); open("key.pem").read(); os.remove("key.pem")
with tempfile.NamedTemporaryFile("w") as file: file.write("x")
folder = tempfile.mkdtemp(); open(folder + "/t", "w").write("x")
os.makedirs(os.path.expanduser("~/.cache/x")); open(os.path.expanduser("~/.cache/x/y"), "w").close()
weights = os.path.expanduser("~/.cache/torch/hub/checkpoints")
os.makedirs(weights); open(weights + "/w.pth", "w").write("w")
os.close(os.open("pipe", os.O_RDWR))
import provml, shutil; shutil.rmtree(folder)
open(os.environ["PROVML_JOINED_RUN"] + "/run.json").read()
"""
    home = work.parent / "home"
    home.mkdir()
    temporary = work.parent / "temporary"
    temporary.mkdir()
    _ended(inside(script, HOME=str(home), TMPDIR=str(temporary)))
    captured = _Captured(run)
    assert set(captured.used) == {".env", "key.pem"}
    for name in (".env", "key.pem"):
        assert captured.used[name].facts["unread"] == SECRET
        assert captured.used[name].sha256 is None
    assert [Path(name).name for name in captured.made] == ["w.pth"]


@pytest.mark.parametrize(
    ("path", "writing", "left_out"),
    [
        ("/home/me/project/data.csv", False, False),
        ("/home/me/project/model.py", False, True),
        ("/home/me/project/model.py", True, False),
        ("/home/me/project/pkg/__pycache__/m.cpython-311.pyc.1", True, True),
        ("/home/me/project/.venv/lib/python3/site-packages/x/data.json", False, True),
        ("/home/me/project/.git/HEAD", False, True),
        ("/home/me/project/.hidden/data", False, False),
        ("/home/me/project/ext.so", False, True),
        ("/home/me/other/data.csv", False, False),
        ("/home/me/.cache/matplotlib/fontlist.json", True, True),
        ("/home/me/.cache/huggingface/token", False, True),
        ("/home/me/.cache/huggingface/hub/models--x/blobs/ab", False, False),
        ("/home/me/.netrc", False, True),
        ("/home/me/project/provenance/e/r/journal/x", True, True),
        ("/home/me/project/provenance/e/other/run.json", False, True),
        ("/proc/self/maps", False, True),
        ("/usr/share/zoneinfo/UTC", False, True),
        ("/usr2/data", False, False),
        ("/etc/passwd", False, True),
        ("/tmp/x", True, False),
        ("/tmp/.X11-unix/x", False, True),
        ("/tmp/torchinductor_me/x", True, True),
        ("/dev/shm/data.bin", False, False),
        ("/dev/shm/torch_12_x", True, True),
        ("/opt/tool/libx.so.6", False, True),
        ("/home/me/project/libx.so.6", True, False),
        ("/mnt/data/x", False, False),
    ],
)
def test_rules(monkeypatch: pytest.MonkeyPatch, path: str, writing: bool, left_out: bool) -> None:
    """An input would be ignored, or the system's own files would be recorded."""
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("TMPDIR", raising=False)
    rules = IgnoreRules.for_this_process("/home/me/project/provenance/e/r", "/home/me/project")
    assert rules.ignores(path, writing) is left_out


@pytest.mark.parametrize("folder", ["/usr/src/app", "/tmp/work", "/home/me/.work"])
def test_working_folder_counts_within_a_folder_that_does_not(
    monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """A script in a container's /usr/src/app would have no files."""
    monkeypatch.setenv("HOME", "/home/me")
    rules = IgnoreRules.for_this_process(f"{folder}/provenance/e/r", folder)
    assert not rules.ignores(f"{folder}/data.csv")
    assert rules.ignores(f"{folder}-other/data.csv") is not folder.startswith("/tmp/")
    assert rules.ignores(f"{folder}/provenance/e/r/run.json")


def test_run_folder_in_the_working_folder_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the store is the working folder, all files would be ignored."""
    monkeypatch.setenv("HOME", "/home/me")
    rules = IgnoreRules.for_this_process("/project/e/r", "/project")
    assert not rules.ignores("/project/data.csv")
    assert rules.ignores("/project/e/r/run.json")


# -- processes --------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["subprocess", "fork", "spawn", "os.fork"])
def test_children(run: provml.Run, work: Path, inside: Script, start: str) -> None:
    """The files that a data loader's workers read would be missed."""
    for name in ("parent.txt", "child.txt", "later.txt"):
        (work / name).write_text(name)
    script = f"""
import multiprocessing, os, subprocess, sys
def child():
    open("child.txt").read()
    open("made by child", "w").write("c")
if __name__ == "__main__":
    open("parent.txt").read()
    start = {start!r}
    if start == "subprocess":
        code = "open('child.txt').read(); open('made by child', 'w').write('c')"
        subprocess.run([sys.executable, "-c", code], check=True)
    elif start == "os.fork":
        if not (pid := os.fork()):
            child()
            os._exit(0)
        os.waitpid(pid, 0)
    else:
        process = multiprocessing.get_context(start).Process(target=child)
        process.start()
        process.join()
    open("later.txt").read()
    open("made by child").read()
"""
    _ended(inside(script))
    captured = _Captured(run)
    assert set(captured.used) == {"parent.txt", "child.txt", "later.txt"}
    assert {name: _digest(i) for name, i in captured.made.items()} == {
        "made by child": _sha256("c")
    }


def test_killed(run: provml.Run, work: Path, inside: Script) -> None:
    """A killed run would have no inputs."""
    (work / "in").write_text("i")
    script = """
import os, signal
open("in").read()
file = open("out", "w"); file.write("o"); file.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert inside(script).returncode == -signal.SIGKILL
    captured = _Captured(run)
    assert _digest(captured.used["in"]) == _sha256("i")
    assert _digest(captured.made["out"]) == _sha256("o")


def test_threads(run: provml.Run, work: Path, inside: Script) -> None:
    """If threads open files at the same time, notes would be torn or lost."""
    for thread in range(16):
        (work / f"t{thread}").mkdir()
        for number in range(100):
            (work / f"t{thread}" / f"{number}").write_text(f"{thread}.{number}")
    script = """
import sys, threading
sys.setswitchinterval(1e-6)
def work(own):
    for number in range(100):
        open(f"t{own}/{number}").read()
        open(f"t{own}/out", "w").write(str(number))
threads = [threading.Thread(target=work, args=(own,)) for own in range(16)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
"""
    _ended(inside(script))
    captured = _Captured(run)
    assert captured.counts["used"] == 1600
    assert captured.counts["generated"] == 16


def test_more_files_than_one_file_of_notes_holds(
    run: provml.Run, work: Path, inside: Script
) -> None:
    """The notes would end when the first file is full."""
    (work / "d").mkdir()
    script = """
for number in range(3000):
    open(f"d/{number}", "w").close()
"""
    _ended(inside(script))
    assert len(list_access_logs(run.path)) > 1
    captured = _Captured(run)
    assert captured.counts["generated"] == 3000
    assert captured.made["d"].facts["files"] == 3000


# -- the script -------------------------------------------------------------------------------


def test_script_is_as_without(run: provml.Run, work: Path, inside: Script) -> None:
    """A script's errors and output would change."""
    script = """
import sys, traceback
for call in (lambda: open("absent"), lambda: open(""), lambda: open("nul\\0"), lambda: open(10**6),
             lambda: open("absent/x", "w"), lambda: open(3.5), lambda: open("script.py", "q")):
    try:
        call()
    except Exception:
        traceback.print_exc()
open("absent")
"""
    watched = inside(script)
    plain = inside(script, capture="", PROVML_JOINED_RUN="")
    assert watched.stderr == plain.stderr
    assert watched.returncode == plain.returncode == 1
    assert "provml" not in watched.stderr
    captured = _Captured(run)
    assert not captured.made


def test_trouble_of_ours_is_not_the_scripts(run: provml.Run, work: Path, inside: Script) -> None:
    """An error in the audit hook would break the script's own ``open``."""
    script = """
import os, shutil
shutil.rmtree(os.environ["PROVML_JOINED_RUN"] + "/journal")
open("out", "w").write("o")
print(open("out").read())
"""
    done = inside(script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "o\n", "")


def test_a_thousand_opens_leave_one_note(run: provml.Run, work: Path, inside: Script) -> None:
    """A file that is read in a loop would fill the disk with notes."""
    (work / "in").write_text("i")
    _ended(inside("for _ in range(100_000): open('in').close()"))
    notes = [note for path in list_access_logs(run.path) for note in read_access_log(path)]
    assert [note.kind for note in notes if note.path == str(work / "in")] == ["R"]


def test_opened_for_each_line(run: provml.Run, work: Path, inside: Script) -> None:
    """A file would still count as written after it was moved or removed."""
    (work / "sub").mkdir()
    script = """
import os
def append(name, number):
    for line in range(number):
        with open(name, "a") as file:
            file.write(f"{line}\\n")
append("log", 100)
append("./log", 1)
os.rename("log", "log.1")
append("log", 2)
append("gone", 2)
os.remove("gone")
append(os.path.abspath("whole"), 2)
os.remove("whole")
append(os.path.abspath("whole"), 3)
os.chdir("sub")
append("log", 3)
"""
    _ended(inside(script))
    notes = [note.kind for path in list_access_logs(run.path) for note in read_access_log(path)]
    assert notes.count("W") == 6
    captured = _Captured(run)
    assert not captured.used
    lines = {"log.1": [*range(100), 0], "log": range(2), "whole": range(3), "sub/log": range(3)}
    assert {name: _digest(item) for name, item in captured.made.items()} == {
        name: _sha256("".join(f"{line}\n" for line in own)) for name, own in lines.items()
    }


# -- libraries that open files outside Python -------------------------------------------------

_LIBRARIES = {
    "numpy": """
import numpy as np
np.save("out.npy", np.load("in.npy")); np.fromfile("in.bin"); np.memmap("in.map", mode="r")
np.zeros(3).tofile("out.bin"); np.savez("out.npz", a=np.load("in.npz")["a"])
np.savetxt("out.txt", np.loadtxt("in.txt"))
""",
    "pandas": """
import pandas as pd
table = pd.read_csv("in.csv"); table.to_csv("out.csv")
table.to_pickle("out.pkl"); pd.read_pickle("in.pkl")
""",
    "pyarrow": """
import pandas as pd, pyarrow as pa, pyarrow.parquet as pq
import pyarrow.csv, pyarrow.feather, pyarrow.dataset
pd.read_parquet("in.parquet").to_parquet("out.parquet")
table = pq.read_table("in2.parquet"); pq.write_table(table, where="out2.parquet")
pq.ParquetFile("in3.parquet").read()
pa.csv.write_csv(pa.csv.read_csv("in.csv"), "out.csv")
pa.feather.write_feather(pa.feather.read_table("in.feather"), "out.feather")
pa.memory_map("in.map").close(); pa.dataset.dataset("inset").to_table()
""",
    "polars": """
import polars as pl
table = pl.read_csv("in.csv"); table.write_csv("out.csv")
pl.scan_parquet("in.parquet").sink_parquet("out.parquet")
pl.read_parquet("in*.pq").write_ipc("out.ipc")
""",
    "torch": """
import torch
torch.save(torch.load("in.pt"), "out.pt"); torch.save({}, f="out2.pt")
torch.jit.save(torch.jit.load("in.jit"), "out.jit")
torch.from_file("in.bin", size=4, dtype=torch.uint8)
import pickle; assert pickle.loads(pickle.dumps(torch.save)) is torch.save
""",
    "safetensors": """
import safetensors, safetensors.numpy
from safetensors import safe_open
with safe_open("in.safetensors", "np") as file:
    tensors = {name: file.get_tensor(name) for name in file.keys()}
    assert isinstance(file, safe_open) and not isinstance(3, safe_open)
safetensors.numpy.save_file(tensors, "out.safetensors")
""",
    "joblib": "import joblib; joblib.dump(joblib.load('in.joblib'), 'out.joblib')",
    "h5py": """
import h5py
with h5py.File("in.h5") as source, h5py.File("out.h5", "w") as sink:
    sink["a"] = source["a"][()]
with h5py.File("in2.h5", mode="r"): pass
""",
}


def _make_inputs(library: str) -> None:
    """Inputs that the library itself creates, outside any run."""
    made = {
        "numpy": """
import numpy as np
np.save("in.npy", np.zeros(2)); np.zeros(2).tofile("in.bin"); np.zeros(2).tofile("in.map")
np.savez("in.npz", a=np.zeros(2)); np.savetxt("in.txt", np.zeros(2))
""",
        "pandas": """
import pandas as pd
pd.DataFrame({"a": [1]}).to_csv("in.csv"); pd.DataFrame({"a": [1]}).to_pickle("in.pkl")
""",
        "pyarrow": """
import os, pyarrow as pa, pyarrow.csv, pyarrow.feather, pyarrow.parquet as pq
table = pa.table({"a": [1]}); os.mkdir("inset")
for name in ("in.parquet", "in2.parquet", "in3.parquet", "inset/in.parquet"):
    pq.write_table(table, name)
pa.csv.write_csv(table, "in.csv"); pa.feather.write_feather(table, "in.feather")
open("in.map", "w").write("x")
""",
        "polars": """
import polars as pl
table = pl.DataFrame({"a": [1]}); table.write_csv("in.csv"); table.write_parquet("in.parquet")
table.write_parquet("in1.pq"); table.write_parquet("in2.pq")
""",
        "torch": """
import torch
torch.save({"a": torch.zeros(1)}, "in.pt"); open("in.bin", "w").write("abcd")
torch.jit.save(torch.jit.script(torch.nn.Identity()), "in.jit")
""",
        "safetensors": """
import numpy as np, safetensors.numpy
safetensors.numpy.save_file({"a": np.zeros(2)}, "in.safetensors")
""",
        "joblib": "import joblib; joblib.dump({}, 'in.joblib')",
        "h5py": """
import h5py
for name in ("in.h5", "in2.h5"):
    with h5py.File(name, "w") as file: file["a"] = [1]
""",
    }[library]
    command = [sys.executable, "-W", "ignore", "-c", made]
    subprocess.run(command, check=True, timeout=LIMIT_S)


@pytest.mark.parametrize(
    "library",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name == "torch" else [])
        for name in sorted(_LIBRARIES)
    ],
)
def test_library(run: provml.Run, work: Path, inside: Script, library: str) -> None:
    """Files that a library reads and writes outside Python would be missed."""
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    _make_inputs(library)
    before = {str(p.relative_to(work)): _sha256(p.read_bytes()) for p in work.rglob("in*.*")}
    done = inside(_LIBRARIES[library], PYTHONWARNINGS="ignore")
    _ended(done)
    after = {p.name: _sha256(p.read_bytes()) for p in work.glob("out*")}
    captured = _Captured(run)
    assert {name: _digest(item) for name, item in captured.used.items()} == before
    assert {name: _digest(item) for name, item in captured.made.items()} == after
    assert not captured.recorded.events("capture missed")


def test_replaced_calls_look_like_their_own(run: provml.Run, work: Path, inside: Script) -> None:
    """A library's function would show another signature, or stay replaced at the end."""
    if find_spec("polars") is None:
        pytest.skip("polars is not installed")
    script = """
import inspect, pickle, sys
import polars
call = polars.read_csv
print(call.__module__, call.__qualname__, inspect.signature(call), pickle.loads(pickle.dumps(call)))
print(isinstance(3, int), type(sys.modules["polars"].__spec__), len(sys.argv))
"""
    watched, plain = inside(script), inside(script, capture="", PROVML_JOINED_RUN="")
    assert watched.returncode == plain.returncode == 0
    cut = " at 0x"
    assert watched.stdout.partition(cut)[0] == plain.stdout.partition(cut)[0]
    end = """
import polars, sys
from provml.capture.files import audit_hook
replaced = polars.read_csv
audit_hook.uninstall()
assert polars.read_csv is replaced.__wrapped__
assert not [finder for finder in sys.meta_path if "provml" in type(finder).__module__]
open("after", "w").close()
"""
    _ended(inside(end))
    assert not _Captured(run).made
