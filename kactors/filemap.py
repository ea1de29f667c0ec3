"""mm/filemap.c from where a CPU stands: what faults and unmaps of file areas ask of the page cache."""

from __future__ import annotations

from dataclasses import dataclass

from kactors.fault_context import FaultContext
from protocols.page_cache import (
    AddToPageCache,
    FileOpened,
    FilePages,
    Filesystem,
    FindLockPage,
    GetPage,
    MapPages,
    OpenFile,
    PageAddFileRmap,
    PageFound,
    PageGot,
    PageMkwrite,
    PageRemoveRmap,
    PagesToMap,
    PageUnlocked,
    PutPage,
    SetPageDirty,
    UnlockPage,
)
from protocols.page_table import PtesZapped, ZapPtes
from protocols.vma import MappedFile, VmaSnapshot


async def open_file(cpu: FaultContext, filesystem: Filesystem, *, cached: bool) -> int:
    """Make a file and return its number; ``cached``: its pages are in memory already, else all of it is a hole."""
    opened: FileOpened = await cpu.ask(cpu.directory.page_cache, OpenFile(filesystem=filesystem, cached=cached))
    return opened.file


def mapped_file(vma: VmaSnapshot) -> MappedFile:
    """Return what a file area maps."""
    if vma.mapped_file is None:
        raise AssertionError(f"vma {vma.vma_id} maps no file")
    return vma.mapped_file


def page_index(cpu: FaultContext, vma: VmaSnapshot, address: int) -> int:
    """Return the number that the page of an address has in its file (linear_page_index)."""
    return (mapped_file(vma).offset + address - vma.start) >> cpu.machine.page_shift


async def find_lock_page(cpu: FaultContext, vma: VmaSnapshot, address: int) -> PageFound:
    """vm_ops->fault: return the page of an address, locked, with a reference; a hole is filled with zeroes first.

    Raises:
        ThreadKilled: no memory is left for the hole and this process is the OOM killer's victim.
    """
    cache, file, index = cpu.directory.page_cache, mapped_file(vma).file, page_index(cpu, vma, address)
    while True:
        found: PageFound = await cpu.ask_until_served(cache, FindLockPage(file=file, index=index))
        if found.pfn >= 0:
            return found
        pfn = await cpu.take_page()
        await cpu.move_memory(cpu.machine.clear_page_ns, cpu.machine.page_size)
        added: PageFound = await cpu.ask(cache, AddToPageCache(file=file, index=index, pfn=pfn))
        if added.pfn >= 0:
            cpu.spend(cpu.machine.rmap_lru_ns)  # lru_cache_add, memcg charge
            return added
        await cpu.put_page(pfn)  # EEXIST: somebody else has filled the hole meanwhile


async def unlock_page(cpu: FaultContext, pfn: int, *, put: bool) -> None:
    """Release the page lock, and with ``put`` the reference; pay for who it wakes."""
    unlocked: PageUnlocked = await cpu.ask(cpu.directory.page_cache, UnlockPage(pfn=pfn, put=put))
    cpu.spend(unlocked.woken * cpu.machine.wake_ns)


async def map_pages(cpu: FaultContext, vma: VmaSnapshot, first: int, last: int) -> PagesToMap:
    """Return those pages first..last of the file that are in memory and not locked, counted as mapped."""
    message = MapPages(file=mapped_file(vma).file, first=first, last=last)
    pages: PagesToMap = await cpu.ask(cpu.directory.page_cache, message)
    return pages


def page_add_file_rmap(cpu: FaultContext, pfn: int) -> None:
    """Count one more entry; under the PTE lock, before the entry is set."""
    cpu.spend(cpu.machine.atomic_ns)
    cpu.say(cpu.directory.page_cache, PageAddFileRmap(pfn=pfn))


async def page_remove_rmap(cpu: FaultContext, pfns: tuple[int, ...], written: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Drop count and reference of frames that have left their entries; return which of them are the page cache's."""
    message = PageRemoveRmap(pfns=pfns, written=written)
    pages: FilePages = await cpu.ask(cpu.directory.page_cache, message)
    return pages.pfns


async def get_page(cpu: FaultContext, pfn: int) -> bool:
    """Take a reference on a page of the page cache; False: the frame is the process's own (PageAnon)."""
    got: PageGot = await cpu.ask(cpu.directory.page_cache, GetPage(pfn=pfn))
    return got.cached


def put_page(cpu: FaultContext, pfn: int) -> None:
    """Drop what ``get_page`` took."""
    cpu.spend(cpu.machine.atomic_ns)
    cpu.say(cpu.directory.page_cache, PutPage(pfn=pfn))


async def page_mkwrite(cpu: FaultContext, pfn: int) -> None:
    """do_page_mkwrite: the file system makes a locked page ready to be written."""
    await cpu.ask(cpu.directory.page_cache, PageMkwrite(pfn=pfn))


def set_page_dirty(cpu: FaultContext, pfn: int) -> None:
    """fault_dirty_shared_page: with the page locked, after its entry is set."""
    cpu.spend(cpu.machine.atomic_ns)
    cpu.say(cpu.directory.page_cache, SetPageDirty(pfn=pfn))


@dataclass(frozen=True, slots=True)
class Zapped:
    """What was taken out of a page table.

    Attributes:
        entries: how many were cleared.
        pages: how many of them mapped a page, not the zero page.
        own: frames of the process's own, to be freed after the flush.
        dirtied: a page of the page cache among them let stores through.
    """

    entries: int
    pages: int
    own: tuple[int, ...]
    dirtied: bool = False


async def zap_file_ptes(cpu: FaultContext, table: int, first: int, last: int) -> Zapped:
    """zap_pte_range of a file area, under the PTE lock."""
    zapped: PtesZapped = await cpu.ask(cpu.ptl(table), ZapPtes(first=first, last=last))
    if not zapped.pfns:
        return Zapped(0, 0, ())
    pages = frozenset(await page_remove_rmap(cpu, zapped.pfns, zapped.written))
    own = tuple(pfn for pfn in zapped.pfns if pfn not in pages)
    return Zapped(len(zapped.pfns), len(zapped.pfns), own, dirtied=not pages.isdisjoint(zapped.written))
