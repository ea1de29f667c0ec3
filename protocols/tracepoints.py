"""What happened, for observers. Names follow the kernel's tracepoints where it has one."""

from __future__ import annotations

from typing import Final

from protocols.base import (
    Address,
    Count,
    CpuId,
    FileId,
    Ns,
    PageCount,
    PageIndex,
    Pfn,
    PmdAddress,
    PteIndex,
    PteValue,
    TableId,
    Tracepoint,
    VmaId,
    Vpn,
)

WHO = ("cpu", "khugepaged")


class PageFaultUser(Tracepoint, sender=("cpu",)):
    """exceptions:page_fault_user."""

    address: Address
    write: bool


class FaultDone(Tracepoint, sender=("cpu",)):
    """The fault handler returns after ``duration``; ``path`` is how it was served: spf, vma_lock or classic."""

    address: Address
    duration: Ns
    path: str


class SpfAbort(Tracepoint, sender=("cpu",)):
    """pagefault:spf_*: a speculation gave up; ``reason`` is perf's counter name."""

    address: Address
    reason: str


class VmEvent(Tracepoint, sender=(*WHO, "mm", "allocator", "page_cache")):
    """One step of a /proc/vmstat counter, by its kernel name."""

    name: str
    count: Count


class MmPageAlloc(Tracepoint, sender=WHO):
    """kmem:mm_page_alloc for a fault: allocated, not yet mapped."""

    pfn: Pfn
    address: Address
    cpu: CpuId


class PageMapped(Tracepoint, sender=("ptl", "mm")):
    """A frame became reachable through a page table entry (``order`` 9 or more: a huge one)."""

    pfn: Pfn
    vpn: Vpn
    order: Count


class PagesFound(Tracepoint, sender=("ptl",)):
    """A run begins with these frames mapped at the pages from ``first`` on: nobody has allocated them."""

    first: Vpn
    pfns: tuple[Pfn, ...]


class PageDiscarded(Tracepoint, sender=("cpu",)):
    """A page allocated and zeroed for a fault was thrown away unmapped; ``zeroing`` is the time that it cost."""

    pfn: Pfn
    address: Address
    zeroing: Ns


class MmPageFree(Tracepoint, sender=WHO):
    """kmem:mm_page_free: the frame has left every page table and goes back to the allocator."""

    pfn: Pfn
    order: Count


class IpiSend(Tracepoint, sender=WHO):
    """ipi:ipi_send_cpumask: a sender starts to wait; ``kind`` is flush or sync."""

    request: Count
    kind: str
    targets: Count


class IpiDone(Tracepoint, sender=WHO):
    """The last ack is in: who was last, and why it could not answer sooner."""

    request: Count
    kind: str
    sent_at: Ns
    wait: Ns
    targets: Count
    last_acker: CpuId


class IpiServed(Tracepoint, sender=("cpu",)):
    """The target runs the function for ``duration``; ``reason`` tells what delayed it, ``delayed`` for how long."""

    sender: CpuId
    kind: str
    arrived_at: Ns
    delayed: Ns
    reason: str
    duration: Ns


class MmapSemWait(Tracepoint, sender=WHO):
    """mmap_lock: from start_locking to acquire_returned; ``slept`` when the caller gave up its CPU."""

    write: bool
    wait: Ns
    slept: bool


class MmapSemHold(Tracepoint, sender=("mm",)):
    """mmap_lock_released: how long a writer held it."""

    hold: Ns


class SyscallDone(Tracepoint, sender=("cpu",)):
    """syscalls:sys_exit_*: name and duration."""

    name: str
    duration: Ns


class RecordDone(Tracepoint, sender=("cpu",)):
    """The workload finished one unit of its own count (a record, an iteration)."""

    thread: Count


class RegisterSet(Tracepoint, sender=("cpu",)):
    """A thread of a litmus test tells what it saw, under the name that the test's outcomes have it by."""

    thread: Count
    register_name: str
    value: str


class WorkersStarted(Tracepoint, sender=("cpu",)):
    """The single-threaded set-up is over: from here on the workload is measured."""

    workers: Count


class UserStore(Tracepoint, sender=("cpu",)):
    """A user store returned: it went to ``pfn`` through the CPU's translation of ``vpn``."""

    vpn: Vpn
    pfn: Pfn
    cpu: CpuId


class UserLoad(Tracepoint, sender=("cpu",)):
    """A user load returned: it read ``pfn`` through the CPU's translation of ``vpn``."""

    vpn: Vpn
    pfn: Pfn
    cpu: CpuId


class PteSet(Tracepoint, sender=("ptl",)):
    """An entry, that of page ``vpn``, was written in a table that was made for the PMD of ``pmd_address``."""

    table: TableId
    pmd_address: PmdAddress
    index: PteIndex
    vpn: Vpn
    value: PteValue


class PmdChanged(Tracepoint, sender=("mm",)):
    """A PMD entry changed: its new state and table (-1 = none); ``collapsing`` when khugepaged cleared it."""

    address: PmdAddress
    state: str
    table: TableId
    collapsing: bool


class PagesIsolated(Tracepoint, sender=("khugepaged",)):
    """huge_memory:mm_collapse_huge_page_isolate: from here on a collapse relies on what the table held."""

    address: PmdAddress
    table: TableId


class TableTouched(Tracepoint, sender=("ptl",)):
    """A message reached a page table after it had been freed."""

    table: TableId
    toucher: str
    request: str


class RangeDiscarded(Tracepoint, sender=("cpu",)):
    """munmap or MADV_DONTNEED begins (or has ``done``) to clear first..last-1: stores there may be gone meanwhile."""

    first: Vpn
    last: Vpn
    done: bool


class PageCopied(Tracepoint, sender=("khugepaged",)):
    """Collapse E7: one small page's content went to ``target`` (source -1: zeroes)."""

    vpn: Vpn
    source: Pfn
    target: Pfn


class CollapseDone(Tracepoint, sender=("khugepaged",)):
    """huge_memory:mm_collapse_huge_page with the kernel's status name."""

    address: Address
    status: str
    duration: Ns


class Watermark(Tracepoint, sender=("allocator",)):
    """The zone's free pages fell below (or rose above) a watermark: min, low or high."""

    name: str
    below: bool
    free: PageCount


class OomKill(Tracepoint, sender=("allocator",)):
    """The OOM killer chose the process."""

    free: PageCount


class OfLock(Tracepoint):
    """``lock`` is its kernel name, ``place`` the PMD's address, the page table or the frame (0: the only one).

    ``owner`` and ``tag`` name the thread: the actor that it runs on, and its requests' tag. ``write``: exclusively.
    """

    lock: str
    place: Count
    write: bool
    owner: str
    tag: Count


class LockAcquired(OfLock, sender=("mm", "ptl", "page_cache")):
    """lock:lock_acquired."""


class LockReleased(OfLock, sender=("mm", "ptl", "page_cache")):
    """lock:lock_release: told before the lock's actor looks whether the owner may."""


class LockNeeded(OfLock, sender=("mm", "ptl", "page_cache")):
    """lockdep_assert_held: the owner does ``act``, for which it must hold the lock."""

    act: str


class RangeMapped(Tracepoint, sender=("mm",)):
    """mmap put first..last-1 into the tree; ``shared``: MAP_SHARED."""

    first: Vpn
    last: Vpn
    shared: bool = False


class RangeUnmapped(Tracepoint, sender=("cpu",)):
    """munmap is done with first..last-1, and about to release mmap_sem: nothing may be mapped there any more."""

    first: Vpn
    last: Vpn


class RangeProtected(Tracepoint, sender=("cpu",)):
    """What mmap or mprotect makes of first..last-1: stores may go there from now on, or none may any more."""

    first: Vpn
    last: Vpn
    writable: bool


class FrameTaken(Tracepoint, sender=WHO):
    """kmem:mm_page_alloc for anything but one fault's small page (MmPageAlloc): a page table, a huge page."""

    pfn: Pfn
    order: Count


class FramePutBack(Tracepoint, sender=WHO):
    """kmem:mm_page_free of what no page table mapped (MmPageFree): a page table, a huge page that was not needed."""

    pfn: Pfn
    order: Count


class MmFilemapAddToPageCache(Tracepoint, sender=("page_cache",)):
    """filemap:mm_filemap_add_to_page_cache: from now on the frame is the page cache's, for any number of entries.

    It is told of a page that was there before the run when it is first looked up.
    """

    pfn: Pfn
    file: FileId
    index: PageIndex


class TableMade(Tracepoint, sender=("mm",)):
    """A page table was made in frame ``pfn``."""

    table: TableId
    pfn: Pfn


class TableDestroyed(Tracepoint, sender=("ptl",)):
    """pte_free by ``who``: the table is no more; ``pfns`` are frames that it still mapped."""

    table: TableId
    pfn: Pfn
    who: str
    pfns: tuple[Pfn, ...]


class PagesUnmapped(Tracepoint, sender=("ptl", "mm")):
    """Frames left the entries of the pages ``vpns``, one each: TLBs may still hold them."""

    pfns: tuple[Pfn, ...]
    vpns: tuple[Vpn, ...]
    order: Count


class VmaTouched(Tracepoint, sender=("mm",)):
    """A message named a VMA that had been freed."""

    vma_id: VmaId
    toucher: str
    request: str


class IrqDisable(Tracepoint, sender=("cpu",)):
    """preemptirq:irq_disable in the code named ``path``."""

    path: str


class IrqEnable(Tracepoint, sender=("cpu",)):
    """preemptirq:irq_enable."""


class MightSleep(Tracepoint, sender=("cpu",)):
    """might_sleep: from here on the thread gives up its CPU (or may have to) for what ``why`` names."""

    why: str


class TlbWalk(Tracepoint, sender=("cpu",)):
    """The hardware walker of a CPU begins to read the page tables for ``vpn``: what it finds there it may cache."""

    vpn: Vpn
    cpu: CpuId


class TlbFlush(Tracepoint, sender=WHO):
    """tlb:tlb_flush of first..last-1, cleared entries, begins, or is ``done``: then ``remote`` if others had the mm."""

    first: Vpn
    last: Vpn
    done: bool
    remote: bool = False


class TransientStated(Tracepoint, sender=("mm",)):
    """A fault policy's own bound on transient pages, for the threads that there are now; ``pages`` -1: it has none."""

    policy: str
    pages: PageCount


IRQ_ENABLE: Final = IrqEnable()
