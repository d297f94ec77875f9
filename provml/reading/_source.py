"""Where a document comes from: a file, compressed or not, or bytes; bounded, and as UTF-8.

Imports `errors`.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import zlib
from typing import BinaryIO, Final

from provml.errors import DocumentError, MissingExtraError

MAX_BYTES: Final = 64 * 2**20
"""How large a document may be, decompressed, unless the caller says otherwise."""

MAX_BRACKETS: Final = 100_000
"""How deeply the brackets of Turtle and TriG may be nested; each takes some 600 bytes."""

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
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def load(source: str | os.PathLike[str] | bytes | BinaryIO, max_bytes: int) -> bytes:
    """The document's bytes, decompressed where they are gzip or Zstandard.

    Raises:
        DocumentError: larger than ``max_bytes``, or compressed and damaged.
        MissingExtraError: Zstandard without the package for it.
        OSError: the file can't be read.
    """
    if isinstance(source, bytes):
        return _unpacked(io.BytesIO(source), max_bytes)
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            return _unpacked(file, max_bytes)
    return _unpacked(source, max_bytes)


def plain_name(name: str) -> str:
    """A file's name in lower case, the ending of a compression left away."""
    name = os.path.basename(name).lower()
    return next((name.removesuffix(each) for each in _COMPRESSED if name.endswith(each)), name)


def text_of(data: bytes) -> str:
    """The text, of UTF-8 or what its byte order mark says. Raises DocumentError with the place."""
    encoding = next((name for mark, name in _WIDE if data.startswith(mark)), "utf-8-sig")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        named = "UTF-8" if encoding == "utf-8-sig" else encoding.upper()
        raise DocumentError(
            f"line {line}, byte {error.start}: this is no text in {named}"
        ) from None


def utf8_of(data: bytes) -> bytes:
    """The text as UTF-8 without a byte order mark; what is UTF-8 already is not looked at."""
    if data.startswith(codecs.BOM_UTF8):
        return data[len(codecs.BOM_UTF8) :]
    if any(data.startswith(mark) for mark, _ in _WIDE):
        return text_of(data).encode("utf-8", "surrogatepass")
    return data


def check_brackets(data: bytes) -> None:
    """Refuse Turtle or TriG whose brackets are nested very deeply, as its parser keeps them all.

    Costs nothing where there are few brackets at all.
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
                raise DocumentError(f"line {line}: more than {MAX_BRACKETS:,} nested brackets")
        elif token in (b")", b"]"):
            depth -= 1


def _unpacked(file: BinaryIO, max_bytes: int) -> bytes:
    """All of a file, or what it holds if it is compressed; never more than the limit."""
    head = file.read(_BLOCK_BYTES)
    if head.startswith(_GZIP):
        return _inflated(head, file, max_bytes)
    if head.startswith(_ZSTD):
        return _unzstd(head, file, max_bytes)
    taken = bytearray(head)
    while block := file.read(_BLOCK_BYTES):
        taken += block
        _check_size(len(taken), max_bytes)
    _check_size(len(taken), max_bytes)
    return bytes(taken)


def _inflated(block: bytes, file: BinaryIO, max_bytes: int) -> bytes:
    taken = bytearray()
    inflate = zlib.decompressobj(wbits=31)
    try:
        while block:
            taken += inflate.decompress(block, max_bytes + 1 - len(taken))
            _check_size(len(taken), max_bytes)
            if inflate.eof:  # a gzip file may be several, one after the other
                block = inflate.unused_data or file.read(_BLOCK_BYTES)
                if block:
                    inflate = zlib.decompressobj(wbits=31)
            else:
                block = inflate.unconsumed_tail or file.read(_BLOCK_BYTES)
    except zlib.error as error:
        raise DocumentError(f"the gzip data is damaged: {error}") from None
    if not inflate.eof:
        raise DocumentError("the gzip data ends too early: the file is cut short")
    return bytes(taken)


def _unzstd(block: bytes, file: BinaryIO, max_bytes: int) -> bytes:
    try:
        import zstandard
    except ImportError:
        raise MissingExtraError("reading .zst", "zstandard", "zstd") from None
    taken = bytearray()
    frames = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    frame = frames.decompressobj()
    try:
        while block:
            # in small pieces, each of which can only become 16 MiB: the output has no limit
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
        raise DocumentError("the Zstandard data ends too early: the file is cut short")
    return bytes(taken)


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise DocumentError(
            f"the document is larger than {max_bytes:,} bytes, the limit; a larger one can be set"
        )
