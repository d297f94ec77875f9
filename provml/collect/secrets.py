"""Recognises secrets by name or format, and masks them. Imports no other part of provml."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

MASK: Final = "***"

# these patterns are strings, so that `re` compiles them on first use and not at import
_SECRET_NAME: Final = r"""(?xi)
    (?:^|[^a-z])                                  # at the beginning of a word
    (?: pass(?:words?|wd|phrases?)? | pwd | secrets? | credentials? | authorization | cookie
      | (?:api|access|secret|private|account|signing|encryption|ssh|auth|license)[-_. ]?keys?
      | (?:api|access|auth|bearer|refresh|session|id|hf|huggingface|hub|github|gh|gitlab|wandb
          |mlflow|neptune|comet|personal|security|sas|jwt|oauth|client)[-_. ]?
        (?:auth[-_. ]?)?tokens?
      | client[-_. ]?secrets?
      | (?:connection|conn)[-_. ]?string | dsn
    )
    (?: $ | [^a-z] )
    | ^tokens?$ | ^key$ | ^auth$ | ^bearer$
"""
_CAMEL: Final = r"(?<=[a-z0-9])(?=[A-Z])"
_URL_CREDENTIALS: Final = r"(?<=://)[^/\s]+(?=@)"
_ASSIGNED: Final = r"""(?xi)
    ( (?: pass(?:word|wd|phrase) | pwd | secret | (?:api|access|account|secret)[-_]?key
        | token | x-amz-(?:signature|credential) | (?<=[?&;])sig )
      ["']? \s* [=:] \s* ["']? )
    [^\s"',;&]+
"""
_BEARER: Final = r"(?i)\b((?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}"
_SECRET_SHAPES: Final = (
    r"\b(?:sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|hf_[A-Za-z0-9]{20,}"
    r"|glpat-[\w-]{16,}|xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}|eyJ[\w-]{10,512}+\.[\w-]{10,}\.[\w-]*)"
)


def is_secret_name(name: str) -> bool:
    """Return True if a name suggests that its value is a key, token or password.

    Returns False for names such as ``max_tokens``, ``pad_token``, ``tokenizer`` and ``keyboard``.
    """
    return re.search(_SECRET_NAME, re.sub(_CAMEL, "_", name)) is not None


def mask_text(text: str) -> str:
    """Mask the secrets in text: credentials in URLs, assigned secrets, and known token formats.

    Examples: ``https://u:p@host``, ``?token=...``, ``Password=...``, ``Bearer ...``, ``sk-...``.
    """
    text = re.sub(_URL_CREDENTIALS, MASK, text)
    text = re.sub(_ASSIGNED, rf"\1{MASK}", text)
    text = re.sub(_BEARER, rf"\1{MASK}", text)
    return re.sub(_SECRET_SHAPES, MASK, text)


def mask_value(name: str, value: Any, secret: bool = False) -> tuple[Any, bool]:
    """Mask the secrets in a named value; return the new value and whether anything was masked.

    Masks a whole string if its name, or the key of a mapping around it, suggests a secret. In other
    strings, masks only credentials and tokens. Leaves numbers unchanged.

    Args:
        name: the name of the value; an empty string if it has no name.
        value: a string, bytes or number, or a mapping or collection of such values.
        secret: True masks every string in the value, whatever its name.
    """
    secret = secret or is_secret_name(name)
    if isinstance(value, Mapping):
        pairs = {key: mask_value(str(key), member, secret) for key, member in value.items()}
        masked = {key: member for key, (member, _) in pairs.items()}
        return (masked, True) if any(was for _, was in pairs.values()) else (value, False)
    if isinstance(value, (list, tuple, set, frozenset)) and not hasattr(value, "_fields"):
        members = [mask_value("", member, secret) for member in value]
        hidden = any(was for _, was in members)
        return ([member for member, _ in members], True) if hidden else (value, False)
    if isinstance(value, (str, bytes)) and value and secret:
        return MASK, True
    if isinstance(value, str):
        text = mask_text(value)
        return text, text != value
    return value, False


def mask_argv(arguments: Sequence[str]) -> list[str]:
    """Mask the values of secret options in a command line: ``--api-key=***``, ``--token ***``.

    Also masks arguments without dashes, such as ``password=...``, and secrets in URLs.
    """
    masked: list[str] = []
    hide_next = False
    for argument in arguments:
        if hide_next and not argument.startswith("-"):
            masked.append(MASK)
            hide_next = False
            continue
        option, equals, _ = argument.partition("=")
        secret = is_secret_name(option.lstrip("-+"))
        hide_next = secret and not equals and argument.startswith("-")
        if secret and equals:
            masked.append(f"{option}={MASK}")
        else:
            masked.append(mask_text(argument))
    return masked
