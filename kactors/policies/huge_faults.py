"""The first fault of a PMD range that may have a huge page: do_huge_pmd_anonymous_page of mm/huge_memory.c (4.16)."""

from __future__ import annotations

from kactors.fault_context import FaultContext
from protocols.page_table import InstallHuge, PmdState
from protocols.vma import VmaKind, VmaSnapshot


async def fault_huge(cpu: FaultContext, vma: VmaSnapshot, address: int) -> bool:
    """A6: map a huge page where the PMD is none and the VMA allows it; False: do it with small pages.

    The VMA must be stable. A page table is deposited behind the huge page, for the day that it is split.

    Raises:
        ThreadKilled: no memory is left for that table and this process is the OOM killer's victim.
    """
    if not may_be_huge(cpu, vma, address):
        return False
    machine = cpu.machine
    cpu.anon_vma_prepare(vma)
    table_pfn = await cpu.take_page()
    cpu.spend(machine.clear_page_ns)
    pfn = await cpu.take_huge()
    if pfn < 0:
        await cpu.put_page(table_pfn)
        cpu.count("thp_fault_fallback")
        return False
    zeroing_ns = await cpu.move_memory(machine.clear_huge_ns, machine.pmd_size)
    pmd = await cpu.pmd_lock(address)
    used = pmd.state is PmdState.NONE
    if used:
        cpu.count("thp_fault_alloc")
        cpu.spend(machine.rmap_lru_ns)
        await cpu.lru_cache_add(huge=True)
        cpu.say(cpu.directory.mm, InstallHuge(address=address, pfn=pfn, table_pfn=table_pfn), cpu.current.tag)
    cpu.pmd_unlock(address)
    if not used:
        cpu.zeroed_in_vain(zeroing_ns)
        await cpu.put_page(table_pfn)
        await cpu.put_huge(pfn)
    return True


def may_be_huge(cpu: FaultContext, vma: VmaSnapshot, address: int) -> bool:
    """Whether the range around an address lies in an anonymous area with MADV_HUGEPAGE.

    A huge PMD is always writable here (there is no huge zero page), so it may not stand in a read-only area.
    """
    size = cpu.machine.pmd_size
    base = address // size * size
    fits = vma.start <= base and base + size <= vma.end
    return cpu.huge_faults and vma.hugepage and vma.writable and fits and vma.kind is not VmaKind.FILE
