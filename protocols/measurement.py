"""What a measurement tells: rates with intervals, from one run that went on until they were narrow enough."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer

from protocols.result import Counters, Record, Result
from protocols.scenario import Scenario


def _finite(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None


Low = Annotated[
    float,
    BeforeValidator(lambda value: -math.inf if value is None else value, json_schema_input_type=float | None),
    PlainSerializer(_finite, return_type=float | None, when_used="json"),
]
High = Annotated[
    float,
    BeforeValidator(lambda value: math.inf if value is None else value, json_schema_input_type=float | None),
    PlainSerializer(_finite, return_type=float | None, when_used="json"),
]


class Interval(Record):
    """An estimate and the confidence interval around it, which need not be symmetric.

    Attributes:
        mean: the estimate, in the unit of what was measured.
        low: the lower end; minus infinity (null in JSON) when there are too few samples for any.
        high: the upper end, likewise.
        confidence: how often such intervals hold the true value, 0.95 for 95 %.
        n: samples that it rests on (batches, replications, pairs).
    """

    mean: float
    low: Low
    high: High
    confidence: Annotated[float, Field(gt=0, lt=1)]
    n: Annotated[int, Field(ge=0)]

    @property
    def half_width(self) -> float:
        """Half of the interval's width; infinite when there is none."""
        return (self.high - self.low) / 2

    @property
    def relative(self) -> float:
        """The half-width as a share of the mean: 0.02 is 2 %; infinite for a mean of 0."""
        return self.half_width / abs(self.mean) if self.mean else math.inf

    def holds(self, value: float) -> bool:
        """Return whether the value lies within."""
        return self.low <= value <= self.high

    def overlaps(self, other: Interval) -> bool:
        """Return whether the two have a value in common."""
        return self.low <= other.high and other.low <= self.high

    def scaled(self, factor: float) -> Interval:
        """Return it in another unit."""
        low, high = sorted((self.low * factor, self.high * factor))
        return self.model_copy(update={"mean": self.mean * factor, "low": low, "high": high})


class Series(Record):
    """What the workload did in equal slices of virtual time, one after the other from the start of its workers.

    Attributes:
        slice_ns: length of a slice.
        counts: units of the workload's own count, one number a slice.
    """

    slice_ns: int
    counts: tuple[int, ...]


class Measurement(Record):
    """One run that was measured.

    Attributes:
        scenario: what ran; its ``until_ns`` (or ``events_max``) is where the measurement ended, so that a plain run of
            it is this very run.
        unit: what the workload counts.
        rate: units of the workload per second of virtual time, after the warm-up.
        faults_per_s: page faults, likewise.
        aborts_per_s: faults begun without mmap_sem and given up (speculations, attempts at per-VMA locks), likewise.
        rates: each perf counter and each vmstat name, likewise. ``residual`` is among them.
        cpu_time: share of the CPUs' time by kind (user, fault, lock_spin ...), 0 to 1, after the warm-up.
        utilisation: how busy each resource was, 0 to 1, after the warm-up.
        set_up: the counters of the single-threaded set-up, before the workers started.
        set_up_vmstat: its vmstat names.
        started_ns: when the workers started.
        warm_up_ns: how much after that was cut off as warm-up.
        virtual_ns, events: where the run ended.
        relative: the half-width that was asked for, as a share of the rate; null: none, it ran until its time was up.
        met: whether the rate's interval is that narrow.
        why: empty when met; else what ended the run before.
        autocorrelation: of the rate between slices that follow each other; -1 to 1.
        batches, batch_ns: what the rate's interval was computed from.
        needed_ns: time after the warm-up that an interval as narrow as asked for takes, estimated from this one: it
            grows with the rate's variance and with the time over which it is correlated. 0: unknown.
        series: the slices.
        result: all of the whole run, warm-up and set-up included.
    """

    scenario: Scenario
    unit: str
    rate: Interval
    faults_per_s: Interval
    aborts_per_s: Interval
    rates: dict[str, Interval]
    cpu_time: dict[str, Interval]
    utilisation: dict[str, Interval]
    set_up: Counters
    set_up_vmstat: dict[str, int]
    started_ns: int
    warm_up_ns: int
    virtual_ns: int
    events: int
    relative: float | None
    met: bool
    why: str
    autocorrelation: float
    batches: int
    batch_ns: int
    needed_ns: int
    series: Series
    result: Result

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return self.model_dump(mode="json")


class Estimate(Record):
    """What is known of one policy's rates: from one long run, or from several with a seed each.

    Attributes:
        policy: its name.
        unit: what the workload counts.
        rate, faults_per_s, aborts_per_s, rates, cpu_time, utilisation: as of a measurement. Of several runs, each is
            the mean over the runs.
        gain: rate by the rate of the first policy that was compared, 1.1 for +10 %. Of several runs its interval is
            that of the pairs' ratios (common random numbers), of one run each at least as wide as if they were
            independent; null: it is the first, or that did nothing.
        met: whether the rate's interval is as narrow as was asked for.
        runs: the measurements, a seed each.
    """

    policy: str
    unit: str
    rate: Interval
    faults_per_s: Interval
    aborts_per_s: Interval
    rates: dict[str, Interval]
    cpu_time: dict[str, Interval]
    utilisation: dict[str, Interval]
    gain: Interval | None
    met: bool
    runs: tuple[Measurement, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``--json`` prints."""
        return self.model_dump(mode="json")
