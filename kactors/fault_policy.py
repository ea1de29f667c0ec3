"""What a fault policy is: how a fault is served, what writers must do so that it stays right, its checks."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

from kactors.context import KernelContext
from kactors.engine.errors import UsageError
from kactors.fault_context import FaultContext
from kactors.options import Options
from protocols.page_table import PmdState
from protocols.vma import VmaSnapshot


class FaultPath(enum.StrEnum):
    """How a fault was served; SIGSEGV when the access is not allowed."""

    SPF = "spf"
    VMA_LOCK = "vma_lock"
    CLASSIC = "classic"
    SIGSEGV = "sigsegv"


@dataclass(frozen=True)
class Check:
    """One protection of a policy, and what the policy becomes without it.

    Attributes:
        name: in the kernel's words: pmd_check.
        step: the step of the protocol that it is: C12.ii.
        text: what it asks or does, in a line.
        dropped: the policy's methods and attributes that stand for it, each with what takes its place. Two checks of
            one policy name no attribute in common, so that any subset of them can be dropped.
    """

    name: str
    step: str
    text: str
    dropped: Mapping[str, Any]


WRITER_CHECKS: Final = (
    Check("collapse_flush", "E4", "a collapse flushes once the PMD is cleared", {"collapse_flushes": False}),
    Check("isolate_pte_lock", "E5", "a collapse isolates under the PTE lock", {"collapse_locks_ptes": False}),
    Check("flush_before_free", "D3, D5", "pages are freed when no TLB holds them", {"unmap_flushes_first": False}),
    Check("mprotect_flush", "D4", "a permission that is taken leaves the TLBs too", {"mprotect_flushes": False}),
)
"""What every kernel's writers do, whatever the policy; a policy that lists them can be had without them."""


class FaultPolicy(ABC):
    """One fault protocol. A user's own policy is a subclass in a file of its own.

    Attributes:
        name: as on the command line.
        checks: the protections that can be dropped one by one, to see what each protects from.
        interplay: names of checks that may cover for each other: of these ``kactors ablate`` drops every subset.
        drops: names of the base's checks that this class goes without.
        options_type: the model of its options (``Scenario.policy_options``); a policy of one's own derives one.
        options: their values; the defaults unless it was made by ``from_options``.
        collapse_synchronizes: a collapse sends an empty IPI to all CPUs after its flush (since 6.1:
            tlb_remove_table_sync_one).
        collapse_flushes: a collapse flushes all TLBs after it has cleared the PMD (E4).
        collapse_locks_ptes: a collapse isolates the pages under the PTE lock (E5).
        munmap_downgrades: munmap keeps mmap_sem as a reader only while it clears page tables (since 4.20).
        unmap_flushes_first: munmap and MADV_DONTNEED free pages after the flush, not before (D3, D5).
        mprotect_flushes: mprotect flushes what has lost a permission (D4).
    """

    name: ClassVar[str]
    checks: ClassVar[tuple[Check, ...]] = ()
    interplay: ClassVar[tuple[str, ...]] = ()
    drops: ClassVar[tuple[str, ...]] = ()
    options_type: ClassVar[type[Options]] = Options
    options: Options = Options()
    munmap_downgrades: ClassVar[bool] = False
    collapse_synchronizes: ClassVar[bool] = False
    collapse_flushes: ClassVar[bool] = True
    collapse_locks_ptes: ClassVar[bool] = True
    unmap_flushes_first: ClassVar[bool] = True
    mprotect_flushes: ClassVar[bool] = True

    def __init_subclass__(cls, **options: Any) -> None:
        """Put in the place of each dropped check what its Check says."""
        super().__init_subclass__(**options)
        for check in cls.named_checks(cls.__dict__.get("drops", ())):
            for attribute, replacement in check.dropped.items():
                setattr(cls, attribute, replacement)

    @classmethod
    def named_checks(cls, names: Iterable[str]) -> tuple[Check, ...]:
        """Return the checks of these names, in the order of ``checks``.

        Raises:
            UsageError: the policy has no check of one of the names.
        """
        wanted, known = set(names), {check.name for check in cls.checks}
        for name in sorted(wanted - known):
            there = ", ".join(check.name for check in cls.checks) or "none that can be dropped"
            raise UsageError(f"{getattr(cls, 'name', cls.__name__)} has no check {name}; it has {there}")
        return tuple(check for check in cls.checks if check.name in wanted)

    def transient_pages_max(self, cpus: int, threads: int) -> int | None:
        """Return how many pages may be allocated and not mapped yet at one moment; None: the policy states nothing.

        The property transient_bound holds a run to it. ``threads`` counts all of the process.
        """
        del cpus, threads
        return None

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Make it with the options of a scenario.

        Raises:
            UsageError: it has no such option, or the value is none of those that it may have.
        """
        policy = cls()
        policy.options = cls.options_type.parse(cls.name, options)
        return policy

    @property
    def vma_readers(self) -> str | None:
        """The RCU or SRCU domain in which its faults look at VMAs without a lock: callbacks free these then."""
        return None

    @property
    def collapsing_pmd(self) -> PmdState:
        """What a collapse leaves at the PMD until it is done (E4): none, as all kernels do."""
        return PmdState.NONE

    @abstractmethod
    async def fault(self, cpu: FaultContext, address: int, *, write: bool) -> FaultPath:
        """Serve one user fault."""

    async def write_begin(self, context: KernelContext, vma: VmaSnapshot) -> None:
        """Before a writer changes what faults in this VMA rely on. Plain mmap_sem needs nothing."""

    async def write_end(self, context: KernelContext, vma: VmaSnapshot) -> None:
        """After such a change."""

    async def collapse_begin(self, context: KernelContext, vma: VmaSnapshot) -> None:
        """Before khugepaged collapses a PMD range of this VMA (E3); unless it says otherwise, as any writer."""
        await self.write_begin(context, vma)

    async def collapse_end(self, context: KernelContext, vma: VmaSnapshot) -> None:
        """After that."""
        await self.write_end(context, vma)

    async def zap_begin(self, context: KernelContext, vma: VmaSnapshot) -> None:
        """Before unmap_page_range clears PTEs of this VMA (munmap, MADV_DONTNEED): the PTE lock may be all it takes."""

    async def zap_end(self, context: KernelContext, vma: VmaSnapshot) -> None:
        """After that."""
