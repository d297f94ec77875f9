#!/usr/bin/env python3
"""The project's commands, for Python 3.11 or later; each makes the environment it needs.

    python3 tasks.py demo          install provml and run its demo
    python3 tasks.py quick [ARG..] the tests that are not slow, such as tests/journal; no lint
    python3 tasks.py test [ARG..]  lint, types, import contracts; tests on the installed wheel
    python3 tasks.py cover [ARG..] the tests that are not slow, with their coverage
    python3 tasks.py frameworks [ARG..]  the tests of the integrations, with all frameworks
    python3 tasks.py soak [ARG..]  the tests that take minutes: many mutations, kills, layouts
    python3 tasks.py bench [NAME]  the benchmarks, each with its ratio and its baseline
    python3 tasks.py docs [ARG..]  the documentation, in build/site; arguments go to mkdocs build
    python3 tasks.py peers [ARG..] the same work by other trackers, each in its own environment
    python3 tasks.py clean         remove what these commands made

Arguments to ``quick`` and ``test`` go to pytest. Uses the standard library alone.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
CONSTRAINTS = ROOT / ".ci" / "constraints.txt"
EXTRAS = "arrow,demo,frames,graph,html,lineage,plot,rdf,ui,validation,xml,zstd"


def main(arguments: list[str]) -> int:
    """Run a command; its exit status."""
    commands = {
        "demo": demo,
        "quick": quick,
        "test": test,
        "cover": cover,
        "frameworks": frameworks,
        "soak": soak,
        "bench": bench,
        "docs": docs,
        "peers": peers,
        "clean": clean,
    }
    if not arguments or arguments[0] not in commands:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        return commands[arguments[0]](arguments[1:])
    except subprocess.CalledProcessError as error:
        return error.returncode


def demo(arguments: list[str]) -> int:
    """Install provml with what the demo needs, and run it."""
    python = environment("demo")
    pip(python, ".[all]")
    return subprocess.call([script(python, "provml"), "demo", *arguments])


def quick(arguments: list[str]) -> int:
    """Run tests on the sources as they are, without those marked ``slow``.

    The first call makes an environment. Later calls install nothing, unless the requirements have
    changed.
    """
    python = environment("quick")
    stamp = python.parent.parent / "requirements.sha256"
    digest = requirements_digest()
    if not stamp.exists() or stamp.read_text() != digest:
        print("installing what the tests need ...", flush=True)
        pip(python, "--editable", f".[{EXTRAS}]", *group("test"))
        stamp.write_text(digest)
    options = ["-q", "-m", "not slow and not soak", "-n", "auto", "--dist", "worksteal", *arguments]
    return subprocess.call([script(python, "pytest"), *options], cwd=ROOT)


def cover(arguments: list[str]) -> int:
    """Run the tests that are not slow, and report the coverage; takes half as long again."""
    return quick(["--cov", "--cov-report=term:skip-covered", *arguments])


def frameworks(arguments: list[str]) -> int:
    """Run the tests of the integrations in an environment that has all frameworks."""
    python = environment("frameworks")
    pip(python, "--editable", f".[{EXTRAS}]", *group("test"), *group("frameworks"))
    options = ["-q", "-p", "no:cacheprovider", "tests/integrations", *arguments]
    return subprocess.call([script(python, "pytest"), *options], cwd=ROOT)


def soak(arguments: list[str]) -> int:
    """Run the tests marked ``soak``, which CI leaves out."""
    return quick(["-m", "soak", *arguments])


def test(arguments: list[str]) -> int:
    """Check the sources, build the wheel, install it, run the tests on it."""
    python = environment("test")
    pip(python, *group("lint"), *group("test"), "build>=1.2")
    install_wheel(python)
    run(script(python, "ruff"), "check", ".")
    run(script(python, "ruff"), "format", "--check", ".")
    run(script(python, "mypy"))
    run(script(python, "lint-imports"), environment={"PYTHONPATH": str(ROOT)})
    # a checkout beside the tests must not stand in for the installed package
    safe = {**os.environ, "PYTHONSAFEPATH": "1"}
    options = arguments or ["-n", "auto", "--dist", "worksteal"]
    return subprocess.call([script(python, "pytest"), *options], cwd=ROOT, env=safe)


def bench(arguments: list[str]) -> int:
    """Run the benchmarks on the installed wheel."""
    python = environment("bench")
    pip(python, "build>=1.2")
    install_wheel(python)
    folder = ROOT / "tests" / "benchmarks"
    names = arguments or sorted(path.stem for path in folder.glob("bench_*.py"))
    for name in names:
        stem = name if name.startswith("bench_") else f"bench_{name}"
        run(str(python), "-P", str(folder / f"{stem}.py"))
    return 0


def docs(arguments: list[str]) -> int:
    """Build the documentation; a broken link or reference fails."""
    python = environment("docs")
    pip(python, ".", *group("docs"))
    command = [script(python, "mkdocs"), "build", "--strict", *arguments]
    return subprocess.call(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})


def peers(arguments: list[str]) -> int:
    """Compare with other trackers."""
    python = environment("bench")
    peers_script = ROOT / "tests" / "benchmarks" / "peers.py"
    return subprocess.call([str(python), str(peers_script), "--provml", str(ROOT), *arguments])


def clean(arguments: list[str]) -> int:
    """Remove environments, builds and caches."""
    for pattern in (".venv-*", "build", "dist", ".mypy_cache", ".ruff_cache", ".pytest_cache"):
        for path in ROOT.glob(pattern):
            shutil.rmtree(path)
    return 0


def environment(name: str) -> Path:
    """The Python of the virtual environment of that name, made where it is not there."""
    folder = ROOT / f".venv-{name}"
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"making {folder.name} ...", flush=True)
        venv.create(folder, with_pip=True)
    return python


def requirements_digest() -> str:
    """A digest of all that decides what an environment holds."""
    digest = hashlib.sha256(f"{sys.version} {EXTRAS}".encode())
    for path in (ROOT / "pyproject.toml", CONSTRAINTS):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def group(name: str) -> list[str]:
    """The requirements of a dependency group of pyproject.toml."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        requirements: list[str] = tomllib.load(file)["dependency-groups"][name]
    return requirements


def pip(python: Path, *requirements: str) -> None:
    """Install requirements within the constraints that development uses."""
    options = ["--quiet", "--disable-pip-version-check", "--constraint", str(CONSTRAINTS)]
    run(str(python), "-m", "pip", "install", *options, *requirements)


def install_wheel(python: Path) -> None:
    """Build the wheel afresh and install it with its extras."""
    wheels = ROOT / "dist"
    shutil.rmtree(wheels, ignore_errors=True)
    run(str(python), "-m", "build", "--wheel", "--outdir", str(wheels), stdout=subprocess.DEVNULL)
    (wheel,) = wheels.glob("*.whl")
    pip(python, f"{wheel}[{EXTRAS}]")
    again = ["--force-reinstall", "--no-deps"]  # the same version may stand for newer sources
    pip(python, *again, str(wheel))


def script(python: Path, name: str) -> str:
    """An environment's command."""
    return str(python.parent / name)


def run(
    *command: str, environment: dict[str, str] | None = None, stdout: int | None = None
) -> None:
    """Run a command in the project's folder. Raises CalledProcessError."""
    own = {**os.environ, **(environment or {})}
    subprocess.run(command, cwd=ROOT, env=own, check=True, stdout=stdout)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
