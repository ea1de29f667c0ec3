"""A core that several CPUs share: each computes slower for as long as others run threads."""

from __future__ import annotations

from abc import abstractmethod
from typing import cast

from kactors.engine.engine import Engine
from kactors.engine.event import Event
from kactors.execution import Directory
from kactors.fault_context import FaultContext
from kactors.kernel.accounting import forget
from kactors.kernel.ratio import Ratio, stretched
from protocols.scheduling import IDLES, RUNS_THREADS, SiblingBusy


class SharedCore(FaultContext):
    """A CPU beside its siblings. What it waits for takes as long as ever: only what it computes is slowed.

    Attributes:
        slowdown_percent: how much longer it computes now.
    """

    def __init__(self, engine: Engine, name: str, cpu_id: int, directory: Directory) -> None:
        super().__init__(engine, name, cpu_id, directory)
        self.slowdown_percent = 0
        self._siblings = self.machine.siblings(cpu_id) if self.machine.smt_slowdown_percent else ()

    def spend(self, ns: int) -> None:
        """Compute for ``ns`` in the present mode; it takes longer while others use the core."""
        if self.slowdown_percent:
            ns = self.slowed(ns)
        self.clock_ns += ns
        self.spent[self.mode] += ns

    def slowed(self, ns: int) -> int:
        """Return how long a computation takes that takes ``ns`` on a core of one's own."""
        return ns * (100 + self.slowdown_percent) // 100

    def tell_siblings(self, *, busy: bool) -> None:
        """From the local clock on this CPU runs threads, or idles."""
        for sibling in self._siblings:
            self.say(self.directory.cpus[sibling], RUNS_THREADS if busy else IDLES)

    def sibling(self, event: Event) -> None:
        """Another CPU of the core has begun or ceased to run threads: what this one has computed ahead moves.

        An interrupt's handler takes as long as when it began.
        """
        slows = self.machine.smt_slowdown_percent
        before = 100 + self.slowdown_percent
        self.slowdown_percent += slows if cast(SiblingBusy, event[4]).busy else -slows
        from_ns = self.computing_from(event[0])
        if self.clock_ns > from_ns:
            self.stretch(from_ns, (100 + self.slowdown_percent, before))

    @abstractmethod
    def computing_from(self, at_ns: int) -> int:
        """Return since when after ``at_ns`` the current thread computes; its clock's time or later: it does not."""

    def stretch(self, from_ns: int, factor: Ratio) -> None:
        """What lies between ``from_ns`` and the local clock takes ``factor`` as long; what is beyond moves with it."""
        engine, until_ns = self.engine, self.clock_ns
        self.clock_ns = stretched(until_ns, from_ns, factor)
        longer_ns = self.clock_ns - until_ns

        def moved(at_ns: int) -> int:
            return stretched(at_ns, from_ns, factor) if at_ns < until_ns else at_ns + longer_ns

        self._outbox = [
            engine.post_again(event, moved(event[0])) if event[0] > from_ns else event
            for event in self._outbox
            if event[0] > engine.now_ns
        ]
        self.stolen_ns += longer_ns
        if longer_ns < 0:
            forget(self.spent, self.mode, -longer_ns, 0, 0)
        else:
            self.spent[self.mode] += longer_ns
