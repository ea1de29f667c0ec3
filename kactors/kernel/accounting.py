"""Where a CPU's time goes. The kinds add up to the elapsed time of each CPU."""

from __future__ import annotations

import enum


class Spent(enum.IntEnum):
    """One kind of time.

    LOCK_SLEEP is time without a thread to run while one of the CPU's threads sleeps on a lock; STOLEN, time in
    which the hypervisor ran somebody else.
    """

    USER = 0
    FAULT = 1
    SYSCALL = 2
    LOCK_SPIN = 3
    LOCK_SLEEP = 4
    IPI_WAIT = 5
    IPI_SERVICE = 6
    ZEROING_WASTED = 7
    SWITCH = 8
    IDLE = 9
    STOLEN = 10


def forget(spent: list[int], last: int, beyond_ns: int, serving_ns: int, stolen_ns: int) -> None:
    """Take back what was charged beyond the end: stolen time, interrupt service, then the kind that came last.

    Which kinds a computation ahead of virtual time was made of is not kept: what the last one cannot cover, the
    others do. That is less than a fault's own time.
    """
    known = ((Spent.STOLEN, stolen_ns), (Spent.IPI_SERVICE, serving_ns))
    for kind, most_ns in (*known, *((kind, beyond_ns) for kind in (last, *Spent))):
        part_ns = min(beyond_ns, most_ns, spent[kind])
        spent[kind] -= part_ns
        beyond_ns -= part_ns
        if not beyond_ns:
            return
