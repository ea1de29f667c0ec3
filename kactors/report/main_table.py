"""The main job's table, and what it says: every word of the conclusions is computed from the results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from kactors.report.comparison import fast_share, wait
from kactors.report.sections import worst_ipi
from kactors.report.tables import table
from kactors.report.units import count, duration, gain, percent, size
from protocols.result import Result

HEADERS = (
    "CPUs",
    "policy",
    "steps/s",
    "gain",
    "faults",
    "fast path",
    "peak addr/mm",
    "T-1/C-1",
    "wasted",
    "IPI waits",
    "p50",
    "p99",
    "max",
    "sem write p99",
    "longest IPI wait because",
)
LEGEND = (
    "gain: against the first policy of the size; fast path: faults served without mmap_sem; peak: pages allocated and",
    "not yet mapped, for one address and in the mm, beside threads - 1 and CPUs - 1; sem: mmap_sem, p99 of writers.",
)


def main_table(results: Sequence[Result]) -> list[str]:
    """Return the table: a row a run, grouped by the number of CPUs, whose first policy is the base."""
    rows = [_row(result, group[0]) for group in _sizes(results) for result in group]
    return [*table(HEADERS, rows, left=2, last_left=True), "", *LEGEND]


def conclusions(results: Sequence[Result]) -> list[str]:
    """Return three sentences: who wins at each size, what was over-allocated, how long IPI senders waited."""
    return [_winners(results), _over_allocation(results), _ipi_waits(results)]


def _sizes(results: Sequence[Result]) -> Iterator[list[Result]]:
    for _, group in groupby(results, key=lambda result: result.cpus):
        yield list(group)


def _row(result: Result, base: Result) -> list[str]:
    pages, ipi, write, worst = result.transient, result.ipi.all, result.mmap_sem.write, result.ipi.worst
    return [
        str(result.cpus) if result is base else "",
        result.policy,
        count(result.throughput.per_s),
        gain(result.throughput.per_s, base.throughput.per_s) if result is not base else "",
        count(result.counters.faults),
        fast_share(result),
        f"{pages.peak_address}/{pages.peak_mm}",
        f"{pages.threads_minus_1}/{pages.cpus_minus_1}",
        count(pages.wasted),
        count(ipi.count),
        wait(ipi, ipi.p50_ns),
        wait(ipi, ipi.p99_ns),
        wait(ipi, ipi.max_ns),
        wait(write, write.p99_ns),
        f"{worst.last_acker}: {worst.why}" if worst is not None else "-",
    ]


def _winners(results: Sequence[Result]) -> str:
    return f"Who wins: {'; '.join(_winner(group) for group in _sizes(results))}."


def _winner(group: Sequence[Result]) -> str:
    """The winner of one size with its margins: against the base, and to the next, which may be as good as equal."""
    base, ranking = group[0], sorted(group, key=lambda result: result.throughput.per_s, reverse=True)
    best = ranking[0].throughput
    if not best.records:
        return f"nobody on {base.cpus} CPUs (no {best.unit} in {duration(base.virtual_ns)})"
    margins = [f"{count(best.per_s)} {best.unit}/s"]
    if ranking[0] is not base:
        margins.append(f"{gain(best.per_s, base.throughput.per_s)} against {base.policy}")
    margins += [
        f"{other.policy} {percent(best.per_s - other.throughput.per_s, best.per_s)} behind" for other in ranking[1:2]
    ]
    return f"{ranking[0].policy} on {base.cpus} CPUs ({', '.join(margins)})"


def _over_allocation(results: Sequence[Result]) -> str:
    peak = max(results, key=lambda result: result.transient.peak_mm)
    address = max(results, key=lambda result: result.transient.peak_address)
    waste = [
        f"{result.policy} on {result.cpus} CPUs {count(result.transient.wasted)} of {count(result.transient.allocated)}"
        f" pages ({percent(result.transient.wasted, result.transient.allocated)},"
        f" {size(result.transient.wasted_bytes)}, {duration(result.transient.wasted_zeroing_ns)} of zeroing)"
        for result in results
        if result.transient.wasted
    ]
    return (
        f"Over-allocated: at most {address.transient.peak_address} for one address and {peak.transient.peak_mm} in the"
        f" mm at one moment ({peak.policy} on {peak.cpus} CPUs, where CPUs - 1 is {peak.transient.cpus_minus_1});"
        f" thrown away: {', '.join(waste) or 'nothing'}."
    )


def _ipi_waits(results: Sequence[Result]) -> str:
    waited = [result for result in results if result.ipi.all.count]
    if not waited:
        return "IPI senders: none waited."
    medians = sorted(result.ipi.all.p50_ns for result in waited)
    longest = max(waited, key=lambda result: result.ipi.all.max_ns)
    story = f" ({longest.policy} on {longest.cpus} CPUs): {worst_ipi(longest.ipi.worst)}" if longest.ipi.worst else ""
    between = f"{duration(medians[0])} to {duration(medians[-1])} at the median"
    return f"IPI senders waited {between}, at worst {duration(longest.ipi.all.max_ns)}{story}."
