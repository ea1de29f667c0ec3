"""No PTE is set in a page table that does not hang at its PMD: nobody will ever find it there."""

from __future__ import annotations

from collections.abc import Mapping

from kactors.engine.observer import Finding, Hearing, Observer
from protocols.base import Tracepoint
from protocols.stop import Violation
from protocols.tracepoints import PmdChanged, PteSet


class PteUnderClearedPmd(Observer):
    """While khugepaged collapses, the PMD is none: a speculation must not set a PTE then (E4, C12)."""

    def __init__(self) -> None:
        self._tables: dict[int, int] = {}

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear PMD changes and PTE writes."""
        return {PmdChanged: self._pmd_changed, PteSet: self._pte_set}

    def _pmd_changed(self, _at_ns: int, _who: str, changed: PmdChanged) -> None:
        self._tables[changed.address] = changed.table

    def _pte_set(self, at_ns: int, who: str, written: PteSet) -> Finding:
        if self._tables.get(written.pmd_address) == written.table:
            return None
        text = (
            f"{who}: PTE {written.index} set at {at_ns} ns, while the PMD of {written.pmd_address:#x} points elsewhere"
        )
        return Violation(property="pte_under_cleared_pmd", text=text)
