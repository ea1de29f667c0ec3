"""The token file: who may call over TCP. Only hashes are kept, and no message ever shows a token."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from kactors.engine.errors import UsageError

TOKEN_LENGTH_MIN = 16
TOKEN_LENGTH_MAX = 1024
NAME_LENGTH_MAX = 128

_CHUNK_BYTES = 1 << 16
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class TokenFile:
    """The principals of one token file: a line each, ``NAME TOKEN``; ``#`` begins a comment line.

    A name may have several tokens, so that one can be replaced while both work; a token has one name.

    Args:
        path: the file. It is read once.

    Raises:
        UsageError: it cannot be read, others than its owner may read or write it, it is not ours, or a line is wrong.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._principals: dict[bytes, str] = {}
        for number, name, token in _entries(path, _private_text(path)):
            digest = _digest(token)
            if digest in self._principals:
                raise UsageError(f"token file {path}, line {number}: the token stands on another line already")
            self._principals[digest] = name
        if not self._principals:
            raise UsageError(f"token file {path}: it holds no token, so nobody could come in; a line is: NAME TOKEN")

    @property
    def names(self) -> tuple[str, ...]:
        """The principals, each once, in the order of the file."""
        return tuple(dict.fromkeys(self._principals.values()))

    def principal(self, token: str) -> str | None:
        """Return whose token it is, or None. How long that takes tells nothing of the tokens."""
        asked = _digest(token)
        found = None
        # To the end even after a hit: stopping there would tell where in the file the token stands.
        for digest, name in self._principals.items():
            if hmac.compare_digest(digest, asked):
                found = name
        return found


def _digest(token: str) -> bytes:
    # A client may send lone surrogates; they are no token, and no reason to fail.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _private_text(path: Path) -> str:
    try:
        # Not to wait for a writer, should it be a FIFO.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            # Of the open file and not of the path, which could be another file by now.
            _check_private(path, os.fstat(descriptor))
            content = b"".join(iter(lambda: os.read(descriptor, _CHUNK_BYTES), b""))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UsageError(f"token file {path}: cannot be read: {error.strerror}") from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"token file {path}: it is no UTF-8 text (byte {error.start})") from error


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"token file {path}: it is no regular file")
    if status.st_uid != os.geteuid():
        raise UsageError(f"token file {path}: it belongs to user {status.st_uid}, not to us, user {os.geteuid()}")
    if status.st_mode & _OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise UsageError(f"token file {path}: its mode {mode:04o} lets others at it; chmod 0600 {path}")


def _entries(path: Path, text: str) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"token file {path}, line {number}"
        match words:
            case [name, token]:
                pass
            case _:
                raise UsageError(f"{where}: it has {len(words)} words; a line is: NAME TOKEN")
        if len(name) > NAME_LENGTH_MAX:
            raise UsageError(f"{where}: the name has {len(name)} characters, at most {NAME_LENGTH_MAX} are allowed")
        if not TOKEN_LENGTH_MIN <= len(token) <= TOKEN_LENGTH_MAX:
            raise UsageError(
                f"{where}: the token has {len(token)} characters; {TOKEN_LENGTH_MIN} to {TOKEN_LENGTH_MAX} are allowed"
            )
        yield number, name, token
