"""The service's own numbers: plain integers that anybody may add to, turned into Prometheus' text when asked for.

Prometheus' own counters lock and check on each increment; a request pays for plain ones only.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import trio
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from protocols.service.methods import METHODS
from protocols.service.searches import SearchState
from protocols.service.sessions import State

CONTENT_TYPE = CONTENT_TYPE_LATEST
OTHER_METHOD = "other"
"""What unknown methods are counted under: their names are the clients' to choose, and each would be a new series."""

REQUEST_BUCKETS_S = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
COMMIT_BUCKETS_S = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True)
class Gauges:
    """What there is at this moment; the server looks when it is asked."""

    connections: int = 0
    subscriptions: int = 0
    sessions: Mapping[str, int] = field(default_factory=dict)
    searches: Mapping[str, int] = field(default_factory=dict)
    searched_states: int = 0
    searched_frontier: int = 0


class Histogram:
    """How often something took how long.

    Args:
        bounds_s: upper bounds of the buckets, in seconds, ascending; what is above the last is counted too.
    """

    def __init__(self, bounds_s: Sequence[float]) -> None:
        self._bounds_s = tuple(bounds_s)
        self._counts = [0] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one that took so long."""
        self._counts[bisect_left(self._bounds_s, seconds)] += 1
        self.sum_s += seconds

    @property
    def count(self) -> int:
        """How many were counted."""
        return sum(self._counts)

    def buckets(self) -> list[tuple[str, float]]:
        """Return (upper bound in seconds, how many took at most that) as Prometheus writes them."""
        cumulated: list[tuple[str, float]] = []
        so_far = 0
        for bound, count in zip((*map(str, self._bounds_s), "+Inf"), self._counts, strict=True):
            so_far += count
            cumulated.append((bound, so_far))
        return cumulated


class _Method:
    """The requests of one method: by code, and how long they took."""

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self.seconds = Histogram(REQUEST_BUCKETS_S)


class Metrics(Collector):
    """All numbers of one service since it began. Belongs to the Trio thread, as everything that it counts does.

    Args:
        version: of kactors.
        fingerprint: hash over the simulator's sources.

    Attributes:
        requests: answered, the failed ones included.
        errors: answered by an error.
        events_sent: to subscribers.
        events_dropped: that a subscriber had no credit, rate or room for.
        events_simulated: deliveries, over all sessions.
        schedules_searched: over all searches, those that were lost with a worker included.
        steps_searched: deliveries of these schedules.
        worker_restarts: of worker processes that ended or hung.
        gauges: called at each look, on the Trio thread; the server puts its own here.
        registry: holds only this.
    """

    def __init__(self, version: str = "", fingerprint: str = "") -> None:
        self.requests = 0
        self.errors = 0
        self.events_sent = 0
        self.events_dropped = 0
        self.events_simulated = 0
        self.schedules_searched = 0
        self.steps_searched = 0
        self.worker_restarts = 0
        self.gauges: Callable[[], Gauges] = Gauges
        self._build = {"version": version, "fingerprint": fingerprint}
        self._methods = {name: _Method() for name in (*METHODS, OTHER_METHOD)}
        self._other = self._methods[OTHER_METHOD]
        self._protocol_errors: Counter[int] = Counter()
        self._commits = Histogram(COMMIT_BUCKETS_S)
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def request(self, method: str, code: int, seconds: float) -> None:
        """Count one answered request; code 0 is success."""
        self.requests += 1
        if code:
            self.errors += 1
        series = self._methods.get(method, self._other)
        series.codes[code] = series.codes.get(code, 0) + 1
        series.seconds.observe(seconds)

    def store_commit(self, seconds: float) -> None:
        """Count one commit of the store."""
        self._commits.observe(seconds)

    def protocol_error(self, code: int) -> None:
        """Count one connection that was closed because of what came over it."""
        self._protocol_errors[code] += 1

    def text(self) -> bytes:
        """Return everything as Prometheus reads it (``CONTENT_TYPE``)."""
        return generate_latest(self.registry)

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: a registry that finds no description would collect to learn the names."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield from self._of_requests()
        yield from self._of_simulation()
        yield from self._of_gauges()
        yield from self._of_process()
        yield InfoMetricFamily("kactors_build", "Which build serves.", self._build)

    def _of_requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "kactors_requests", "Requests answered; code 0 is success.", labels=("method", "code")
        )
        seconds = HistogramMetricFamily(
            "kactors_request_seconds", "From a request's arrival to its answer.", labels=("method",)
        )
        for name, series in self._methods.items():
            for code, count in sorted(series.codes.items()):
                requests.add_metric((name, str(code)), count)
            if series.codes:
                seconds.add_metric((name,), series.seconds.buckets(), series.seconds.sum_s)
        yield requests
        yield seconds
        closed = CounterMetricFamily(
            "kactors_protocol_errors", "Connections closed because of what came over them.", labels=("code",)
        )
        for code, count in sorted(self._protocol_errors.items()):
            closed.add_metric((str(code),), count)
        yield closed

    def _of_simulation(self) -> Iterator[Metric]:
        for name, text, value in (
            ("kactors_simulated_events", "Deliveries simulated, over all sessions.", self.events_simulated),
            ("kactors_searched_schedules", "Schedules searched, over all searches.", self.schedules_searched),
            ("kactors_searched_events", "Deliveries of schedules searched, over all searches.", self.steps_searched),
            ("kactors_events_sent", "Events sent to subscribers.", self.events_sent),
            ("kactors_events_dropped", "Events that a subscriber had no credit or room for.", self.events_dropped),
            ("kactors_worker_restarts", "Worker processes begun anew.", self.worker_restarts),
        ):
            yield CounterMetricFamily(name, text, value)
        yield HistogramMetricFamily(
            "kactors_store_commit_seconds", "Commits of the store.", self._commits.buckets(), self._commits.sum_s
        )

    def _of_gauges(self) -> Iterator[Metric]:
        now = self.gauges()
        yield GaugeMetricFamily("kactors_connections", "Clients connected.", now.connections)
        yield GaugeMetricFamily("kactors_subscriptions", "Subscriptions.", now.subscriptions)
        yield _by_state("kactors_sessions", "Sessions by state.", State, now.sessions)
        yield _by_state("kactors_searches", "Searches by state.", SearchState, now.searches)
        yield GaugeMetricFamily("kactors_search_states", "States that running searches hold.", now.searched_states)
        yield GaugeMetricFamily(
            "kactors_search_frontier",
            "States of running searches below which something is still to be tried.",
            now.searched_frontier,
        )

    def _of_process(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("kactors_resident_bytes", "Memory of the service's process.", resident_bytes())
        yield GaugeMetricFamily("kactors_open_files", "File descriptors of the service's process.", open_files())
        if trio.lowlevel.in_trio_run():
            yield GaugeMetricFamily("kactors_trio_tasks", "Tasks of the service.", tasks())


def _by_state(name: str, text: str, states: type[StrEnum], counts: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=("state",))
    for state in states:
        family.add_metric((state.value,), counts.get(state, 0))
    return family


def resident_bytes(pid: int | None = None) -> int:
    """Return a process's resident memory in bytes (by default this one's), or 0 where there is no /proc or process."""
    try:
        pages = int(Path("/proc", str(pid or "self"), "statm").read_bytes().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_files() -> int:
    """Return how many file descriptors this process holds, or 0 where there is no /proc."""
    try:
        # One less: looking into the folder opens it.
        return sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1
    except OSError:
        return 0


def tasks() -> int:
    """Return how many Trio tasks there are.

    Raises:
        RuntimeError: outside Trio.
    """
    return trio.lowlevel.current_statistics().tasks_living
