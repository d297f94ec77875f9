"""Below a store's root, provml opens, replaces and removes only files and folders, never links."""

from __future__ import annotations

import os
import stat
import tempfile
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


def test_a_new_version_keeps_the_permissions(store: Path) -> None:
    """A document that a group can read would become private when it is written again."""
    path = store / "x" / "a" / "file"
    path.chmod(0o640)
    _replace(store, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.read_bytes() == b"new"


def test_folders_pass_on_their_group(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs in a group's store would belong to the group of whoever recorded them."""
    monkeypatch.setenv("PROVML_UMASK", "007")
    store.chmod(0o2770)
    store_files.make_folder(store, store / "y" / "b")
    for folder in (store / "y", store / "y" / "b"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o2770


def test_a_umask_that_denies_everything() -> None:
    """A process with umask 777 that is not root couldn't create a folder in the one it created."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                if os.geteuid() == 0:
                    os.setgid(65534)
                    os.setuid(65534)
                os.umask(0o777)
                root = Path(name) / "own"
                store_files.make_folder(root, root / "x" / "a")
                _create(root, root / "x" / "a" / "file")
                assert stat.S_IMODE((root / "x").stat().st_mode) == 0o700
                assert stat.S_IMODE((root / "x" / "a" / "file").stat().st_mode) == 0o600
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_folder_is_removed_with_its_content_only(store: Path, outside: Path) -> None:
    """A link in a removed folder would take the content of another folder with it."""
    folder = store / "x" / "a"
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "deep" / "link").symlink_to(outside)
    os.mkfifo(folder / "deep" / "pipe")
    assert not store_files.remove_empty_folder(store, folder)
    store_files.remove_folder(store, folder)
    assert os.listdir(store / "x") == []
    assert os.listdir(outside) == ["file"]
    assert store_files.remove_empty_folder(store, store / "x")


def test_a_file_moves_onto_a_link_but_not_behind_it(store: Path, outside: Path) -> None:
    """A link in the place of the new name would receive the content."""
    source, target = store / "x" / "a" / "file", store / "x" / "a" / "link"
    target.symlink_to(outside / "file")
    store_files.move(store, source, target)
    assert not target.is_symlink()
    assert target.read_bytes() == b"content"
    assert (outside / "file").read_bytes() == b"secret"


def test_a_lock_file_is_opened_or_created(store: Path, outside: Path) -> None:
    """A link or a pipe in the place of a lock would be written, or block forever."""
    path = store / "x" / "lock"
    for _ in range(2):
        os.close(store_files.open_or_create_file(store, path))
    path.unlink()
    path.symlink_to(outside / "new")
    with pytest.raises(StoreError, match="link"):
        store_files.open_or_create_file(store, path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(StoreError, match="pipe"):
        store_files.open_or_create_file(store, path)
    assert os.listdir(outside) == ["file"]


def test_relative_paths_are_below_an_absolute_root(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run named by a relative path would seem to be outside its store."""
    monkeypatch.chdir(store / "x")
    assert store_files.read_file(store, Path("a", "file"), 100) == b"content"
    assert store_files.read_file(store, Path("..", "x", "a", "file"), 100) == b"content"
    with pytest.raises(StoreError, match="not in the store"):
        store_files.read_file(store, Path("..", "..", "outside"), 100)


def test_a_sweep_removes_only_what_a_dead_process_left(store: Path, outside: Path) -> None:
    """A sweep removes a file that is being written, a user's file, or one that a link leads to."""
    folder = store / "x" / "a"
    left = folder / f".file.{'a' * 16}.part"
    left.write_bytes(b"half")
    kept = [
        folder / name for name in (".file.part", "file.part", f"file.{'a' * 16}.part", ".a.pid")
    ]
    for path in kept:
        path.write_bytes(b"a user's")
    (folder / f".link.{'b' * 16}.part").symlink_to(outside / "file")
    (folder / f".folder.{'b' * 16}.part").mkdir()
    os.mkfifo(folder / f".pipe.{'b' * 16}.part")
    with store_files.replacing(store, folder / "file") as file:
        file.write(b"new")
        before = set(os.listdir(folder))
        assert store_files.sweep_temporaries(store, folder) == [left]
        assert set(os.listdir(folder)) == before - {left.name}
    assert (folder / "file").read_bytes() == b"new"
    assert (outside / "file").read_bytes() == b"secret"
    assert all(path.exists() for path in kept)
    assert store_files.sweep_temporaries(store, folder) == []


def test_a_file_is_not_swept_in_a_folder_that_is_a_link(store: Path, outside: Path) -> None:
    """A sweep removes files outside the store."""
    (outside / f".file.{'a' * 16}.part").write_bytes(b"half")
    (store / "x" / "b").symlink_to(outside)
    with pytest.raises(StoreError, match="symbolic link"):
        store_files.sweep_temporaries(store, store / "x" / "b")
    assert (outside / f".file.{'a' * 16}.part").exists()
