"""Writers that leave out a flush or a lock (D3, D4, E4, E5); their faults are those of SPF v9."""

from __future__ import annotations

from typing import ClassVar

from kactors.policies.broken.base import Broken
from kactors.policies.spf_v9 import SpfV9


class CollapseNoFlush(Broken, SpfV9):
    """khugepaged clears the PMD but flushes no TLB (E4): others go on storing to pages that it has copied and freed.

    Caught by store_lost.
    """

    name: ClassVar[str] = "broken-collapse-no-flush"
    drops: ClassVar[tuple[str, ...]] = ("collapse_flush",)
    caught_by: ClassVar[str | None] = "store_lost"


class IsolateUnlocked(Broken, SpfV9):
    """khugepaged isolates the pages without the PTE lock (E5).

    A fault that holds the lock, all its checks passed, sets its PTE after khugepaged has looked. Caught by
    pte_under_cleared_pmd.
    """

    name: ClassVar[str] = "broken-isolate-unlocked"
    drops: ClassVar[tuple[str, ...]] = ("isolate_pte_lock",)
    caught_by: ClassVar[str | None] = "pte_under_cleared_pmd"


class FreeBeforeFlush(Broken, SpfV9):
    """munmap frees the pages and then flushes (D3): another CPU still stores to them, whosever they are by now.

    Caught by page_accounting.
    """

    name: ClassVar[str] = "broken-free-before-flush"
    drops: ClassVar[tuple[str, ...]] = ("flush_before_free",)
    caught_by: ClassVar[str | None] = "page_accounting"


class MprotectNoFlush(Broken, SpfV9):
    """mprotect takes the write permission from the PTEs but not from the TLBs (D4). Caught by store_to_read_only."""

    name: ClassVar[str] = "broken-mprotect-no-flush"
    drops: ClassVar[tuple[str, ...]] = ("mprotect_flush",)
    caught_by: ClassVar[str | None] = "store_to_read_only"
