"""What all speculative page faults share: how one gives up, and how it takes the PTE lock."""

from __future__ import annotations

import enum
from typing import Final, Literal

from kactors.fault_context import FaultContext
from kactors.fault_policy import Check

PteLock = Literal["trylock", "spin"]
"""An option of every policy that takes the PTE lock while it takes no interrupt."""

PTE_LOCK_TEXT: Final = "spin: wait for the PTE lock with irqs off, as the first versions did (B4)"


class Retry(enum.Enum):
    """VM_FAULT_RETRY: the classic path must serve the fault."""

    RETRY = "retry"


RETRY: Final = Retry.RETRY


def without(checks: tuple[Check, ...], *names: str) -> tuple[Check, ...]:
    """Return the checks that another version of the series has too."""
    return tuple(check for check in checks if check.name not in names)


async def take_pte_lock(cpu: FaultContext, how: PteLock, table: int, address: int) -> int | None:
    """Return the entry under the PTE lock; None: somebody holds the lock, and it was only tried."""
    if how == "spin":
        return await cpu.pte_lock(table, address)
    return await cpu.pte_trylock(table, address)
