"""Finds the launch of a distributed job that started this process as a rank.

A launcher such as torchrun, srun or mpirun starts the ranks of a job as separate processes. Each
rank computes the same run ids from the environment variables that the launcher set. Therefore all
ranks record into the same run, although no process tells the others the run's id.

Imports only `base.clock`, `published_runs` and the journal's readers from provml.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from base64 import b32encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from provml.base.clock import boot_ns
from provml.journal.process import (
    identify_process,
    ran_here,
    read_boot_id,
    read_parent,
    read_start_ticks,
)
from provml.recording.published_runs import is_worker_process

_COMPARED: Final = (
    "RANK",
    "WORLD_SIZE",
    "MASTER_PORT",
    "TORCHELASTIC_ERROR_FILE",
    "OMPI_COMM_WORLD_RANK",
    "PMI_RANK",
    "SLURM_STEP_ID",
    "SLURM_PROCID",
)
"""Variables that a launcher sets for each rank. The programs that a rank starts inherit them."""
_MPI_JOB_IDS: Final = ("PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "PMI_JOBID", "PALS_APID")
_BATCH_JOB_IDS: Final = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "COBALT_JOBID")
_SLURM_SIZES: Final = ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_NPROCS")
_MAX_ANCESTORS: Final = 64
_MAX_ENVIRONMENT_BYTES: Final = 4 * 2**20
_START_TOLERANCE_NS: Final = 10 * 1_000_000_000
"""The maximum difference between the start times of a launch's ranks.

Each rank's start time is measured with the clock of its own machine.
"""


class Launch(NamedTuple):
    """One launch of a distributed job, as one of its ranks sees it."""

    name: str
    """The beginning of the run ids, such as ``torchrun``."""
    key: tuple[str, ...]
    """Facts that are the same for all ranks of the launch."""
    is_unique: bool
    """Whether the key identifies this launch. If False, earlier and later launches may have the
    same key, for example if they use the same address and port."""
    rank: int
    world_size: int | None
    """The number of ranks; None if unknown."""
    node: int | None
    """torchrun's number of this machine in the job; None under another launcher."""
    restart: int | None
    """How often torchrun has restarted this rank; None under another launcher."""
    launcher: str
    """Identifies the process that started the ranks on this machine."""
    worker: str
    """Identifies the process that the launcher started: this process, or one of its ancestors."""
    worker_started_ns: int
    """When the worker started, in nanoseconds since the epoch."""

    @property
    def facts(self) -> dict[str, Any]:
        """The facts for the ``writer`` line of this process."""
        return {
            "launcher": self.launcher,
            "worker": self.worker,
            "world_size": self.world_size,
            "node": self.node,
            "restart": self.restart,
        }

    def build_run_id(self, number: int) -> str:
        """Return the id of a run of this launch.

        Args:
            number: 1 for the first run that the ranks start, 2 for the second, and so on.
        """
        digest = hashlib.sha256("\0".join(self.key).encode("utf-8", "surrogateescape")).digest()
        own_id = f"{self.name}-{b32encode(digest[:5]).decode('ascii').lower()}"
        return own_id if number == 1 else f"{own_id}-{number}"

    def can_join(self, run_folder: Path) -> bool:
        """Return whether a run belongs to this launch and has not been recorded by this rank yet.

        A rank that torchrun has restarted may record the same run again.

        Raises JournalError if a newer version of provml wrote one of the run's files.
        """
        from provml.journal.journal_folder import list_writer_files

        writers = [(files, files.first_record()) for files in list_writer_files(run_folder)]
        owners = [(files, writer) for files, writer in writers if writer.get("role") == "owner"]
        for files, writer in owners:
            if writer.get("rank") != self.rank or self._is_restart_of(_launch_facts(writer)):
                continue
            is_over = files.end_record().get("status") == "finished"
            if self.restart is None or self._is_same_worker(writer) or is_over:
                return False
        if self.is_unique or not owners:
            return True
        started_by = self._find_launchers([writer for _, writer in owners])
        if self.launcher in started_by:
            return True
        return self.node not in started_by.values() and self._is_recent(run_folder)

    def _is_same_worker(self, writer: Mapping[str, Any]) -> bool:
        return _launch_facts(writer).get("worker") == self.worker

    def _is_restart_of(self, earlier: Mapping[str, Any]) -> bool:
        restart = earlier.get("restart")
        return self.restart is not None and isinstance(restart, int) and restart < self.restart

    def _find_launchers(self, owners: Sequence[dict[str, Any]]) -> dict[str, int]:
        """Return the node number of each torchrun agent that started ranks on this machine.

        The keys of the result identify the agents. An unknown node number becomes -1.

        Args:
            owners: the ``writer`` lines of the processes that own the run.
        """
        found = {}
        for writer in owners:
            facts = _launch_facts(writer)
            launcher, node = facts.get("launcher"), facts.get("node")
            if self.restart is not None and isinstance(launcher, str) and ran_here(writer):
                found[launcher] = node if isinstance(node, int) else -1
        return found

    def _is_recent(self, run_folder: Path) -> bool:
        """Return whether a run is still running, or has changed since the worker started."""
        from provml.journal.journal_folder import list_writer_files
        from provml.journal.status import read_run_state

        if read_run_state(run_folder).status == "running":
            return True
        changed_ns = 0
        for files in list_writer_files(run_folder):
            try:
                with files.open_events() as file:
                    changed_ns = max(changed_ns, os.fstat(file.fileno()).st_mtime_ns)
            except OSError:
                pass
        return changed_ns >= self.worker_started_ns - _START_TOLERANCE_NS


def _launch_facts(writer: Mapping[str, Any]) -> Mapping[str, Any]:
    facts = writer.get("launch")
    return facts if isinstance(facts, dict) else {}


def find_launch(environment: Mapping[str, str], rank: int) -> Launch | None:
    """Find the launch that started this process as a rank. Reads the ancestors' environments.

    Costs about 50 microseconds per ancestor. Returns None in these cases:

    - This process is the only process of its job.
    - The environment variables do not distinguish the launch from other launches.
    - This process is a ``multiprocessing`` worker of a rank, and not a rank itself.

    Args:
        environment: the environment variables of this process.
        rank: the rank of this process.
    """
    found = (
        _read_torchrun(environment)
        or _read_mpi(environment, rank)
        or _read_slurm(environment, rank)
        or _read_master(environment)
    )
    if found is None:
        return None
    worker_pid, launcher_pid = _find_worker(environment)
    if worker_pid != os.getpid() and is_worker_process():
        return None  # this process is a worker that a rank started, and not a rank itself
    launcher = identify_process(launcher_pid)
    key = (found.name, *found.key, *([launcher] if found.is_local else []))
    return Launch(
        name=found.name,
        key=key,
        is_unique=found.is_unique,
        rank=rank,
        world_size=found.world_size,
        node=_read_number(environment, "GROUP_RANK") if found.restart is not None else None,
        restart=found.restart,
        launcher=launcher,
        worker=identify_process(worker_pid),
        worker_started_ns=_find_start_ns(worker_pid),
    )


class _LauncherFacts(NamedTuple):
    """The facts about a launch that one kind of launcher puts into environment variables."""

    name: str
    key: tuple[str, ...]
    world_size: int | None
    is_local: bool = False
    """Whether one process on this machine started all ranks."""
    is_unique: bool = False
    restart: int | None = None


def _read_torchrun(environment: Mapping[str, str]) -> _LauncherFacts | None:
    """Read the variables that torchrun's agent sets; see ``torch.distributed.elastic.agent``.

    Each machine has an agent. If a rank fails, the agent restarts all ranks of its machine.
    """
    restart = _read_number(environment, "TORCHELASTIC_RESTART_COUNT")
    if "RANK" not in environment or "TORCHELASTIC_RUN_ID" not in environment:
        return None
    size = _read_number(environment, "WORLD_SIZE")
    if size == 1 and not restart and not _read_number(environment, "TORCHELASTIC_MAX_RESTARTS"):
        return None
    run_id = environment["TORCHELASTIC_RUN_ID"]
    # early versions of torchrun choose another port at each restart, unless the user chose one
    has_port = run_id == "none" or environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    address = _read_address(environment) if has_port else ()
    is_local = size is not None and size == _read_number(environment, "LOCAL_WORLD_SIZE")
    batch = () if is_local else _read_all(environment, "SLURM_JOB_ID", "SLURM_STEP_ID")
    key = (run_id, *(address or ()), *batch)
    return _LauncherFacts("torchrun", key, size, is_local, is_unique=is_local, restart=restart or 0)


def _read_mpi(environment: Mapping[str, str], rank: int) -> _LauncherFacts | None:
    """Read the variables that the process managers of Open MPI, MPICH and Intel MPI set."""
    if _read_number(environment, "OMPI_COMM_WORLD_RANK") == rank:
        size = _read_number(environment, "OMPI_COMM_WORLD_SIZE")
        local_size = _read_number(environment, "OMPI_COMM_WORLD_LOCAL_SIZE")
    elif _read_number(environment, "PMI_RANK") == rank:
        size = _read_number(environment, "PMI_SIZE")
        local_size = _read_number(environment, "MPI_LOCALNRANKS")
    else:
        return None
    if size == 1:
        return None
    job = _read_all(environment, *_MPI_JOB_IDS, *_BATCH_JOB_IDS)
    address = _read_address(environment) or ()
    is_local = (size is not None and size == local_size) or not (job or address)
    return _LauncherFacts("mpi", (str(size), *job, *address), size, is_local)


def _read_slurm(environment: Mapping[str, str], rank: int) -> _LauncherFacts | None:
    """Read the variables that ``srun`` sets.

    Returns None for the batch script itself, which is not a step and has only one process.
    """
    job = environment.get("SLURM_JOB_ID") or environment.get("SLURM_JOBID")
    step = environment.get("SLURM_STEP_ID") or environment.get("SLURM_STEPID")
    if not job or not step or _read_number(environment, "SLURM_PROCID") != rank:
        return None
    sizes = (_read_number(environment, variable) for variable in _SLURM_SIZES)
    size = next((one for one in sizes if one is not None), None)
    if size == 1:
        return None
    # a cluster eventually reuses job numbers, and a restarted job uses the same step numbers again
    more = _read_all(
        environment, "SLURM_CLUSTER_NAME", "SLURM_JOB_START_TIME", "SLURM_RESTART_COUNT"
    )
    name = re.sub(r"[^A-Za-z0-9.]", "_", f"slurm-{job}.{step}")[:64].replace("_", "-")
    return _LauncherFacts(name, (job, step, *more), size, is_unique=True)


def _read_master(environment: Mapping[str, str]) -> _LauncherFacts | None:
    """Read the variables of ``torch.distributed``, which other launchers and scripts set too."""
    size = _read_number(environment, "WORLD_SIZE")
    address = _read_address(environment)
    if "RANK" not in environment or address is None or size == 1:
        return None
    batch = _read_all(environment, *_BATCH_JOB_IDS)
    return _LauncherFacts("job", (*address, str(size), *batch), size)


def _read_address(environment: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the address and port at which the ranks meet; None if they are not set.

    A loopback address is unique only together with the machine and its network namespace.
    """
    address, port = environment.get("MASTER_ADDR"), environment.get("MASTER_PORT")
    if not address or not port:
        return None
    if address not in ("localhost", "::1") and not address.startswith("127."):
        return address, port
    try:
        network = str(os.stat("/proc/self/ns/net").st_ino)
    except OSError:
        network = ""
    return address, port, read_boot_id() or os.uname().nodename, network


def _read_number(environment: Mapping[str, str], variable: str) -> int | None:
    text = environment.get(variable, "")
    return int(text) if text.isdecimal() and len(text) < 10 else None


def _read_all(environment: Mapping[str, str], *variables: str) -> tuple[str, ...]:
    """Return each of these variables that is set, as ``NAME=value``."""
    return tuple(f"{name}={environment[name]}" for name in variables if environment.get(name))


def _find_worker(environment: Mapping[str, str]) -> tuple[int, int]:
    """Return the pid of the process that the launcher started, and the pid of the launcher.

    The process that the launcher started is either this process or an ancestor, such as a shell
    script: it is the earliest process that started with the same launcher variables.
    """
    own = {name: environment[name] for name in _COMPARED if name in environment}
    worker = os.getpid()
    launcher = os.getppid()
    if _read_launcher_variables(worker) != own:
        return worker, launcher  # the process has set its own rank, as in torch.multiprocessing
    for _ in range(_MAX_ANCESTORS):
        if launcher < 1 or _read_launcher_variables(launcher) != own:
            break
        worker, launcher = launcher, read_parent(launcher)
    return worker, launcher


def _read_launcher_variables(pid: int) -> dict[str, str]:
    """Return the launcher's variables from the environment with which a process started."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            lines = os.fsdecode(file.read(_MAX_ENVIRONMENT_BYTES)).split("\0")
    except OSError:  # the process belongs to another user, for example a cluster's launcher
        return {}
    pairs = (line.partition("=") for line in lines)
    return {name: value for name, _, value in pairs if name in _COMPARED}


def _find_start_ns(pid: int) -> int:
    ticks = read_start_ticks(pid)
    if ticks is None:
        return time.time_ns()
    age_ns = boot_ns() - ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return time.time_ns() - age_ns
