"""Recognises the names of fields, options, variables and files that suggest a secret.

Imports only `secret_words` and `base.settings` from provml.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

from provml.base.settings import MaskSettings
from provml.collect import secret_words

UNKNOWN, WEAK, MEDIUM, STRONG = range(4)
"""The strengths of names: how likely it is that a value with this name is a secret.

In running text, a value with a weak name is masked only if the value looks random. A value with a
medium name is usually not masked if the value is an ordinary word.
"""

_CAMEL: Final = r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"
_PASSWORD_PARTS: Final = ("password", "passwd", "passphrase", "passcode")

_settings = MaskSettings(True, ())


def use_mask_settings(settings: MaskSettings) -> None:
    """Set the masking settings of this process. Each run calls this function when it starts."""
    global _settings
    if settings != _settings:
        _settings = settings
        name_strength.cache_clear()


def is_masking_on() -> bool:
    """Return whether provml masks secrets. ``PROVML_MASK=off`` switches masking off."""
    return _settings.enabled


def has_allow_list() -> bool:
    """Return whether ``PROVML_MASK_ALLOW`` contains a pattern."""
    return bool(_settings.allowed)


def is_default_masking() -> bool:
    """Return whether masking is on, and no pattern in ``PROVML_MASK_ALLOW`` restricts it."""
    return _settings == MaskSettings(True, ())


def is_allowed(text: str) -> bool:
    """Return whether a name or text matches a pattern in ``PROVML_MASK_ALLOW``."""
    return any(fnmatchcase(text, pattern) for pattern in _settings.allowed)


def is_secret_name(name: str) -> bool:
    """Return True if a name suggests that its value is a secret key, token or password.

    Returns False for names such as ``max_tokens``, ``pad_token``, ``primary_key`` and ``keyboard``.
    """
    strength = name_strength(name)
    return strength >= MEDIUM or (strength == WEAK and "." not in name)


@lru_cache(maxsize=8192)
def name_strength(name: str) -> int:
    """Return how strongly a name suggests that its value is secret: `UNKNOWN` to `STRONG`."""
    if not _settings.enabled or is_allowed(name):
        return UNKNOWN
    parts = [_split_words(part) for part in re.split(r"[./\[\]]+", name[-1000:])]
    words = next((words for words in reversed(parts) if words), [])
    if not words:
        return UNKNOWN
    head = words[-1]
    if len(words) > 1 and (
        head in secret_words.PLAIN_HEADS or words[0] in secret_words.PLAIN_STARTS
    ):
        return UNKNOWN
    if any(_is_strong(own) for own in parts):
        return STRONG
    if head not in secret_words.MEDIUM_WORDS:
        return UNKNOWN
    if len(words) == 1:
        return WEAK if head in secret_words.WEAK_WORDS else MEDIUM
    before = words[-2]
    if head == "tokens" or before in secret_words.PLAIN_QUALIFIERS.get(head, ()):
        return UNKNOWN
    if head == "pin" and before not in secret_words.PIN_QUALIFIERS:
        return UNKNOWN
    return MEDIUM


def _split_words(name: str) -> list[str]:
    """Return the words of a name in lower case, without trailing digits."""
    words = re.split(r"[\W_]+", re.sub(_CAMEL, "_", name))
    return [own for word in words if (own := word.lower().rstrip("0123456789"))]


def _is_strong(words: list[str]) -> bool:
    for place, word in enumerate(words):
        if word in secret_words.STRONG_WORDS or any(part in word for part in _PASSWORD_PARTS):
            return word != "passwordless"
        before = words[place - 1] if place else ""
        if word in ("key", "keys") and before in secret_words.KEY_QUALIFIERS:
            return True
        if word in ("token", "tokens") and before in secret_words.TOKEN_QUALIFIERS:
            return True
    return False


def is_secret_file(path: str) -> bool:
    """Return True if a file's name suggests that its content is secret.

    A name without a suffix can be secret too, because trackers store each parameter in a file that
    has the parameter's name.
    """
    name = path.rstrip("/").rpartition("/")[2]
    if not _settings.enabled or is_allowed(name):
        return False
    if any(fnmatchcase(name, pattern) for pattern in secret_words.SECRET_FILES):
        return True
    stem, _, suffix = name.lstrip(".").partition(".")
    if suffix and suffix.rpartition(".")[2].lower() not in secret_words.SECRET_FILE_SUFFIXES:
        return False
    return not stem.endswith("tokens") and is_secret_name(stem)
