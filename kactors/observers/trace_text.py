"""A run as readable lines, one a delivery: the form in which two runs are compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kactors.engine.event import Event, describe
from kactors.engine.observer import Observer
from kactors.observers.trace_file import TraceFile


class TextTrace(Observer):
    """Writes each delivery as time, sender, receiver, tag and message.

    Args:
        path: the file to make; complete after ``close``.
    """

    def __init__(self, path: Path) -> None:
        self._file = TraceFile(path)
        self.close, self.discard = self._file.close, self._file.discard

    def deliveries(self) -> Callable[[Event], None]:
        """Hear everything."""
        write = self._file.write
        return lambda event: write(describe(event) + "\n")
