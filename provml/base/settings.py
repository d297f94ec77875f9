"""Reads provml's settings from environment variables.

provml reads the recording settings once, when a run starts. No other module reads the environment
variables ``PROVML_*``.
Imports only `errors` from provml.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from provml.errors import InvalidArgumentError

DEFAULT_STORE = "provenance"
STORE_VARIABLE = "PROVML_STORE"
UMASK_VARIABLE = "PROVML_UMASK"
DISABLED_VARIABLE = "PROVML_DISABLED"
MASK_VARIABLE = "PROVML_MASK"
MASK_ALLOW_VARIABLE = "PROVML_MASK_ALLOW"
SAMPLE_INTERVAL_VARIABLE = "PROVML_SAMPLE_INTERVAL_S"
COLLECT_VARIABLE = "PROVML_COLLECT"
CODE_VARIABLE = "PROVML_CODE"
CAPTURE_VARIABLE = "PROVML_CAPTURE"
COMMAND_VARIABLE = "PROVML_COMMAND"
JOINED_VARIABLE = "PROVML_JOINED_RUN"
TRACE_VARIABLE = "PROVML_TRACE"
INCLUDE_VARIABLE = "PROVML_INCLUDE"
EXCLUDE_VARIABLE = "PROVML_EXCLUDE"
TRACE_WAYS = ("auto", "strace", "off")
PARENT_VARIABLE = "PROVML_PARENT_RUN"
_ON = ("1", "true", "yes", "on")
_OFF = ("0", "false", "no", "off")
# SLURM_PROCID comes last, because all processes that mpirun starts in a batch script inherit the
# script's SLURM_PROCID, which is 0
_RANK_VARIABLES = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
_LOCAL_RANK_VARIABLES = (
    "LOCAL_RANK",
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",
    "SLURM_LOCALID",
)


def default_store() -> str:
    """Return the path of the store, which is the folder that contains the runs.

    This is ``PROVML_STORE`` or, if that is not set, ``provenance``.
    """
    return os.environ.get(STORE_VARIABLE) or DEFAULT_STORE


def store_umask() -> int:
    """Return the store's umask: the permissions that its new files and folders do not get.

    ``PROVML_UMASK`` sets the umask in octal digits, as in the shell's ``umask`` command. ``007``
    shares the store with the group. The default, ``077``, keeps the store private. A value that is
    not an octal number counts as ``077``, so that a typing error never gives others access.
    """
    text = os.environ.get(UMASK_VARIABLE, "")
    return int(text, 8) & 0o777 if _is_octal(text) else 0o077


def _is_octal(text: str) -> bool:
    return 0 < len(text) <= 4 and set(text) <= set("01234567")


def _check_umask() -> None:
    text = os.environ.get(UMASK_VARIABLE, "")
    if text and not _is_octal(text):
        raise InvalidArgumentError(
            f"{UMASK_VARIABLE} must be an octal number such as 077 or 007, not {text!r}"
        )


def cache_folder() -> Path:
    """Return the folder for files that provml can recreate.

    This is the folder ``provml`` in ``XDG_CACHE_HOME`` or, if that variable is not set to an
    absolute path, in ``~/.cache``.
    """
    cache = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(cache):
        cache = os.path.expanduser(os.path.join("~", ".cache"))
    return Path(cache) / "provml"


class MaskSettings(NamedTuple):
    """The settings for masking secrets."""

    enabled: bool
    """Whether provml masks secrets; ``PROVML_MASK=off`` sets this to False."""
    allowed: tuple[str, ...]
    """``PROVML_MASK_ALLOW``: the names and texts that are never masked; ``*`` matches any text."""


class Settings(NamedTuple):
    """The environment variables that control recording, as parsed values."""

    hash_wait_s: float
    """``PROVML_HASH_WAIT_S``: the maximum number of seconds that `end_run` waits for the digests of
    large datasets."""
    sync_interval_s: float
    """``PROVML_SYNC_INTERVAL_S``: the number of seconds between two fdatasync calls. A power loss
    costs at most the records of this period. 0 means to sync only at the end of the run."""
    disabled: bool
    """Whether all runs are disabled and record nothing; ``PROVML_DISABLED=1`` sets this to True."""
    run_id: str | None
    """``PROVML_RUN_ID``: the default run id, for example an id that all ranks of a job share."""
    joined_run: str | None
    """``PROVML_JOINED_RUN``: the folder of the run that ``provml run`` started."""
    command: str
    """``PROVML_COMMAND``: identifies the ``provml run`` command that started this process; empty if
    the process was started in another way."""
    capture: tuple[str, ...] | None
    """``PROVML_CAPTURE``: the names of the parts of capture that ``provml run`` turns on in the
    script's process; None turns on all parts."""
    rank: int | None
    """The rank of this process in a distributed job, as the launcher set it in the environment."""
    local_rank: int | None
    """The rank of this process among the job's processes on this machine."""
    sample_interval_s: float
    """``PROVML_SAMPLE_INTERVAL_S``: the number of seconds between two readings of the machine; 0
    means no readings."""
    collect: tuple[str, ...] | None
    """``PROVML_COLLECT``: the names of the collectors to use; None means the default collectors."""
    mask: MaskSettings = MaskSettings(True, ())
    """``PROVML_MASK`` and ``PROVML_MASK_ALLOW``; see `MaskSettings`."""
    trace: str = "auto"
    """``PROVML_TRACE``: whether ``provml run`` traces the command with strace: ``auto``, ``strace``
    or ``off``."""
    include: tuple[str, ...] = ()
    """``PROVML_INCLUDE``: patterns for the paths of files that ``provml run`` always records,
    unless a pattern in ``PROVML_EXCLUDE`` also matches."""
    exclude: tuple[str, ...] = ()
    """``PROVML_EXCLUDE``: patterns for the paths of files that ``provml run`` never records."""
    parent_run: str | None = None
    """``PROVML_PARENT_RUN``: the folder or name of the parent run, for runs that have no other
    parent."""
    store: str | None = None
    """``PROVML_STORE``: the folder that contains the runs; None if the variable is not set."""
    code: bool = True
    """Whether runs record the code and configuration files that the script uses;
    ``PROVML_CODE=off`` sets this to False."""


def read_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        InvalidArgumentError: a ``PROVML_*`` variable has an invalid value.
    """
    _check_umask()
    return Settings(
        hash_wait_s=_read_seconds("PROVML_HASH_WAIT_S", "60", "0 for no wait"),
        sync_interval_s=_read_seconds("PROVML_SYNC_INTERVAL_S", "5", "0 for never"),
        disabled=os.environ.get(DISABLED_VARIABLE, "").lower() in _ON,
        run_id=os.environ.get("PROVML_RUN_ID") or None,
        joined_run=os.environ.get(JOINED_VARIABLE) or None,
        command=os.environ.get(COMMAND_VARIABLE, ""),
        capture=_read_names(CAPTURE_VARIABLE),
        rank=_read_first_number(_RANK_VARIABLES),
        local_rank=_read_first_number(_LOCAL_RANK_VARIABLES),
        sample_interval_s=_read_seconds(SAMPLE_INTERVAL_VARIABLE, "5", "0 for never"),
        collect=_read_names(COLLECT_VARIABLE),
        mask=read_mask_settings(),
        trace=_read_trace_way(),
        include=_read_patterns(INCLUDE_VARIABLE),
        exclude=_read_patterns(EXCLUDE_VARIABLE),
        parent_run=os.environ.get(PARENT_VARIABLE) or None,
        store=os.environ.get(STORE_VARIABLE) or None,
        code=_read_switch(CODE_VARIABLE),
    )


def read_mask_settings() -> MaskSettings:
    """Read ``PROVML_MASK`` and ``PROVML_MASK_ALLOW``.

    Raises:
        InvalidArgumentError: ``PROVML_MASK`` is neither ``on`` nor ``off``.
    """
    return MaskSettings(_read_switch(MASK_VARIABLE), _read_names(MASK_ALLOW_VARIABLE) or ())


def may_record_code() -> bool:
    """Return whether the environment allows the runs of this process to record code.

    Returns False if ``PROVML_CODE`` or ``PROVML_DISABLED`` turns that off. Raises no error if a
    variable has an invalid value.
    """
    is_disabled = os.environ.get(DISABLED_VARIABLE, "").lower() in _ON
    return not is_disabled and os.environ.get(CODE_VARIABLE, "").lower() not in _OFF


def _read_switch(variable: str) -> bool:
    """Return whether a variable is set to on. A variable that is not set counts as on."""
    text = os.environ.get(variable, "").lower()
    if text not in ("", *_ON, *_OFF):
        raise InvalidArgumentError(f"{variable} must be on or off, not {text!r}")
    return text not in _OFF


def _read_trace_way() -> str:
    way = os.environ.get(TRACE_VARIABLE) or "auto"
    if way not in TRACE_WAYS:
        raise InvalidArgumentError(f"{TRACE_VARIABLE} must be auto, strace or off, not {way!r}")
    return way


def _read_patterns(variable: str) -> tuple[str, ...]:
    """Return the patterns in a variable. They are separated like the folders in ``PATH``."""
    text = os.environ.get(variable, "")
    return tuple(pattern for pattern in text.split(os.pathsep) if pattern) if text else ()


def _read_names(variable: str) -> tuple[str, ...] | None:
    text = os.environ.get(variable)
    if text is None:
        return None
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _read_seconds(variable: str, default: str, zero: str) -> float:
    text = os.environ.get(variable, default)
    try:
        seconds = float(text)
        if not 0 <= seconds < 1e6:
            raise ValueError
    except ValueError:
        raise InvalidArgumentError(
            f"{variable} must be a number of seconds ({zero}), not {text!r}"
        ) from None
    return seconds


def _read_first_number(variables: tuple[str, ...]) -> int | None:
    for variable in variables:
        text = os.environ.get(variable, "")
        if text.isdecimal():
            return int(text)
    return None


class SparqlCredentials(NamedTuple):
    """The credentials for a SPARQL server: a token, or a user name and password."""

    token: str | None
    user: str | None
    password: str | None


def sparql_credentials() -> SparqlCredentials:
    """Read ``PROVML_SPARQL_TOKEN``, ``PROVML_SPARQL_USER`` and ``PROVML_SPARQL_PASSWORD``."""
    names = ("TOKEN", "USER", "PASSWORD")
    return SparqlCredentials(*(os.environ.get(f"PROVML_SPARQL_{name}") or None for name in names))
