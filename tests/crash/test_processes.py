"""Processes that know nothing of each other: same experiment, same run id, ranks of one job."""

from __future__ import annotations

import json
import os

import pytest
from waiting import LIMIT_S

import provml
from provml.journal.store import scan_runs

_TOGETHER = """
    import sys
    import provml

    sys.stdin.readline()  # all are let go at once
    paths = []
    for i in range(int(sys.argv[1])):
        run = provml.start_run("same", formats=())
        run.log_metric("m", i)
        paths.append(str(run.path))
        run.end_run()
    print(*paths)
"""

_ONE_ID = """
    import sys
    import provml

    sys.stdin.readline()
    try:
        run = provml.start_run("same", run_id="one", formats=())
    except provml.RunExistsError as error:
        assert "one" in str(error)
        print("exists")
    else:
        run.log_param("won", True)
        sys.stdin.readline()
        run.end_run()
        print("won")
"""

_RANK = """
    import os, sys
    import provml

    rank = int(os.environ["RANK"])
    sys.stdin.readline()
    run = provml.start_run("job")
    for i in range(1000):
        run.log_metric("loss", rank * 1000 + i, step=i)
    run.log_param(f"rank{rank}", rank)
    print("recorded", flush=True)
    how = sys.stdin.readline().strip()
    if how == "fail":
        raise ValueError("a rank fails")
    run.end_run()
"""


def let_go(children):
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()


def start_together(children, source, count, *arguments, **variables):
    """Processes that have imported provml and wait for a line."""
    return [children.start(source, *arguments, **variables) for _ in range(count)]


def finish(child, line=""):
    out, err = child.communicate(line, timeout=LIMIT_S)
    assert (child.returncode, err) == (0, "")
    return out.split()


def test_processes_that_start_at_once_get_folders_of_their_own(children, tmp_path):
    """Two trainings started at the same moment would record into one folder."""
    started = start_together(children, _TOGETHER, 8, 5)
    let_go(started)
    paths = [path for child in started for path in finish(child)]
    assert len(set(paths)) == 40
    entries = list(scan_runs(tmp_path / "store"))
    assert sorted(str(entry.path) for entry in entries) == sorted(paths)
    assert {entry.state.status for entry in entries} == {"finished"}
    for path in paths:
        assert len(provml.load(path).series("m")) == 1


def test_one_of_many_gets_a_run_id(children, tmp_path, logged_params):
    """Two processes that ask for the same run id would both believe that it is theirs."""
    started = start_together(children, _ONE_ID, 6)
    let_go(started)
    outcomes = [finish(child, "\n") for child in started]
    assert sorted(outcomes) == [["exists"]] * 5 + [["won"]]
    run = provml.load(tmp_path / "store" / "same" / "one")
    assert logged_params(run) == {"won": True}
    assert run.status == "finished"


@pytest.fixture
def job(children):
    """Four ranks that have recorded and wait to be told how to end."""
    ranks = [children.start(_RANK, RANK=str(n), PROVML_RUN_ID="job-1") for n in range(4)]
    let_go(ranks)
    for rank in ranks:
        assert rank.stdout.readline() == "recorded\n", rank.stderr.read()
    return ranks


@pytest.mark.parametrize("round_number", range(4))
def test_ranks_record_into_one_run(job, tmp_path, round_number, logged_params):
    """The ranks of a distributed job would refuse each other, or end up in several runs."""
    (path,) = (tmp_path / "store" / "job").iterdir()
    run = provml.load(path)
    assert run.id == "job-1"
    for rank in job:
        assert run.status == "running"
        finish(rank, "end\n")
    assert run.status == "finished"
    assert logged_params(run) == {f"rank{n}": n for n in range(4)}
    assert sorted(run.series("loss").value.tolist()) == list(range(4000))
    for n in range(4):
        assert run.series("loss", rank=n).value.tolist() == list(range(n * 1000, n * 1000 + 1000))


def test_a_job_failed_if_one_rank_failed(job, tmp_path):
    """A distributed job would count as finished although one of its ranks failed."""
    run = provml.load(tmp_path / "store" / "job" / "job-1")
    _, err = job[2].communicate("fail\n", timeout=LIMIT_S)
    assert job[2].returncode == 1
    assert "a rank fails" in err
    assert run.status == "running"
    for rank in (job[0], job[1], job[3]):
        finish(rank, "end\n")
    assert run.status == "failed"
    assert run.exception["message"] == "a rank fails"


def test_a_job_crashed_if_one_rank_was_killed(job, tmp_path):
    """A distributed job would count as finished although one of its ranks was killed."""
    run = provml.load(tmp_path / "store" / "job" / "job-1")
    job[1].kill()
    job[1].wait(LIMIT_S)
    for rank in (job[0], job[2], job[3]):
        finish(rank, "end\n")
    assert run.status == "crashed"


def test_a_late_rank_joins_when_the_others_have_ended(children, tmp_path):
    """A rank that starts after the quicker ones have ended would be refused, its training lost."""
    for n in range(3):
        child = children.start(_RANK, RANK=str(n), PROVML_RUN_ID="job-2")
        finish(child, "\nend\n")
    run = provml.load(tmp_path / "store" / "job" / "job-2")
    assert run.status == "finished"
    assert sorted(run.series("loss").value.tolist()) == list(range(3000))
    assert len(os.listdir(tmp_path / "store" / "job")) == 1


def test_a_rank_joins_a_run_that_another_is_about_to_begin(children, tmp_path, logged_params):
    """A rank would be refused where another has made the folder and not yet its files."""
    (tmp_path / "store" / "job" / "job-5").mkdir(parents=True)
    finish(children.start(_RANK, RANK="1", PROVML_RUN_ID="job-5"), "\nend\n")
    run = provml.load(tmp_path / "store" / "job" / "job-5")
    assert (run.status, logged_params(run)) == ("finished", {"rank1": 1})


def test_a_rank_that_has_recorded_is_refused(children, tmp_path):
    """A job launched again under its old id would be mixed into the run that has ended."""
    finish(children.start(_RANK, RANK="0", PROVML_RUN_ID="job-3"), "\nend\n")
    code, _, err = children.run(_RANK, RANK="0", PROVML_RUN_ID="job-3")
    assert code == 1
    assert "RunExistsError" in err
    assert "resume=True" in err
    run = provml.load(tmp_path / "store" / "job" / "job-3")
    assert len(run.series("loss")) == 1000


def test_a_rank_does_not_join_a_run_that_was_none_of_a_job(children):
    """A rank would be mixed into an ended run of one process that has the same id."""
    with provml.start_run("job", run_id="job-4", formats=()):
        provml.log_param("single", True)
    code, _, err = children.run(_RANK, RANK="0", PROVML_RUN_ID="job-4")
    assert code == 1
    assert "RunExistsError" in err


def test_the_last_rank_to_end_writes_the_document(job, tmp_path):
    """The document would lack what the other ranks logged after rank 0 had ended."""
    document = tmp_path / "store" / "job" / "job-1" / "provenance.json"
    for rank in job[:3]:
        finish(rank, "end\n")
        assert not document.exists()
    finish(job[3], "end\n")
    content = json.loads(document.read_bytes())
    names = {value["prov:label"] for key, value in content["entity"].items() if "param/" in key}
    own = {name for name in names if not name.startswith("system.")}
    assert own == {f"rank{n}" for n in range(4)}


_RESUME = """
import sys
import provml
print("ready", flush=True)
sys.stdin.readline()
try:
    run = provml.start_run("same", run_id="dead", resume=True)
except provml.RunExistsError:
    print("refused", flush=True)
else:
    print("resumed", flush=True)
    sys.stdin.readline()
    run.end_run()
"""


def test_one_of_many_resumes_a_dead_run(children, tmp_path):
    """Two restarts of one job would record into its run at the same time."""
    code, _, _ = children.run(
        "import os, provml\nprovml.start_run('same', run_id='dead')\nos._exit(1)"
    )
    assert code == 1
    started = [children.start(_RESUME) for _ in range(5)]
    for child in started:
        assert child.stdout.readline() == "ready\n"
    let_go(started)
    outcomes = [child.stdout.readline().strip() for child in started]
    assert sorted(outcomes) == ["refused"] * 4 + ["resumed"]
