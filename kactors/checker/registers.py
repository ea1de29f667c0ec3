"""What the threads of a litmus test saw, kept as an outcome."""

from __future__ import annotations

from collections.abc import Mapping

from kactors.engine.observer import Hearing, Observer
from protocols.base import Tracepoint
from protocols.search import Registers
from protocols.tracepoints import RegisterSet


class Outcome(Observer):
    """Hears registers; the last value of each counts."""

    def __init__(self) -> None:
        self.registers: dict[str, str] = {}

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear what threads put into registers."""
        return {RegisterSet: self._set}

    def _set(self, _at_ns: int, _who: str, noted: RegisterSet) -> None:
        self.registers[noted.register_name] = noted.value

    def outcome(self) -> Registers:
        """Return all registers by name."""
        return tuple(sorted(self.registers.items()))
