"""Records the arguments that a script reads with argparse, including those of sub-commands.

`ArgumentParser.parse_args` calls `parse_known_args`, so one hook covers both. It also covers
parsers that are based on argparse, such as ``transformers.HfArgumentParser``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from provml.capture.arguments.recorded_settings import is_for_the_script, record_settings
from provml.capture.recorded_calls import RecordedCalls

if TYPE_CHECKING:
    import argparse

name: Final = "argparse"
modules: Final = ("argparse",)
_PARSERS_ON_TOP: Final = ("argparse", "transformers.hf_argparser", "configargparse")


def patch(module: ModuleType, calls: RecordedCalls) -> None:
    """Wrap ``ArgumentParser.parse_known_args``, so that the parsed arguments are recorded."""
    calls.record(module.ArgumentParser, "parse_known_args", _parsed)


def _parsed(
    result: tuple[argparse.Namespace, list[str]],
    parser: argparse.ArgumentParser,
    args: Sequence[str] | None = None,
    namespace: object = None,
    **_: Any,
) -> None:
    if type(parser).__module__.partition(".")[0] in ("jsonargparse", "tyro"):
        return  # these libraries have their own hooks
    if not is_for_the_script(_PARSERS_ON_TOP, has_own_arguments=args is not None):
        return
    words = sys.argv[1:] if args is None else list(args)
    values = vars(result[0])
    given = _find_given(parser, words, values)
    record_settings(name, values, given, {"program": parser.prog})


def _find_given(
    parser: argparse.ArgumentParser, words: Sequence[str], values: dict[str, Any]
) -> set[str]:
    """Return the names of the arguments given on the command line.

    An argument whose value differs from its default also counts as given.
    """
    given = set()
    for action in getattr(parser, "_actions", ()):
        if type(action).__name__ == "_SubParsersAction":
            chosen = next((word for word in words if word in action.choices), None)
            if chosen is not None:
                given.add(action.dest)
                given |= _find_given(action.choices[chosen], words, values)
        elif any(_names_option(word, action.option_strings) for word in words):
            given.add(action.dest)
        if action.dest in values and not _is_default(values[action.dest], action.default):
            given.add(action.dest)
    return given


def _names_option(word: str, options: Sequence[str]) -> bool:
    """Return whether a word of the command line sets one of the options.

    For example, ``--lr`` and ``--lr=1`` set ``--lr``, and ``-l1`` sets ``-l``.
    """
    if not word.startswith("-"):
        return False
    own = word.partition("=")[0]
    return own in options or (
        not word.startswith("--") and any(len(o) == 2 and word.startswith(o) for o in options)
    )


def _is_default(value: object, default: object) -> bool:
    try:
        return value is default or bool(value == default)
    except Exception:  # comparing arrays, for example, gives more than one bool
        return False
