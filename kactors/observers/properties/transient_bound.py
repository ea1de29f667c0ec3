"""Pages that are allocated and not yet mapped stay within the bound that the fault policy itself states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kactors.engine.observer import Finding, Hearing
from kactors.observers.properties.base import Property
from protocols.base import Tracepoint
from protocols.tracepoints import MmPageAlloc, MmPageFree, PageDiscarded, PageMapped, TransientStated

NOTHING_STATED = -2
NO_BOUND = -1


class TransientBound(Property):
    """``FaultPolicy.transient_pages_max`` holds; a policy that states none is not judged.

    A fault allocates one page before it takes the PTE lock (A8, C11), and has mapped or freed it (A10, C13, C14) before
    its thread can fault again: so there are at most as many as threads (G5).
    """

    name: ClassVar[str] = "transient_bound"
    adds: ClassVar[frozenset[type[Tracepoint]]] = frozenset({MmPageAlloc})
    takes: ClassVar[frozenset[type[Tracepoint]]] = frozenset({PageMapped, PageDiscarded, MmPageFree, TransientStated})

    def __init__(self) -> None:
        self._policy = ""
        self._bound = NOTHING_STATED
        self._in_flight: dict[int, int] = {}

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear the bound, and a page's allocation and fate."""
        return {
            TransientStated: self._stated,
            MmPageAlloc: self._alloc,
            PageMapped: self._settled,
            PageDiscarded: self._settled,
            MmPageFree: self._settled,
        }

    def _stated(self, _at_ns: int, _who: str, stated: TransientStated) -> None:
        """Faults that are under way keep to the policy with which they began, so the wider bound holds."""
        self._policy = stated.policy
        if NO_BOUND in (self._bound, stated.pages):
            self._bound = NO_BOUND
        else:
            self._bound = max(self._bound, stated.pages)

    def _alloc(self, at_ns: int, who: str, alloc: MmPageAlloc) -> Finding:
        self._in_flight[alloc.pfn] = alloc.address
        count = len(self._in_flight)
        if self._bound < 0 or count <= self._bound:
            return None
        there = sum(address == alloc.address for address in self._in_flight.values())
        return self.violated(
            f"{who} allocates for {alloc.address:#x} at {at_ns} ns: {count} pages are on their way ({there} of them "
            f"for this address), and {self._policy} states {self._bound} at most"
        )

    def _settled(self, _at_ns: int, _who: str, page: PageMapped | PageDiscarded | MmPageFree) -> None:
        self._in_flight.pop(page.pfn, None)
