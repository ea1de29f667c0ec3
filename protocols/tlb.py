"""TLB shootdown: x86 inter-processor interrupts with lazy TLB, POWER's tlbie and serialize_against_pte_lookup."""

from __future__ import annotations

from typing import Final

from protocols.base import Address, CpuId, Generation, Message
from protocols.scheduling import CLIENTS


class FlushTlb(Message, sender=CLIENTS, receiver=("mm",), reply=("FlushTargets",)):
    """F1: raise mm.tlb_gen and read mm_cpumask (F5): lazy CPUs that are skipped count where page tables go."""

    freed_tables: bool


class ReadCpumask(Message, sender=CLIENTS, receiver=("mm",), reply=("FlushTargets",)):
    """mm_cpumask without a flush: the targets of a pure synchronisation (F8)."""


class FlushTargets(Message, sender=("mm",), receiver=CLIENTS):
    """The CPUs that may hold translations of this mm, and the generation that they must reach.

    ``skipped``: others are in mm_cpumask too, but lazy, and need no IPI.
    """

    cpus: tuple[CpuId, ...]
    generation: Generation
    skipped: bool


class FlushIpi(Message, sender=CLIENTS, receiver=("cpu",), reply=("IpiAck",)):
    """F3, F4: flush_tlb_func on the target; ``full`` when the range is above the ceiling."""

    start: Address
    end: Address
    full: bool
    generation: Generation


class SyncIpi(Message, sender=CLIENTS, receiver=("cpu",), reply=("IpiAck",)):
    """An empty function: proves that the target has interrupts on (serialize_against_pte_lookup, table-free sync)."""


class IpiAck(Message, sender=("cpu",), receiver=CLIENTS):
    """The target ran the function (its csd is unlocked)."""


class BroadcastTlbie(Message, sender=CLIENTS, receiver=("mm",), reply=("TlbieDone",)):
    """F7: invalidate a range on every CPU in hardware, serialised machine-wide; nobody is interrupted."""

    start: Address
    end: Address


class Tlbie(Message, sender=("mm",), receiver=("cpu",)):
    """The invalidation as it reaches a CPU: immediate, whatever its interrupts."""

    start: Address
    end: Address


class TlbieDone(Message, sender=("mm",), receiver=CLIENTS):
    """ptesync has returned: no CPU holds the translation."""


class JoinMm(Message, sender=("cpu",), receiver=("mm",), reply=("MmJoined",)):
    """switch_mm: the CPU enters mm_cpumask."""


class MmJoined(Message, sender=("mm",), receiver=("cpu",)):
    """The generation to which the fresh TLB is up to date."""

    generation: Generation


class LeaveMm(Message, sender=("cpu",), receiver=("mm",)):
    """The CPU is idle and need not be interrupted any more: at once, or after its first needless IPI (F5)."""


class DropMm(Message, sender=("cpu",), receiver=("mm",)):
    """switch_mm to another process's mm: the CPU holds nothing of this one any more, and is not lazy in it either."""


FLUSH_TLB: Final = FlushTlb(freed_tables=False)
FLUSH_TLB_AND_TABLES: Final = FlushTlb(freed_tables=True)
SYNC_IPI: Final = SyncIpi()
IPI_ACK: Final = IpiAck()
TLBIE_DONE: Final = TlbieDone()
READ_CPUMASK: Final = ReadCpumask()
JOIN_MM: Final = JoinMm()
LEAVE_MM: Final = LeaveMm()
DROP_MM: Final = DropMm()
