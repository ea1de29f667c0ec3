"""Which process's address space a CPU has loaded, what it knows of each process; switch_mm and the lazy TLB (F5)."""

from __future__ import annotations

from typing import Any, cast

from kactors.engine.engine import Engine
from kactors.engine.event import Event
from kactors.execution import Directory
from kactors.kernel.accounting import Spent
from kactors.shared_core import SharedCore
from protocols.tlb import DROP_MM, JOIN_MM, LEAVE_MM, MmJoined


class MmSwitcher(SharedCore):
    """A CPU that loads one mm at a time: ``directory.mm`` is current->mm, or an idle CPU's active_mm.

    There are no PCIDs: another process's mm finds the TLB empty.
    """

    def __init__(self, engine: Engine, name: str, cpu_id: int, directory: Directory) -> None:
        super().__init__(engine, name, cpu_id, directory)
        self.mm_users = 1
        self.killed = False
        self._in_mm = False
        self._has_loaded = False
        self._users: dict[int, int] = {}
        self._killed: set[int] = set()

    def learn_users(self, process: int, mm_users: int) -> None:
        """So many threads has a process, by number, from now on."""
        self._users[process] = mm_users
        if self.directory.mm.number == process:
            self.mm_users = mm_users

    def users_of(self, process: int) -> int:
        """Return how many threads a process has, as far as this CPU has heard."""
        return self._users.get(process, 1)

    def kill(self, process: int) -> None:
        """SIGKILL: the process's threads end when they next return to user mode."""
        self._killed.add(process)
        self.killed = self.directory.mm.number in self._killed

    def was_killed(self, process: int) -> bool:
        """Return whether this CPU has heard of the process's SIGKILL."""
        return process in self._killed

    def switch_mm(self, mm: Any, tag: int) -> bool:
        """Have ``mm`` loaded for a thread; False: the CPU has asked to join it, and waits for MmJoined."""
        if mm is not self.directory.mm:
            if self._has_loaded:
                self.say(self.directory.mm, DROP_MM)
                self.clock_ns += self.machine.tlb_flush_full_ns
                self.spent[Spent.SWITCH] += self.machine.tlb_flush_full_ns
            self._in_mm = self._has_loaded = False
            self.directory.mm = mm
            self.mm_users = self.users_of(mm.number)
            self.killed = mm.number in self._killed
        if not self._in_mm:
            self.say(mm, JOIN_MM, tag)
        return self._in_mm

    def joined(self, event: Event) -> None:
        """The CPU is in mm_cpumask from now on; what its TLB holds may be older."""
        self._in_mm = self._has_loaded = True
        self.tlb.clear()
        self.tlb.generation = cast(MmJoined, event[4]).generation

    def stay_in_mm(self, mm: Any) -> None:
        """The CPU does not idle after all: it has not left the mm."""
        self._in_mm = self._has_loaded and self.directory.mm is mm

    def enter_lazy_tlb(self) -> None:
        """F5: an idle CPU keeps the mm until its first needless IPI, or says at once that none is needed."""
        if self.machine.lazy_tlb != "keep" and self._in_mm:
            self._in_mm = False
            self.say(self.directory.mm, LEAVE_MM)
