"""A demo that trains a scikit-learn network on handwritten digits, and records the training.

Needs the ``demo`` extra. Imports `_api` to record, and `export`, `journal.reader` and
`recorded_run` to read the run afterwards.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from provml import _api
from provml.base.context import Context
from provml.base.settings import read_settings
from provml.errors import InvalidArgumentError, MissingExtraError
from provml.export import document_path, open_document
from provml.journal.reader import Journal
from provml.recorded_run import RecordedRun
from provml.recording.run import Run

TRAINING: Final = Context.TRAINING
VALIDATION: Final = Context.VALIDATION
EVALUATION: Final = Context.EVALUATION

_EXPERIMENT: Final = "digits-demo"
_SEED: Final = 7
_BATCH: Final = 32
_HIDDEN: Final = (64,)
_RATE: Final = 0.002


@dataclass(frozen=True, slots=True)
class Epoch:
    """The results of one epoch of the training.

    Attributes:
        number: the number of the epoch, counted from 1.
        epochs: the total number of epochs.
        loss: the loss of the last training batch of the epoch.
        validation_accuracy: the accuracy on the validation data after the epoch, from 0 to 1.
    """

    number: int
    epochs: int
    loss: float
    validation_accuracy: float


@dataclass(frozen=True, slots=True)
class Demo:
    """The result of `run_demo`: what the demo recorded, and how long each part took.

    Attributes:
        results: the metrics of the evaluation, by name.
        loop_s: the duration of the training loop in seconds, including the recording.
        recording_s: the number of seconds that the training loop spent in provml's functions.
        end_s: the duration of `end_run` in seconds, including the time to write the document.
        page: the path of the web page that shows the run's graph; None if a package that the page
            needs is not installed.
        missing: a message that names the missing package and the command to install it; None if
            no package is missing.
    """

    path: Path
    run_id: str
    document: Path
    document_bytes: int
    results: dict[str, float]
    samples: int
    series: int
    entities: int
    activities: int
    loop_s: float
    recording_s: float
    end_s: float
    page: Path | None
    missing: str | None


@dataclass(slots=True)
class _Stopwatch:
    """A stopwatch that adds up the time spent in its ``with`` blocks."""

    elapsed_s: float = 0.0
    _since: float = field(default=0.0)

    def __enter__(self) -> None:
        self._since = time.perf_counter()

    def __exit__(self, *exception: object) -> None:
        self.elapsed_s += time.perf_counter() - self._since


@dataclass(frozen=True, slots=True)
class _Parts:
    """The three parts of the dataset. Each part is an array of images and an array of labels."""

    training: tuple[Any, Any]
    validation: tuple[Any, Any]
    evaluation: tuple[Any, Any]


def run_demo(
    epochs: int = 12,
    store: str | os.PathLike[str] | None = None,
    report: Callable[[Epoch], None] | None = None,
) -> Demo:
    """Train a network, record the training as a run, and write the run's graph as a web page.

    Takes a few seconds. The results are the same every time. If the ``html`` extra is not
    installed, no page is written.

    Args:
        epochs: the number of passes over the training data, 1 or more.
        store: the folder that contains the runs; the default is the same as for `start_run`.
        report: a function to call with the results of each epoch.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        InvalidArgumentError: recording is disabled.
        StoreError: the folder can't be created or written to.
    """
    parts, model = _prepare()
    if read_settings().disabled:
        raise InvalidArgumentError(
            "PROVML_DISABLED is set, so the demo would record nothing: unset it first"
        )
    recording = _Stopwatch()
    with _api.start_run(_EXPERIMENT, store=store, tags={"purpose": "demo"}) as run:
        _describe(run, model, parts, epochs)
        began = time.perf_counter()
        for epoch in _train(run, model, parts, epochs, recording):
            if report is not None:
                report(epoch)
        loop_s = time.perf_counter() - began
        results = _evaluate(run, model, parts)
        ending = time.perf_counter()
        run.end_run()
        end_s = time.perf_counter() - ending
    return _read(run, results, (loop_s, recording.elapsed_s, end_s))


def _prepare() -> tuple[_Parts, Any]:
    """Return the dataset, split into three parts, and the untrained network."""
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
        from sklearn.neural_network import MLPClassifier
    except ImportError:
        raise MissingExtraError("the demo", "scikit-learn", "demo") from None
    images, labels = load_digits(return_X_y=True)
    x, x_rest, y, y_rest = train_test_split(
        images / 16.0, labels, test_size=0.3, random_state=_SEED, stratify=labels
    )
    x_validation, x_evaluation, y_validation, y_evaluation = train_test_split(
        x_rest, y_rest, test_size=0.5, random_state=_SEED, stratify=y_rest
    )
    model = MLPClassifier(_HIDDEN, learning_rate_init=_RATE, random_state=_SEED)
    return _Parts((x, y), (x_validation, y_validation), (x_evaluation, y_evaluation)), model


def _describe(run: Run, model: Any, parts: _Parts, epochs: int) -> None:
    """Record the parameters, the training and validation data, the code and the environment."""
    run.log_params({"epochs": epochs, "batch_size": _BATCH, "seed": _SEED})
    run.log_params(model.get_params(), prefix="model.")
    _log_part(run, TRAINING, parts.training)
    _log_part(run, VALIDATION, parts.validation)
    run.log_source_code(__file__)
    run.log_environment()


def _log_part(run: Run, context: Context, part: tuple[Any, Any]) -> None:
    images, labels = part
    run.log_dataset(f"digits, {context}", {"images": images, "labels": labels}, context=context)


def _train(
    run: Run, model: Any, parts: _Parts, epochs: int, recording: _Stopwatch
) -> Iterator[Epoch]:
    """Train the model batch by batch, and record the metrics; yield an `Epoch` after each epoch."""
    import numpy as np

    images, labels = parts.training
    order = np.random.default_rng(_SEED)
    best, step = 0.0, 0
    with recording:
        run.log_execution_start_time()
        run.log_event("training_started", source="demo", context=TRAINING)
    for epoch in range(epochs):
        for rows in _batches(order.permutation(len(images))):
            x, y = images[rows], labels[rows]
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                model.partial_fit(x, y, classes=np.arange(10))
            # after Ctrl-C, scikit-learn only issues a warning, and would continue the training
            if any("interrupted by user" in str(warning.message) for warning in caught):
                raise KeyboardInterrupt
            accuracy = model.score(x, y)
            with recording:
                run.log_metric("loss", model.loss_, TRAINING, step, epoch=epoch)
                run.log_metric("accuracy", accuracy, TRAINING, step, epoch=epoch)
            step += 1
        validated = _scores(model, *parts.validation)
        with recording:
            run.log_metrics(validated, VALIDATION, step - 1, epoch=epoch)
            run.log_current_execution_time("execution time", TRAINING, step - 1)
            if validated["accuracy"] > best:
                run.log_event(
                    "best_validation_accuracy",
                    source="demo",
                    metadata={"accuracy": validated["accuracy"], "epoch": epoch},
                    context=VALIDATION,
                    step=step - 1,
                )
        best = max(best, validated["accuracy"])
        yield Epoch(epoch + 1, epochs, float(model.loss_), validated["accuracy"])
    with recording:
        run.log_event("training_finish", source="demo", context=TRAINING)
        run.log_execution_end_time()


def _batches(order: Any) -> Iterator[Any]:
    for start in range(0, len(order), _BATCH):
        yield order[start : start + _BATCH]


def _scores(model: Any, images: Any, labels: Any) -> dict[str, float]:
    from sklearn.metrics import log_loss

    chances = model.predict_proba(images)
    return {
        "loss": float(log_loss(labels, chances)),
        "accuracy": float((chances.argmax(axis=1) == labels).mean()),
    }


def _evaluate(run: Run, model: Any, parts: _Parts) -> dict[str, float]:
    """Evaluate the model; record the metrics and the model file."""
    # this call starts the evaluation context, so it must not come before the training ends
    _log_part(run, EVALUATION, parts.evaluation)
    results = _scores(model, *parts.evaluation)
    run.log_metrics(results, EVALUATION)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.pickle"
        path.write_bytes(pickle.dumps(model))
        run.log_model("digits", path, context=TRAINING, copy=True)
    return results


def _read(run: Run, results: dict[str, float], seconds: tuple[float, float, float]) -> Demo:
    """Write the run's web page, count the run's statements, and return the results of the demo."""
    from provml.model.mapping import RunMapping

    mapping = RunMapping(Journal(run.path))
    counts: Counter[str] = Counter()
    series = 0
    for statement in mapping.statements():
        counts[statement.kind] += statement.rows
        series += ("prov:type", "provml:Series") in statement.attributes
    document = document_path(run.path, "provjson")
    loop_s, recording_s, end_s = seconds
    page, missing = _write_page(run.path)
    return Demo(
        path=run.path,
        run_id=run.id,
        document=document,
        document_bytes=document.stat().st_size if document.exists() else 0,
        results=results,
        samples=mapping.samples,
        series=series,
        entities=counts["entity"],
        activities=counts["activity"],
        loop_s=loop_s,
        recording_s=recording_s,
        end_s=end_s,
        page=page,
        missing=missing,
    )


def _write_page(run_folder: Path) -> tuple[Path | None, str | None]:
    """Write the page next to the run's document.

    Returns the page's path and None or, if a package is missing, None and an error message.
    """
    page = document_path(run_folder, "html")
    try:
        with open_document(run_folder, "html") as file:
            RecordedRun(run_folder).export("html", file)
    except MissingExtraError as error:
        return None, str(error)
    return page, None
