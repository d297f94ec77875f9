"""Metrics in lines of any shape: names, contexts, steps and epochs, and what must not be one."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from capture.logs_without_metrics import LOGS, make_log
from capture.printed_lines import CASES

import provml
from provml.capture.lines import LineReader
from provml.capture.lines._suggestions import PatternSuggester
from provml.journal.layout import NO_EPOCH, NO_STEP
from provml.journal.reader import Journal

Sample = tuple[str, str | None, float, int | None, int | None, str | None]
Read = Callable[..., list[Sample]]

ROUNDS = (
    {"e": 1, "s": 100, "a": 0.512, "b": 1.53, "c": 0.0875, "d": 0.25, "p": 91, "n": 11},
    {"e": 2, "s": 200, "a": 0.498, "b": 1.42, "c": 0.0715, "d": 0.5, "p": 92.5, "n": 22},
    {"e": 3, "s": 300, "a": 0.377, "b": 1.31, "c": 0.0655, "d": 0.75, "p": 93, "n": 33},
)


@pytest.fixture
def read(run: provml.Run) -> Read:
    """Feed a text to a reader and return what it recorded, in the order of time."""

    def feed(text: str, patterns: tuple[str, ...] = (), *, size: int = 0) -> list[Sample]:
        reader = LineReader(run, patterns)
        data = text.encode()
        step = size or max(1, len(data))
        for number, start in enumerate(range(0, len(data), step), 1):
            reader.feed(data[start : start + step], number * 1000)
        reader.finish()
        run.end_run()
        return list_samples(run)

    return feed


def list_samples(run: provml.Run, rank: int | None = None) -> list[Sample]:
    """Return the name, context, value, step, epoch and unit of each sample, without readings."""
    recorded = provml.load(run.path)
    units = {
        (one.name, one.context): one.unit
        for files in Journal(run.path).writers
        for one in files.series().values()
    }
    found = []
    for name, context in recorded.series_names():
        unit = units[name, context and context.path]
        series = recorded.series(name, context, rank=rank)
        for value, step, epoch, time in zip(
            series.value, series.step, series.epoch, series.time_ns, strict=True
        ):
            place = (
                None if int(step) == NO_STEP else int(step),
                None if int(epoch) == NO_EPOCH else int(epoch),
            )
            sample = (name, str(context) if context else None, float(value), *place, unit)
            found.append((int(time), sample))
    return [sample for _, sample in sorted(found, key=lambda one: one[0])]


def expected_samples(text: str, values: dict[str, Any]) -> list[Sample]:
    """Return the samples that a case in `printed_lines` expects from one round."""
    found: list[Sample] = []
    step: int | None = None
    epoch: int | None = None
    for part in re.split(r" \| | (?=/\w+ )", text.format(**values)):
        place = re.match(r"/(\w+) ", part)
        if place is not None:
            epoch = values["e"] if "e" in place[1] else 1 if "1s" in place[1] else None
            step = values["s"] if "s" in place[1] else None
            if place[1] == "1":
                step = 1200 + values["n"]
            part = part[place.end() :]
        name, _, value = part.rpartition("=")
        name, _, context = name.rpartition("@") if re.search(r"@[a-z]", name) else (name, "", "")
        number, _, unit = value.partition(" ")
        found.append((name, context or None, float(number), step, epoch, unit or None))
    return found


@pytest.mark.parametrize("case", CASES)
def test_lines_of_public_scripts(read: Read, case: str) -> None:
    """A metric that a public script prints would be lost, or have a wrong name or place."""
    lines, records = CASES[case]
    found = read("\n".join(lines.format(**values) for values in ROUNDS) + "\n")
    wanted = [one for values in ROUNDS for one in expected_samples(records, values)]
    assert sorted(map(repr, found)) == sorted(map(repr, wanted))


@pytest.mark.parametrize("log", LOGS)
def test_other_logs_give_no_metric(read: Read, log: str) -> None:
    """A build, a download or a server's log would fill the run with numbers that mean nothing."""
    assert read(make_log(LOGS[log], 800, seed=len(log))) == []


def test_lines_wait_for_the_second_of_their_shape(run: provml.Run) -> None:
    """The first line of a shape would be lost, or would have the time of a later line."""
    reader = LineReader(run)
    for number in range(1, 5):
        reader.feed(f"step {number} | loss 0.{number}\n".encode(), number * 10**9)
        reader.feed(b"saving\n", number * 10**9 + 1)
        assert reader.recorded == (0 if number == 1 else number)
    reader.finish()
    run.end_run()
    series = provml.load(run.path).series("loss", None)
    assert series.step.tolist() == [1, 2, 3, 4]
    assert series.time_ns.tolist() == [number * 10**9 for number in range(1, 5)]


def test_a_single_line_is_recorded_at_the_end_if_it_is_plain(read: Read) -> None:
    """The accuracy that a script prints once, at its end, would be lost."""
    found = read("Namespace(lr=0.5, gamma=0.7)\nlr: 0.001\ndone in 3.5 s\nTest accuracy: 0.93\n")
    assert found == [("accuracy", "evaluation", 0.93, None, None, None)]


REPORT = """Validation report:
                      precision    recall  f1-score   support

                   0     0.8750    1.0000    0.9333         7
         big dog 2.0     1.0000    0.7500    0.8571         4

            accuracy                         0.9091        11
           macro avg     0.9375    0.8750    0.8952        11
        weighted avg     0.9205    0.9091    0.9056        11
5 of 5 precision   recall
"""


def test_a_classification_report_gives_the_scores_of_each_class(read: Read) -> None:
    """The scores of a classifier would be lost, or the counts of its classes be scores."""
    found = {name: value for name, context, value, *_ in read(REPORT) if context == "validation"}
    assert found.keys() == {
        *(f"precision/{row}" for row in ("0", "big dog 2.0", "macro avg", "weighted avg")),
        *(f"recall/{row}" for row in ("0", "big dog 2.0", "macro avg", "weighted avg")),
        *(f"f1-score/{row}" for row in ("0", "big dog 2.0", "macro avg", "weighted avg")),
        "accuracy",
    }
    assert found["precision/0"] == 0.875 and found["recall/big dog 2.0"] == 0.75
    assert found["f1-score/macro avg"] == 0.8952 and found["accuracy"] == 0.9091


ULTRALYTICS = """
      Epoch    GPU_mem   box_loss   cls_loss  Instances       Size
        1/2         0G      1.219      1.653        121        640: 100%|███| 8/8 [00:02<00:00]
                 Class     Images  Instances      Box(P          R      mAP50  mAP50-95): 100%|██|
                   all          4         17      0.575       0.85      0.847      0.632

      Epoch    GPU_mem   box_loss   cls_loss  Instances       Size
        2/2         0G      1.119      1.453        111        640: 100%|███| 8/8 [00:02<00:00]
                 Class     Images  Instances      Box(P          R      mAP50  mAP50-95): 100%|██|
                   all          4         17      0.595       0.87      0.857      0.642
               big dog          4          7      0.495       0.77      0.757      0.542
"""


def test_a_table_of_classes_is_not_part_of_the_table_above(read: Read) -> None:
    """The number of instances would be recorded as a loss."""
    found = {
        (name, context, epoch): value for name, context, value, _, epoch, _ in read(ULTRALYTICS)
    }
    assert found == {
        ("box_loss", None, 1): 1.219,
        ("cls_loss", None, 1): 1.653,
        ("box_loss", None, 2): 1.119,
        ("cls_loss", None, 2): 1.453,
        ("precision", "validation", 1): 0.575,
        ("recall", "validation", 1): 0.85,
        ("mAP50", "validation", 1): 0.847,
        ("mAP50-95", "validation", 1): 0.632,
        ("precision", "validation", 2): 0.595,
        ("recall", "validation", 2): 0.87,
        ("mAP50", "validation", 2): 0.857,
        ("mAP50-95", "validation", 2): 0.642,
        ("precision/big dog", "validation", 2): 0.495,
        ("recall/big dog", "validation", 2): 0.77,
        ("mAP50/big dog", "validation", 2): 0.757,
        ("mAP50-95/big dog", "validation", 2): 0.542,
    }


COCO = """
 Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.365
 Average Precision  (AP) @[ IoU=0.50      | area=   all | maxDets=100 ] = 0.565
 Average Precision  (AP) @[ IoU=0.50:0.95 | area= small | maxDets=100 ] = -1.000
 Average Precision  (AP) @[ IoU=0.50:0.95 | area= large | maxDets=100 ] = 0.412
 Average Recall     (AR) @[ IoU=0.50:0.95 | area=   all | maxDets= 10 ] = 0.305
 Average Recall     (AR) @[ IoU=0.50:0.95 | area=medium | maxDets=100 ] = 0.355
"""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            COCO,
            {"AP": 0.365, "AP50": 0.565, "APl": 0.412, "AR10": 0.305, "ARm": 0.355},
        ),
        (
            "\n".join(
                f"[CV {n}/3] END ......C=1, gamma=0.00{n};, score=0.98{n} total time=   0.1s"
                for n in (1, 2, 3)
            ),
            {"score": 0.983},
        ),
        ("Training set score: 0.9868\nTest set score: 0.97\n", {"score": 0.97}),
        ("Coefficient of determination: 0.47\n", {"Coefficient of determination": 0.47}),
    ],
)
def test_summaries_of_an_evaluation_are_read(
    read: Read, text: str, wanted: dict[str, float]
) -> None:
    """The result of an evaluation would be missing, or a setting of it would be a result."""
    assert {name: value for name, _, value, *_ in read(text)} == wanted


def test_the_time_that_a_training_waits_is_no_metric(read: Read) -> None:
    """A chart would show how fast the disk is among the scores of the model."""
    lines = [
        f"Epoch: [0][{n}/9]\tTime 0.{n} ( 0.5)\tData 0.0{n} ( 0.1)\tLoss 6.{n}e+00 (6.5e+00)"
        for n in range(1, 6)
    ]
    assert {name for name, *_ in read("\n".join(lines))} == {"Loss"}


def test_only_whole_words_are_numbers(read: Read) -> None:
    """Half a number would be recorded: 0 of ``0,5``, or 1 of ``1.2.3``."""
    words = ("0,5", "1/2", "1.2.3", "3:25", "12abc", "0x1F", "2026-11-30", "1_000", "1e5x", "--1")
    text = "".join(f"epoch {n} loss {word} end\n" * 3 for n, word in enumerate(words))
    assert read(text) == []


def test_numbers_are_exact(read: Read, run: provml.Run) -> None:
    """A large count would be rounded to a float, or a value that is not finite would be lost."""
    read("step 1 reward 9007199254740993\nstep 2 reward 9007199254740995\n")
    assert provml.load(run.path).series("reward", None).value.tolist() == [
        9007199254740993,
        9007199254740995,
    ]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_blocks_make_no_difference(read: Read, size: int) -> None:
    """What is recorded would depend on how the output arrives."""
    lines, _ = CASES["skorch"]
    text = "".join(lines.format(**values) + "\nstep 1 | loss 0.5\n" for values in ROUNDS)
    found = read(text, size=size)
    assert [sample[:3] for sample in found if sample[0] == "acc"] == [
        ("acc", "validation", values["b"]) for values in ROUNDS
    ]
    assert len(found) == 12


def test_a_users_pattern_comes_first(read: Read) -> None:
    """A line that a pattern describes would be recorded twice, or in another way."""
    text = "".join(f"epoch {number} loss 0.{number} acc 0.5\n" for number in range(1, 4))
    found = read(text + "acc 0.1\nacc 0.2\n", ("epoch {epoch} loss {my loss}",))
    assert {sample[0] for sample in found} == {"my loss", "acc"}
    assert len(found) == 5


def test_ranks_stay_apart(run: provml.Run) -> None:
    """The curves of two ranks that print into one stream would be mixed into one."""
    reader = LineReader(run)
    for number in range(3):
        for rank in range(2):
            reader.feed(b"[rank%d]: step %d | loss 0.%d%d\n" % (rank, number, number, rank))
            reader.feed(b'[default%d]:{"metric": "acc", "value": 0.%d}\n' % (rank, rank))
            reader.feed(b'{"metric": "ppl", "value": %d, "rank": %d}\n' % (number, rank))
    reader.finish()
    run.end_run()
    recorded = provml.load(run.path)
    for rank in range(2):
        losses = recorded.series("loss", None, rank=rank).value.tolist()
        assert losses == [float(f"0.{number}{rank}") for number in range(3)]
        assert recorded.series("acc", None, rank=rank).value.tolist() == [rank / 10] * 3
        assert recorded.series("ppl", None, rank=rank).value.tolist() == [0, 1, 2]


def test_what_the_script_logs_is_not_recorded_again(run: provml.Run) -> None:
    """A loss that a script both logs and prints would be in the run twice."""
    reader = LineReader(run)
    for number in range(3):
        run.log_metric("train/Loss", 0.5, "training", number)
        reader.feed(b"step %d | train loss 0.5 | train acc 0.%d\n" % (number, number))
    reader.feed(b"Test loss: 0.7\n")
    reader.finish()
    run.end_run()
    found = {(name, context) for name, context, *_ in list_samples(run)}
    assert found == {
        ("train/Loss", "training"),
        ("acc", "training"),
        ("loss", "evaluation"),
    }


def test_metrics_after_megabytes_of_other_text(run: provml.Run) -> None:
    """A training that starts after a long download would give no metric."""
    reader = LineReader(run)
    noise = b"".join(b"copied part %d of the archive\n" % number for number in range(40_000))
    for _ in range(20):
        reader.feed(noise)
    reader.feed(b"".join(b"step %d | loss 0.%d\n" % (n, n + 1) for n in range(4000)))
    reader.finish()
    run.end_run()
    assert provml.load(run.path).series("loss", None).step.tolist() == list(range(4000))


def test_output_that_comes_slowly_is_read_in_full(run: provml.Run) -> None:
    """The first epochs after a long download would be lost."""
    reader = LineReader(run)
    noise = b"".join(b"copied part %d of the archive\n" % number for number in range(40_000))
    for second in range(20):
        reader.feed(noise, second * 10**9)
    for number in range(3):
        reader.feed(b"step %d | loss 0.%d\n" % (number, number + 1), (60 + number) * 10**9)
    reader.finish()
    assert reader.recorded == 3
    run.end_run()


@pytest.mark.parametrize(
    "line",
    [
        "loss " * 800,
        "loss: " * 700,
        "1 " * 2000,
        "(" * 4000,
        "[" * 2000 + "1" * 2000,
        "loss=" + "1" * 4000,
        "%|" * 2000,
        "=" * 4000 + "loss 1.5",
        "{'loss': " * 500,
        "| " * 2000,
        "a/" * 2000,
        "loss\t" * 800,
        "0/" * 2000,
        "'" * 4000,
        "\x00loss 0.5" * 300,
    ],
)
def test_odd_lines_do_no_harm(read: Read, line: str) -> None:
    """A line of odd text would stop the reader, or be taken for metrics."""
    found = read(f"{line}\n{line}\n{line}\nstep 1 | acc 0.5\nstep 2 | acc 0.6\n")
    assert [sample[0] for sample in found if sample[0] == "acc"] == ["acc", "acc"]


def test_shapes_take_bounded_memory(run: provml.Run) -> None:
    """A program whose lines are all different would fill the memory."""
    reader = LineReader(run)
    text = "".join(f"name{number} loss 0.5 word{number}x\n" for number in range(2_000)).encode()
    reader.feed(text)
    tracemalloc.start()
    try:
        reader.feed(text.replace(b"name", b"other"))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    reader.finish()
    assert kept < 3 * 2**20


def test_lines_that_gave_nothing_are_named() -> None:
    """A user would not learn which lines need a pattern."""
    suggester = PatternSuggester()
    for number in range(5):
        suggester.feed(b"12:00:0%d energy: -0.%d; magnetization: 0.2%d\n" % ((number,) * 3))
    for number in range(5):
        suggester.feed(b"epoch %d | train loss 0.%d\n" % (number, number))
    suggester.finish()
    (missed,) = suggester.list_missed()
    assert missed.pattern == "energy: {energy}; magnetization: {magnetization}"
    assert missed.lines == 5
    (found,) = suggester.list_found()
    assert found.pattern == "epoch {epoch} | train loss {train loss}"
    assert found.samples == ("loss = 0.0 in training, epoch 0",)


@pytest.mark.parametrize("case", ["nanoGPT", "pytorch/examples mnist", "LightGBM", "flair"])
def test_a_suggested_pattern_reads_the_same_values(read: Read, case: str) -> None:
    """`--suggest` would print a pattern that reads other numbers, or none."""
    lines, records = CASES[case]
    text = "\n".join(lines.format(**values) for values in ROUNDS)
    suggester = PatternSuggester()
    suggester.feed(text.encode())
    suggester.finish()
    (found,) = suggester.list_found()
    assert found.pattern is not None
    wanted = [one[2:4] for values in ROUNDS for one in expected_samples(records, values)]
    own = [one for one in read(text, (found.pattern,)) if one[2:4] in wanted]
    assert len(own) == len(wanted)
