"""How a speculation finds its VMA, and what keeps that until the speculation is over.

``get`` returns the VMA, or None: nothing is there. ``put`` lets go of what ``get`` returned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, Literal

from kactors.fault_context import FaultContext
from protocols.rcu import RCU, VMA_SRCU
from protocols.vma import VmaSnapshot

VmaLookup = Literal["mmap_sem", "rwlock", "srcu", "rcu"]
VMA_LOOKUP_TEXT: Final = "how a speculation finds its VMA: under mmap_sem, mm_rb_lock, SRCU or RCU"


class Lookup(ABC):
    """One way.

    Attributes:
        readers: the RCU or SRCU domain in which it looks at VMAs without a lock; None: it holds one.
    """

    readers: str | None = None

    @abstractmethod
    async def get(self, cpu: FaultContext, address: int) -> VmaSnapshot | None:
        """Find the VMA that holds the address."""

    def put(self, cpu: FaultContext, vma: VmaSnapshot) -> None:
        """Drop the reference."""
        cpu.put_vma(vma)


class UnderRwlock(Lookup):
    """C1 of v9: under mm_rb_lock held for reading, and with a reference: four writes of shared lines a fault."""

    async def get(self, cpu: FaultContext, address: int) -> VmaSnapshot | None:
        """Two atomics on the lock, one on the VMA; the fourth comes with ``put``."""
        return await cpu.get_vma(address)


class UnderMmapSem(Lookup):
    """Under mmap_sem, which is released once the reference is taken."""

    async def get(self, cpu: FaultContext, address: int) -> VmaSnapshot | None:
        """Two atomics on mmap_sem, one on the VMA; may sleep behind a writer."""
        await cpu.down_read()
        vma = await cpu.find_vma(address)
        if vma is not None:
            vma = await cpu.ref_vma(vma)
        await cpu.up_read()
        return vma


class UnderSrcu(Lookup):
    """B1: inside an SRCU read section that lasts as long as the fault; no reference, and no shared write."""

    readers = VMA_SRCU

    async def get(self, cpu: FaultContext, address: int) -> VmaSnapshot | None:
        """One atomic, on this CPU's own counter; the second comes with ``put``."""
        index = await cpu.srcu_read_lock(VMA_SRCU)
        vma = await cpu.copy_vma(address)
        if vma is None:
            cpu.srcu_read_unlock(VMA_SRCU, index)
        return vma

    def put(self, cpu: FaultContext, vma: VmaSnapshot) -> None:
        """End the section."""
        del vma
        if cpu.current.srcu_section is not None:
            cpu.srcu_read_unlock(*cpu.current.srcu_section)


def rcu_read_lock(cpu: FaultContext) -> AbstractContextManager[None]:
    """Return a section in which no VMA is freed that the CPU has found."""
    return cpu.rcu_read_lock()


class UnderRcu(Lookup):
    """C1 of v12, find_vma_rcu: walk under RCU, take a reference, and begin again if the tree has changed meanwhile.

    Args:
        section: keeps the VMA from being freed between the walk and the reference.
    """

    readers = RCU

    def __init__(self, section: Callable[[FaultContext], AbstractContextManager[None]] = rcu_read_lock) -> None:
        self._section = section

    async def get(self, cpu: FaultContext, address: int) -> VmaSnapshot | None:
        """One atomic, on the VMA; the second comes with ``put``."""
        while True:
            sequence = await cpu.read_tree_seq(begin=True)
            with self._section(cpu):
                vma = await cpu.copy_vma(address)
                if vma is not None:
                    vma = await cpu.ref_vma(vma)
            if await cpu.read_tree_seq() == sequence:
                return vma
            if vma is not None:
                cpu.put_vma(vma)


LOOKUPS: Final[dict[VmaLookup, Lookup]] = {
    "mmap_sem": UnderMmapSem(),
    "rwlock": UnderRwlock(),
    "srcu": UnderSrcu(),
    "rcu": UnderRcu(),
}
