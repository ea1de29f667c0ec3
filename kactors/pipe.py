"""A pipe between two threads: what is in it, and who sleeps because nothing is.

Owns: the count of bytes (not the bytes: nobody looks at them), the readers that wait, whether a writer is left.
Hears: reads, writes and the end of the writing side from CPUs that run the system calls.
Says: their answers, wake-ups of readers.
Never: knows whose threads they are, or in which process; blocks a writer (a full pipe is not modelled).
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

from kactors.engine.actor import Actor, Handler, Server
from kactors.engine.engine import Engine
from kactors.engine.waits import Holder
from kactors.kernel.cache_line import CacheLine
from protocols.base import Message
from protocols.machine import Machine
from protocols.pipe import ClosePipe, PipeRead, PipeWritten, ReadPipe, WritePipe
from protocols.roles import heard_by, said_by
from protocols.scheduling import MUST_SLEEP, RETRY


class Pipe(Server):
    """The actor of one pipe, made when a program makes one.

    Args:
        engine: the machine's engine.
        machine: costs.
    """

    role: ClassVar[str] = "pipe"
    hears: ClassVar[frozenset[type[Message]]] = heard_by("pipe")
    says: ClassVar[frozenset[type[Message]]] = said_by("pipe")

    def __init__(self, engine: Engine, machine: Machine) -> None:
        self._machine = machine
        self._line = CacheLine(machine)
        self._bytes = 0
        self._closed = False
        self._readers: deque[tuple[Any, int, int]] = deque()
        super().__init__(engine, f"pipe{len(engine.actors)}")

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handlers of reads, writes and the end."""
        return {WritePipe: self._write, ReadPipe: self._read, ClosePipe: self._close}

    def holder(self, client: Actor, tag: int) -> Holder | None:
        """Say that the pipe is empty when the client waits to read it."""
        since = next((since for who, its_tag, since in self._readers if (who, its_tag) == (client, tag)), None)
        return None if since is None else Holder(self.name, ("its writers",), since, "have written nothing")

    def _section(self, client: Any) -> int:
        """Return when a section under pipe->mutex is over."""
        return self._line.write(self.engine.now_ns, client.cpu_id, hold_ns=self._machine.pipe_ns)

    def _write(self, message: WritePipe, client: Any, tag: int) -> None:
        self._bytes += message.count
        self._wake(self._section(client), client, tag, readers=1)

    def _close(self, _: ClosePipe, client: Any, tag: int) -> None:
        self._closed = True
        self._wake(self._section(client), client, tag, readers=len(self._readers))

    def _wake(self, done_ns: int, client: Any, tag: int, *, readers: int) -> None:
        """Wake as many readers, one after the other on the waker's CPU, and answer the waker."""
        machine, woken, ipis, at_ns = self._machine, 0, 0, done_ns
        while self._readers and woken < readers:
            sleeper, its_tag, _ = self._readers.popleft()
            elsewhere = sleeper is not client
            woken, ipis = woken + 1, ipis + elsewhere
            at_ns += machine.wake_ns + (machine.ipi_exit_ns if elsewhere else 0)
            self.reply(at_ns, sleeper, its_tag, RETRY)
        self.reply(done_ns, client, tag, PipeWritten(woken=woken, ipis=ipis))

    def _read(self, message: ReadPipe, client: Any, tag: int) -> None:
        done_ns = self._section(client)
        if not self._bytes and not self._closed:
            self._readers.append((client, tag, done_ns))
            self.reply(done_ns, client, tag, MUST_SLEEP)
            return
        count = min(message.count, self._bytes)
        self._bytes -= count
        self.reply(done_ns, client, tag, PipeRead(count=count))
