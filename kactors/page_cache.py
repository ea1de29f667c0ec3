"""The page cache: the pages of all files, whoever maps them.

Owns: each file's tree of pages with its i_pages lock, and of each page the lock, references, mapcount and dirty bit.
Hears: look-ups, pages for holes, page locks, rmap and dirty bits from CPUs that serve faults and unmap.
Says: their answers, and wake-ups of who waits for a page lock.
Never: allocates or frees a frame (a fault brings it, no reclaim takes it), touches a PTE, reads or writes a disk.

An actor of its own, since a page outlives every mapping and every process (so it is not the mm's), and what it is
to whom is nothing that the allocator knows of a frame in use. One for all files, since an unmap has frames only, and
page->mapping leads from there to the file.
"""

from __future__ import annotations

from typing import Any, ClassVar

from kactors.engine.actor import Actor, Handler, Server
from kactors.engine.engine import Engine
from kactors.engine.waits import Holder
from kactors.kernel.cached_pages import CachedPage, CachedPages, File
from kactors.kernel.lockdep import PAGE_LOCK, tell_acquired, tell_needed, tell_released
from protocols.base import Message
from protocols.machine import Machine
from protocols.page_cache import (
    PAGE_WRITABLE,
    AddToPageCache,
    FileOpened,
    FilePages,
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
from protocols.roles import heard_by, said_by
from protocols.scheduling import MUST_SLEEP, RETRY
from protocols.set_up import FILE_SET_UP, FilePagesFound, MappingSetUp, SetUpFile, SetUpMapping
from protocols.tracepoints import MmFilemapAddToPageCache, VmEvent


class PageCache(Server):
    """The actor.

    Args:
        engine: the machine's engine.
        machine: costs.
    """

    role: ClassVar[str] = "page_cache"
    hears: ClassVar[frozenset[type[Message]]] = heard_by("page_cache")
    says: ClassVar[frozenset[type[Message]]] = said_by("page_cache")

    def __init__(self, engine: Engine, machine: Machine) -> None:
        self._machine = machine
        self._pages = CachedPages(machine)
        super().__init__(engine, "page_cache")

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handlers of files, look-ups, page locks and rmap."""
        return {
            OpenFile: self._open,
            FindLockPage: self._find_lock,
            AddToPageCache: self._add,
            UnlockPage: self._unlock,
            MapPages: self._map_pages,
            PageAddFileRmap: self._add_rmap,
            PageRemoveRmap: self._remove_rmap,
            GetPage: self._get,
            PutPage: self._put,
            PageMkwrite: self._mkwrite,
            SetPageDirty: self._set_dirty,
            SetUpFile: self._set_up,
            SetUpMapping: self._set_up_mapping,
        }

    def frames(self) -> frozenset[int]:
        """Return the frames of the zone that it holds, for reports after a run."""
        return self._pages.zone_frames()

    def holder(self, client: Actor, tag: int) -> Holder | None:
        """Name the owner of the page lock that the client waits for."""
        for page in self._pages:
            if page.owner is not None and (client, tag) in page.waiting:
                owner, owner_tag = page.owner
                lock = f"page lock of frame {page.pfn}"
                return Holder(lock, (owner.node(owner_tag),), page.since_ns, "has not unlocked it")
        return None

    # --- files and look-ups ------------------------------------------------------------------------------------------

    def _open(self, message: OpenFile, client: Any, tag: int) -> None:
        file = self._pages.open(message.filesystem, cached=message.cached)
        self.reply(self.engine.now_ns, client, tag, FileOpened(file=file.number))

    def _set_up(self, message: SetUpFile, client: Any, tag: int) -> None:
        self._pages.begin(self._pages.file(message.file), message.pfns)
        if self.engine.listens(FilePagesFound):
            self.engine.emit(self.engine.now_ns, self, FilePagesFound(file=message.file, pfns=message.pfns))
        self.reply(self.engine.now_ns, client, tag, FILE_SET_UP)

    def _set_up_mapping(self, message: SetUpMapping, client: Any, tag: int) -> None:
        file = self._pages.file(message.file)
        self._pages.begin_mapped(file, message.count)
        self.reply(self.engine.now_ns, client, tag, MappingSetUp(pfns=file.found[: message.count]))

    def _look_up(self, file: File, index: int) -> CachedPage | None:
        page = self._pages.look_up(file, index)
        if page is None and file.cached:
            page = self._pages.add_from_before(file, index)
            self._tell_added(page, index)
        return page

    def _tell_added(self, page: CachedPage, index: int) -> None:
        if self.engine.listens(MmFilemapAddToPageCache):
            added = MmFilemapAddToPageCache(pfn=page.pfn, file=page.file.number, index=index)
            self.engine.emit(self.engine.now_ns, self, added)

    def _page(self, pfn: int) -> CachedPage:
        page = self._pages.of_frame(pfn)
        if page is None:
            raise AssertionError(f"frame {pfn} is no page of a file")
        return page

    def _find_lock(self, message: FindLockPage, client: Any, tag: int) -> None:
        """find_get_entry under RCU, then lock_page: two atomics on one line."""
        file = self._pages.file(message.file)
        found_ns = self.engine.now_ns + self._machine.page_cache_find_ns
        page = self._look_up(file, message.index)
        if page is None:
            self.reply(found_ns, client, tag, PageFound(pfn=-1, mkwrite=file.mkwrite))
            return
        done_ns = page.line.write(found_ns, client.cpu_id, hold_ns=self._machine.atomic_ns)
        if page.owner is not None:
            page.waiting.append((client, tag))
            self.reply(done_ns, client, tag, MUST_SLEEP)
            return
        self._lock(page, (client, tag), done_ns)
        self.reply(done_ns, client, tag, PageFound(pfn=page.pfn, mkwrite=file.mkwrite))

    def _lock(self, page: CachedPage, who: tuple[Any, int], at_ns: int) -> None:
        page.references += 1
        page.owner, page.since_ns = who, at_ns
        tell_acquired(self.engine, self, PAGE_LOCK, who, place=page.pfn)

    def _add(self, message: AddToPageCache, client: Any, tag: int) -> None:
        file = self._pages.file(message.file)
        hold_ns = self._machine.page_cache_insert_ns
        done_ns = file.tree_line.write(self.engine.now_ns, client.cpu_id, hold_ns=hold_ns)
        if self._look_up(file, message.index) is not None:
            self.reply(done_ns, client, tag, PageFound(pfn=-1, mkwrite=file.mkwrite))
            return
        page = self._pages.add(file, message.index, message.pfn)
        page.line.write(done_ns, client.cpu_id)
        self._tell_added(page, message.index)
        self._lock(page, (client, tag), done_ns)
        self.engine.emit(self.engine.now_ns, self, VmEvent(name="nr_file_pages", count=1))
        self.reply(done_ns, client, tag, PageFound(pfn=page.pfn, mkwrite=file.mkwrite))

    def _unlock(self, message: UnlockPage, client: Any, tag: int) -> None:
        """unlock_page: the first who sleeps wakes up and tries again."""
        page = self._page(message.pfn)
        tell_released(self.engine, self, PAGE_LOCK, (client, tag), place=page.pfn)
        page.owner = None
        page.references -= message.put
        done_ns = page.line.write(self.engine.now_ns, client.cpu_id)
        woken = bool(page.waiting)
        if woken:
            sleeper, its_tag = page.waiting.popleft()
            self.reply(done_ns + self._machine.wake_ns, sleeper, its_tag, RETRY)
        self.reply(done_ns, client, tag, PageUnlocked(woken=int(woken)))

    # --- what maps a page --------------------------------------------------------------------------------------------

    def _map_pages(self, message: MapPages, client: Any, tag: int) -> None:
        """filemap_map_pages: get, trylock, rmap and unlock of each page: four atomics on its line."""
        file = self._pages.file(message.file)
        done_ns = self.engine.now_ns + self._machine.page_cache_find_ns
        pages: list[tuple[int, int]] = []
        for index in range(message.first, message.last + 1):
            page = self._look_up(file, index)
            if page is None or page.owner is not None:
                continue
            done_ns = page.line.write(done_ns, client.cpu_id, hold_ns=3 * self._machine.atomic_ns)
            page.references += 1
            page.mapcount += 1
            pages.append((index, page.pfn))
        self.reply(done_ns, client, tag, PagesToMap(pages=tuple(pages), mkwrite=file.mkwrite))

    def _add_rmap(self, message: PageAddFileRmap, client: Any, tag: int) -> None:
        del tag
        page = self._page(message.pfn)
        page.line.write(self.engine.now_ns, client.cpu_id)
        page.mapcount += 1

    def _remove_rmap(self, message: PageRemoveRmap, client: Any, tag: int) -> None:
        """page_remove_rmap and put_page of each; a page whose entry was written becomes dirty before."""
        done_ns = self.engine.now_ns
        written = frozenset(message.written)
        pages = [page for pfn in message.pfns if (page := self._pages.of_frame(pfn)) is not None]
        for page in pages:
            if page.pfn in written:
                done_ns = self._dirty(page, done_ns, client.cpu_id)
            done_ns = page.line.write(done_ns, client.cpu_id, hold_ns=self._machine.atomic_ns)
            page.mapcount -= 1
            page.references -= 1
        self.reply(done_ns, client, tag, FilePages(pfns=tuple(page.pfn for page in pages)))

    def _get(self, message: GetPage, client: Any, tag: int) -> None:
        page = self._pages.of_frame(message.pfn)
        done_ns = self.engine.now_ns
        if page is not None:
            page.references += 1
            done_ns = page.line.write(done_ns, client.cpu_id)
        self.reply(done_ns, client, tag, PageGot(cached=page is not None))

    def _put(self, message: PutPage, client: Any, tag: int) -> None:
        del tag
        page = self._page(message.pfn)
        page.line.write(self.engine.now_ns, client.cpu_id)
        page.references -= 1

    # --- dirty pages -------------------------------------------------------------------------------------------------

    def _mkwrite(self, message: PageMkwrite, client: Any, tag: int) -> None:
        """ext4_page_mkwrite: i_mmap_sem is taken and released for reading, one line of the file for all its faults."""
        page = self._page(message.pfn)
        tell_needed(self.engine, self, PAGE_LOCK, (client, tag), "calls page_mkwrite", place=page.pfn)
        line = page.file.mkwrite_line
        done_ns = line.write_twice(self.engine.now_ns, client.cpu_id, self._machine.page_mkwrite_ns)
        done_ns = self._dirty(page, done_ns, client.cpu_id)
        self.reply(done_ns, client, tag, PAGE_WRITABLE)

    def _set_dirty(self, message: SetPageDirty, client: Any, tag: int) -> None:
        del tag
        page = self._page(message.pfn)
        page.line.write(self.engine.now_ns, client.cpu_id)
        self._dirty(page, self.engine.now_ns, client.cpu_id)

    def _dirty(self, page: CachedPage, now_ns: int, cpu: int) -> int:
        """Return when a page is dirty: at once if it was, or if its file system does not count (tmpfs)."""
        if page.dirty:
            return now_ns
        page.dirty = True
        if not page.file.mkwrite:
            return now_ns
        self.engine.emit(self.engine.now_ns, self, VmEvent(name="nr_dirtied", count=1))
        return page.file.tree_line.write(now_ns, cpu, hold_ns=self._machine.page_dirty_ns)
