"""Policies that drop one protection each (or a few), so that one can see what it protects from."""

from __future__ import annotations

from kactors.policies.broken.base import Broken
from kactors.policies.broken.commit import (
    BlockingSpin,
    CommitIrqsOn,
    NoChecks,
    NoFirstCheck,
    NoLastCheck,
    NoPmdCheck,
    NoVmaChecks,
)
from kactors.policies.broken.per_vma_locks import NoCollapseLock, NoDrain, NoLockedBounds, NoLockSequenceRecheck
from kactors.policies.broken.pte_recheck import ClassicNoPteRecheck, NoPteRecheck, PerVmaNoPteRecheck
from kactors.policies.broken.references import NoRefcount, NoReuseCheck
from kactors.policies.broken.snapshot import NoAccessCheck, NoAnonVma, NoBounds, OddSequence
from kactors.policies.broken.softirqs import (
    IrqsOn,
    IrqsOnNoChecks,
    IrqsOnNoLastCheck,
    IrqsOnNoPmdCheck,
    IrqsOnNoVmaChecks,
)
from kactors.policies.broken.walk import NoSequenceRecheck, WalkIrqsOn
from kactors.policies.broken.write_sections import NoCollapseSection, NoMprotectSection, NoZapSection
from kactors.policies.broken.writers import CollapseNoFlush, FreeBeforeFlush, IsolateUnlocked, MprotectNoFlush

__all__ = ["BROKEN", "Broken"]

BROKEN: dict[str, type[Broken]] = {
    policy.name: policy
    for policy in (
        NoRefcount,
        OddSequence,
        NoAnonVma,
        NoBounds,
        NoAccessCheck,
        WalkIrqsOn,
        NoSequenceRecheck,
        CommitIrqsOn,
        NoFirstCheck,
        NoPmdCheck,
        BlockingSpin,
        NoLastCheck,
        NoVmaChecks,
        NoChecks,
        NoPteRecheck,
        NoReuseCheck,
        NoZapSection,
        NoMprotectSection,
        NoCollapseSection,
        CollapseNoFlush,
        IsolateUnlocked,
        FreeBeforeFlush,
        MprotectNoFlush,
        ClassicNoPteRecheck,
        PerVmaNoPteRecheck,
        NoLockSequenceRecheck,
        NoLockedBounds,
        NoDrain,
        NoCollapseLock,
        IrqsOn,
        IrqsOnNoLastCheck,
        IrqsOnNoPmdCheck,
        IrqsOnNoVmaChecks,
        IrqsOnNoChecks,
    )
}
