"""Transient pages: allocated and zeroed for a fault, and not (or never) mapped. The review mail's question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeAlias

from kactors.engine.observer import Finding, Hearing, Observer
from protocols.base import Tracepoint
from protocols.result import TransientPages
from protocols.stop import BoundExceeded
from protocols.tracepoints import MmPageAlloc, PageDiscarded, PageMapped

Changed: TypeAlias = "Callable[[int, int], None]"


class TransientObserver(Observer):
    """Counts pages between their allocation and their PTE, per page address and in total.

    Args:
        page_shift: log2 of the page size.
        pages_max: stop the run when the total exceeds this; None: never.
        process_of: returns the number of the process whose address it is.

    Attributes:
        pages_max: as given; it may change while the run rests.
        on_change: called with (at_ns, page's address) after each change of the total.
        changes: how often the total has changed.
        peak, wasted: so far.
    """

    def __init__(
        self, page_shift: int, pages_max: int | None = None, process_of: Callable[[int], int] = lambda _: 0
    ) -> None:
        self._page_shift = page_shift
        self.pages_max = pages_max
        self.on_change: Changed | None = None
        self.changes = 0
        self._in_flight: dict[int, int] = {}
        self._by_page: Counter[int] = Counter()
        self._process_of = process_of
        self._by_process: Counter[int] = Counter()
        self.peak = self._peak_process = 0
        self._peak_address = 0
        self._peak_at = 0
        self._allocated = 0
        self.wasted = 0
        self._wasted_ns = 0

    @property
    def now(self) -> int:
        """Pages in flight now."""
        return len(self._in_flight)

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear a page's allocation and its fate."""
        return {MmPageAlloc: self._alloc, PageMapped: self._mapped, PageDiscarded: self._discarded}

    def summary(self, threads: int, cpus: int) -> TransientPages:
        """Return peaks beside the bounds that were proposed: threads - 1 and CPUs - 1."""
        return TransientPages(
            peak_address=self._peak_address,
            peak_mm=self._peak_process,
            peak_machine=self.peak,
            peak_at_ns=self._peak_at,
            now=len(self._in_flight),
            threads_minus_1=threads - 1,
            cpus_minus_1=cpus - 1,
            allocated=self._allocated,
            wasted=self.wasted,
            wasted_zeroing_ns=self._wasted_ns,
            wasted_bytes=self.wasted << self._page_shift,
        )

    def _alloc(self, at_ns: int, _who: str, alloc: MmPageAlloc) -> Finding:
        page = alloc.address >> self._page_shift
        self._in_flight[alloc.pfn] = page
        self._by_page[page] += 1
        self._allocated += 1
        process = self._process_of(alloc.address)
        self._by_process[process] += 1
        self._peak_process = max(self._peak_process, self._by_process[process])
        self._peak_address = max(self._peak_address, self._by_page[page])
        if len(self._in_flight) > self.peak:
            self.peak, self._peak_at = len(self._in_flight), at_ns
        self._changed(at_ns, page)
        if self.pages_max is not None and len(self._in_flight) > self.pages_max:
            cause = f"{self._by_page[page]} faults on page {page:#x} hold a page each, of {len(self._in_flight)} in all"
            bound, limit = "bounds.transient_pages_max", self.pages_max
            return BoundExceeded(bound=bound, limit=limit, value=len(self._in_flight), cause=cause)
        return None

    def _settle(self, at_ns: int, pfn: int) -> None:
        page = self._in_flight.pop(pfn, None)
        if page is not None:
            self._by_process[self._process_of(page << self._page_shift)] -= 1
            self._by_page[page] -= 1
            if not self._by_page[page]:
                del self._by_page[page]
            self._changed(at_ns, page)

    def _changed(self, at_ns: int, page: int) -> None:
        self.changes += 1
        if self.on_change is not None:
            self.on_change(at_ns, page << self._page_shift)

    def _mapped(self, at_ns: int, _who: str, mapped: PageMapped) -> None:
        self._settle(at_ns, mapped.pfn)

    def _discarded(self, at_ns: int, _who: str, discarded: PageDiscarded) -> None:
        self._settle(at_ns, discarded.pfn)
        self.wasted += 1
        self._wasted_ns += discarded.zeroing
