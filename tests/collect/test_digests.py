"""Digests of arrays, tensors and nested values: equal for equal content, different otherwise."""

from __future__ import annotations

import copy
import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import provml
from provml.collect.datasets import describe_dataset
from provml.collect.models import describe_model


def facts(data: object) -> dict[str, Any]:
    return describe_dataset(data, Path(), copy=False)


def digest(data: object) -> str:
    """The digest of a dataset; the test fails if it has none."""
    described = facts(data)
    assert "unread" not in described, described["unread"]
    return str(described["sha256"])


def model_digest(model: object) -> str:
    described = describe_model(model, Path(), None)
    assert "unread" not in described, described["unread"]
    return str(described["sha256"])


def assert_one_content(*values: object) -> None:
    assert len({digest(value) for value in values}) == 1


def assert_all_differ(*values: object) -> None:
    digests = [digest(value) for value in values]
    assert len(set(digests)) == len(digests)


# -- numpy ------------------------------------------------------------------------------------

DTYPES = arrays.scalar_dtypes() | arrays.array_dtypes(max_size=3)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_layout_never_counts_and_every_element_does(data: st.DataObject) -> None:
    """Strides or byte order would change a digest, or a changed element would not."""
    dtype = data.draw(DTYPES)
    array = data.draw(arrays.arrays(dtype, arrays.array_shapes(max_dims=3, max_side=4)))
    expected = digest(array)
    assert digest(array.copy(order="F")) == expected
    assert digest(np.repeat(array, 2, axis=-1)[..., ::2]) == expected
    assert digest(array[::-1].copy()[::-1]) == expected
    assert digest(array.astype(array.dtype.newbyteorder(">"))) == expected
    other = array.copy()
    place = data.draw(st.sampled_from(list(np.ndindex(array.shape))))
    other[place] = data.draw(arrays.arrays(dtype, ()))[()]
    if other.astype(array.dtype).tobytes() != array.tobytes():
        assert digest(other) != expected or other[place] == array[place]


def test_the_digest_of_an_array_is_as_documented() -> None:
    """Other programs could not compute the digest, or digests of earlier releases would change."""
    array = np.arange(6, dtype="<f4").reshape(2, 3)
    expected = hashlib.sha256(b"<f4 (2, 3)\n" + array.tobytes()).hexdigest()
    assert digest(array) == digest(array.astype(">f4")) == expected


def test_fields_of_a_record_count() -> None:
    """Records of other fields would share a digest because their bytes are equal."""
    plain = np.zeros(3, [("a", "i4"), ("b", "f4")])
    assert_all_differ(
        plain,
        np.zeros(3, [("a", "f4"), ("b", "i4")]),
        np.zeros(3, [("b", "i4"), ("a", "f4")]),
        np.zeros(3, [("a", "i4", (1,)), ("b", "f4")]),
        np.zeros(3, [("x", [("a", "i4"), ("b", "f4")])]),
        np.zeros(3, "V8"),
        np.zeros(3, np.dtype([("a", "u1"), ("b", "f4")])),
        np.zeros(3, np.dtype([("a", "u1"), ("b", "f4")], align=True)),
    )
    assert_one_content(plain, plain.astype([("a", ">i4"), ("b", ">f4")]), np.rec.array(plain))


def test_padding_does_not_count() -> None:
    """Equal records or long doubles would differ by bytes that hold no value."""
    record = np.zeros(2, np.dtype([("a", "u1"), ("b", "f4")], align=True))
    changed = record.copy()
    changed.view("u1")[1] = 7
    assert_one_content(record, changed)
    if np.finfo(np.longdouble).nmant == 63:
        number = np.ones(2, np.longdouble)
        changed = number.copy()
        changed.view("u1")[12] = 7
        assert_one_content(number, changed)
        assert facts(number)["summary"] == {"min": 1.0, "max": 1.0, "mean": 1.0}


def test_the_mask_counts_and_what_it_hides_does_not() -> None:
    """A hidden value would change a digest or a summary, or another mask would not."""
    array = np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0])
    hidden = np.ma.array([1.0, 99.0, 3.0], mask=[0, 1, 0], fill_value=7)
    assert_one_content(array, hidden)
    assert_all_differ(array, np.ma.array([1.0, 2.0, 3.0], mask=[1, 0, 0]), np.array([1.0, 0, 3]))
    assert_one_content(np.ma.array([1, 2]), np.ma.array([1, 2], mask=[0, 0]), np.array([1, 2]))
    assert facts(hidden)["summary"] == {"min": 1.0, "max": 3.0, "mean": 2.0, "missing": 1}
    records = np.ma.array([(1, 2.0), (3, 4.0)], mask=[(0, 1), (0, 0)], dtype="i4,f4")
    other = records.copy()
    other.data["f1"][0] = 9
    assert_one_content(records, other)


def test_text_of_variable_width_is_read() -> None:
    """The digest would cover addresses in memory instead of the text."""
    kind = np.dtypes.StringDType()
    assert_one_content(np.array(["a", "é" * 50], kind), np.array(["a", "é" * 50], kind))
    assert_all_differ(np.array(["ab", "c"], kind), np.array(["a", "bc"], kind))


# -- plain values -----------------------------------------------------------------------------

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=4)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def shuffle(value: Any) -> Any:
    """An equal value of other objects, with the keys in another order."""
    if isinstance(value, dict):
        return {str(key): shuffle(value[key]) for key in reversed(value)}
    return [shuffle(member) for member in value] if isinstance(value, list) else value


def form(value: Any) -> Any:
    """A form that is equal only for values of equal content and types."""
    if isinstance(value, dict):
        return ("dict", frozenset((key, form(member)) for key, member in value.items()))
    if isinstance(value, list):
        return ("list", tuple(map(form, value)))
    return (type(value).__name__, value.hex() if isinstance(value, float) else value)


@settings(max_examples=150, deadline=None)
@given(VALUES, VALUES)
def test_nested_values_share_a_digest_exactly_if_equal(one: Any, other: Any) -> None:
    """Checkpoints of equal content would differ, or different ones would be taken for one."""
    assert digest([one]) == digest([shuffle(one)])
    assert (digest([one]) == digest([other])) == (form(one) == form(other))


def test_values_of_other_kinds_differ() -> None:
    """A number and its text, or a naive and an aware time, would share a digest."""
    moment = datetime(2026, 1, 1)
    aware = moment.replace(tzinfo=UTC)
    rows: list[object] = [1, 1.0, "1", b"1", True, None, [1], {"a": 1}, {1: 1}, {"1": 1}, {1}, 1j]
    rows += [moment, aware, moment.date(), Decimal("1.0"), np.float32(1), np.int64(1), 2**70]
    assert_all_differ(*[[row] for row in rows])
    elsewhere = aware.astimezone(timezone(timedelta(hours=2)))
    assert_one_content([aware], [elsewhere])
    assert_one_content([1, 2], (1, 2), range(1, 3))
    assert_all_differ({1: "a", "1": "b"}, {1: "b", "1": "a"})
    assert_one_content({1: "a", "1": "b"}, {"1": "b", 1: "a"})


def test_values_that_contain_themselves_end() -> None:
    """A cyclic checkpoint would hang the training."""
    cycle: list[object] = [1]
    cycle.append(cycle)
    assert digest(cycle) == digest(copy.deepcopy(cycle))
    deep: list[object] = []
    for _ in range(1000):
        deep = [deep]
    assert "nested deeper than" in facts(deep)["unread"]


class Settings:
    """An object without a state_dict."""

    def __init__(self, **fields: object) -> None:
        self.__dict__.update(fields)


def test_objects_are_digested_by_their_fields() -> None:
    """An object would be known by its address, or by the order in which its fields were set."""
    one = Settings(a=[1], b={"x", "y"})
    assert model_digest(one) == model_digest(Settings(b={"y", "x"}, a=[1]))
    assert model_digest(one) != model_digest(Settings(a=[2], b={"x", "y"}))


PROCESS = """
import numpy as np
from pathlib import Path
from provml.collect.datasets import describe_dataset
from provml.collect.models import describe_model
value = {"s": {"b", "a", "c"}, "l": [1, 2.5, "é", None], "d": {"y": 1, "x": np.ones(2)}}
print(describe_model(value, Path(), None)["sha256"])
print(describe_dataset([value], Path(), False)["sha256"])
"""


def test_hash_seeds_do_not_count() -> None:
    """A set or dict would have another digest in the next process."""
    found = {
        subprocess.check_output(
            [sys.executable, "-c", PROCESS], env={**os.environ, "PYTHONHASHSEED": seed}, text=True
        )
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_a_sparse_matrix_is_known_by_its_entries() -> None:
    """The storage format, explicit zeros or the order of entries would change the digest."""
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.array([[0, 2.0, 0], [4, 0, 0]])
    kinds = [sparse.csr_matrix, sparse.csc_array, sparse.coo_array, sparse.lil_matrix]
    zero = sparse.coo_array(([4.0, 2.0, 0.0], ([1, 0, 1], [0, 1, 1])), shape=(2, 3))
    assert_one_content(zero, *(kind(dense) for kind in kinds))
    assert_all_differ(*(sparse.csr_array(m) for m in (dense, dense * 2, dense.T, dense > 0)))


def test_a_bunch_and_an_estimator_have_digests() -> None:
    """scikit-learn's own datasets and models would not be identified."""
    datasets = pytest.importorskip("sklearn.datasets")
    from sklearn.tree import DecisionTreeClassifier

    one, other = datasets.load_iris(), datasets.load_iris()
    assert_one_content(one, other)
    assert set(facts(one)["members"]) == set(one)
    fitted = DecisionTreeClassifier(random_state=0).fit(one.data, one.target)
    assert model_digest(fitted) == model_digest(copy.deepcopy(fitted))
    other.target[0] = 2
    assert_all_differ(one, other)
    assert model_digest(fitted) != model_digest(
        DecisionTreeClassifier(random_state=0).fit(one.data, other.target)
    )


# -- objects that fail ------------------------------------------------------------------------


class Panic(BaseException):
    """An error like those of libraries in Rust, which do not inherit from Exception."""


def fail(*_: object, **__: object) -> Any:
    raise Panic("a library failed")


class Broken:
    """An object whose class fails in every way at once."""

    shape = dtype = property(fail)
    __class__ = property(fail)  # type: ignore[assignment]
    __array__ = __len__ = __getitem__ = __reduce_ex__ = __getattr__ = state_dict = fail


class Liar:
    """An object that claims to be an array."""

    __class__ = np.ndarray  # type: ignore[assignment]
    shape = (3,)
    dtype = np.dtype("f4")

    def __array__(self, *_: object, **__: object) -> Any:
        return "no array"


@pytest.mark.parametrize("kind", [Broken, Liar])
def test_failures_of_an_object_are_recorded(run: provml.Run, kind: type) -> None:
    """An error of the user's library would end the training, or leave no trace."""
    run.log_dataset("d", kind())
    run.log_dataset("inside", {"a": kind(), "b": np.ones(2)})
    run.log_model("m", kind())
    run.log_model("state", {"w": kind()})
    recorded = provml.load(run.path).artifacts()
    assert [content.name for content in recorded] == ["d", "inside", "m", "state"]
    for content in recorded:
        assert content.sha256 is None
        assert content.facts["unread"]


def test_interrupts_are_not_recorded_as_failures(run: provml.Run) -> None:
    """Ctrl-C during a long digest would be swallowed."""

    class Interrupted:
        shape = dtype = None

        def __array__(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.log_dataset("d", Interrupted())


def test_secrets_in_a_failure_are_masked() -> None:
    """The password in a library's message would be kept with the run."""

    class Remote:
        shape = dtype = None

        def __array__(self) -> None:
            raise OSError("cannot open https://me:hunter2@host/x")

    assert "hunter2" not in facts(Remote())["unread"]
