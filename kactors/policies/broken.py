"""Policies that drop one protection each, so that one can see what it protects from. Never for comparison of speed."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

from kactors.fault_context import FaultContext
from kactors.fault_policy import FaultPolicy
from kactors.policies.spf_v9 import SpfV9
from protocols.page_table import Pmd
from protocols.vma import VmaSnapshot


class BlockingSpin(SpfV9):
    """Waits for the PTE lock with irqs off: deadlocks with whoever holds it while waiting for this CPU's IPI ack."""

    name: ClassVar[str] = "broken-blocking-spin"

    async def take_pte_lock(self, cpu: FaultContext, table: int, address: int) -> int | None:
        """C12.iii, but as a plain spin_lock."""
        return await cpu.pte_lock(table, address)


SOFTIRQ_NS_MAX = 20_000
SOFTIRQ_ONE_IN = 4


class IrqsOn(SpfV9):
    """Takes interrupts inside the walk and the commit.

    An interrupt's softirq may hold the fault up anywhere in them, with interrupts on: for up to 20 us here, one time in
    four (assumed; it only has to be possible).
    """

    name: ClassVar[str] = "broken-irqs-on"

    def softirq(self, cpu: FaultContext) -> None:
        """Perhaps be held up."""
        if cpu.pick("softirq", SOFTIRQ_ONE_IN) == 0:
            cpu.spend(cpu.pick("softirq.ns", SOFTIRQ_NS_MAX))

    async def read_orig_pte(self, cpu: FaultContext, table: int, address: int) -> int:
        """C8, held up between the PMD and the PTE."""
        self.softirq(cpu)
        return await super().read_orig_pte(cpu, table, address)

    async def take_pte_lock(self, cpu: FaultContext, table: int, address: int) -> int | None:
        """C12.iii, held up between the checks and the lock."""
        self.softirq(cpu)
        return await super().take_pte_lock(cpu, table, address)

    def walk_section(self, cpu: FaultContext) -> AbstractContextManager[None]:
        """C8 with irqs on."""
        del cpu
        return nullcontext()

    def commit_section(self, cpu: FaultContext) -> AbstractContextManager[None]:
        """C12 with irqs on."""
        del cpu
        return nullcontext()


class NoLastCheck(SpfV9):
    """Does not look at the VMA again under the PTE lock."""

    name: ClassVar[str] = "broken-no-last-check"

    async def last_vma_check(self, cpu: FaultContext, vma: VmaSnapshot) -> bool:
        """C12.iv is dropped."""
        del cpu, vma
        return False


class NoPmdCheck(SpfV9):
    """Does not look at the PMD again."""

    name: ClassVar[str] = "broken-no-pmd-check"

    async def pmd_changed(self, cpu: FaultContext, address: int, orig_pmd: Pmd) -> bool:
        """C12.ii is dropped."""
        del cpu, address, orig_pmd
        return False


class NoVmaChecks(SpfV9):
    """Does not look at the VMA in the commit at all."""

    name: ClassVar[str] = "broken-no-vma-checks"

    async def first_vma_check(self, cpu: FaultContext, vma: VmaSnapshot) -> bool:
        """C12.i is dropped."""
        del cpu, vma
        return False

    async def last_vma_check(self, cpu: FaultContext, vma: VmaSnapshot) -> bool:
        """C12.iv is dropped."""
        del cpu, vma
        return False


class IrqsOnNoLastCheck(IrqsOn, NoLastCheck):
    """Irqs on, and no VMA check under the lock."""

    name: ClassVar[str] = "broken-irqs-on-no-last-check"


class IrqsOnNoPmdCheck(IrqsOn, NoPmdCheck):
    """Irqs on, and no PMD check."""

    name: ClassVar[str] = "broken-irqs-on-no-pmd-check"


class IrqsOnNoVmaChecks(IrqsOn, NoVmaChecks):
    """Irqs on, and no VMA check in the commit."""

    name: ClassVar[str] = "broken-irqs-on-no-vma-checks"


class IrqsOnNoChecks(IrqsOn, NoVmaChecks, NoPmdCheck):
    """Irqs on, and neither VMA nor PMD looked at in the commit."""

    name: ClassVar[str] = "broken-irqs-on-no-checks"


class NoChecks(NoVmaChecks, NoPmdCheck):
    """Irqs off as it should be, but neither VMA nor PMD looked at in the commit."""

    name: ClassVar[str] = "broken-no-checks"


BROKEN: dict[str, type[FaultPolicy]] = {
    policy.name: policy
    for policy in (
        BlockingSpin,
        IrqsOn,
        NoLastCheck,
        NoPmdCheck,
        NoVmaChecks,
        IrqsOnNoLastCheck,
        IrqsOnNoPmdCheck,
        IrqsOnNoVmaChecks,
        IrqsOnNoChecks,
        NoChecks,
    )
}
