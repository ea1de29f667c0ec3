"""SPF whose writers leave out a vm_write_begin (D3, D4, E3)."""

from __future__ import annotations

from typing import ClassVar

from kactors.policies.broken.base import Broken
from kactors.policies.spf_v9 import SpfV9


class NoZapSection(Broken, SpfV9):
    """munmap and MADV_DONTNEED zap without moving vm_sequence (D3, D5). Harmless: the tree change has moved it."""

    name: ClassVar[str] = "broken-no-zap-section"
    drops: ClassVar[tuple[str, ...]] = ("zap_write_begin",)
    caught_by: ClassVar[str | None] = None
    harmless_because: ClassVar[str] = (
        "munmap has detached the area before it zaps (D1, D3), which C12.i and C12.iv see; MADV_DONTNEED keeps the "
        "area, and a page that is mapped before or after its zap is as good, for both take the PTE lock"
    )


class NoMprotectSection(Broken, SpfV9):
    """mprotect writes flags and PTEs without moving vm_sequence (D4).

    A fault that has read the old flags maps its page for writing after mprotect has been at the PTE. Caught by
    store_to_read_only.
    """

    name: ClassVar[str] = "broken-no-mprotect-section"
    drops: ClassVar[tuple[str, ...]] = ("mprotect_write_begin",)
    caught_by: ClassVar[str | None] = "store_to_read_only"


class NoCollapseSection(Broken, SpfV9):
    """A collapse does not move vm_sequence (E3). Harmless: C12.ii with irqs off keeps out of it by itself."""

    name: ClassVar[str] = "broken-no-collapse-section"
    drops: ClassVar[tuple[str, ...]] = ("collapse_write_begin",)
    caught_by: ClassVar[str | None] = None
    harmless_because: ClassVar[str] = (
        "C12.ii sees the cleared PMD; where it sees the old one, the collapse's flush (E4) waits until irqs are on "
        "again, and then its isolation (E5) waits for the PTE lock and takes the new page along"
    )
