"""Compare provml with the tools that people otherwise log metrics with.

Every tool does the same work in a virtual environment of its own: one run, one metric series
named ``loss`` (in a training context where the tool has contexts), N samples with ``step=i``.
The tool's defaults are kept, except that host monitoring, console capture, telemetry and every
network feature are off. Measured for each tool:

* import: milliseconds that importing it adds to a bare interpreter, median of fresh processes;
* call: microseconds for one logging call, median over the blocks of the logging loop;
* per point: microseconds from before the run is started to after it is closed, divided by N, so
  it contains what the call left to a background thread, a flush or the end of the run;
* lost: a process logs as fast as it can and is killed with SIGKILL after some seconds; the calls
  that had returned, less the points that the tool's own reader then finds on disk, the worst of
  several kills. The machine stays up, so this tells what a crashed process loses, not what a
  power cut loses. At full rate the tools that queue are at their worst: a loop that never waits
  also starves their writer threads. ``--pause`` puts a wait after each call.

Two rows put the figures in scale: appending a tuple to a list (the least a logger can do) and
writing one line of CSV with a flush (the least that a killed process does not lose).

    python peers.py --provml . --json peers.json
    python peers.py --tools provml,tensorboard,csv --n 5000 --provml .

Environments are kept under ``--work`` and used again. A tool that can't be installed or run gets
a row with the reason. Nothing here passes or fails on a time. For POSIX systems.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

METRIC = "loss"
IMPORTS = 5
REPEATS = 3
BLOCKS = 20
KILLS = 3
INSTALL_TIMEOUT = 1800.0
CHILD_TIMEOUT = 300.0

# No telemetry, no account and no server: a library that asks the network all the same finds a
# proxy that is not there.
OFFLINE = {
    "DO_NOT_TRACK": "1",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "NO_PROXY": "localhost,127.0.0.1",
    "no_proxy": "localhost,127.0.0.1",
}

COLUMNS = (
    "tool",
    "version",
    "call µs",
    "per point incl. close µs",
    "lost on SIGKILL of acknowledged",
    "import ms",
    "note",
)

Log = Callable[[float, int], object]


class Unavailable(Exception):
    """A tool could not be installed or run; the message is the one-line reason for its row."""


def joined(*notes: str) -> str:
    """Join the notes that are there."""
    return "; ".join(note for note in notes if note)


class Tool:
    """One way to log a metric; a subclass listed in ``TOOLS`` is a row of the table.

    An instance lives in a process of the tool's own environment and works in one folder.
    Creating it imports the tool, so an import is never part of a timed run.
    """

    title: ClassVar[str]
    venv: ClassVar[str]
    module: ClassVar[str | None] = None
    distribution: ClassVar[str | None] = None
    requirements: ClassVar[tuple[str, ...]] = ()
    without_dependencies: ClassVar[tuple[str, ...]] = ()
    environment: ClassVar[dict[str, str]] = {}
    cap: ClassVar[int | None] = None
    """The most points a measured run gets, for a tool too slow for the full number."""
    settle: ClassVar[float] = 0.0
    """Seconds left to a helper process that outlives the killed one, before its file is read."""
    on_disk: ClassVar[bool] = True
    note: ClassVar[str] = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.api: Any = import_module(self.module) if self.module else None

    def prepare(self) -> None:
        """Do, untimed, what a user pays once for a store and not once for a run."""

    def start(self) -> Log:
        """Start a run and return the function that logs one value at one step."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the run; all points are on disk when this returns."""
        raise NotImplementedError

    def readable(self) -> int:
        """Count the points of the folder's only run, in a process that did not write them."""
        raise NotImplementedError


class Provml(Tool):
    """provml itself, installed from the path given with ``--provml``."""

    title = "provml"
    venv = "provml"
    module = "provml"
    distribution = "provml"

    def start(self) -> Log:
        provml = self.api
        run = provml.start_run("bench", store=str(self.folder / "runs"), formats=())
        (self.folder / "run.txt").write_text(str(run.path), encoding="utf-8")
        training = provml.Context.TRAINING
        return lambda value, step: provml.log_metric(METRIC, value, training, step)

    def close(self) -> None:
        self.api.end_run()

    def readable(self) -> int:
        path = (self.folder / "run.txt").read_text(encoding="utf-8")
        return len(self.api.load(path).series(METRIC, self.api.Context.TRAINING).value)


class ListAppend(Tool):
    """The floor: remember the value, the step and the time, and write nothing."""

    title = "list.append"
    venv = "bare"
    on_disk = False
    note = "floor: a tuple with time_ns() in memory, nothing written"

    def start(self) -> Log:
        samples: list[tuple[int, float, int]] = []
        return lambda value, step: samples.append((step, value, time.time_ns()))

    def close(self) -> None:
        pass


class CsvFlush(Tool):
    """One line of text for each sample, handed to the system before the call returns."""

    title = "CSV line + flush"
    venv = "bare"
    note = "a text line and flush() a call"

    def start(self) -> Log:
        self.file = (self.folder / "loss.csv").open("w", encoding="utf-8")
        write, flush = self.file.write, self.file.flush

        def log(value: float, step: int) -> None:
            write(f"{step},{value!r},{time.time_ns()}\n")
            flush()

        return log

    def close(self) -> None:
        self.file.close()

    def readable(self) -> int:
        return (self.folder / "loss.csv").read_bytes().count(b"\n")


class TensorBoard(Tool):
    """TensorBoard's event files by tensorboardX's writer, which needs no deep-learning library."""

    title = "TensorBoard (tensorboardX)"
    venv = "tensorboard"
    module = "tensorboardX"
    distribution = "tensorboardX"
    requirements = ("tensorboardX", "tensorboard")
    note = "queued for a writer thread"

    def start(self) -> Log:
        self.writer = self.api.SummaryWriter(str(self.folder / "events"))
        add_scalar = self.writer.add_scalar
        return lambda value, step: add_scalar(METRIC, value, step)

    def close(self) -> None:
        self.writer.close()

    def readable(self) -> int:
        name = "tensorboard.backend.event_processing.event_accumulator"
        accumulator = import_module(name).EventAccumulator(
            str(self.folder / "events"), size_guidance={"scalars": 0}
        )
        accumulator.Reload()
        if METRIC not in accumulator.Tags()["scalars"]:
            return 0
        return len(accumulator.Scalars(METRIC))


class WandbOffline(Tool):
    """Weights & Biases in offline mode; its helper process writes the ``.wandb`` file."""

    title = "W&B offline"
    venv = "wandb"
    module = "wandb"
    distribution = "wandb"
    requirements = ("wandb",)
    environment: ClassVar[dict[str, str]] = {
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_DISABLE_GIT": "true",
    }
    settle = 5.0
    note = "a helper process writes; 5 s left to it after the kill"

    def start(self) -> Log:
        settings = self.api.Settings(console="off", x_disable_stats=True)
        self.run = self.api.init(project="bench", dir=str(self.folder), settings=settings)
        log = self.run.log
        return lambda value, step: log({METRIC: value}, step=step)

    def close(self) -> None:
        self.run.finish()

    def readable(self) -> int:
        record_type = import_module("wandb.proto.wandb_internal_pb2").Record
        (path,) = self.folder.glob("wandb/offline-run-*/run-*.wandb")
        count = 0
        for data in wandb_records(path.read_bytes()):
            items = record_type.FromString(data).history.item
            count += any(METRIC in (item.key, *item.nested_key) for item in items)
        return count


def wandb_records(content: bytes) -> Iterator[bytes]:
    """Yield the whole records of a ``.wandb`` file, up to the first that is cut off.

    The file is a LevelDB log after a file header of 7 bytes: blocks of 32 KiB, in them pieces with
    a checksum (4 bytes), a length (2) and a kind (1: whole, 2: first, 3: middle, 4: last).
    """
    block, head = 32_768, 7
    position, record = head, b""
    while position + head <= len(content):
        left = block - position % block
        if left < head:  # padding at the end of a block
            position += left
            continue
        size = int.from_bytes(content[position + 4 : position + 6], "little")
        kind = content[position + 6]
        piece = content[position + head : position + head + size]
        if not 1 <= kind <= 4 or len(piece) < size:
            return
        record = piece if kind in (1, 2) else record + piece
        if kind in (1, 4):
            yield record
        position += head + size


class MlflowSqlite(Tool):
    """MLflow with an SQLite tracking store, one synchronous call a sample."""

    title = "MLflow SQLite"
    venv = "mlflow"
    module = "mlflow"
    distribution = "mlflow"
    requirements = ("mlflow",)
    environment: ClassVar[dict[str, str]] = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    cap: ClassVar[int | None] = 2_000
    note = "one transaction a call; the database is made beforehand, untimed"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.api.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")

    def prepare(self) -> None:
        artifacts = (self.folder / "artifacts").as_uri()
        self.api.create_experiment("bench", artifact_location=artifacts)

    def start(self) -> Log:
        self.api.set_experiment("bench")
        self.api.start_run()
        log_metric = self.api.log_metric
        return lambda value, step: log_metric(METRIC, value, step=step)

    def close(self) -> None:
        self.api.end_run()

    def readable(self) -> int:
        client = self.api.MlflowClient()
        experiment = client.get_experiment_by_name("bench")
        (run,) = client.search_runs([experiment.experiment_id])
        return len(client.get_metric_history(run.info.run_id, METRIC))


class MlflowAsync(MlflowSqlite):
    """The same MLflow store, with calls that leave the writing to its background thread."""

    title = "MLflow SQLite, async"
    note = "synchronous=False: queued, written by a thread; the database is made beforehand"

    def start(self) -> Log:
        super().start()
        log_metric = self.api.log_metric
        return lambda value, step: log_metric(METRIC, value, step=step, synchronous=False)

    def close(self) -> None:
        self.api.flush_async_logging()
        self.api.end_run()


class Aim(Tool):
    """Aim with a local repository."""

    title = "Aim"
    venv = "aim"
    module = "aim"
    distribution = "aim"
    requirements = ("aim",)
    context: ClassVar[dict[str, str]] = {"subset": "training"}
    note = "RocksDB; read back by resuming the run"

    def open(self, name: str | None = None, **options: bool) -> Any:
        """A new run, or the one of that name, with nothing recorded but what is logged."""
        return self.api.Run(
            name,
            repo=str(self.folder),
            system_tracking_interval=None,
            capture_terminal_logs=False,
            **options,
        )

    def start(self) -> Log:
        self.run = self.open()
        (self.folder / "run.txt").write_text(self.run.hash, encoding="utf-8")
        track, context = self.run.track, self.context
        return lambda value, step: track(value, name=METRIC, step=step, context=context)

    def close(self) -> None:
        self.run.close()

    def readable(self) -> int:
        name = (self.folder / "run.txt").read_text(encoding="utf-8")
        context = import_module("aim.storage.context").Context(self.context)
        metric = self.open(name, force_resume=True).get_metric(METRIC, context)
        return 0 if metric is None else len(metric.values.sparse_list()[0])


class Trackio(Tool):
    """Trackio with its local database and no server."""

    title = "trackio"
    venv = "trackio"
    module = "trackio"
    distribution = "trackio"
    requirements = ("trackio",)
    environment: ClassVar[dict[str, str]] = {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    note = "queued, a thread writes to SQLite each 0.5 s"

    def __init__(self, folder: Path) -> None:
        os.environ["TRACKIO_DIR"] = str(folder / "trackio")
        super().__init__(folder)

    def start(self) -> Log:
        self.api.init("bench", name="run", embed=False, auto_log_gpu=False, auto_log_cpu=False)
        log = self.api.log
        return lambda value, step: log({METRIC: value}, step=step)

    def close(self) -> None:
        self.api.finish()

    def readable(self) -> int:
        storage = import_module("trackio.sqlite_storage").SQLiteStorage
        return sum(METRIC in entry for entry in storage.get_logs("bench", "run"))


class Yprov4ml(Tool):
    """yProv4ML, which also writes W3C PROV; its metrics go to CSV files.

    Installed without its dependency list, which brings an image library that logging never uses,
    but with the modules that its own import needs. Its 3.2 releases, up to 3.2.8, hold syntax
    of Python 3.12, so an older Python gets the last release before them, whose energy tracking is
    switched off as the other tools' host monitoring is.
    """

    old_python: ClassVar[bool] = sys.version_info < (3, 12)

    title = "yProv4ML"
    venv = "yprov4ml"
    module = "yprov4ml"
    distribution = "yprov4ml"
    without_dependencies = ("yprov4ml==2.0.10" if old_python else "yprov4ml",)
    requirements = (
        "torch==2.13.0",
        "fvcore",
        "lightning",
        "lxml",
        "netCDF4",
        "numpy",
        "pandas",
        "prov",
        "psutil",
        "pydot",
        "rdflib<7",
        "rocrate",
        "tqdm",
        "typing_extensions",
        "xarray",
        "zarr<3",
        *(("aenum", "codecarbon", "gpustat", "GPUtil", "nvitop") if old_python else ()),
    )
    note = joined(
        "writes each 100 points; its start sleeps 1 s",
        "3.2 (to 3.2.8) needs Python 3.12" if old_python else "",
    )

    def start(self) -> Log:
        options = {"disable_codecarbon": True} if self.old_python else {}
        training = self.api.Context.TRAINING if self.old_python else "training"
        self.api.start_run("bench", provenance_save_dir=str(self.folder / "prov"), **options)
        log_metric = self.api.log_metric
        return lambda value, step: log_metric(METRIC, value, context=training, step=step)

    def close(self) -> None:
        self.api.end_run()

    def readable(self) -> int:
        (path,) = self.folder.glob(f"prov/bench_*/metrics_*/{METRIC}_*.csv")
        return path.read_bytes().count(b"\n") - 1


TOOLS: dict[str, type[Tool]] = {
    "provml": Provml,
    "list": ListAppend,
    "csv": CsvFlush,
    "tensorboard": TensorBoard,
    "wandb": WandbOffline,
    "mlflow": MlflowSqlite,
    "mlflow-async": MlflowAsync,
    "aim": Aim,
    "trackio": Trackio,
    "yprov4ml": Yprov4ml,
}


@dataclass
class Row:
    """One tool's figures, the worst kill's for what was lost; ``None`` where not measured."""

    tool: str
    version: str | None = None
    points: int | None = None
    call_us: float | None = None
    per_point_us: float | None = None
    start_ms: float | None = None
    close_ms: float | None = None
    acknowledged: int | None = None
    lost: int | None = None
    import_ms: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Environment:
    """A tool's interpreter, and how processes are run with it."""

    key: str
    python: Path
    work: Path

    @property
    def tool(self) -> type[Tool]:
        return TOOLS[self.key]

    def variables(self) -> dict[str, str]:
        """The few variables a child gets: no account, setting or cache of the user's."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        return {**kept, "HOME": str(self.work / "home"), **OFFLINE, **self.tool.environment}

    def python_code(self, code: str) -> None:
        """Run a line of Python in a fresh process."""
        execute([str(self.python), "-I", "-c", code], CHILD_TIMEOUT, self.variables())

    def command(self, mode: str, folder: Path, *rest: str) -> list[str]:
        """The command that runs this file's ``mode`` with the tool's interpreter."""
        this = str(Path(__file__).resolve())
        return [str(self.python), "-I", this, "child", mode, self.key, str(folder), *rest]

    def result(self, mode: str, folder: Path, *rest: str) -> dict[str, Any]:
        """Run ``mode`` to its end and return what it reported."""
        answer = folder / "answer.json"
        command = self.command(mode, folder, str(answer), *rest)
        execute(command, CHILD_TIMEOUT, self.variables(), cwd=folder)
        loaded: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return loaded


def reason(output: str) -> str:
    """Pick the line of a failed command's output that most likely tells why."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    chosen = (errors or lines or ["no output"])[-1]
    return chosen if len(chosen) <= 160 else chosen[:157] + "..."


def execute(
    command: list[str],
    timeout: float,
    variables: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run a command to its end, or raise ``Unavailable`` with the reason it failed."""
    try:
        done = subprocess.run(
            command,
            check=False,
            timeout=timeout,
            env=variables,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"not done after {timeout:.0f} s") from error
    if done.returncode:
        raise Unavailable(reason(done.stdout))


def environment(key: str, work: Path, provml: Path | None) -> Environment:
    """Make the tool's virtual environment, or take the one that an earlier use made."""
    tool = TOOLS[key]
    requirements = tool.requirements
    if tool is Provml:
        if provml is None:
            raise Unavailable("skipped: no --provml PATH given to install it from")
        requirements = (str(provml),)
    home = work / "venvs" / tool.venv
    python = home / "bin" / "python"
    mark = home / "requirements-installed.txt"
    wanted = "\n".join((*requirements, "without dependencies:", *tool.without_dependencies))
    made = mark.exists() and mark.read_text(encoding="utf-8") == wanted
    if not made:
        shutil.rmtree(home, ignore_errors=True)
        execute([sys.executable, "-m", "venv", str(home)], INSTALL_TIMEOUT)
    if not made or tool is Provml:  # the path's content may have changed
        install(python, requirements, tool.without_dependencies)
        mark.write_text(wanted, encoding="utf-8")
    (work / "home").mkdir(exist_ok=True)
    return Environment(key, python, work)


def install(
    python: Path, requirements: tuple[str, ...], without_dependencies: tuple[str, ...]
) -> None:
    """Install the packages with the environment's own pip."""
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if requirements:
        execute([*pip, *requirements], INSTALL_TIMEOUT)
    if without_dependencies:
        execute([*pip, "--no-deps", *without_dependencies], INSTALL_TIMEOUT)


@contextmanager
def fresh_folder(work: Path) -> Iterator[Path]:
    """A folder for one run, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="run-", dir=work, ignore_cleanup_errors=True) as name:
        yield Path(name).resolve()


def import_milliseconds(env: Environment) -> float | None:
    """The time that importing the tool adds to a bare interpreter, files already cached."""
    if env.tool.module is None:
        return None
    statements = ("pass", f"import {env.tool.module}")
    seconds: dict[str, list[float]] = {statement: [] for statement in statements}
    for statement in statements:
        env.python_code(statement)
    for _ in range(IMPORTS):
        for statement in statements:
            began = time.perf_counter()
            env.python_code(statement)
            seconds[statement].append(time.perf_counter() - began)
    bare, imported = (median(seconds[statement]) for statement in statements)
    return (imported - bare) * 1e3


def measure_run(env: Environment, points: int, row: Row) -> None:
    """Fill in the figures of whole runs: the median of several, each in a fresh process."""
    answers, found = [], []
    for _ in range(REPEATS):
        with fresh_folder(env.work) as folder:
            answers.append(env.result("measure", folder, str(points)))
            if env.tool.on_disk:
                found.append(env.result("count", folder)["readable"])
    if found and min(found) != points:
        row.note = joined(row.note, f"{min(found):,} points read after a close")
    row.version = answers[0]["version"]
    row.points = points
    row.call_us = median(answer["call_us"] for answer in answers)
    row.per_point_us = median(answer["per_point_us"] for answer in answers)
    row.start_ms = median(answer["start_ms"] for answer in answers)
    row.close_ms = median(answer["close_ms"] for answer in answers)


def measure_kills(env: Environment, seconds: float, pause: float, row: Row) -> None:
    """Fill in the worst of several kills."""
    outcomes = [kill_under_load(env, seconds, pause) for _ in range(KILLS)]
    row.acknowledged, row.lost = max(outcomes, key=lambda outcome: outcome[1])


def kill_under_load(env: Environment, seconds: float, pause: float) -> tuple[int, int]:
    """Kill a process while it logs; return the number of calls that had returned and of lost."""
    with fresh_folder(env.work) as folder:
        counter, output = folder / "counter", folder / "output.txt"
        counter.write_bytes(bytes(8))
        with output.open("w") as sink:
            child = subprocess.Popen(
                env.command("flood", folder, str(counter), str(pause)),
                env=env.variables(),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            let_it_log(child, counter, seconds)
            child.kill()
            if child.wait() != -signal.SIGKILL:
                raise Unavailable(reason(output.read_text(errors="replace")))
            acknowledged = count_in(counter)
            time.sleep(env.tool.settle)
            readable = env.result("count", folder)["readable"]
        finally:
            end_session(child)
    return acknowledged, max(0, acknowledged - readable)


def let_it_log(child: subprocess.Popen[bytes], counter: Path, seconds: float) -> None:
    """Wait until the first call has returned, and then for as long as it shall log."""
    deadline = time.monotonic() + CHILD_TIMEOUT
    while count_in(counter) == 0 and child.poll() is None:
        if time.monotonic() > deadline:
            raise Unavailable(f"no call had returned after {CHILD_TIMEOUT:.0f} s")
        time.sleep(0.01)
    if child.poll() is None:
        time.sleep(seconds)


def count_in(counter: Path) -> int:
    """The number of calls that had returned, as the logging process last wrote it."""
    return int.from_bytes(counter.read_bytes(), sys.byteorder)


def end_session(child: subprocess.Popen[bytes]) -> None:
    """End the child and any helper process that it started and left behind."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def measure(key: str, options: argparse.Namespace) -> Row:
    """Measure one tool; what can't be measured is told in the row's note."""
    tool = TOOLS[key]
    row = Row(tool=tool.title, note=tool.note)
    points = min(options.n, tool.cap or options.n)
    if points < options.n:
        row.note = joined(f"{points:,} points", row.note)
    try:
        env = environment(key, options.work, options.provml)
        row.import_ms = import_milliseconds(env)
        measure_run(env, points, row)
        if tool.on_disk:
            measure_kills(env, options.seconds, options.pause, row)
    except Unavailable as error:
        row.note = str(error) if row.call_us is None else joined(row.note, str(error))
    return row


def child(arguments: list[str]) -> None:
    """Do one thing in the tool's own environment; the parent's end of it is ``Environment``."""
    mode, key, folder, target, *rest = arguments
    tool = TOOLS[key](Path(folder))
    if mode == "flood":
        flood(tool, Path(target), float(rest[0]))
    elif mode == "measure":
        Path(target).write_text(json.dumps(timed_run(tool, int(rest[0]))), encoding="utf-8")
    else:
        Path(target).write_text(json.dumps({"readable": tool.readable()}), encoding="utf-8")


def timed_run(tool: Tool, points: int) -> dict[str, Any]:
    """Log the points in one run and time the calls, the start, the close and the whole."""
    values = [1.0 / (1 + step) for step in range(points)]
    size = max(1, points // BLOCKS)
    block_us = []
    tool.prepare()
    clock = time.perf_counter
    began = clock()
    log = tool.start()
    started = clock()
    for first in range(0, points, size):
        steps = range(first, min(first + size, points))
        block_began = clock()
        for step in steps:
            log(values[step], step)
        block_us.append((clock() - block_began) / len(steps) * 1e6)
    logged = clock()
    tool.close()
    closed = clock()
    return {
        "version": metadata.version(tool.distribution) if tool.distribution else None,
        "call_us": median(block_us),
        "per_point_us": (closed - began) / points * 1e6,
        "start_ms": (started - began) * 1e3,
        "close_ms": (closed - logged) * 1e3,
    }


def flood(tool: Tool, counter: Path, pause: float) -> None:
    """Log until killed, and put the number of calls that returned where the parent sees it."""
    with counter.open("r+b") as file:
        acknowledged = memoryview(mmap.mmap(file.fileno(), 8)).cast("Q")
    tool.prepare()
    log = tool.start()
    step = 0
    while True:
        log(1.0 / (1 + step), step)
        step += 1
        acknowledged[0] = step
        if pause:
            time.sleep(pause)


def figure(value: float | None, digits: int = 0) -> str:
    """A number for a table cell, with a dash for one that was not measured."""
    return "-" if value is None else f"{value:,.{digits}f}"


def lost_cell(row: Row) -> str:
    """The worst kill's loss, of the calls that had returned."""
    if row.lost is None or row.acknowledged is None:
        return "-"
    return f"{row.lost:,} of {row.acknowledged:,}"


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| " + " | ".join(COLUMNS) + " |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        cells = [
            row.tool,
            row.version or "-",
            figure(row.call_us, 2),
            figure(row.per_point_us, 2),
            lost_cell(row),
            figure(row.import_ms),
            row.note.replace("|", "/"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def positive(text: str) -> int:
    """A number of points from the command line."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def any_path(text: str) -> Path:
    """A folder from the command line, which need not be there yet."""
    return Path(text).resolve()


def existing_path(text: str) -> Path:
    """A path from the command line that has to be there."""
    path = Path(text).resolve()
    if not path.exists():
        raise argparse.ArgumentTypeError(f"not there: {text}")
    return path


def tool_keys(text: str) -> list[str]:
    """A comma-separated choice of tools from the command line."""
    keys = [key.strip() for key in text.split(",")]
    unknown = [key for key in keys if key not in TOOLS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no such tool: {', '.join(unknown)}")
    return keys


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Compare provml with other metric loggers.")
    parser.add_argument(
        "--tools", type=tool_keys, default=list(TOOLS), help=f"of {','.join(TOOLS)} (default: all)"
    )
    parser.add_argument("--n", type=positive, default=20_000, help="points (default: %(default)s)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=2.0,
        help="time from the first call to the kill (default: %(default)s)",
    )
    parser.add_argument(
        "--pause",
        type=float,
        default=0.0,
        help="seconds between the calls of the killed process (default: none, full rate)",
    )
    parser.add_argument(
        "--work",
        type=any_path,
        default=Path(tempfile.gettempdir()) / "provml-peers",
        help="folder for the environments, which are used again, and the runs",
    )
    parser.add_argument(
        "--provml", type=existing_path, help="the source tree or wheel to install provml from"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """Measure the chosen tools one after the other and print the table."""
    options = parse(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    rows = []
    for key in options.tools:
        print(f"measuring {key} ...", file=sys.stderr, flush=True)
        rows.append(measure(key, options))
    print(table(rows))
    if options.json:
        asked = {name: getattr(options, name) for name in ("n", "seconds", "pause")}
        report = {
            "python": platform.python_version(),
            **asked,
            "rows": [asdict(row) for row in rows],
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2:])
    else:
        main(sys.argv[1:])
