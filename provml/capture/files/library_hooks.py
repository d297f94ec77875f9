"""Libraries that open files outside Python, where its audit hook does not hear of it.

Found by trying: torch's zip writer, its compiled modules and storages; safetensors, Arrow, Polars
and HDF5, in Rust, C++ and C. (numpy, pandas but for Parquet, joblib, Pillow, scipy, `torch.load`
open theirs in Python.) Each is told here by the function or method that takes the path, and how it
opens it; that one is replaced, when its module has been imported, by one that says so first, with
the name, signature and documentation of the original. Another library is another line of `CALLS`.

Imports `imports`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

from provml.capture.import_hooks import call_on_import, cancel_call_on_import
from provml.capture.outer_run import note_missed

Opened = Callable[[object, int], None]
"""Takes a path and the flags of `os.open`."""

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_MODES: Final = {
    "r": os.O_RDONLY,
    "r+": os.O_RDWR,
    "w": _NEW,
    "w-": _NEW | os.O_EXCL,
    "x": _NEW | os.O_EXCL,
    "a": os.O_RDWR | os.O_CREAT,
}
_MOST_IN_FOLDER: Final = 10_000


class HookedCall(NamedTuple):
    """A function or method that opens a file.

    Attributes:
        module: after whose import it is replaced.
        name: where it is in there: ``DataFrame.write_csv``.
        path: the place of the path among the arguments, and its name.
        flags: as `os.open` has them; or the place and name of a mode like ``"r+"``.
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

_restores: Final[list[Callable[[], None]]] = []
_waits: Final[list[tuple[str, Callable[[ModuleType], None]]]] = []


def install(opened: Opened) -> None:
    """Have the calls said when they are made, in what is imported and what will be.

    Args:
        opened: told of each file before it is opened.
    """
    if _waits:
        return
    for name in dict.fromkeys(call.module for call in CALLS):
        calls = [call for call in CALLS if call.module == name]
        replace = functools.partial(_replace_all, calls, opened)
        _waits.append((name, replace))
        call_on_import(name, replace)


def uninstall() -> None:
    """Give back every original that is still replaced by ours."""
    while _waits:
        cancel_call_on_import(*_waits.pop())
    while _restores:
        _restores.pop()()


def _replace_all(calls: list[HookedCall], opened: Opened, module: ModuleType) -> None:
    for call in calls:
        try:
            _replace(call, opened, module)
        except AttributeError:
            continue  # a version of the library that has no such call
        except Exception as error:
            note_missed(f"files of {call.module}.{call.name}", error)


def _replace(call: HookedCall, opened: Opened, module: ModuleType) -> None:
    *holders, name = call.name.split(".")
    holder: Any = module
    for part in holders:
        holder = getattr(holder, part)
    original = getattr(holder, name)
    if isinstance(original, type):
        ours: Any = _class_like(original, call, opened)
    else:
        ours = _function_like(original, call, opened)
    places = [holder]
    home = _home(original)
    if home is not None and getattr(home, name, None) is original and home is not holder:
        places.append(home)  # where pickle looks for it
    for place in places:
        setattr(place, name, ours)
        _restores.append(functools.partial(_give_back, place, name, ours, original))


def _home(original: object) -> ModuleType | None:
    import sys

    if "." in getattr(original, "__qualname__", "."):
        return None
    return sys.modules.get(getattr(original, "__module__", None) or "")


def _give_back(place: Any, name: str, ours: object, original: object) -> None:
    if place.__dict__.get(name) is ours:
        setattr(place, name, original)


def _function_like(original: Any, call: HookedCall, opened: Opened) -> Any:
    def replaced(*args: Any, **kwargs: Any) -> Any:
        _say(call, opened, args, kwargs)
        return original(*args, **kwargs)

    return functools.wraps(original)(replaced)


def _class_like(original: Any, call: HookedCall, opened: Opened) -> type:
    """A class that makes the original's objects, and says that they are its own."""

    class Alike(type):
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            _say(call, opened, args, kwargs)
            return original(*args, **kwargs)

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, original)

        def __subclasscheck__(cls, subclass: type) -> bool:
            return subclass is cls or issubclass(subclass, original)

        def __getattr__(cls, name: str) -> Any:
            return getattr(original, name)

    names = {key: getattr(original, key) for key in ("__doc__", "__module__", "__qualname__")}
    return Alike(original.__name__, (), names)


def _say(call: HookedCall, opened: Opened, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        path = _argument(call.path, args, kwargs)
        flags = call.flags
        if not isinstance(flags, int):
            mode = str(_argument(flags, args, kwargs) or "r").replace("b", "")
            flags = _MODES.get(mode, os.O_RDONLY)
        for file in _files(path, flags):
            opened(file, flags)
    except Exception as error:
        note_missed(f"files of {call.module}.{call.name}", error)


def _argument(place: tuple[int, str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    index, name = place
    return args[index] if index < len(args) else kwargs.get(name)


def _files(path: object, flags: int) -> Iterable[object]:
    """The files that an argument means: one, several, those of a folder or a pattern."""
    if isinstance(path, (list, tuple)):
        return [file for part in path for file in _files(part, flags)]
    if not isinstance(path, (str, bytes, os.PathLike)):
        return ()  # an open file was heard of when it was opened; a buffer is none
    text = os.fsdecode(path)
    if "://" in text:
        return ()
    if flags == os.O_RDONLY and not os.path.isfile(text):
        if os.path.isdir(text):
            return _some(p for p in sorted(Path(text).rglob("*")) if _is_data(p, text))
        if any(character in text for character in "*?["):
            import glob

            return _some(glob.iglob(text, recursive=True))
    return (text,)


def _is_data(path: Path, root: str) -> bool:
    parts = path.relative_to(root).parts
    return not any(part.startswith((".", "_")) for part in parts) and path.is_file()


def _some(paths: Iterable[object]) -> list[object]:
    from itertools import islice

    return list(islice(paths, _MOST_IN_FOLDER))
