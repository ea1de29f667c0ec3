"""read and write of pipes."""

from __future__ import annotations

from kactors.cpu import Cpu
from kactors.pipe import Pipe
from protocols.pipe import CLOSE_PIPE, PipeRead, PipeWritten, ReadPipe, WritePipe


async def write(cpu: Cpu, pipe: Pipe, count: int) -> None:
    """Put bytes in; pay for waking who waits for them."""
    _pay(cpu, await cpu.ask(pipe, WritePipe(count=count)))


async def close(cpu: Cpu, pipe: Pipe) -> None:
    """End the writing; whoever reads finds that out."""
    _pay(cpu, await cpu.ask(pipe, CLOSE_PIPE))


async def read(cpu: Cpu, pipe: Pipe, count: int) -> int:
    """Take bytes out, sleeping until there are some; 0 when the writing has ended."""
    found: PipeRead = await cpu.ask_until_served(pipe, ReadPipe(count=count))
    return found.count


def _pay(cpu: Cpu, written: PipeWritten) -> None:
    cpu.spend(written.woken * cpu.machine.wake_ns + written.ipis * cpu.machine.ipi_exit_ns)
