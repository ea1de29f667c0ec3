"""The state that a run begins with: put there at one instant, at no cost.

For what would take longer to simulate than what is to be looked at, and only for memory
that nobody else knows of yet, such as an area that its own thread has just mapped.
"""

from __future__ import annotations

from typing import Final

from protocols.base import Address, Message, PageCount, Pfn, PteIndex


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


AREA_SET_UP: Final = AreaSetUp(unused=())
