"""Per-VMA locks as merged with 6.15 (protocols.md H1 to H8): what the recorded kernel does."""

from __future__ import annotations

from typing import ClassVar

from kactors.context import KernelContext
from kactors.fault_context import FaultContext
from kactors.fault_policy import FaultPath, FaultPolicy
from kactors.policies.classic import access_permitted, classic_fault, handle_mm_fault
from protocols.vma import VmaKind, VmaSnapshot


class PerVma(FaultPolicy):
    """Lock the VMA for reading instead of the mm; the ordinary fault code runs under it."""

    name: ClassVar[str] = "per-vma"
    munmap_downgrades: ClassVar[bool] = True
    collapse_synchronizes: ClassVar[bool] = True

    async def fault(self, cpu: FaultContext, address: int, *, write: bool) -> FaultPath:
        """H1 to H3: RCU walk, read-trylock, handle; where that is not possible, mmap_lock."""
        locked = await cpu.vma_start_read(address)
        vma = locked.vma
        if vma is None:
            cpu.count("vma_lock_abort" if locked.writer else "vma_lock_miss")
            return await classic_fault(cpu, address, write=write)
        if not vma.anon_vma or vma.kind is VmaKind.UFFD or not access_permitted(vma, write=write):
            # H4: the first anon_vma needs mmap_lock; a bad access is judged there too
            cpu.vma_end_read(vma)
            cpu.count("vma_lock_retry")
            return await classic_fault(cpu, address, write=write)
        await handle_mm_fault(cpu, vma, address, write=write)
        cpu.vma_end_read(vma)
        cpu.count("vma_lock_success")
        return FaultPath.VMA_LOCK

    async def write_begin(self, context: KernelContext, vma: VmaSnapshot) -> None:
        """H5, H8: no reader may be inside; the lock ends with mmap_lock."""
        await context.vma_start_write(vma.start, vma.end)
