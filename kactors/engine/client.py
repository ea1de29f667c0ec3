"""Clients: actors that run coroutines against a clock of their own.

A client computes in its own time: ``spend`` moves its local clock ahead and posts nothing. What it says leaves at the
local clock, so it may lie in the engine's future; when an interrupt arrives meanwhile, everything that has not left
yet is shifted by the handler's time. A coroutine suspends only in ``ask`` and in what is built from it.
"""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

from kactors.engine.actor import Actor
from kactors.engine.engine import Engine
from kactors.engine.event import Event
from kactors.engine.waits import Blocked
from protocols.base import Message, Tracepoint

M = TypeVar("M", bound=Message)


class Process:
    """A coroutine that a client runs: one thread, or khugepaged.

    Attributes:
        tag: correlates replies; unique in the machine.
        servers: the actors whose answer it waits for, empty while it runs.
        request: what it asked them, in words.
        since_ns: since when it waits.
    """

    __slots__ = ("coroutine", "name", "request", "servers", "since_ns", "tag")

    def __init__(self, tag: int, name: str) -> None:
        self.tag = tag
        self.name = name
        self.coroutine: Coroutine[Any, Any, None] | None = None
        self.servers: tuple[Any, ...] = ()
        self.request: Message | str = ""
        self.since_ns = 0


def _in_words(request: Message | str) -> str:
    return request if isinstance(request, str) else type(request).__name__


class Client(Actor):
    """An actor with a local clock and an outbox of what it has said ahead of virtual time.

    Attributes:
        clock_ns: the instant that its current process has reached, at or after the engine's now.
        current: the process that is running.
        me: its address, under which it says things and is answered.
    """

    current: Process

    def __init__(self, engine: Engine, name: str) -> None:
        super().__init__(engine, name)
        self.me: Any = self
        self.clock_ns = 0
        self._outbox: list[Event] = []

    def spend(self, ns: int) -> None:
        """Compute for ``ns``: nobody hears of it."""
        self.clock_ns += ns

    def say(self, receiver: Any, message: Message, tag: int = 0) -> None:
        """Post a message that leaves and arrives at the local clock."""
        self.say_at(self.clock_ns, receiver, message, tag)

    def say_at(self, at_ns: int, receiver: Any, message: Message, tag: int = 0) -> None:
        """Post a message that arrives at ``at_ns`` and can still be shifted until then."""
        event = self.engine.post(at_ns, receiver, self.me, message, tag)
        if at_ns > self.engine.now_ns:
            self._outbox.append(event)

    def note(self, tracepoint: Tracepoint) -> None:
        """Tell observers, at the local clock."""
        event = self.engine.emit(self.clock_ns, self.me, tracepoint)
        if event is not None:
            self._outbox.append(event)

    def arrived(self, at_ns: int) -> None:
        """Virtual time has caught up: the local clock is ``at_ns`` and everything said before has left."""
        self.clock_ns = at_ns
        self._outbox.clear()

    def shift(self, from_ns: int, by_ns: int) -> None:
        """Delay everything that leaves at or after ``from_ns``, and the local clock, by ``by_ns``."""
        engine = self.engine
        self._outbox = [
            engine.post_again(event, event[0] + by_ns) if event[0] >= from_ns else event
            for event in self._outbox
            if event[0] > engine.now_ns
        ]
        self.clock_ns += by_ns

    def withdraw(self, event: Event) -> None:
        """Take back something said that has not left."""
        self._outbox.remove(event)
        self.engine.cancel(event)

    def take_back(self) -> None:
        """Withdraw all that has not left."""
        for event in self._outbox:
            if event[0] > self.engine.now_ns:
                self.engine.cancel(event)
        self._outbox.clear()

    @types.coroutine
    def ask(self, server: Any, message: Message) -> Generator[None, Event, Message]:
        """Send a request and wait for its reply: the process keeps its CPU (it stalls or spins)."""
        process = self.current
        process.servers, process.request, process.since_ns = (server,), message, self.clock_ns
        self.say(server, message, process.tag)
        event = yield
        process.servers = ()
        return event[4]

    def blocked(self) -> list[Blocked]:
        """Return the waits of all its processes."""
        return [
            Blocked(self.node(process.tag), _in_words(process.request), process.since_ns, process.servers, process.tag)
            for process in self.processes()
            if process.servers
        ]

    def close(self) -> None:
        """Abandon all processes: the machine has stopped."""
        for process in self.processes():
            if process.coroutine is not None:
                process.coroutine.close()

    def processes(self) -> list[Process]:
        """Return every process that has not ended."""
        return [self.current]
