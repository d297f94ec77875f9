r"""The format of a run's files, version 1: the folders, and the meaning of every byte.

A run's folder
--------------
::

    <store>/store.json               the store's random id, one JSON object
    <store>/<experiment>/<run id>/
        run.json                     the facts known at the start, one JSON object
        journal/<writer>.samples     scalar samples, binary, described here
        journal/<writer>.events.jsonl   everything else, one JSON object per line
        artifacts/                   copies of files, and captured content (a diff, ...)
        provenance.json              PROV-JSON, written at the end from the journal
        documents.sha256             the digests of the documents

Each recording process writes its own pair of files and no others. ``<writer>`` is ``<start,
nanoseconds since the epoch, 20 digits>-<pid>-<8 hex digits>``, so the names sort by start time.
`encode_folder_name` turns an experiment's name into the name of the folder ``<experiment>``.

``*.samples``
-------------
All numbers are little-endian. The file begins with a header of 64 bytes:

====== ====== ==================================================================
offset type   meaning
====== ====== ==================================================================
0      8s     magic, ``89 50 52 4F 56 4D 4C 0A`` (``\x89PROVML\n``)
8      u16    format version, 1
10     u16    size of a record, 32
12     u32    size of the header, 64
16     i64    time the file was created, nanoseconds since the epoch
24     u64    samples dropped because the disk was full or gone
32     u64    events dropped for the same reasons
40     i64    time the writer ended; 0 if it has not ended
48     u32    how the writer ended: 0 not yet, 1 finished, 2 failed, 3 interrupted, 4 crashed
              (closed later by recovery), 5 a helper process closed its files
52     u32    checksum of the first 52 bytes; 0 if the writer has not ended
56     8x     reserved, zero
====== ====== ==================================================================

Records of 32 bytes follow, up to the end of the file:

====== ====== ==================================================================
offset type   meaning
====== ====== ==================================================================
0      i64    time, nanoseconds since the epoch
8      i64    step; -2**63 if the sample has no step
16     8 B    value: f64, i64, or a u64 offset into the events file; the series says which
24     i32    epoch; -1 if the sample has no epoch
28     u32    series, 1 or more; 0: not written (a hole); 2**32 - 1: an abandoned slot.
              Readers skip holes and abandoned slots
====== ====== ==================================================================

The fields of a record are written in this order. The series is written last: a record counts only
if it has a series. A thread reserves a slot before it fills the slot, so a killed process leaves at
most one hole for each thread. A file that was not closed is filled with zeros up to its
preallocated length. An incomplete record at the end of the file is ignored. If a sample of a
series with the role ``row`` was written without a step or epoch, the writer may fill them in later.
Nothing else in a record ever changes.

``*.events.jsonl``
------------------
One JSON object per line, in UTF-8 (in fact, all characters are ASCII). The key ``record`` names the
kind of the line; ``schemas/journal.schema.json`` describes every kind. The first line has the kind
``writer``. The file gets its final name after this line is written. If the line has a ``lock``
field, the process holds an exclusive ``flock`` on the file until it closes the file.

A ``series`` line declares a series and comes before the first sample of that series. The line's
field ``storage`` is ``f64``, ``i64`` or ``text``. For ``text``, the value in the binary record is
the offset of a ``sample`` line in the same events file. The binary record still contains the step
and epoch.

Readers skip and count every line that does not end in a line feed or can't be parsed.
``provml.journal.checksums`` describes the checksums of lines and samples; files of early versions
have none.

Imports no other module of provml.
"""

from __future__ import annotations

import struct
from typing import Any, Final

Record = dict[str, Any]
"""One decoded line of an events file."""

FORMAT_VERSION: Final = 1

STORE_FILE: Final = "store.json"
RUN_FILE: Final = "run.json"
JOURNAL_FOLDER: Final = "journal"
ARTIFACTS_FOLDER: Final = "artifacts"
CACHE_FOLDERS: Final = (".provml", ".tables")
"""The folders in a store that contain databases and tables instead of runs."""
SAMPLES_SUFFIX: Final = ".samples"
EVENTS_SUFFIX: Final = ".events.jsonl"

MAGIC: Final = b"\x89PROVML\n"
HEADER: Final = struct.Struct("<8sHHIqQQqI12x")
HEADER_SIZE: Final = HEADER.size
DROPPED_OFFSET: Final = 24
DROPPED_FIELDS: Final = struct.Struct("<QQ")
ENDED_OFFSET: Final = 40
ENDED_FIELDS: Final = struct.Struct("<qI")
HEADER_CHECKSUM_OFFSET: Final = 52

RECORD_F64: Final = struct.Struct("<qqdiI")
RECORD_I64: Final = struct.Struct("<qqqiI")
RECORD_TEXT: Final = struct.Struct("<qqQiI")
RECORD_SIZE: Final = RECORD_F64.size
SERIES_OFFSET: Final = 28
BLOCK_RECORDS: Final = 256
"""The number of records in a block. Each block has one checksum."""
NO_STEP: Final = -(2**63)
ABANDONED_SLOT: Final = 2**32 - 1
NO_EPOCH: Final = -1
MAX_INT64: Final = 2**63 - 1
"""The largest integer that the storage ``i64`` can hold; the smallest is ``-MAX_INT64 - 1``."""

SAMPLING: Final = "sampling"
"""The kind of a series that records when readings were taken. A sample's time is the end of a
reading, and the sample's value is the start of that reading, both in nanoseconds since the
epoch.
"""

STORAGES: Final = {"f64": RECORD_F64, "i64": RECORD_I64, "text": RECORD_TEXT}

MAX_EVENT_LINE_BYTES: Final = 16 * 2**20
"""The maximum length of a line of an events file, in bytes.

The writer refuses to write longer lines, and the reader skips them.
"""

STATUS_CODES: Final = {
    "finished": 1,
    "failed": 2,
    "interrupted": 3,
    "crashed": 4,
    "helper closed": 5,
}
END_STATUSES: Final = ("finished", "failed", "interrupted")

_MAX_FOLDER_NAME: Final = 200


def pack_header(created_ns: int) -> bytes:
    """Return the header of a new samples file."""
    return HEADER.pack(MAGIC, FORMAT_VERSION, RECORD_SIZE, HEADER_SIZE, created_ns, 0, 0, 0, 0)


def encode_folder_name(name: str) -> str:
    """Return the name of an experiment's folder, which is unique, portable and not hidden.

    Keeps letters and digits of any script and the characters ``-_. ``, and percent-encodes all
    others. A long name is shortened and ends in ``~`` and a digest; ``run.json`` contains the full
    name.
    """
    encoded = "".join(_encode_character(character) for character in name) or "~"
    if encoded[0] in ". ":
        encoded = f"%{ord(encoded[0]):02X}{encoded[1:]}"
    if encoded[-1] in ". ":
        encoded = f"{encoded[:-1]}%{ord(encoded[-1]):02X}"
    if len(encoded.encode()) > _MAX_FOLDER_NAME:
        import hashlib

        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        encoded = encoded.encode()[: _MAX_FOLDER_NAME - 20].decode(errors="ignore") + f"~{digest}"
    return encoded


def _encode_character(character: str) -> str:
    if character.isalnum() or character in "-_. ":
        return character
    return "".join(f"%{byte:02X}" for byte in character.encode())
