"""The page allocator: the memory behind the CPUs' own page lists, in a zone a node as far as its lock is concerned.

Owns: the buddy lists, zone->lock, the watermarks, kswapd, the clean page cache that reclaim can free, the struct pages,
and the memory channels through which pages are cleared.
Hears: bulk requests of per-CPU lists, huge page requests, frees, direct reclaim, calls for the OOM killer.
Says: frames, reclaim results, drain requests, the OOM killer's choice.
Never: sees a single page go in or out of a per-CPU list: that is the CPU's own business (G1), told by tracepoints only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from kactors.engine.actor import Actor, Handler, Server
from kactors.engine.engine import Engine
from kactors.engine.waits import Holder
from kactors.kernel.buddy import Buddy
from kactors.kernel.cache_line import CacheLine
from kactors.kernel.mem_map import MemMap
from kactors.kernel.memory_channels import MemoryChannels
from kactors.kernel.watermarks import Watermarks, watermarks_for
from protocols.allocation import (
    DRAIN_PAGES,
    KSWAPD_ROUND,
    LRU_MOVED,
    PAGES_FREED,
    PAGES_HANDLED,
    RECLAIM_NEEDED,
    AllocPages,
    DirectReclaim,
    FreePages,
    HandlePages,
    KswapdRound,
    MemoryMoves,
    MoveMemory,
    MoveOnLru,
    OomHandled,
    OutOfMemory,
    PagesAllocated,
    PagesDrained,
    Reclaimed,
    SplitPage,
    VictimExited,
)
from protocols.base import Message
from protocols.machine import Machine
from protocols.roles import heard_by, said_by
from protocols.scheduling import SIGKILL
from protocols.set_up import PagesSetUp, SetUpPages
from protocols.tracepoints import OomKill, VmEvent, Watermark

NOBODY = -1
RECLAIM_BATCH = 32
"""SWAP_CLUSTER_MAX: pages that one round of reclaim frees at most."""


class Allocator(Server):
    """The actor of the machine's one zone.

    Args:
        engine: the machine's engine.
        machine: costs, memory and page cache.
        cpus: returns the CPU actors, for draining and killing.
        process_of: returns the number of the process of a thread, by its tag; by default there is one.
    """

    role: ClassVar[str] = "allocator"
    hears: ClassVar[frozenset[type[Message]]] = heard_by("allocator")
    says: ClassVar[frozenset[type[Message]]] = said_by("allocator")

    def __init__(
        self,
        engine: Engine,
        machine: Machine,
        cpus: Callable[[], list[Any]],
        process_of: Callable[[int], int] = lambda _: 0,
    ) -> None:
        self._machine = machine
        self._process_of = process_of
        self._cpus = cpus
        pages = (machine.memory_mib << 20) // machine.page_size
        cached = (machine.page_cache_mib << 20) // machine.page_size
        self._buddy = Buddy(pages, max_order=10)
        self._page_cache = self._buddy.alloc_bulk(0, cached)
        self._watermarks = watermarks_for(pages, machine.page_size)
        self._zone_lines = [CacheLine(machine) for _ in range(machine.sockets)]
        self._mem_map = MemMap(machine)
        self._lru_lines = [CacheLine(machine) for _ in range(machine.sockets)]
        self._channels = MemoryChannels(machine)
        self._kswapd_runs = False
        self._below: dict[str, bool] = {}
        self._oom_victim_chosen = False
        self._drain: tuple[Any, int, int] | None = None
        self._drained: set[str] = set()
        super().__init__(engine, "allocator")

    @property
    def watermarks(self) -> Watermarks:
        """The zone's watermarks, in pages."""
        return self._watermarks

    @property
    def free_pages(self) -> int:
        """Pages in the buddy lists now."""
        return self._buddy.free_pages

    def busy_ns(self) -> dict[tuple[str, int], int]:
        """Return how long zone->lock and each socket's memory channels have been taken, by name and number."""
        channels = {("memory channels", socket): ns for socket, ns in self._channels.busy_ns.items()}
        zones = {("zone->lock", socket): line.busy_ns for socket, line in enumerate(self._zone_lines)}
        return {**zones, **channels}

    @property
    def page_cache_pages(self) -> int:
        """Pages of clean page cache left for reclaim."""
        return len(self._page_cache)

    @property
    def total_pages(self) -> int:
        """All pages of the zone."""
        return self._buddy.pages

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handlers of allocation, reclaim and OOM."""
        return {
            AllocPages: self._alloc,
            FreePages: self._free,
            SplitPage: self._split,
            MoveMemory: self._move,
            MoveOnLru: self._move_on_lru,
            HandlePages: self._handle,
            DirectReclaim: self._direct_reclaim,
            KswapdRound: self._kswapd_round,
            OutOfMemory: self._out_of_memory,
            PagesDrained: self._pages_drained,
            SetUpPages: self._set_up,
            VictimExited: self._victim_exited,
        }

    def holder(self, client: Actor, tag: int) -> Holder | None:
        """Name the CPUs that have not emptied their lists yet when the client waits for the OOM path."""
        if self._drain is None or self._drain[:2] != (client, tag):
            return None
        missing = tuple(cpu.name for cpu in self._cpus() if cpu.name not in self._drained)
        return Holder("drain_all_pages", missing, self._drain[2], "have not drained their per-CPU lists")

    def _alloc(self, message: AllocPages, client: Any, tag: int) -> None:
        """G3: above low the request is served; below it kswapd runs, and min is the limit, except for memalloc."""
        size = 1 << message.order
        room = self._buddy.free_pages - (0 if message.memalloc else self._watermarks.min_pages)
        count = min(message.count, max(room // size, 0))
        pfns = self._buddy.alloc_bulk(message.order, count)
        self._watch()
        done_ns = self._zone_trip(client, max(len(pfns), 1), pfns)
        if pfns:
            self._count("pgalloc_normal", len(pfns) * size)
            self.reply(done_ns, client, tag, PagesAllocated(pfns=tuple(pfns)))
        else:
            self.reply(done_ns, client, tag, RECLAIM_NEEDED)

    def _set_up(self, message: SetUpPages, client: Any, tag: int) -> None:
        enough = self._buddy.free_pages - message.count >= self._watermarks.min_pages
        pfns = self._buddy.alloc_bulk(0, message.count) if enough else []
        self._watch()
        self.reply(self.engine.now_ns, client, tag, PagesSetUp(pfns=tuple(pfns)))

    def _free(self, message: FreePages, client: Any, tag: int) -> None:
        self._buddy.free_bulk(message.pfns, message.order)
        self._watch()
        self._count("pgfree", len(message.pfns) << message.order)
        self.reply(self._zone_trip(client, len(message.pfns), message.pfns), client, tag, PAGES_FREED)

    def _split(self, message: SplitPage, client: Any, tag: int) -> None:
        del client, tag
        self._buddy.split_allocated(message.pfn, message.order)

    def _move(self, message: MoveMemory, client: Any, tag: int) -> None:
        takes_ns = self._channels.take(self.engine.now_ns, message.socket, message.size)
        self.reply(self.engine.now_ns, client, tag, MemoryMoves(takes=takes_ns))

    def _move_on_lru(self, message: MoveOnLru, client: Any, tag: int) -> None:
        line, hold_ns = self._lru_lines[message.socket], self._machine.lru_lock_ns
        if line.owner not in (client.cpu_id, NOBODY):
            # The list's neighbours and the node's statistics are in another CPU's cache.
            hold_ns += self._machine.lru_page_ns * message.pages
        done_ns = line.write(self.engine.now_ns, client.cpu_id, hold_ns=hold_ns)
        self.reply(done_ns, client, tag, LRU_MOVED)

    def _handle(self, message: HandlePages, client: Any, tag: int) -> None:
        fetch_ns = self._mem_map.fetch_ns(message.pfns, client.cpu_id)
        self.reply(self.engine.now_ns + fetch_ns, client, tag, PAGES_HANDLED)

    def _zone_trip(self, client: Any, blocks: int, pfns: Sequence[int]) -> int:
        """Return when a section under zone->lock that moves ``blocks`` blocks is over. A CPU's zone is its node's."""
        machine, cpu = self._machine, client.cpu_id
        hold_ns = machine.zone_lock_ns + machine.zone_page_ns * blocks + self._mem_map.fetch_ns(pfns, cpu)
        line = self._zone_lines[machine.socket_of(cpu) if cpu >= 0 else 0]
        return line.write(self.engine.now_ns, cpu, hold_ns=hold_ns)

    # --- reclaim -----------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Tell watermark crossings, and wake kswapd below low."""
        free = self._buddy.free_pages
        marks = self._watermarks
        for name, level in (("min", marks.min_pages), ("low", marks.low_pages), ("high", marks.high_pages)):
            below = free < level
            if below != self._below.get(name, False):
                self._below[name] = below
                self.engine.emit(self.engine.now_ns, self, Watermark(name=name, below=below, free=free))
        if self._below.get("low") and not self._kswapd_runs and self._page_cache:
            self._kswapd_runs = True
            self._later(KSWAPD_ROUND)

    def _later(self, message: Message) -> None:
        self.engine.post(self.engine.now_ns + RECLAIM_BATCH * self._machine.reclaim_page_ns, self, self, message)

    def _reclaim(self) -> int:
        """Free one batch of clean page cache; return how many pages that gave."""
        batch = self._page_cache[-RECLAIM_BATCH:]
        del self._page_cache[-RECLAIM_BATCH:]
        self._buddy.free_bulk(batch, 0)
        self._watch()
        return len(batch)

    def _kswapd_round(self, _: KswapdRound, client: Any, tag: int) -> None:
        del client, tag
        self._count("pgsteal_kswapd", self._reclaim())
        self._kswapd_runs = bool(self._page_cache) and self._buddy.free_pages < self._watermarks.high_pages
        if self._kswapd_runs:
            self._later(KSWAPD_ROUND)

    def _direct_reclaim(self, _: DirectReclaim, client: Any, tag: int) -> None:
        pages = self._reclaim()
        self._count("allocstall_normal", 1)
        self._count("pgsteal_direct", pages)
        done_ns = self.engine.now_ns + max(pages, 1) * self._machine.reclaim_page_ns
        self.reply(done_ns, client, tag, Reclaimed(pages=pages))

    # --- the OOM killer ----------------------------------------------------------------------------------------------

    def _out_of_memory(self, _: OutOfMemory, client: Any, tag: int) -> None:
        """Drain every CPU's list first; one caller at a time (oom_lock is a trylock), the others just try again."""
        if self._drain is not None or self._oom_victim_chosen:
            self.reply(self.engine.now_ns + self._machine.slice_ns, client, tag, OomHandled(killed=False))
            return
        self._drain = (client, tag, self.engine.now_ns)
        self._drained = set()
        for cpu in self._cpus():
            self.engine.post(self.engine.now_ns + self._machine.ipi_delivery_ns, cpu, self, DRAIN_PAGES)

    def _pages_drained(self, message: PagesDrained, client: Any, tag: int) -> None:
        del tag
        self._buddy.free_bulk(message.pfns, 0)
        self._drained.add(client.name)
        if self._drain is None or len(self._drained) < len(self._cpus()):
            return
        (caller, caller_tag, _), self._drain = self._drain, None
        self._watch()
        killed = self._buddy.free_pages <= self._watermarks.min_pages
        if killed:
            self._kill(self._process_of(caller_tag))
        self.reply(self.engine.now_ns, caller, caller_tag, OomHandled(killed=killed))

    def _kill(self, process: int) -> None:
        """The caller's process is the victim (vm.oom_kill_allocating_task): its threads end on their way to user mode.

        Until its memory is free no other is chosen. That of the first process, which may have many threads, stays.
        """
        self._oom_victim_chosen = True
        self._count("oom_kill", 1)
        self.engine.emit(self.engine.now_ns, self, OomKill(free=self._buddy.free_pages))
        for cpu in self._cpus():
            self.engine.post(self.engine.now_ns, cpu, self, SIGKILL, process)

    def _victim_exited(self, _: VictimExited, client: Any, tag: int) -> None:
        del client, tag
        self._oom_victim_chosen = False

    def _count(self, name: str, count: int) -> None:
        self.engine.emit(self.engine.now_ns, self, VmEvent(name=name, count=count))
