"""Creates the folder of a new run, or opens an existing folder to join or resume the run in it.

The file ``run.json`` in the folder describes the run. Imports only `base.settings`,
`base.store_files`, `collect.secrets`, `errors`, `journal` and `launch` from provml.
"""

from __future__ import annotations

import base64
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from provml.base import store_files
from provml.base.settings import Settings
from provml.collect.secrets import mask_record, use_mask_settings
from provml.errors import (
    InvalidArgumentError,
    JournalError,
    RunExistsError,
    StoreError,
)
from provml.journal import layout
from provml.journal.description import encode_description, read_description
from provml.journal.store_identity import open_store_id
from provml.journal.writer import JournalWriter

if TYPE_CHECKING:
    from provml.recording.launch import Launch

_RUN_ID: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_ABSOLUTE_IRI: Final = r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`\x00-\x20]+"


class RunDirectory:
    """The folder of a run and the content of its ``run.json``.

    Attributes:
        path: the run's folder.
        description: the content of ``run.json``.
        facts: the fields that this process records about itself, such as its rank.
        settings: the recording settings of this process.
        lock_fd: the file descriptor that locks the folder, or None. A process that resumes the run
            holds the lock until the process has created its journal files. So if two processes
            resume a run at the same time, only one process succeeds.
    """

    def __init__(
        self, path: Path, description: dict[str, Any], facts: dict[str, Any], settings: Settings
    ) -> None:
        self.path = path
        self.description = description
        self.facts = facts
        self.settings = settings
        self.lock_fd: int | None = None

    @property
    def id(self) -> str:
        """The run's id."""
        return str(self.description["id"])

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return str(self.description["experiment"])

    @property
    def root(self) -> Path:
        """The store that contains the folder."""
        return store_files.store_root(self.path)

    @property
    def records_code(self) -> bool:
        """Whether this process records the code and configuration files that it uses.

        Under ``provml run``, the package `capture` records these files instead.
        """
        return self.has_code and self.settings.joined_run is None

    @property
    def has_code(self) -> bool:
        """Whether the run records the code and configuration files that its processes use."""
        settings = self.settings
        is_captured = settings.capture is None or "code" in settings.capture
        return (
            settings.code
            and self.description.get("code") is not False
            and (settings.joined_run is None or is_captured)
        )

    def open_writer(self, role: str) -> JournalWriter:
        """Create a pair of journal files for this process.

        Raises StoreError if the files can't be created or, for the role ``helper``, if the run's
        folder does not exist or contains another run.
        """
        if role == "helper":
            self._check_is_here()
        try:
            use_mask_settings(self.settings.mask)
            return JournalWriter(
                self.path, role, self.facts, self.settings.sync_interval_s, mask_record
            )
        except OSError as error:
            self.discard()
            raise StoreError(f"can't record in {self.path}: {error}") from error
        finally:
            self.unlock()

    def _check_is_here(self) -> None:
        """Raise StoreError if the run's folder is not on this machine, or contains another run."""
        try:
            found = read_description(self.path) or {}
        except JournalError:  # a newer version of provml recorded the run in this folder
            found = {"id": None}
        if not store_files.is_folder(self.root, self.path / layout.JOURNAL_FOLDER) or any(
            key in found and found[key] != self.description.get(key) for key in ("id", "created")
        ):
            raise StoreError(
                f"run {self.experiment}/{self.id} is not on this machine: there is no folder "
                f"{self.path} with this run"
            )

    def lock(self) -> None:
        """Wait for the folder's lock, if its file system supports locks."""
        import fcntl

        self.lock_fd = store_files.open_folder(self.root, self.path)
        try:
            fcntl.flock(self.lock_fd, fcntl.LOCK_EX)
        except OSError:
            pass

    def unlock(self) -> None:
        """Release the folder's lock if this process holds it."""
        if self.lock_fd is not None:
            os.close(self.lock_fd)
            self.lock_fd = None

    def __reduce__(self) -> tuple[Any, ...]:
        return RunDirectory, (self.path, self.description, self.facts, self.settings)

    def discard(self) -> None:
        """Remove the folder if nothing was recorded in it, so that its id can be used again."""
        try:
            journal = self.path / layout.JOURNAL_FOLDER
            if store_files.is_folder(self.root, journal):
                store_files.remove_empty_folder(self.root, journal)
            entries = store_files.list_folder(self.root, self.path)
            if [entry.name for entry in entries] == [layout.RUN_FILE]:
                store_files.remove_file(self.root, self.path / layout.RUN_FILE)
            store_files.remove_empty_folder(self.root, self.path)
        except OSError:
            pass  # the folder remains, so its id stays taken

    def restore(self) -> None:
        """Write ``run.json`` again if it was deleted during the run; ignore failures."""
        if not store_files.is_file(self.root, self.path / layout.RUN_FILE):
            try:
                store_files.make_folder(self.root, self.path)
                _write_description(self)
            except OSError:
                pass  # the journal's writer has already warned, and readers don't need run.json


def validate_namespace(namespace: str | None) -> str | None:
    """Return the namespace; append ``/`` if it does not end with ``/``, ``#`` or ``:``.

    Raises InvalidArgumentError if the namespace is not an absolute IRI.
    """
    if namespace is None:
        return None
    if not isinstance(namespace, str) or not re.fullmatch(_ABSOLUTE_IRI, namespace):
        raise InvalidArgumentError(
            "namespace must be an absolute IRI such as 'https://example.org/runs/', not "
            f"{namespace!r}; to group experiments, use project="
        )
    return namespace if namespace[-1] in "/#:" else f"{namespace}/"


def open_joined_directory(path: str, settings: Settings) -> RunDirectory:
    """Open the folder of another process's run. Raises StoreError if the folder has no such run."""
    description = read_description(Path(path))
    if description is None or not {"id", "experiment"} <= description.keys():
        raise StoreError(f"there is no run to join in {path!r}")
    return _build_directory(Path(path), description, settings)


def open_directory(
    store: str | os.PathLike[str],
    description: dict[str, Any],
    run_id: str | None,
    resume: bool,
    settings: Settings,
    launch: Launch | None = None,
) -> tuple[RunDirectory, bool]:
    """Create or open the run's folder; return the folder, and whether the run is resumed.

    If there is no run id, each rank of a launch tries the ids of the launch's runs in order, and
    takes the first run that the rank can create or join. So the ranks share a run.

    A process with a rank joins an existing run with the requested id if one of these conditions is
    true:

    - The run is still running.
    - The run has not yet been recorded by a process of this rank or by a process without a rank.

    If several processes without a rank request the same id at the same time, only one process
    gets the id.

    Raises:
        RunExistsError: the id is taken, and this process neither joins nor resumes the run.
        InvalidArgumentError: the id is not a valid file name.
        StoreError: the folder cannot be created.
    """
    if run_id is not None and not (isinstance(run_id, str) and re.fullmatch(_RUN_ID, run_id)):
        raise InvalidArgumentError(
            "run_id must consist of 1 to 128 letters, digits, '.', '_' or '-', and begin with a "
            f"letter or digit, not {run_id!r}"
        )
    if run_id == "latest":
        raise InvalidArgumentError(
            "run_id can't be 'latest', because this word selects the latest run: choose another id"
        )
    root = _find_root(store)
    experiment = root / layout.encode_folder_name(description["experiment"])
    if resume and run_id is None:
        run_id = _find_latest_id(root, experiment, description["experiment"])
    try:
        description = description | {"store_id": open_store_id(root)}
        number = 0
        while True:
            number += 1
            own_id = run_id or (launch.build_run_id(number) if launch else _create_run_id())
            path = experiment / own_id
            if store_files.make_folder(root, path):
                folder = _build_directory(path, description | {"id": own_id}, settings, launch)
                try:
                    _write_description(folder)
                except OSError:
                    folder.discard()
                    raise
                return folder, False
            if run_id is not None:
                folder = _open_existing(path, description, run_id, settings)
                with _unlocking_on_error(folder):
                    _refuse_taken_id(path, run_id, resume, settings)
                return folder, resume
            if launch is not None:
                folder = _open_existing(path, description, own_id, settings, launch)
                with _unlocking_on_error(folder):
                    if launch.can_join(path):
                        return folder, False
                folder.unlock()
    except (RunExistsError, StoreError, JournalError):
        raise
    except (OSError, ValueError) as error:
        raise StoreError(f"can't create the run's folder in {store}: {error}") from error


def _find_root(store: str | os.PathLike[str]) -> Path:
    """Return the store's absolute path, without ``..``.

    Raises StoreError if the path is relative and the working folder was removed.
    """
    try:
        root = Path(store).absolute()
    except FileNotFoundError:
        raise StoreError(
            f"can't find the store {os.fspath(store)!r}, because the working folder was removed"
        ) from None
    return Path(os.path.realpath(root)) if ".." in root.parts else root


def _open_existing(
    path: Path,
    description: dict[str, Any],
    run_id: str,
    settings: Settings,
    launch: Launch | None = None,
) -> RunDirectory:
    """Open the folder of an existing run, and lock it."""
    known = read_description(path)
    own = {"id": run_id, "experiment": description["experiment"]}
    if known is not None:
        _refuse_other_run(path, own, known)
    folder = _build_directory(path, _merge_descriptions(description, known) | own, settings, launch)
    folder.lock()
    return folder


def _refuse_other_run(path: Path, own: dict[str, Any], known: dict[str, Any]) -> None:
    """Check that a folder does not contain a run whose name the file system confuses with ours.

    On macOS and Windows, the folders ``Net`` and ``net`` are the same folder.

    Raises:
        RunExistsError: the folder contains a run with another name.
    """
    if any(_is_same_on_some_systems(own[field], known.get(field)) for field in own):
        other = f"{known.get('experiment')}/{known.get('id')}"
        raise RunExistsError(
            f"{path} contains the run {other}, because this file system does not distinguish its "
            f"name from {own['experiment']}/{own['id']}: choose another name"
        )


def _is_same_on_some_systems(name: str, other: object) -> bool:
    """Return whether two different names can lead to the same folder on some file systems.

    Such file systems ignore case, or the different ways to encode a letter with an accent.
    """
    if not isinstance(other, str) or name == other:
        return False
    from unicodedata import normalize

    return normalize("NFC", normalize("NFC", name).casefold()) == normalize(
        "NFC", normalize("NFC", other).casefold()
    )


@contextmanager
def _unlocking_on_error(folder: RunDirectory) -> Iterator[None]:
    try:
        yield
    except BaseException:
        folder.unlock()
        raise


def _merge_descriptions(new: dict[str, Any], known: dict[str, Any] | None) -> dict[str, Any]:
    """Complete the content of an existing ``run.json`` with the description of a new run.

    A run that has no store id does not get one, because its PROV identifiers would change. A run
    that has no parent does not get one, because a child run stays a part of its first parent.
    """
    if known is None:
        return new
    return {key: value for key, value in new.items() if key not in ("store_id", "parent")} | known


def _refuse_taken_id(path: Path, run_id: str, resume: bool, settings: Settings) -> None:
    from provml.journal.status import find_owner_ranks, read_run_state

    state = read_run_state(path)
    joins = settings.rank is not None and (
        state.status == "running" or find_owner_ranks(path).isdisjoint((settings.rank, None))
    )
    if state.status == "running" and not joins:
        raise RunExistsError(
            f"run {run_id!r} is already being recorded by {state.reason} ({path}): choose "
            "another id"
        )
    if not (joins or resume):
        raise RunExistsError(
            f"run {run_id!r} already exists ({path}): choose another id, or pass resume=True to "
            "resume the run"
        )


def _build_directory(
    path: Path, description: dict[str, Any], settings: Settings, launch: Launch | None = None
) -> RunDirectory:
    facts: dict[str, Any] = {} if settings.rank is None else {"rank": settings.rank}
    if launch is not None:
        facts["launch"] = launch.facts
    return RunDirectory(path, description, facts, settings)


def _find_latest_id(root: Path, experiment: Path, name: str) -> str | None:
    """Return the id of the latest run of an experiment; None if there is no run.

    Args:
        root: the store.
        experiment: the experiment's folder.
        name: the experiment's name. If the file system uses the same folder for another experiment,
            such as ``net`` and ``Net``, the runs of the other experiment do not count.
    """
    try:
        entries = store_files.list_folder(root, experiment)
    except OSError:
        return None
    from provml.journal.status import find_created_ns

    ids = [entry.name for entry in entries if entry.is_folder]
    ids.sort(key=lambda own: (find_created_ns(experiment / own), own), reverse=True)
    return next((own for own in ids if not _is_of_other_experiment(experiment / own, name)), None)


def _is_of_other_experiment(path: Path, name: str) -> bool:
    try:
        known = read_description(path)
    except JournalError:
        return False  # a newer version of provml has written the run
    return known is not None and _is_same_on_some_systems(name, known.get("experiment"))


def _create_run_id() -> str:
    moment = datetime.fromtimestamp(time.time(), UTC)
    suffix = base64.b32encode(os.urandom(5)).decode("ascii").lower()
    return f"{moment:%Y%m%dT%H%M%S}-{suffix}"


def _write_description(folder: RunDirectory) -> None:
    """Write ``run.json``. Raises OSError if that fails."""
    path = folder.path / layout.RUN_FILE
    with store_files.replacing(folder.root, path, sync=False) as file:
        file.write(encode_description(folder.description))
