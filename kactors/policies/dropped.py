"""What takes the place of a check that is dropped: it finds nothing, or holds nothing off."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from kactors.context import KernelContext
from kactors.fault_context import FaultContext
from protocols.vma import VmaSnapshot


def no(_policy: Any, *_: Any) -> bool:
    """A check of what is at hand that is not made: nothing is found."""
    return False


def yes(_policy: Any, *_: Any, **__: Any) -> bool:
    """A permission that is not asked for: it is taken as given."""
    return True


async def unseen(_policy: Any, *_: Any) -> bool:
    """A look at shared state that is not taken: nothing has changed."""
    return False


def no_section(_policy: Any, _cpu: FaultContext) -> AbstractContextManager[None]:
    """A section that keeps nobody off: this CPU goes on taking interrupts, and nobody waits for it."""
    return nullcontext()


async def spin_lock(_policy: Any, cpu: FaultContext, table: int, address: int) -> int:
    """The PTE lock as a plain spin_lock."""
    return await cpu.pte_lock(table, address)


async def no_hook(_policy: Any, _context: KernelContext, _vma: VmaSnapshot) -> None:
    """A writer that does nothing to keep faults off, or to let them in again."""
