"""Speculative page faults, version 9 (Laurent Dufour, 13 March 2018, on 4.16; protocols.md C0 to C16).

The pseudo-code that the review mail wished for, and it runs.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import ClassVar, Literal

from pydantic import Field

from kactors.context import KernelContext
from kactors.fault_context import FaultContext
from kactors.fault_policy import Check, FaultPath, FaultPolicy
from kactors.kernel.pte import allows
from kactors.options import Options
from kactors.policies import classic
from kactors.policies.classic import fault_under_mmap_sem, finish_pte_fault, needs_page
from kactors.policies.speculation import PTE_LOCK_TEXT, RETRY, PteLock, Retry, take_pte_lock
from kactors.policies.spf_v9_checks import CHECKS
from kactors.policies.vma_lookup import LOOKUPS, VMA_LOOKUP_TEXT, VmaLookup
from protocols.page_table import Pmd, PmdState
from protocols.vma import VmaKind, VmaRead, VmaSnapshot


class SpfOptions(Options):
    """What the review mail's thread discusses as variants; the defaults are what version 9 does."""

    pmd_marker: Literal["none", "collapsing"] = Field(
        "none", description="what a PMD under collapse looks like: collapsing is distinct from not populated"
    )
    page_tables: Literal["never", "speculative"] = Field(
        "never", description="speculative: where the PMD is none, a speculation installs a page table"
    )
    pte_lock: PteLock = Field("trylock", description=PTE_LOCK_TEXT)
    vma_lookup: VmaLookup = Field("rwlock", description=VMA_LOOKUP_TEXT)


class SpfV9(FaultPolicy):
    """SPF in the review mail's tables: look up under mm_rb_lock, check vm_sequence, commit with irqs off."""

    name: ClassVar[str] = "spf-v9"
    checks: ClassVar[tuple[Check, ...]] = CHECKS
    interplay: ClassVar[tuple[str, ...]] = (
        "walk_irqs_off",
        "sequence_recheck",
        "commit_irqs_off",
        "first_vma_check",
        "pmd_check",
        "trylock",
        "last_vma_check",
    )
    options_type: ClassVar[type[Options]] = SpfOptions
    options: SpfOptions = SpfOptions()
    threads_min: ClassVar[int] = 2
    """C0: fewer threads than these do not speculate."""

    def transient_pages_max(self, cpus: int, threads: int) -> int | None:
        """C11: one page a fault. The mail's bound is nr_cpus - 1 a VMA; C11 can sleep, so it is the threads (G5)."""
        del cpus
        return threads

    async def fault(self, cpu: FaultContext, address: int, *, write: bool) -> FaultPath:
        """C0, C1, C15: speculate if the mm has several users; else, and on RETRY, take mmap_sem."""
        vma = None
        if cpu.mm_users >= self.threads_min and await cpu.spf_enter(address):
            vma = await self.get_vma(cpu, address)
            path = RETRY if vma is None else await self.speculate(cpu, vma, address, write=write)
            cpu.spf_exit(address)
            if vma is not None and not isinstance(path, Retry):
                self.put_vma(cpu, vma)
                return path
        return await self.fall_back(cpu, vma, address, write=write)

    async def fall_back(self, cpu: FaultContext, vma: VmaSnapshot | None, address: int, *, write: bool) -> FaultPath:
        """C15, C16: the classic fault, with the VMA of the speculation where that is still the right one."""
        await cpu.down_read()
        vma = await self.reuse_vma(cpu, vma, address) if vma is not None else None
        vma = vma or await cpu.find_vma(address)
        return await fault_under_mmap_sem(cpu, vma, address, write=write)

    async def speculate(self, cpu: FaultContext, vma: VmaSnapshot, address: int, *, write: bool) -> FaultPath | Retry:
        """C2 to C14: the fault without mmap_sem."""
        reason = self.refuse(vma, address)
        if reason:
            return self.abort(cpu, reason, address)
        if not self.access_permitted(vma, write=write):
            self.abort(cpu, "spf_vma_access", address)
            return FaultPath.SIGSEGV

        if self.options.page_tables == "speculative":
            await self.populate_pmd(cpu, vma, address)
        with self.walk_section(cpu):
            orig_pmd = await cpu.read_pmd(address)
            if orig_pmd.state is PmdState.COLLAPSING:
                return self.abort(cpu, "spf_pmd_changed", address)
            if orig_pmd.state is not PmdState.TABLE:
                # none is ambiguous: not populated yet, or being collapsed; so SPF v9 never allocates a page table
                return self.abort(cpu, "spf_vma_notsup", address)
            orig_pte = await self.read_orig_pte(cpu, orig_pmd.table, address)
        if await self.sequence_retry(cpu, vma):
            return self.abort(cpu, "spf_vma_changed", address)

        if allows(orig_pte, write=write):
            return FaultPath.SPF
        page = await cpu.alloc_page(address) if needs_page(orig_pte, write=write) else None
        pte = await self.pte_map_lock(cpu, vma, address, orig_pmd)
        if isinstance(pte, Retry):
            if page is not None:
                await cpu.discard(page)
            return RETRY
        same = self.pte_same(pte, orig_pte)
        await finish_pte_fault(cpu, orig_pmd.table, address, orig_pte, page, write=write, same=same)
        return FaultPath.SPF

    def refuse(self, vma: VmaSnapshot, address: int) -> str:
        """C2 to C6: what the snapshot alone rules out; empty when nothing does."""
        if self.sequence_odd(vma):
            return "spf_vma_changed"
        if self.has_vm_ops(vma):
            return "spf_vma_notsup"
        if self.anon_vma_missing(vma):
            return "spf_vma_noanon"
        if self.kind_unsupported(vma):
            return "spf_vma_notsup"
        return "spf_vma_changed" if self.out_of_bounds(vma, address) else ""

    async def populate_pmd(self, cpu: FaultContext, vma: VmaSnapshot, address: int) -> None:
        """What the mail's reviewer asks for: where no page table is, install one, under pmd_lock and if still none.

        Safe only where none means not populated, and nothing else (pmd_marker). With irqs on: whoever holds pmd_lock
        may be waiting for this CPU to take an IPI (E4), and the allocation may sleep.
        """
        pmd = await cpu.read_pmd(address)
        if pmd.state is PmdState.NONE:
            await cpu.install_table_unlocked(vma, address)

    async def pte_map_lock(self, cpu: FaultContext, vma: VmaSnapshot, address: int, orig_pmd: Pmd) -> int | Retry:
        """C12: take the PTE lock such that neither unmap nor collapse can have passed; RETRY when they may have.

        A trylock, because whoever holds the lock may be waiting for this very CPU to take an IPI.
        """
        with self.commit_section(cpu):
            if await self.first_vma_check(cpu, vma):
                return self.abort(cpu, "spf_vma_changed", address)
            if await self.pmd_changed(cpu, address, orig_pmd):
                return self.abort(cpu, "spf_pmd_changed", address)
            pte = await self.take_pte_lock(cpu, orig_pmd.table, address)
            if pte is None:
                return self.abort(cpu, "spf_pte_lock", address)
            if await self.last_vma_check(cpu, vma):
                cpu.pte_unlock(orig_pmd.table)
                return self.abort(cpu, "spf_vma_changed", address)
        return pte

    async def reuse_vma(self, cpu: FaultContext, vma: VmaSnapshot, address: int) -> VmaSnapshot | None:
        """C15: under mmap_sem, go on with the speculation's VMA; None when find_vma is needed."""
        seen = await cpu.read_vma(vma)
        usable = self.can_reuse_spf_vma(seen, address)
        self.put_vma(cpu, vma)
        return seen.vma if usable else None

    # Each check and section is a method, so that a policy can drop just that one (spf_v9_checks.py).

    async def get_vma(self, cpu: FaultContext, address: int) -> VmaSnapshot | None:
        """C1: look up under mm_rb_lock and take a reference, so that the VMA outlives munmap."""
        return await LOOKUPS[self.options.vma_lookup].get(cpu, address)

    def put_vma(self, cpu: FaultContext, vma: VmaSnapshot) -> None:
        """C15: drop the reference."""
        LOOKUPS[self.options.vma_lookup].put(cpu, vma)

    def sequence_odd(self, vma: VmaSnapshot) -> bool:
        """C2: is a writer inside."""
        return vma.sequence % 2 == 1

    def has_vm_ops(self, vma: VmaSnapshot) -> bool:
        """C3: files, shmem and the like are served under mmap_sem only."""
        return vma.kind is VmaKind.FILE

    def anon_vma_missing(self, vma: VmaSnapshot) -> bool:
        """C4: attaching the first anon_vma needs mmap_sem."""
        return not vma.anon_vma

    def kind_unsupported(self, vma: VmaSnapshot) -> bool:
        """C5: a stack that may grow, userfaultfd, MPOL_INTERLEAVE."""
        return vma.kind not in (VmaKind.ANON, VmaKind.FILE)

    def out_of_bounds(self, vma: VmaSnapshot, address: int) -> bool:
        """C6: does the VMA hold the address."""
        return not vma.start <= address < vma.end

    def access_permitted(self, vma: VmaSnapshot, *, write: bool) -> bool:
        """C7: may the access go ahead at all."""
        return classic.access_permitted(vma, write=write)

    def walk_section(self, cpu: FaultContext) -> AbstractContextManager[None]:
        """C8: page tables cannot be freed under a walker that takes no IPI."""
        return cpu.irqs_off("page table walk")

    async def read_orig_pte(self, cpu: FaultContext, table: int, address: int) -> int:
        """C8: the PTE as the walk finds it."""
        return await cpu.read_pte(table, address)

    async def sequence_retry(self, cpu: FaultContext, vma: VmaSnapshot) -> bool:
        """C9: is the VMA gone or changed since the look-up."""
        return await cpu.vma_has_changed(vma)

    def commit_section(self, cpu: FaultContext) -> AbstractContextManager[None]:
        """C12: a collapse cannot get past its flush while this CPU takes no IPI."""
        return cpu.irqs_off("pte_map_lock")

    async def first_vma_check(self, cpu: FaultContext, vma: VmaSnapshot) -> bool:
        """C12.i: is the VMA gone or changed."""
        return await cpu.vma_has_changed(vma)

    async def pmd_changed(self, cpu: FaultContext, address: int, orig_pmd: Pmd) -> bool:
        """C12.ii: does the PMD still point to the table that was walked."""
        return await cpu.read_pmd(address) != orig_pmd

    async def take_pte_lock(self, cpu: FaultContext, table: int, address: int) -> int | None:
        """C12.iii: only if it is free."""
        return await take_pte_lock(cpu, self.options.pte_lock, table, address)

    async def last_vma_check(self, cpu: FaultContext, vma: VmaSnapshot) -> bool:
        """C12.iv: the same as the first, now that nobody can pass the lock."""
        return await cpu.vma_has_changed(vma)

    def pte_same(self, pte: int, orig_pte: int) -> bool:
        """C13: is the PTE under the lock the one that the walk found."""
        return classic.pte_same(pte, orig_pte)

    def can_reuse_spf_vma(self, seen: VmaRead, address: int) -> bool:
        """C15: is the VMA still in the tree, and does it hold the address."""
        return seen.attached and seen.vma.start <= address < seen.vma.end

    def abort(self, cpu: FaultContext, reason: str, address: int) -> Retry:
        """Count the reason under perf's name and return RETRY."""
        cpu.spf_abort(reason, address)
        return RETRY

    # Writers: a write section each, in which vm_sequence is odd.

    @property
    def vma_readers(self) -> str | None:
        """C1: what the look-up needs to be sure that no VMA is freed under it."""
        return LOOKUPS[self.options.vma_lookup].readers

    @property
    def collapsing_pmd(self) -> PmdState:
        """E4: what others find at the PMD while it is being collapsed."""
        return PmdState(self.options.pmd_marker)

    async def write_begin(self, context: KernelContext, vma: VmaSnapshot) -> None:
        """D4, D5: mprotect and madvise change flags."""
        context.vm_write_begin(vma.vma_id)

    async def write_end(self, context: KernelContext, vma: VmaSnapshot) -> None:
        """D4, D5: vm_sequence becomes even again."""
        context.vm_write_end(vma.vma_id)

    async def collapse_begin(self, context: KernelContext, vma: VmaSnapshot) -> None:
        """E3: before the PMD is cleared, so that C12.i fires first."""
        context.vm_write_begin(vma.vma_id)

    async def collapse_end(self, context: KernelContext, vma: VmaSnapshot) -> None:
        """E6, E8."""
        context.vm_write_end(vma.vma_id)

    async def zap_begin(self, context: KernelContext, vma: VmaSnapshot) -> None:
        """D3, D5: unmap_page_range is a write section too."""
        context.vm_write_begin(vma.vma_id)

    async def zap_end(self, context: KernelContext, vma: VmaSnapshot) -> None:
        """D3, D5."""
        context.vm_write_end(vma.vma_id)
