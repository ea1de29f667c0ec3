"""A trace file in the making: written beside its target and renamed when it is complete."""

from __future__ import annotations

from pathlib import Path


class TraceFile:
    """Text that becomes ``path`` on ``close``: an interrupted run leaves an older trace as it was.

    Args:
        path: the file to make.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.partial")
        self._stream = self._partial.open("w", encoding="utf-8", newline="\n")

    def write(self, text: str) -> None:
        """Append text."""
        self._stream.write(text)

    def close(self) -> None:
        """Put the file in its place."""
        self._stream.close()
        self._partial.replace(self._path)

    def discard(self) -> None:
        """Leave nothing behind."""
        self._stream.close()
        self._partial.unlink()
