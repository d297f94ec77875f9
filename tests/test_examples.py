"""The examples run as they are, and record what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from prov.model import ProvDocument
from waiting import LIMIT_S

import provml

FOLDER = Path(__file__).parent.parent / "notebooks"


def test_the_torch_training_records_a_graph(tmp_path: Path) -> None:
    """A torch user's script would fail, or leave tensors, steps or the model out."""
    pytest.importorskip("torch", reason="torch is not installed")
    command = [sys.executable, str(FOLDER / "train_torch.py"), "--epochs", "2"]
    subprocess.run([*command, "--store", str(tmp_path)], check=True, cwd=tmp_path)
    recorded = provml.load("latest", tmp_path)
    loss = recorded.series("loss", provml.Context.TRAINING)
    assert len(loss) == 2 * 34
    assert loss.step.tolist() == list(range(68))
    assert loss.value[-1] < loss.value[0]
    assert recorded.series("accuracy", provml.Context.EVALUATION).value[0] > 0.5
    document = ProvDocument.deserialize(recorded.path / "provenance.json")
    assert document == recorded.to_prov()
    layers = 64 * 64, 64 * 10  # what is multiplied for an image: forward, and for the weights; and
    per_image = 2 * (2 * sum(layers) + layers[1])  # backward to the first layer's output
    total = recorded.series("training", provml.Context.TRAINING, kind="cumulative-flops")
    assert total.value[-1] == 2 * 1078 * per_image
    model = next(content for content in recorded.artifacts() if content.name == "digits")
    assert (recorded.path / model.facts["copy"]).stat().st_size == model.facts["size"]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_run_from_top_to_bottom(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook would show what no longer works."""
    # the kernel must import the installed package, as these tests do
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.execution_count is None, "clear the outputs before committing"
    client = NotebookClient(
        notebook, timeout=LIMIT_S, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
