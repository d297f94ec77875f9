"""Load a document's bytes from a file or from memory, decompress them, and limit their size."""

from __future__ import annotations

import codecs
import io
import os
import re
import zlib
from typing import BinaryIO, Final

from provml.errors import DocumentError, MissingExtraError

MAX_BYTES: Final = 2**30
"""The default limit on a document's size, in bytes after decompression.

The document of a run with a million samples takes up about 760 MB.
"""

MAX_BRACKETS: Final = 100_000
"""The maximum nesting depth of brackets in Turtle and TriG.

The parser needs about 600 bytes of memory per level.
"""

_TURTLE_TOKENS: Final = re.compile(
    rb'"""(?:\\.|[^"\\]++|"(?!""))*+"""|'
    rb"'''(?:\\.|[^'\\]++|'(?!''))*+'''|"
    rb'"(?:\\.|[^"\\\n\r]++)*+"|'
    rb"'(?:\\.|[^'\\\n\r]++)*+'|"
    rb"<[^<>\s]*+>|#[^\n]*+|\\.|[\[\]()]",
    re.S,
)
_BLOCK_BYTES: Final = 2**20
_ZSTD_FEED_BYTES: Final = 512
_ZSTD_WINDOW_BYTES: Final = 128 * 2**20
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_COMPRESSED: Final = (".gz", ".zst")
_WIDE: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # must precede UTF-16, whose mark is a prefix of this mark
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def load_bytes(source: str | os.PathLike[str] | bytes | BinaryIO, max_bytes: int) -> bytes:
    """Load a document's bytes, and decompress them if they are gzip or Zstandard data.

    Raises:
        DocumentError: the document is larger than ``max_bytes``, or the compressed data is damaged.
        MissingExtraError: the data is Zstandard, but the zstandard package is not installed.
        OSError: the file can't be read.
    """
    if isinstance(source, bytes):
        return _decompress(io.BytesIO(source), max_bytes)
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            return _decompress(file, max_bytes)
    return _decompress(source, max_bytes)


def uncompressed_name(name: str) -> str:
    """Return a file's name in lower case, without its folder and without ``.gz`` or ``.zst``."""
    name = os.path.basename(name).lower()
    return next((name.removesuffix(each) for each in _COMPRESSED if name.endswith(each)), name)


def decode_document(data: bytes) -> str:
    """Decode text as UTF-8, or in the encoding that its byte order mark indicates.

    Raises:
        DocumentError: the text is not valid in this encoding. The message gives the line number
            and the byte offset.
    """
    encoding = next((name for mark, name in _WIDE if data.startswith(mark)), "utf-8-sig")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        named = "UTF-8" if encoding == "utf-8-sig" else encoding.upper()
        raise DocumentError(
            f"line {line}, byte {error.start}: the text is not valid {named}"
        ) from None


def convert_to_utf8(data: bytes) -> bytes:
    """Convert text to UTF-8 without a byte order mark. Text already in UTF-8 is not validated."""
    if data.startswith(codecs.BOM_UTF8):
        return data[len(codecs.BOM_UTF8) :]
    if any(data.startswith(mark) for mark, _ in _WIDE):
        return decode_document(data).encode("utf-8", "surrogatepass")
    return data


def check_brackets(data: bytes) -> None:
    """Raise DocumentError if Turtle or TriG nests brackets more than `MAX_BRACKETS` levels deep.

    The limit exists because the parser keeps all open brackets in memory. The check costs almost
    nothing if the text has few brackets.
    """
    if data.count(b"(") + data.count(b"[") + data.count(b"<<") <= MAX_BRACKETS:
        return
    depth = 0
    for found in _TURTLE_TOKENS.finditer(data):
        token = found[0]
        if token in (b"(", b"["):
            depth += 1
            if depth > MAX_BRACKETS:
                line = data.count(b"\n", 0, found.start()) + 1
                raise DocumentError(
                    f"line {line}: brackets are nested more than {MAX_BRACKETS:,} levels deep"
                )
        elif token in (b")", b"]"):
            depth -= 1


def _decompress(file: BinaryIO, max_bytes: int) -> bytes:
    """Read a file, and decompress its content if necessary.

    Raises DocumentError if the content is larger than ``max_bytes`` or damaged.
    """
    head = file.read(_BLOCK_BYTES)
    if head.startswith(_GZIP):
        return _decompress_gzip(head, file, max_bytes)
    if head.startswith(_ZSTD):
        return _decompress_zstd(head, file, max_bytes)
    taken = bytearray(head)
    while block := file.read(_BLOCK_BYTES):
        taken += block
        _check_size(len(taken), max_bytes)
    _check_size(len(taken), max_bytes)
    return bytes(taken)


def _decompress_gzip(block: bytes, file: BinaryIO, max_bytes: int) -> bytes:
    taken = bytearray()
    inflate = zlib.decompressobj(wbits=31)
    try:
        while block:
            taken += inflate.decompress(block, max_bytes + 1 - len(taken))
            _check_size(len(taken), max_bytes)
            if inflate.eof:  # a gzip file may consist of several members
                block = inflate.unused_data or file.read(_BLOCK_BYTES)
                if block:
                    inflate = zlib.decompressobj(wbits=31)
            else:
                block = inflate.unconsumed_tail or file.read(_BLOCK_BYTES)
    except zlib.error as error:
        raise DocumentError(f"the gzip data is damaged: {error}") from None
    if not inflate.eof:
        raise DocumentError("the gzip data is incomplete: the file is cut short")
    return bytes(taken)


def _decompress_zstd(block: bytes, file: BinaryIO, max_bytes: int) -> bytes:
    try:
        import zstandard
    except ImportError:
        raise MissingExtraError("reading .zst", "zstandard", "zstd") from None
    taken = bytearray()
    frames = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    frame = frames.decompressobj()
    try:
        while block:
            # zstandard can't limit its output, but a piece this small expands to at most 16 MiB
            for start in range(0, len(block), _ZSTD_FEED_BYTES):
                piece = block[start : start + _ZSTD_FEED_BYTES]
                while piece:
                    if frame.eof:
                        frame = frames.decompressobj()
                    taken += frame.decompress(piece)
                    _check_size(len(taken), max_bytes)
                    piece = frame.unused_data if frame.eof else b""
            block = file.read(_BLOCK_BYTES)
    except zstandard.ZstdError as error:
        raise DocumentError(f"the Zstandard data is damaged: {error}") from None
    if not frame.eof:
        raise DocumentError("the Zstandard data is incomplete: the file is cut short")
    return bytes(taken)


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise DocumentError(
            f"the document is larger than the limit of {max_bytes:,} bytes; "
            "raise the limit to read it"
        )
