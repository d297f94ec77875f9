"""Builds the names of people.

Documents from different stores use the same name for a person only if the runs' owner is one of
the following:

- an e-mail address: ``ada@example.org`` becomes ``mailto:ada@example.org``;
- an ORCID: ``0000-0002-1825-0097`` becomes ``https://orcid.org/0000-0002-1825-0097``;
- an IRI, such as ``https://example.org/people#ada``, which is used unchanged.

Any other owner, such as a login name, gets a name within the store: ``base:person/ada``. If an
early version of provml recorded the run, every owner gets a name within the store, because the
names in a run's documents never change.

Imports `names` and `statements`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from provml.model.names import encode_name
from provml.model.statements import Name

_EMAIL: Final = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_ORCID: Final = re.compile(r"(?:[0-9]{4}-){3}[0-9]{3}[0-9X]")
_LETTERS: Final = (
    "\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1fff\u2070-\u218f"
    "\u2c00-\u2fef\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\uffef"
)
"""The characters beyond ASCII that both IRIs (RFC 3987) and names in Turtle can contain."""
_HOST: Final = rf"(?:[A-Za-z0-9._~!$&'()*+,;={_LETTERS}-]|%[0-9A-Fa-f]{{2}})"
_PART: Final = rf"(?:{_HOST}|[:@/?])"
_IRI: Final = (
    rf"(?:[A-Za-z][A-Za-z0-9+.-]*://(?:{_HOST}+@)?{_HOST}*(?::[0-9]*)?(?:[/?]{_PART}*)?"
    rf"|(?:urn|did|acct|mailto):{_PART}+)(?:\#{_PART}*)?(?<!\.)"
)


class PersonName(NamedTuple):
    """The name of a person, and any prefix in this name that the run does not already declare.

    Attributes:
        name: the qualified name.
        prefixes: the additional prefix and its IRI; empty if the name has the prefix ``base``.
    """

    name: Name
    prefixes: dict[str, str]


def name_owner(description: Mapping[str, Any]) -> PersonName | None:
    """Return the name of the person who owns a run, or None if the run has no owner.

    Args:
        description: the content of ``run.json``.
    """
    owner = description.get("owner")
    if owner is None:
        return None
    if "store_id" not in description:  # an early version of provml recorded the run
        return _name_within_store(str(owner))
    return _name_person(str(owner))


def _name_within_store(owner: str) -> PersonName:
    return PersonName(Name(f"base:person/{encode_name(owner)}"), {})


def _name_person(owner: str) -> PersonName:
    if _EMAIL.fullmatch(owner):
        # JSON-LD forbids the prefix ``mailto`` for the IRI ``mailto:``
        return PersonName(Name(f"email:{owner}"), {"email": "mailto:"})
    if _ORCID.fullmatch(owner) and _has_orcid_checksum(owner):
        return PersonName(Name(f"orcid:{owner}"), {"orcid": "https://orcid.org/"})
    # compiling the pattern takes longer than writing the rest of an empty run's document
    if ":" in owner and re.fullmatch(_IRI, owner):
        end = max(owner.rfind(separator, 0, -1) for separator in "/#:") + 1
        return PersonName(Name(f"owner:{owner[end:]}"), {"owner": owner[:end]})
    return _name_within_store(owner)


def _has_orcid_checksum(orcid: str) -> bool:
    """Return whether the check digit of an ORCID is correct (ISO 7064, MOD 11-2)."""
    characters = orcid.replace("-", "")
    total = 0
    for digit in characters[:-1]:
        total = (total + int(digit)) * 2
    return "0123456789X"[(12 - total % 11) % 11] == characters[-1]
