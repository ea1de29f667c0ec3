"""SPF without one or several of the checks of pte_map_lock (C12)."""

from __future__ import annotations

from typing import ClassVar

from kactors.policies.broken.base import Broken
from kactors.policies.spf_v9 import SpfV9


class BlockingSpin(Broken, SpfV9):
    """Waits for the PTE lock with irqs off: deadlocks with whoever holds it while waiting for this CPU's IPI ack.

    C12.iii. Caught as a deadlock, where munmap's batch is full and it flushes under the PTE lock.
    """

    name: ClassVar[str] = "broken-blocking-spin"
    drops: ClassVar[tuple[str, ...]] = ("trylock",)
    caught_by: ClassVar[str | None] = "deadlock"


class CommitIrqsOn(Broken, SpfV9):
    """Takes IPIs between the checks and the PTE lock (C12): munmap frees the table that the lock is in.

    Caught by freed_table_touched.
    """

    name: ClassVar[str] = "broken-commit-irqs-on"
    drops: ClassVar[tuple[str, ...]] = ("commit_irqs_off",)
    caught_by: ClassVar[str | None] = "freed_table_touched"


class NoFirstCheck(Broken, SpfV9):
    """Does not look at the VMA before it takes the PTE lock (C12.i). Harmless: it looks after."""

    name: ClassVar[str] = "broken-no-first-check"
    drops: ClassVar[tuple[str, ...]] = ("first_vma_check",)
    caught_by: ClassVar[str | None] = None
    harmless_because: ClassVar[str] = (
        "C12.iv asks the same under the PTE lock, and C12.ii keeps it from locking a table that munmap or a collapse "
        "has taken out"
    )


class NoLastCheck(Broken, SpfV9):
    """Does not look at the VMA again under the PTE lock (C12.iv).

    A munmap that finds nothing mapped needs no flush, so irqs off do not hold it up: it passes between C12.i and the
    lock. Caught by pte_in_unmapped_area.
    """

    name: ClassVar[str] = "broken-no-last-check"
    drops: ClassVar[tuple[str, ...]] = ("last_vma_check",)
    caught_by: ClassVar[str | None] = "pte_in_unmapped_area"


class NoPmdCheck(Broken, SpfV9):
    """Does not look at the PMD again (C12.ii). Harmless: whoever clears a PMD has moved vm_sequence before."""

    name: ClassVar[str] = "broken-no-pmd-check"
    drops: ClassVar[tuple[str, ...]] = ("pmd_check",)
    caught_by: ClassVar[str | None] = None
    harmless_because: ClassVar[str] = (
        "a collapse makes vm_sequence odd before it clears the PMD (E3, E4), and munmap detaches the area before it "
        "takes tables out (D3): C12.i sees either before the table can be freed, since irqs are off, and C12.iv sees "
        "it under the lock"
    )


class NoVmaChecks(Broken, SpfV9):
    """Does not look at the VMA in the commit at all (C12.i and C12.iv). Caught by pte_in_unmapped_area."""

    name: ClassVar[str] = "broken-no-vma-checks"
    drops: ClassVar[tuple[str, ...]] = ("first_vma_check", "last_vma_check")
    caught_by: ClassVar[str | None] = "pte_in_unmapped_area"


class NoChecks(Broken, SpfV9):
    """Irqs off as it should be, but neither VMA nor PMD looked at in the commit. Caught by pte_under_cleared_pmd."""

    name: ClassVar[str] = "broken-no-checks"
    drops: ClassVar[tuple[str, ...]] = ("first_vma_check", "pmd_check", "last_vma_check")
    caught_by: ClassVar[str | None] = "pte_under_cleared_pmd"
