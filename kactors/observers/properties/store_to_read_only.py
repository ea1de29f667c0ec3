"""No store goes through where mprotect has forbidden it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kactors.engine.observer import Finding, Hearing
from kactors.observers.properties.base import Property, cut_out
from protocols.base import Tracepoint
from protocols.tracepoints import RangeMapped, RangeProtected, UserStore


class StoreToReadOnly(Property):
    """Once mprotect has returned (or mmap, without PROT_WRITE) no store succeeds there until somebody permits it again.

    It takes three things: no fault maps a page for writing on the word of flags that were (C2, C7, D4, C12), every PTE
    loses its permission (D4), and so does every TLB (F1 to F8).
    """

    name: ClassVar[str] = "store_to_read_only"

    def __init__(self) -> None:
        self._read_only: list[tuple[int, int]] = []

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear what mmap and mprotect permit, and the stores."""
        return {RangeMapped: self._mapped, RangeProtected: self._protected, UserStore: self._store}

    def _mapped(self, _at_ns: int, _who: str, mapped: RangeMapped) -> None:
        self._permit(mapped.first, mapped.last)

    def _protected(self, _at_ns: int, _who: str, protected: RangeProtected) -> None:
        self._permit(protected.first, protected.last)
        if not protected.writable:
            self._read_only = sorted([*self._read_only, (protected.first, protected.last)])

    def _permit(self, first: int, last: int) -> None:
        self._read_only = cut_out(self._read_only, first, last)

    def _store(self, at_ns: int, who: str, store: UserStore) -> Finding:
        if not any(first <= store.vpn < last for first, last in self._read_only):
            return None
        return self.violated(
            f"{who} stores to page {store.vpn:#x} (frame {store.pfn}) at {at_ns} ns, which mprotect has made read-only"
        )
