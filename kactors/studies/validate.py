"""Recorded against simulated: a recording is replayed, and both are measured between the same tracepoints.

The replay runs on the recorded machine's profile under the recorded kernel's policy, and is traced as the recorded run
was. A difference is no finding: it tells how far the model is to be trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kactors.engine.engine import Engine, Limits
from kactors.recordings import Distribution, Measured, Recording, Tally, Timing
from kactors.run import Machine
from kactors.studies.simulated import SimulatedTimes
from kactors.workloads.recording import Replay
from protocols.result import Result
from protocols.scenario import Khugepaged, Scenario

MACHINE = "zen4-vm-2"
POLICY = "per-vma-6.15"
"""Where the recordings come from: Linux 6.18 on a VM with two CPUs."""

PMD_PAGES = 512
"""Pages of a PMD range on x86, where recordings come from."""

ENOUGH_SHARE = 0.95
"""Fewer samples than this share of the recorded ones are worth a word."""
JUDGED_FROM = 51
"""Recorded samples from which on a distribution is judged."""
P50_FACTOR_MAX = 1.5
P99_FACTOR_MAX = 3.0


@dataclass(frozen=True)
class TimeRow:
    """One duration on both sides; ratios are simulated / recorded, None where either has no sample or is 0."""

    name: str
    recorded: Distribution
    simulated: Distribution

    @property
    def ratio_p50(self) -> float | None:
        """Of the medians."""
        return _ratio(self.simulated.p50_ns, self.recorded.p50_ns)

    @property
    def ratio_p99(self) -> float | None:
        """Of the 99th percentiles."""
        return _ratio(self.simulated.p99_ns, self.recorded.p99_ns)

    @property
    def within(self) -> bool | None:
        """Whether both ratios are within their factors; None: too few were recorded to judge."""
        if self.recorded.count < JUDGED_FROM:
            return None
        return _is_within(self.ratio_p50, P50_FACTOR_MAX) and _is_within(self.ratio_p99, P99_FACTOR_MAX)


@dataclass(frozen=True)
class CountRow:
    """One count on both sides, or the span in ns; the ratio is simulated / recorded."""

    name: str
    recorded: int
    simulated: int

    @property
    def ratio(self) -> float | None:
        """None where nothing was recorded."""
        return _ratio(self.simulated, self.recorded)


@dataclass(frozen=True)
class Validation:
    """A recording and its simulation side by side.

    Attributes:
        times: the durations that either side has.
        counts: what was counted.
        span: of the recording, and from the start of the replay's threads to their last tracepoint.
        result: of the simulation.
        tracing_ns: the machine's.
    """

    recording: Recording
    result: Result
    times: tuple[TimeRow, ...]
    counts: tuple[CountRow, ...]
    span: CountRow
    tracing_ns: int

    @property
    def judged(self) -> Sequence[TimeRow]:
        """The rows that have a verdict."""
        return [row for row in self.times if row.within is not None]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know: the run's own notes, and what it was given of what it is compared with."""
        given = []
        if any(row.simulated.count < ENOUGH_SHARE * row.recorded.count for row in self.judged):
            given.append("durations are counted until a thread that was recorded to the end has run out of steps")
        given += ["whether new areas join old ones is the recording's: how many faults take mmap_lock is not predicted"]
        if self.result.scenario.khugepaged.scan_sleep_millisecs:
            given.append("khugepaged's pace is given: the number of collapses is not predicted")
        return (*self.result.notes, *given)

    @property
    def within(self) -> bool:
        """Whether all of those are within their targets."""
        return all(row.within for row in self.judged)

    def to_json(self) -> dict[str, Any]:
        """Return plain data, times in ns; the keys are in docs/json.md."""
        return {
            "recording": self.recording.source,
            "process": self.recording.pid,
            "comm": self.recording.comm,
            "machine": self.result.machine,
            "policy": self.result.policy,
            "seed": self.result.scenario.seed,
            "tracing_ns": self.tracing_ns,
            "targets": {"p50": P50_FACTOR_MAX, "p99": P99_FACTOR_MAX, "samples": JUDGED_FROM},
            "times": [_time_json(row) for row in self.times],
            "counts": [asdict(row) | {"ratio": row.ratio} for row in self.counts],
            "span_ns": asdict(self.span) | {"ratio": self.span.ratio},
            "within": self.within,
            "notes": list(self.notes),
        }


def validate(
    scenario: Scenario,
    *,
    properties: bool = False,
    limits: Limits | None = None,
    on_ready: Callable[[Engine], None] | None = None,
) -> Validation:
    """Replay the recording that the scenario names, traced, and compare.

    Args:
        scenario: of the workload "recording".
        properties: watch for violations as well.
        limits: replace the scenario's own.
        on_ready: given the engine before it runs.

    Raises:
        UsageError: the recording cannot be read, or the scenario names something that does not exist.
    """
    recording, machine, observer = _traced(scenario, properties=properties, limits=limits)
    if on_ready is not None:
        on_ready(machine.system.engine)
    result = machine.run()
    return _compared(recording, result, observer.measured(), machine.system.machine.tracing_ns)


def replayed_times(scenario: Scenario) -> Mapping[Timing, Sequence[int]]:
    """Replay the recording that the scenario names, traced, and return each time that was taken, in ns.

    Raises:
        UsageError: as of ``validate``.
    """
    _, machine, observer = _traced(scenario, properties=False)
    machine.run()
    return observer.taken_ns


def _traced(
    scenario: Scenario, *, properties: bool, limits: Limits | None = None
) -> tuple[Recording, Machine, SimulatedTimes]:
    workload = Replay.from_options(scenario.options)
    traced = scenario.model_copy(update={"traced": True, "khugepaged": _khugepaged(scenario, workload.recording)})
    machine = Machine(traced, workload=workload, limits=limits, properties=properties)
    observer = SimulatedTimes(machine.system.machine, lambda: workload.all_busy)
    machine.system.engine.observe(observer)
    return workload.recording, machine, observer


def _khugepaged(scenario: Scenario, recording: Recording) -> Khugepaged:
    """As it scanned while it was recorded, unless the scenario says when it shall."""
    sleep_ns, ranges = recording.measured.scan_sleep_ns, recording.measured.scans_per_pass
    if scenario.khugepaged.scan_sleep_millisecs or not sleep_ns:
        return scenario.khugepaged
    return scenario.khugepaged.model_copy(
        update={
            "scan_sleep_millisecs": round(sleep_ns / 1_000_000),
            "pages_to_scan": ranges * PMD_PAGES,
            "takes_cpu": True,
        }
    )


def _compared(recording: Recording, result: Result, simulated: Measured, tracing_ns: int) -> Validation:
    recorded = recording.measured
    times = (TimeRow(timing.value, recorded.times[timing], simulated.times[timing]) for timing in Timing)
    return Validation(
        recording=recording,
        result=result,
        times=tuple(row for row in times if row.recorded.count or row.simulated.count),
        counts=tuple(CountRow(tally.value, recorded.tallies[tally], simulated.tallies[tally]) for tally in Tally),
        span=CountRow("span", recorded.span_ns, simulated.span_ns),
        tracing_ns=tracing_ns,
    )


def _time_json(row: TimeRow) -> dict[str, Any]:
    return asdict(row) | {"ratio_p50": row.ratio_p50, "ratio_p99": row.ratio_p99, "within": row.within}


def _ratio(simulated: int, recorded: int) -> float | None:
    return simulated / recorded if recorded and simulated else None


def _is_within(ratio: float | None, factor: float) -> bool:
    return ratio is not None and 1 / factor <= ratio <= factor
