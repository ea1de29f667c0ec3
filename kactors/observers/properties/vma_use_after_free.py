"""Nobody uses a VMA after it was freed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kactors.engine.observer import Finding, Hearing
from kactors.observers.properties.base import Property
from protocols.base import Tracepoint
from protocols.tracepoints import VmaTouched


class VmaUseAfterFree(Property):
    """A VMA is not looked at, its vm_sequence not read or changed, its lock or reference not dropped, after its end.

    vm_ref_count protects a speculation (C1, C15), mmap_sem everybody under it (A3); a per-VMA lock keeps the area
    attached while it is held (H7, H8).
    """

    name: ClassVar[str] = "vma_use_after_free"

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear touches of freed VMAs."""
        return {VmaTouched: self._touched}

    def _touched(self, at_ns: int, _who: str, touched: VmaTouched) -> Finding:
        return self.violated(
            f"{touched.toucher} sent {touched.request} for VMA {touched.vma_id} at {at_ns} ns, after it was freed"
        )
