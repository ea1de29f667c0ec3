"""No PTE is set in a page table that does not hang at its PMD: nobody will ever find it there."""

from __future__ import annotations

from collections.abc import Mapping

from kactors.engine.observer import Finding, Hearing, Observer
from protocols.base import Tracepoint
from protocols.stop import Violation
from protocols.tracepoints import PagesIsolated, PmdChanged, PteSet

ISOLATED = -2


class PteUnderClearedPmd(Observer):
    """While khugepaged collapses, the PMD is none: nobody may set a PTE that the collapse will miss (E4, C12).

    Between the clearing and the isolation of the pages a PTE may still be set: the collapse waits for the PTE lock, and
    isolates that page with the others. After the isolation, or in a table that munmap took out, it is lost.
    """

    def __init__(self) -> None:
        self._tables: dict[int, int] = {}

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear PMD changes, isolations and PTE writes."""
        return {PmdChanged: self._pmd_changed, PagesIsolated: self._isolated, PteSet: self._pte_set}

    def _pmd_changed(self, _at_ns: int, _who: str, changed: PmdChanged) -> None:
        if not changed.collapsing:
            self._tables[changed.address] = changed.table

    def _isolated(self, _at_ns: int, _who: str, isolated: PagesIsolated) -> None:
        self._tables[isolated.address] = ISOLATED

    def _pte_set(self, at_ns: int, who: str, written: PteSet) -> Finding:
        hanging = self._tables.get(written.pmd_address)
        if hanging == written.table:
            return None
        why = "a collapse has isolated its pages" if hanging == ISOLATED else "it does not hang at its PMD"
        text = f"{who}: PTE {written.index} set at {at_ns} ns, while {why}"
        return Violation(property="pte_under_cleared_pmd", text=text)
