"""Secrets that source code passes by position."""

from __future__ import annotations

import pytest

from provml.collect.positional_secrets import mask_positional_secrets


@pytest.mark.parametrize(
    "definition",
    [
        'Login = collections.namedtuple("Login", "user password url")',
        'Login = namedtuple("Login", ["user", "password", "url"])',
        'Login = NamedTuple("Login", [("user", str), ("password", str), ("url", str)])',
        "class Login(NamedTuple):\n    user: str\n    password: str\n    url: str",
        "class Login:\n    def __init__(self, user, password, url=None): pass",
        "def Login(user, password, url=None): pass",
        "class Shop:\n    def Login(self, user, password, url=None): pass",
    ],
)
@pytest.mark.parametrize("literal", ['"sesame-é"', "'sesame'", "b'sesame'", '"""se\nsame"""'])
def test_arguments_are_named_by_their_definition(definition: str, literal: str) -> None:
    """A password without a name beside it would be in the copy of the source."""
    source = f'{definition}\nx = "é"; shop.Login("ada", {literal}, "https://host")\n'
    expected = source.replace(literal, '"***"')
    assert mask_positional_secrets(source.encode()) == expected.encode()


@pytest.mark.parametrize(
    "source",
    [
        b"def encode(token, text): pass\nencode('the', 'password')",
        b"def login(user, password): pass\nlogin('ada', password)\nlogin(*'ab')",
        b"def login(user, password): pass\nlogin('ada', '')",
        b"login('ada', 'sesame')  # no definition, but a password",
        b"def login(password: pass",
        b"password = \xff\xfe",
        b"X = namedtuple('X', 5)\nY = namedtuple('Y', password)\nZ = NamedTuple('Z', [()])\nZ('a')",
        b"# coding: latin-1\ndef login(password): pass\nx = '\xe9'; login('sesame')",
    ],
)
def test_other_source_stays_as_it_is(source: bytes) -> None:
    """Code would be changed, or a copy would be missing because the source is not valid."""
    assert mask_positional_secrets(source) is source


def test_escapes_give_no_warning() -> None:
    """The script would get a warning about its own source, and the password would be kept."""
    source = rb"""
def login(name): pass
class Shop:
    def login(self, user, password): pass
x = "\d \" \\", f"\{y} \N{DASH}", r"\""
login("ada", "se\dsame\"")
"""
    masked = source.replace(rb'"se\dsame\""', b'"***"')
    assert masked != source
    assert mask_positional_secrets(source) == masked
