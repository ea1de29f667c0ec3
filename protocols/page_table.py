"""Page tables: PMD entries belong to the mm, each table's lock and PTEs to its ptl actor."""

from __future__ import annotations

import enum
from typing import Final

from protocols.base import Address, Count, Message, Pfn, PteIndex, PteValue, TableId
from protocols.scheduling import CLIENTS


class PmdState(enum.StrEnum):
    """What a PMD entry holds.

    NONE is ambiguous: never populated, or under collapse (the mail's THP question). COLLAPSING is the answer that the
    mail proposes: not present for the hardware and for whoever looks for a page table, and yet nobody's to populate;
    only khugepaged sets it (where the policy asks for it), and ends it.
    """

    NONE = "none"
    TABLE = "table"
    HUGE = "huge"
    COLLAPSING = "collapsing"


class ReadPmd(Message, sender=CLIENTS, receiver=("mm",), reply=("Pmd",)):
    """Read the PMD entry of an address without a lock (also the hardware walker's read)."""

    address: Address


class Pmd(Message, sender=("mm",), receiver=CLIENTS):
    """One PMD entry: a table's number, or the first frame of a huge page."""

    state: PmdState
    table: TableId
    pfn: Pfn


class InstallTable(Message, sender=("cpu",), receiver=("mm",), reply=("TableInstalled",)):
    """pte_alloc A5: install a page table under pmd_lock, unless somebody else did meanwhile."""

    address: Address
    pfn: Pfn


class TableInstalled(Message, sender=("mm",), receiver=("cpu",)):
    """The table now in place; ``used`` is false when the caller must free its page."""

    table: TableId
    used: bool


class PmdLock(Message, sender=CLIENTS, receiver=("mm",), reply=("Pmd",)):
    """Take pmd_lock of an address (spin); the answer is the entry under the lock."""

    address: Address


class PmdUnlock(Message, sender=CLIENTS, receiver=("mm",)):
    """Release pmd_lock."""

    address: Address


class ClearPmd(Message, sender=("khugepaged",), receiver=("mm",)):
    """Collapse E4: pmdp_collapse_flush clears the entry under pmd_lock; ``left`` is what it leaves there."""

    address: Address
    left: PmdState


class RestorePmd(Message, sender=("khugepaged",), receiver=("mm",)):
    """Collapse E6: a failed collapse puts the old entry back under pmd_lock, whatever mark it had left there."""

    address: Address
    table: TableId


class InstallHuge(Message, sender=CLIENTS, receiver=("mm",)):
    """Collapse E8 or a huge fault A6: point the PMD at a huge page under pmd_lock.

    The page table behind it is deposited for a later split: the collapsed one, or a new one in ``table_pfn``.
    """

    address: Address
    pfn: Pfn
    table_pfn: Pfn


class ZapHuge(Message, sender=("cpu",), receiver=("mm",), reply=("HugeZapped",)):
    """Clear a huge PMD under pmd_lock; the deposited table goes back to the caller with the page."""

    address: Address


class HugeZapped(Message, sender=("mm",), receiver=("cpu",)):
    """What hung there: the huge page's first frame and the deposited table (-1 = none)."""

    pfn: Pfn
    table: TableId


class SplitHuge(Message, sender=("cpu",), receiver=("mm",), reply=("Pmd",)):
    """Turn a huge PMD back into its deposited table (split_huge_pmd), which the mm fills."""

    address: Address


class DetachTables(Message, sender=("cpu",), receiver=("mm",), reply=("TablesDetached",)):
    """munmap D3: clear the PMD entries in the range that no VMA covers any more (free_pgtables), under pmd_lock."""

    start: Address
    end: Address


class TablesDetached(Message, sender=("mm",), receiver=("cpu",)):
    """The tables that hang nowhere any more; they may be freed once no walker can hold them."""

    tables: tuple[TableId, ...]


class ReadPte(Message, sender=CLIENTS, receiver=("ptl",), reply=("Pte",)):
    """Read one PTE without the lock (also the hardware walker's read)."""

    index: PteIndex


class Pte(Message, sender=("ptl",), receiver=CLIENTS):
    """The entry's value at one moment."""

    value: PteValue


class LockPte(Message, sender=CLIENTS, receiver=("ptl",), reply=("PteLocked",)):
    """Take the PTE lock, spinning as long as it takes."""

    index: PteIndex


class TrylockPte(Message, sender=("cpu",), receiver=("ptl",), reply=("PteLocked", "PteLockBusy")):
    """SPF C12.iii: take the PTE lock only if it is free."""

    index: PteIndex


class PteLocked(Message, sender=("ptl",), receiver=CLIENTS):
    """The lock is the caller's; the named entry cannot change until he unlocks."""

    value: PteValue


class PteLockBusy(Message, sender=("ptl",), receiver=("cpu",)):
    """Somebody holds the lock."""


class SetPte(Message, sender=("cpu",), receiver=("ptl",)):
    """Write one entry; only the holder of the lock may."""

    index: PteIndex
    value: PteValue


class UnlockPte(Message, sender=CLIENTS, receiver=("ptl",)):
    """Release the PTE lock."""


class ZapPtes(Message, sender=CLIENTS, receiver=("ptl",), reply=("PtesZapped",)):
    """Clear the present entries first..last-1; only the holder of the lock may."""

    first: PteIndex
    last: PteIndex


class PtesZapped(Message, sender=("ptl",), receiver=CLIENTS):
    """The frames that were mapped, in index order; ``written``: those whose entry let stores through."""

    pfns: tuple[Pfn, ...]
    written: tuple[Pfn, ...]


class MapPtes(Message, sender=("cpu",), receiver=("ptl",), reply=("PtesMapped",)):
    """Fault-around: write those of the entries (index, value) that are none; only the holder of the lock may."""

    entries: tuple[tuple[PteIndex, PteValue], ...]


class PtesMapped(Message, sender=("ptl",), receiver=("cpu",)):
    """Which of them were none."""

    indexes: tuple[PteIndex, ...]


class ProtectPtes(Message, sender=("cpu",), receiver=("ptl",), reply=("PtesProtected",)):
    """Set the write permission of the present entries first..last-1; only the holder of the lock may."""

    first: PteIndex
    last: PteIndex
    writable: bool


class PtesProtected(Message, sender=("ptl",), receiver=("cpu",)):
    """How many entries changed (none: no flush is needed)."""

    changed: Count


class ScanPtes(Message, sender=("khugepaged",), receiver=("ptl",), reply=("PtesScanned",)):
    """Collapse E0 and E5: read all entries at once (under the lock when isolating)."""


class PtesScanned(Message, sender=("ptl",), receiver=("khugepaged",)):
    """Every present entry as (index, value)."""

    entries: tuple[tuple[PteIndex, PteValue], ...]


class FillTable(Message, sender=("mm",), receiver=("ptl",)):
    """split_huge_pmd: the deposited table takes over the frames pfn.. of the huge page."""

    pfn: Pfn
    writable: bool


class FreeTable(Message, sender=CLIENTS, receiver=("ptl",), reply=("TableFreed",)):
    """The table is freed: from here on nobody may touch it."""


class TableFreed(Message, sender=("ptl",), receiver=CLIENTS):
    """The frame that held the table."""

    pfn: Pfn


class NextScanRange(Message, sender=("khugepaged",), receiver=("mm",), reply=("ScanRange",)):
    """The next PMD range, after an address, that lies wholly in a MADV_HUGEPAGE area and has a page table."""

    after: Address


class ScanRange(Message, sender=("mm",), receiver=("khugepaged",)):
    """Where it is (-1: nothing left in this round), its VMA and its table."""

    address: Address
    vma_id: Count
    table: TableId


UNLOCK_PTE: Final = UnlockPte()
PTE_LOCK_BUSY: Final = PteLockBusy()
SCAN_PTES: Final = ScanPtes()
FREE_TABLE: Final = FreeTable()
PMD_NONE: Final = Pmd(state=PmdState.NONE, table=-1, pfn=-1)
PMD_COLLAPSING: Final = Pmd(state=PmdState.COLLAPSING, table=-1, pfn=-1)
