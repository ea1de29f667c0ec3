"""SPF with irqs on, held up at random: for seeds. A search needs no chance: it delays whatever it likes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

from kactors.fault_context import FaultContext
from kactors.policies.broken.base import Broken
from kactors.policies.spf_v9 import SpfV9

SOFTIRQ_NS_MAX = 20_000
SOFTIRQ_ONE_IN = 4


class IrqsOn(Broken, SpfV9):
    """Takes interrupts inside the walk and the commit.

    An interrupt's softirq may hold the fault up anywhere in them, with interrupts on: for up to 20 us here, one time in
    four (assumed; it only has to be possible). Caught by freed_table_touched.
    """

    name: ClassVar[str] = "broken-irqs-on"
    caught_by: ClassVar[str | None] = "freed_table_touched"

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


class IrqsOnNoLastCheck(IrqsOn):
    """Irqs on, and no VMA check under the lock. Caught by pte_under_cleared_pmd."""

    name: ClassVar[str] = "broken-irqs-on-no-last-check"
    drops: ClassVar[tuple[str, ...]] = ("last_vma_check",)
    caught_by: ClassVar[str | None] = "pte_under_cleared_pmd"


class IrqsOnNoPmdCheck(IrqsOn):
    """Irqs on, and no PMD check. Caught by freed_table_touched."""

    name: ClassVar[str] = "broken-irqs-on-no-pmd-check"
    drops: ClassVar[tuple[str, ...]] = ("pmd_check",)
    caught_by: ClassVar[str | None] = "freed_table_touched"


class IrqsOnNoVmaChecks(IrqsOn):
    """Irqs on, and no VMA check in the commit. Caught by pte_under_cleared_pmd."""

    name: ClassVar[str] = "broken-irqs-on-no-vma-checks"
    drops: ClassVar[tuple[str, ...]] = ("first_vma_check", "last_vma_check")
    caught_by: ClassVar[str | None] = "pte_under_cleared_pmd"


class IrqsOnNoChecks(IrqsOn):
    """Irqs on, and neither VMA nor PMD looked at in the commit. Caught by pte_under_cleared_pmd."""

    name: ClassVar[str] = "broken-irqs-on-no-checks"
    drops: ClassVar[tuple[str, ...]] = ("first_vma_check", "pmd_check", "last_vma_check")
    caught_by: ClassVar[str | None] = "pte_under_cleared_pmd"
