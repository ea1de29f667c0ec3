"""A barrier among threads of one process: who has arrived, and who sleeps until the last one has.

Owns: the count in user memory, the round, the futex's hash bucket with those that sleep.
Hears: arrivals, requests to sleep, the last one's request to wake.
Says: their answers, wake-ups.
Never: knows whose threads they are; spins.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

from kactors.engine.actor import Actor, Handler, Server
from kactors.engine.engine import Engine
from kactors.engine.waits import Holder
from kactors.kernel.cache_line import CacheLine
from protocols.barrier import (
    BARRIER_PASSED,
    ArriveAtBarrier,
    ArrivedAtBarrier,
    BarrierOpened,
    OpenBarrier,
    SleepAtBarrier,
)
from protocols.base import Message
from protocols.machine import Machine
from protocols.roles import heard_by, said_by
from protocols.scheduling import MUST_SLEEP, RETRY


class Barrier(Server):
    """The actor of one barrier, made when a program initialises one.

    Args:
        engine: the machine's engine.
        machine: costs.
        threads: how many must arrive.

    Attributes:
        threads: how many must arrive; it never changes.
    """

    role: ClassVar[str] = "barrier"
    hears: ClassVar[frozenset[type[Message]]] = heard_by("barrier")
    says: ClassVar[frozenset[type[Message]]] = said_by("barrier")

    def __init__(self, engine: Engine, machine: Machine, threads: int) -> None:
        self._machine = machine
        self.threads = threads
        self._count_line = CacheLine(machine)
        self._bucket_line = CacheLine(machine)
        self._arrived = 0
        self._round = 0
        self._sleepers: deque[tuple[Any, int, int, int]] = deque()
        super().__init__(engine, f"barrier{len(engine.actors)}")

    def handlers(self) -> dict[type[Message], Handler]:
        """Return the handlers of arrivals, sleeping and waking."""
        return {ArriveAtBarrier: self._arrive, SleepAtBarrier: self._sleep, OpenBarrier: self._open}

    def holder(self, client: Actor, tag: int) -> Holder | None:
        """Say that threads are missing when the client waits for them."""
        since = next((since for who, its_tag, since, _ in self._sleepers if (who, its_tag) == (client, tag)), None)
        return None if since is None else Holder(self.name, ("its other threads",), since, "have not all arrived")

    def _arrive(self, _: ArriveAtBarrier, client: Any, tag: int) -> None:
        done_ns = self._count_line.write(self.engine.now_ns, client.cpu_id)
        self._arrived += 1
        last = self._arrived == self.threads
        self.reply(done_ns, client, tag, ArrivedAtBarrier(round=self._round, last=last))
        if last:
            self._arrived, self._round = 0, self._round + 1

    def _sleep(self, message: SleepAtBarrier, client: Any, tag: int) -> None:
        done_ns = self._bucket_line.write(self.engine.now_ns, client.cpu_id, hold_ns=self._machine.futex_ns)
        if message.round != self._round:
            self.reply(done_ns, client, tag, BARRIER_PASSED)
            return
        self._sleepers.append((client, tag, done_ns, message.round))
        self.reply(done_ns, client, tag, MUST_SLEEP)

    def _open(self, message: OpenBarrier, client: Any, tag: int) -> None:
        """Wake who sleeps in the round that is over, one after the other on the waker's CPU."""
        machine, woken, ipis = self._machine, 0, 0
        done_ns = self._bucket_line.write(self.engine.now_ns, client.cpu_id, hold_ns=machine.futex_ns)
        at_ns = done_ns
        # Who came too late to sleep in that round may have gone on, and sleep in the next one: behind all of these.
        while self._sleepers and self._sleepers[0][-1] == message.round:
            sleeper, its_tag, _, _ = self._sleepers.popleft()
            elsewhere = sleeper is not client
            woken, ipis = woken + 1, ipis + elsewhere
            at_ns += machine.wake_ns + (machine.ipi_exit_ns if elsewhere else 0)
            self.reply(at_ns, sleeper, its_tag, RETRY)
        self.reply(done_ns, client, tag, BarrierOpened(woken=woken, ipis=ipis))
