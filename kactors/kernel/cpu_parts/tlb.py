"""A CPU's translations: the TLB proper, and the walk cache that spares the page walker the upper levels."""

from __future__ import annotations

from kactors.kernel.pte import allows, within
from protocols.machine import Machine
from protocols.page_table import Pmd


class Tlb:
    """Translations by virtual page number; ``flushes`` counts invalidations.

    A walk that an invalidation overtook must start again.
    """

    def __init__(self, machine: Machine) -> None:
        self._pages_per_pmd = machine.pmd_pages
        self._page_shift = machine.page_shift
        self._entries: dict[int, int] = {}
        self._pmds: dict[int, Pmd] = {}
        self.generation = 0
        self.flushes = 0

    def lookup(self, vpn: int, *, write: bool) -> int | None:
        """Return the cached pte that lets the access through, or None."""
        pte = self._entries.get(vpn)
        return pte if pte is not None and allows(pte, write=write) else None

    def fill(self, vpn: int, pte: int) -> None:
        """Cache a translation."""
        self._entries[vpn] = pte

    def pmd(self, vpn: int) -> Pmd | None:
        """Return the walk cache's PMD entry for a page."""
        return self._pmds.get(vpn // self._pages_per_pmd)

    def fill_pmd(self, vpn: int, pmd: Pmd) -> None:
        """Cache a present PMD entry."""
        self._pmds[vpn // self._pages_per_pmd] = pmd

    def invalidate(self, start: int, end: int) -> None:
        """Drop the range's translations, and the walk cache of every PMD that it touches."""
        self.flushes += 1
        first, last = start >> self._page_shift, -(-end >> self._page_shift)
        for vpn in within(self._entries, first, last):
            del self._entries[vpn]
        for index in range(first // self._pages_per_pmd, (last - 1) // self._pages_per_pmd + 1):
            self._pmds.pop(index, None)

    def clear(self) -> None:
        """Drop everything."""
        self.flushes += 1
        self._entries.clear()
        self._pmds.clear()
