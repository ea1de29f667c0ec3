"""Where the processes of a machine have their areas: each apart from all others, so that an address says whose it is.

Address space randomisation does the same to real ones, though not as regularly.
"""

from __future__ import annotations

from dataclasses import dataclass

MMAP_BASE = 0x7F00_0000_0000
MMAP_SPAN = 0x2000_0000_0000
"""All processes' mmap areas lie within this much below MMAP_BASE, where there are several."""
START_BRK = 0x5600_0000_0000
"""Where x86-64 puts the heap of a position-independent program, to the order of magnitude: far below the mmap area."""
HEAP_SPAN = 0x0200_0000_0000
LOWEST = 1 << 16
"""mmap_min_addr."""
ALIGNMENT = 1 << 24
"""A multiple of what one PMD maps, on every machine."""


@dataclass(frozen=True)
class Space:
    """One process's part.

    Attributes:
        number: the process's.
        mmap_base: where its areas begin, downwards.
        lowest: the lowest address that mmap gives to it.
        start_brk: where its heap begins, upwards.
    """

    number: int
    mmap_base: int
    lowest: int
    start_brk: int


@dataclass(frozen=True)
class Layout:
    """The address spaces of ``processes`` processes, numbered from 0."""

    processes: int = 1

    def space(self, number: int) -> Space:
        """Return a process's part."""
        stride = self._stride(MMAP_SPAN)
        mmap_base = MMAP_BASE - number * stride
        lowest = LOWEST if self.processes == 1 else mmap_base - stride
        return Space(number, mmap_base, lowest, START_BRK + number * self._stride(HEAP_SPAN))

    def process_of(self, address: int) -> int:
        """Return the number of the process whose address it is."""
        if self.processes == 1:
            return 0
        if address >= START_BRK + HEAP_SPAN:
            return (MMAP_BASE - 1 - address) // self._stride(MMAP_SPAN)
        return (address - START_BRK) // self._stride(HEAP_SPAN)

    def _stride(self, span: int) -> int:
        return span // self.processes // ALIGNMENT * ALIGNMENT
