"""Per-VMA locks as merged with 6.4 (protocols.md H1 to H6): a rwsem an area, in a cache line of its own.

The counters are /proc/vmstat's vma_lock_* (CONFIG_PER_VMA_LOCK_STATS).
"""

from __future__ import annotations

from typing import ClassVar

from kactors.fault_context import FaultContext
from kactors.fault_policy import FaultPath
from kactors.policies.classic import access_permitted, classic_fault, handle_mm_fault
from kactors.policies.per_vma_6_15 import PerVma615
from protocols.vma import VmaKind, VmaSnapshot


class PerVma64(PerVma615):
    """Read-lock the VMA's own rwsem; only areas of anonymous memory that have their anon_vma."""

    name: ClassVar[str] = "per-vma-6.4"

    async def fault(self, cpu: FaultContext, address: int, *, write: bool) -> FaultPath:
        """H1 to H3: lock the VMA for reading, handle; where that is not possible, mmap_lock."""
        vma = await self.lock_vma_under_rcu(cpu, address)
        if vma is not None and access_permitted(vma, write=write):
            await handle_mm_fault(cpu, vma, address, write=write, same=self.pte_same)
            cpu.vm_lock_up_read(vma)
            cpu.count("vma_lock_success")
            return FaultPath.VMA_LOCK
        if vma is not None:
            cpu.vm_lock_up_read(vma)  # a bad access is judged under mmap_lock, and is no event of these
        return await classic_fault(cpu, address, write=write, same=self.pte_same)

    async def lock_vma_under_rcu(self, cpu: FaultContext, address: int) -> VmaSnapshot | None:
        """H1, H2: walk, become a reader, and only then look whether it was the right VMA; None: use mmap_lock."""
        with cpu.rcu_read_lock():
            while True:
                walked = await cpu.walk_vmas(address)
                if walked.vma is None or not self.supported(walked.vma) or walked.writer:
                    break
                locked = await cpu.vm_lock_read_trylock(walked.vma)
                if locked.vma is None and not locked.writer:
                    cpu.count("vma_lock_miss")  # isolated since the walk: another one may be there by now
                    continue
                if locked.vma is None:
                    break
                refused = self.owned(locked) or locked.vma.kind is VmaKind.UFFD or self.moved(locked.vma, address)
                if not refused:
                    return locked.vma
                cpu.vm_lock_up_read(locked.vma)
                break
        cpu.count("vma_lock_abort")
        return None

    def supported(self, vma: VmaSnapshot) -> bool:
        """H4: no files yet, and no first fault, which attaches the anon_vma."""
        return vma.kind is not VmaKind.FILE and vma.anon_vma
