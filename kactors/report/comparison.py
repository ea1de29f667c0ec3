"""Several policies on one scenario, in one table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from kactors.observers.counters import VMSTAT_ABORTS
from kactors.report.tables import table
from kactors.report.units import count, duration, gain, percent
from kactors.report.without_effect import without_effect
from protocols.result import Distribution, Result

HEADERS = (
    "policy",
    "throughput",
    "gain",
    "faults",
    "fast path",
    "aborts",
    "IPI wait p50",
    "IPI p99",
    "IPI max",
    "mmap_sem write p99",
    "transient peak",
    "wasted",
    "finding",
)
NO_INTERVALS = "one run each, no intervals: --precision 2% or --replications 5 give them"
LEGEND = (
    "fast path: faults served without mmap_sem (spf or vma_lock); aborts: such attempts that were given up;\n"
    "transient peak: pages allocated and not yet mapped, at most at one moment; wasted: never mapped."
)


def comparison(results: Sequence[Result]) -> str:
    """Return the table of `kactors compare`; gains are against the first result."""
    first = results[0]
    machine = f"{first.machine}, {count(first.cpus)} CPUs, {count(first.threads)} threads"
    rows = [_row(result, first) for result in results]
    heading = f"{first.workload} on {machine}, seed {first.scenario.seed} for all:"
    notes = [f"note: {note}" for note in dict.fromkeys(chain.from_iterable(map(without_effect, results)))]
    notes += [f"note: {line}" for line in map(idle, results) if line]
    return "\n".join([heading, "", *table(HEADERS, rows), "", LEGEND, NO_INTERVALS, *notes, ""])


def idle(result: Result) -> str:
    """Return what to say of a run that did nothing of what its workload counts; empty: it did something."""
    if result.throughput.records:
        return ""
    return (
        f"{result.policy} on {count(result.cpus)} CPUs did no {result.throughput.unit} in"
        f" {duration(result.virtual_ns)} of virtual time, set-up included: no rate, and no gain over it;"
        " give it more (--until)"
    )


def fast_faults(result: Result) -> int:
    """Return how many faults were served without mmap_sem."""
    return result.fault_paths.get("spf", 0) + result.fault_paths.get("vma_lock", 0)


def fast_share(result: Result) -> str:
    """Return the share of such faults; - for a policy that never tries."""
    fast = fast_faults(result)
    return percent(fast, sum(result.fault_paths.values())) if fast or aborts(result) else "-"


def aborts(result: Result) -> int:
    """Return how many speculations or per-VMA attempts were given up."""
    counters = result.counters
    speculations = counters.faults - counters.spf - counters.residual
    return speculations + sum(result.vmstat.get(name, 0) for name in VMSTAT_ABORTS)


def _row(result: Result, first: Result) -> list[str]:
    rate, ipi, write = result.throughput, result.ipi.all, result.mmap_sem.write
    return [
        result.policy,
        f"{count(rate.per_s)} {rate.unit}/s",
        gain(rate.per_s, first.throughput.per_s) if result is not first else "",
        count(result.counters.faults),
        fast_share(result),
        count(aborts(result)),
        wait(ipi, ipi.p50_ns),
        wait(ipi, ipi.p99_ns),
        wait(ipi, ipi.max_ns),
        wait(write, write.p99_ns),
        count(result.transient.peak_mm),
        count(result.transient.wasted),
        result.stop.kind.upper() if result.stop.finding else "none",
    ]


def wait(samples: Distribution, ns: int) -> str:
    """Return one figure of a distribution; - when nobody waited."""
    return duration(ns) if samples.count else "-"
