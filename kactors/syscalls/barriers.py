"""pthread_barrier_wait: an atomic in user mode, and a futex call unless nobody else takes part."""

from __future__ import annotations

from kactors.barrier import Barrier
from kactors.cpu import Cpu
from protocols.barrier import ARRIVE_AT_BARRIER, ArrivedAtBarrier, BarrierOpened, OpenBarrier, SleepAtBarrier
from protocols.scheduling import MustSleep


async def arrive(cpu: Cpu, barrier: Barrier) -> ArrivedAtBarrier:
    """Count oneself."""
    arrived: ArrivedAtBarrier = await cpu.ask(barrier, ARRIVE_AT_BARRIER)
    return arrived


async def futex(cpu: Cpu, barrier: Barrier, arrived: ArrivedAtBarrier) -> None:
    """Wake all as the last of a round, and pay for it; else sleep until the last one does."""
    if not arrived.last:
        if type(await cpu.ask(barrier, SleepAtBarrier(round=arrived.round))) is MustSleep:
            await cpu.sleep(barrier)
        return
    opened: BarrierOpened = await cpu.ask(barrier, OpenBarrier(round=arrived.round))
    cpu.spend(opened.woken * cpu.machine.wake_ns + opened.ipis * cpu.machine.ipi_exit_ns)
