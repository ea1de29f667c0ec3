"""Nobody hangs a page table at a PMD that khugepaged has cleared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kactors.engine.observer import Finding, Hearing
from kactors.observers.properties.base import Property
from protocols.base import Tracepoint
from protocols.page_table import PmdState
from protocols.tracepoints import PmdChanged


class PmdPopulatedUnderCollapse(Property):
    """From E4 until the collapse puts the old table back (E6) or installs the huge page (E8), the PMD is khugepaged's.

    It does not look again: the kernel has BUG_ON(!pmd_none(*pmd)) at E6 and E8, for what it would write over is lost.
    Faults are kept out by mmap_sem, or by the VMA's lock (E2, E3); one without either must not take the cleared PMD for
    one that was never populated.
    """

    name: ClassVar[str] = "pmd_populated_under_collapse"

    def __init__(self) -> None:
        self._hanging: dict[int, int] = {}
        self._collapsing: set[int] = set()

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear PMD changes."""
        return {PmdChanged: self._changed}

    def _changed(self, at_ns: int, _who: str, changed: PmdChanged) -> Finding:
        address = changed.address
        if changed.collapsing:
            self._collapsing.add(address)
            return None
        old = self._hanging.get(address, -1)
        if address in self._collapsing and changed.state == PmdState.TABLE and changed.table != old:
            return self.violated(
                f"page table {changed.table} is installed at the PMD of {address:#x} at {at_ns} ns, while khugepaged "
                f"collapses what page table {old} maps"
            )
        self._collapsing.discard(address)
        self._hanging[address] = changed.table
        return None
