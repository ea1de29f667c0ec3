"""Every frame has one place: free, in somebody's hands, holding a page table, in a file, or mapped at one page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypeAlias

from kactors.engine.observer import Finding, Hearing
from kactors.kernel.pte import ZERO_PFN
from kactors.observers.properties.base import Property
from protocols.base import Tracepoint
from protocols.set_up import FilePagesFound
from protocols.tracepoints import (
    FramePutBack,
    FrameTaken,
    MmFilemapAddToPageCache,
    MmPageAlloc,
    MmPageFree,
    PageDiscarded,
    PageMapped,
    PagesFound,
    PagesUnmapped,
    TableDestroyed,
    TableMade,
    UserLoad,
    UserStore,
)

UNMAPPED = "took it out of page"

Hands: TypeAlias = tuple[str, str, int]
"""Why a frame is in somebody's hands: who, what he did, and the page, address or table that he did it for."""


class PageAccounting(Property):
    """No frame is mapped twice, leaked, freed twice, allocated twice, freed while mapped, or used once it is freed.

    The re-check of the PTE under its lock lets one of several racing faults map and the others free theirs (A10, C13,
    C14); munmap frees what it has cleared itself, once (D3); a collapse frees what it has isolated (E7), and a PTE that
    is set behind its back (C12) is a page that nobody frees. The flush comes before the free (D3, F3). A leak can be
    judged at the end only, when nothing is under way. A frame of the page cache may be mapped at many pages, and nobody
    frees it.
    """

    name: ClassVar[str] = "page_accounting"

    def __init__(self) -> None:
        self._hands: dict[int, Hands] = {}
        self._mapped: dict[int, int] = {}
        self._pages: dict[int, int] = {}
        self._tables: dict[int, int] = {}
        self._files: dict[int, int] = {}

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear all that happens to a frame."""
        return {
            MmPageAlloc: self._allocated,
            FrameTaken: self._taken,
            PageMapped: self._page_mapped,
            PagesFound: self._found,
            PagesUnmapped: self._unmapped,
            PageDiscarded: self._discarded,
            MmPageFree: self._freed,
            FramePutBack: self._freed,
            MmFilemapAddToPageCache: self._added_to_page_cache,
            FilePagesFound: self._found_in_file,
            TableMade: self._table_made,
            TableDestroyed: self._table_destroyed,
            UserStore: self._used,
            UserLoad: self._used,
        }

    def finish(self, at_ns: int) -> Finding:
        """Whatever is in somebody's hands at the end is lost."""
        if not self._hands:
            return None
        pfn = min(self._hands)
        more = f", and {len(self._hands) - 1} more" if len(self._hands) > 1 else ""
        return self.violated(f"leaked by {at_ns} ns: frame {pfn} ({self._where(pfn)}){more}; nothing maps or frees it")

    # --- into somebody's hands ---------------------------------------------------------------------------------------

    def _allocated(self, at_ns: int, who: str, alloc: MmPageAlloc) -> Finding:
        return self._take(alloc.pfn, (who, "allocated it for the fault at", alloc.address), at_ns)

    def _taken(self, at_ns: int, who: str, taken: FrameTaken) -> Finding:
        for pfn in range(taken.pfn, taken.pfn + (1 << taken.order)):
            finding = self._take(pfn, (who, "took it in a block that begins with frame", taken.pfn), at_ns)
            if finding is not None:
                return finding
        return None

    def _take(self, pfn: int, hands: Hands, at_ns: int) -> Finding:
        where = self._where(pfn)
        self._hands[pfn] = hands
        return (
            self.violated(f"{hands[0]} is given frame {pfn} at {at_ns} ns, which is in use: {where}") if where else None
        )

    # --- into page tables and out of them ----------------------------------------------------------------------------

    def _page_mapped(self, at_ns: int, who: str, mapped: PageMapped) -> Finding:
        for offset in range(1 << mapped.order):
            finding = self._map(mapped.pfn + offset, mapped.vpn + offset, f"{who} maps", at_ns)
            if finding is not None:
                return finding
        return None

    def _found(self, at_ns: int, who: str, found: PagesFound) -> Finding:
        for vpn, pfn in enumerate(found.pfns, found.first):
            hands = (who, "begins with it at page", vpn)
            finding = None if pfn in self._files else self._take(pfn, hands, at_ns)
            finding = finding or self._map(pfn, vpn, f"{who} begins with", at_ns)
            if finding is not None:
                return finding
        return None

    def _map(self, pfn: int, vpn: int, what: str, at_ns: int) -> Finding:
        """A frame that is mapped there already has got other rights."""
        before, there = self._mapped.get(pfn, vpn), self._pages.get(vpn, pfn)
        if there == pfn and pfn in self._files:
            self._pages[vpn] = pfn
            return None
        if before == vpn and there == pfn and (pfn in self._hands or pfn in self._mapped):
            self._hands.pop(pfn, None)
            self._mapped[pfn], self._pages[vpn] = vpn, pfn
            return None
        if there != pfn:
            return self.violated(f"{what} frame {pfn} at page {vpn:#x} at {at_ns} ns, where frame {there} is mapped")
        where = self._where(pfn) or "it is free"
        return self.violated(f"{what} frame {pfn} at page {vpn:#x} at {at_ns} ns, but {where}")

    def _unmapped(self, _at_ns: int, who: str, unmapped: PagesUnmapped) -> None:
        for first, first_vpn in zip(unmapped.pfns, unmapped.vpns, strict=True):
            for offset in range(1 << unmapped.order):
                pfn, vpn = first + offset, first_vpn + offset
                if pfn in self._files:
                    self._pages.pop(vpn, None)
                elif self._mapped.get(pfn) == vpn:
                    del self._mapped[pfn], self._pages[vpn]
                    self._hands[pfn] = (who, UNMAPPED, vpn)

    def _added_to_page_cache(self, at_ns: int, who: str, added: MmFilemapAddToPageCache) -> Finding:
        """Out of the hands of who has filled a hole; a page from before the run was in nobody's."""
        self._hands.pop(added.pfn, None)
        where = self._where(added.pfn)
        self._files[added.pfn] = added.file
        if not where:
            return None
        return self.violated(f"{who} puts frame {added.pfn} into file {added.file} at {at_ns} ns, but {where}")

    def _found_in_file(self, at_ns: int, who: str, found: FilePagesFound) -> Finding:
        for pfn in found.pfns:
            where = self._where(pfn)
            if where:
                return self.violated(f"{who} begins with frame {pfn} in file {found.file} at {at_ns} ns, but {where}")
            self._files[pfn] = found.file
        return None

    def _table_made(self, _at_ns: int, _who: str, made: TableMade) -> None:
        self._hands.pop(made.pfn, None)
        self._tables[made.pfn] = made.table

    def _table_destroyed(self, at_ns: int, _who: str, destroyed: TableDestroyed) -> Finding:
        self._tables.pop(destroyed.pfn, None)
        self._hands[destroyed.pfn] = (destroyed.who, "ended page table", destroyed.table)
        if not destroyed.pfns:
            return None
        return self.violated(
            f"{destroyed.who} frees page table {destroyed.table} at {at_ns} ns while it maps {len(destroyed.pfns)} "
            f"pages, frame {destroyed.pfns[0]} among them: nobody will free them"
        )

    def _used(self, at_ns: int, who: str, use: UserStore | UserLoad) -> Finding:
        """Between the clearing of its entry and the flush a page may still be used, but not once it is freed."""
        pfn, vpn = use.pfn, use.vpn
        if pfn == ZERO_PFN or pfn in self._files or self._mapped.get(pfn) == vpn:
            return None
        if self._hands.get(pfn, ("", "", -1))[1:] == (UNMAPPED, vpn):
            return None
        where = self._where(pfn) or "it is free"
        return self.violated(f"{who} uses frame {pfn} as page {vpn:#x} at {at_ns} ns, but {where}")

    # --- back to the allocator ---------------------------------------------------------------------------------------

    def _discarded(self, at_ns: int, who: str, discarded: PageDiscarded) -> Finding:
        return self._free(discarded.pfn, who, at_ns)

    def _freed(self, at_ns: int, who: str, freed: MmPageFree | FramePutBack) -> Finding:
        for pfn in range(freed.pfn, freed.pfn + (1 << freed.order)):
            finding = self._free(pfn, who, at_ns)
            if finding is not None:
                return finding
        return None

    def _free(self, pfn: int, who: str, at_ns: int) -> Finding:
        if self._hands.pop(pfn, None) is not None:
            return None
        where = self._where(pfn) or "it is free already (double free)"
        return self.violated(f"{who} frees frame {pfn} at {at_ns} ns, but {where}")

    def _where(self, pfn: int) -> str:
        """Say in words where a frame is; empty when it is free."""
        if pfn in self._mapped:
            return f"page {self._mapped[pfn]:#x} maps it"
        if pfn in self._files:
            return f"file {self._files[pfn]} holds it"
        if pfn in self._tables:
            return f"it holds page table {self._tables[pfn]}"
        if pfn in self._hands:
            who, what, which = self._hands[pfn]
            return f"{who} {what} {which:#x}" if what.endswith(("at", "page")) else f"{who} {what} {which}"
        return ""
