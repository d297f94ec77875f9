"""What judging by PROV-CONSTRAINTS costs: time and memory by size, and documents made to be hard.

    python tests/benchmarks/bench_validate.py [--quick]

Each figure is of a process that does nothing else: processor time, and peak resident set (VmHWM).
Beside it stands `unified()` of the ``prov`` library on the same document, which merges what has
the same identifier and checks no more.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import provml

TRAINING = provml.Context.TRAINING

JUDGE = """
import json, pathlib, re, sys, time
from provml import validate
start = time.process_time()
report = validate(sys.argv[1], schema=False, shapes=False, max_bytes=2**34)
seconds = time.process_time() - start
peak = re.search("VmHWM:\\\\s+(\\\\d+)", pathlib.Path("/proc/self/status").read_text())[1]
found = len(report.findings) + report.further
print(json.dumps({"seconds": seconds, "memory_mb": int(peak) / 1024, "findings": found}))
"""

UNIFIED = """
import json, pathlib, re, sys, time
from prov.model import ProvDocument
start = time.process_time()
ProvDocument.deserialize(sys.argv[1]).unified()
seconds = time.process_time() - start
peak = re.search("VmHWM:\\\\s+(\\\\d+)", pathlib.Path("/proc/self/status").read_text())[1]
print(json.dumps({"seconds": seconds, "memory_mb": int(peak) / 1024}))
"""


def measured(code: str, argument: Path) -> dict[str, float]:
    """What a process of its own says."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(argument)],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def make_run(store: Path, samples: int) -> provml.RecordedRun:
    """A run of two series, a step for two samples."""
    with provml.start_run("bench", store=store, formats=()) as run:
        for step in range(samples // 2):
            run.log_metric("loss", step * 0.1, TRAINING, step)
            run.log_metric("accuracy", step * 0.1, TRAINING, step)
    return provml.load(run.path)


def growth(store: Path, sizes: list[int], beside: int) -> None:
    """Time and memory by the number of metrics, from the journal and from PROV-JSON."""
    for samples in sizes:
        recorded = make_run(store, samples)
        path = store / f"{samples}.json"
        recorded.export("provjson", path, "sample")
        content = json.loads(path.read_bytes())
        statements = sum(len(v) for k, v in content.items() if k not in ("prefix", "bundle"))
        for name, source in (("run", recorded.path), ("PROV-JSON", path)):
            found = measured(JUDGE, source)
            assert not found["findings"]
            print(
                f"{name:<10} {samples:>9,} metrics {statements:>9,} statements"
                f" {found['seconds']:7.2f} s CPU {found['memory_mb']:6.0f} MB"
                f" {found['seconds'] / statements * 1e6:6.1f} us a statement"
                "  (budget: 100,000 metrics in 20 s and 2 GB)"
            )
        if samples == beside:
            found = measured(UNIFIED, path)
            print(
                f"{'unified()':<10} {samples:>9,} metrics {statements:>9,} statements"
                f" {found['seconds']:7.2f} s CPU {found['memory_mb']:6.0f} MB"
                f" {found['seconds'] / statements * 1e6:6.1f} us a statement"
                "  (the prov library, which merges only)"
            )


def hostile(folder: Path, size: int) -> None:
    """Documents made to be hard; each has to end."""
    names = [f"ex:{n}" for n in range(size)]
    entities: dict[str, object] = {name: {} for name in names}

    def derived(pairs: list[tuple[str, str]]) -> dict[str, object]:
        return {
            f"_:d{n}": {"prov:generatedEntity": new, "prov:usedEntity": old}
            for n, (new, old) in enumerate(pairs)
        }

    around = [*names[1:], names[0]]
    chain = {
        f"_:s{n}": {"prov:specificEntity": one, "prov:generalEntity": other}
        for n, (one, other) in enumerate(zip(names[1:], names, strict=False))
    }
    everyone = [{"prov:activity": "ex:a", "prov:entity": name} for name in names]
    documents: dict[str, dict[str, object]] = {
        "derived from each other, in pairs": {
            "entity": entities,
            "wasDerivedFrom": derived(
                [(names[n], names[n ^ 1]) for n in range(size - size % 2)],
            ),
        },
        "derived in a ring": {
            "entity": entities,
            "wasDerivedFrom": derived(list(zip(names, around, strict=True))),
        },
        "a chain of specializations": {"entity": {"ex:0": {}}, "specializationOf": chain},
        "relations of one identifier": {"used": {"ex:u": everyone}},
        "usages of one entity": {
            "used": {
                f"_:u{n}": {"prov:activity": name, "prov:entity": "ex:e"}
                for n, name in enumerate(names)
            }
        },
    }
    for name, content in documents.items():
        path = folder / "hostile.json"
        path.write_text(json.dumps({"prefix": {"ex": "https://example.org/"}, **content}))
        found = measured(JUDGE, path)
        print(
            f"{size:>9,} {name:<36} {found['seconds']:7.2f} s CPU {found['memory_mb']:6.0f} MB"
            f" {found['findings']:>9,} findings"
        )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Small sizes, to see that it works.")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        sizes = [500] if quick else [2_500, 25_000, 100_000, 250_000]
        growth(Path(folder), sizes, sizes[0] if quick else 25_000)
        for size in [100] if quick else [10_000, 100_000, 1_000_000]:
            hostile(Path(folder), size)


if __name__ == "__main__":
    main()
