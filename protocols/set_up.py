"""The state that a run begins with: put there at one instant, at no cost.

For what would take longer to simulate than what is to be looked at, and only for memory
that nobody else knows of yet, such as an area that its own thread has just mapped.
"""

from __future__ import annotations

from typing import Final

from protocols.base import Address, FileId, Message, PageCount, Pfn, PteIndex, Tracepoint


class SetUpPages(Message, sender=("cpu",), receiver=("allocator",), reply=("PagesSetUp",)):
    """Take ``count`` frames from the buddy lists, above the min watermark."""

    count: PageCount


class PagesSetUp(Message, sender=("allocator",), receiver=("cpu",)):
    """The frames: all of them, or none when there are not so many."""

    pfns: tuple[Pfn, ...]


class SetUpArea(Message, sender=("cpu",), receiver=("mm",), reply=("AreaSetUp",)):
    """Map ``pfns`` at the pages from ``address`` on, writable; ``tables``: frames for page tables that are missing."""

    address: Address
    pfns: tuple[Pfn, ...]
    tables: tuple[Pfn, ...]


class AreaSetUp(Message, sender=("mm",), receiver=("cpu",)):
    """The frames for page tables that were not needed."""

    unused: tuple[Pfn, ...]


class SetUpPtes(Message, sender=("mm",), receiver=("ptl",)):
    """Map ``pfns`` at the entries from ``first`` on, writable."""

    first: PteIndex
    pfns: tuple[Pfn, ...]


class SetUpFile(Message, sender=("cpu",), receiver=("page_cache",), reply=("FileSetUp",)):
    """Let ``pfns`` be the first pages of a file that has none yet, clean."""

    file: FileId
    pfns: tuple[Pfn, ...]


class FileSetUp(Message, sender=("page_cache",), receiver=("cpu",)):
    """Done."""


class SetUpMapping(Message, sender=("cpu",), receiver=("page_cache",), reply=("MappingSetUp",)):
    """The first ``count`` pages of a file, which has them, are about to be mapped once more, written and dirty."""

    file: FileId
    count: PageCount


class MappingSetUp(Message, sender=("page_cache",), receiver=("cpu",)):
    """Their frames."""

    pfns: tuple[Pfn, ...]


class FilePagesFound(Tracepoint, sender=("page_cache",)):
    """A run begins with these frames in a file: nobody has added them to the page cache."""

    file: FileId
    pfns: tuple[Pfn, ...]


FILE_SET_UP: Final = FileSetUp()
AREA_SET_UP: Final = AreaSetUp(unused=())
