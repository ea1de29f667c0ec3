"""What actors say, in the words of the kernel: the one place that knows how a message reads in a commit message.

A request reads as the call that makes it, an answer as what comes of the call. Addresses are given in hexadecimal;
``{lock}`` is the page table's lock, with a name where a story has several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

from protocols import (
    allocation,
    barrier,
    host,
    mmap_sem,
    page_cache,
    page_table,
    pipe,
    rcu,
    scheduling,
    set_up,
    tlb,
    vma,
)
from protocols.base import Address, Message
from protocols.page_table import PmdState
from protocols.vma import VmaSnapshot

Phrase = str | Callable[[Any], str]
"""A template with the message's fields in braces, or a function of the message."""

FEW: Final = 3
(ADDRESS,) = get_args(Address)[1:]


def _vma(found: VmaSnapshot | None) -> str:
    return "no vma" if found is None else f"vma {found.vma_id} seq {found.sequence}"


def _pmd(read: page_table.Pmd) -> str:
    if read.state is PmdState.TABLE:
        return f"table {read.table}"
    return f"huge pfn {read.pfn}" if read.state is PmdState.HUGE else str(read.state)


def _permissions(said: vma.SetVmaFlags) -> str:
    letters = ("r" if said.readable else "-") + ("w" if said.writable else "-")
    return f"{letters}, hugepage" if said.hugepage else letters


def _list(numbers: tuple[int, ...]) -> str:
    if len(numbers) > FEW and numbers == tuple(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}..{numbers[-1]}"
    shown = ", ".join(map(str, numbers[:FEW]))
    return shown if len(numbers) <= FEW else f"{shown} and {len(numbers) - FEW} more"


REQUESTS: Final[Mapping[type[Message], Phrase]] = {
    mmap_sem.DownRead: "down_read(mmap_sem)",
    mmap_sem.DownWrite: "down_write(mmap_sem)",
    mmap_sem.RetryWrite: "down_write(mmap_sem), woken",
    mmap_sem.GiveUpOnReaders: "down_write(mmap_sem): has spun on readers for long, joins the queue",
    mmap_sem.StopSpinning: "down_write(mmap_sem): need_resched, joins the queue",
    mmap_sem.UpRead: "up_read(mmap_sem)",
    mmap_sem.UpWrite: "up_write(mmap_sem)",
    mmap_sem.DowngradeWrite: "downgrade_write(mmap_sem)",
    mmap_sem.OwnerSleeps: "the owner of mmap_sem sleeps",
    mmap_sem.OwnerRuns: "the owner of mmap_sem runs again",
    mmap_sem.ReadMmapSeq: "read mmap_seq",
    vma.FindVma: "find_vma({address})",
    vma.GetVma: "get_vma({address})",
    vma.PutVma: "put_vma(vma {vma_id})",
    vma.ReadSequence: "read vm_sequence of vma {vma_id}",
    vma.ReadVma: "read vma {vma_id} again",
    vma.AnonVmaPrepare: "anon_vma_prepare(vma {vma_id})",
    vma.VmWriteBegin: "vm_write_begin(vma {vma_id})",
    vma.VmWriteEnd: "vm_write_end(vma {vma_id})",
    vma.WalkVmas: "mas_walk({address}) under RCU",
    vma.CopyVma: "find_vma({address}) under RCU, copies it",
    vma.ReadTreeSeq: lambda said: "read_seqbegin(mm_seq)" if said.begin else "read_seqretry(mm_seq)",
    vma.RefVma: "get_vma(vma {vma_id})",
    rcu.BeginGracePeriod: "begins a grace period, to free VMAs",
    rcu.VmasUnseen: "no reader sees the VMAs any more",
    rcu.VmaCallbacks: lambda said: f"callbacks that free vmas {_list(said.vma_ids)}",
    vma.VmaAtomic: "an atomic operation on vma {vma_id}",
    vma.VmLockTrylock: "down_read_trylock(vm_lock of vma {vma_id})",
    vma.VmLockUpRead: "up_read(vm_lock of vma {vma_id})",
    vma.VmaStartRead: "vma_start_read(vma {vma_id})",
    vma.VmaEndRead: "vma_end_read(vma {vma_id})",
    vma.VmaStartWrite: "vma_start_write {start}-{end}",
    vma.MmapRegion: "mmap_region({address}, {length} bytes)",
    vma.MoveBrk: "mm->brk = {address}",
    vma.DetachRegion: "detach_vmas_to_be_unmapped {start}-{end}",
    vma.SplitRegion: "split_vma {start}-{end}",
    vma.SetVmaFlags: lambda said: f"vm_flags of vma {said.vma_id} = {_permissions(said)}",
    vma.MergeRegion: "vma_merge {start}-{end}",
    vma.SpfEnter: "waits for leave to speculate on {address}",
    vma.SpfExit: "speculation on {address} ends",
    page_table.ReadPmd: "read_pmd({address})",
    page_table.InstallTable: "pte_alloc({address})",
    page_table.PmdLock: "pmd_lock({address})",
    page_table.PmdUnlock: "spin_unlock(pmd_lock)",
    page_table.ClearPmd: "pmdp_collapse_flush({address})",
    page_table.RestorePmd: "pmd_populate({address}): the old table {table}",
    page_table.InstallHuge: "set_pmd_at({address}, huge pfn {pfn})",
    page_table.ZapHuge: "zap_huge_pmd({address})",
    page_table.SplitHuge: "split_huge_pmd({address})",
    page_table.DetachTables: "free_pgtables {start}-{end}",
    page_table.ReadPte: "read_pte({index})",
    page_table.LockPte: "spin_lock({lock}) for pte[{index}]",
    page_table.TrylockPte: "spin_trylock({lock}) for pte[{index}]",
    page_table.SetPte: "set_pte_at(pte[{index}], {value})",
    page_table.UnlockPte: "spin_unlock({lock})",
    page_table.ZapPtes: "zap_pte_range(pte[{first}..{last}))",
    page_table.MapPtes: lambda said: f"maps {len(said.entries)} pages around the fault where pte_none",
    page_table.ProtectPtes: lambda said: (
        f"change_pte_range(pte[{said.first}..{said.last}), {'writable' if said.writable else 'read-only'})"
    ),
    page_table.ScanPtes: "khugepaged scans the ptes",
    page_table.FreeTable: "pte_free(table)",
    page_table.NextScanRange: "khugepaged_scan: next after {after}",
    page_cache.OpenFile: "open, a new file on {filesystem}",
    page_cache.FindLockPage: "find_lock_page(file {file}, page {index})",
    page_cache.AddToPageCache: "add_to_page_cache_lru(file {file}, page {index}, pfn {pfn})",
    page_cache.UnlockPage: lambda said: f"unlock_page(pfn {said.pfn})" + (", put_page" if said.put else ""),
    page_cache.MapPages: "filemap_map_pages(file {file}, pages {first}..{last})",
    page_cache.PageAddFileRmap: "page_add_file_rmap(pfn {pfn})",
    page_cache.PageRemoveRmap: lambda said: f"page_remove_rmap(pfns {_list(said.pfns)})",
    page_cache.GetPage: "get_page(pfn {pfn}) unless PageAnon",
    page_cache.PutPage: "put_page(pfn {pfn})",
    page_cache.PageMkwrite: "page_mkwrite(pfn {pfn})",
    page_cache.SetPageDirty: "set_page_dirty(pfn {pfn})",
    tlb.FlushTlb: "flush_tlb_mm_range: new tlb_gen",
    tlb.ReadCpumask: "read mm_cpumask",
    tlb.FlushIpi: "IPI flush {start}-{end}",
    tlb.SyncIpi: "IPI sync",
    tlb.IpiAck: "csd_unlock",
    tlb.BroadcastTlbie: "tlbie {start}-{end}",
    tlb.JoinMm: "switch_mm: joins mm_cpumask",
    tlb.LeaveMm: "leave_mm: leaves mm_cpumask",
    tlb.DropMm: "switch_mm to another process: leaves mm_cpumask",
    allocation.AllocPages: "alloc_pages(order {order})",
    allocation.DirectReclaim: "try_to_free_pages",
    allocation.FreePages: "free_pages(order {order})",
    allocation.OutOfMemory: "out_of_memory",
    allocation.VictimExited: "exit_mmap of the OOM killer's victim",
    allocation.MoveMemory: "clear_page: {size} bytes",
    allocation.HandlePages: lambda said: f"page_remove_rmap(pfns {_list(said.pfns)})",
    allocation.MoveOnLru: "lru_lock: {pages} pages",
    allocation.PagesDrained: "drain_local_pages",
    pipe.WritePipe: "write({count} bytes)",
    pipe.ReadPipe: "read({count} bytes)",
    pipe.ClosePipe: "close",
    barrier.ArriveAtBarrier: "pthread_barrier_wait",
    barrier.SleepAtBarrier: "futex_wait(round {round})",
    barrier.OpenBarrier: "futex_wake(all of round {round})",
    rcu.CallRcu: lambda said: f"call_rcu({said.domain}): to free pfns {_list(said.pfns)}",
    rcu.Quiescent: "rcu: quiescent state",
    rcu.SrcuReadLock: "srcu_read_lock({domain})",
    rcu.SrcuReadUnlock: "srcu_read_unlock({domain}, {index})",
    rcu.Synchronize: "synchronize_rcu({domain})",
    scheduling.FutexWake: "futex_wake",
    scheduling.TaskRuns: "is runnable",
    scheduling.TaskSleeps: "sleeps from now on",
    scheduling.TaskEnds: "has ended",
    scheduling.TaskMoves: "moves to cpu{cpu}",
    scheduling.SelectTaskRq: "select_task_rq(tag {thread})",
    scheduling.PlaceTask: "select_task_rq",
    scheduling.TtwuQueue: "ttwu_queue",
    scheduling.NohzKick: "tick: more than one thread is runnable",
    scheduling.NewlyIdle: "newidle_balance",
    scheduling.KeepsTask: "has no thread for cpu{cpu}",
    scheduling.MoveTask: "a thread runs there from now on",
    scheduling.LeftCpu: "set_task_cpu: has taken the thread",
    scheduling.RunKthread: "computes on this CPU for {duration} ns",
    scheduling.KthreadRan: "has let it compute",
    scheduling.Resume: "goes on",
    scheduling.Tick: "tick: the time slice is over",
    scheduling.Dispatch: "schedule: picks a thread",
    scheduling.SiblingBusy: lambda said: "runs threads" if said.busy else "idles",
    scheduling.StartThread: "clone: starts thread {thread}",
    set_up.SetUpPages: "begins with {count} frames",
    set_up.SetUpFile: lambda said: f"begins with a file of {len(said.pfns)} pages",
    set_up.SetUpMapping: "begins with {count} pages of file {file} mapped",
    set_up.SetUpArea: lambda said: f"begins with pages from {said.address:#x} on: pfns {_list(said.pfns)}",
    host.StealCpu: "the hypervisor takes the vCPU away",
    host.MmUsers: "mm_users = {mm_users}",
    host.CollapseRange: "khugepaged is told to collapse {address}",
    host.SetSpeculationBound: "spf_inflight_max = {inflight_max}",
    host.EndPressure: "the balloon deflates",
}
"""What clients and the host say."""

ANSWERS: Final[Mapping[type[Message], Phrase]] = {
    scheduling.MustSleep: "sleeps",
    scheduling.Granted: "wakes up, owns it",
    mmap_sem.RspinOver: "rwsem_rspin_threshold has passed",
    scheduling.TaskRq: "shall run on cpu{cpu}",
    scheduling.PushTask: "cpu{cpu} is idle, and takes a thread",
    scheduling.Retry: "wakes up, tries again",
    scheduling.Sigkill: "SIGKILL",
    scheduling.KthreadRan: "has computed",
    mmap_sem.MmapSemAcquired: "",
    mmap_sem.MmapSemReleased: lambda said: f"wakes {said.woken}" if said.woken else "",
    mmap_sem.MmapSeq: "{sequence}",
    vma.VmaAtomicDone: "",
    vma.TreeSeq: "{sequence}",
    vma.VmaFound: lambda said: _vma(said.vma),
    vma.VmaRead: lambda said: _vma(said.vma) + ("" if said.attached else ", detached"),
    vma.VmaSequence: lambda said: f"{said.sequence}" + ("" if said.attached else ", detached"),
    vma.VmaWalked: lambda said: _vma(said.vma) + (", a writer owns it" if said.writer else ""),
    vma.VmaReadLocked: lambda said: "fails" if said.vma is None else _vma(said.vma),
    vma.VmaWriteLocked: "",
    vma.RegionMapped: "{address}",
    vma.BrkMoved: "from {previous} to {brk}",
    vma.RegionVmas: lambda said: ", ".join(map(_vma, said.vmas)),
    vma.RegionMerged: lambda said: f"{said.absorbed} merged" if said.absorbed else "",
    vma.SpfAdmitted: lambda said: "admitted" if said.admitted else "refused",
    page_table.Pmd: _pmd,
    page_table.TableInstalled: lambda said: f"table {said.table}" + ("" if said.used else " of somebody else"),
    page_table.HugeZapped: "huge pfn {pfn}",
    page_table.TablesDetached: lambda said: f"tables {_list(said.tables)}" if said.tables else "none to free",
    page_table.Pte: lambda said: str(said.value) if said.value else "none",
    page_table.PteLocked: lambda said: f"got it, pte {said.value or 'none'}",
    page_table.PteLockBusy: "busy",
    page_table.PtesZapped: lambda said: f"pfns {_list(said.pfns)}" if said.pfns else "none mapped",
    page_table.PtesMapped: lambda said: f"{len(said.indexes)} mapped",
    page_table.PtesProtected: "{changed} changed",
    page_table.PtesScanned: lambda said: f"{len(said.entries)} present",
    page_table.TableFreed: "pfn {pfn}",
    page_table.ScanRange: lambda said: "nothing left" if said.address < 0 else f"{said.address:#x}, table {said.table}",
    page_cache.FileOpened: "file {file}",
    page_cache.PageFound: lambda said: "a hole, or somebody was first" if said.pfn < 0 else f"pfn {said.pfn}, locked",
    page_cache.PageUnlocked: lambda said: "wakes who waits" if said.woken else "",
    page_cache.PagesToMap: lambda said: f"{len(said.pages)} in memory",
    page_cache.FilePages: lambda said: f"pfns {_list(said.pfns)} are the file's" if said.pfns else "none is a file's",
    page_cache.PageGot: lambda said: "a page of a file" if said.cached else "PageAnon",
    page_cache.PageWritable: "its block is reserved",
    tlb.FlushTargets: lambda said: f"CPUs {_list(said.cpus)}",
    tlb.IpiAck: "acknowledged",
    tlb.TlbieDone: "",
    tlb.MmJoined: "",
    pipe.PipeWritten: lambda said: f"wakes {said.woken}" if said.woken else "",
    pipe.PipeRead: lambda said: f"{said.count} bytes" if said.count else "end of file",
    barrier.ArrivedAtBarrier: lambda said: f"the last of round {said.round}" if said.last else "others are missing",
    barrier.BarrierPassed: "the round is over",
    barrier.BarrierOpened: lambda said: f"wakes {said.woken}" if said.woken else "",
    rcu.SrcuReadLocked: "index {index}",
    rcu.GracePeriodOver: "the grace period is over",
    allocation.PagesAllocated: lambda said: f"pfns {_list(said.pfns)}",
    allocation.ReclaimNeeded: "below min: must reclaim",
    allocation.Reclaimed: "{pages} pages",
    allocation.PagesFreed: "",
    allocation.MemoryMoves: "{takes} ns",
    allocation.LruMoved: "done",
    allocation.PagesHandled: "done",
    set_up.PagesSetUp: lambda said: f"pfns {_list(said.pfns)}" if said.pfns else "not so many",
    set_up.AreaSetUp: "",
    set_up.FileSetUp: "",
    set_up.MappingSetUp: "",
    allocation.OomHandled: lambda said: "killed" if said.killed else "nobody killed",
}
"""What comes of a request."""


def request(message: Message, *, lock: str = "ptl") -> str:
    """Return what a client does when it says this; a message without words of its own gives its name."""
    return _said(REQUESTS, message, lock)


def answer(message: Message) -> str:
    """Return what came of a request that was answered with this; empty where it only went as one expects."""
    return _said(ANSWERS, message, "")


def _said(phrases: Mapping[type[Message], Phrase], message: Message, lock: str) -> str:
    phrase = phrases.get(type(message), type(message).__name__)
    if isinstance(phrase, str):
        fields = type(message).model_fields
        shown = {name: _shown(fields[name].metadata, value) for name, value in message}
        return phrase.format(lock=lock, **shown)
    return phrase(message)


def _shown(metadata: list[Any], value: Any) -> str:
    return f"{value:#x}" if isinstance(value, int) and ADDRESS in metadata else str(value)
