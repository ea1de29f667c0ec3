"""mmap, munmap, brk, mprotect and madvise: the writers (protocols.md D1 to D5)."""

from __future__ import annotations

from kactors.cpu import Cpu
from kactors.fault_policy import FaultPolicy
from kactors.syscalls.unmap import change_protection, detach_tables, finish_unmap, unmap_vmas
from protocols.allocation import VICTIM_EXITED
from protocols.tracepoints import RangeProtected, RangeUnmapped
from protocols.vma import (
    BrkMoved,
    DetachRegion,
    MergeRegion,
    MmapRegion,
    MoveBrk,
    PutVma,
    RegionMapped,
    RegionVmas,
    SetVmaFlags,
    SplitRegion,
    VmaKind,
    VmaSnapshot,
)

ANYWHERE = -1
TASK_SIZE = 1 << 47
"""End of user addresses."""


async def mmap(cpu: Cpu, policy: FaultPolicy, request: MmapRegion, *, replace: bool = False) -> int:
    """D2: map what is asked for; return the address.

    An ``address`` other than ANYWHERE acts as MAP_FIXED_NOREPLACE, or, with ``replace``, as MAP_FIXED: what is there
    goes first, under the same lock. -1 (MAP_FAILED) when it does not fit.
    """
    await cpu.down_write()
    if replace:
        await _replace(cpu, policy, request.address, request.address + request.length)
    # get_unmapped_area, flags, accounting, a slab object: nobody but the holder of mmap_sem sees anything of it.
    cpu.work(cpu.jitter(cpu.machine.map_ns))
    mapped: RegionMapped = await cpu.ask_until_served(cpu.directory.mm, request)
    if mapped.address >= 0 and not request.writable:
        _note_protection(cpu, mapped.address, mapped.address + request.length, writable=False)
    await cpu.up_write()
    return mapped.address


async def _replace(cpu: Cpu, policy: FaultPolicy, start: int, end: int) -> None:
    region: RegionVmas = await cpu.ask_until_served(cpu.directory.mm, DetachRegion(start=start, end=end))
    if region.vmas:
        cpu.work(cpu.jitter(cpu.machine.detach_ns))
        await _unmap_region(cpu, policy, region.vmas, start, end)


async def munmap(cpu: Cpu, policy: FaultPolicy, start: int, end: int) -> None:
    """D3: detach the VMAs, clear their PTEs, flush, free. 4.16 holds mmap_sem for writing over all of it."""
    await cpu.down_write()
    await _unmap_and_release(cpu, policy, start, end)


async def brk(cpu: Cpu, policy: FaultPolicy, address: int) -> int:
    """Move the heap's end to ``address``, D2 or D3 with what lies between; return where it is afterwards.

    It stays where it is if ``address`` is below the heap's start, or if something lies in the way.
    """
    await cpu.down_write()
    moved: BrkMoved = await cpu.ask(cpu.directory.mm, MoveBrk(address=address))
    old_end, new_end = page_end(cpu, moved.previous), page_end(cpu, moved.brk)
    if new_end < old_end:
        await _unmap_and_release(cpu, policy, new_end, old_end)
        return moved.brk
    if new_end > old_end:
        cpu.work(cpu.jitter(cpu.machine.map_ns))
        length = new_end - old_end
        request = MmapRegion(address=old_end, length=length, readable=True, writable=True, kind=VmaKind.ANON)
        mapped: RegionMapped = await cpu.ask_until_served(cpu.directory.mm, request)
        if mapped.address < 0:
            moved = await cpu.ask(cpu.directory.mm, MoveBrk(address=moved.previous))
    await cpu.up_write()
    return moved.brk


def page_end(cpu: Cpu, address: int) -> int:
    """Return the address rounded up to pages."""
    return -(-address // cpu.machine.page_size) * cpu.machine.page_size


async def _unmap_and_release(cpu: Cpu, policy: FaultPolicy, start: int, end: int) -> None:
    """do_munmap and up_write; 4.20 and later go on as a reader once the VMAs are detached."""
    # Of two splits and the way out of the tree only what the first split begins with, a slab object and its
    # anon_vma_clone, comes before an area is locked or unstable.
    early_ns = cpu.machine.detach_ns // 4
    cpu.work(cpu.jitter(early_ns))
    region: RegionVmas = await cpu.ask_until_served(cpu.directory.mm, DetachRegion(start=start, end=end))
    cpu.work(cpu.jitter(cpu.machine.detach_ns - early_ns))
    downgraded = policy.munmap_downgrades and bool(region.vmas)
    if downgraded:
        await cpu.downgrade_write()
    if region.vmas:
        await _unmap_region(cpu, policy, region.vmas, start, end)
    await (cpu.up_read() if downgraded else cpu.up_write())


async def _unmap_region(cpu: Cpu, policy: FaultPolicy, vmas: tuple[VmaSnapshot, ...], start: int, end: int) -> None:
    """unmap_region: take the pages and tables out of what was detached, free them and the VMAs."""
    gather = await unmap_vmas(cpu, policy, vmas, start, end)
    await detach_tables(cpu, start, end, gather)
    await finish_unmap(cpu, policy, start, end, gather)
    if cpu.engine.listens(RangeUnmapped):
        shift = cpu.machine.page_shift
        cpu.note(RangeUnmapped(first=start >> shift, last=-(-end >> shift)))
    # remove_vma_list: areas are counted out and freed once nothing of them is left in page tables and TLBs.
    cpu.work(cpu.jitter(cpu.machine.unmap_ns))
    for vma in vmas:
        cpu.say(cpu.directory.mm, PutVma(vma_id=vma.vma_id))


async def exit_mmap(cpu: Cpu, policy: FaultPolicy) -> None:
    """The end of a process that has no other thread: all of its memory goes."""
    await cpu.down_write()
    region: RegionVmas = await cpu.ask_until_served(cpu.directory.mm, DetachRegion(start=0, end=TASK_SIZE))
    if region.vmas:
        await _unmap_region(cpu, policy, region.vmas, region.vmas[0].start, region.vmas[-1].end)
    await cpu.up_write()
    if cpu.killed:
        cpu.say(cpu.directory.allocator, VICTIM_EXITED)


async def mprotect(cpu: Cpu, policy: FaultPolicy, start: int, end: int, *, readable: bool, writable: bool) -> None:
    """D4: split, then change flags and PTEs of whole VMAs inside a write section, then merge.

    The kernel tries to merge first; the result is the same areas.
    """
    await cpu.down_write()
    if writable:
        _note_protection(cpu, start, end, writable=True)
    region: RegionVmas = await cpu.ask_until_served(cpu.directory.mm, SplitRegion(start=start, end=end))
    for vma in region.vmas:
        cpu.work(cpu.machine.protect_ns)
        await policy.write_begin(cpu, vma)
        set_flags(cpu, vma, readable=readable, writable=writable, hugepage=vma.hugepage)
        if not writable:
            await change_protection(cpu, policy, vma.start, vma.end, writable=False)
        await policy.write_end(cpu, vma)
    await cpu.ask_until_served(cpu.directory.mm, MergeRegion(start=start, end=end))
    if not writable:
        _note_protection(cpu, start, end, writable=False)
    await cpu.up_write()


def _note_protection(cpu: Cpu, start: int, end: int, *, writable: bool) -> None:
    if cpu.engine.listens(RangeProtected):
        shift = cpu.machine.page_shift
        cpu.note(RangeProtected(first=start >> shift, last=-(-end >> shift), writable=writable))


def set_flags(cpu: Cpu, vma: VmaSnapshot, *, readable: bool, writable: bool, hugepage: bool) -> None:
    """Write a VMA's flags."""
    cpu.spend(cpu.machine.atomic_ns)
    flags = SetVmaFlags(vma_id=vma.vma_id, readable=readable, writable=writable, hugepage=hugepage)
    cpu.say(cpu.directory.mm, flags)


async def madvise_hugepage(cpu: Cpu, policy: FaultPolicy, start: int, end: int) -> None:
    """D5: MADV_HUGEPAGE marks whole VMAs for khugepaged."""
    await cpu.down_write()
    region: RegionVmas = await cpu.ask_until_served(cpu.directory.mm, SplitRegion(start=start, end=end))
    for vma in region.vmas:
        cpu.work(cpu.machine.protect_ns)
        await policy.write_begin(cpu, vma)
        set_flags(cpu, vma, readable=vma.readable, writable=vma.writable, hugepage=True)
        await policy.write_end(cpu, vma)
    await cpu.ask_until_served(cpu.directory.mm, MergeRegion(start=start, end=end))
    await cpu.up_write()


async def madvise_dontneed(cpu: Cpu, policy: FaultPolicy, start: int, end: int) -> None:
    """D5: drop the pages but keep the areas, under mmap_sem held for reading."""
    await cpu.down_read()
    vmas: list[VmaSnapshot] = []
    address = start
    while address < end:
        vma = await cpu.find_vma(address)
        if vma is None:
            address += cpu.machine.page_size
            continue
        vmas.append(vma)
        address = vma.end
    gather = await unmap_vmas(cpu, policy, vmas, start, end)
    await finish_unmap(cpu, policy, start, end, gather)
    await cpu.up_read()
