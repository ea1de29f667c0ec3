"""What happens to the machine from outside: the hypervisor's and the administrator's doings, as somebody asks for them.

Owns: the pages that it has taken, each lot until its time is over.
Hears: the allocator's answers, its own timer.
Says: page requests and frees; stolen time and thread starts to CPUs; bounds to them and the mm; wishes to khugepaged.
Never: exists in a run that nobody drives; reclaims, calls the OOM killer or is its victim: it takes what there is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from kactors.engine.actor import Actor, Handler, Server
from kactors.engine.engine import Engine
from protocols.allocation import AllocPages, FreePages, PagesAllocated, PagesFreed, ReclaimNeeded
from protocols.base import Message
from protocols.host import END_PRESSURE, CollapseRange, EndPressure, MmUsers, SetSpeculationBound, StealCpu
from protocols.roles import heard_by, said_by
from protocols.scenario import Bounds
from protocols.scheduling import StartThread

BALLOON_BATCH_PAGES = 256
"""VIRTIO_BALLOON_ARRAY_PFNS_MAX: pages that a balloon moves at a time."""


@dataclass
class Lot:
    """Pages taken for one command.

    Attributes:
        missing: pages still wanted.
        over: its time is over.
        busy: a request for it is under way.
        pfns: the pages held.
    """

    missing: int
    over: bool = False
    busy: bool = False
    pfns: list[int] = field(default_factory=list)


class Host(Server):
    """The actor; it is made at the first command.

    Args:
        engine: the machine's engine.
        allocator: gives and takes pages.
    """

    role: ClassVar[str] = "host"
    hears: ClassVar[frozenset[type[Message]]] = heard_by("host")
    says: ClassVar[frozenset[type[Message]]] = said_by("host")

    cpu_id: ClassVar[int] = -1
    """As khugepaged, it runs on no CPU of the machine."""

    def __init__(self, engine: Engine, allocator: Actor) -> None:
        self._allocator = allocator
        self._lots: dict[int, Lot] = {}
        self._lots_taken = 0
        super().__init__(engine, "host")

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handlers of the allocator's answers and of the timer."""
        return {
            PagesAllocated: self._got,
            ReclaimNeeded: self._got_none,
            PagesFreed: self._freed,
            EndPressure: self._end_pressure,
        }

    @property
    def held_pages(self) -> int:
        """Pages in its hands."""
        return sum(len(lot.pfns) for lot in self._lots.values())

    # --- commands, carried out now -----------------------------------------------------------------------------------

    def start_thread(self, cpu: Actor, number: int, mm_users: int, first_cpu: Actor) -> None:
        """Have the process's first thread clone another one, which has been made known to its CPU."""
        self._say(cpu, StartThread(thread=number, mm_users=mm_users))
        if cpu is not first_cpu:
            self._say(first_cpu, MmUsers(mm_users=mm_users))

    def steal_cpu(self, cpu: Actor, duration_ns: int) -> None:
        """Run somebody else on a CPU."""
        self._say(cpu, StealCpu(duration=duration_ns))

    def collapse(self, khugepaged: Actor, address: int) -> None:
        """Point khugepaged at a range."""
        self._say(khugepaged, CollapseRange(address=address))

    def bound_speculation(self, mm: Actor, cpus: tuple[Actor, ...], bounds: Bounds) -> None:
        """Change how many speculations may be in flight."""
        message = SetSpeculationBound(
            inflight_max=bounds.spf_inflight_max, scope=bounds.spf_inflight_scope, on_limit=bounds.on_limit
        )
        for actor in (mm, *cpus):
            self._say(actor, message)

    def take_pages(self, pages: int, duration_ns: int) -> None:
        """Take pages down to the min watermark at most; give all of them back after ``duration_ns``.

        The end is an ordinary event: the machine is not at rest before the pages are back.
        """
        self._lots_taken += 1
        number = self._lots_taken
        self._lots[number] = Lot(missing=pages)
        self.engine.post(self.engine.now_ns + duration_ns, self, self, END_PRESSURE, number)
        self._go_on(number)

    # --- pages -------------------------------------------------------------------------------------------------------

    def _go_on(self, number: int) -> None:
        """Ask for the next batch, or give one back; a lot whose time is over and that holds nothing is forgotten."""
        lot = self._lots[number]
        lot.busy = True
        if lot.over and lot.pfns:
            batch = tuple(lot.pfns[-BALLOON_BATCH_PAGES:])
            del lot.pfns[-BALLOON_BATCH_PAGES:]
            self._say(self._allocator, FreePages(order=0, pfns=batch), number)
        elif lot.over:
            del self._lots[number]
        elif lot.missing:
            count = min(lot.missing, BALLOON_BATCH_PAGES)
            self._say(self._allocator, AllocPages(order=0, count=count, memalloc=False), number)
        else:
            lot.busy = False

    def _got(self, message: PagesAllocated, client: Any, tag: int) -> None:
        del client
        lot = self._lots[tag]
        lot.pfns.extend(message.pfns)
        lot.missing -= len(message.pfns)
        self._go_on(tag)

    def _got_none(self, message: ReclaimNeeded, client: Any, tag: int) -> None:
        """The zone is down to its min watermark: take no more, what reclaim frees is for the others."""
        del message, client
        self._lots[tag].missing = 0
        self._go_on(tag)

    def _freed(self, message: PagesFreed, client: Any, tag: int) -> None:
        del message, client
        self._go_on(tag)

    def _end_pressure(self, message: EndPressure, client: Any, tag: int) -> None:
        del message, client
        lot = self._lots[tag]
        lot.over = True
        if not lot.busy:
            self._go_on(tag)

    def _say(self, receiver: Any, message: Message, tag: int = 0) -> None:
        self.engine.post(self.engine.now_ns, receiver, self, message, tag)
