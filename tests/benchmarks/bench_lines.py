"""What reading metrics out of text costs, beside what passes the same bytes on unread.

    python tests/benchmarks/bench_lines.py [--quick]

Blocks of 64 KiB, as a pipe has them. The baseline of text is reading the same bytes from a file,
of metrics `json.loads` of each line, of a printed line the print itself. Baseline and subject take
turns; the ratio is of their medians. Times are the processor's, of this process.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time

import provml
from provml.capture.lines import LineReader

BLOCK = 2**16
PATTERN = "epoch {epoch} loss {loss}"

COUNTING = b"".join(b"line %d of a loop that counts\n" % number for number in range(2000))
LOG = b"".join(
    b"2026-01-01 10:00:%02d,123 [INFO] worker %d: loaded shard %d of 240 (12 files), took 0.23 s\n"
    % (number % 60, number % 7, number)
    for number in range(2000)
)
JSON_LOG = b"".join(
    b'{"time": "2026-01-01T10:00:00", "level": "ERROR", "shard": %d, "text": "Epoch of files"}\n'
    % number
    for number in range(2000)
)
METRICS = b"".join(
    b'{"metric": "loss", "value": %.6f, "step": %d}\n' % (1 / (number + 1), number)
    for number in range(2000)
)
BAR = b"".join(
    b"\b" * 80
    + b"\r%4d/2000 [=====>.....] - ETA: 9s - loss: %.4f - accuracy: 0.9000" % (number, 1 / number)
    for number in range(1, 2000)
)
SHAPES = b"".join(b"step %d | loss %.6f\n" % (n, 1 / (n + 1)) for n in range(2000))
EPOCHS = b"".join(b"epoch %d loss %.6f\n" % (number, 1 / (number + 1)) for number in range(2000))


def seconds(function: Callable[[], object]) -> float:
    """The time of a call."""
    start = process_time()
    function()
    return process_time() - start


def blocks(text: bytes, size: int) -> list[bytes]:
    """So many bytes of a repeated text, in blocks."""
    whole = text * (size // len(text) + 1)
    return [whole[start : start + BLOCK] for start in range(0, size, BLOCK)]


def read_file(path: Path) -> None:
    """Pass a file's bytes on unread."""
    fd = os.open(path, os.O_RDONLY)
    while os.read(fd, BLOCK):
        pass
    os.close(fd)


def feed(reader: LineReader, data: list[bytes]) -> None:
    """Read blocks."""
    for block in data:
        reader.feed(block)


def text(run: provml.Run, folder: Path, size: int, rounds: int) -> None:
    """Text without metrics, beside reading it from a file in the page cache."""
    for name, sample in (
        ("lines that count", COUNTING),
        ("a log with times and levels", LOG),
        ("a log in JSON", JSON_LOG),
    ):
        data = blocks(sample, size)
        path = folder / "text"
        path.write_bytes(b"".join(data))
        reader, found = LineReader(run), LineReader(run, [PATTERN])
        base, plain, matched = [], [], []
        for _ in range(rounds):
            base.append(seconds(lambda path=path: read_file(path)))
            plain.append(seconds(lambda reader=reader, data=data: feed(reader, data)))
            some = data[: max(1, len(data) // 16)]
            matched.append(seconds(lambda found=found, some=some: feed(found, some)))
        rate = [size / statistics.median(times) / 1e9 for times in (base, plain)]
        slow = sum(map(len, some)) / statistics.median(matched) / 1e6
        print(
            f"{name:28s} {rate[1]:6.2f} GB/s, reading the file {rate[0]:.2f} GB/s: "
            f"{rate[0] / rate[1]:.1f} times its time more  (budget 1.5 GB/s); with a pattern "
            f"{slow:.0f} MB/s"
        )


def metrics(run: provml.Run, size: int, rounds: int) -> None:
    """Lines that say a metric, beside `json.loads` of as many JSON lines."""
    lines = METRICS.splitlines()
    decode = statistics.median(
        seconds(lambda: [json.loads(line) for line in lines]) / len(lines) for _ in range(rounds)
    )
    for name, sample, patterns in (
        ("JSON lines", METRICS, ()),
        ("states of a Keras bar", BAR, ()),
        ("lines by a pattern", EPOCHS, (PATTERN,)),
        ("lines of any shape", SHAPES, ()),
    ):
        reader = LineReader(run, patterns)
        data = blocks(sample, size)
        count = size / (len(sample) / 2000)
        each = statistics.median(
            seconds(lambda reader=reader, data=data: feed(reader, data)) for _ in range(rounds)
        )
        print(
            f"{name:28s} {each / count * 1e6:6.2f} us a line, {each / count / decode:.1f} times "
            "json.loads of a JSON line"
        )


def printed(run: provml.Run, lines: int, rounds: int) -> None:
    """`print` to a file, in `capture_output` and without."""

    def loop() -> None:
        for number in range(lines):
            print("line", number, "of a loop that counts")

    times: list[list[float]] = [[], []]
    with open(os.devnull, "w") as sink, contextlib.redirect_stdout(io.TextIOWrapper(sink.buffer)):
        for _ in range(rounds):
            times[0].append(seconds(loop))
            with provml.capture_output(run, stderr=False):
                times[1].append(seconds(loop))
    bare, captured = (statistics.median(each) / lines * 1e6 for each in times)
    print(
        f"{'print of five pieces':28s} {captured:6.2f} us in capture_output, {bare:.2f} us without"
    )


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    quick = parser.parse_args().quick
    with (
        tempfile.TemporaryDirectory() as folder,
        provml.start_run("bench", store=folder, formats=(), sample_interval_s=0) as run,
    ):
        text(run, Path(folder), 2**20 if quick else 2**28, rounds=1 if quick else 7)
        metrics(run, 2**18 if quick else 2**22, rounds=1 if quick else 5)
        printed(run, 200 if quick else 50_000, rounds=1 if quick else 7)


if __name__ == "__main__":
    main()
