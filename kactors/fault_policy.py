"""What a fault policy is: how a fault is served, and what writers must do so that it stays right."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from typing import ClassVar

from kactors.context import KernelContext
from kactors.fault_context import FaultContext
from protocols.vma import VmaSnapshot


class FaultPath(enum.StrEnum):
    """How a fault was served; SIGSEGV when the access is not allowed."""

    SPF = "spf"
    VMA_LOCK = "vma_lock"
    CLASSIC = "classic"
    SIGSEGV = "sigsegv"


class FaultPolicy(ABC):
    """One fault protocol. A user's own policy is a subclass in a file of its own.

    Attributes:
        name: as on the command line.
        collapse_synchronizes: a collapse sends an empty IPI to all CPUs after its flush (since 6.1:
            tlb_remove_table_sync_one).
        munmap_downgrades: munmap keeps mmap_sem as a reader only while it clears page tables (since 4.20).
    """

    name: ClassVar[str]
    munmap_downgrades: ClassVar[bool] = False
    collapse_synchronizes: ClassVar[bool] = False

    @abstractmethod
    async def fault(self, cpu: FaultContext, address: int, *, write: bool) -> FaultPath:
        """Serve one user fault."""

    async def write_begin(self, context: KernelContext, vma: VmaSnapshot) -> None:
        """Before a writer changes what faults in this VMA rely on. Plain mmap_sem needs nothing."""

    async def write_end(self, context: KernelContext, vma: VmaSnapshot) -> None:
        """After such a change."""

    async def zap_begin(self, context: KernelContext, vma: VmaSnapshot) -> None:
        """Before unmap_page_range clears PTEs of this VMA (munmap, MADV_DONTNEED): the PTE lock may be all it takes."""

    async def zap_end(self, context: KernelContext, vma: VmaSnapshot) -> None:
        """After that."""
