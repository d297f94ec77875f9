"""The conditions of ``provml runs --where``: what they mean, and what they refuse."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import provml
from provml.lineage import conditions
from provml.lineage.questions import Store

WARM_UP = provml.Context("warm-up", parent=provml.Context.TRAINING)
AWKWARD = 'we"ird; DROP TABLE runs --'


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three runs that differ in everything one can ask for."""
    store = tmp_path_factory.mktemp("where") / "provenance"
    with provml.start_run("a", store=store, formats=(), owner="ada", tags={"keep": True}) as run:
        run.log_params({"lr": 0.1, "optimizer": "adam", "n": 2**60, "opt": {"eps": 1e-8}})
        run.log_params({AWKWARD: 1, "lambda": 3, "none": None, "shuffle": True})
        for value in (0.5, 0.9, 0.8):
            run.log_metric("accuracy", value, "validation")
        run.log_metric("loss/train", 0.25, WARM_UP)
        run.log_metric("loss/train", 0.5)
    with provml.start_run("b", store=store, formats=()) as run:
        run.log_params({"lr": 0.01, "optimizer": "sgd", "shuffle": False})
        run.log_metric("accuracy", math.nan, "validation")
        run.log_metric("note", "text value")
    with pytest.raises(RuntimeError), provml.start_run("c", store=store, formats=()) as run:
        run.log_param("lr", "auto")
        raise RuntimeError("boom")
    return provml.open_store(store)


MEANT = [
    ("params.lr < 0.05", "b"),
    ("params.lr == 0.1", "a"),
    ('params.lr == "auto"', "c"),
    ("not params.lr < 0.05", "a"),  # of c it is not known
    ("0.001 < params.lr <= 0.1", "ab"),
    ("params.lr in (0.1, 0.5, 'auto')", "ac"),
    ("params.lr not in [0.1]", "b"),
    ("params.optimizer == 'adam' or experiment == 'c'", "ac"),
    ("'ada' in params.optimizer", "a"),
    ("'optimizer' in params", "ab"),
    ("'accuracy' not in metrics", "c"),
    ("'keep' in tags", "a"),
    ("tags.keep", "a"),
    ("tags.keep == True", "a"),
    ("params.shuffle == False", "b"),
    ("not params.shuffle", "b"),
    ("params.none == None", "abc"),
    ("params.optimizer is None", "c"),
    ("params.optimizer is not None", "ab"),
    ("params.opt.eps < 1e-7", "a"),
    ('params["opt.eps"] < 1e-7', "a"),
    ('params["lambda"] == 3', "a"),
    (f"params[{AWKWARD!r}] == 1", "a"),
    ("metrics.accuracy.validation.max > 0.85", "a"),
    ("metrics.accuracy.validation.last > 0.85", ""),
    ("metrics.accuracy.validation > 0.75", "a"),  # of b it is NaN
    ("metrics.accuracy.validation.count == 3", "a"),
    ("metrics.accuracy.min <= 0.5", "a"),
    ('metrics["loss/train"]["training", "warm-up"].min < 0.3', "a"),
    ('metrics["loss/train"][None].max == 0.5', "a"),
    ('metrics["loss/train"].max == 0.5', "a"),
    ("metrics.note == 'text value'", "b"),
    ("metrics.accuracy.max > params.lr", "a"),
    ("status == 'failed' and 'boom' in exception", "c"),
    ("status != 'failed'", "ab"),
    ("owner == 'ada'", "a"),
    ("started > '2020-01-01' and ended < '2199-01-01T00:00:00Z'", "abc"),
    ("started < '2020-01-01'", ""),
    ("duration_s >= 0 and duration_s < 3600", "abc"),
    ("sample_count >= 3", "a"),
    ("-1 < params.lr", "ab"),
    ("True", "abc"),
    ("False or params.lr in ()", ""),
]


@pytest.mark.parametrize(("condition", "expected"), MEANT, ids=[c for c, _ in MEANT])
def test_a_condition_means_what_it_says(opened: Store, condition: str, expected: str) -> None:
    """Runs would be found that are not meant, or missed."""
    assert "".join(sorted(opened.runs(condition).column("experiment"))) == expected


def test_sorting_and_showing(opened: Store) -> None:
    """The best run would not come first."""
    assert opened.runs(sort="params.lr").column("experiment") == ["b", "a", "c"]
    assert opened.runs(sort="-params.lr").column("experiment") == ["a", "b", "c"]
    assert opened.runs(sort="-started").column("experiment") == ["c", "b", "a"]
    shown = opened.runs(show=["metrics.accuracy.validation.max", "params.lr", "params.n"])
    assert shown.column("metrics.accuracy.validation.max") == [0.9, None, None]
    assert shown.column("params.lr") == ["0.1", "0.01", "auto"]


REFUSED = [
    ("", "not an expression"),
    ("params.lr <", "column"),
    ("params.lr = 0.1", "column"),
    ("params.learning-rate < 1", "arithmetic"),
    ("params.lambda == 3", 'params["learning-rate"]'),
    ("lr < 0.1", "unknown name 'lr'"),
    ("status == finished", "put text in quotes"),
    ("__import__('os').system('true')", "column 1"),
    ("params.__class__.__mro__", None),
    ("(lambda: 1)() == 1", "column"),
    ("[x for x in params]", "column 1"),
    ("params.lr == f'{1}'", "column 14"),
    ("params.lr < 'a' < (yield)", "column"),
    ("open('/etc/passwd')", "column 1"),
    ("params < 1", "add a name"),
    ("metrics < 1", "add a name"),
    ("metrics.a.b.c.d.max > 1", "a name with dots"),
    ("params[0] == 1", "a name in quotes"),
    ("params[x] == 1", "a name in quotes"),
    ("params['a', 'b'] == 1", "one name"),
    ("status.x == 1", "has no fields"),
    ("param.lr == 1", "unknown name 'param'"),
    ("1", "not a condition"),
    ("params.lr < None", "be ordered"),
    ("params.lr < True", "be ordered"),
    ("params.lr is 3", "=="),
    ("started > 5", "write a time"),
    ("started > 'yesterday'", "write a time"),
    ("status > 5", "can't compare"),
    ("params.lr in 5", "after 'in'"),
    ("5 in params", "quotes"),
    ("params.lr == 1e999999 or " + "9" * 400 + " < params.lr", "double"),
    ("params.lr == 1j", "not a value"),
    ("params.lr == b'x'", "not a value"),
    ("params.lr == ...", "not a value"),
    ("(" * 500 + "1" + ")" * 500, None),
    ("not " * 4000 + "True", None),
    ("-" * 9000 + "1 < 2", None),
    ("params" + ".a" * 4900 + " == 1", ""),
    ("x" * 20_000, "characters"),
    ("params.lr == 1\0", "not an expression"),
    ("params.lr == '\ud800'", None),
    ("a := 1", "column"),
    ("params.lr == 1; DROP TABLE runs", "column"),
]


@pytest.mark.parametrize(("condition", "told"), REFUSED, ids=[c[:30] for c, _ in REFUSED])
def test_what_is_no_condition_is_refused(opened: Store, condition: str, told: str | None) -> None:
    """A slip would be a traceback, or code that runs, or an answer to another question."""
    try:
        answer = opened.runs(condition)
    except provml.QueryError as error:
        if told is not None:
            assert told in str(error)
        assert "\n" not in str(error)
    else:
        assert told in (None, "") and len(answer) == 0
    assert len(opened.runs()) == 3


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    """Some text would crash the parser."""
    try:
        conditions.compile_condition(text)
    except provml.QueryError:
        pass


NAMES = st.text(min_size=1, max_size=12).filter(lambda text: "\ud800" not in text)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(name=st.one_of(st.sampled_from(["'", '"', "a b", "?", "%", "\\", "--"]), NAMES), value=NAMES)
def test_any_name_and_value_is_found_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: str
) -> None:
    """A name with quotes would be SQL, or be lost."""
    store = tmp_path_factory.mktemp("names")
    with provml.start_run("e", store=store, formats=()) as run:
        run.log_param(name, value)
        run.log_metric(name, 1.5, name)
        masked = run.path
    opened = provml.open_store(store)
    recorded = provml.load(masked).params[name]  # what looks like a secret is masked
    assert len(opened.runs(f"params[{name!r}] == {recorded!r}")) == 1
    assert len(opened.runs(f"metrics[{name!r}][{name!r}].max == 1.5")) == 1
    assert len(opened.runs(f"params[{name + 'x'!r}] == {recorded!r}")) == 0


MANY = {
    "300 comparisons": (" or ".join(f"params.lr == {n}.5" for n in range(300)), ""),
    "800 members": (f"params.lr in ({', '.join(map(str, range(800)))}, 0.1)", "a"),
    "300 negations": ("not " * 300 + "params.lr == 0.1", "a"),
}


@pytest.mark.parametrize(("condition", "expected"), MANY.values(), ids=MANY)
def test_a_long_condition_is_answered(opened: Store, condition: str, expected: str) -> None:
    """A condition made by a script would take minutes, or end with a traceback of the database."""
    assert "".join(sorted(row["experiment"] for row in opened.runs(condition))) == expected


def test_a_condition_that_names_too_much_is_refused(opened: Store) -> None:
    """The database would work on one question for minutes."""
    with pytest.raises(provml.QueryError, match="names too many"):
        opened.runs(" or ".join(f"params.p{number} == 1" for number in range(100)))
