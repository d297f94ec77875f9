"""Names that look alike, or that a file system takes for one, stay the names of different runs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import provml
from provml.base.text import printable


@pytest.fixture
def one_folder(tmp_path: Path) -> Iterator[Path]:
    """A store in which the folders ``Net`` and ``net`` are one, as on macOS and Windows."""
    for name in ("net", "Net"):
        (tmp_path / name).mkdir()
    command = ["mount", "--bind", str(tmp_path / "net"), str(tmp_path / "Net")]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no folder can be mounted here: {error}")
    if mounted.returncode:
        pytest.skip(f"no folder can be mounted here: {mounted.stderr.strip()}")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path / "Net")], check=True)


def _record(store: Path, experiment: str, value: float, **options: object) -> Path:
    with provml.start_run(
        experiment, store=store, formats=(), sample_interval_s=0, code=False, **options
    ) as run:
        run.log_metric("loss", value)
    return run.path


def test_a_run_of_another_experiment_is_not_resumed(one_folder: Path) -> None:
    """The samples of one experiment would be added to a run of the other one."""
    first = _record(one_folder, "net", 1.0, run_id="r")
    second = _record(one_folder, "Net", 2.0, resume=True)
    assert second.name != first.name
    third = _record(one_folder, "net", 3.0, resume=True)
    assert third.name == "r"
    for options in ({}, {"resume": True}):
        with pytest.raises(provml.RunExistsError, match="net/r"):
            _record(one_folder, "Net", 4.0, run_id="r", **options)
    assert provml.load(first).series("loss").value.tolist() == [1.0, 3.0]
    assert provml.load(second).series("loss").value.tolist() == [2.0]
    assert [provml.load(path).experiment for path in (first, second)] == ["net", "Net"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("caf\u00e9", "cafe\u0301"),
        ("loss", "lo\u200dss"),
        ("loss", "loss\u200b"),
        ("loss", "loss\ufe0f"),
        ("loss", "loss\u3164"),
        ("loss", "\u2800loss"),
        ("loss", "lo\u034fss"),
        ("net", "Net"),
    ],
)
def test_names_that_look_alike(tmp_path: Path, one: str, other: str) -> None:
    """The values of two series, or the runs of two experiments, would become one."""
    for experiment in (one, other):
        with provml.start_run(experiment, store=tmp_path, sample_interval_s=0, code=False) as run:
            run.log_metric(one, 1.0)
            run.log_metric(other, 2.0)
            run.log_param(one, 1)
            run.log_param(other, 2)
            recorded = run.path
        again = provml.load(recorded)
        assert again.experiment == experiment
        assert [again.series(name).value.tolist() for name in (one, other)] == [[1.0], [2.0]]
        assert again.params == {one: 1, other: 2}
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2


@pytest.mark.parametrize("hidden", ["\u200d", "\u200b", "\ufe0f", "\u3164", "\u2800", "\u034f"])
def test_hidden_characters_are_shown(hidden: str) -> None:
    """Two series that differ in a character that nobody sees would look like one."""
    assert printable(f"lo{hidden}ss") == f"lo\\u{ord(hidden):04x}ss"


def test_characters_that_form_others_stay() -> None:
    """Words in Persian and Hindi, and most emoji, would be printed as escapes."""
    persian = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    hindi = "\u0915\u094d\u200d\u0937"
    for text in (persian, hindi, "\u2764\ufe0f", "\U0001f469\u200d\U0001f52c"):
        assert printable(text) == text
