"""What was stored is there: no access misses the latest store, unless its range was unmapped or discarded after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypeAlias

from kactors.engine.observer import Finding, Hearing
from kactors.kernel.pte import within
from kactors.observers.properties.base import Property
from protocols.base import Tracepoint
from protocols.set_up import FilePagesFound
from protocols.tracepoints import (
    FramePutBack,
    MmFilemapAddToPageCache,
    MmPageAlloc,
    MmPageFree,
    PageCopied,
    PageMapped,
    RangeDiscarded,
    UserLoad,
    UserStore,
)

Content: TypeAlias = tuple[int, int]
"""A frame's content: the page that was stored to through it, and the number of that page's store."""


class StoreLost(Property):
    """Follows the latest store to each page through every frame that comes to hold the page.

    A store through a stale TLB entry or page table goes to a frame that nobody will find; a load through one misses the
    latest store, or reads another page's. The re-check of the PTE under its lock protects a store from a second page
    (A10, C13), the flush before pages are freed or the zero page is replaced, from an access elsewhere (D3, F1 to F4),
    isolation under the PTE lock, from a collapse that copies an older content (E5 to E7). What goes to a frame of the
    page cache is the file's, and any page may find it there.
    """

    name: ClassVar[str] = "store_lost"

    def __init__(self) -> None:
        self._stores: dict[int, int] = {}
        self._expected: dict[int, int] = {}
        self._content: dict[int, Content] = {}
        self._discards: list[tuple[int, int]] = []
        self._files: set[int] = set()

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear accesses, copies, mappings and discards."""
        return {
            MmPageAlloc: self._zeroed,
            MmFilemapAddToPageCache: self._added_to_page_cache,
            FilePagesFound: self._found_in_file,
            UserStore: self._store,
            UserLoad: self._load,
            PageCopied: self._copied,
            PageMapped: self._mapped,
            RangeDiscarded: self._discarded,
            MmPageFree: self._freed,
            FramePutBack: self._freed,
        }

    def _store(self, at_ns: int, who: str, store: UserStore) -> Finding:
        lost = self._check(store.vpn, store.pfn, at_ns, f"{who} stores through its TLB")
        if store.pfn in self._files:
            return lost
        number = self._stores[store.vpn] = self._stores.get(store.vpn, 0) + 1
        self._expected[store.vpn] = number
        self._content[store.pfn] = (store.vpn, number)
        return lost

    def _load(self, at_ns: int, who: str, load: UserLoad) -> Finding:
        lost = self._check(load.vpn, load.pfn, at_ns, f"{who} loads through its TLB")
        if lost is not None:
            return lost
        page, _ = self._content.get(load.pfn, (load.vpn, 0))
        if page == load.vpn:
            return None
        return self.violated(
            f"page {load.vpn:#x}: {who} loads through its TLB at {at_ns} ns, frame {load.pfn}, which holds what was "
            f"stored to page {page:#x}"
        )

    def _added_to_page_cache(self, _at_ns: int, _who: str, added: MmFilemapAddToPageCache) -> None:
        self._content.pop(added.pfn, None)
        self._files.add(added.pfn)

    def _found_in_file(self, _at_ns: int, _who: str, found: FilePagesFound) -> None:
        self._files.update(found.pfns)

    def _zeroed(self, _at_ns: int, _who: str, alloc: MmPageAlloc) -> None:
        self._content.pop(alloc.pfn, None)

    def _freed(self, _at_ns: int, _who: str, freed: MmPageFree | FramePutBack) -> None:
        """Whoever gets the frame next clears it first."""
        for pfn in within(self._content, freed.pfn, freed.pfn + (1 << freed.order)):
            del self._content[pfn]

    def _copied(self, _at_ns: int, _who: str, copied: PageCopied) -> None:
        content = self._content.get(copied.source)
        if content is None:
            self._content.pop(copied.target, None)
        else:
            self._content[copied.target] = content

    def _mapped(self, at_ns: int, who: str, mapped: PageMapped) -> Finding:
        for vpn in within(self._expected, mapped.vpn, mapped.vpn + (1 << mapped.order)):
            lost = self._check(vpn, mapped.pfn + vpn - mapped.vpn, at_ns, f"{who} maps another frame")
            if lost is not None:
                return lost
        return None

    def _check(self, vpn: int, pfn: int, at_ns: int, what: str) -> Finding:
        expected = self._expected.get(vpn)
        if expected is None or self._content.get(pfn) == (vpn, expected) or self._being_discarded(vpn):
            return None
        return self.violated(f"page {vpn:#x}: {what} at {at_ns} ns, frame {pfn}, which does not hold the latest store")

    def _being_discarded(self, vpn: int) -> bool:
        return any(first <= vpn < last for first, last in self._discards)

    def _discarded(self, _at_ns: int, _who: str, discarded: RangeDiscarded) -> None:
        """What is stored while a discard is under way may be gone or not: nothing is expected of it."""
        span = (discarded.first, discarded.last)
        if discarded.done:
            self._discards.remove(span)
        else:
            self._discards.append(span)
        for vpn in within(self._expected, *span):
            del self._expected[vpn]
