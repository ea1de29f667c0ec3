"""SPF without what makes it safe to hold on to a VMA after mm_rb_lock is dropped."""

from __future__ import annotations

from typing import ClassVar

from kactors.policies.broken.base import Broken
from kactors.policies.spf_v9 import SpfV9


class NoRefcount(Broken, SpfV9):
    """Takes no reference on the VMA (C1): munmap frees it under the fault, which then reads its vm_sequence.

    Caught by vma_use_after_free.
    """

    name: ClassVar[str] = "broken-no-refcount"
    drops: ClassVar[tuple[str, ...]] = ("vma_refcount",)
    caught_by: ClassVar[str | None] = "vma_use_after_free"


class NoReuseCheck(Broken, SpfV9):
    """Goes on with the speculation's VMA under mmap_sem whatever became of it (C15): it may have been unmapped.

    Caught by pte_in_unmapped_area.
    """

    name: ClassVar[str] = "broken-no-reuse-check"
    drops: ClassVar[tuple[str, ...]] = ("can_reuse_spf_vma",)
    caught_by: ClassVar[str | None] = "pte_in_unmapped_area"
