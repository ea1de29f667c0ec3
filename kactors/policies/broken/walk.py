"""SPF without a protection of the page table walk (C8, C9)."""

from __future__ import annotations

from typing import ClassVar

from kactors.policies.broken.base import Broken
from kactors.policies.spf_v9 import SpfV9


class WalkIrqsOn(Broken, SpfV9):
    """Takes IPIs between the reading of the PMD and that of the PTE (C8): munmap frees the table in between.

    Caught by freed_table_touched.
    """

    name: ClassVar[str] = "broken-walk-irqs-on"
    drops: ClassVar[tuple[str, ...]] = ("walk_irqs_off",)
    caught_by: ClassVar[str | None] = "freed_table_touched"


class NoSequenceRecheck(Broken, SpfV9):
    """Does not look at vm_sequence after the walk (C9). Harmless: the commit looks again."""

    name: ClassVar[str] = "broken-no-sequence-recheck"
    drops: ClassVar[tuple[str, ...]] = ("sequence_recheck",)
    caught_by: ClassVar[str | None] = None
    harmless_because: ClassVar[str] = (
        "C12.iv asks the same under the PTE lock; C9 only saves the zeroing of a page that would be thrown away"
    )
