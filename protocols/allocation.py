"""The page allocator: per-CPU lists refill from and drain to the zone; reclaim and the OOM killer behind them."""

from __future__ import annotations

from typing import Final

from protocols.base import ByteCount, Count, Message, Ns, PageCount, Pfn
from protocols.scheduling import CLIENTS

TAKERS: Final = (*CLIENTS, "host")


class AllocPages(Message, sender=TAKERS, receiver=("allocator",), reply=("PagesAllocated", "ReclaimNeeded")):
    """Take ``count`` blocks of an order from the buddy lists under zone->lock (G1, G3)."""

    order: Count
    count: Count
    memalloc: bool


class PagesAllocated(Message, sender=("allocator",), receiver=TAKERS):
    """The first frame of each block; fewer than asked when memory runs low, at least one."""

    pfns: tuple[Pfn, ...]


class ReclaimNeeded(Message, sender=("allocator",), receiver=TAKERS):
    """Even the min watermark forbids it: the caller must reclaim by itself."""


class DirectReclaim(Message, sender=CLIENTS, receiver=("allocator",), reply=("Reclaimed",)):
    """One round of direct reclaim: 32 pages at most."""


class Reclaimed(Message, sender=("allocator",), receiver=CLIENTS):
    """How many pages this round freed."""

    pages: PageCount


class FreePages(Message, sender=TAKERS, receiver=("allocator",), reply=("PagesFreed",)):
    """Give blocks back to the buddy lists under zone->lock."""

    order: Count
    pfns: tuple[Pfn, ...]


class PagesFreed(Message, sender=("allocator",), receiver=TAKERS):
    """Done."""


class MoveMemory(Message, sender=CLIENTS, receiver=("allocator",), reply=("MemoryMoves",)):
    """Clear or copy: so many bytes through the memory channels of a socket, behind those of its other CPUs."""

    socket: Count
    size: ByteCount


class MemoryMoves(Message, sender=("allocator",), receiver=CLIENTS):
    """Said at once: how long the channels need; the CPU itself may need longer."""

    takes: Ns


class MoveOnLru(Message, sender=CLIENTS, receiver=("allocator",), reply=("LruMoved",)):
    """A section under the lru_lock of a socket's node: a full batch of pages goes on its list, or freed ones off."""

    socket: Count
    pages: PageCount


class LruMoved(Message, sender=("allocator",), receiver=CLIENTS):
    """The section is over."""


class HandlePages(Message, sender=CLIENTS, receiver=("allocator",), reply=("PagesHandled",)):
    """Whoever unmaps pages writes to their struct pages, which come from where the pages were handled last."""

    pfns: tuple[Pfn, ...]


class PagesHandled(Message, sender=("allocator",), receiver=CLIENTS):
    """They are in the caller's cache."""


class SplitPage(Message, sender=("mm",), receiver=("allocator",)):
    """A huge page has been split: from now on its frames are freed one by one."""

    pfn: Pfn
    order: Count


class OutOfMemory(Message, sender=CLIENTS, receiver=("allocator",), reply=("OomHandled",)):
    """No progress in 16 rounds: drain every per-CPU list, then kill if that did not help."""


class OomHandled(Message, sender=("allocator",), receiver=CLIENTS):
    """True when the process was chosen as the victim; false when draining helped, or a kill is under way."""

    killed: bool


class VictimExited(Message, sender=("cpu",), receiver=("allocator",)):
    """exit_mmap of a process that was killed is done: its memory is free, and another may be chosen."""


class DrainPages(Message, sender=("allocator",), receiver=("cpu",), reply=("PagesDrained",)):
    """drain_all_pages: the CPU empties its per-CPU list."""


class PagesDrained(Message, sender=("cpu",), receiver=("allocator",)):
    """What the list held."""

    pfns: tuple[Pfn, ...]


class KswapdRound(Message, sender=("allocator",), receiver=("allocator",)):
    """To oneself: kswapd reclaims one batch, until the high watermark."""


RECLAIM_NEEDED: Final = ReclaimNeeded()
DIRECT_RECLAIM: Final = DirectReclaim()
LRU_MOVED: Final = LruMoved()
PAGES_HANDLED: Final = PagesHandled()
PAGES_FREED: Final = PagesFreed()
OUT_OF_MEMORY: Final = OutOfMemory()
VICTIM_EXITED: Final = VictimExited()
DRAIN_PAGES: Final = DrainPages()
KSWAPD_ROUND: Final = KswapdRound()
