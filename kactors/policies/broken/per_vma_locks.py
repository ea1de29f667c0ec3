"""Per-VMA locks without one of their steps (H1, H2, H5 to H8, E3)."""

from __future__ import annotations

from typing import ClassVar

from kactors.policies.broken.base import Broken
from kactors.policies.per_vma_6_15 import PerVma615


class NoLockSequenceRecheck(Broken, PerVma615):
    """Does not look at vm_lock_seq again once it is counted as a reader (H1, H7).

    A writer that has drained the readers before goes on writing: khugepaged has cleared the PMD, and the fault hangs a
    page table there, which the huge PMD will cover. Caught by pmd_populated_under_collapse.
    """

    name: ClassVar[str] = "broken-per-vma-no-sequence-recheck"
    drops: ClassVar[tuple[str, ...]] = ("lock_sequence_recheck",)
    caught_by: ClassVar[str | None] = "pmd_populated_under_collapse"


class NoLockedBounds(Broken, PerVma615):
    """Does not ask whether the area that it has locked still holds the address (H2).

    Between the RCU walk and the lock munmap splits the area and is done. Caught by pte_in_unmapped_area.
    """

    name: ClassVar[str] = "broken-per-vma-no-bounds"
    drops: ClassVar[tuple[str, ...]] = ("locked_bounds",)
    caught_by: ClassVar[str | None] = "pte_in_unmapped_area"


class NoDrain(Broken, PerVma615):
    """Writers lock a VMA without waiting for the faults inside (H5, H8).

    One of them finds the PMD that khugepaged has cleared and hangs a page table there, or sets its PTE in the old one.
    Caught by pmd_populated_under_collapse.
    """

    name: ClassVar[str] = "broken-per-vma-no-drain"
    drops: ClassVar[tuple[str, ...]] = ("wait_for_readers",)
    caught_by: ClassVar[str | None] = "pmd_populated_under_collapse"


class NoCollapseLock(Broken, PerVma615):
    """khugepaged does not write-lock the VMA (E3), and faults go on during the collapse.

    Caught by pmd_populated_under_collapse.
    """

    name: ClassVar[str] = "broken-per-vma-no-collapse-lock"
    drops: ClassVar[tuple[str, ...]] = ("collapse_start_write",)
    caught_by: ClassVar[str | None] = "pmd_populated_under_collapse"
