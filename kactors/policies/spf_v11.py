"""Speculative page faults, version 11 (Laurent Dufour, 17 May 2018): the PTE lock is tried until it is free.

As version 9 otherwise (protocols.md C0 to C16), but for the VMA, which the classic path looks up anew, and for the
counters: there is no spf_pte_lock, and /proc/vmstat has speculative_pgfault (since version 10).
"""

from __future__ import annotations

from typing import ClassVar

from kactors.fault_context import FaultContext
from kactors.fault_policy import Check, FaultPath
from kactors.policies.classic import classic_fault
from kactors.policies.speculation import Retry, without
from kactors.policies.spf_v9 import SpfV9
from kactors.policies.spf_v9_checks import CHECKS
from protocols.page_table import Pmd
from protocols.vma import VmaSnapshot


class SpfV11(SpfV9):
    """SPF that tries the PTE lock again and again, with irqs on in between, instead of giving up."""

    name: ClassVar[str] = "spf-v11"
    checks: ClassVar[tuple[Check, ...]] = without(CHECKS, "can_reuse_spf_vma")

    async def fault(self, cpu: FaultContext, address: int, *, write: bool) -> FaultPath:
        """As version 9; counted in /proc/vmstat."""
        path = await super().fault(cpu, address, write=write)
        if path is FaultPath.SPF:
            cpu.count("speculative_pgfault")
        return path

    async def fall_back(self, cpu: FaultContext, vma: VmaSnapshot | None, address: int, *, write: bool) -> FaultPath:
        """C15 of v11: the speculation's VMA is dropped, the classic path looks its own up."""
        if vma is not None:
            self.put_vma(cpu, vma)
        return await classic_fault(cpu, address, write=write)

    async def pte_map_lock(self, cpu: FaultContext, vma: VmaSnapshot, address: int, orig_pmd: Pmd) -> int | Retry:
        """C12 of v11: after a vain trylock take the interrupts that wait, and begin again with the first check."""
        while True:
            with self.commit_section(cpu):
                if await self.first_vma_check(cpu, vma):
                    return self.abort(cpu, "spf_vma_changed", address)
                if await self.pmd_changed(cpu, address, orig_pmd):
                    return self.abort(cpu, "spf_pmd_changed", address)
                pte = await self.take_pte_lock(cpu, orig_pmd.table, address)
                if pte is not None and await self.last_vma_check(cpu, vma):
                    cpu.pte_unlock(orig_pmd.table)
                    return self.abort(cpu, "spf_vma_changed", address)
            if pte is not None:
                return pte
