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
