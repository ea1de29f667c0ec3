"""The page cache: files as trees of pages, each page with its lock, its references and how often it is mapped."""

from __future__ import annotations

import enum
from typing import Final

from protocols.base import Count, FileId, Message, PageIndex, Pfn


class Filesystem(enum.StrEnum):
    """What a shared write fault costs beside the page: tmpfs keeps no count of dirty pages and has no page_mkwrite."""

    TMPFS = "tmpfs"
    EXT4 = "ext4"


class OpenFile(Message, sender=("cpu",), receiver=("page_cache",), reply=("FileOpened",)):
    """A new file. ``cached``: its pages are in memory since before the run; else all of it is a hole (ftruncate)."""

    filesystem: Filesystem
    cached: bool


class FileOpened(Message, sender=("page_cache",), receiver=("cpu",)):
    """Its number; no other file had it or will have it."""

    file: FileId


class FindLockPage(Message, sender=("cpu",), receiver=("page_cache",), reply=("PageFound", "MustSleep")):
    """find_lock_page: look a page up, take a reference and the page lock; sleeps while somebody else has the lock."""

    file: FileId
    index: PageIndex


class AddToPageCache(Message, sender=("cpu",), receiver=("page_cache",), reply=("PageFound",)):
    """add_to_page_cache_lru: put a zeroed page into a hole under the i_pages lock; it comes out locked."""

    file: FileId
    index: PageIndex
    pfn: Pfn


class PageFound(Message, sender=("page_cache",), receiver=("cpu",)):
    """The page, locked, and a reference on it. -1: a hole; or, of AddToPageCache, somebody else was first (EEXIST).

    ``mkwrite``: its file system wants to be asked before the page is written through a shared mapping.
    """

    pfn: Pfn
    mkwrite: bool


class UnlockPage(Message, sender=("cpu",), receiver=("page_cache",), reply=("PageUnlocked",)):
    """Release the page lock and, with ``put``, the reference: without, a page table entry has taken it over."""

    pfn: Pfn
    put: bool


class PageUnlocked(Message, sender=("page_cache",), receiver=("cpu",)):
    """How many threads the caller has woken; they ask again."""

    woken: Count


class MapPages(Message, sender=("cpu",), receiver=("page_cache",), reply=("PagesToMap",)):
    """filemap_map_pages: the pages first..last that are there and not locked, each counted as mapped once more."""

    file: FileId
    first: PageIndex
    last: PageIndex


class PagesToMap(Message, sender=("page_cache",), receiver=("cpu",)):
    """They, in order; what the caller does not map after all it gives back with PageRemoveRmap.

    ``mkwrite`` as in PageFound.
    """

    pages: tuple[tuple[PageIndex, Pfn], ...]
    mkwrite: bool


class PageAddFileRmap(Message, sender=("cpu",), receiver=("page_cache",)):
    """One more page table entry is about to map the page."""

    pfn: Pfn


class PageRemoveRmap(Message, sender=("cpu",), receiver=("page_cache",), reply=("FilePages",)):
    """Frames have left page table entries: drop mapcount and reference of those that are the page cache's.

    ``written``: those of them whose entry let stores through: the dirty bit goes to the page.
    """

    pfns: tuple[Pfn, ...]
    written: tuple[Pfn, ...]


class FilePages(Message, sender=("page_cache",), receiver=("cpu",)):
    """Which of the frames are the page cache's: nobody else may free them."""

    pfns: tuple[Pfn, ...]


class GetPage(Message, sender=("cpu",), receiver=("page_cache",), reply=("PageGot",)):
    """get_page on what an entry maps, unless it is PageAnon."""

    pfn: Pfn


class PageGot(Message, sender=("page_cache",), receiver=("cpu",)):
    """``cached``: it is a page of a file, with a reference more; else it is the process's own."""

    cached: bool


class PutPage(Message, sender=("cpu",), receiver=("page_cache",)):
    """put_page."""

    pfn: Pfn


class PageMkwrite(Message, sender=("cpu",), receiver=("page_cache",), reply=("PageWritable",)):
    """vm_ops->page_mkwrite on a locked page: under the file's own lock, reserve its block, account it as dirty."""

    pfn: Pfn


class PageWritable(Message, sender=("page_cache",), receiver=("cpu",)):
    """Its block is reserved. It stays locked."""


class SetPageDirty(Message, sender=("cpu",), receiver=("page_cache",)):
    """set_page_dirty (fault_dirty_shared_page): does nothing to a page that is dirty already."""

    pfn: Pfn


PAGE_WRITABLE: Final = PageWritable()
