"""The checks of SPF v9, each with what the policy does without it. Any subset of them can be dropped."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from kactors.context import KernelContext
from kactors.fault_context import FaultContext
from kactors.fault_policy import WRITER_CHECKS, Check
from kactors.policies.classic import never_looked
from protocols.vma import VmaSnapshot


async def get_vma_unreferenced(_policy: Any, cpu: FaultContext, address: int) -> VmaSnapshot | None:
    """C1 without the reference: nothing keeps the VMA once mm_rb_lock is dropped."""
    vma = await cpu.get_vma(address)
    if vma is not None:
        cpu.put_vma(vma)
    return vma


def put_nothing(_policy: Any, _cpu: FaultContext, _vma: VmaSnapshot) -> None:
    """C15 where no reference was taken."""


def no(_policy: Any, *_: Any) -> bool:
    """A check of the snapshot that is not made: nothing is found."""
    return False


def yes(_policy: Any, *_: Any, **__: Any) -> bool:
    """A permission that is not asked for: it is taken as given."""
    return True


async def unseen(_policy: Any, *_: Any) -> bool:
    """A look at shared state that is not taken: nothing has changed."""
    return False


def irqs_on(_policy: Any, _cpu: FaultContext) -> AbstractContextManager[None]:
    """A section in which this CPU goes on taking interrupts."""
    return nullcontext()


async def spin_lock(_policy: Any, cpu: FaultContext, table: int, address: int) -> int:
    """C12.iii as a plain spin_lock."""
    return await cpu.pte_lock(table, address)


async def no_section(_policy: Any, _context: KernelContext, _vma: VmaSnapshot) -> None:
    """No vm_write_begin, no vm_write_end: vm_sequence stays as it is."""


CHECKS: Final = (
    Check(
        "vma_refcount",
        "C1",
        "a reference keeps the VMA until the fault is done",
        {"get_vma": get_vma_unreferenced, "put_vma": put_nothing},
    ),
    Check("sequence_odd", "C2", "is a writer inside at the look-up", {"sequence_odd": no}),
    Check("anon_vma", "C4", "does the VMA have its anon_vma", {"anon_vma_missing": no}),
    Check("vma_bounds", "C6", "does the VMA hold the address", {"out_of_bounds": no}),
    Check("vma_access", "C7", "does the VMA permit the access", {"access_permitted": yes}),
    Check("walk_irqs_off", "C8", "the walker takes no IPI, so no page table is freed", {"walk_section": irqs_on}),
    Check("sequence_recheck", "C9", "did the VMA change during the walk", {"sequence_retry": unseen}),
    Check("commit_irqs_off", "C12", "from the checks to the lock no IPI is taken", {"commit_section": irqs_on}),
    Check("first_vma_check", "C12.i", "did the VMA change before the lock", {"first_vma_check": unseen}),
    Check("pmd_check", "C12.ii", "does the PMD still point to the table that was walked", {"pmd_changed": unseen}),
    Check("trylock", "C12.iii", "never spin on the PTE lock with irqs off", {"take_pte_lock": spin_lock}),
    Check("last_vma_check", "C12.iv", "did the VMA change before the lock was taken", {"last_vma_check": unseen}),
    Check("pte_same", "C13", "is the PTE under its lock the one that was read", {"pte_same": never_looked}),
    Check("can_reuse_spf_vma", "C15", "may the classic path go on with this VMA", {"can_reuse_spf_vma": yes}),
    Check("zap_write_begin", "D3, D5", "zapping is a write section", {"zap_begin": no_section, "zap_end": no_section}),
    Check(
        "mprotect_write_begin",
        "D4",
        "changing flags is a write section",
        {"write_begin": no_section, "write_end": no_section},
    ),
    Check(
        "collapse_write_begin",
        "E3",
        "a collapse is a write section",
        {"collapse_begin": no_section, "collapse_end": no_section},
    ),
    *WRITER_CHECKS,
)
