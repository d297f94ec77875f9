"""Notices files that libraries open in C code, where Python's audit hook does not see them.

Experiments show that torch (its zip writer, compiled modules and storages), safetensors, Arrow,
Polars and HDF5 open files in C code. numpy, pandas (except for Parquet), joblib, Pillow, scipy and
`torch.load` open their files in Python.

`CALLS` lists the library functions and methods that take a path. Once a library has been imported,
a wrapper replaces each of its functions in `CALLS`. The wrapper has the same name, signature and
documentation as the original. The wrapper reports the file to the function passed to `install`,
then calls the original. To support another library, add a line to `CALLS`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

from provml.capture.import_hooks import ImportCallback, call_on_import, cancel_call_on_import
from provml.capture.outer_run import note_missed
from provml.capture.state import STATE

OpenCallback = Callable[[object, int], None]
"""A function that receives a path and the flags of `os.open` before a file is opened."""

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_FLAGS_BY_MODE: Final = {
    "r": os.O_RDONLY,
    "r+": os.O_RDWR,
    "w": _NEW,
    "w-": _NEW | os.O_EXCL,
    "x": _NEW | os.O_EXCL,
    "a": os.O_RDWR | os.O_CREAT,
}
_MAX_FILES_PER_ARGUMENT: Final = 10_000


class HookedCall(NamedTuple):
    """A function or method that opens a file.

    Attributes:
        module: the name of the module that contains the function.
        name: the function's name in the module, such as ``DataFrame.write_csv``.
        path: the position and name of the argument that contains the path.
        flags: the flags of `os.open` to report, or the position and name of the argument that
            contains the mode, such as ``"r+"``.
    """

    module: str
    name: str
    path: tuple[int, str]
    flags: int | tuple[int, str] = os.O_RDONLY


def _polars() -> Iterable[HookedCall]:
    for kind in ("csv", "parquet", "ipc", "ndjson"):
        for verb in ("read", "scan"):
            yield HookedCall("polars", f"{verb}_{kind}", (0, "source"))
        yield HookedCall("polars", f"DataFrame.write_{kind}", (1, "file"), _NEW)
        yield HookedCall("polars", f"LazyFrame.sink_{kind}", (1, "path"), _NEW)
    for kind in ("json", "avro"):
        yield HookedCall("polars", f"read_{kind}", (0, "source"))
        yield HookedCall("polars", f"DataFrame.write_{kind}", (1, "file"), _NEW)


CALLS: Final[tuple[HookedCall, ...]] = (
    HookedCall("torch", "save", (1, "f"), _NEW),
    HookedCall("torch", "from_file", (0, "filename")),
    HookedCall("torch", "jit.save", (1, "f"), _NEW),
    HookedCall("torch", "jit.load", (0, "f")),
    HookedCall("safetensors", "safe_open", (0, "filename")),
    HookedCall("safetensors", "serialize_file", (1, "filename"), _NEW),
    HookedCall("h5py", "File.__init__", (1, "name"), (2, "mode")),
    HookedCall("pyarrow", "memory_map", (0, "path"), (1, "mode")),
    HookedCall("pyarrow", "OSFile", (0, "path"), (1, "mode")),
    HookedCall("pyarrow", "create_memory_map", (0, "path"), _NEW),
    HookedCall("pyarrow.csv", "read_csv", (0, "input_file")),
    HookedCall("pyarrow.csv", "open_csv", (0, "input_file")),
    HookedCall("pyarrow.csv", "write_csv", (1, "output_file"), _NEW),
    HookedCall("pyarrow.json", "read_json", (0, "input_file")),
    HookedCall("pyarrow.feather", "read_table", (0, "source")),
    HookedCall("pyarrow.feather", "write_feather", (1, "dest"), _NEW),
    HookedCall("pyarrow.parquet", "ParquetFile.__init__", (1, "source")),
    HookedCall("pyarrow.parquet", "ParquetDataset.__init__", (1, "path_or_paths")),
    HookedCall("pyarrow.parquet", "ParquetWriter.__init__", (1, "where"), _NEW),
    HookedCall("pyarrow.dataset", "dataset", (0, "source")),
    *_polars(),
)


class _LibraryHooks:
    """The callbacks that wait for imports, and the calls that restore the original functions."""

    def __init__(self) -> None:
        self.waits: list[tuple[str, ImportCallback]] = []
        self.restores: list[Callable[[], None]] = []


def install(on_open: OpenCallback) -> None:
    """Replace each function in `CALLS`, as soon as the module of the function is imported.

    Args:
        on_open: a function that the replacements call before they open a file.
    """
    waits = STATE.part(_LibraryHooks).waits
    if waits:
        return
    for name in dict.fromkeys(call.module for call in CALLS):
        calls = [call for call in CALLS if call.module == name]
        replace = functools.partial(_replace_calls, calls, on_open)
        waits.append((name, replace))
        call_on_import(name, replace)


def uninstall() -> None:
    """Restore the original functions, unless other code has replaced our wrappers."""
    hooks = STATE.part(_LibraryHooks)
    while hooks.waits:
        cancel_call_on_import(*hooks.waits.pop())
    while hooks.restores:
        hooks.restores.pop()()


def _replace_calls(calls: list[HookedCall], on_open: OpenCallback, module: ModuleType) -> None:
    for call in calls:
        try:
            _replace_call(call, on_open, module)
        except AttributeError:
            continue  # this version of the library lacks the function
        except Exception as error:
            note_missed(f"files of {call.module}.{call.name}", error)


def _replace_call(call: HookedCall, on_open: OpenCallback, module: ModuleType) -> None:
    *holders, name = call.name.split(".")
    holder: Any = module
    for part in holders:
        holder = getattr(holder, part)
    original = getattr(holder, name)
    if isinstance(original, type):
        ours: Any = _wrap_class(original, call, on_open)
    else:
        ours = _wrap_function(original, call, on_open)
    places = [holder]
    home = _find_defining_module(original)
    if home is not None and getattr(home, name, None) is original and home is not holder:
        places.append(home)  # pickle must find the replacement there too
    for place in places:
        setattr(place, name, ours)
        restore = functools.partial(_restore_original, place, name, ours, original)
        STATE.part(_LibraryHooks).restores.append(restore)


def _find_defining_module(original: object) -> ModuleType | None:
    import sys

    if "." in getattr(original, "__qualname__", "."):
        return None
    return sys.modules.get(getattr(original, "__module__", None) or "")


def _restore_original(place: Any, name: str, ours: object, original: object) -> None:
    if place.__dict__.get(name) is ours:
        setattr(place, name, original)


def _wrap_function(original: Any, call: HookedCall, on_open: OpenCallback) -> Any:
    def replaced(*args: Any, **kwargs: Any) -> Any:
        _announce_files(call, on_open, args, kwargs)
        return original(*args, **kwargs)

    return functools.wraps(original)(replaced)


def _wrap_class(original: Any, call: HookedCall, on_open: OpenCallback) -> type:
    """Return a stand-in for a class. Calling the stand-in creates an object of that class.

    `isinstance` and `issubclass` treat the stand-in like the original class.
    """

    class Alike(type):
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            _announce_files(call, on_open, args, kwargs)
            return original(*args, **kwargs)

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, original)

        def __subclasscheck__(cls, subclass: type) -> bool:
            return subclass is cls or issubclass(subclass, original)

        def __getattr__(cls, name: str) -> Any:
            return getattr(original, name)

    names = {key: getattr(original, key) for key in ("__doc__", "__module__", "__qualname__")}
    return Alike(original.__name__, (), names)


def _announce_files(
    call: HookedCall, on_open: OpenCallback, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    try:
        path = _pick_argument(call.path, args, kwargs)
        flags = call.flags
        if not isinstance(flags, int):
            mode = str(_pick_argument(flags, args, kwargs) or "r").replace("b", "")
            flags = _FLAGS_BY_MODE.get(mode, os.O_RDONLY)
        for file in _list_files(path, flags):
            on_open(file, flags)
    except Exception as error:
        note_missed(f"files of {call.module}.{call.name}", error)


def _pick_argument(place: tuple[int, str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    index, name = place
    return args[index] if index < len(args) else kwargs.get(name)


def _list_files(path: object, flags: int) -> Iterable[object]:
    """List the files that an argument names.

    The argument is the path of a file or folder, a pattern, or a list of these.
    """
    if isinstance(path, (list, tuple)):
        return [file for part in path for file in _list_files(part, flags)]
    if not isinstance(path, (str, bytes, os.PathLike)):
        return ()  # an open file has already been noted, and a buffer is not a file
    text = os.fsdecode(path)
    if "://" in text:
        return ()
    if flags == os.O_RDONLY and not os.path.isfile(text):
        if os.path.isdir(text):
            return _take_some(p for p in sorted(Path(text).rglob("*")) if _is_data(p, text))
        if any(character in text for character in "*?["):
            import glob

            return _take_some(glob.iglob(text, recursive=True))
    return (text,)


def _is_data(path: Path, root: str) -> bool:
    parts = path.relative_to(root).parts
    return not any(part.startswith((".", "_")) for part in parts) and path.is_file()


def _take_some(paths: Iterable[object]) -> list[object]:
    from itertools import islice

    return list(islice(paths, _MAX_FILES_PER_ARGUMENT))
