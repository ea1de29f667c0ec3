"""One run that goes on until its rate is known well enough: warm-up removed, batch means, a stopping rule.

The interval of a run of length T shrinks as sqrt(2 t / T), where t is the time over which the rate stays correlated:
a lock that starves a writer for a millisecond costs virtual time in proportion. ``Measurement.needed_ns`` says how
much.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from kactors.engine.engine import Limits
from kactors.engine.errors import UsageError
from kactors.fault_policy import FaultPolicy
from kactors.run import Machine
from kactors.statistics import batch_means, lag1, never, no_interval
from kactors.statistics.batch_means import BATCHES_MAX, BATCHES_MIN
from kactors.statistics.stopping import Look, look
from kactors.sweep.pool import do_all
from kactors.sweep.sampler import ABORTS, RECORDS, SLICES_A_LOOK_AT_CPUS, Sampled, Sampler
from kactors.workloads import Workload
from protocols.measurement import Interval, Measurement, Series
from protocols.result import Result
from protocols.scenario import Scenario
from protocols.stop import EventLimit, TimeReached

FIRST_LOOK_NS = 128_000
"""64 of the first slices."""
RECORDS_MIN = 256
"""Units of the workload's count; fewer make no rate."""
ROUNDS_MIN = 2
"""Of a workload that goes in rounds, by all workers together: they begin anywhere in it, so many show a part each."""
SAMPLED_NS_MIN = 3_000_000
"""No interval of less is believed: assumed, some thousand faults of one CPU."""
TIME_SLICES_MIN = 16
"""Of the scheduler. On 16 CPUs ebizzy leaves its first state only after ten of them."""

ENDED = {
    "time": "virtual time is up",
    "events": "as many deliveries as it was allowed",
    "quiescent": "every thread has finished",
}
"""Why a run ended before its rate was known, by the kind of its stop."""

WAITING = ("idle", "lock_sleep", "lock_spin", "ipi_wait", "stolen")
"""What a CPU does while another one has to do something."""

OnLook = Callable[[int, int, float], None]
"""(virtual ns, deliveries, relative half-width so far), now and then while one is measured."""
OnMeasured = Callable[[int, Measurement], None]
"""(place of the scenario, its measurement), as each one ends."""


@dataclass(frozen=True, kw_only=True)
class Precision:
    """How well a rate is to be known, and what may be spent on it.

    Attributes:
        relative: half-width of the interval as a share of the rate; None: as it comes, when a bound ends the run.
        confidence: of every interval.
        warm_up: "mser5", or ns of virtual time after the start of the workers that are cut off.
        sampled_ns_min: virtual time from the start of the workers on that is sampled at least: what is counted seldom
            takes more of it than the rate, and a workload that goes in rounds takes a few of its rounds.
        until_ns_max: virtual time at which to give up; the scenario's own ``until_ns`` is such a bound as well.
        events_max: deliveries after which to give up, likewise.
        batches: how many to cut a run into at most; they are made longer until they are uncorrelated.
    """

    relative: float | None = 0.02
    confidence: float = 0.95
    warm_up: Literal["mser5"] | int = "mser5"
    sampled_ns_min: int = 0
    until_ns_max: int | None = None
    events_max: int | None = 20_000_000
    batches: int = BATCHES_MAX

    def __post_init__(self) -> None:
        if self.relative is not None and not 0 < self.relative < 1:
            raise UsageError(f"a precision of {self.relative:.6g}: it must lie between 0 and 1 (2 % is 0.02)")
        if not 0 < self.confidence < 1:
            raise UsageError(f"a confidence of {self.confidence:.6g}: it must lie between 0 and 1 (95 % is 0.95)")


def measure(
    scenario: Scenario,
    precision: Precision,
    *,
    policy: FaultPolicy | None = None,
    workload: Workload | None = None,
    properties: bool = False,
    locks: bool = False,
    on_look: OnLook | None = None,
) -> Measurement:
    """Run a scenario until its throughput is known to the precision asked for, or a bound is met.

    Args:
        scenario: what runs on what; its ``until_ns`` and ``events_max`` are bounds.
        precision: how well, and what may be spent.
        policy: replaces the scenario's policy.
        workload: replaces the scenario's workload.
        properties: stop as a violation when an interleaving breaks a property.
        locks: tell in ``utilisation`` how long locks were held; it takes a tenth longer.
        on_look: called whenever the interval is looked at.

    Raises:
        UsageError: the scenario names something that does not exist.
        ActorCrash: an actor raised: an internal bug.
    """
    limits = Limits(
        _first(scenario.until_ns, precision.until_ns_max), _first(scenario.events_max, precision.events_max)
    )
    machine = Machine(scenario, limits=limits, policy=policy, workload=workload, properties=properties)
    try:
        sampler = Sampler(machine, locks=locks)
        for seen in _looks(sampler, precision, _least(machine, precision)):
            if on_look is not None:
                engine = machine.system.engine
                on_look(engine.now_ns, engine.events, seen.batches.interval.relative)
        return _measurement(machine, sampler, precision)
    finally:
        # After a crash or Ctrl-C, Python would complain of every thread that had not begun.
        machine.system.close()


def measure_all(
    scenarios: Sequence[Scenario],
    precision: Precision | Sequence[Precision],
    *,
    workers: int | None = None,
    on_done: OnMeasured | None = None,
    properties: bool = False,
    locks: bool = False,
) -> list[Measurement]:
    """Measure each scenario and return the measurements in the same order.

    Args:
        scenarios: what to measure; they start in this order, so the longest should come first.
        precision: of all, or one for each.
        workers: processes, by default (and at most) one a CPU; with one, the runs happen in this process.
        on_done: called in this process as each one ends.
        properties: stop as a violation when an interleaving breaks a property.
        locks: as of ``measure``.

    Raises:
        UsageError: a scenario names something that does not exist; the other runs are abandoned.
        ActorCrash: an actor raised: an internal bug.
    """
    each = [precision] * len(scenarios) if isinstance(precision, Precision) else precision
    work = partial(measure, properties=properties, locks=locks)
    jobs = [partial(work, *job) for job in zip(scenarios, each, strict=True)]
    return do_all(jobs, workers=workers, preload=(__name__,), on_done=on_done)


def replicate(scenario: Scenario, n: int) -> list[Scenario]:
    """Return the scenario with ``n`` seeds, the first its own.

    Each stream of random numbers is made from seed and purpose by a cryptographic hash (kactors/engine/choices.py), so
    streams of different seeds are independent. Scenarios that differ in the policy alone get the same seeds: common
    random numbers, to be compared in pairs.
    """
    return [scenario.model_copy(update={"seed": scenario.seed + number}) for number in range(n)]


def _first(*bounds: int | None) -> int | None:
    return min((bound for bound in bounds if bound is not None), default=None)


@dataclass(frozen=True)
class _Least:
    """How far a run has to have come for its rate to be believed, however narrow the interval."""

    sampled_ns: int
    records: int

    def reached(self, sampler: Sampler) -> bool:
        return sampler.sampled_ns >= self.sampled_ns and sampler.records >= self.records


def _least(machine: Machine, precision: Precision) -> _Least:
    """Return the least that a rate takes.

    Where threads share CPUs, what one does with its time slice shapes what all do; a few slices are one sample of that.
    Where each thread has a CPU, nothing in the model is that slow.
    """
    system = machine.system
    slow_ns = TIME_SLICES_MIN * system.machine.slice_ns if system.workers > len(system.cpus) else 0
    rounds = ROUNDS_MIN * system.workload.round_records(system.machine)
    return _Least(max(slow_ns, precision.sampled_ns_min, SAMPLED_NS_MIN), max(rounds, RECORDS_MIN))


def _looks(sampler: Sampler, precision: Precision, least: _Least) -> Iterator[Look]:
    """Advance the run from look to look, until the interval is narrow enough or the run ends."""
    goal_ns: float = FIRST_LOOK_NS
    while sampler.advance(math.ceil(goal_ns)):
        seen = _look(sampler, precision, least)
        yield seen
        if seen.lacks(precision.relative) <= 1:
            return
        goal_ns = max(sampler.sampled_ns * seen.growth(precision.relative), least.sampled_ns)


def _look(sampler: Sampler, precision: Precision, least: _Least) -> Look:
    skip = None if precision.warm_up == "mser5" else -(-precision.warm_up // sampler.slice_ns)
    long, confidence = least.reached(sampler), precision.confidence
    return look(sampler.series(), confidence, skip=skip, batches=precision.batches, long=long)


def _measurement(machine: Machine, sampler: Sampler, precision: Precision) -> Measurement:
    series, sampled = sampler.series(), sampler.sampled()
    seen = _look(sampler, precision, _least(machine, precision))
    counters, unit = machine.counters, machine.system.workload.unit
    result = _reproducible(machine.end())
    ended = ENDED.get(result.stop.kind, f"the run stopped: {result.stop.kind}")
    rates = {name: _rate(counts[seen.skip :], sampled.slice_ns, precision) for name, counts in sampled.counts.items()}
    steady, met = series[seen.skip :], precision.relative is None or seen.lacks(precision.relative) <= 1
    interval, nothing = seen.batches.interval, no_interval(0.0, precision.confidence, 0)
    return Measurement(
        scenario=result.scenario,
        unit=unit,
        rate=rates.pop(RECORDS, nothing),
        faults_per_s=rates.get("faults", nothing),
        aborts_per_s=rates.pop(ABORTS, nothing),
        rates=rates,
        cpu_time=_shares(machine, sampled, seen.skip, precision),
        utilisation=_utilisation(machine, sampled, seen.skip, precision),
        set_up=counters.set_up,
        set_up_vmstat=counters.set_up_vmstat,
        started_ns=counters.started_ns,
        warm_up_ns=seen.skip * sampled.slice_ns,
        virtual_ns=result.virtual_ns,
        events=result.events,
        relative=precision.relative,
        met=met,
        why="" if met else f"{ended}; {seen.doubt}",
        autocorrelation=lag1(steady),
        batches=interval.n,
        batch_ns=seen.batches.size * sampled.slice_ns,
        needed_ns=_needed_ns(interval, len(steady) * sampled.slice_ns, precision.relative),
        series=Series(slice_ns=sampled.slice_ns, counts=tuple(int(count) for count in series)),
        result=result,
    )


def _reproducible(result: Result) -> Result:
    """Return the result with the scenario whose plain run is this very run."""
    match result.stop:
        case EventLimit(events=events):
            end = {"events_max": events}
        case TimeReached(at=at_ns):
            end = {"until_ns": at_ns}
        case _:
            return result
    return result.model_copy(update={"scenario": result.scenario.model_copy(update=end)})


def _rate(counts: np.ndarray, slice_ns: int, precision: Precision) -> Interval:
    """Return counts by slice as a rate per second."""
    if len(counts) >= BATCHES_MIN and not counts.any():
        return never(len(counts) * slice_ns / 1e9, precision.confidence, len(counts))
    return _mean(counts, slice_ns / 1e9, precision)


def _mean(samples: np.ndarray, unit: float, precision: Precision) -> Interval:
    return batch_means(samples, precision.confidence, batches=precision.batches).interval.scaled(1 / unit)


def _shares(machine: Machine, sampled: Sampled, skip: int, precision: Precision) -> dict[str, Interval]:
    """Return the share of the CPUs' time that went into each kind."""
    whole = float(len(machine.system.cpus) * sampled.times_slice_ns)
    first = -(-skip // SLICES_A_LOOK_AT_CPUS)
    return {kind: _mean(times[first:], whole, precision) for kind, times in sampled.times.items()}


def _utilisation(machine: Machine, sampled: Sampled, skip: int, precision: Precision) -> dict[str, Interval]:
    """Return the share of time in which each resource was taken; of the CPUs, in which they did not wait for others."""
    first, cpus = -(-skip // SLICES_A_LOOK_AT_CPUS), len(machine.system.cpus)
    busy = {
        name: _mean(series[first:], float(sampled.times_slice_ns), precision) for name, series in sampled.busy.items()
    }
    waiting = np.sum([sampled.times[kind] for kind in WAITING], axis=0)
    working = cpus * sampled.times_slice_ns - waiting
    return {**busy, "CPUs": _mean(working[first:], float(cpus * sampled.times_slice_ns), precision)}


def _needed_ns(interval: Interval, measured_ns: int, relative: float | None) -> int:
    if relative is None:
        return 0
    lacks = (interval.relative / relative) ** 2
    return round(measured_ns * lacks) if math.isfinite(lacks) else 0
