"""How long IPI senders and users of mmap_sem waited, and for whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from kactors.engine.observer import Finding, Hearing, Observer
from kactors.observers.distribution import Samples
from protocols.base import Tracepoint
from protocols.result import IpiWaits, MmapSemWaits, WorstIpi
from protocols.stop import BoundExceeded
from protocols.tracepoints import IpiDone, IpiServed, MmapSemHold, MmapSemWait

Waited: TypeAlias = "Callable[[int, WorstIpi], None]"


class IpiWaitObserver(Observer):
    """From sending to the last ack, by kind; the worst one with its story.

    Args:
        wait_max_ns: stop the run when a wait exceeds this; None: never.

    Attributes:
        wait_max_ns: as given; it may change while the run rests.
        on_wait: called with (at_ns, story) at the end of each wait.
        all: every wait.
    """

    def __init__(self, wait_max_ns: int | None = None) -> None:
        self.wait_max_ns = wait_max_ns
        self.on_wait: Waited | None = None
        self._kinds = {"flush": Samples(), "sync": Samples()}
        self.all = Samples()
        self._reasons: dict[tuple[str, str], IpiServed] = {}
        self._worst: WorstIpi | None = None

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear both ends of each IPI."""
        return {IpiDone: self._done, IpiServed: self._served}

    def summary(self) -> IpiWaits:
        """Return the distributions and the worst wait."""
        return IpiWaits(
            all=self.all.summary(),
            flush=self._kinds["flush"].summary(),
            sync=self._kinds["sync"].summary(),
            worst=self._worst,
        )

    def _served(self, _at_ns: int, who: str, served: IpiServed) -> None:
        sender = "khugepaged" if served.sender < 0 else f"cpu{served.sender}"
        self._reasons[sender, who] = served

    def _done(self, at_ns: int, who: str, done: IpiDone) -> Finding:
        self._kinds[done.kind].add(done.wait)
        self.all.add(done.wait)
        if self._worst is None or done.wait > self._worst.wait_ns:
            self._worst = self._story(who, done)
        if self.on_wait is not None:
            self.on_wait(at_ns, self._story(who, done))
        if self.wait_max_ns is not None and done.wait > self.wait_max_ns:
            story = self._story(who, done)
            cause = f"{who} waited for {story.last_acker} at {at_ns} ns: {story.why}"
            return BoundExceeded(bound="bounds.ipi_wait_max_ns", limit=self.wait_max_ns, value=done.wait, cause=cause)
        return None

    def _story(self, who: str, done: IpiDone) -> WorstIpi:
        last = f"cpu{done.last_acker}"
        served = self._reasons.get((who, last))
        return WorstIpi(
            wait_ns=done.wait,
            kind=done.kind,
            sender=who,
            targets=done.targets,
            last_acker=last,
            why="unknown" if served is None else f"{served.reason}, delayed {served.delayed} ns",
            sent_at_ns=done.sent_at,
        )


class MmapSemObserver(Observer):
    """From start_locking to acquire_returned, readers and writers apart; how long writers held it."""

    def __init__(self) -> None:
        self._waits = {False: Samples(), True: Samples()}
        self._slept = {False: 0, True: 0}
        self._holds = Samples()

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        """Hear waits and holds."""
        return {MmapSemWait: self._wait, MmapSemHold: self._hold}

    def summary(self) -> MmapSemWaits:
        """Return the distributions."""
        return MmapSemWaits(
            read=self._waits[False].summary(),
            read_slept=self._slept[False],
            write=self._waits[True].summary(),
            write_slept=self._slept[True],
            write_hold=self._holds.summary(),
        )

    def _wait(self, _at_ns: int, _who: str, wait: MmapSemWait) -> None:
        self._waits[wait.write].add(wait.wait)
        self._slept[wait.write] += wait.slept

    def _hold(self, _at_ns: int, _who: str, hold: MmapSemHold) -> None:
        self._holds.add(hold.hold)
