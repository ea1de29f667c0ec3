"""mmap_sem (mmap_lock since 5.8): a read-write semaphore with a FIFO queue and optimistic spinning of writers.

Source: kernel/locking/rwsem-xadd.c of 4.16 and rwsem.c of 6.x; in what they differ is the machine's rwsem parameters.
"""

from __future__ import annotations

from typing import Final

from protocols.base import Count, Message
from protocols.scheduling import CLIENTS


class DownRead(Message, sender=CLIENTS, receiver=("mm",), reply=("MmapSemAcquired", "MustSleep")):
    """Take mmap_sem for reading; a reader that must wait sleeps, it never spins."""


class DownWrite(Message, sender=CLIENTS, receiver=("mm",), reply=("MmapSemAcquired", "MustSleep")):
    """Take mmap_sem for writing; whoever spins on its owner gets the answer when the spinning ends."""


class RetryWrite(Message, sender=CLIENTS, receiver=("mm",), reply=("MmapSemAcquired", "MustSleep")):
    """A woken writer, first in the queue, tries again."""


class StopSpinning(Message, sender=("cpu",), receiver=("mm",)):
    """The spinning writer's CPU needs to reschedule: the writer joins the queue, unless it owns the lock by now."""


class SpinningTooLong(Message, sender=("mm",), receiver=("mm",)):
    """To oneself: whoever spins on the readers that hold the lock gives up now (rwsem_rspin_threshold)."""


class MmapSemAcquired(Message, sender=("mm",), receiver=CLIENTS):
    """The lock is the caller's."""


class UpRead(Message, sender=CLIENTS, receiver=("mm",), reply=("MmapSemReleased",)):
    """Release a read lock; the last reader wakes the head of the queue."""


class UpWrite(Message, sender=CLIENTS, receiver=("mm",), reply=("MmapSemReleased",)):
    """Release the write lock: a spinner takes it, or the head of the queue is woken. Ends all per-VMA write locks."""


class DowngradeWrite(Message, sender=CLIENTS, receiver=("mm",), reply=("MmapSemReleased",)):
    """Turn the write lock into a read lock (munmap since 4.20); queued readers at the head enter with it."""


class MmapSemReleased(Message, sender=("mm",), receiver=CLIENTS):
    """Released; the caller pays for each thread that was woken, and for the idle CPUs that it must interrupt.

    Where threads move it has yet to wake those in ``to_wake``, by their tags, and to find a CPU for each.
    """

    woken: Count
    ipis: Count
    to_wake: tuple[Count, ...] = ()


class RspinOver(Message, sender=("mm",), receiver=("cpu",)):
    """The thread that spins on readers, named by the tag, has done so for rwsem_rspin_threshold: once it looks."""


class GiveUpOnReaders(Message, sender=("cpu",), receiver=("mm",)):
    """It has looked at the clock: nobody spins on these readers any more (RWSEM_NONSPINNABLE)."""


class OwnerSleeps(Message, sender=CLIENTS, receiver=("mm",)):
    """The writer that owns mmap_sem goes off its CPU: spinners give up and sleep."""


class OwnerRuns(Message, sender=CLIENTS, receiver=("mm",)):
    """The writer that owns mmap_sem is back on a CPU: new writers may spin again."""


class ReadMmapSeq(Message, sender=("cpu",), receiver=("mm",), reply=("MmapSeq",)):
    """SPF of 2021, I1: read the one sequence count of the mm, which mmap_sem's writers move."""


class MmapSeq(Message, sender=("mm",), receiver=("cpu",)):
    """mm.mmap_seq: odd while somebody holds mmap_sem for writing."""

    sequence: Count


DOWN_READ: Final = DownRead()
DOWN_WRITE: Final = DownWrite()
RETRY_WRITE: Final = RetryWrite()
STOP_SPINNING: Final = StopSpinning()
SPINNING_TOO_LONG: Final = SpinningTooLong()
RSPIN_OVER: Final = RspinOver()
GIVE_UP_ON_READERS: Final = GiveUpOnReaders()
MMAP_SEM_ACQUIRED: Final = MmapSemAcquired()
UP_READ: Final = UpRead()
UP_WRITE: Final = UpWrite()
DOWNGRADE_WRITE: Final = DowngradeWrite()
OWNER_SLEEPS: Final = OwnerSleeps()
OWNER_RUNS: Final = OwnerRuns()
READ_MMAP_SEQ: Final = ReadMmapSeq()
