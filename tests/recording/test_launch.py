"""The ranks of one launch: they share a run without a run id, and launches stay apart."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import LIMIT_S

import provml

RECORD = """
import os, provml
with provml.start_run("job", formats=()) as run:
    provml.log_metric("loss", 0.5, "training", 0)
    print(run.id)
"""
Start = Callable[..., str]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Run a script with the variables that a launcher sets, and return its output."""
    monkeypatch.setenv("PROVML_STORE", str(tmp_path / "provenance"))

    def run(script: str = RECORD, **variables: object) -> str:
        texts = {name: str(value) for name, value in variables.items()}
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            env=os.environ | texts,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip()

    return run


def torch_variables(rank: int, **others: object) -> dict[str, object]:
    meeting = {"MASTER_ADDR": "localhost", "MASTER_PORT": 29500}
    return {"RANK": rank, "WORLD_SIZE": 2, **meeting, **others}


def slurm_variables(rank: int, **others: object) -> dict[str, object]:
    job = {"SLURM_JOB_ID": 4711, "SLURM_STEP_ID": 0, "SLURM_STEP_NUM_TASKS": 2}
    return {**job, "SLURM_PROCID": rank, **others}


def open_mpi_variables(rank: int, **others: object) -> dict[str, object]:
    job = {"OMPI_COMM_WORLD_SIZE": 2, "PMIX_NAMESPACE": "prterun-node1-99@1"}
    return {**job, "OMPI_COMM_WORLD_RANK": rank, **others}


def mpich_variables(rank: int, **others: object) -> dict[str, object]:
    return {"PMI_SIZE": 2, "PMI_RANK": rank, **others}


LAUNCHERS = [torch_variables, slurm_variables, open_mpi_variables, mpich_variables]


@pytest.mark.parametrize("variables", LAUNCHERS)
def test_ranks_of_a_launch_share_a_run_and_the_next_launch_has_another(
    start: Start, tmp_path: Path, variables: Callable[..., dict[str, object]]
) -> None:
    """A job would leave one run a rank, or continue the run of the job before it."""
    first = start(**variables(0))
    assert start(**variables(1)) == first
    second = start(**variables(1))
    assert second != first
    assert start(**variables(0)) == second
    for own_id in (first, second):
        run = provml.load(tmp_path / "provenance" / "job" / own_id)
        assert [len(run.series("loss", "training", rank=rank)) for rank in (0, 1)] == [1, 1]
        assert run.status == "finished"


@pytest.mark.parametrize(
    ("variables", "others"),
    [
        (torch_variables, {"MASTER_PORT": 29501}),
        (torch_variables, {"MASTER_ADDR": "node2"}),
        (slurm_variables, {"SLURM_JOB_ID": 4712}),
        (slurm_variables, {"SLURM_STEP_ID": 1}),
        (slurm_variables, {"SLURM_CLUSTER_NAME": "other"}),
        (open_mpi_variables, {"PMIX_NAMESPACE": "prterun-node1-100@1"}),
    ],
)
def test_jobs_at_the_same_time_stay_apart(
    start: Start, variables: Callable[..., dict[str, object]], others: dict[str, object]
) -> None:
    """Rank 0 of one job and rank 1 of another would appear as one job."""
    assert start(**variables(0)) != start(**variables(1, **others))


@pytest.mark.parametrize(
    "variables",
    [
        {"RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "localhost", "MASTER_PORT": 29500},
        {"RANK": 0, "WORLD_SIZE": 1, "TORCHELASTIC_RUN_ID": "a", "TORCHELASTIC_RESTART_COUNT": 0},
        slurm_variables(0, SLURM_STEP_NUM_TASKS=1, SLURM_NTASKS=4),
        {"SLURM_JOB_ID": 4711, "SLURM_PROCID": 0, "SLURM_NTASKS": 4},
        {"OMPI_COMM_WORLD_RANK": 0, "OMPI_COMM_WORLD_SIZE": 1, "PMIX_NAMESPACE": "a"},
        {"RANK": 0},
    ],
    ids=[
        "one rank",
        "torchrun of one",
        "srun of one",
        "batch script",
        "mpirun of one",
        "rank only",
    ],
)
def test_a_process_alone_records_a_run_of_its_own(
    start: Start, variables: dict[str, object]
) -> None:
    """A sweep in a batch script, or one after the other, would record its trials as one job."""
    ids = {start(**variables) for _ in range(2)}
    assert len(ids) == 2
    assert all(one.startswith("20") for one in ids)


def test_the_second_run_of_each_rank_is_shared_too(start: Start) -> None:
    """Each rank of a loop over folds would end up in the first fold's run, or alone."""
    script = 2 * RECORD
    first, second = start(script, **torch_variables(0)).split()
    assert first != second
    assert start(script, **torch_variables(1)).split() == [first, second]


def test_runs_of_threads_are_not_shared(start: Start) -> None:
    """Trials that the ranks start in any order in threads would be mixed with one another."""
    script = f"""
import threading
def record():
    exec({RECORD!r})
thread = threading.Thread(target=record)
thread.start()
thread.join()
"""
    assert len({start(script, **torch_variables(rank)) for rank in (0, 1)}) == 2


def test_workers_of_a_rank_record_runs_of_their_own(start: Start) -> None:
    """Trials in the pools of two ranks would be mixed with one another."""
    script = f"""
import multiprocessing
def record():
    exec({RECORD!r})
worker = multiprocessing.get_context("fork").Process(target=record)
worker.start()
worker.join()
"""
    assert len({start(script, **torch_variables(rank)) for rank in (0, 1)}) == 2


def test_ranks_that_a_script_spawns_share_a_run(start: Start, tmp_path: Path) -> None:
    """Ranks that set their own variables, as in torch.multiprocessing, would each have a run."""
    script = f"""
import multiprocessing, os
os.environ.update(MASTER_ADDR="localhost", MASTER_PORT="29500", WORLD_SIZE="2")
def record(rank):
    os.environ["RANK"] = str(rank)
    exec({RECORD!r})
ranks = [multiprocessing.get_context("fork").Process(target=record, args=(n,)) for n in (0, 1)]
for rank in ranks:
    rank.start()
for rank in ranks:
    rank.join()
"""
    first, second = start(script).split()
    assert first == second


def test_the_rank_of_mpirun_wins_over_that_of_the_batch_script(
    start: Start, tmp_path: Path
) -> None:
    """Every process that mpirun starts in a batch job would count as rank 0."""
    batch = {"SLURM_JOB_ID": 4711, "SLURM_PROCID": 0, "SLURM_LOCALID": 0, "SLURM_NTASKS": 2}
    ids = {start(**batch, **open_mpi_variables(rank)) for rank in (0, 1)}
    assert len(ids) == 1
    run = provml.load(tmp_path / "provenance" / "job" / ids.pop())
    assert len(run.series("loss", "training", rank=1)) == 1


def test_a_given_id_is_kept(start: Start) -> None:
    """A script that names its run would not find it under that name."""
    ids = {start(**torch_variables(rank), PROVML_RUN_ID="mine") for rank in (0, 1)}
    assert ids == {"mine"}


@pytest.fixture
def torchrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run a script in torchrun with two ranks, and wait for its end."""
    pytest.importorskip("torch", reason="torchrun belongs to torch")
    monkeypatch.setenv("PROVML_STORE", str(tmp_path / "provenance"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(script: str, *options: str) -> None:
        path = tmp_path / "train.py"
        path.write_text(textwrap.dedent(script))
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
        done = subprocess.run(
            [*command, *options, str(path)],
            cwd=tmp_path,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()

    return run


def load_jobs(folder: Path) -> list[provml.RecordedRun]:
    runs = [provml.load(path.parent) for path in folder.glob("provenance/job/*/run.json")]
    return sorted(runs, key=lambda run: run.started)


def losses(run: provml.RecordedRun, rank: int) -> list[Any]:
    return list(run.series("loss", "training", rank=rank).value.tolist())


def test_ranks_of_torchrun_share_a_run_and_its_next_launch_has_another(
    torchrun: Callable[..., None], tmp_path: Path
) -> None:
    """A training with plain torchrun would leave one run a rank, or two trainings in one run."""
    train = """
    import provml, torch, torch.distributed as distributed
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    with provml.start_run("job", formats=()):
        total = torch.tensor([float(rank + 1)])
        distributed.all_reduce(total)
        provml.log_metric("loss", total.item() + rank, "training", 0)
    distributed.destroy_process_group()
    """
    torchrun(train, "--master-port", "29583")
    torchrun(RECORD, "--master-port", "29583")
    first, second = load_jobs(tmp_path)
    assert (losses(first, 0), losses(first, 1)) == ([3.0], [4.0])
    assert (losses(second, 0), losses(second, 1)) == ([0.5], [0.5])


def test_ranks_that_torchrun_restarts_stay_in_their_run(
    torchrun: Callable[..., None], tmp_path: Path
) -> None:
    """A training that survived a fault would be in two runs, the first of them failed."""
    train = """
    import os, provml
    attempt, rank = int(os.environ["TORCHELASTIC_RESTART_COUNT"]), int(os.environ["RANK"])
    with provml.start_run("job", formats=()):
        provml.log_metric("loss", attempt, "training", attempt)
        if attempt == 0 and rank == 1:
            raise SystemExit(1)
    """
    torchrun(train, "--max-restarts", "1")
    (run,) = load_jobs(tmp_path)
    assert losses(run, 1) == [0.0, 1.0]
    assert losses(run, 0)[-1] == 1.0
    assert run.status == "finished"
