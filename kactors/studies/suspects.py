"""The mail's second question: why does SPF gain 6.4x on 16 CPUs and only 2.1x on 80?

Both policies are measured against the CPUs on both machines, which tells the machine's part from that of the CPUs. Then
each suspect is made free in turn: what becomes of the gain says how much of it hangs there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from kactors.statistics import logarithm, quotient, rest_of, symmetric
from kactors.studies.effort import Effort
from kactors.studies.published import P8, X86
from kactors.studies.switches import SUSPECTS, Switch
from kactors.sweep.estimates import gain
from protocols.measurement import Interval, Measurement
from protocols.result import Record
from protocols.scenario import Scenario

BASE, SPF = "classic", "spf-v9"
POLICIES: Final = (BASE, SPF)
GAIN_MIN: Final = math.log(1.1)
"""Of less than this gain's logarithm no parts are told: a part of nothing is no number."""


class Point(Record):
    """Both policies on one machine at one size.

    Attributes:
        machine, cpus: where.
        base, spf: records a second.
        gain: the ratio of these.
        base_time, spf_time: share of the CPUs' time by kind, 0 to 1.
    """

    machine: str
    cpus: int
    base: Interval
    spf: Interval
    gain: Interval
    base_time: dict[str, Interval]
    spf_time: dict[str, Interval]


class Freed(Record):
    """The same with one suspect made free.

    Attributes:
        suspect: its name.
        point: what becomes of both policies.
        share: of the gain's logarithm, the part that goes with the suspect: 1 is all of it; below 0, it held the gain
            down. None where there is no gain that could have parts.
    """

    suspect: str
    point: Point
    share: Interval | None


class Scaling(Record):
    """The answer.

    Attributes:
        seed, precision: of every run.
        curves: throughput against the CPUs.
        whole: the machines of the mail at their own sizes.
        freed: each suspect on each of these.
        inexact: runs that ended before they were as exact as asked for.
    """

    seed: int
    precision: float
    curves: tuple[Point, ...]
    whole: tuple[Point, ...]
    freed: tuple[Freed, ...]
    inexact: int


@dataclass(frozen=True)
class Grid:
    """What is measured.

    Attributes:
        cpus: sizes of the curves, of both machines.
        machines: the mail's machines (name, CPUs), on which suspects are made free.
        suspects: which.
    """

    cpus: tuple[int, ...] = (80, 16, 4, 1)
    machines: tuple[tuple[str, int], ...] = ((P8, 80), (X86, 16))
    suspects: tuple[Switch, ...] = SUSPECTS

    def places(self) -> list[tuple[str, int]]:
        """Return where there is something to measure, each once."""
        curves = [(machine, cpus) for cpus in self.cpus for machine, _ in self.machines]
        return list(dict.fromkeys((*self.machines, *curves)))

    def scenarios(self, seed: int) -> list[Scenario]:
        """Return what is measured: both policies at each place, then without each suspect."""
        plain = [ebizzy(*place, policy, seed) for place in self.places() for policy in POLICIES]
        freed = [
            switch.turn_off(ebizzy(*place, policy, seed))
            for place in self.machines
            for switch in self.suspects
            for policy in POLICIES
        ]
        return [*plain, *freed]


def ebizzy(machine: str, cpus: int, policy: str, seed: int) -> Scenario:
    """Return what the mail ran, on a machine of that size."""
    return Scenario(workload="ebizzy", machine=machine, cpus=cpus, policy=policy, seed=seed)


def ask(effort: Effort, grid: Grid | None = None) -> Scaling:
    """Measure all that, and return what it came to."""
    grid = grid or Grid()
    measured = effort.measure(grid.scenarios(effort.seed))
    points = _points(measured)
    plain = dict(zip(grid.places(), islice(points, len(grid.places())), strict=True))
    freed = [
        Freed(suspect=switch.name, point=point, share=share_of(plain[place].gain, point.gain))
        for place in grid.machines
        for switch, point in zip(grid.suspects, islice(points, len(grid.suspects)), strict=True)
    ]
    sizes = sorted(plain, key=lambda place: (place[0] != grid.machines[-1][0], place[1]))
    return Scaling(
        seed=effort.seed,
        precision=effort.relative,
        curves=tuple(plain[place] for place in sizes if place[1] in grid.cpus),
        whole=tuple(plain[place] for place in reversed(grid.machines)),
        freed=tuple(freed),
        inexact=sum(not run.met for run in measured),
    )


def _points(measured: Sequence[Measurement]) -> Iterator[Point]:
    for base, spf in zip(measured[::2], measured[1::2], strict=True):
        yield Point(
            machine=base.result.machine,
            cpus=base.result.cpus,
            base=base.rate,
            spf=spf.rate,
            gain=gain([spf], [base]),
            base_time=base.cpu_time,
            spf_time=spf.cpu_time,
        )


def share_of(whole: Interval, freed: Interval) -> Interval | None:
    """Return which part of a gain's logarithm is gone, given the gain as it is and with a suspect made free.

    None where the gain is smaller than GAIN_MIN. The two gains come from different runs, and count as independent: that
    these have one seed is no reason to believe in less.
    """
    if min(whole.mean, freed.mean) <= 0 or abs(math.log(whole.mean)) < GAIN_MIN:
        return None
    return rest_of(quotient(logarithm(freed), logarithm(whole)))


@dataclass(frozen=True)
class Exchange:
    """The difference of two gains, told apart by each machine at the other's size.

    Attributes:
        machine: of the difference of the logarithms, the part that is the machine's doing: the mean of both orders.
        cpus: the rest, that of the number of CPUs.
    """

    machine: Interval
    cpus: Interval


def exchange(one: Interval, other: Interval, one_resized: Interval, other_resized: Interval) -> Exchange | None:
    """Return what the machine and what the size does to a gain; None where a gain is 0 and has no logarithm.

    Args:
        one: gain of a machine at its own size.
        other: of the other one at its own.
        one_resized: of the first at the other's size.
        other_resized: the reverse.
    """
    gains = (one, other, one_resized, other_resized)
    if min(gain.mean for gain in gains) <= 0:
        return None
    logs = [logarithm(gain) for gain in gains]
    squares = [log.half_width**2 for log in logs]
    first, last, resized, last_resized = (log.mean for log in logs)
    confidence, n = one.confidence, min(log.n for log in logs)
    top = symmetric(((first - last_resized) + (resized - last)) / 2, math.sqrt(sum(squares)) / 2, confidence, n)
    bottom = symmetric(first - last, math.sqrt(squares[0] + squares[1]), confidence, n)
    # The gains at their own sizes are in both.
    machine = quotient(top, bottom, covariance=(squares[0] + squares[1]) / 2)
    return Exchange(machine, rest_of(machine))
