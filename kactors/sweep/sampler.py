"""Samples of one run: what was counted by the end of each slice of virtual time.

The run rests at each slice's end, where it is only looked at: it makes the deliveries that it would make anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kactors.engine.engine import END_OF_TIME_NS
from kactors.engine.observer import Hearing, Observer
from kactors.kernel.accounting import Spent
from kactors.observers.lock_use import LockUse, Place
from kactors.run import Machine
from protocols.base import Tracepoint
from protocols.tracepoints import WorkersStarted

SLICE_NS = 2_000
"""The first slices: long enough for a unit of the workload's count where hundreds of CPUs do not stand in each other's
way. Where the rate is lower, slices have grown before there are counts enough to judge by."""
SLICES_MAX = 512
"""When there are so many, each two become one: slices grow with the run, and a look at all of them stays cheap."""
SLICES_A_LOOK_AT_CPUS = 8
"""Each CPU has to be asked for its time, which costs as much as a thousand deliveries on a large machine."""
RECORDS, ABORTS = "records", "aborts"


@dataclass(frozen=True)
class Sampled:
    """Counts by slice.

    Attributes:
        slice_ns: length of a slice.
        counts: arrays of shape (slices,) by name: ``records``, ``aborts``, each perf counter and each vmstat name.
        times_slice_ns: length of the slices in which the CPUs' times were taken.
        times: ns by kind of time, of all CPUs together: arrays of shape (slices // SLICES_A_LOOK_AT_CPUS,).
        busy: ns in which each resource was taken, likewise; of many with one name, the one that was taken longest.
    """

    slice_ns: int
    counts: dict[str, np.ndarray]
    times_slice_ns: int
    times: dict[str, np.ndarray]
    busy: dict[str, np.ndarray]


class Sampler:
    """Drives one machine in slices from the start of its workers on.

    Args:
        machine: a machine at time 0.
        locks: tell how long locks are held; hearing of each acquisition makes a run slower.

    Attributes:
        slice_ns: length of a slice now.
    """

    def __init__(self, machine: Machine, *, locks: bool = False) -> None:
        self._machine = machine
        self._engine = machine.system.engine
        self.slice_ns = SLICE_NS
        self._counted: list[dict[str, int]] = []
        self._spent: list[list[int]] = []
        self._busy: list[dict[Place, int]] = []
        self._locks = LockUse() if locks else None
        self._start = _Start(machine)
        self._engine.observe(self._start)
        if self._locks is not None:
            self._engine.observe(self._locks)

    @property
    def sampled_ns(self) -> int:
        """Virtual time that whole slices cover."""
        return max(len(self._counted) - 1, 0) * self.slice_ns

    @property
    def records(self) -> int:
        """Units of the workload's count in them."""
        return self._counted[-1][RECORDS] - self._counted[0][RECORDS] if self._counted else 0

    def advance(self, sampled_ns: int) -> bool:
        """Go on until whole slices cover so much virtual time; return whether the run can go on.

        Raises:
            ActorCrash: an actor raised: an internal bug.
        """
        if not self._counted:
            self._machine.advance(END_OF_TIME_NS)
            if not self._start.seen or self._engine.stop is not None:
                return False
            self._look()
        while self.sampled_ns < sampled_ns:
            end_ns = self._machine.counters.started_ns + len(self._counted) * self.slice_ns
            # A run that has stopped in the middle of a slice has no whole one there.
            if not self._machine.advance(end_ns) and self._engine.now_ns < end_ns:
                return False
            self._look()
            if self._engine.stop is not None:
                return False
        return True

    def sampled(self) -> Sampled:
        """Return the whole slices so far."""
        names = dict.fromkeys(name for counted in self._counted for name in counted)
        counts = {name: np.diff([counted.get(name, 0) for counted in self._counted]) for name in names}
        spent = np.diff(np.array(self._spent).reshape(-1, len(Spent)), axis=0)
        times = {kind.name.lower(): spent[:, kind] for kind in Spent}
        return Sampled(self.slice_ns, counts, self.slice_ns * SLICES_A_LOOK_AT_CPUS, times, self._busiest())

    def series(self) -> np.ndarray:
        """Return the units of the workload's count in each slice so far."""
        return np.diff([counted[RECORDS] for counted in self._counted])

    def _busiest(self) -> dict[str, np.ndarray]:
        """Areas and page tables come and go: one that is gone is not taken any more."""
        if not self._busy:
            return {}
        busiest: dict[str, np.ndarray] = {}
        for place in sorted({place for busy in self._busy for place in busy}):
            taken = [0]
            for busy in self._busy:
                taken.append(busy.get(place, taken[-1]))
            series = np.diff(taken[1:])
            name = place[0]
            if name not in busiest or series.sum() > busiest[name].sum():
                busiest[name] = series
        return busiest

    def _look_at_actors(self) -> None:
        system, now_ns = self._machine.system, self._engine.now_ns
        each = (cpu.spent_until(now_ns) for cpu in system.cpus)
        self._spent.append([sum(kind) for kind in zip(*each, strict=True)])
        held = {} if self._locks is None else self._locks.held_ns(now_ns)
        self._busy.append({**system.mm.busy_ns(), **system.allocator.busy_ns(), **held})

    def _look(self) -> None:
        if len(self._counted) % SLICES_A_LOOK_AT_CPUS == 0:
            self._look_at_actors()
        counters = self._machine.counters
        vmstat = dict(sorted(counters.vmstat.items()))
        self._counted.append(
            {RECORDS: counters.records, ABORTS: counters.aborts, **counters.counters().model_dump(), **vmstat}
        )
        if len(self._counted) > SLICES_MAX:
            self._counted, self._spent, self._busy = self._counted[::2], self._spent[::2], self._busy[::2]
            self.slice_ns *= 2


class _Start(Observer):
    """Lets the run rest where the workers start."""

    def __init__(self, machine: Machine) -> None:
        self.seen = False
        self._engine = machine.system.engine

    def tracepoints(self) -> Mapping[type[Tracepoint], Hearing]:
        return {WorkersStarted: self._started}

    def _started(self, at_ns: int, _who: str, _started: WorkersStarted) -> None:
        self.seen = True
        self._engine.horizon_ns = at_ns
