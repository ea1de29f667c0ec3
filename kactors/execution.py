"""Where kernel code runs: a task, its local time, what it asks of servers, and what time it spends on what."""

from __future__ import annotations

import types
from abc import abstractmethod
from collections.abc import Awaitable, Generator
from dataclasses import dataclass, field
from typing import Any

from kactors.engine.client import Client, Process
from kactors.engine.engine import Engine
from kactors.engine.event import Event
from kactors.kernel.accounting import Spent
from protocols.base import Message
from protocols.machine import Machine
from protocols.scheduling import MustSleep

NOT_WAITING = -1


@dataclass(slots=True)
class Directory:
    """Addresses of the machine's actors: whom to write to. Nobody reads another's state through it.

    Where there are several processes, each CPU has its own: ``mm`` is the address space that it has loaded.
    """

    machine: Machine
    mm: Any = None
    admission: Any = None
    """The mm that counts speculations where they are bounded for all processes together."""
    allocator: Any = None
    page_cache: Any = None
    khugepaged_wakes_ns: int = 0
    cpus: tuple[Any, ...] = ()
    sched_domain: Any = None
    """Who finds a CPU for a thread; None where threads stay on theirs."""
    threads: dict[int, Any] = field(default_factory=dict)
    """The task_structs of the threads that may move, by tag."""


class Task(Process):
    """A process of a client that runs kernel code.

    Attributes:
        acks: IPI acks still missing.
        last_acker: who sent the latest.
        holds_write: it owns mmap_sem for writing.
        holds_read: it owns mmap_sem for reading.
        admitted_by: the mm that has admitted its speculation.
        spins: it spins on mmap_sem.
        refers_to: the VMA on which its fault has a reference, -1 for none.
        reads_vma: the VMA that its fault has locked for reading, -1 for none.
        read_locks: the VMA whose vm_lock its fault has locked for reading (6.4), -1 for none.
        srcu_section: the SRCU domain and index of its fault's read section, None for none.
        speculates_at: the address of its admitted speculation, -1 for none.
    """

    __slots__ = (
        "acks",
        "admitted_by",
        "holds_read",
        "holds_write",
        "last_acker",
        "read_locks",
        "reads_vma",
        "refers_to",
        "speculates_at",
        "spins",
        "srcu_section",
    )

    def __init__(self, tag: int, name: str) -> None:
        super().__init__(tag, name)
        self.acks = 0
        self.last_acker = -1
        self.holds_write = False
        self.holds_read = False
        self.spins = False
        self.refers_to = self.reads_vma = self.read_locks = self.speculates_at = -1
        self.admitted_by: Any = None
        self.srcu_section: tuple[str, int] | None = None


class Execution(Client):
    """What cpu and khugepaged have in common: one task at a time runs there, and its time is accounted for.

    Attributes:
        cpu_id: the CPU's number, -1 for khugepaged.
        machine: the machine's profile.
        spent: ns by Spent.
        mode: the kind of time that ``spend`` and plain waits count as.
        cold: the kernel's code and data have left this CPU's caches.
        left_kernel_ns: when user mode was last returned to.
    """

    current: Task

    def __init__(self, engine: Engine, name: str, cpu_id: int, directory: Directory) -> None:
        self.cpu_id = cpu_id
        self.directory = directory
        self.machine = directory.machine
        self.spent = [0] * len(Spent)
        self.stolen_ns = 0
        self.cold = False
        self.left_kernel_ns = 0
        self.mode: int = Spent.SYSCALL
        self._waits_as = NOT_WAITING
        self._waits_from_ns = 0
        self._tracing_ns = self.machine.tracing_ns
        super().__init__(engine, name)

    # --- time --------------------------------------------------------------------------------------------------------

    def spend(self, ns: int) -> None:
        """Compute for ``ns`` in the present mode."""
        self.clock_ns += ns
        self.spent[self.mode] += ns

    def work(self, ns: int) -> None:
        """Compute in the kernel for ``ns``; longer if its code and data have left the caches."""
        self.spend(ns + ns * self.machine.cold_percent // 100 if self.cold else ns)

    def enter_kernel(self) -> None:
        """From user mode: what ran there for long has taken the caches."""
        if self.clock_ns - self.left_kernel_ns > self.machine.cold_after_ns:
            self.cold = True

    def leave_kernel(self) -> None:
        """To user mode: the kernel is warm for whoever comes back soon."""
        self.cold, self.left_kernel_ns = False, self.clock_ns

    def traced(self, events: int = 1) -> None:
        """Pay for tracepoints that perf records at this place; nothing unless the scenario is traced."""
        if self._tracing_ns:
            self.spend(events * self._tracing_ns)

    def jitter(self, ns: int) -> int:
        """Return a duration drawn around ``ns``, within the machine's jitter."""
        percent = self.machine.jitter_percent
        if not percent:
            return ns
        return ns * (100 - percent + self.engine.choices.pick("cost", 2 * percent + 1)) // 100

    @types.coroutine
    def ask(self, server: Any, message: Message, kind: int = -1) -> Generator[Any, Event, Any]:
        """Send a request and wait for its reply on the CPU; the time counts as ``kind``, or as the present mode."""
        process = self.current
        process.servers, process.request, process.since_ns = (server,), message, self.clock_ns
        self._begin_wait(self.mode if kind < 0 else kind)
        self.say(server, message, process.tag)
        event = yield
        process.servers = ()
        self._end_wait()
        return event[4]

    def _begin_wait(self, kind: int) -> None:
        """From the local clock on this CPU waits, except while it serves interrupts; its time counts as ``kind``."""
        self._waits_as, self._waits_from_ns = kind, self.clock_ns - self.stolen_ns

    def _end_wait(self) -> None:
        self.spent[self._waits_as] += self.clock_ns - self.stolen_ns - self._waits_from_ns
        self._waits_as = NOT_WAITING

    @abstractmethod
    def sleep(self, server: Any = None) -> Awaitable[Message]:
        """Give up the CPU until the awaited wake-up arrives, the mm's or another ``server``'s; return it."""

    async def ask_until_served(self, server: Any, message: Message) -> Any:
        """Ask again after each sleep, until the answer is not MustSleep."""
        answer = await self.ask(server, message)
        while type(answer) is MustSleep:
            await self.sleep(server)
            answer = await self.ask(server, message)
        return answer
