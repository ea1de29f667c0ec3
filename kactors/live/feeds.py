"""What a listener is told while a simulation runs. Each topic numbers its happenings since time 0, heard or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

from kactors.engine.engine import END_OF_TIME_NS
from kactors.engine.errors import UsageError
from kactors.engine.event import Event, describe
from kactors.engine.observer import Observer
from kactors.live.stats import stats_of
from kactors.run import Machine
from protocols.result import WorstIpi

TOPICS: Final = frozenset({"counters", "ipi_waits", "stories", "transient_pages"})
INTERVAL_NS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened.

    Attributes:
        topic: one of TOPICS.
        number: counts the topic's happenings since time 0, from 1; equal for equal histories, whoever listened.
        at_ns: virtual time.
        data: plain data: str, int, and for counters nothing else than the quantities.
    """

    topic: str
    number: int
    at_ns: int
    data: dict[str, Any]


Feed: TypeAlias = "Callable[[Happening], None]"


class _Stories(Observer):
    """Hears every delivery for as long as somebody wants to."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell

    def deliveries(self) -> Callable[[Event], None]:
        """Hear everything."""
        return self._tell


class Feeds:
    """Tells one listener of the topics that it wants; what nobody wants costs nothing.

    They hear only what the machine's own observers hear anyway, so that listening cannot change a run.

    Attributes:
        next_sample_ns: when the next sample of the counters is due; END_OF_TIME_NS while nobody wants them.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._engine = machine.system.engine
        self._feed: Feed | None = None
        self._stories: _Stories | None = None
        self._interval_ns = INTERVAL_NS
        self.next_sample_ns = END_OF_TIME_NS

    def listen(self, topics: frozenset[str], feed: Feed | None, interval_ns: int | None) -> None:
        """Tell ``feed`` of these topics from now on, instead of what was told before.

        Raises:
            UsageError: an unknown topic, or an interval below 1 ns; nothing has changed.
        """
        unknown = ", ".join(sorted(topics - TOPICS))
        if unknown:
            raise UsageError(f"no such topic: {unknown}; there are {', '.join(sorted(TOPICS))}")
        if interval_ns is not None and interval_ns < 1:
            raise UsageError(f"interval_ns must be 1 or more, not {interval_ns}")
        wanted = topics if feed is not None else frozenset()
        self._feed = feed
        self._machine.ipi.on_wait = self._ipi_wait if "ipi_waits" in wanted else None
        self._machine.transient.on_change = self._transient if "transient_pages" in wanted else None
        self._tell_stories("stories" in wanted)
        self._sample_every(interval_ns or self._interval_ns, "counters" in wanted)

    def sample(self) -> None:
        """Tell the counters: virtual time has reached ``next_sample_ns`` and nothing of that instant is left."""
        at_ns = self.next_sample_ns
        self._tell("counters", at_ns // self._interval_ns, at_ns, asdict(stats_of(self._machine)))
        self.next_sample_ns = at_ns + self._interval_ns

    def _sample_every(self, interval_ns: int, wanted: bool) -> None:
        if not wanted:
            self.next_sample_ns = END_OF_TIME_NS
        elif interval_ns != self._interval_ns or self.next_sample_ns == END_OF_TIME_NS:
            self.next_sample_ns = (self._engine.now_ns // interval_ns + 1) * interval_ns
        self._interval_ns = interval_ns

    def _tell_stories(self, wanted: bool) -> None:
        if self._stories is not None and not wanted:
            self._engine.dismiss(self._stories)
            self._stories = None
        elif self._stories is None and wanted:
            self._stories = _Stories(self._story)
            self._engine.observe(self._stories)

    def _story(self, event: Event) -> None:
        data = {
            "line": describe(event),
            "sender": event[2].name,
            "receiver": event[1].name,
            "message": type(event[4]).__name__,
        }
        self._tell("stories", self._engine.events, event[0], data)

    def _ipi_wait(self, at_ns: int, story: WorstIpi) -> None:
        self._tell("ipi_waits", len(self._machine.ipi.all), at_ns, story.model_dump())

    def _transient(self, at_ns: int, address: int) -> None:
        transient = self._machine.transient
        data = {"now": transient.now, "peak": transient.peak, "address": address}
        self._tell("transient_pages", transient.changes, at_ns, data)

    def _tell(self, topic: str, number: int, at_ns: int, data: dict[str, Any]) -> None:
        if self._feed is not None:
            self._feed(Happening(topic, number, at_ns, data))
