"""Observers hear deliveries and tracepoints; they have no way to send, so they cannot change a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from protocols.base import Message, Tracepoint
from protocols.stop import AnyStop, BoundExceeded, Violation

if TYPE_CHECKING:
    from kactors.engine.event import Event, Party

Finding: TypeAlias = "Violation | BoundExceeded | None"
Hearing: TypeAlias = "Callable[[int, str, Any], Finding]"
"""(at_ns, actor's name, tracepoint) -> a finding that stops the run, or None."""


class Observer:
    """Hears what it subscribes to. A returned finding stops the run.

    A search takes it that the order of two tracepoints matters to an observer only where both name the same page,
    frame, area, table or lock. One that keeps a sum over different things says so. Of a user's own class a search
    takes it that the order of all that it hears matters, unless the class sets ``adds`` or ``takes``, if only to
    ``frozenset()``: then it is judged as the others are, and the search has fewer orders to go through.

    Attributes:
        adds: tracepoints that may raise the sum.
        takes: tracepoints that may lower it.
    """

    adds: ClassVar[frozenset[type[Tracepoint]]] = frozenset()
    takes: ClassVar[frozenset[type[Tracepoint]]] = frozenset()

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Return the handlers by tracepoint class."""
        return {}

    def deliveries(self) -> Callable[[Event], None] | None:
        """Return a handler of every delivery, or None."""
        return None

    def finish(self, at_ns: int) -> Finding:
        """Judge the end of a run that reached quiescence."""
        del at_ns
        return None


class Dispatcher:
    """Carries tracepoints to observers at their own instant, through the same queue as everything else.

    An actor computes ahead of virtual time; a tracepoint that it emits in its own future is queued, so that observers
    hear all actors in the order of time, and an interrupt that shifts the computation shifts the tracepoint with it.
    """

    name: ClassVar[str] = "observers"
    id: ClassVar[int] = -1
    says: ClassVar[frozenset[type[Message]]] = frozenset()

    def __init__(self, halt: Callable[[AnyStop], None]) -> None:
        self._halt = halt
        self.observers: list[Observer] = []
        self.tracepoints: dict[type[Message], list[Hearing]] = {}
        self.hearers: list[Callable[[Event], None]] = []

    def add(self, observer: Observer) -> None:
        """Subscribe an observer."""
        self.observers.append(observer)
        for kind, hearing in observer.tracepoints().items():
            self.tracepoints.setdefault(kind, []).append(hearing)
        delivery = observer.deliveries()
        if delivery is not None:
            self.hearers.append(delivery)

    def remove(self, observer: Observer) -> None:
        """Unsubscribe an observer; what is queued for it already is dropped."""
        self.observers.remove(observer)
        for kind, hearing in observer.tracepoints().items():
            self.tracepoints[kind].remove(hearing)
        delivery = observer.deliveries()
        if delivery is not None:
            self.hearers.remove(delivery)

    def delivery(self, event: Event) -> None:
        """Tell those who hear everything."""
        for hear in self.hearers:
            hear(event)

    def receive(self, event: Event) -> None:
        """Tell the subscribers a queued tracepoint."""
        self.tell(event[0], event[2], event[4])

    def tell(self, at_ns: int, actor: Party, tracepoint: Message) -> None:
        """Let every subscriber of the tracepoint's class hear it; a finding stops the run."""
        for hear in self.tracepoints[type(tracepoint)]:
            finding = hear(at_ns, actor.name, tracepoint)
            if finding is not None:
                self._halt(finding)

    def finish(self, at_ns: int) -> None:
        """Let every observer judge the end."""
        for observer in self.observers:
            finding = observer.finish(at_ns)
            if finding is not None:
                self._halt(finding)
