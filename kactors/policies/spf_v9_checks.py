"""The checks of SPF v9, each with what the policy does without it. Any subset of them can be dropped."""

from __future__ import annotations

from typing import Any, Final

from kactors.fault_context import FaultContext
from kactors.fault_policy import WRITER_CHECKS, Check
from kactors.policies.classic import never_looked
from kactors.policies.dropped import no, no_hook, no_section, spin_lock, unseen, yes
from protocols.vma import VmaSnapshot


async def get_vma_unreferenced(_policy: Any, cpu: FaultContext, address: int) -> VmaSnapshot | None:
    """C1 without the reference: nothing keeps the VMA once mm_rb_lock is dropped."""
    vma = await cpu.get_vma(address)
    if vma is not None:
        cpu.put_vma(vma)
    return vma


def put_nothing(_policy: Any, _cpu: FaultContext, _vma: VmaSnapshot) -> None:
    """C15 where no reference was taken."""


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
    Check("walk_irqs_off", "C8", "the walker takes no IPI, so no page table is freed", {"walk_section": no_section}),
    Check("sequence_recheck", "C9", "did the VMA change during the walk", {"sequence_retry": unseen}),
    Check("commit_irqs_off", "C12", "from the checks to the lock no IPI is taken", {"commit_section": no_section}),
    Check("first_vma_check", "C12.i", "did the VMA change before the lock", {"first_vma_check": unseen}),
    Check("pmd_check", "C12.ii", "does the PMD still point to the table that was walked", {"pmd_changed": unseen}),
    Check("trylock", "C12.iii", "never spin on the PTE lock with irqs off", {"take_pte_lock": spin_lock}),
    Check("last_vma_check", "C12.iv", "did the VMA change before the lock was taken", {"last_vma_check": unseen}),
    Check("pte_same", "C13", "is the PTE under its lock the one that was read", {"pte_same": never_looked}),
    Check("can_reuse_spf_vma", "C15", "may the classic path go on with this VMA", {"can_reuse_spf_vma": yes}),
    Check("zap_write_begin", "D3, D5", "zapping is a write section", {"zap_begin": no_hook, "zap_end": no_hook}),
    Check(
        "mprotect_write_begin",
        "D4",
        "changing flags is a write section",
        {"write_begin": no_hook, "write_end": no_hook},
    ),
    Check(
        "collapse_write_begin",
        "E3",
        "a collapse is a write section",
        {"collapse_begin": no_hook, "collapse_end": no_hook},
    ),
    *WRITER_CHECKS,
)
