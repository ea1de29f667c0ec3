"""The pages of files: each file's tree with its locks, and what a page carries in its struct page."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from kactors.kernel.cache_line import CacheLine
from protocols.machine import Machine
from protocols.page_cache import Filesystem

BEFORE_PFN: Final = 1 << 41
"""Frames from here on hold what was in memory before the run: outside the zone, never allocated or freed in it."""

Who = tuple[Any, int]
"""A thread: the client that it runs on, and the tag of its requests."""


@dataclass(slots=True)
class CachedPage:
    """One page of a file.

    Attributes:
        line: the cache line of its struct page: flags, references and mapcount.
        references: one of the tree, one an entry that maps it, one of each who is just using it.
        mapcount: page table entries that map it.
        owner: who has the page lock.
        since_ns: since when.
        waiting: who sleeps until it is released.
    """

    pfn: int
    file: File
    line: CacheLine
    references: int = 1
    mapcount: int = 0
    dirty: bool = False
    owner: Who | None = None
    since_ns: int = 0
    waiting: deque[Who] = field(default_factory=deque)


@dataclass(slots=True)
class File:
    """One file: struct address_space, and what of the inode its faults share.

    Attributes:
        cached: a page that is in no frame yet was in memory before the run.
        pages: by index, those that have been looked up or added.
        found: the frames of the pages that the run began with, from index 0 on.
        mapped: how many of these each mapping has, and has written, that the run began with.
        tree_line: the i_pages lock.
        mkwrite_line: what page_mkwrite takes for reading (ext4: i_mmap_sem).
    """

    number: int
    filesystem: Filesystem
    cached: bool
    tree_line: CacheLine
    mkwrite_line: CacheLine
    pages: dict[int, CachedPage] = field(default_factory=dict)
    found: tuple[int, ...] = ()
    mapped: list[int] = field(default_factory=list)

    @property
    def mkwrite(self) -> bool:
        """Whether its file system is asked before a page is written through a shared mapping."""
        return self.filesystem is Filesystem.EXT4


class CachedPages:
    """All files and their pages, by place in a file and by frame.

    Args:
        machine: for the costs of cache lines.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._files: list[File] = []
        self._frames: dict[int, CachedPage] = {}
        self._runs: list[tuple[int, int, File, int]] = []
        self._before = 0

    def open(self, filesystem: Filesystem, *, cached: bool) -> File:
        """Make a file."""
        lines = CacheLine(self._machine), CacheLine(self._machine)
        self._files.append(File(len(self._files), filesystem, cached, *lines))
        return self._files[-1]

    def file(self, number: int) -> File:
        """Return a file by its number."""
        return self._files[number]

    def add(self, file: File, index: int, pfn: int) -> CachedPage:
        """Put a frame into a hole."""
        page = CachedPage(pfn, file, CacheLine(self._machine))
        file.pages[index] = self._frames[pfn] = page
        return page

    def add_from_before(self, file: File, index: int) -> CachedPage:
        """Give a page that was there before the run a frame of its own, outside the zone."""
        self._before += 1
        return self.add(file, index, BEFORE_PFN + self._before)

    def begin(self, file: File, pfns: tuple[int, ...]) -> None:
        """Have a file's first pages in these frames, as the run's beginning; each is made when it is first needed."""
        file.found = pfns
        first = 0
        for index in range(1, len(pfns) + 1):
            if index == len(pfns) or pfns[index] != pfns[index - 1] + 1:
                self._runs.append((pfns[first], index - first, file, first))
                first = index
        self._runs.sort(key=lambda run: run[0])

    def begin_mapped(self, file: File, count: int) -> None:
        """Have the first of the pages that a file began with mapped once more, and written, as the run's beginning."""
        if count > len(file.found):
            raise AssertionError(f"file {file.number} does not begin with page {len(file.found)}")
        file.mapped.append(count)
        for index, page in file.pages.items():
            if index < count:
                self._map(page, 1)

    def look_up(self, file: File, index: int) -> CachedPage | None:
        """Return the page at an index; None: a hole."""
        page = file.pages.get(index)
        if page is None and index < len(file.found):
            page = self.add(file, index, file.found[index])
            self._map(page, sum(index < count for count in file.mapped))
        return page

    def _map(self, page: CachedPage, times: int) -> None:
        page.references += times
        page.mapcount += times
        page.dirty = page.dirty or times > 0

    def zone_frames(self) -> frozenset[int]:
        """Return the frames of the zone that files hold."""
        begun = (pfn for file in self._files for pfn in file.found)
        return frozenset(begun) | {pfn for pfn in self._frames if pfn < BEFORE_PFN}

    def of_frame(self, pfn: int) -> CachedPage | None:
        """Return the page that a frame holds; None: it is no file's (PageAnon, or free)."""
        page = self._frames.get(pfn)
        if page is None and (place := bisect_right(self._runs, pfn, key=lambda run: run[0])):
            first, length, file, index = self._runs[place - 1]
            page = self.look_up(file, index + pfn - first) if pfn < first + length else None
        return page

    def __iter__(self) -> Iterator[CachedPage]:
        return iter(self._frames.values())
