"""SPF without one of the questions to the VMA's snapshot (C2 to C7)."""

from __future__ import annotations

from typing import ClassVar

from kactors.policies.broken.base import Broken
from kactors.policies.spf_v9 import SpfV9


class OddSequence(Broken, SpfV9):
    """Speculates although a writer is inside (C2), whose own sequence it then finds unchanged as long as he is there.

    mprotect has the flags still to write: the fault maps a page for writing, after mprotect has been at its PTE. Caught
    by store_to_read_only.
    """

    name: ClassVar[str] = "broken-odd-sequence"
    drops: ClassVar[tuple[str, ...]] = ("sequence_odd",)
    caught_by: ClassVar[str | None] = "store_to_read_only"


class NoAnonVma(Broken, SpfV9):
    """Speculates in an area without anon_vma (C4). Harmless here: nobody walks the reverse mappings."""

    name: ClassVar[str] = "broken-no-anon-vma"
    drops: ClassVar[tuple[str, ...]] = ("anon_vma",)
    caught_by: ClassVar[str | None] = None
    harmless_because: ClassVar[str] = (
        "anon_vmas are not modelled as objects: the page would have no reverse mapping, which reclaim alone would miss"
    )


class NoBounds(Broken, SpfV9):
    """Does not ask whether the area holds the address (C6). Harmless: the look-up is by address, under mm_rb_lock."""

    name: ClassVar[str] = "broken-no-bounds"
    drops: ClassVar[tuple[str, ...]] = ("vma_bounds",)
    caught_by: ClassVar[str | None] = None
    harmless_because: ClassVar[str] = (
        "get_vma finds the area that holds the address, under mm_rb_lock, and a later change of its bounds moves "
        "vm_sequence (D1), which C12.iv sees; the kernel's find_vma also returns an area above the address"
    )


class NoAccessCheck(Broken, SpfV9):
    """Does not ask whether the area permits the access (C7): a write to a read-only area gets its page.

    Caught by store_to_read_only.
    """

    name: ClassVar[str] = "broken-no-access-check"
    drops: ClassVar[tuple[str, ...]] = ("vma_access",)
    caught_by: ClassVar[str | None] = "store_to_read_only"
