"""The struct pages: each is a cache line, and where the CPU that handled the page last has left it, there it is.

Not a queue, for one CPU handles a page at a time: only the line's way counts. A line that nobody has handled yet is in
memory, beside its neighbours, and comes as the prefetcher fetches it: other costs have that.
"""

from __future__ import annotations

from collections.abc import Iterable

from protocols.machine import Machine


class MemMap:
    """Which CPU handled each page last.

    Args:
        machine: distances, and how many lines a struct page has that move.
    """

    __slots__ = ("_last", "_machine")

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._last: dict[int, int] = {}

    def fetch_ns(self, pfns: Iterable[int], cpu: int) -> int:
        """Return how long ``cpu`` waits for the struct pages of some frames, one after the other; they are its now."""
        lines = self._machine.page_lines
        if not lines:
            return 0
        last, transfer_ns, total_ns = self._last, self._machine.transfer_ns, 0
        for pfn in pfns:
            handler = last.get(pfn, cpu)
            if handler != cpu:
                total_ns += transfer_ns(handler, cpu)
            last[pfn] = cpu
        return lines * total_ns
