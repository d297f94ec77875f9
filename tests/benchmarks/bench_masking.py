"""What masking the secrets in text costs, beside one pass of a simple regular expression.

    python tests/benchmarks/bench_masking.py [--quick]

The baseline replaces each run of digits by one `re.sub` with a compiled pattern. Baseline and
subject take turns; the figures are of the fastest round. Times are the processor's.
"""

from __future__ import annotations

import argparse
import base64
import random
import re
from collections.abc import Callable
from pathlib import Path
from time import process_time

from provml.collect.secrets import mask_bytes, mask_text

DIGITS = re.compile(rb"[0-9]+")
GENERATOR = random.Random(7)
PACKAGES = ("torch", "numpy", "scikit-learn", "nvidia-cublas-cu12", "typing_extensions")


def repeat(line: Callable[[int], str], size: int) -> bytes:
    """As many lines as make so many bytes."""
    lines, length, number = [], 0, 0
    while length < size:
        lines.append(line(number).encode())
        length += len(lines[-1])
        number += 1
    return b"".join(lines)[:size]


def log_line(number: int) -> str:
    """A line of a training log."""
    return (
        f"2026-01-01 10:00:{number % 60:02d},123 [INFO] epoch {number // 100} step {number} "
        f"loss={GENERATOR.random():.4f} lr=3.00e-04 tokens/s={number % 9999}\n"
    )


def json_line(number: int) -> str:
    """A line of a log in JSON."""
    return (
        f'{{"time": "2026-01-01T10:00:00", "level": "INFO", "step": {number}, '
        f'"loss": {GENERATOR.random()}, "file": "train.py", "msg": "finished batch"}}\n'
    )


def pip_lines(number: int) -> str:
    """What pip prints for a package."""
    name, version = PACKAGES[number % len(PACKAGES)], f"{number % 9}.{number % 20}.1"
    return (
        f"Collecting {name}>={version}\n  Downloading {name}-{version}-cp311-cp311-manylinux_2_17_"
        f"x86_64.whl (1.5 MB)\nRequirement already satisfied: {name} in ./lib/python3.11 (from x)\n"
    )


def traceback_lines(number: int) -> str:
    """A frame of a traceback."""
    return (
        f'  File "/opt/env/lib/site-packages/torch/nn/modules/module.py", line {number}, '
        "in _call_impl\n    return forward_call(*args, **kwargs)\n"
    )


def diff_line(number: int) -> str:
    """A line of a unified diff."""
    return f"{'+- '[number % 3]}        self.layer_{number % 9} = build_layer(size, bias=False)\n"


def russian_line(number: int) -> str:
    """A line of text that is not ASCII."""
    return f"эпоха {number} потери {GENERATOR.random():.4f} точность для обучения модели\n"


def assignment_line(number: int) -> str:
    """A line in which every word is a name and a secret."""
    return f"password=a{number}b token={GENERATOR.getrandbits(64):x}z key: x\n"


def build_texts(size: int) -> dict[str, bytes]:
    """The texts, keyed by what they are."""
    source = Path(argparse.__file__).read_bytes()
    lines = base64.encodebytes(GENERATOR.randbytes(size * 3 // 4))
    return {
        "a training log": repeat(log_line, size),
        "a log in JSON": repeat(json_line, size),
        "source code": (source * (size // len(source) + 1))[:size],
        "pip's output": repeat(pip_lines, size),
        "tracebacks": repeat(traceback_lines, size),
        "a unified diff": repeat(diff_line, size),
        "base64": lines[:size],
        "Russian text": repeat(russian_line, size),
        "only names and secrets": repeat(assignment_line, size // 4),
    }


def time_rounds(functions: list[Callable[[], object]], rounds: int) -> list[float]:
    """The time of the fastest call of each function; the functions take turns."""
    best = [float("inf")] * len(functions)
    for _ in range(rounds):
        for number, function in enumerate(functions):
            start = process_time()
            function()
            best[number] = min(best[number], process_time() - start)
    return best


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    quick = parser.parse_args().quick
    for name, text in build_texts(2**14 if quick else 2**20).items():
        short = [text[start : start + 300] for start in range(0, min(len(text), 60_000), 300)]
        as_text = text.decode("utf-8", "replace")
        mask_bytes(text)
        base, masked, decoded, pieces = time_rounds(
            [
                lambda text=text: DIGITS.sub(b"0", text),
                lambda text=text: mask_bytes(text),
                lambda as_text=as_text: mask_text(as_text),
                lambda short=short: [mask_bytes(one) for one in short],
            ],
            rounds=1 if quick else 7,
        )
        budget = "" if name.startswith("only") else "  (budget 50 MB/s)"
        print(
            f"{name:24s} {len(text) / masked / 1e6:5.0f} MB/s, {masked / base:4.1f} times re.sub; "
            f"as str {len(text) / decoded / 1e6:4.0f} MB/s; "
            f"300 bytes {pieces / len(short) * 1e6:5.1f} us{budget}"
        )


if __name__ == "__main__":
    main()
