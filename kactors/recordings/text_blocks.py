"""From a file to its lines: plain, gzip or xz, told apart by their first bytes, and every failure as a RecordingError.

Reads in blocks of 1 MiB, so that a recording of any length is never in memory as a whole, and hands on lists of lines:
one generator step a block, not one a line.
"""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Iterator
from io import BufferedIOBase, BufferedReader
from os import PathLike, fspath
from pathlib import Path

from kactors.recordings.errors import RecordingError

BLOCK_BYTES = 1 << 20
LINE_BYTES_MAX = 1 << 20
"""A longer line is no line of `perf script`: it stops the reading, so that a damaged file cannot eat the memory."""

_XZ = b"\xfd7zXZ\x00"
_GZIP = b"\x1f\x8b"
_OTHER_FORMATS = (
    (b"PERFILE2", "is a perf.data file, not its text", "write the text with `perf script --ns > FILE`"),
    (b"2ELIFREP", "is a perf.data file, not its text", "write the text with `perf script --ns > FILE`"),
    (b"\x28\xb5\x2f\xfd", "is zstd-compressed", "use plain text, .gz or .xz"),
    (b"BZh", "is bzip2-compressed", "use plain text, .gz or .xz"),
)
_WANTED = "expected the text that `perf script` writes, plain, .gz or .xz"


def text_blocks(path: str | PathLike[str]) -> Iterator[list[str]]:
    """The lines of the file at `path`, without their ends, in lists of some thousand lines.

    Raises RecordingError: no such file, not readable, a directory, damaged or cut compression, not UTF-8, NUL bytes, a
    line of more than 1 MiB.
    """
    source = fspath(path)
    try:
        with Path(path).open("rb") as stored:
            yield from _lines(_decompressed(source, stored), source)
    except IsADirectoryError as error:
        raise RecordingError.at(source, "is a directory", "name one recording in it") from error
    except FileNotFoundError as error:
        raise RecordingError.at(source, "no such file", _WANTED) from error
    except (OSError, ValueError) as error:
        if isinstance(error, RecordingError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise RecordingError.at(source, f"cannot be read ({reason})", _WANTED) from error


def _decompressed(source: str, stored: BufferedReader) -> BufferedIOBase:
    first = stored.peek()
    if first.startswith(_XZ):
        return lzma.LZMAFile(stored)
    if first.startswith(_GZIP):
        return gzip.GzipFile(fileobj=stored)
    for magic, wrong, right in _OTHER_FORMATS:
        if first.startswith(magic):
            raise RecordingError.at(source, wrong, right)
    return stored


def _lines(stream: BufferedIOBase, source: str) -> Iterator[list[str]]:
    rest, done = b"", 0
    while block := _read(stream, source, done):
        whole, newline, rest = (rest + block).rpartition(b"\n")
        if newline:
            lines = _decoded(whole, source, done)
            done += len(lines)
            yield lines
        if len(rest) > LINE_BYTES_MAX:
            wrong = f"a line of more than {LINE_BYTES_MAX} bytes"
            raise RecordingError.at(source, wrong, _WANTED, line=done + 1)
    if rest:
        yield _decoded(rest, source, done)


def _read(stream: BufferedIOBase, source: str, done: int) -> bytes:
    try:
        return stream.read(BLOCK_BYTES)
    except EOFError as error:
        wrong = f"the compressed data end too early, after {done} lines"
        raise RecordingError.at(source, wrong, "copy or compress it again") from error
    except (lzma.LZMAError, zlib.error, gzip.BadGzipFile, MemoryError) as error:
        reason = str(error) or "they ask for more memory than there is"
        wrong = f"the compressed data are damaged after {done} lines ({reason})"
        raise RecordingError.at(source, wrong, "copy or compress it again") from error


def _decoded(block: bytes, source: str, done: int) -> list[str]:
    if b"\0" in block:
        line = done + 1 + block.count(b"\n", 0, block.index(b"\0"))
        raise RecordingError.at(source, "is binary data (a NUL byte)", _WANTED, line=line)
    try:
        return block.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        line = done + 1 + block.count(b"\n", 0, error.start)
        wrong = f"is not UTF-8 text (byte {block[error.start]:#04x})"
        raise RecordingError.at(source, wrong, _WANTED, line=line) from error
