"""The methods of `Run` that record datasets, artifacts, models, source code and the environment.

Imports `recorder`, `checks` and `base`. Imports the collectors, which read the content, only when
they are needed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final, SupportsIndex

from provml.base.clock import Timestamp, to_time_ns
from provml.base.context import Context, context_path, validate_name
from provml.errors import ContentNotFoundError, InvalidArgumentError
from provml.journal.layout import Record
from provml.recording.checks import metadata_value, path_to_list, place_fields
from provml.recording.recorder import Recorder

_time_ns: Final = time.time_ns


class ContentVerbs(Recorder):
    """The methods of `Run` that record files, data and objects."""

    def log_dataset(
        self,
        name: str,
        data: object,
        context: Context | str | None = None,
        *,
        copy: bool = False,
    ) -> None:
        """Record a dataset that the run or one of its contexts uses.

        provml stores a digest (SHA-256) of the data, and the data itself only if `copy` is True.
        Computing the digest costs one pass over the data. Files and folders of 64 MiB or more are
        hashed in the background: `hashing` shows the progress, and `end_run` waits up to a minute
        for the digest. ``PROVML_HASH_WAIT_S`` changes that limit.

        Args:
            name: any Unicode text. Different content under the same name is recorded as a revision.
            data: a file, folder or URI; an array, tensor or sparse matrix; a pandas, polars or
                Arrow table; a list or mapping of these, of numbers or of text; a torch Dataset,
                Subset, ConcatDataset or DataLoader; or a Hugging Face dataset. For any other
                object, provml records the type and length but no digest. If an object can't be
                read, provml records why.
            context: the context that uses the data; None means the run.
            copy: whether to copy the file or folder into the run's ``artifacts`` folder.

        Raises:
            ContentNotFoundError: the path does not exist.
            InvalidArgumentError: the name or context is invalid, or the data is None or a number.
            RunClosedError: the run has ended.
        """
        record = {
            "record": "dataset",
            "name": validate_name(name, "a dataset's name"),
            "context": path_to_list(context_path(context)),
        }
        from provml.collect.datasets import describe_dataset

        self._open_writer(context)
        with self._lock:
            self._hashed = number = self._hashed + 1
        content = describe_dataset(data, self.path, copy, partial(self._hash_later, number, name))
        self._append({**record, "time": _time_ns(), "id": number, "content": content})
        self._known.register("dataset", name, data)

    def log_artifact(
        self,
        path: str | os.PathLike[str],
        name: str | None = None,
        context: Context | str | None = None,
        step: SupportsIndex | float | None = None,
        epoch: SupportsIndex | float | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        copy: bool | None = None,
    ) -> None:
        """Record a file or folder that the run created.

        Costs one pass over the content to hash it (SHA-256), and a second pass to copy it.

        Args:
            path: the file, folder or URI.
            name: the artifact's name; by default the last part of the path. A second version under
                the same name is recorded as a revision.
            context, step, epoch: the context, step and epoch in which the artifact was created.
            metadata: more details about the artifact, as a mapping of JSON-compatible values.
            copy: whether to copy the content into the run's ``artifacts`` folder; None copies it if
                it is at most 10 MiB.

        Raises:
            ContentNotFoundError: the path does not exist.
            InvalidArgumentError: the name, context, step, epoch or metadata is invalid.
            RunClosedError: the run has ended.
        """
        if not issubclass(type(path), (str, os.PathLike)):
            raise InvalidArgumentError(f"log_artifact takes a path, not {type(path).__name__}")
        own_name = _find_path_name(path) if name is None else name
        record = self._artifact(own_name, context, step, epoch, metadata)
        from provml.collect.content import describe_path

        self._open_writer(context)
        content = describe_path(path, self.path, copy)
        self._append({**record, "time": _time_ns(), "content": content})
        self._known.made.add(("artifact", record["name"]))

    def _log_bytes(
        self,
        content: bytes,
        name: str,
        file_name: str,
        context: Context | None,
        step: int | None,
        timestamp: Timestamp | None,
        metadata: Mapping[str, Any],
    ) -> None:
        """Record bytes as an artifact, and write them to a file in the run's folder."""
        record = self._artifact(name, context, step, None, metadata)
        record["time"] = _time_ns() if timestamp is None else to_time_ns(timestamp)
        from provml.collect.content import write_captured

        self._open_writer(context)
        self._append({**record, "content": write_captured(self.path, file_name, content)})
        self._known.made.add(("artifact", name))

    def _artifact(
        self,
        name: str,
        context: Context | str | None,
        step: SupportsIndex | float | None,
        epoch: SupportsIndex | float | None,
        metadata: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        """Build the record of an artifact, without its time and content."""
        record = {"record": "artifact", "name": validate_name(name, "an artifact's name")}
        record |= place_fields(context, step, epoch)
        if metadata is not None:
            record["metadata"] = metadata_value(metadata)
        return record

    def log_model(
        self,
        name: str,
        model: object,
        context: Context | str | None = None,
        step: SupportsIndex | float | None = None,
        epoch: SupportsIndex | float | None = None,
        *,
        copy: bool | None = None,
    ) -> None:
        """Record a model. A second version under the same name is recorded as a revision.

        Costs one pass over the model's bytes to hash them (SHA-256).

        Args:
            name: the model's name.
            model: a file, folder or URI, or the model object. For an object, provml hashes the
                entries of its ``state_dict`` or, without a ``state_dict``, the values that its
                pickle would contain. provml stores no copy of the object. A module, its
                ``state_dict`` and the result of ``torch.compile`` have the same digest. If an
                object can't be read, provml records why.
            context, step, epoch: the context, step and epoch in which the model was created.
            copy: whether to copy a file or folder, as in `log_artifact`.

        Raises:
            ContentNotFoundError: the path does not exist.
            InvalidArgumentError: the name, context, step or epoch is invalid, or the model is None
                or a number.
            RunClosedError: the run has ended.
        """
        record = {"record": "model", "name": validate_name(name, "a model's name")}
        record |= place_fields(context, step, epoch)
        from provml.collect.models import describe_model

        self._open_writer(context)
        content = describe_model(model, self.path, copy)
        self._append_model({**record, "time": _time_ns(), "content": content}, model)

    def _log_checkpoint(
        self,
        name: str,
        path: str | os.PathLike[str],
        context: Context | str | None = None,
        step: SupportsIndex | float | None = None,
        epoch: SupportsIndex | float | None = None,
    ) -> None:
        """Record a checkpoint that a framework has written, without delaying the training.

        The arguments and exceptions are the same as for `log_model`, but files and folders of 64
        MiB or more are hashed in the background. If such content is changed or removed before
        provml has hashed it, provml records no digest.
        """
        record = {"record": "model", "name": validate_name(name, "a model's name")}
        record |= place_fields(context, step, epoch)
        from provml.collect.content import describe_path

        self._open_writer(context)
        with self._lock:
            self._hashed = number = self._hashed + 1
        later = partial(self._hash_later, number, name)
        content = describe_path(path, self.path, None, later)
        self._append_model({**record, "time": _time_ns(), "id": number, "content": content}, path)

    def _append_model(self, record: Record, model: object) -> None:
        self._append(record)
        self._known.register("model", record["name"], model)
        self._known.made.add(("model", record["name"]))

    def log_input(
        self,
        path_or_object: object,
        name: str | None = None,
        *,
        role: str | None = None,
        context: Context | str | None = None,
    ) -> None:
        """Record an input that is not a dataset, such as a tokenizer or a configuration.

        provml stores a digest (SHA-256) of the content, never the content itself. Computing the
        digest costs one pass over the content. Files and folders of 64 MiB or more are hashed in
        the background, as in `log_dataset`.

        Args:
            path_or_object: a file, folder or URI; a mapping, dataclass or namespace of settings; or
                any other object, such as a model or a tokenizer.
            name: the input's name; by default the last part of the path or, for an object, the name
                of its class. Different content under the same name is recorded as a revision.
            role: what the run uses the input for, such as ``"tokenizer"``.
            context: the context that uses the input; None means the run.

        Raises:
            ContentNotFoundError: the path does not exist.
            InvalidArgumentError: the name, role or context is invalid; the input is None, a number
                or bytes; or the input is a mapping or list and has no name.
            RunClosedError: the run has ended.
        """
        own_name = self._name_input(path_or_object) if name is None else name
        record = _input_record(own_name, role, context)
        from provml.collect.inputs import describe_input

        self._open_writer(context)
        with self._lock:
            self._hashed = number = self._hashed + 1
        later = partial(self._hash_later, number, record["name"])
        content = describe_input(path_or_object, self.path, later)
        self._append({**record, "time": _time_ns(), "id": number, "content": content})

    def use_model(
        self,
        model: object,
        name: str | None = None,
        *,
        role: str | None = "model",
        context: Context | str | None = None,
    ) -> None:
        """Record that the run or one of its contexts uses a model, for example to fine-tune it.

        If the model is the name of a model that this run logged, provml links the context to the
        latest version of that model. This costs one pass over the run's events. Otherwise, provml
        records the model as `log_input` does.

        Args:
            model: the name of a model logged with `log_model`; a file, folder or URI; or the model
                object.
            name: the input's name, as in `log_input`. Pass no name for a model of this run.
            role: what the run uses the model for, such as ``"base model"``.
            context: the context that uses the model; None means the run.

        Raises:
            ContentNotFoundError: the run logged no model with this name, and no such path exists.
            InvalidArgumentError: as for `log_input`.
            RunClosedError: the run has ended.
        """
        if name is None and isinstance(model, str):
            self._open_writer(context)
            content = self._find_logged_model(model)
            if content is not None:
                record = _input_record(model, role, context)
                record["of"] = {"kind": "model", "name": model}
                self._append({**record, "time": _time_ns(), "content": content})
                return
        try:
            self.log_input(model, name, role=role, context=context)
        except ContentNotFoundError:
            raise ContentNotFoundError(
                f"{model!r:.200} is neither the name of a model that this run logged nor an "
                "existing file or folder: log the model first or, for a model on a server, pass "
                "its URL"
            ) from None

    def _name_input(self, value: object) -> str:
        """Return the default name of an input."""
        if isinstance(value, (str, os.PathLike)):
            return _find_path_name(value)
        for kind in ("model", "dataset"):
            known = self._known.name_of(kind, value)
            if known is not None:
                return known
        if isinstance(value, (dict, list, tuple)):
            raise InvalidArgumentError(
                f"an input of type {type(value).__name__} needs a name: pass name=, for example "
                "name='config'"
            )
        return type(value).__qualname__

    def log_source_code(self, path: str | os.PathLike[str] | None = None) -> None:
        """Record the source code: its digest, the git commit and the uncommitted changes.

        In a notebook, provml stores a copy of the executed cells. Runs record the files that the
        script uses even without this call, unless ``code=False`` was passed to `provml.start_run`.
        With ``code=False``, this call also stores copies of the modules that the script imports
        from its own folder, if git does not track them. Costs a few git calls, which take tens of
        milliseconds.

        Args:
            path: a file or folder; by default the running script or notebook.

        Raises:
            ContentNotFoundError: the path does not exist.
            RunClosedError: the run has ended.
        """
        from provml.collect.source import describe_source

        self._open_writer()
        facts = describe_source(path, self.path, with_modules=not self._folder.has_code)
        self._append({"record": "source", "time": _time_ns(), **facts})

    def log_environment(self, variables: Iterable[str] = ()) -> None:
        """Record the environment: interpreter, packages, system, hardware, container and variables.

        Costs about 1 ms per installed package.

        Args:
            variables: names of environment variables to record in addition to a built-in
                allow-list; ``MY_*`` selects every variable whose name starts with ``MY_``. Values
                that look like secrets are masked.

        Raises:
            InvalidArgumentError: `variables` is a single string, or a name in it is not a string.
            RunClosedError: the run has ended.
        """
        if isinstance(variables, str):
            raise InvalidArgumentError(
                f"variables must be a list of names, not a string: use [{variables!r}]"
            )
        names = [validate_name(name, "a variable's name") for name in variables]
        from provml.collect.environment import describe_environment

        self._open_writer()
        self._append({"record": "environment", "time": _time_ns(), **describe_environment(names)})


def _input_record(name: str, role: str | None, context: Context | str | None) -> dict[str, Any]:
    """Build the record of an input, without its time and content."""
    return {
        "record": "input",
        "name": validate_name(name, "an input's name"),
        "role": None if role is None else validate_name(role, "a role"),
        "context": path_to_list(context_path(context)),
    }


def _find_path_name(path: str | os.PathLike[str]) -> str:
    """Return the last part of a path.

    If the path object raises an error, return the name of its class.
    """
    try:
        return os.path.basename(os.fspath(path).rstrip("/"))
    except BaseException as error:  # a path in an object store can raise any exception
        from provml.collect.unreadable import explain_failure

        explain_failure(error)  # re-raises exceptions that interrupt the program
        return type(path).__name__
