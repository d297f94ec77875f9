"""The verbs as a user calls them: what is taken, what is refused, what a run's end does."""

from __future__ import annotations

import datetime
import inspect
import json
import math
import pickle
import subprocess
import sys
import types
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import provml
from provml.recording.disabled_run import DisabledRun
from provml.recording.run import Run

TRAINING = provml.Context.TRAINING


class Tensor:
    """What a framework's tensor looks like from outside."""

    def __init__(self, *values: float) -> None:
        self._values = values
        self.shape = (len(values),)

    def item(self) -> float:
        return self._values[0]


def values_of(run: provml.Run, name: str, context: Any = None) -> list[Any]:
    """What was recorded of a metric so far; a live run can be read."""
    return provml.load(run.path).series(name, context).value.tolist()


@pytest.mark.parametrize(
    "value",
    [
        True,
        None,
        np.bool_(True),
        np.zeros(5000),
        np.array(["a", "b"]),
        Tensor(1.0, 2.0),
        np.ma.masked,
        np.ma.array([7.0], mask=[True]),
        np.ma.array([1.0, 2.0], mask=[False, True]),
        np.longdouble("0.1"),
        [1.0],
        {},
        object(),
        1j,
        np.complex128(1),
        datetime.timedelta(1),
        "\ud800",
    ],
)
def test_a_value_that_is_no_metric_is_refused_and_nothing_is_recorded(
    run: provml.Run, value: Any
) -> None:
    """A wrong value would be recorded as something else, or leave half a record."""
    with pytest.raises(provml.InvalidMetricError, match="loss"):
        run.log_metric("loss", value, TRAINING, 0)
    with pytest.raises(provml.InvalidMetricError, match="loss"):
        run.log_metrics({"fine": 1.0, "loss": value})
    assert provml.load(run.path).series_names() == []


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (1, 1),
        (0.1, 0.1),
        (-0.0, -0.0),
        (5e-324, 5e-324),
        (math.inf, math.inf),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**64, 2**64),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.float16(0.1), float(np.float16(0.1))),
        (np.int8(-3), -3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.array(2.5), 2.5),
        (np.array([[7]]), 7),
        (Tensor(0.5), 0.5),
        (Tensor(np.float32(0.5)), 0.5),  # type: ignore[arg-type]
        (np.longdouble(0.5), 0.5),
        (Decimal("1.10"), Decimal("1.10")),
        ("low", "low"),
        (b"\x00\xff", b"\x00\xff"),
    ],
)
def test_a_value_comes_back_with_its_type(run: provml.Run, value: Any, read: Any) -> None:
    """A value would be rounded or change its type on the way."""
    for _ in range(3):  # the careful way, then the fast one
        run.log_metric("m", value)
    back = values_of(run, "m")
    assert [repr(v) for v in back] == [repr(read)] * 3


def test_small_arrays_are_values(run: provml.Run) -> None:
    """An array of a few numbers would be refused, or lose its shape or dtype."""
    run.log_metric("grad", np.array([[1.5, math.nan]], dtype=np.float32))
    (back,) = provml.load(run.path).series("grad").value
    assert back.dtype == np.float32
    assert back.shape == (1, 2)
    assert back[0, 0] == 1.5
    assert math.isnan(back[0, 1])


def test_ints_and_floats_of_one_series_keep_their_order_and_digits(run: provml.Run) -> None:
    """Mixing ints and floats would reorder a series or round its large ints."""
    run.log_metric("m", 1)
    run.log_metric("m", 0.5)
    run.log_metric("m", 2**60 + 1)
    run.log_metric("m", "text")
    run.log_metric("m", 2)
    assert values_of(run, "m") == [1, 0.5, 2**60 + 1, "text", 2]
    entities = [
        s for s in provml.load(run.path).statements() if ("provml:name", "m") in s.attributes
    ]
    by_id = {str(s.id): dict(s.attributes).get("prov:value") for s in entities}
    assert [by_id[f"run:metric/m/{n}"] for n in range(5)] == [1, 0.5, 2**60 + 1, "text", 2]


def test_what_does_not_fit_a_slot_leaves_no_trace(run: provml.Run) -> None:
    """A sound run would be said to have lost samples."""
    for _ in range(3):
        run.log_metric("m", 1)
        run.log_metric("m", 2**80)
        run.log_metrics({"m": 2**80})
        for wrong in ({"step": 2**80}, {"epoch": 2**40}, {"timestamp": math.inf}):
            with pytest.raises(provml.InvalidArgumentError):
                run.log_metric("m", 1, **wrong)
    assert values_of(run, "m") == [1, 2**80, 2**80] * 3
    kinds = [s.attributes for s in provml.load(run.path).statements() if s.kind == "activity"]
    assert not [a for a in kinds if ("prov:type", "provml:Loss") in a]


def test_metrics_are_recorded_at_one_time(run: provml.Run) -> None:
    """Metrics logged together would lie at different instants."""
    for step in range(3):
        run.log_metrics({"a": 1.0, "b": 2, "c": np.float32(3)}, "validation", step, epoch=1)
    recorded = provml.load(run.path)
    a, b, c = (recorded.series(name, "validation") for name in "abc")
    assert a.time_ns.tolist() == b.time_ns.tolist() == c.time_ns.tolist()
    assert b.value.tolist() == [2, 2, 2]
    assert c.step.tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", [None, 3, b"loss", "x\udfff", "n" * 5000])
def test_a_name_that_is_no_text_is_refused(run: provml.Run, name: Any) -> None:
    """A name that no document can carry would be found out at the export."""
    with pytest.raises(provml.InvalidMetricError):
        run.log_metric(name, 1.0)
    with pytest.raises(provml.InvalidArgumentError):
        run.log_param(name, 1.0)


@pytest.mark.parametrize(
    "options",
    [
        {"step": 1.5},
        {"step": "1"},
        {"step": True},
        {"step": 2**63},
        {"step": -(2**63)},
        {"epoch": -1},
        {"epoch": 2**31},
        {"epoch": -0.5},
        {"context": 5},
        {"unit": 3},
        {"timestamp": datetime.datetime(2026, 1, 1)},
        {"timestamp": True},
        {"timestamp": math.nan},
        {"timestamp": 1e12},
        {"timestamp": "now"},
    ],
)
def test_a_bad_argument_is_refused_on_the_fast_path_too(
    run: provml.Run, options: dict[str, Any]
) -> None:
    """A wrong step, epoch, context, unit or time would slip through once a series is known."""
    run.log_metric("m", 1.0)
    with pytest.raises(provml.InvalidArgumentError):
        run.log_metric("m", 1.0, **options)
    if "unit" not in options:
        run.log_metrics({"m": 1.0})
        with pytest.raises(provml.InvalidArgumentError):
            run.log_metrics({"m": 1.0}, **options)
    assert set(provml.load(run.path).series("m").step.tolist()) == {-(2**63)}


@pytest.mark.parametrize("step", [np.int64(3), np.array(3), np.int32(3)])
def test_integers_of_other_libraries_are_steps(run: provml.Run, step: Any) -> None:
    """A numpy step would be refused."""
    run.log_metric("m", 1.0, step=step)
    run.log_metric("m", 1.0, step=step, epoch=step)
    assert provml.load(run.path).series("m").step.tolist() == [3, 3]


def test_timestamps_are_kept_to_the_nanosecond(run: provml.Run) -> None:
    """A given time would be rounded."""
    zone = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=zone)
    for timestamp in (1_700_000_000, 1_700_000_000.25, np.int64(7), -1.5, moment):
        run.log_metric("m", 0.0, timestamp=timestamp)
    assert provml.load(run.path).series("m").time_ns.tolist() == [
        1_700_000_000 * 10**9,
        1_700_000_000 * 10**9 + 250_000_000,
        7 * 10**9,
        -1_500_000_000,
        int(moment.timestamp()) * 10**9 + 678_901_000,
    ]


def test_units_belong_to_samples(run: provml.Run) -> None:
    """A unit given later would be lost, or change what was logged before."""
    run.log_metric("t", 1.0)
    run.log_metric("t", 2.0, unit="s")
    units = {
        str(s.id): dict(s.attributes).get("provml:unit")
        for s in provml.load(run.path).statements()
        if s.kind == "entity"
    }
    assert units["run:metric/t/0"] is None
    assert units["run:metric/t/1"] == "s"


def test_params_are_flattened_and_kept_with_their_type(run: provml.Run) -> None:
    """A parameter's type or structure would be lost."""
    moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    run.log_params(
        {
            "opt": {"lr": 0.1, "betas": (0.9, 0.999)},
            "none": None,
            "flag": True,
            "big": 2**100,
            "nan": math.nan,
            "when": moment,
            "money": Decimal("0.10"),
            "path": Path("/data"),
            "dict": {},
            "array": np.array([[2]]),
            "$": {"$": 1},
        },
        prefix="a/",
    )
    params = provml.load(run.path).params
    assert params["a/opt.lr"] == 0.1
    assert params["a/opt.betas"] == [0.9, 0.999]
    assert params["a/none"] is None
    assert params["a/flag"] is True
    assert params["a/big"] == 2**100
    assert math.isnan(params["a/nan"])
    assert params["a/when"] == moment
    assert params["a/money"] == Decimal("0.10")
    assert params["a/path"] == "/data"
    assert params["a/dict"] == {}
    assert params["a/array"].shape == (1, 1)
    assert params["a/$.$"] == 1


def test_a_parameter_of_any_object_is_kept_as_text(run: provml.Run) -> None:
    """`log_params(vars(args))` would fail on a function or a device."""

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    run.log_params({"loss": math.sqrt, "broken": Broken()})
    itself: dict[str, Any] = {}
    itself["itself"] = itself
    with pytest.raises(provml.InvalidArgumentError, match="deeper"):
        run.log_params(itself)
    params = provml.load(run.path).params
    assert params["loss"] == "math.sqrt"
    assert "RuntimeError" in params["broken"]


def test_secret_parameters_are_masked(run: provml.Run) -> None:
    """A key passed as a parameter would end up in a document that is shared."""
    run.log_params({"wandb_api_key": "abc123", "pad_token": "<pad>", "max_tokens": 512})
    params = provml.load(run.path).params
    assert params == {"wandb_api_key": "***", "pad_token": "<pad>", "max_tokens": 512}
    assert "abc123" not in "".join(p.read_text() for p in run.path.rglob("*.jsonl"))


def test_a_second_value_is_a_revision(run: provml.Run) -> None:
    """A changed parameter would overwrite the first."""
    run.log_param("lr", 0.1)
    run.log_param("lr", 0.01)
    derived = [
        (str(s.arguments["prov:generatedEntity"]), str(s.arguments["prov:usedEntity"]))
        for s in provml.load(run.path).statements()
        if s.kind == "wasDerivedFrom"
    ]
    assert derived == [("run:param/lr/2", "run:param/lr")]


def test_events_keep_time_source_and_metadata(run: provml.Run) -> None:
    """An event's own time, source or metadata would be lost."""
    run.log_event("note", source="trainer", metadata={"n": 2**70, "x": [1.5]}, step=3)
    source = provml.EventSource("trainer")
    run.log_event(provml.Event("checkpoint_started", source, 12000, {"chk_size": 2345}))
    run.log_event(provml.Event("checkpoint_finish", source, 12500, {"write_speed": 2000}))
    recorded = provml.load(run.path)
    started, finish, note = recorded.events()  # in the order of time
    assert (note.source, note.metadata, note.step) == ("trainer", {"n": 2**70, "x": [1.5]}, 3)
    assert (finish.time_ns - started.time_ns) == 500 * 10**9
    assert recorded.events("note") == [note]
    assert recorded.events(source="nobody") == []
    (span,) = [
        s
        for s in recorded.statements()
        if ("prov:type", "provml:Span") in s.attributes and s.kind == "activity"
    ]
    assert dict(span.attributes)["prov:label"] == "checkpoint"
    assert span.arguments["prov:endTime"].time_ns - span.arguments["prov:startTime"].time_ns == (
        500 * 10**9
    )


def test_a_raising_body_ends_the_run_as_failed(store: Path) -> None:
    """A failed training would be recorded as finished."""
    with pytest.raises(ZeroDivisionError), provml.start_run("e", store=store) as run:
        1 / 0
    recorded = provml.load(run.path)
    assert recorded.status == "failed"
    assert recorded.exception is not None
    assert recorded.exception["type"] == "builtins.ZeroDivisionError"
    assert "test_api.py" in recorded.exception["traceback"]
    document = json.loads((run.path / "provenance.json").read_bytes())
    assert document["activity"]["run:run"]["provml:status"] == "failed"


def test_an_ended_run_refuses_every_verb(store: Path) -> None:
    """What is logged after the end would vanish without a word."""
    run = provml.start_run("e", store=store, formats=())
    run.log_metric("m", 1.0)
    run.end_run()
    run.end_run()
    calls: list[Callable[[], None]] = [
        lambda: run.log_metric("m", 1.0),
        lambda: run.log_metrics({"m": 1.0}),
        lambda: run.log_param("p", 1),
        lambda: run.log_params({"p": 1}),
        lambda: run.set_tag("t", 1),
        lambda: run.log_event("e"),
        lambda: run.log_dataset("d", [np.zeros(1)]),
        lambda: run.log_artifact(__file__),
        lambda: run.log_model("m", {}),
        run.log_source_code,
        run.log_environment,
        run.log_execution_start_time,
    ]
    for call in calls:
        with pytest.raises(provml.RunClosedError):
            call()


def test_verbs_without_a_run_say_so() -> None:
    """A forgotten start_run would be an AttributeError from within."""
    for verb in [name for name in provml.__all__ if name.startswith("log_")]:
        arguments: list[Any] = [{}] if verb in ("log_metrics", "log_params") else ["x", 1.0]
        if verb in ("log_event", "log_source_code"):
            arguments = ["x"]
        if ("execution" in verb and "current" not in verb) or verb == "log_environment":
            arguments = []
        if verb == "log_current_execution_time":
            arguments = ["x"]
        if verb == "log_flops_per_epoch":
            arguments = ["x", 1]
        with pytest.raises(provml.NoActiveRunError, match=verb):
            getattr(provml, verb)(*arguments)
    with pytest.raises(provml.NoActiveRunError):
        provml.end_run()
    assert provml.active_run() is None


def public_verbs(kind: type) -> set[str]:
    """The public methods of a class."""
    return {
        name
        for name in dir(kind)
        if isinstance(getattr(kind, name), types.FunctionType) and not name.startswith("_")
    }


def test_the_disabled_twin_takes_every_call_and_writes_nothing(store: Path) -> None:
    """A disabled run would record, or fail where an enabled one does not."""
    verbs = public_verbs(Run)
    assert verbs <= set(vars(DisabledRun))
    with provml.start_run("e", store=store, disabled=True, tags={"a": 1}) as run:
        assert isinstance(run, provml.Run)
        provml.log_metric("loss", object())
        provml.log_metrics({"a": None})
        provml.log_model("m", "/no/such/file")
        for verb in verbs - {"end_run"}:
            getattr(run, verb)("x", 1, nonsense=True)
        assert run.dropped == (0, 0)
        assert provml.active_run() is run
        (run.path / "extra").mkdir()
        (run.path / "extra" / "file").write_text("a script may put files there")
    assert not store.exists()
    assert provml.active_run() is None


def test_disabling_by_the_environment(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster could not switch recording off without a change of the script."""
    monkeypatch.setenv("PROVML_DISABLED", "1")
    with provml.start_run("e", store=store):
        provml.log_metric("loss", 1.0)
    assert not store.exists()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"run_id": "../x"}, provml.InvalidArgumentError),
        ({"run_id": ""}, provml.InvalidArgumentError),
        ({"run_id": "a/b"}, provml.InvalidArgumentError),
        ({"run_id": 3}, provml.InvalidArgumentError),
        ({"run_id": "latest"}, provml.InvalidArgumentError),
        ({"store": "a\0b"}, provml.StoreError),
        ({"namespace": "no iri"}, provml.InvalidArgumentError),
        ({"namespace": "relative/"}, provml.InvalidArgumentError),
        ({"formats": ("nope",)}, provml.ExportError),
        ({"formats": "provjson"}, provml.InvalidArgumentError),
        ({"owner": 5}, provml.InvalidArgumentError),
        ({"tags": [1]}, provml.InvalidArgumentError),
    ],
)
def test_start_run_refuses_misuse_before_it_makes_anything(
    store: Path, options: dict[str, Any], error: type[Exception]
) -> None:
    """A wrong argument would leave an empty run behind."""
    with pytest.raises(error):
        provml.start_run("e", **{"store": store, **options})
    assert not store.exists()
    assert provml.active_run() is None


@pytest.mark.parametrize("experiment", ["../../etc", ".hidden", "a/b", "", "~", "CON ", "é🦉"])
def test_any_experiment_name_stays_within_its_store(store: Path, experiment: str) -> None:
    """An experiment's name would lead outside the store, or be lost."""
    with provml.start_run(experiment, store=store) as run:
        pass
    assert run.path.parent.parent == store
    assert not run.path.parent.name.startswith(".")
    assert provml.load(run.path).experiment == experiment


def test_a_taken_run_id_is_refused_and_resumed_on_request(store: Path) -> None:
    """Two runs would mix, or a restarted job could not go on with its run."""
    with provml.start_run("e", store=store, run_id="job-1") as run:
        run.log_metric("loss", 1.0, TRAINING, 0)
    with pytest.raises(provml.RunExistsError, match="resume=True"):
        provml.start_run("e", store=store, run_id="job-1")
    with provml.start_run("e", store=store, run_id="job-1", resume=True) as again:
        again.log_metric("loss", 2.0, TRAINING, 1)
    with provml.start_run("e", store=store, resume=True) as latest:
        assert latest.path == run.path
        latest.log_metric("loss", 3.0, TRAINING, 2)
    recorded = provml.load(run.path)
    assert recorded.series("loss", TRAINING).value.tolist() == [1.0, 2.0, 3.0]
    assert recorded.status == "finished"
    ids = {str(s.id) for s in recorded.statements()}
    assert {"run:metric/training/loss/0", "run:metric/training/loss/1.0"} <= ids
    with (
        pytest.raises(provml.RunExistsError, match="being recorded"),
        provml.start_run("e", store=store, run_id="live"),
    ):
        provml.start_run("e", store=store, run_id="live", resume=True)


def test_runs_nest(store: Path) -> None:
    """A run started within another would take its samples, or end it."""
    with provml.start_run("outer", store=store, formats=()) as outer:
        provml.log_metric("m", 1.0)
        with provml.start_run("inner", store=store, formats=()) as inner:
            provml.log_metric("m", 2.0)
        assert provml.active_run() is outer
        provml.log_metric("m", 3.0)
    assert values_of(outer, "m") == [1.0, 3.0]
    assert values_of(inner, "m") == [2.0]


def test_execution_times(run: provml.Run) -> None:
    """The execution's span or its running time would be missing."""
    run.log_execution_start_time()
    run.log_current_execution_time("elapsed", TRAINING, 1)
    run.log_execution_end_time()
    recorded = provml.load(run.path)
    (elapsed,) = recorded.series("elapsed", TRAINING).value
    assert 0 <= elapsed < 60
    spans = [
        dict(s.attributes)["prov:label"]
        for s in recorded.statements()
        if ("prov:type", "provml:Span") in s.attributes
    ]
    assert spans == ["execution"]


def test_public_names_are_sorted_and_there() -> None:
    """A name of the documentation would not be importable."""
    assert provml.__all__ == sorted(provml.__all__)
    for name in provml.__all__:
        assert getattr(provml, name).__doc__ or name == "__version__"
    assert dir(provml) == sorted([*provml.__all__, "integrations", "reading", "sparql", "testing"])


@pytest.mark.parametrize("name", ["integrations", "reading", "sparql", "testing"])
def test_a_module_is_imported_the_first_time_it_is_used(name: str) -> None:
    """`provml.testing` would be an AttributeError, or `import provml` would load all modules."""
    code = (
        f"import sys, provml\nassert 'provml.{name}' not in sys.modules\n"
        f"print(provml.{name}.__name__)"
    )
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert output.strip() == f"provml.{name}"


def test_every_error_and_verb_is_exported() -> None:
    """A new error or verb would be missing from the package's public names."""
    from provml import errors

    classes = (value for value in vars(errors).values() if isinstance(value, type))
    own_errors = {one.__name__ for one in classes if one.__module__ == errors.__name__}
    assert own_errors <= set(provml.__all__)
    verbs = public_verbs(Run)
    assert verbs - {"log", "events", "spans"} <= set(provml.__all__)


MODULE_VERBS = [
    name
    for name in provml.__all__
    if name.startswith("log_") or name in ("set_tag", "update_metadata", "count_flops", "end_run")
]


@pytest.mark.parametrize("name", MODULE_VERBS)
def test_a_module_verb_has_the_signature_and_documentation_of_the_method(name: str) -> None:
    """A module-level verb would take other arguments than the method, or help() would be empty."""
    verb, method = getattr(provml, name), getattr(provml.Run, name)
    expected = list(inspect.signature(method).parameters.values())[1:]
    assert list(inspect.signature(verb).parameters.values()) == expected
    assert verb.__doc__ == method.__doc__
    assert pickle.loads(pickle.dumps(verb)) is verb


def test_the_verb_of_the_hot_path_takes_the_parameters_that_it_shows() -> None:
    """`log_metric`, whose parameters are written out twice, would differ from `Run.log_metric`."""
    shown = inspect.signature(provml.log_metric).parameters.values()
    written = inspect.signature(provml.log_metric, follow_wrapped=False).parameters.values()
    assert [(p.name, p.kind, p.default) for p in written] == [
        (p.name, p.kind, p.default) for p in shown
    ]


@pytest.mark.parametrize("name", sorted(public_verbs(Run)))
def test_the_disabled_twin_has_the_signatures_of_a_run(name: str) -> None:
    """An editor or help() would show other arguments for a disabled run."""
    method, twin = getattr(Run, name), getattr(DisabledRun, name)
    assert inspect.signature(twin) == inspect.signature(method)
    assert twin.__doc__ == method.__doc__


@pytest.mark.parametrize("name", MODULE_VERBS)
def test_context_step_and_epoch_come_in_this_order_and_flags_by_keyword(name: str) -> None:
    """Each verb would want to be looked up before it is called."""
    parameters = list(inspect.signature(getattr(provml, name)).parameters.values())
    place = [
        p
        for p in parameters
        if p.name in ("context", "step", "epoch") and p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    assert [p.name for p in place] == [
        p for p in ("context", "step", "epoch") if p in [each.name for each in place]
    ]
    assert all(p.default is None for p in place)
    if name != "log_system_metrics":  # a call of another library's documentation, kept as it is
        positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert positional[-len(place) :] == [p.name for p in place] or not place
        assert all(type(p.default) is not bool or p.kind is p.KEYWORD_ONLY for p in parameters)


WRONG_CALLS = """
import provml
provml.log_metric("loss")
provml.log_metric("loss", 0.5, steps=3)
provml.log_metric("loss", 0.5, step="three")
provml.log_param(1, 2)
provml.testing.no_such_name
"""


def test_a_type_checker_reports_a_wrong_call_of_a_module_verb(tmp_path: Path) -> None:
    """A user's typing error in a call would go unnoticed until the run."""
    api = pytest.importorskip("mypy.api")
    script = tmp_path / "script.py"
    script.write_text(WRONG_CALLS)
    options = ["--config-file=", "--cache-dir", str(tmp_path / "cache"), "--follow-imports=silent"]
    report, _, _ = api.run([*options, str(script)])
    reported = {int(line.split(":")[1]) for line in report.splitlines() if ": error:" in line}
    assert reported == {3, 4, 5, 6, 7}, report


def test_import_is_light() -> None:
    """`import provml` would take the time of numpy, torch, prov, rdflib or networkx."""
    code = (
        "import sys, provml\n"
        "heavy = {'numpy', 'torch', 'prov', 'rdflib', 'networkx', 'orjson', 'click', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_recording_imports_nothing_heavy(tmp_path: Path) -> None:
    """Recording scalars would pull numpy into a script that does not use it."""
    code = (
        "import sys, provml\n"
        "run = provml.start_run('e', store=sys.argv[1], formats=())\n"
        "run.log_metric('loss', 0.5, 'training', 1)\n"
        "run.log_param('lr', 0.1)\n"
        "run.log_artifact(sys.argv[0] if False else provml.__file__)\n"
        "run.end_run()\n"
        "print(sorted({'numpy', 'prov', 'orjson'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.check_output(command, text=True).strip() == "[]"


WITHOUT_TORCH = """
import sys, provml
sys.modules["torch"] = None
with provml.start_run("e", store=sys.argv[1], formats=()) as run:
    run.log_model("m", {"w": 1})
    try:
        run.log_flops_per_batch("f", None)
    except provml.MissingExtraError as error:
        print(error)
"""


def test_torch_is_imported_by_the_verbs_of_flops_alone(tmp_path: Path) -> None:
    """Importing provml would take seconds, or a machine without torch would get a traceback."""
    command = [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path)]
    assert "pip install 'provml[flops]'" in subprocess.check_output(command, text=True)
    code = WITHOUT_TORCH.replace('sys.modules["torch"] = None', "").replace(
        'run.log_flops_per_batch("f", None)', 'run.log_dataset("d", [1])'
    )
    code += "print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.check_output(command, text=True) == "False\n"
