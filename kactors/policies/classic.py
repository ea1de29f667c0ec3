"""The classic fault: everything under mmap_sem held for reading (4.16; protocols.md A1 to A13)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from kactors.fault_context import FaultContext
from kactors.fault_policy import WRITER_CHECKS, Check, FaultPath, FaultPolicy
from kactors.kernel.cpu_parts.pages import Page
from kactors.kernel.pte import PTE_NONE, ZERO_PFN, allows, pte_pfn
from kactors.policies.file_faults import FileFault
from kactors.policies.huge_faults import fault_huge
from protocols.page_table import PmdState
from protocols.vma import VmaKind, VmaSnapshot

NO_TABLE: Final = -1
"""Where a huge page was mapped meanwhile: nothing is left to do."""

PteSame = Callable[[int, int], bool]
"""Whether the PTE under the lock, and the one that was read without it, are the same."""


def pte_same(pte: int, orig_pte: int) -> bool:
    """A10, C13: nobody has served this fault meanwhile."""
    return pte == orig_pte


def never_looked(_policy: Any, _pte: int, _orig_pte: int) -> bool:
    """A10, C13 dropped: the PTE under the lock is not looked at."""
    return True


PTE_SAME: Final = Check(
    "pte_same", "A10", "is the PTE under its lock still the one that was read", {"pte_same": never_looked}
)


class Classic(FaultPolicy):
    """BASE in the review mail's tables."""

    name: ClassVar[str] = "classic"
    checks: ClassVar[tuple[Check, ...]] = (PTE_SAME, *WRITER_CHECKS)

    def transient_pages_max(self, cpus: int, threads: int) -> int | None:
        """A8: one page a fault, before the PTE lock. A thread may sleep there (G3), so CPUs are no bound (G5)."""
        del cpus
        return threads

    async def fault(self, cpu: FaultContext, address: int, *, write: bool) -> FaultPath:
        """A2: under mmap_sem, whatever happens."""
        return await classic_fault(cpu, address, write=write, same=self.pte_same)

    def pte_same(self, pte: int, orig_pte: int) -> bool:
        """A10: is the PTE under the lock the one that was read without it."""
        return pte_same(pte, orig_pte)


async def classic_fault(cpu: FaultContext, address: int, *, write: bool, same: PteSame = pte_same) -> FaultPath:
    """A2 to A12: the whole fault under mmap_sem."""
    await cpu.down_read()
    vma = await cpu.find_vma(address)
    return await fault_under_mmap_sem(cpu, vma, address, write=write, same=same)


async def fault_under_mmap_sem(
    cpu: FaultContext, vma: VmaSnapshot | None, address: int, *, write: bool, same: PteSame = pte_same
) -> FaultPath:
    """A4 to A12: check, handle, release. ``vma`` was looked up under the lock."""
    path = FaultPath.SIGSEGV
    if vma is not None and access_permitted(vma, write=write):
        await handle_mm_fault(cpu, vma, address, write=write, same=same)
        path = FaultPath.CLASSIC
    await cpu.up_read()
    return path


def access_permitted(vma: VmaSnapshot, *, write: bool) -> bool:
    """A4, C7: may the access go ahead at all."""
    return vma.writable if write else vma.readable


async def handle_mm_fault(
    cpu: FaultContext, vma: VmaSnapshot, address: int, *, write: bool, same: PteSame = pte_same
) -> None:
    """A5 to A11: with the VMA stable, page tables may be allocated and the PTE lock is waited for.

    A PMD under collapse is not seen here: the collapse holds mmap_sem, or the VMA, for writing (E2, E3).
    """
    pmd = await cpu.read_pmd(address)
    if pmd.state is PmdState.HUGE:
        return
    if pmd.state is PmdState.NONE and await fault_huge(cpu, vma, address):
        return
    table = pmd.table if pmd.state is PmdState.TABLE else await cpu.install_table(address)
    if table == NO_TABLE:
        return
    orig_pte = await cpu.read_pte(table, address)
    if allows(orig_pte, write=write):
        return
    if vma.kind is VmaKind.FILE:
        await FileFault(cpu, vma, table, address, orig_pte, same).serve(write=write)
        return
    cpu.anon_vma_prepare(vma)
    page = await cpu.alloc_page(address) if needs_page(orig_pte, write=write) else None
    pte = await cpu.pte_lock(table, address)
    await finish_pte_fault(cpu, table, address, orig_pte, page, write=write, same=same(pte, orig_pte))


def needs_page(orig_pte: int, *, write: bool) -> bool:
    """Return whether the fault must bring a page: a first write, or a write to the shared zero page."""
    return write and (orig_pte == PTE_NONE or pte_pfn(orig_pte) == ZERO_PFN)


async def finish_pte_fault(
    cpu: FaultContext, table: int, address: int, orig_pte: int, page: Page | None, *, write: bool, same: bool
) -> None:
    """A10, A11, C13: under the PTE lock, map unless somebody else did meanwhile; unlock; free what is left over."""
    unused = page
    if same:
        if page is not None:
            pfn, unused = page.pfn, None
            await cpu.lru_cache_add()
        else:
            pfn = ZERO_PFN if orig_pte == PTE_NONE else pte_pfn(orig_pte)
        if orig_pte != PTE_NONE and pte_pfn(orig_pte) == ZERO_PFN:
            # ptep_clear_flush, under the PTE lock: other CPUs must neither keep the zero page nor walk to it again.
            cpu.clear_pte(table, address)
            size = cpu.machine.page_size
            await cpu.flush_tlb(address // size * size, address // size * size + size)
        cpu.set_pte(table, address, pfn, write=write)
    cpu.pte_unlock(table)
    if unused is not None:
        await cpu.discard(unused)
