"""An integration is one file, found by discovery, that records without changing the training."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

import pytest
from capture.scripts import missed, script_done, seen, steps, values

import provml
from provml import Context, integrations
from provml.collect.hashing import BACKGROUND_BYTES
from provml.integrations._recorder import FrameworkRecorder, never_raise
from provml.journal.reader import Journal

TOY = '''
"""A framework."""

class Trainer:
    def __init__(self, lr=0.1):
        self.lr = lr

    def fit(self, losses):
        for step, loss in enumerate(losses):
            self.report({"train_loss": loss, "accuracy": loss / 2, "epoch": step / 2}, step)

    def report(self, values, step):
        if step == 3:
            raise RuntimeError("the training fails")
'''
INTEGRATION = """
from provml import Context
from provml.integrations._recorder import FrameworkRecorder

name = "toy"
modules = ("toy",)

def patch(module, calls):
    calls.record(module.Trainer, "__init__", created, leaf=True)
    calls.record_before(module.Trainer, "report", reported)
    calls.record_before(module.Trainer, "of_another_version", reported)

def created(result, trainer, *args, **kwargs):
    trainer._recorder = FrameworkRecorder(name)
    trainer._recorder.log_settings({"lr": trainer.lr, "of": None}, "trainer.")

def reported(trainer, values, step):
    if step == 2:
        raise ValueError("a mistake of ours")
    trainer._recorder.log_metrics(values, step, None, Context.TRAINING)
"""
SCRIPT = """
import toy
trainer = toy.Trainer(0.5)
trainer.fit([1.0, 2.0, 3.0])
try:
    trainer.fit([1.0, 2.0, 3.0, 4.0])
except RuntimeError as error:
    print(error, [frame.name for frame in __import__("traceback").extract_tb(error.__traceback__)])
"""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A folder with a framework, and the integration that another package has for it."""
    folder = tmp_path / "packages"
    metadata = folder / "toy_integration-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "toy.py").write_text(TOY)
    (folder / "toy_integration.py").write_text(INTEGRATION)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-integration\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[provml.integrations]\ntoy = toy_integration\n")
    return folder


def _read_constants(path: Path) -> dict[str, object]:
    """The constants of an integration, read without importing its framework."""
    found: dict[str, object] = {}
    for node in ast.parse(path.read_text()).body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id in ("name", "modules"):
            found[target.id] = ast.literal_eval(node.value)
    return found


def test_every_integration_is_listed() -> None:
    """A framework of ours would not be recorded, although it has a file."""
    folder = Path(integrations.__file__).parent
    constants = {path.stem: _read_constants(path) for path in folder.glob("[!_]*.py")}
    found = {stem: own["modules"] for stem, own in constants.items() if own}
    assert found == integrations.BUILT_IN
    assert {constants[stem]["name"] for stem in found} == set(found)


def test_an_integration_of_another_package(tmp_path: Path, toy: Path) -> None:
    """A framework could only be added inside provml, or its training would see our errors."""
    done = script_done(tmp_path, SCRIPT, toy)
    assert seen(done.recorded) == seen(done.plain)
    assert "the training fails ['<module>', 'fit', 'report']" in done.plain.stdout
    run = done.run
    assert values(run, "train_loss", Context.TRAINING) == [1, 2, 1, 2, 4]
    assert steps(run, "accuracy", Context.TRAINING) == [0, 1, 0, 1, 3]
    assert list(run.series("train_loss", Context.TRAINING).epoch) == [0, 0, 0, 0, 1]
    assert run.params == {"trainer.lr": 0.5, "trainer.of": None}
    reasons = {str(event["what"]) for event in missed(run) if isinstance(event, dict)}
    assert reasons == {"toy: Trainer.of_another_version", "toy: Trainer.report"}


def test_frameworks_can_be_left_out(tmp_path: Path, toy: Path) -> None:
    """``--no-frameworks`` would record them all the same."""
    done = script_done(tmp_path, SCRIPT, toy, PROVML_CAPTURE="files,trackers,arguments")
    assert done.run.series_names() == []
    assert done.run.params == {}


def test_an_integration_that_fails_to_load(tmp_path: Path, toy: Path) -> None:
    """A mistake in one package would keep scripts from starting, or not be noted."""
    (toy / "toy_integration.py").write_text("import nothing_of_that_name")
    done = script_done(tmp_path, SCRIPT, toy)
    assert seen(done.recorded) == seen(done.plain)
    (event,) = missed(done.run)
    assert isinstance(event, dict)
    assert event["what"] == "integration toy"


def test_two_trainings_of_one_run_stay_apart(tmp_path: Path) -> None:
    """Two curves of the same name would be mixed into one."""
    with provml.start_run("x", store=tmp_path) as run:
        first, second = FrameworkRecorder("toy"), FrameworkRecorder("toy")
        for step in range(2):
            first.log_metrics({"train_loss": 1, "lr": 0.1}, step)
            second.log_metrics({"train_loss": 2, "val_loss": 3}, step)
    recorded = provml.load(run.path)
    assert values(recorded, "train_loss", Context.TRAINING) == [1, 1]
    assert values(recorded, "train_loss", Context("toy 2", Context.TRAINING)) == [2, 2]
    assert values(recorded, "val_loss", Context.VALIDATION) == [3, 3]
    with provml.start_run("x", store=tmp_path) as again:
        second.log_metrics({"train_loss": 4}, 0)
    assert values(provml.load(again.path), "train_loss", Context.TRAINING) == [4]


def test_values_that_are_no_metrics_do_not_end_a_training(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """An unusual value would raise an error inside a framework, or hide the other values."""
    with provml.start_run("x", store=tmp_path) as run:
        recorder = FrameworkRecorder("toy")
        for step in range(2):
            recorder.log_metrics({"bad": object(), "nested": {"loss": 1}, "flag": True}, step)
    recorded = provml.load(run.path)
    assert values(recorded, "nested.loss") == [1, 1]
    assert values(recorded, "flag") == [1, 1]
    (warning,) = [str(warning.message) for warning in recwarn]
    assert warning.startswith("toy: the metric 'bad' was not recorded: InvalidMetricError")
    recorder.log_metrics({"late": 1}, 3)  # the run has ended


def test_an_object_of_a_script_starts_its_own_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that adds only a logger would record nothing."""
    monkeypatch.chdir(tmp_path)
    recorder = FrameworkRecorder("toy", starts_run=True, experiment="from a logger")
    recorder.log_params({"model": {"lr": 0.1}})
    recorder.log_metrics({"val_loss": 0.5}, 1)
    run = recorder.find_run()
    assert run is not None and provml.active_run() is run
    recorder.end_own_run()
    assert recorder.find_run() is None
    recorded = provml.load(run.path)
    assert (recorded.experiment, recorded.status) == ("from a logger", "finished")
    assert recorded.params == {"model.lr": 0.1}


def test_methods_that_a_framework_calls_never_raise(recwarn: pytest.WarningsRecorder) -> None:
    """A mistake of ours would end somebody's training."""

    class Callback:
        @never_raise
        def on_end(self) -> None:
            raise KeyError("missing")

    assert Callback().on_end() is None
    assert Callback().on_end() is None
    (warning,) = [str(warning.message) for warning in recwarn]
    assert "Callback.on_end was not recorded: KeyError: 'missing'" in warning


def test_a_large_checkpoint_is_hashed_while_the_training_goes_on(
    store: Path, tmp_path: Path
) -> None:
    """The training would stand still while gigabytes are hashed, or its model have no digest."""
    large, small = tmp_path / "large.ckpt", tmp_path / "small.ckpt"
    with large.open("wb") as file:
        file.truncate(BACKGROUND_BYTES)
    small.write_bytes(b"weights")
    with provml.start_run("toy", store=store, formats=()) as run:
        recorder = FrameworkRecorder("toy")
        recorder.log_checkpoint(small, "small", 1)
        recorder.log_checkpoint(large, "large", 2)
        run.log_metric("loss", 0.5, None, 3)
    first, second = provml.load(run.path).artifacts()
    assert (first.name, first.sha256) == ("small", hashlib.sha256(b"weights").hexdigest())
    assert (second.name, second.step) == ("large", 2)
    assert second.sha256 == hashlib.sha256(bytes(BACKGROUND_BYTES)).hexdigest()
    lines = [
        record["record"] for files in Journal(run.path).writers for _, record in files.records()
    ]
    assert lines.index("digest") > lines.index("model")
    with provml.start_run("toy", store=store, disabled=True):
        FrameworkRecorder("toy").log_checkpoint(large, "large", 2)
