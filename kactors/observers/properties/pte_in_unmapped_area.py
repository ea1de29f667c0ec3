"""No page is mapped where no area is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kactors.engine.observer import Finding, Hearing
from kactors.observers.properties.base import Property
from protocols.base import Tracepoint
from protocols.tracepoints import PageMapped, PteSet, RangeMapped, RangeUnmapped


class PteInUnmappedArea(Property):
    """After munmap has returned no PTE is set in what it unmapped, unless somebody has mapped an area there again.

    Between the detaching of an area and the end of munmap a fault that began before may still map: munmap clears that
    entry too, for it takes the same PTE lock (D3). Whoever comes later must find the area gone: A3 under mmap_sem, H1,
    C12.i and C12.iv (the node is not in the tree, vm_sequence has moved).
    """

    name: ClassVar[str] = "pte_in_unmapped_area"

    def __init__(self) -> None:
        self._areas: list[tuple[int, int]] = []

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear areas come and go, and entries being written."""
        return {
            RangeMapped: self._range_mapped,
            RangeUnmapped: self._range_unmapped,
            PteSet: self._pte_set,
            PageMapped: self._page_mapped,
        }

    def _range_mapped(self, _at_ns: int, _who: str, mapped: RangeMapped) -> None:
        """Add a range; areas that touch are one here."""
        first, last, apart = mapped.first, mapped.last, []
        for area in self._areas:
            if area[1] < first or last < area[0]:
                apart.append(area)
            else:
                first, last = min(first, area[0]), max(last, area[1])
        self._areas = sorted([*apart, (first, last)])

    def _range_unmapped(self, _at_ns: int, _who: str, unmapped: RangeUnmapped) -> None:
        pieces = [
            piece
            for first, last in self._areas
            for piece in ((first, min(last, unmapped.first)), (max(first, unmapped.last), last))
        ]
        self._areas = sorted({(first, last) for first, last in pieces if first < last})

    def _pte_set(self, at_ns: int, _who: str, written: PteSet) -> Finding:
        if self._inside(written.vpn):
            return None
        return self.violated(
            f"PTE {written.index} of page table {written.table} is set at {at_ns} ns, but page {written.vpn:#x} lies "
            "in no area: munmap has returned, or nobody has mapped one there"
        )

    def _page_mapped(self, at_ns: int, _who: str, mapped: PageMapped) -> Finding:
        """Small pages were told by PteSet."""
        if not mapped.order or self._inside(mapped.vpn):
            return None
        return self.violated(
            f"a huge PMD is set at {at_ns} ns, but page {mapped.vpn:#x} lies in no area: munmap has returned, or "
            "nobody has mapped one there"
        )

    def _inside(self, vpn: int) -> bool:
        return any(first <= vpn < last for first, last in self._areas)
