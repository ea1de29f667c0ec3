"""A contended cache line is a queue: it remembers its last owner, serialises transfers and charges for their distance.

That is where scaling comes from; nothing is scaled by a formula.
"""

from __future__ import annotations

from protocols.machine import Machine


class CacheLine:
    """One line that several CPUs read and write, as the actor that owns its content sees it.

    Args:
        machine: distances and costs.
        owner: the CPU in whose cache it lies at first; -1: in memory.

    Attributes:
        busy_ns: how long it has been taken by one write after the other, holds included.
    """

    __slots__ = ("_free_at_ns", "_machine", "_owner", "_sharers", "busy_ns")

    def __init__(self, machine: Machine, owner: int = -1) -> None:
        self._machine = machine
        self._owner = owner
        self._sharers: set[int] = {owner} if owner >= 0 else set()
        self._free_at_ns = 0
        self.busy_ns = 0

    @property
    def in_use(self) -> bool:
        """Whether any CPU has ever touched it."""
        return self._owner >= 0 or bool(self._sharers)

    @property
    def owner(self) -> int:
        """The CPU that wrote it last; -1: nobody yet."""
        return self._owner

    def write(self, now_ns: int, cpu: int, hold_ns: int = 0) -> int:
        """Return when an atomic operation of ``cpu`` on the line is done; others queue behind it and ``hold_ns``."""
        start_ns = max(self._free_at_ns, now_ns)
        done_ns = start_ns + self._machine.atomic_ns
        if self._owner != cpu or len(self._sharers) > 1:
            done_ns += self._fetch_ns(cpu)
            self._owner = cpu
            self._sharers = {cpu}
        self._free_at_ns = done_ns + hold_ns
        self.busy_ns += done_ns + hold_ns - start_ns
        return done_ns + hold_ns

    def write_twice(self, now_ns: int, cpu: int, between_ns: int) -> int:
        """Return when a lock and unlock with ``between_ns`` of work are done, others being let in between.

        Where others queue for the line it is gone again by the time of the unlock, and has to be fetched once more.
        """
        contended = self._free_at_ns > now_ns
        again_ns = self._machine.atomic_ns + (self._machine.transfer_ns(self._owner, cpu) if contended else 0)
        return self.write(now_ns, cpu, hold_ns=again_ns) + between_ns

    def _fetch_ns(self, cpu: int) -> int:
        """Return what it costs to own the line alone: it comes from its owner, or the copies elsewhere go."""
        if self._owner != cpu:
            return self._machine.transfer_ns(self._owner, cpu)
        return max(self._machine.transfer_ns(sharer, cpu) for sharer in self._sharers if sharer != cpu)

    def read(self, now_ns: int, cpu: int) -> int:
        """Return when ``cpu`` has read the line: at once where it has a copy, else after one transfer."""
        if cpu in self._sharers:
            return now_ns + 1
        self._sharers.add(cpu)
        start_ns = max(self._free_at_ns, now_ns)
        return start_ns + self._machine.transfer_ns(self._owner, cpu)


class Stores:
    """What CPUs have written without asking for an answer: how long each of them has to wait for its lines.

    What it asks for next it may fetch at the same time, but it goes on when it has both. The change itself it has paid
    for before it said that it makes it.
    """

    __slots__ = ("_atomic_ns", "_done_ns")

    def __init__(self, machine: Machine) -> None:
        self._atomic_ns = machine.atomic_ns
        self._done_ns: dict[int, int] = {}

    def write(self, line: CacheLine, now_ns: int, cpu: int) -> int:
        """Let a CPU write a line; return when that is done."""
        done_ns = line.write(now_ns, cpu)
        self._done_ns[cpu] = max(done_ns - self._atomic_ns, self.done_ns(cpu))
        return done_ns

    def done_ns(self, cpu: int) -> int:
        """Return when the CPU has its last write behind it, perhaps long since."""
        return self._done_ns.get(cpu, 0)
