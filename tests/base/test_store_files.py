"""Below a store's root, provml opens, replaces and removes only files and folders, never links."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from provml.base import store_files
from provml.errors import InvalidArgumentError, StoreError


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one run's file."""
    root = tmp_path / "store"
    (root / "x" / "a").mkdir(parents=True)
    (root / "x" / "a" / "file").write_bytes(b"content")
    return root


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder outside the store with one file."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file").write_bytes(b"secret")
    return folder


def _replace(root: Path, path: Path) -> None:
    with store_files.replacing(root, path) as file:
        file.write(b"new")


def _create(root: Path, path: Path) -> None:
    os.close(store_files.open_file(root, path, os.O_RDWR | os.O_CREAT | os.O_EXCL))


_OPERATIONS: list[Callable[[Path, Path], object]] = [
    store_files.open_file,
    store_files.open_to_read,
    store_files.read_status,
    store_files.list_folder,
    lambda root, path: store_files.read_file(root, path, 100),
    lambda root, path: store_files.make_folder(root, path / "new"),
    _replace,
    _create,
    lambda root, path: store_files.create_file(root, path, b"new"),
    store_files.remove_file,
    store_files.remove_folder,
]


@pytest.mark.parametrize("operation", _OPERATIONS)
@pytest.mark.parametrize("link", ["x", "x/a"])
def test_a_link_among_the_folders_is_refused(
    operation: Callable[[Path, Path], object], link: str, store: Path, outside: Path
) -> None:
    """No operation follows a folder that is a link, and nothing behind the link changes."""
    (store / link).rename(store.parent / "moved")
    target = outside if link == "x/a" else store.parent / "moved"
    (store / link).symlink_to(target)
    before = sorted((p, p.read_bytes()) for p in target.rglob("*") if p.is_file())
    with pytest.raises(OSError, match="link"):
        operation(store, store / "x" / "a" / "file")
    assert sorted((p, p.read_bytes()) for p in target.rglob("*") if p.is_file()) == before


def test_a_file_that_is_a_link_is_neither_read_nor_written(store: Path, outside: Path) -> None:
    """Reading refuses the link, replacing replaces the link itself, removing removes it."""
    path = store / "x" / "a" / "link"
    path.symlink_to(outside / "file")
    with pytest.raises(StoreError, match="symbolic link"):
        store_files.open_file(store, path)
    with pytest.raises(StoreError, match="symbolic link"):
        store_files.open_file(store, path, os.O_RDWR)
    with pytest.raises(FileExistsError):
        _create(store, path)
    _replace(store, path)
    assert path.read_bytes() == b"new" and not path.is_symlink()
    path.unlink()
    path.symlink_to(outside)
    store_files.remove_file(store, path)
    assert not path.is_symlink()
    assert (outside / "file").read_bytes() == b"secret"


def test_a_file_is_created_once_with_its_whole_content(store: Path, outside: Path) -> None:
    """A second process would replace what the first one created, or write through a link."""
    path = store / "x" / "a" / "new"
    assert store_files.create_file(store, path, b"first")
    assert not store_files.create_file(store, path, b"second")
    assert path.read_bytes() == b"first" and path.stat().st_nlink == 1
    link = store / "x" / "a" / "link"
    link.symlink_to(outside / "absent")
    assert not store_files.create_file(store, link, b"new")
    assert [p.name for p in outside.iterdir()] == ["file"]
    assert not list(path.parent.glob(".*"))


def test_named_pipes_and_devices_are_not_opened(store: Path) -> None:
    """A named pipe neither blocks nor is read; a folder is not taken for a file."""
    pipe = store / "x" / "a" / "pipe"
    os.mkfifo(pipe)
    for operation in (store_files.open_file, store_files.open_to_read, store_files.read_status):
        with pytest.raises(StoreError, match="named pipe"):
            operation(store, pipe)
    with pytest.raises(StoreError, match="folder"):
        store_files.open_file(store, store / "x" / "a")
    assert not store_files.is_file(store, pipe)
    entries = store_files.list_folder(store, store / "x" / "a")
    assert entries == [("file", False, True), ("pipe", False, False)]


def test_paths_that_leave_the_store_are_refused(store: Path, outside: Path) -> None:
    """A path outside the root or with ``..`` is an error, as is the root itself."""
    for path in (outside / "file", store / ".." / "outside" / "file", store):
        with pytest.raises(StoreError):
            store_files.open_file(store, path)


def test_new_files_and_folders_are_private(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PROVML_UMASK 0700 and 0600 whatever the process's umask; with it, what it leaves."""

    def modes(name: str) -> tuple[int, int, int]:
        store_files.make_folder(store, store / name / "sub")
        path = store / name / "sub" / "file"
        _create(store, path)
        paths = (store / name, path.parent, path)
        found = [stat.S_IMODE(place.stat().st_mode) for place in paths]
        return found[0], found[1], found[2]

    before = os.umask(0)
    try:
        assert modes("private") == (0o700, 0o700, 0o600)
        os.umask(0o077)
        monkeypatch.setenv("PROVML_UMASK", "007")
        assert modes("shared") == (0o770, 0o770, 0o660)
        monkeypatch.setenv("PROVML_UMASK", "0x7")
        assert modes("mistake") == (0o700, 0o700, 0o600)
    finally:
        os.umask(before)


def test_a_wrong_umask_is_refused_when_a_run_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variable and the value."""
    from provml.base.settings import read_settings

    monkeypatch.setenv("PROVML_UMASK", "rwx")
    with pytest.raises(InvalidArgumentError, match=r"PROVML_UMASK.*'rwx'"):
        read_settings()


def test_a_failed_replacement_changes_nothing(store: Path) -> None:
    """The old content stays, and no temporary file remains."""
    path = store / "x" / "a" / "file"
    with pytest.raises(RuntimeError), store_files.replacing(store, path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"content"
    assert os.listdir(path.parent) == ["file"]


def test_size_limit(store: Path) -> None:
    """A file above the limit is refused, one at the limit is read."""
    path = store / "x" / "a" / "file"
    assert store_files.read_file(store, path, 7) == b"content"
    with pytest.raises(StoreError, match="6 bytes"):
        store_files.read_file(store, path, 6)


def test_a_folder_is_removed_without_what_its_links_lead_to(store: Path, outside: Path) -> None:
    """Links inside a removed folder go; their targets stay."""
    (store / "x" / "a" / "link").symlink_to(outside)
    store_files.remove_folder(store, store / "x" / "a")
    assert not (store / "x" / "a").exists()
    assert (outside / "file").exists()


def test_make_folder_says_whether_it_is_new(tmp_path: Path) -> None:
    """True for a new folder, also with a new root; False for one that exists."""
    root = tmp_path / "new" / "store"
    assert store_files.make_folder(root, root / "x" / "a")
    assert not store_files.make_folder(root, root / "x" / "a")
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
