"""Peter Zijlstra's speculative page faults (idea of 2010, RFC of October 2014; protocols.md B1 to B6).

VMAs are freed by SRCU callbacks, so a fault inside an SRCU read section needs no lock and no reference to look at one:
it writes nothing shared but the page table. The PTE lock is waited for, with irqs off (B4): a deadlock with whoever
holds it while waiting for this CPU's ack: the trace that version 9's trylock comes from. The RFC counts successes only;
the reasons for giving up bear the names that the later series gave them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from kactors.fault_context import FaultContext
from kactors.fault_policy import Check, FaultPath
from kactors.options import Options
from kactors.policies.classic import classic_fault
from kactors.policies.speculation import PTE_LOCK_TEXT, PteLock, Retry, without
from kactors.policies.spf_v9 import SpfOptions, SpfV9
from kactors.policies.spf_v9_checks import CHECKS, put_nothing
from kactors.policies.vma_lookup import VMA_LOOKUP_TEXT, VmaLookup
from protocols.page_table import Pmd
from protocols.vma import VmaSnapshot


async def copy_vma(_policy: Any, cpu: FaultContext, address: int) -> VmaSnapshot | None:
    """B1 without the section: nothing keeps what the walk has found."""
    return await cpu.copy_vma(address)


class SpfSrcuOptions(SpfOptions):
    """As version 9's, but for what the RFC does by itself."""

    pte_lock: PteLock = Field("spin", description=PTE_LOCK_TEXT)
    vma_lookup: VmaLookup = Field("srcu", description=VMA_LOOKUP_TEXT)


class SpfSrcu(SpfV9):
    """SPF of 2014: look up inside an SRCU read section, check vm_sequence, wait for the PTE lock with irqs off."""

    name: ClassVar[str] = "spf-srcu"
    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            "srcu_section",
            "B1",
            "no VMA is freed until the fault is done",
            {"get_vma": copy_vma, "put_vma": put_nothing},
        ),
        *without(CHECKS, "vma_refcount", "pmd_check", "trylock", "can_reuse_spf_vma"),
    )
    interplay: ClassVar[tuple[str, ...]] = (
        "walk_irqs_off",
        "sequence_recheck",
        "commit_irqs_off",
        "first_vma_check",
        "last_vma_check",
    )
    options_type: ClassVar[type[Options]] = SpfSrcuOptions
    options: SpfSrcuOptions = SpfSrcuOptions()
    threads_min: ClassVar[int] = 1

    async def fall_back(self, cpu: FaultContext, vma: VmaSnapshot | None, address: int, *, write: bool) -> FaultPath:
        """B4: the classic path, outside the section."""
        if vma is not None:
            self.put_vma(cpu, vma)
        return await classic_fault(cpu, address, write=write)

    async def pte_map_lock(self, cpu: FaultContext, vma: VmaSnapshot, address: int, orig_pmd: Pmd) -> int | Retry:
        """B4: a look at the VMA, the lock, another look; the PMD is not looked at."""
        with self.commit_section(cpu):
            if await self.first_vma_check(cpu, vma):
                return self.abort(cpu, "spf_vma_changed", address)
            pte = await self.take_pte_lock(cpu, orig_pmd.table, address)
            if pte is None:
                return self.abort(cpu, "spf_pte_lock", address)
            if await self.last_vma_check(cpu, vma):
                cpu.pte_unlock(orig_pmd.table)
                return self.abort(cpu, "spf_vma_changed", address)
        return pte
