"""Faults of file areas: do_fault and do_wp_page of mm/memory.c (4.16), behind vm_ops.

The VMA is stable and the page table is there, as in handle_mm_fault; which lock sees to that is the policy's affair.
"""

from __future__ import annotations

from collections.abc import Callable

from kactors import filemap
from kactors.fault_context import FaultContext, ThreadKilled
from kactors.kernel.cpu_parts.pages import Page
from kactors.kernel.pte import PTE_NONE, mk_pte, pte_pfn
from protocols.page_cache import PageFound
from protocols.page_table import MapPtes, PtesMapped
from protocols.vma import VmaSnapshot

PteSame = Callable[[int, int], bool]


def lacks_anon_vma(vma: VmaSnapshot, *, write: bool) -> bool:
    """vmf_anon_prepare: whether the fault may bring a page of the process's own, and the area has no anon_vma yet."""
    is_files_own = vma.mapped_file is not None and (vma.mapped_file.shared or not write)
    return not vma.anon_vma and not is_files_own


class FileFault:
    """One fault of a file area, at the page table that covers it.

    Args:
        cpu: who faults.
        vma: the area.
        table: the page table.
        address: where.
        orig_pte: the entry as it was read without its lock.
        same: whether the entry under the lock, and that one, are the same.
    """

    def __init__(
        self, cpu: FaultContext, vma: VmaSnapshot, table: int, address: int, orig_pte: int, same: PteSame
    ) -> None:
        self.cpu = cpu
        self.vma = vma
        self.table = table
        self.address = address
        self.orig_pte = orig_pte
        self.same = same
        self.shared = filemap.mapped_file(vma).shared

    async def serve(self, *, write: bool) -> None:
        """do_fault, or do_wp_page where a page is mapped that may not be written."""
        if not write:
            await self.do_read_fault()
        elif self.shared:
            await self.do_shared_fault()
        elif self.orig_pte == PTE_NONE:
            await self.do_cow_fault()
        else:
            await self.do_wp_page()

    # --- reads -------------------------------------------------------------------------------------------------------

    async def do_read_fault(self) -> None:
        """Map what is in memory around the address; where that does not help, bring the page."""
        cpu = self.cpu
        if cpu.machine.fault_around_bytes >= 2 * cpu.machine.page_size and await self.do_fault_around():
            return
        found = await filemap.find_lock_page(cpu, self.vma, self.address)
        pte = await cpu.pte_lock(self.table, self.address)
        mapped = self.same(pte, self.orig_pte)
        if mapped:
            filemap.page_add_file_rmap(cpu, found.pfn)
            cpu.set_pte(self.table, self.address, found.pfn, write=self._read_maps_writable(mkwrite=found.mkwrite))
        cpu.pte_unlock(self.table)
        await filemap.unlock_page(cpu, found.pfn, put=not mapped)

    def _read_maps_writable(self, *, mkwrite: bool) -> bool:
        """vm_page_prot: a shared area of which nobody wants to hear the first write is mapped with all its rights."""
        return self.shared and self.vma.writable and not mkwrite

    def _window(self) -> tuple[int, int]:
        """do_fault_around: the aligned fault_around_bytes that hold the address, inside the area and the page table.

        They are a power of two of pages, at most a page table's. An area that begins inside them shifts them.
        """
        cpu, vma = self.cpu, self.vma
        table = cpu.machine.pmd_size
        around = 1 << (min(cpu.machine.fault_around_bytes, table).bit_length() - 1)
        start = max(self.address // around * around, vma.start)
        table_end = (self.address // table + 1) * table
        return start, min(start + around, table_end, vma.end) - cpu.machine.page_size

    async def do_fault_around(self) -> bool:
        """Set the entries that are none of the pages that are there; whether the address has one then."""
        cpu = self.cpu
        start, last = self._window()
        first_index = filemap.page_index(cpu, self.vma, start)
        found = await filemap.map_pages(cpu, self.vma, first_index, filemap.page_index(cpu, self.vma, last))
        if not found.pages:
            return False
        write = self._read_maps_writable(mkwrite=found.mkwrite)
        first = cpu.pte_index(start) - first_index
        entries = tuple((first + index, mk_pte(pfn, write=write)) for index, pfn in found.pages)
        await cpu.pte_lock(self.table, self.address)
        mapped: PtesMapped = await cpu.ask(cpu.ptl(self.table), MapPtes(entries=entries))
        cpu.spend(len(mapped.indexes) * cpu.machine.fault_around_page_ns)
        taken = frozenset(mapped.indexes)
        unused = tuple(pfn for index, pfn in found.pages if first + index not in taken)
        if unused:
            await filemap.page_remove_rmap(cpu, unused)
        cpu.pte_unlock(self.table)
        return any(index == filemap.page_index(cpu, self.vma, self.address) for index, _ in found.pages)

    # --- writes of a private area ------------------------------------------------------------------------------------

    async def do_cow_fault(self) -> None:
        """A page of one's own, copied from the file's with that locked, so that it cannot be truncated meanwhile."""
        cpu = self.cpu
        cpu.anon_vma_prepare(self.vma)
        page = await cpu.alloc_page(self.address, zeroed=False)
        found = await self._find_lock_page_holding(page)
        page = await cpu.copy_user_page(page)
        pte = await cpu.pte_lock(self.table, self.address)
        mapped = self.same(pte, self.orig_pte)
        if mapped:
            cpu.set_pte(self.table, self.address, page.pfn, write=True)
        cpu.pte_unlock(self.table)
        await filemap.unlock_page(cpu, found.pfn, put=True)
        if not mapped:
            await cpu.discard(page)

    async def _find_lock_page_holding(self, page: Page) -> PageFound:
        try:
            return await filemap.find_lock_page(self.cpu, self.vma, self.address)
        except ThreadKilled:
            await self.cpu.discard(page)
            raise

    async def do_wp_page(self) -> None:
        """The file's page is mapped: copy it (wp_page_copy); a page of one's own only gets its right back."""
        cpu, old = self.cpu, pte_pfn(self.orig_pte)
        if await filemap.get_page(cpu, old):
            await self._wp_page_copy(old)
            return
        pte = await cpu.pte_lock(self.table, self.address)
        if self.same(pte, self.orig_pte):
            cpu.set_pte(self.table, self.address, old, write=True)
        cpu.pte_unlock(self.table)

    async def _wp_page_copy(self, old: int) -> None:
        cpu = self.cpu
        cpu.anon_vma_prepare(self.vma)
        try:
            page = await cpu.copy_user_page(await cpu.alloc_page(self.address, zeroed=False))
        except ThreadKilled:
            filemap.put_page(cpu, old)
            raise
        pte = await cpu.pte_lock(self.table, self.address)
        mapped = self.same(pte, self.orig_pte)
        if mapped:
            # ptep_clear_flush, under the PTE lock: other CPUs must not go on reading the file's page.
            cpu.clear_pte(self.table, self.address)
            size = cpu.machine.page_size
            base = self.address // size * size
            await cpu.flush_tlb(base, base + size)
            cpu.set_pte(self.table, self.address, page.pfn, write=True)
            await filemap.page_remove_rmap(cpu, (old,))
        cpu.pte_unlock(self.table)
        filemap.put_page(cpu, old)
        if not mapped:
            await cpu.discard(page)

    # --- writes of a shared area -------------------------------------------------------------------------------------

    async def do_shared_fault(self) -> None:
        """The file's page itself, once its file system knows; it stays locked until it is dirty.

        So does wp_page_shared, where the page is mapped already and the write is its first since it was protected.
        """
        cpu = self.cpu
        found = await filemap.find_lock_page(cpu, self.vma, self.address)
        if found.mkwrite:
            await filemap.page_mkwrite(cpu, found.pfn)
        pte = await cpu.pte_lock(self.table, self.address)
        mapped = self.same(pte, self.orig_pte)
        is_new = mapped and self.orig_pte == PTE_NONE
        if is_new:
            filemap.page_add_file_rmap(cpu, found.pfn)
        if mapped:
            cpu.set_pte(self.table, self.address, found.pfn, write=True)
        cpu.pte_unlock(self.table)
        if mapped:
            filemap.set_page_dirty(cpu, found.pfn)
        await filemap.unlock_page(cpu, found.pfn, put=not is_new)
