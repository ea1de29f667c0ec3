"""Page table entries as numbers: 0 is none, else the frame number shifted by two, the write and the present bit."""

from __future__ import annotations

from collections.abc import Mapping
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


def within(keys: Mapping[int, object], first: int, last: int) -> list[int]:
    """Return the keys in first..last-1, ascending; looks at the fewer of the range and the mapping."""
    if last - first <= len(keys):
        return [key for key in range(first, last) if key in keys]
    return sorted(key for key in keys if first <= key < last)
