"""Per-VMA locks as merged with 6.15 (protocols.md H1 to H8): what the recorded kernel does."""

from __future__ import annotations

from typing import ClassVar

from kactors.context import KernelContext
from kactors.fault_context import FaultContext
from kactors.fault_policy import WRITER_CHECKS, Check, FaultPath, FaultPolicy
from kactors.policies.classic import PTE_SAME, access_permitted, classic_fault, handle_mm_fault, pte_same
from kactors.policies.dropped import no, no_hook
from kactors.policies.file_faults import lacks_anon_vma
from protocols.vma import VmaKind, VmaReadLocked, VmaSnapshot


class PerVma615(FaultPolicy):
    """Lock the VMA for reading instead of the mm; the ordinary fault code runs under it."""

    name: ClassVar[str] = "per-vma-6.15"
    checks: ClassVar[tuple[Check, ...]] = (
        Check("lock_sequence_recheck", "H1, H7", "does a writer own the VMA, now that it is counted", {"owned": no}),
        Check("locked_bounds", "H2", "does the VMA still hold the address, now that it is locked", {"moved": no}),
        Check("wait_for_readers", "H5, H8", "a writer waits for the faults inside", {"waits_for_readers": False}),
        Check("mprotect_start_write", "D4", "changing flags write-locks the VMA", {"write_begin": no_hook}),
        Check("collapse_start_write", "E3", "a collapse write-locks the VMA", {"collapse_begin": no_hook}),
        PTE_SAME,
        *WRITER_CHECKS,
    )
    munmap_downgrades: ClassVar[bool] = True
    collapse_synchronizes: ClassVar[bool] = True
    waits_for_readers: ClassVar[bool] = True

    def transient_pages_max(self, cpus: int, threads: int) -> int | None:
        """H3: the ordinary fault code, one page a fault (A8)."""
        del cpus
        return threads

    async def fault(self, cpu: FaultContext, address: int, *, write: bool) -> FaultPath:
        """H1 to H3: lock the VMA for reading, handle; where that is not possible, mmap_lock."""
        vma = await self.lock_vma_under_rcu(cpu, address)
        if vma is None:
            return await classic_fault(cpu, address, write=write, same=self.pte_same)
        if lacks_anon_vma(vma, write=write) or vma.kind is VmaKind.UFFD or not access_permitted(vma, write=write):
            # H4: the first anon_vma needs mmap_lock; a bad access is judged there too
            cpu.vma_end_read(vma)
            cpu.count("vma_lock_retry")
            return await classic_fault(cpu, address, write=write, same=self.pte_same)
        await handle_mm_fault(cpu, vma, address, write=write, same=self.pte_same)
        cpu.vma_end_read(vma)
        cpu.count("vma_lock_success")
        return FaultPath.VMA_LOCK

    async def lock_vma_under_rcu(self, cpu: FaultContext, address: int) -> VmaSnapshot | None:
        """H1, H2, H7: walk, become a reader, and only then look whether it was the right VMA; None: use mmap_lock."""
        while True:
            with cpu.rcu_read_lock():
                walked = await cpu.walk_vmas(address)
                if walked.vma is None or walked.writer:
                    break
                locked = await cpu.vma_start_read(walked.vma)
            if locked.vma is None and not locked.writer:
                cpu.count("vma_lock_miss")  # detached since the walk: another one may be there by now
                continue
            if locked.vma is None:
                break
            if not self.owned(locked) and not self.moved(locked.vma, address):
                return locked.vma
            cpu.vma_end_read(locked.vma)
            break
        cpu.count("vma_lock_abort")
        return None

    def owned(self, locked: VmaReadLocked) -> bool:
        """H7: a writer that was done with the readers before this one came owns the VMA all the same."""
        return locked.writer

    def moved(self, vma: VmaSnapshot, address: int) -> bool:
        """H2: between the walk and the lock the VMA may have been split."""
        return not vma.start <= address < vma.end

    def pte_same(self, pte: int, orig_pte: int) -> bool:
        """A10: is the PTE under the lock the one that was read without it."""
        return pte_same(pte, orig_pte)

    async def write_begin(self, context: KernelContext, vma: VmaSnapshot) -> None:
        """D4, H5, H8: no reader may be inside; the lock ends with mmap_lock."""
        await context.vma_start_write(vma.start, vma.end, wait=self.waits_for_readers)

    async def collapse_begin(self, context: KernelContext, vma: VmaSnapshot) -> None:
        """E3, H6: the same for a collapse."""
        await context.vma_start_write(vma.start, vma.end, wait=self.waits_for_readers)
