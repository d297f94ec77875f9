"""The file that an export is written to."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

import provml
from provml.base.sinks import open_sink


def write(target: Path | str) -> None:
    """Write a few bytes through `open_sink`."""
    with open_sink(target) as sink:
        sink.write(b"new")


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_a_link(tmp_path: Path, there: bool) -> None:
    """The link would be replaced, and the file that it points to would stay old."""
    (tmp_path / "far").mkdir()
    real, link = tmp_path / "far" / "real.json", tmp_path / "link.json"
    if there:
        real.write_bytes(b"old")
    link.symlink_to("far/real.json")
    write(link)
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path / "far")) == ["real.json"]


def test_a_link_to_nowhere_is_refused(tmp_path: Path) -> None:
    """The message would name a hidden file in a folder that the user did not mention."""
    (tmp_path / "link").symlink_to("missing/real.json")
    with pytest.raises(provml.ExportError, match="there is no folder"):
        write(tmp_path / "link")


@pytest.mark.parametrize(("name", "magic"), [("D.JSON.GZ", "1f8b"), ("d.Zst", "28b52ffd")])
def test_the_case_of_the_suffix_does_not_matter(tmp_path: Path, name: str, magic: str) -> None:
    """A file named .GZ would hold plain text."""
    write(tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(bytes.fromhex(magic))


def test_an_empty_target_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unset variable in a script would be reported as a folder."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(provml.ExportError, match="pass the name of a file"):
        write("")


@pytest.mark.skipif(sys.platform != "linux", reason="a folder where even root can't write")
def test_a_folder_that_can_not_be_written_is_told_by_the_target(tmp_path: Path) -> None:
    """The message would name a hidden file that the user does not know."""
    with pytest.raises(OSError, match="use -o to write the file elsewhere") as raised:
        write("/proc/document.json")
    assert raised.value.filename == "/proc/document.json"
    assert ".part" not in str(raised.value)


def test_permissions_are_ordinary_or_kept(tmp_path: Path) -> None:
    """Others could not read a new document, or could read a private one."""
    new, private = tmp_path / "new", tmp_path / "private"
    private.touch()
    private.chmod(0o600)
    before = os.umask(0o027)
    try:
        write(new)
        write(private)
    finally:
        os.umask(before)
    assert stat.S_IMODE(new.stat().st_mode) == 0o640
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert private.read_bytes() == b"new"
