"""Per-VMA locks without one of their steps (H1, H2, H5 to H8, E3)."""

from __future__ import annotations

from typing import ClassVar

from kactors.policies.broken.base import Broken
from kactors.policies.per_vma import PerVma


class NoLockSequenceRecheck(Broken, PerVma):
    """Does not look at vm_lock_seq again once it is counted as a reader (H1, H7).

    A writer that has drained the readers before goes on writing: khugepaged has cleared the PMD, the fault allocates a
    page table and maps a page, and the huge PMD covers both. Caught by store_lost.
    """

    name: ClassVar[str] = "broken-per-vma-no-sequence-recheck"
    drops: ClassVar[tuple[str, ...]] = ("lock_sequence_recheck",)
    caught_by: ClassVar[str | None] = "store_lost"


class NoLockedBounds(Broken, PerVma):
    """Does not ask whether the area that it has locked still holds the address (H2).

    Between the RCU walk and the lock munmap splits the area and is done. Caught by pte_in_unmapped_area.
    """

    name: ClassVar[str] = "broken-per-vma-no-bounds"
    drops: ClassVar[tuple[str, ...]] = ("locked_bounds",)
    caught_by: ClassVar[str | None] = "pte_in_unmapped_area"


class NoDrain(Broken, PerVma):
    """Writers lock a VMA without waiting for the faults inside (H5, H8).

    One of them then sets its PTE in a table whose pages khugepaged has isolated. Caught by pte_under_cleared_pmd.
    """

    name: ClassVar[str] = "broken-per-vma-no-drain"
    drops: ClassVar[tuple[str, ...]] = ("wait_for_readers",)
    caught_by: ClassVar[str | None] = "pte_under_cleared_pmd"


class NoCollapseLock(Broken, PerVma):
    """khugepaged does not write-lock the VMA (E3), and faults go on during the collapse.

    Caught by pte_under_cleared_pmd.
    """

    name: ClassVar[str] = "broken-per-vma-no-collapse-lock"
    drops: ClassVar[tuple[str, ...]] = ("collapse_start_write",)
    caught_by: ClassVar[str | None] = "pte_under_cleared_pmd"
