"""Page table entries as numbers: 0 is none, otherwise the frame number shifted by two, the write bit and the present bit."""

from __future__ import annotations

from typing import Final

PTE_NONE: Final = 0
PRESENT: Final = 1
WRITE: Final = 2
ZERO_PFN: Final = 1 << 40
"""The shared zero page: a read of a page that nobody wrote maps it; it is never allocated or freed."""


def mk_pte(pfn: int, *, write: bool) -> int:
    """Return the entry that maps ``pfn``."""
    return pfn << 2 | (WRITE if write else 0) | PRESENT


def pte_pfn(pte: int) -> int:
    """Return the frame that a present entry maps."""
    return pte >> 2


def pte_write(pte: int) -> bool:
    """Return whether stores may go through the entry."""
    return bool(pte & WRITE)


def allows(pte: int, *, write: bool) -> bool:
    """Return whether the hardware lets the access through."""
    return bool(pte & WRITE) if write else bool(pte & PRESENT)
