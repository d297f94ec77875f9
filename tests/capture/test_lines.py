"""Metrics in text: each format of lines, and that no text stops or bloats the reader."""

from __future__ import annotations

import json
import math
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import provml
from provml.capture.lines import LineReader, compile_patterns
from provml.capture.lines._backtracking import may_backtrack_forever
from provml.capture.lines._reader import MAX_LINE_BYTES
from provml.journal.layout import NO_EPOCH, NO_STEP
from provml.recording.disabled_run import DisabledRun

RECORDED = Path(__file__).with_name("recorded")
TRAINING, VALIDATION = provml.Context.TRAINING, provml.Context.VALIDATION
EVALUATION = provml.Context.EVALUATION

Sample = tuple[str, Any, Any, int | None, int | None]
Read = Callable[..., list[Sample]]


def samples(run: provml.Run) -> list[Sample]:
    """The name, context, value, step and epoch of all samples of a run, series by series."""
    recorded = provml.load(run.path)
    found: list[Sample] = []
    for name, context in recorded.series_names():
        series = recorded.series(name, context)
        for value, step, epoch in zip(series.value, series.step, series.epoch, strict=True):
            plain = value.item() if hasattr(value, "item") else value
            own_step, own_epoch = int(step), int(epoch)
            found.append(
                (
                    name,
                    context,
                    plain,
                    None if own_step == NO_STEP else own_step,
                    None if own_epoch == NO_EPOCH else own_epoch,
                )
            )
    return found


def rejected(run: provml.Run) -> dict[str, int]:
    """The number of refused lines, by reason."""
    events = provml.load(run.path).events("lines rejected")
    return events[0].metadata["reasons"] if events else {}


@pytest.fixture
def read(run: provml.Run) -> Read:
    """Feed a text to a reader and return what it recorded."""

    def feed(text: str | bytes, patterns: tuple[str, ...] = (), size: int = 0) -> list[Sample]:
        reader = LineReader(run, patterns)
        data = text if isinstance(text, bytes) else text.encode()
        for start in range(0, len(data), size or max(1, len(data))):
            reader.feed(data[start : start + (size or len(data))])
        reader.finish()
        run.end_run()
        return samples(run)

    return feed


# -- JSON lines -------------------------------------------------------------------------------


def test_json_lines(read: Read, run: provml.Run) -> None:
    """A metric printed as a JSON line would be lost, rounded, or recorded in another place."""
    found = read(
        "starting\n"
        '{"metric": "NLL Loss", "value": 0.1}\n'
        '{"metric": "accuracy", "value": 1, "step": 3}\r\n'
        '  {"value": 9007199254740993, "epoch": 5, "metric": "val_tokens", "unit": "t"}  \n'
        '{"metric": "huge", "value": 123456789012345678901234567890, "step": null}\n'
        '{"metric": "odd", "value": NaN}\n{"metric": "odd", "value": -Infinity}\n'
        '\x1b[32m{"metric": "färbig", "value": 1e-300, "step": -4}\x1b[0m'
    )
    odd = [sample for sample in found if sample[0] == "odd"]
    assert math.isnan(odd[0][2]) and odd[1][2] == -math.inf
    assert [sample for sample in found if sample[0] != "odd"] == [
        ("NLL Loss", None, 0.1, None, None),
        ("accuracy", None, 1, 3, None),
        ("val_tokens", VALIDATION, 9007199254740993, None, 5),
        ("huge", None, 123456789012345678901234567890, None, None),
        ("färbig", None, 1e-300, -4, None),
    ]
    assert [type(sample[2]) for sample in found[:3]] == [float, int, int]
    assert rejected(run) == {}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"metric": "a", "value": true}', "the value is true or false"),
        ('{"metric": "a", "value": null}', "the value is null"),
        ('{"metric": "a", "value": "0.5"}', "the value is text"),
        ('{"metric": "a", "value": [1]}', "the value is a list"),
        ('{"metric": "a", "value": {}}', "the value is an object"),
        ('{"metric": "a", "value": 1e999}', "a number is too large for a float"),
        ('{"metric": "a", "value": ' + "1" * 5000 + "}", "an integer has too many digits"),
        ('{"metric": "a"}', "the key 'value' is missing"),
        ('{"metric": 7, "value": 1}', "the metric's name is not text"),
        ('{"metric": "a", "value": 1, "value": 2}', "the key 'value' occurs twice"),
        ('{"metric": "a", "value": 1, "step": 1.5}', "the step is not a whole number"),
        ('{"metric": "a", "value": 1, "step": true}', "the step is not a number"),
        ('{"metric": "a", "value": 1, "epoch": "3"}', "the epoch is not a number"),
        ('{"metric": "a", "value": 1, "epoch": -1}', "the epoch is out of range"),
        ('{"metric": "a", "value": 1, "step": 9223372036854775808}', "the step is out of range"),
        (
            '{"metric": "a", "value": 1, "timestamp": 1e300}',
            "the timestamp is out of range",
        ),
        ('{"metric": "accuracy", "value": 0.985. "step": 3}', "the line is not JSON"),
        ('{"metric": "a", "value": ' + "[" * 60000, "the line is nested too deeply"),
        ('{"metric": "\\ud800", "value": 1}', "InvalidMetricError: the metric's name is not valid"),
        (
            '{"metric": "' + "x" * 5000 + '", "value": 1}',
            "InvalidMetricError: the metric's name is not valid",
        ),
    ],
)
def test_what_is_no_metric_is_counted(read: Read, run: provml.Run, line: str, reason: str) -> None:
    """A value would be lost silently, or something that is not a value would be recorded."""
    assert read(f'{line}\n{{"metric": "b", "value": 1}}\n') == [("b", None, 1, None, None)]
    assert rejected(run) == {reason: 1}


@pytest.mark.parametrize(
    "line",
    [
        '{"name": "metric", "value": 1}',
        '{"of": "metric"}',
        'INFO {"metric": "a", "value": 1}',
        '["metric", 1]',
        '{"level": "info", "text": "{\\"metric\\": \\"a\\", \\"value\\": 1}"}',
    ],
)
def test_other_json_is_left_alone(read: Read, run: provml.Run, line: str) -> None:
    """A program that logs other JSON would get an event about each line."""
    assert read(line) == []
    assert rejected(run) == {}


def test_a_timestamp_is_the_samples_time(run: provml.Run) -> None:
    """If a log is read later, all samples would get the time of reading."""
    reader = LineReader(run)
    reader.feed(
        b'{"metric": "a", "value": 1, "timestamp": 1700000000.5}\n'
        b'{"metric": "a", "value": 2, "timestamp": "2023-11-14"}\n{"metric": "a", "value": 3}\n',
        time_ns=1_800_000_000_000_000_001,
    )
    reader.finish()
    run.end_run()
    assert provml.load(run.path).series("a").time_ns.tolist() == [
        1_700_000_000_500_000_000,
        1_800_000_000_000_000_001,
        1_800_000_000_000_000_001,
    ]


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.one_of(st.integers(), st.floats()),
    st.one_of(st.none(), st.integers(-(2**63) + 1, 2**63 - 1)),
)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_python_prints_is_recorded_exactly(
    tmp_path: Path, name: str, value: float, step: int | None
) -> None:
    """A name or number that json.dumps writes would be read differently."""
    with provml.start_run("lines", store=tmp_path, formats=()) as run:
        reader = LineReader(run)
        line = json.dumps({"metric": name, "value": value, "step": step})
        reader.feed(line.encode() + b"\n")
        reader.finish()
    ((own_name, _, own_value, own_step, _),) = samples(run)
    assert (own_name, own_step) == (name, step)
    assert repr(own_value) == repr(value)


# -- Keras ------------------------------------------------------------------------------------


def test_json_behind_a_bar(read: Read, run: provml.Run) -> None:
    """If a callback prints metrics while a bar is drawn, both would be lost."""
    text = (
        "Epoch 1/2\n"
        '1/5 [=>....] - ETA: 0s - loss: 0.7{"metric": "f1", "value": 0.5, "epoch": 0}\n'
        '5/5 [======] - 1s - loss: 0.5{"metric": "f1", "value": true}\n'
        "Epoch 2/2\n"
        '5/5 [======] - 1s - loss: 0.25 - val_loss: 0.3 {"step": 7, "metric": "f1", "value": 1}\n'
        ' 45%|####  | 45/100 [00:03<00:04, 12.3it/s, lr=0.12]{"metric": "f1", "value": 2}\n'
    )
    assert read(text) == [
        ("f1", None, 0.5, None, 0),
        ("f1", None, 1, 7, None),
        ("f1", None, 2, None, None),
        ("loss", TRAINING, 0.5, 1, 1),
        ("loss", TRAINING, 0.25, 2, 2),
        ("val_loss", VALIDATION, 0.3, 2, 2),
        ("lr", None, 0.12, 45, None),
    ]
    assert rejected(run) == {"the value is true or false": 1}


@pytest.mark.parametrize("kind", ["bars", "lines"])
def test_keras_3(read: Read, run: provml.Run, kind: str) -> None:
    """In piped output of Keras 3, an epoch's values would be missing or count twice."""
    assert read((RECORDED / f"keras3-{kind}.txt").read_bytes()) == [
        ("accuracy", TRAINING, 0.5972, 1, 1),
        ("accuracy", TRAINING, 0.625, 2, 2),
        ("loss", TRAINING, 0.6926, 1, 1),
        ("loss", TRAINING, 0.6918, 2, 2),
        ("val_accuracy", VALIDATION, 0.5, 1, 1),
        ("val_accuracy", VALIDATION, 0.5417, 2, 2),
        ("val_loss", VALIDATION, 0.693, 1, 1),
        ("val_loss", VALIDATION, 0.6928, 2, 2),
        ("accuracy", EVALUATION, 0.625, None, None),
        ("loss", EVALUATION, 0.6917, None, None),
    ]
    assert rejected(run) == {}


def test_keras_3_with_callbacks_that_print(read: Read) -> None:
    """What a callback prints within a bar would end it; a second fit would go on with the first.

    The recording has two fits of two epochs, the second with bars of a single step, as that of the
    evaluation after it is.
    """
    found = read((RECORDED / "keras3-checkpoint.txt").read_bytes())
    assert [sample for sample in found if sample[0] == "loss"] == [
        ("loss", TRAINING, 0.6928, 1, 1),
        ("loss", TRAINING, 0.692, 2, 2),
        ("loss", TRAINING, 0.6916, 1, 1),
        ("loss", TRAINING, 0.6915, 2, 2),
        ("loss", EVALUATION, 0.6915, None, None),
    ]


def test_keras_without_its_backspaces(read: Read) -> None:
    """A log cleaned by a terminal or notebook would have each epoch twice."""
    cleaned = (RECORDED / "keras3-bars.txt").read_bytes().replace(b"\b", b"").replace(b"\r", b"\n")
    found = read(cleaned)
    assert [(name, step) for name, _, _, step, _ in found if name == "loss"] == [
        ("loss", 1),
        ("loss", 2),
        ("loss", None),
    ]


@pytest.mark.parametrize("kind", ["bars", "lines"])
def test_keras_2_recorded(read: Read, run: provml.Run, kind: str) -> None:
    """Piped output of Keras 2, with a callback that prints during its bars, would be misread."""
    found = read((RECORDED / f"keras2-{kind}.txt").read_bytes())
    assert [sample for sample in found if "loss" in sample[0]] == [
        ("loss", TRAINING, 0.6492, 1, 1),
        ("loss", TRAINING, 0.6484, 2, 2),
        ("val_loss", VALIDATION, 0.645, 1, 1),
        ("val_loss", VALIDATION, 0.6442, 2, 2),
        ("loss", EVALUATION, 0.6469, None, None),
    ]
    assert rejected(run) == {}


def test_keras_2(read: Read, run: provml.Run) -> None:
    """Some variants of Keras 2's bars and lines would be missed."""
    back = "\b" * 60
    found = read(
        "700000/700000 [==============================] - 20s - loss: 0.4097 - acc: 0.8078"
        " - val_loss: 0.4582 - val_acc: 0.781\n"
        "Epoch 1/2\n"
        "\r 1/10 [==>...........................] - ETA: 1:02 - loss: 0.9 - acc: 0.1"
        f"{back}\r10/10 [==============================] - ETA: 0s - loss: 0.5 - acc: 0.5"
        "\nEpoch 00001: val_loss improved from inf to 0.4, saving model to m.h5\n"
        f"{back}\r10/10 [==============================] - 3s 33us/sample - loss: 0.25 - acc: nan"
        " - val_loss: 1.0000e-04 - lr: 0.0010\n"
        "Epoch 2/2\n - 1s - loss: 0.125 - val_loss: 2e+01\n"
        "Epoch 3/4\n10/10 - 2s - loss: 0.0625 - out a_loss: 7.0000 - 2s/epoch - 1ms/step\n"
    )
    assert str(found) == str(
        [
            ("loss", TRAINING, 0.4097, None, None),
            ("loss", TRAINING, 0.25, 1, 1),
            ("loss", TRAINING, 0.125, 2, 2),
            ("loss", TRAINING, 0.0625, 3, 3),
            ("acc", TRAINING, 0.8078, None, None),
            ("acc", TRAINING, math.nan, 1, 1),
            ("val_loss", VALIDATION, 0.4582, None, None),
            ("val_loss", VALIDATION, 0.0001, 1, 1),
            ("val_loss", VALIDATION, 20.0, 2, 2),
            ("val_acc", VALIDATION, 0.781, None, None),
            ("lr", TRAINING, 0.001, 1, 1),
            ("out a_loss", TRAINING, 7.0, 3, 3),
        ]
    )
    assert rejected(run) == {}


def test_keras_unfinished_bars_say_nothing(read: Read) -> None:
    """The averages of half an epoch would pass for those of an epoch."""
    assert (
        read(
            "Epoch 1/2\n\r 1/10 [==>.......] - ETA: 9s - loss: 0.9"
            "\r 9/10 [=====>.] - ETA: 1s - loss: 1\n"
            "      7/Unknown - 1s 7ms/step - loss: 0.7\n"
        )
        == []
    )


# -- tqdm -------------------------------------------------------------------------------------


def test_tqdm(read: Read, run: provml.Run) -> None:
    """Values of a bar's postfix would be lost, or recorded each time the bar is drawn."""
    found = read(
        "\rtrain:   0%|          | 0/100 [00:00<?, ?it/s]"
        "\rtrain:  45%|████▌     | 45/100 [00:03<00:04, 12.3it/s, loss=0.5, acc=0.9]"
        "\rtrain:  46%|████▌     | 46/100 [00:03<00:04, 12.3it/s, loss=0.5, acc=0.9]"
        "\rtrain: 100%|██████████| 100/100 [00:03<00:00, 12.3it/s, loss=0.25, acc=0.9]\n"
        "\rEpoch 3 val: 100%|██████████| 9/9 [1:02:03<00:00, 1.2s/batch, loss=1e-05, note=ok]\n"
        "\r12it [00:01, 11.9it/s, n=7]\n\r 9%|# | 1.20k/12k [00:01<00:09, 11.9kB/s, n=8]\n"
        "100%|███| 2/2 [00:00<00:00, 9.1it/s]\n"
    )
    assert found == [
        ("loss", TRAINING, 0.5, 45, None),
        ("loss", TRAINING, 0.25, 100, None),
        ("acc", TRAINING, 0.9, 45, None),
        ("loss", VALIDATION, 1e-05, 9, 3),
        ("n", None, 8, None, None),
    ]
    assert rejected(run) == {"the value is not a number": 1}


def test_real_tqdm(read: Read) -> None:
    """The output of the installed tqdm would not be understood."""
    tqdm = pytest.importorskip("tqdm")
    from io import StringIO

    sink = StringIO()
    for epoch in range(2):
        with tqdm.tqdm(total=3, desc=f"Epoch {epoch}", file=sink, mininterval=0) as bar:
            for number in range(3):
                bar.set_postfix(loss=1 / (epoch + number + 1), refresh=False)
                bar.update()
    assert [sample for sample in read(sink.getvalue()) if sample[0] == "loss"] == [
        ("loss", None, 1.0, 1, 0),
        ("loss", None, 0.5, 2, 0),
        ("loss", None, 0.333, 3, 0),
        ("loss", None, 0.5, 1, 1),
        ("loss", None, 0.333, 2, 1),
        ("loss", None, 0.25, 3, 1),
    ]


# -- patterns ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (
            "epoch {epoch} loss {loss} acc {acc}",
            "[12:00] epoch  3 loss 0.12 acc 90%\nepoch 4 loss -1e-3 acc .5 .\n",
            [
                ("loss", None, 0.12, None, 3),
                ("loss", None, -0.001, None, 4),
                ("acc", None, 90, None, 3),
                ("acc", None, 0.5, None, 4),
            ],
        ),
        (
            "{name}={value}",
            "step 7: val_loss=0.5, lr=1e-05 x=abc\n",
            [("val_loss", VALIDATION, 0.5, None, None), ("lr", None, 1e-05, None, None)],
        ),
        (
            "loss {loss}",
            "val_loss 0.3 loss 0.4 loss 1.2.3 loss 5x\n",
            [("loss", None, 0.4, None, None)],
        ),
        ("loss {loss}", "loss 1,234.5\nloss 1,234\nloss 3, x\n", [("loss", None, 3, None, None)]),
        (
            "{step},{loss},{acc}",
            "7,0.5,125\n",
            [("loss", None, 0.5, 7, None), ("acc", None, 125, 7, None)],
        ),
        ("{} {} loss: {val loss}", "a b loss: 7", [("val loss", VALIDATION, 7, None, None)]),
        (
            r"(?i)iter (?P<step>\d+).*?(?P<loss>[\d.]+)$",
            "Iter 12 of 20 0.75\n",
            [("loss", None, 0.75, 12, None)],
        ),
        (
            r"(?P<name>\w+): (?P<value>\S+)",
            "a: 1 b: 2.0",
            [("a", None, 1, None, None), ("b", None, 2.0, None, None)],
        ),
    ],
)
def test_patterns(read: Read, pattern: str, text: str, expected: list[Sample]) -> None:
    """A matching line would be missed, or another line would match."""
    assert read(text, (pattern,)) == expected


@pytest.mark.parametrize(
    "word", ["0,5", "1,5e-3", "1/2", "3:25", "1.2.3", "0.5/s", "1'000", "5-6", "0.5±0.1", "1e5x"]
)
def test_a_word_that_only_begins_like_a_number_is_rejected(
    read: Read, run: provml.Run, word: str
) -> None:
    """The beginning of a number would be recorded as the number."""
    assert read(f"epoch 1 loss {word}\n", ("epoch {epoch} loss {loss}",)) == []
    assert rejected(run) == {"the value is not a number": 1}


@pytest.mark.parametrize(
    "end", ["", ",", ", acc 1", ".", ";", ")", "]", "|", '"', "\x1b[0m", ": x"]
)
def test_punctuation_may_follow_a_value(read: Read, run: provml.Run, end: str) -> None:
    """A value at the end of a clause would be lost."""
    assert read(f"loss 0.5{end}\n", ("loss {loss}",)) == [("loss", None, 0.5, None, None)]
    assert rejected(run) == {}


def test_percent_sign_and_fractional_epoch(read: Read, run: provml.Run) -> None:
    """A percentage would lose its unit, and the epoch of Hugging Face's loop its fraction."""
    found = read("epoch 0.25 acc 93.5%\n", ("epoch {epoch} acc {acc}",))
    assert ("acc", None, 93.5, None, 0) in found
    assert ("epoch", None, 0.25, None, 0) in found
    (events,) = run.path.glob("journal/*.jsonl")
    assert '"unit":"%"' in events.read_text()


def test_a_repeat_that_takes_nothing_back_is_fine(read: Read) -> None:
    """The safe form of a pattern that could take for ever would be refused, too."""
    assert read("aab 1\n", (r"(?:a++)++b (?P<x>\d+(?:\.\d+)?)",)) == [("x", None, 1, None, None)]


@pytest.mark.slow
def test_a_pattern_that_takes_too_long_is_tried_once(read: Read) -> None:
    """A slow pattern would delay each line of the output."""
    slow = r".*a.*a.*a(?P<x>\d)"
    text = "a" * 260 + "\n"
    assert read(text * 50 + "loss 1\n", (slow, "loss {loss}")) == [("loss", None, 1, None, None)]


def test_an_epoch_on_a_line_of_its_own(read: Read) -> None:
    """Values printed below a heading would have no epoch."""
    found = read(
        "Epoch 1/3\nloss: 0.5\nEpoch 2/3\nloss: 0.25 step 9\nloss: 0.125\n",
        ("Epoch {epoch}/", "loss: {loss}", "step {step}"),
    )
    assert found == [
        ("loss", None, 0.5, None, 1),
        ("loss", None, 0.25, 9, 2),
        ("loss", None, 0.125, None, 2),
    ]


def test_patterns_beside_forms(read: Read) -> None:
    """With a pattern, lines in the built-in formats would be lost."""
    found = read(
        'loss 1\n{"metric": "m", "value": 2}\nEpoch 1/1\n1/1 - 0s - loss: 3.0\n', ("loss {x}",)
    )
    assert found == [
        ("x", None, 1, None, None),
        ("m", None, 2, None, None),
        ("loss", TRAINING, 3.0, 1, 1),
    ]


@pytest.mark.parametrize(
    ("expression", "is_refused"),
    [
        (r"(a+)+b", True),
        (r"(?:a|aa)+b", True),
        (r"(?:a?){20}", True),
        (r"(?:a|b)+(?:\s\d{3})*", False),
        (r"(?:ab|ac)+", False),
        (r"(?:a{2,5}){3}", False),
        (r"(?>a+)+(?:b++)+", False),
        (r"[+*(]+\((a)\)+", False),
        (r"(?x) (a +) + # )", True),
        ("(?x) (a # +)+ (b+)+\n )+", False),
        (r"(a)?(?:(?(1)b|cd))+", False),
    ],
)
def test_expressions_that_backtrack(expression: str, is_refused: bool) -> None:
    """A line could hang the reader, or a harmless expression would be refused."""
    assert may_backtrack_forever(re.compile(expression)) is is_refused


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?P<loss>", "not a valid regular expression"),
        ("loss", "names no metric"),
        ("{}", "names no metric"),
        ("{loss} {loss}", "twice"),
        ("{name} is", "use both"),
        (7, "must be a str"),
        (r"(?P<x>(a+)+)b", "could take forever"),
        (r"(?P<x>(?:a|aa)+)b", "could take forever"),
        (r"(?P<x>\d+)(?:\s*\w+)*!", "could take forever"),
    ],
)
def test_bad_patterns(pattern: Any, message: str) -> None:
    """A wrong pattern would only show hours later, as a run without metrics."""
    with pytest.raises(provml.InvalidArgumentError, match=message):
        compile_patterns([pattern])
    with pytest.raises(provml.InvalidArgumentError, match="must be a list"):
        compile_patterns("loss {loss}")


# -- any text ---------------------------------------------------------------------------------

PIECES = [
    *(path.read_bytes() for path in sorted(RECORDED.glob("keras*.txt"))),
    b'{"metric": "a", "value": 1}',
    b'{"metric": "a", "value": tr',
    b"Epoch 1/2\n",
    b"5/5 [==] - 1s - loss: 1.5",
    b"\rx:  45%|##  | 45/100 [00:03<00:04, 12.3it/s, loss=0.12]",
    b"\n",
    b"\r",
    b"\b\b\b\r",
    b"\r\n",
    b"\xff\xfe\x00",
    b"\x1b[32m",
    "━".encode(),
    b"epoch 3 loss 0.5 ",
    b"x" * (MAX_LINE_BYTES - 20),
]


@given(
    st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=12),
    st.lists(st.integers(1, 3000), min_size=1, max_size=5),
    st.sampled_from([(), ("epoch {epoch} loss {loss}",)]),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_blocks_change_nothing(
    tmp_path: Path, pieces: list[bytes], sizes: list[int], patterns: tuple[str, ...]
) -> None:
    """A metric that is split between two blocks would be lost, or read as two."""
    data = b"".join(pieces)
    results = []
    for blocks in ([len(data) or 1], sizes):
        with provml.start_run("lines", store=tmp_path, formats=()) as run:
            reader = LineReader(run, patterns)
            start = number = 0
            while start < len(data):
                reader.feed(data[start : start + blocks[number % len(blocks)]], time_ns=1)
                start += blocks[number % len(blocks)]
                number += 1
            reader.finish()
        results.append((str(samples(run)), rejected(run)))
    assert results[0] == results[1]
    assert not any("reading failed" in reason for reason in results[0][1])


def test_an_endless_line_takes_no_memory(run: provml.Run) -> None:
    """A program that prints a gigabyte without a newline would exhaust the memory."""
    reader = LineReader(run)
    block = b'{"metric": "a", "value": 1, "x": "' + b"y" * 2**20
    tracemalloc.start()
    for _ in range(300):
        reader.feed(block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    reader.feed(b'"}\n{"metric": "b", "value": 1}\n')
    reader.finish()
    run.end_run()
    assert samples(run) == [("b", None, 1, None, None)]
    assert rejected(run) == {"the line is longer than 65,536 bytes": 1}


def test_a_long_line_without_metrics_is_no_finding(read: Read, run: provml.Run) -> None:
    """Binary output would be reported as rejected metrics."""
    assert read(bytes(10**6) + b"\n" + b"z" * 10**6) == []
    assert rejected(run) == {}


def test_text_of_digits_or_bars_takes_no_time(run: provml.Run) -> None:
    """A line made to keep an expression busy would delay the program that prints it."""
    import time

    reader = LineReader(run, ["{name}={value} loss {loss}"])
    start = time.process_time()
    for line in (
        "1" * 60_000 + " [00:01, 1it/s, a=1",
        "%|" * 30_000 + "1/1 [00:01, 1it/s, a=1",
        "1%|" * 1_300 + "a: 1/1 [00:01<00:00, 1it/s, a=1",
        "1/1 " + "━" * 20_000 + "loss: ",
        "1=" * 4_000,
        "=1" * 4_000,
        "1" * 8_000,
    ):
        reader.feed(line.encode() + b"\n")
    reader.finish()
    assert time.process_time() - start < 5


def test_secrets_are_masked_in_examples(run: provml.Run) -> None:
    """A rejected line would put a password into the run."""
    reader = LineReader(run)
    reader.feed(b'{"metric": "a", "value": "x", "api_key": "12345678"}' + b" " * 500 + b"\n")
    reader.finish()
    run.end_run()
    (event,) = provml.load(run.path).events("lines rejected")
    assert event.metadata == {
        "stream": "stdout",
        "lines": 1,
        "reasons": {"the value is text": 1},
        "examples": {"the value is text": '{"metric": "a", "value": "x", "api_key": "***"}'},
    }


def test_nothing_rejected_is_no_event(read: Read, run: provml.Run) -> None:
    """Every run would have an event about nothing."""
    read("hello\n")
    assert provml.load(run.path).events() == []


def test_a_run_that_ended(run: provml.Run) -> None:
    """Code that prints after the end of its run would get an error."""
    reader = LineReader(run)
    run.end_run()
    reader.feed(b'{"metric": "a", "value": 1}\n')
    reader.finish()


def test_a_disabled_run() -> None:
    """A disabled run would record something."""
    reader = LineReader(DisabledRun("none"))
    reader.feed(b'{"metric": "a", "value": 1}\n')
    reader.finish()
