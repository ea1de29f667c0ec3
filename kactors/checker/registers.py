"""What the threads of a litmus test saw, and what became of the collapses, kept as an outcome."""

from __future__ import annotations

from collections.abc import Mapping

from kactors.engine.observer import Hearing, Observer
from protocols.base import Tracepoint
from protocols.search import Registers
from protocols.tracepoints import CollapseDone, RegisterSet

KHUGEPAGED = "khugepaged"
"""The register that says how the last collapse ended: ``succeeded``, or the kernel's word for why not."""


class Outcome(Observer):
    """Hears registers; the last value that a thread noted under a name counts."""

    def __init__(self) -> None:
        self.registers: dict[str, dict[int, str]] = {}

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear what threads put into registers, and collapses."""
        return {RegisterSet: self._set, CollapseDone: self._collapse_done}

    def _set(self, _at_ns: int, _who: str, noted: RegisterSet) -> None:
        self.registers.setdefault(noted.register_name, {})[noted.thread] = noted.value

    def _collapse_done(self, _at_ns: int, _who: str, done: CollapseDone) -> None:
        self.registers[KHUGEPAGED] = {0: done.status}

    def outcome(self) -> Registers:
        """Return all registers by name; of one that several threads noted, the values without who noted which."""
        return tuple((name, ", ".join(sorted(values.values()))) for name, values in sorted(self.registers.items()))
