"""Speculative page faults as Michel Lespinasse wrote them in 2021 and 2022 (protocols.md I1 to I7).

One sequence count for the whole mm, which mmap_sem's writers move, and a copy of the VMA: a fault writes nothing that
another CPU reads, and any writer anywhere in the mm ends it. Counters: /proc/vmstat's spf_* of the series' patch "mm:
spf statistics" (linux-kernel, 20210407014502.24091-36@lespinasse.org).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import ClassVar, Literal

from pydantic import Field

from kactors.fault_context import FaultContext
from kactors.fault_policy import WRITER_CHECKS, Check, FaultPath, FaultPolicy
from kactors.kernel.cpu_parts.pages import Page
from kactors.kernel.pte import PTE_NONE, allows
from kactors.options import Options
from kactors.policies import classic
from kactors.policies.classic import PTE_SAME, classic_fault, finish_pte_fault, needs_page
from kactors.policies.dropped import no, no_section, spin_lock, unseen
from kactors.policies.speculation import PTE_LOCK_TEXT, RETRY, PteLock, Retry, take_pte_lock
from protocols.page_table import Pmd, PmdState
from protocols.vma import VmaKind, VmaSnapshot


class Spf2021Options(Options):
    """What the thread of the series discusses as variants; the defaults are what it does."""

    pte_lock: PteLock = Field("trylock", description=PTE_LOCK_TEXT)
    vma_atomics: Literal[0, 1] = Field(
        0, description="1: one atomic pair on the VMA's cache line in each fault, which the series does without (I7)"
    )


class Spf2021(FaultPolicy):
    """Copy the VMA under RCU; one per-mm sequence count says whether any writer has come since."""

    name: ClassVar[str] = "spf-2021"
    checks: ClassVar[tuple[Check, ...]] = (
        Check("sequence_odd", "I1", "is a writer inside at the start", {"writer_inside": no}),
        Check("copy_sequence", "I2", "did a writer come while the VMA was copied", {"copy_torn": unseen}),
        Check("anon_vma", "I4", "does the VMA have its anon_vma", {"anon_vma_missing": no}),
        Check("walk_irqs_off", "I3", "a walker takes no IPI, so no page table is freed", {"walk_section": no_section}),
        Check("commit_irqs_off", "I5", "from the checks to the lock no IPI is taken", {"commit_section": no_section}),
        Check("first_sequence", "I5", "did a writer come before the lock", {"first_sequence_check": unseen}),
        Check("pmd_check", "I5", "does the PMD still point to the table that was walked", {"pmd_changed": unseen}),
        Check("trylock", "I5", "never spin on the PTE lock with irqs off", {"take_pte_lock": spin_lock}),
        Check("last_sequence", "I5", "did a writer come before the lock was taken", {"last_sequence_check": unseen}),
        PTE_SAME,
        *WRITER_CHECKS,
    )
    interplay: ClassVar[tuple[str, ...]] = (
        "copy_sequence",
        "walk_irqs_off",
        "commit_irqs_off",
        "first_sequence",
        "pmd_check",
        "trylock",
        "last_sequence",
    )
    options_type: ClassVar[type[Options]] = Spf2021Options
    options: Spf2021Options = Spf2021Options()
    munmap_downgrades: ClassVar[bool] = True

    def transient_pages_max(self, cpus: int, threads: int) -> int | None:
        """I4: one page a fault; its allocation may sleep, so it is the threads (G5)."""
        del cpus
        return threads

    async def fault(self, cpu: FaultContext, address: int, *, write: bool) -> FaultPath:
        """I6: speculate if the mm has several users; else, and on RETRY, take mmap_sem."""
        if cpu.mm_users > 1 and await cpu.spf_enter(address):
            cpu.count("spf_attempt")
            path = await self.speculate(cpu, address, write=write)
            cpu.spf_exit(address)
            if not isinstance(path, Retry):
                return path
            cpu.count("spf_abort")
        return await classic_fault(cpu, address, write=write)

    async def speculate(self, cpu: FaultContext, address: int, *, write: bool) -> FaultPath | Retry:
        """I1, I2: copy the VMA, such that no writer has come since the count was read; handle the fault on the copy."""
        sequence = await cpu.read_mmap_seq()
        if self.writer_inside(sequence):
            return self.abort(cpu, "spf_abort_odd")
        with cpu.rcu_read_lock():
            vma = await cpu.copy_vma(address)
        if vma is None:
            return self.abort(cpu, "spf_abort_unmapped")
        if vma.kind is VmaKind.FILE:
            return self.abort(cpu, "spf_abort_no_speculate")
        if await self.copy_torn(cpu, sequence):
            return self.abort(cpu, "spf_abort_vma_copy")
        if not classic.access_permitted(vma, write=write):
            return self.abort(cpu, "spf_abort_access_error")
        if not self.options.vma_atomics:
            return await self.handle_mm_fault(cpu, vma, sequence, address, write=write)
        await cpu.vma_atomic(vma)
        path = await self.handle_mm_fault(cpu, vma, sequence, address, write=write)
        await cpu.vma_atomic(vma)
        return path

    async def handle_mm_fault(
        self, cpu: FaultContext, vma: VmaSnapshot, sequence: int, address: int, *, write: bool
    ) -> FaultPath | Retry:
        """I3, I4: walk the page tables that there are, bring a page, commit."""
        with self.walk_section(cpu):
            orig_pmd = await cpu.read_pmd(address)
            if orig_pmd.state is not PmdState.TABLE:
                return self.abort(cpu, "spf_abort_pmd")  # no page table is allocated where munmap may free them
            orig_pte = await cpu.read_pte(orig_pmd.table, address)
        cpu.count("spf_attempt_anon" if orig_pte == PTE_NONE else "spf_attempt_pte")
        if allows(orig_pte, write=write):
            return FaultPath.SPF
        if write and self.anon_vma_missing(vma):
            return self.abort(cpu, "spf_abort_anon_vma")
        page = await cpu.alloc_page(address) if needs_page(orig_pte, write=write) else None
        pte = await self.pte_map_lock(cpu, sequence, address, orig_pmd)
        if isinstance(pte, Retry):
            return await self.discard(cpu, page)
        if vma.kind is VmaKind.UFFD and orig_pte == PTE_NONE:
            cpu.pte_unlock(orig_pmd.table)
            self.abort(cpu, "spf_abort_userfaultfd")
            return await self.discard(cpu, page)
        same = self.pte_same(pte, orig_pte)
        await finish_pte_fault(cpu, orig_pmd.table, address, orig_pte, page, write=write, same=same)
        return FaultPath.SPF

    async def pte_map_lock(self, cpu: FaultContext, sequence: int, address: int, orig_pmd: Pmd) -> int | Retry:
        """I5: take the PTE lock such that no writer can have passed; RETRY when one may have.

        A trylock, because whoever holds the lock may be waiting for this very CPU to take an IPI.
        """
        with self.commit_section(cpu):
            if await self.first_sequence_check(cpu, sequence):
                return self.abort(cpu, "spf_abort_pte_map_lock_seq1")
            if await self.pmd_changed(cpu, address, orig_pmd):
                return self.abort(cpu, "spf_abort_pte_map_lock_pmd")
            pte = await self.take_pte_lock(cpu, orig_pmd.table, address)
            if pte is None:
                return self.abort(cpu, "spf_abort_pte_map_lock_ptl")
            if await self.last_sequence_check(cpu, sequence):
                cpu.pte_unlock(orig_pmd.table)
                return self.abort(cpu, "spf_abort_pte_map_lock_seq2")
        return pte

    # Each check and section is a method, so that a policy can drop just that one.

    def writer_inside(self, sequence: int) -> bool:
        """I1: does somebody hold mmap_sem for writing."""
        return sequence % 2 == 1

    async def copy_torn(self, cpu: FaultContext, sequence: int) -> bool:
        """I2: has a writer come since the count was read: then the copy may be of two times."""
        return await cpu.read_mmap_seq() != sequence

    def anon_vma_missing(self, vma: VmaSnapshot) -> bool:
        """I4: attaching the first anon_vma needs mmap_sem."""
        return not vma.anon_vma

    def walk_section(self, cpu: FaultContext) -> AbstractContextManager[None]:
        """I3: page tables cannot be freed under a walker that takes no IPI."""
        return cpu.irqs_off("page table walk")

    def commit_section(self, cpu: FaultContext) -> AbstractContextManager[None]:
        """I5: nor before the lock that lies in one is taken."""
        return cpu.irqs_off("pte_map_lock")

    async def first_sequence_check(self, cpu: FaultContext, sequence: int) -> bool:
        """I5: has a writer come."""
        return await cpu.read_mmap_seq() != sequence

    async def pmd_changed(self, cpu: FaultContext, address: int, orig_pmd: Pmd) -> bool:
        """I5: does the PMD still point to the table that was walked."""
        return await cpu.read_pmd(address) != orig_pmd

    async def take_pte_lock(self, cpu: FaultContext, table: int, address: int) -> int | None:
        """I5: only if it is free."""
        return await take_pte_lock(cpu, self.options.pte_lock, table, address)

    async def last_sequence_check(self, cpu: FaultContext, sequence: int) -> bool:
        """I5: the same as the first, now that nobody can pass the lock."""
        return await cpu.read_mmap_seq() != sequence

    def pte_same(self, pte: int, orig_pte: int) -> bool:
        """I5: is the PTE under the lock the one that the walk found."""
        return classic.pte_same(pte, orig_pte)

    def abort(self, cpu: FaultContext, reason: str) -> Retry:
        """Count the reason under vmstat's name and return RETRY."""
        cpu.count(reason)
        return RETRY

    async def discard(self, cpu: FaultContext, page: Page | None) -> Retry:
        """Throw the page away, if one was brought."""
        if page is not None:
            await cpu.discard(page)
        return RETRY
