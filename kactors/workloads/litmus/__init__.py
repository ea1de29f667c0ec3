"""Litmus tests: one hazard a file, as few steps as show it."""

from __future__ import annotations

from kactors.workloads.base import Workload
from kactors.workloads.litmus.collapse_fault import CollapseFault
from kactors.workloads.litmus.collapse_munmap import CollapseMunmap
from kactors.workloads.litmus.collapse_vs_fault import CollapseVsFault
from kactors.workloads.litmus.dontneed_fault import DontneedFault
from kactors.workloads.litmus.file_copy import FileCopy
from kactors.workloads.litmus.file_copy_munmap import FileCopyMunmap
from kactors.workloads.litmus.file_shared import FileShared
from kactors.workloads.litmus.mail import Mail
from kactors.workloads.litmus.mail_deadlock import MailDeadlock
from kactors.workloads.litmus.mprotect_fault import MprotectFault
from kactors.workloads.litmus.munmap_page import MunmapPage
from kactors.workloads.litmus.munmap_table import MunmapTable
from kactors.workloads.litmus.munmap_tail import MunmapTail
from kactors.workloads.litmus.munmap_vs_fault import MunmapVsFault
from kactors.workloads.litmus.out_of_memory import OutOfMemory
from kactors.workloads.litmus.same_address import SameAddress
from kactors.workloads.litmus.scene import Scene
from kactors.workloads.litmus.split_bounds import SplitBounds
from kactors.workloads.litmus.stale_tlb import StaleTlb
from kactors.workloads.litmus.two_faults import TwoFaults
from kactors.workloads.litmus.vma_reuse import VmaReuse
from kactors.workloads.litmus.write_protect import WriteProtect
from kactors.workloads.litmus.zero_page import ZeroPage

TIMED: tuple[type[Workload], ...] = (SameAddress, MunmapVsFault, CollapseVsFault)
"""For runs in time, over seeds: they have options, and more pages than a search likes."""

SCENES: dict[str, type[Scene]] = {
    scene.name: scene
    for scene in (
        Mail,
        MailDeadlock,
        TwoFaults,
        ZeroPage,
        MunmapPage,
        MunmapTable,
        MunmapTail,
        StaleTlb,
        MprotectFault,
        SplitBounds,
        WriteProtect,
        DontneedFault,
        VmaReuse,
        CollapseFault,
        CollapseMunmap,
        OutOfMemory,
        FileCopy,
        FileCopyMunmap,
        FileShared,
    )
}
"""For a search: every interleaving can be gone through."""

__all__ = ["SCENES", "TIMED", "Scene"]
