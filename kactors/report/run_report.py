"""The report of one run."""

from __future__ import annotations

from kactors.report import sections
from kactors.report.command import again
from kactors.report.finding import finding, why_stopped
from kactors.report.perf_stat import perf_stat
from kactors.report.units import count, duration
from kactors.report.without_effect import without_effect
from protocols.result import Result


def report(result: Result) -> str:
    """Return what `kactors run` prints: plain text, lines without trailing blanks, the fingerprint and seed last."""
    notes = [*result.notes, *without_effect(result)]
    parts = [
        perf_stat(result),
        [*_what_ran(result), *sections.throughput(result)],
        sections.ipi_waits(result.ipi),
        sections.mmap_sem_waits(result.mmap_sem),
        sections.transient_pages(result.transient),
        sections.cpu_times(result.cpu_time),
        [*sections.memory(result), *(f" note           {note}" for note in notes)],
        finding(result.stop, result.virtual_ns),
        _identity(result),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _what_ran(result: Result) -> list[str]:
    ends = f"ended at {duration(result.virtual_ns)}: {why_stopped(result.stop)}"
    machine = f"{result.machine}, {count(result.cpus)} CPUs, {count(result.threads)} threads"
    return [f" scenario       {result.workload} under {result.policy} on {machine}; {ends}"]


def _identity(result: Result) -> list[str]:
    repeat = again(result) if result.stop.finding else ""
    return [
        *([f" again          {repeat}"] if repeat else []),
        f" fingerprint    {result.fingerprint}, {count(result.events)} deliveries, kactors {result.version}",
        f" seed           {result.scenario.seed}",
    ]
