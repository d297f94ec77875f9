"""Runs in the cells of a notebook: a real kernel, whose cells are asyncio tasks."""

from __future__ import annotations

import pytest
from waiting import LIMIT_S

import provml

_CELLS = [
    "import asyncio, provml\nfirst = provml.start_run('cells', run_id='first', formats=())",
    "second = provml.start_run('cells', run_id='second', formats=())",
    "provml.log_metric('m', 2)\nassert provml.active_run() is second",
    """
async def trial(name):
    with provml.start_run("cells", run_id=name, formats=()):
        for i in range(5):
            provml.log_metric(name, i)
            await asyncio.sleep(0)

await asyncio.gather(trial("a"), trial("b"))
""",
    "provml.log_metric('m', 2)\nprovml.end_run()\nassert provml.active_run() is first",
    "await asyncio.sleep(0)\nprovml.log_metric('m', 1)\nprovml.end_run()",
    "assert provml.active_run() is None\nprovml.log_metric('m', 0)",
]


def test_runs_in_cells_and_in_their_tasks(tmp_path):
    """A cell would lose the run that another cell started, or a cell's tasks would mix theirs."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in _CELLS]
    client = nbclient.NotebookClient(notebook, timeout=LIMIT_S, kernel_name="python3")
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="NoActiveRunError"):
        client.execute(cwd=str(tmp_path))
    outputs = [output for cell in notebook.cells[:-1] for output in cell.outputs]
    (notice,) = [output["text"] for output in outputs if output.get("name") == "stderr"]
    assert "run cells/first has not ended, so run cells/second is nested in it" in notice
    folder = tmp_path / "store" / "cells"
    values = {
        run.id: {each.name: run.series(each.name).value.tolist() for each in run.series_names()}
        for run in (provml.load(path) for path in sorted(folder.iterdir()))
    }
    assert values == {
        "a": {"a": [0, 1, 2, 3, 4]},
        "b": {"b": [0, 1, 2, 3, 4]},
        "first": {"m": [1]},
        "second": {"m": [2, 2]},
    }
    recorded = provml.load(folder / "first").artifacts()
    assert [one.name for one in recorded if one.name.endswith(".json")] == []  # of the kernel
