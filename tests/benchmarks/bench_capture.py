"""What `provml run` costs: how fast output passes, what the start and the end of a command take.

    python tests/benchmarks/bench_capture.py [--quick]

The baseline of passing output is ``cat`` in the same place: the same producer, the same kind of
pipe, the same end, in turns. The producer says how long its writing took, so that the start of the
processes is not in it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

RUN = [sys.executable, "-m", "provml", "run"]

# writes blocks as fast as they are taken, then tells how long that took and how much it was
BLOCKS = """
import os, sys, time
block = bytes(os.read(0, 2**24))
blocks = int(sys.argv[1])
start = time.perf_counter()
for _ in range(blocks):
    view = memoryview(block)
    while view:
        view = view[os.write(1, view):]
open(sys.argv[2], "w").write(f"{time.perf_counter() - start} {blocks * len(block)}")
"""

# prints lines as scripts do
PRINTS = """
import sys, time
start = time.perf_counter()
for step in range(int(sys.argv[1])):
    print("epoch", step, "of", 100, "done")
sys.stdout.flush()
open(sys.argv[2], "w").write(f"{time.perf_counter() - start} {int(sys.argv[1])}")
"""

TEXT = b"".join(b"step %d of 100000: reading shard %d\n" % (n, n % 64) for n in range(3000))
JSON = b"".join(b'{"metric": "loss", "value": 0.%d, "step": %d}\n' % (n, n) for n in range(2000))


class Bench:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "PROVML_STORE": str(folder / "store")}
        self.environment.pop("PYTHONUNBUFFERED", None)  # it would make a write of every word

    def rate(self, around: Sequence[str], program: str, count: int, content: bytes) -> float:
        """How much a second the producer could write, by its own clock."""
        said = self.folder / "said"
        script = self.folder / "producer.py"
        script.write_text(program)
        (self.folder / "content").write_bytes(content)
        producer = [sys.executable, str(script), str(count), str(said)]
        with open(self.folder / "content", "rb") as given, open(os.devnull, "wb") as end:
            if around:
                subprocess.run(
                    [*around, "--", *producer],
                    stdin=given,
                    stdout=end,
                    env=self.environment,
                    check=True,
                )
            else:
                first = subprocess.Popen(
                    producer, stdin=given, stdout=subprocess.PIPE, env=self.environment
                )
                with first:
                    subprocess.run(["cat"], stdin=first.stdout, stdout=end, check=True)
        seconds, amount = map(float, said.read_text().split())
        return amount / seconds

    def passing(
        self, name: str, program: str, count: int, content: bytes, rounds: int, unit: str
    ) -> None:
        options = [*RUN, "--formats", "", "--sample-interval", "0"]
        bare, ours, unread = [], [], []
        for _ in range(rounds):
            bare.append(self.rate((), program, count, content))
            ours.append(self.rate(options, program, count, content))
            unread.append(self.rate([*options, "--output-limit", "0"], program, count, content))
        cat, own, no_file = map(statistics.median, (bare, ours, unread))
        print(
            f"{name:28} {own / 1e6:8.2f} {unit}, cat {cat / 1e6:8.2f}   "
            f"{100 * own / cat:4.0f} % (budget 90 %); nothing kept {100 * no_file / cat:4.0f} %"
        )

    def start_and_end(self, rounds: int) -> None:
        """`provml run -- true` beside ``true``, and until the command is started."""
        bare, whole, started = [], [], []
        for _ in range(rounds):
            for words, times in ((["true"], bare), ([*RUN, "--", "true"], whole)):
                begin = time.perf_counter()
                subprocess.run(words, env=self.environment, check=True)
                times.append(time.perf_counter() - begin)
            begin_ns = time.time_ns()
            done = subprocess.run(
                [*RUN, "--", "date", "+%s%N"], env=self.environment, check=True, capture_output=True
            )
            started.append((int(done.stdout) - begin_ns) / 1e9)
        print(
            f"provml run -- true           {statistics.median(whole) * 1e3:8.0f} ms, "
            f"true alone {statistics.median(bare) * 1e3:.0f} ms; "
            f"the command starts after {statistics.median(started) * 1e3:.0f} ms (no budget)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        rounds, scale = (1, 100) if quick else (3, 1)
        lines = 10_000_000 // scale
        bench.passing(
            "print(), 10 million lines", PRINTS, lines, b"", 1 if quick else 3, "million lines/s"
        )
        bench.passing("text in large writes", BLOCKS, 10_000 // scale, TEXT, rounds, "MB/s")
        bench.passing("JSON lines that are metrics", BLOCKS, 10, JSON, rounds, "MB/s")
        bench.start_and_end(rounds)


if __name__ == "__main__":
    main()
