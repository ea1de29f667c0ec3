"""No PTE is set in a page table that does not hang at its PMD: nobody will ever find it there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kactors.engine.observer import Finding, Hearing
from kactors.observers.properties.base import Property
from protocols.base import Tracepoint
from protocols.tracepoints import PagesIsolated, PmdChanged, PteSet

ISOLATED = -2
HUGE = -3


class PteUnderClearedPmd(Property):
    """While khugepaged collapses, the PMD is none, then huge: nobody may set a PTE that the collapse will miss.

    Between the clearing (E4) and the isolation of the pages (E5) a PTE may still be set: the collapse waits for the PTE
    lock, and isolates that page with the others. After the isolation, behind a huge PMD (E8), or in a table that munmap
    took out (D3), it is lost. C8 (irqs off), C12.i, C12.ii and C12.iv keep a speculation from it; H5 and mmap_sem, the
    others.
    """

    name: ClassVar[str] = "pte_under_cleared_pmd"

    def __init__(self) -> None:
        self._tables: dict[int, int] = {}

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear PMD changes, isolations and PTE writes."""
        return {PmdChanged: self._pmd_changed, PagesIsolated: self._isolated, PteSet: self._pte_set}

    def _pmd_changed(self, _at_ns: int, _who: str, changed: PmdChanged) -> None:
        if not changed.collapsing:
            self._tables[changed.address] = HUGE if changed.state == "huge" else changed.table

    def _isolated(self, _at_ns: int, _who: str, isolated: PagesIsolated) -> None:
        self._tables[isolated.address] = ISOLATED

    def _pte_set(self, at_ns: int, who: str, written: PteSet) -> Finding:
        hanging = self._tables.get(written.pmd_address, -1)
        if hanging == written.table:
            return None
        why = {
            ISOLATED: "khugepaged has cleared the PMD and isolated the table's pages",
            HUGE: "the PMD is huge and the table only deposited behind it",
            -1: "the PMD is none",
        }.get(hanging, f"page table {hanging} hangs at the PMD")
        return self.violated(
            f"{who}: PTE {written.index} of page table {written.table} (page {written.vpn:#x}) is set at {at_ns} ns, "
            f"while {why}"
        )
