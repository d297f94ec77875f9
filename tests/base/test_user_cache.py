"""The user's cache is private, and provml uses no cache that others could have prepared."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from provml.base.user_cache import open_cache_of_store
from provml.errors import StoreError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a cache folder that does not exist yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    return tmp_path / "home" / "cache" / "provml"


def test_the_cache_is_private(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others could read the runs of a private store in the user's cache."""
    monkeypatch.setenv("PROVML_UMASK", "007")
    root, folder = open_cache_of_store(Path("store"), "tables")
    assert root == cache
    assert folder.parent.parent == cache
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert open_cache_of_store(Path("store"), "tables") == (root, folder)
    assert open_cache_of_store(Path("other"), "tables") != (root, folder)


def test_a_cache_that_others_can_write_is_refused(cache: Path) -> None:
    """Another user could put false tables into the cache."""
    open_cache_of_store(Path("store"), "tables")
    cache.chmod(0o770)
    with pytest.raises(StoreError, match="other users can write"):
        open_cache_of_store(Path("store"), "tables")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_cache_of_another_user_is_refused(cache: Path) -> None:
    """The owner of the folder could read and change what provml keeps there."""
    open_cache_of_store(Path("store"), "tables")
    os.chown(cache, 65534, 65534)
    with pytest.raises(StoreError, match="another user"):
        open_cache_of_store(Path("store"), "tables")


def test_a_relative_cache_folder_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache would be spread over all working folders."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    assert open_cache_of_store(Path("store"), "tables")[0] == tmp_path / "home/.cache/provml"
