"""A recording as a whole: read the file, choose a process, say what its threads did and what they need."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from os import PathLike, fspath

from kactors.recordings.areas import RecordedArea, areas_before
from kactors.recordings.errors import RecordingError, quoted
from kactors.recordings.facts import FactsGatherer, MeasuredFacts
from kactors.recordings.perf_script import LAYOUT, EventStream, PerfEvent, ReadReport
from kactors.recordings.processes import RecordedProcess, chosen, processes
from kactors.recordings.threads import ProcessHistory, RecordedThread
from kactors.recordings.times import Measured, measure
from kactors.recordings.user_time import tracing_cost_ns

EVENTS_MAX = 10_000_000
"""Events that one recording may have: they are all in memory, some 300 bytes each, while steps are made of them."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What one process did while it was recorded, and what the recording says of it.

    - `pid`, `comm`: the process; `candidates` are all that were to choose from, the one with most faults first.
    - `threads`: those that did something, by tid.
    - `areas`: what must be mapped before the first step; ascending, disjoint, page-aligned.
    - `span_ns`: from the first to the last event of the file; `cpus`: the CPUs that show an event, ascending.
    - `tracing_ns`: what was taken off each piece of user time, in ns.
    - `failed_calls`: calls that are no steps because they failed.
    - `facts` are measured on this process, `machine_facts` on all tasks of the file; `measured` is what a simulation
      can be compared with, of this process and khugepaged.
    - `report`: how much of the file was understood; `report.skipped` lines were not.
    """

    source: str
    pid: int
    comm: str
    threads: tuple[RecordedThread, ...]
    areas: tuple[RecordedArea, ...]
    span_ns: int
    cpus: tuple[int, ...]
    tracing_ns: int
    failed_calls: int
    facts: MeasuredFacts
    machine_facts: MeasuredFacts
    measured: Measured
    candidates: tuple[RecordedProcess, ...]
    report: ReadReport


def read_recording(path: str | PathLike[str], *, pid: int | None = None, tracing_ns: int | None = None) -> Recording:
    """Reads the text that `perf script` wrote, plain, .gz or .xz.

    Args:
        path: the file, in one of the layouts of `perf_script`.
        pid: the process; None takes the one with most page faults.
        tracing_ns: what tracing cost per event, in ns, 0 or more; None estimates it (`user_time.tracing_cost_ns`).

    Raises:
        RecordingError: the file cannot be read or is no recording, or has no such process.
        ValueError: `tracing_ns` is negative.
    """
    if tracing_ns is not None and tracing_ns < 0:
        raise ValueError(f"tracing_ns must be 0 or more, not {tracing_ns}")
    source = fspath(path)
    events, report = _all_events(EventStream(path))
    found = processes(events)
    process = chosen(found, pid, source)
    cost_ns = tracing_cost_ns(events) if tracing_ns is None else tracing_ns
    history = ProcessHistory(process.tids, cost_ns)
    gatherer = FactsGatherer()
    for event in events:
        history.hear(event)
        gatherer.hear(event)
    threads = history.threads(events[0].at_ns)
    report = _checked(report, history.bad_lines, events, source)
    span_ns = events[-1].at_ns - events[0].at_ns
    return Recording(
        source=source,
        pid=process.pid,
        comm=process.comm,
        threads=threads,
        areas=areas_before(history.changes),
        span_ns=span_ns,
        cpus=tuple(sorted({event.cpu for event in events})),
        tracing_ns=cost_ns,
        failed_calls=history.failed_calls,
        facts=gatherer.facts(span_ns, process),
        machine_facts=gatherer.facts(span_ns),
        measured=measure(events, process, span_ns),
        candidates=tuple(found),
        report=report,
    )


def _all_events(stream: EventStream) -> tuple[list[PerfEvent], ReadReport]:
    events: list[PerfEvent] = []
    for event in stream:
        if len(events) == EVENTS_MAX:
            right = "record a shorter time, or cut a window out of it"
            raise RecordingError.at(stream.source, f"more than {EVENTS_MAX} events", right, line=event.line)
        events.append(event)
    # Stable: perf merges the buffers of the CPUs, and now and then an older event comes after a newer one.
    events.sort(key=attrgetter("at_ns"))
    return events, stream.report


def _checked(report: ReadReport, bad_lines: list[int], events: list[PerfEvent], source: str) -> ReadReport:
    """The report with the events whose fields could not be read among the skipped lines."""
    full = report.with_skipped(bad_lines)
    if not full.is_usable:
        bad = next(event for event in events if event.line == min(bad_lines))
        text = quoted(f"{bad.event}: {bad.args}")
        wrong = f"{full.skipped} of {full.lines} lines are unreadable, the first event without its fields is {text}"
        raise RecordingError.at(source, wrong, LAYOUT, line=bad.line)
    return full
