"""A store that returned is there, unless its range was unmapped or discarded after it."""

from __future__ import annotations

from collections.abc import Mapping

from kactors.engine.observer import Finding, Hearing, Observer
from kactors.kernel.pte import within
from protocols.base import Tracepoint
from protocols.stop import Violation
from protocols.tracepoints import MmPageAlloc, PageCopied, PageMapped, RangeDiscarded, UserStore


class StoreLost(Observer):
    """Follows the latest store to each page through every frame that comes to hold the page.

    A frame's content is the number of the last store that reached it; a freshly allocated one is zero.
    """

    def __init__(self) -> None:
        self._stores = 0
        self._expected: dict[int, int] = {}
        self._content: dict[int, int] = {}
        self._discards: list[tuple[int, int]] = []

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear stores, copies, mappings and discards."""
        return {
            MmPageAlloc: self._zeroed,
            UserStore: self._store,
            PageCopied: self._copied,
            PageMapped: self._mapped,
            RangeDiscarded: self._discarded,
        }

    def _store(self, at_ns: int, who: str, store: UserStore) -> Finding:
        lost = self._check(store.vpn, store.pfn, at_ns, f"{who} stores through its TLB")
        self._stores += 1
        self._expected[store.vpn] = self._content[store.pfn] = self._stores
        return lost

    def _zeroed(self, _at_ns: int, _who: str, alloc: MmPageAlloc) -> None:
        self._content[alloc.pfn] = 0

    def _copied(self, _at_ns: int, _who: str, copied: PageCopied) -> None:
        self._content[copied.target] = self._content.get(copied.source, 0) if copied.source >= 0 else 0

    def _mapped(self, at_ns: int, who: str, mapped: PageMapped) -> Finding:
        for offset in range(1 << mapped.order):
            lost = self._check(mapped.vpn + offset, mapped.pfn + offset, at_ns, f"{who} maps another frame")
            if lost is not None:
                return lost
        return None

    def _check(self, vpn: int, pfn: int, at_ns: int, what: str) -> Finding:
        expected = self._expected.get(vpn, 0)
        if expected and self._content.get(pfn, 0) != expected and not self._being_discarded(vpn):
            text = f"page {vpn:#x}: {what} at {at_ns} ns, frame {pfn}, which does not hold the latest store"
            return Violation(property="store_lost", text=text)
        return None

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
