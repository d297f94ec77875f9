"""Builds the names of people.

A person is the same in the documents of different stores only if the owner of the runs is one of
these:

- an e-mail address: ``ada@example.org`` becomes ``mailto:ada@example.org``;
- an ORCID: ``0000-0002-1825-0097`` becomes ``https://orcid.org/0000-0002-1825-0097``;
- an IRI, such as ``https://example.org/people#ada``, which stays as it is.

Any other owner, such as a login name, gets a name within the store: ``base:person/ada``. Imports
`names` and `statements`.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from provml.model.names import encode_name
from provml.model.statements import Name

_EMAIL: Final = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_ORCID: Final = re.compile(r"(?:\d{4}-){3}\d{3}[\dX]")
_IRI: Final = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]*://|(?:urn|did|acct|mailto):)[^\s<>\"{}|\\^`\x00-\x20\x7f]+(?<!\.)"
)


class PersonName(NamedTuple):
    """The name of a person, and the prefix that it needs in addition to the run's prefixes.

    Attributes:
        name: the qualified name.
        prefixes: the additional prefix and its IRI; empty if the name has the prefix ``base``.
    """

    name: Name
    prefixes: dict[str, str]


def name_person(owner: str) -> PersonName:
    """Return the name of the person who owns a run."""
    if _EMAIL.fullmatch(owner):
        # JSON-LD forbids the prefix ``mailto`` for the IRI ``mailto:``
        return PersonName(Name(f"email:{owner}"), {"email": "mailto:"})
    if _ORCID.fullmatch(owner) and _has_orcid_checksum(owner):
        return PersonName(Name(f"orcid:{owner}"), {"orcid": "https://orcid.org/"})
    if _IRI.fullmatch(owner):
        end = max(owner.rfind(separator, 0, -1) for separator in "/#:") + 1
        return PersonName(Name(f"owner:{owner[end:]}"), {"owner": owner[:end]})
    return PersonName(Name(f"base:person/{encode_name(owner)}"), {})


def _has_orcid_checksum(orcid: str) -> bool:
    """Return whether the last character of an ORCID fits the others (ISO 7064, MOD 11-2)."""
    characters = orcid.replace("-", "")
    total = 0
    for digit in characters[:-1]:
        total = (total + int(digit)) * 2
    return "0123456789X"[(12 - total % 11) % 11] == characters[-1]
