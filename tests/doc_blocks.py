"""Find and run the code blocks of Markdown pages, and rewrite the output that they show.

Blocks of a page run from top to bottom in one folder, which begins as a copy of the store that
``docs/story/`` records:

A page that says ``<!-- begins in an empty folder -->`` has no such store.

- A block with ``title="train.py"``, of any language, is written to that file.
- ``python``: executed; the blocks of a page share their names.
- ``sh`` and ``console``: each command is run. In ``console`` a command begins with ``$ ``, and the
  lines below it are its output.
- ``text`` below ``<!-- output -->``: what the Python block above it printed.

``<!-- not run: REASON -->`` above a block keeps it from being run; the names and options of the
provml commands in it are checked all the same. ``<!-- exit 1 -->`` above a block says that its
commands leave with that status. A line ``--8<-- "PATH"`` stands for the file's content.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import re
import shlex
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from waiting import LIMIT_S

from provml.cli import execute, program

ROOT = Path(__file__).resolve().parent.parent
STORY = ROOT / "docs" / "story"
EMPTY = "<!-- begins in an empty folder -->"
SHELL = ("sh", "console", "bash", "shell")

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[\w-]+)(?P<attributes>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_COMMENT = re.compile(r"<!-- ((?:(?!-->).)*) -->\s*\Z", re.DOTALL)
_INCLUDE = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\r")
_OPERATORS = ("|", "||", "&&", ";", "&")
_FORKS = re.compile(r"^provml (run|demo|query)|[|&;><*]")
_RUN_ID = re.compile(r"\b\d{8}T\d{6}-[a-z0-9]{8}\b")
_WIDTH = 100


@dataclass
class Command:
    """One command of a shell block and the output that the page shows for it."""

    line: str
    shown: list[str] = field(default_factory=list)


@dataclass
class Block:
    """One fenced block of a page.

    Attributes:
        line: where it begins, counted from 1.
        reason: why it can't be run; None if it can.
        start: where its code begins in the page's text.
    """

    path: Path
    line: int
    language: str
    title: str | None
    code: str
    reason: str | None
    is_output: bool
    status: int
    start: int
    end: int
    indent: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"

    @property
    def commands(self) -> list[Command]:
        """The commands of a shell block, continued lines joined."""
        found: list[Command] = []
        lines = iter(self.code.splitlines())
        for line in lines:
            prompt = "$ " if self.language == "console" else ""
            if not line.startswith(prompt) or not line.strip() or line.startswith("#"):
                if self.language == "console" and found:
                    found[-1].shown.append(line)
                continue
            text = line.removeprefix(prompt)
            while text.endswith("\\"):
                text = text[:-1] + next(lines).strip()
            found.append(Command(text))
        return found


def pages() -> list[Path]:
    """The README and every page of the documentation."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def find_blocks(path: Path) -> list[Block]:
    """Return the fenced blocks of a page that name a language."""
    text = path.read_text(encoding="utf-8")
    return [_read_block(path, text, match) for match in _FENCE.finditer(text)]


def _read_block(path: Path, text: str, match: re.Match[str]) -> Block:
    before = text[: match.start()]
    comment = _COMMENT.search(before)
    told = comment[1] if comment else ""
    title = re.search(r'title="([^"]+)"', match["attributes"])
    indent = match["indent"]
    code = re.sub(rf"^{indent}", "", match["code"], flags=re.MULTILINE)
    return Block(
        path=path,
        line=before.count("\n") + 1,
        language=match["language"],
        title=title[1] if title else None,
        code=_INCLUDE.sub(lambda m: (ROOT / m[1]).read_text("utf-8").rstrip("\n"), code),
        reason=told.removeprefix("not run: ") if told.startswith("not run: ") else None,
        is_output=told == "output",
        status=int(told.removeprefix("exit ")) if told.startswith("exit ") else 0,
        start=match.start("code"),
        end=match.end("code"),
        indent=indent,
    )


def provml_calls(line: str) -> Iterator[list[str]]:
    """Yield the arguments of each call of provml in a command line."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word not in _OPERATORS:
            words.append(word)
            continue
        if words[:1] == ["provml"]:
            yield words[1:]
        words = []


def check_call(arguments: list[str]) -> None:
    """Raise click.UsageError if a command or an option does not exist."""
    name, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if name.startswith("-"):
        return
    command = program.get_command(click.Context(program), name)
    if command is None:
        raise click.UsageError(f"there is no command {name!r}")
    rest = rest[: next((i for i, word in enumerate(rest) if word in (">", "2>", "<")), len(rest))]
    context = click.Context(command, info_name=name, **command.context_settings)
    command.make_parser(context).parse_args(rest)


def record_story(folder: Path) -> None:
    """Record the runs of the tutorials in their order: the evaluation is run twice."""
    for script in STORY.glob("*.py"):
        shutil.copy(script, folder)
    first = [["prepare.py"], ["train.py", "0.1"], ["evaluate.py"]]
    second = [["train.py", "0.01"], ["train.py", "1.0"], ["evaluate.py"]]
    for call in [*first, *second]:
        subprocess.run(
            [sys.executable, *call], cwd=folder, check=True, env=environment(), timeout=LIMIT_S
        )


def environment() -> dict[str, str]:
    """The environment of commands: this Python's commands are on the PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    quiet = {
        "NO_COLOR": "1",
        "TERM": "xterm",
        "LOGNAME": "ada",
        "COLUMNS": str(_WIDTH),
        "PYTHONSAFEPATH": "",
    }
    found = {**os.environ, **quiet, "PATH": path}
    found.pop("PROVML_CODE", None)  # the pages show what a user sees
    return found


class Page:
    """A page whose blocks are run, in the current folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.needs_store = EMPTY not in path.read_text(encoding="utf-8")
        self.blocks = find_blocks(path)
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._printed = ""

    def run(self) -> Iterator[tuple[Block, list[str]]]:
        """Run each block; yield those that show output, with what they really print."""
        for block in self.blocks:
            if block.is_output:
                yield block, [self._printed]
            elif block.reason is not None:
                continue
            elif block.title is not None:
                Path(block.title).write_text(block.code, encoding="utf-8")
            elif block.language == "python":
                self._run_python(block)
            elif block.language in SHELL:
                outputs = [self._run_command(block, command) for command in block.commands]
                if any(command.shown for command in block.commands):
                    yield block, outputs

    def _run_python(self, block: Block) -> None:
        printed = io.StringIO()
        # tracebacks show the page's line
        code = compile("\n" * block.line + block.code, str(block.path), "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, self._names)
        self._printed = printed.getvalue()

    def _run_command(self, block: Block, command: Command) -> str:
        if not command.shown and self._is_plain(command.line):
            (arguments,) = provml_calls(command.line)
            output = io.StringIO()
            output.buffer = binary = io.BytesIO()  # type: ignore[misc]
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                status = execute(arguments)
            text = output.getvalue() + binary.getvalue().decode(errors="replace")
        else:
            status, text = run_on_terminal(command.line)
        assert status == block.status, f"{block}: {command.line}: exit status {status}\n{text}"
        return text

    @staticmethod
    def _is_plain(line: str) -> bool:
        """Whether a line is one call of provml that can run in this process: none that forks."""
        return line.startswith("provml ") and not re.search(
            r"[|&;><*]|^provml (run|demo|query)", line
        )


def run_on_terminal(line: str) -> tuple[int, str]:
    """Run a command line on a terminal of its own; return its exit status and its output."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, _WIDTH, 0, 0))
    try:
        process = subprocess.Popen(
            ["bash", "-c", line], stdin=theirs, stdout=theirs, stderr=theirs, env=environment()
        )
    finally:
        os.close(theirs)
    pieces = []
    with open(ours, "rb", buffering=0) as terminal:
        while True:
            try:
                piece = terminal.read(65536)
            except OSError:  # EIO: the command has closed the terminal
                break
            if not piece:
                break
            pieces.append(piece)
    text = _ESCAPES.sub("", b"".join(pieces).decode("utf-8", "replace"))
    status = process.wait()
    if status < 0:  # bash became the command, which died of a signal
        status = 128 - status
    return status, "\n".join(line.rstrip() for line in text.splitlines())


def missing_words(shown: str, actual: str) -> list[str]:
    """Return the words that a page shows and the command did not print.

    Only words of four letters or more are compared: numbers, times, ids and digests differ from
    run to run.
    """
    text = _RUN_ID.sub("", shown)
    return [word for word in re.findall(r"\b[A-Za-z]{4,}\b", text) if word not in actual]


def rewrite_output(path: Path) -> bool:
    """Run a page and put what its commands print into it; return whether the page changed.

    Output with the same words in as many lines is left as it is: times and ids always differ.
    """
    text = path.read_text(encoding="utf-8")
    changes = []
    for block, outputs in Page(path).run():
        shown = [block.code] if block.is_output else ["\n".join(c.shown) for c in block.commands]
        if all(_same_words(*pair) for pair in zip(shown, outputs, strict=True)):
            continue
        if block.is_output:
            code = outputs[0].rstrip() + "\n"
        else:
            lines = []
            for command, output in zip(block.commands, outputs, strict=True):
                prompted = re.search(
                    r"^\$ .*?(?<!\\)$", _from(block, command), re.MULTILINE | re.DOTALL
                )
                lines.append(prompted[0] if prompted else f"$ {command.line}")
                if command.shown:
                    lines += [*_shortened(output, command.shown), ""]
            code = "\n".join(lines).rstrip() + "\n"
        changes.append((block, "".join(f"{block.indent}{line}\n" for line in code.splitlines())))
    new = text
    for block, code in reversed(changes):
        new = new[: block.start] + re.sub(r"[ ]+$", "", code, flags=re.M) + new[block.end :]
    path.write_text(new, encoding="utf-8")
    return new != text


def _same_words(shown: str, output: str) -> bool:
    if missing_words(shown, output):
        return False
    if not shown or shown.rstrip().endswith("\n..."):
        return True
    same_length = len(shown.strip().splitlines()) == len(output.strip().splitlines())
    return same_length and not missing_words(anonymize(output), shown)


def _from(block: Block, command: Command) -> str:
    """The block's text from a command on."""
    head = "$ " + command.line[:20]
    return block.code[block.code.index(head) :] if head in block.code else ""


def _shortened(output: str, shown: list[str]) -> list[str]:
    """The output, cut where the page cut it: a last line ``...`` keeps the number of lines."""
    lines = [anonymize(line) for line in output.strip("\n").splitlines()]
    kept = [line for line in shown if line.strip()]
    if kept and kept[-1] == "..." and len(lines) >= len(shown):
        cut = max(i for i, line in enumerate(shown) if line == "...")
        lines = [*lines[:cut], "..."]
    return lines


def anonymize(line: str) -> str:
    """Return output without this machine's paths."""
    commands = f"{Path(sys.executable).parent}{os.sep}"
    line = line.replace(sys.executable, "python").replace(commands, "")
    return line.replace(os.getcwd(), "/home/ada/work")
