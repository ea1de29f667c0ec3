"""What `kactors ask overallocation` prints: the answer in a few sentences, the figures, a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kactors.report.picture import picture
from kactors.report.search_report import page
from kactors.report.tables import table
from kactors.report.units import count, duration, size
from kactors.studies.overallocation import (
    AT_ONCE,
    CLASSIC,
    EBIZZY,
    SAME_ADDRESS,
    SLOW_CLEAR_NS,
    WAIT,
    CapCost,
    Overallocation,
    Peak,
    Pressure,
)
from kactors.studies.words import all_of, rate, sentences, share

QUESTION = " How many pages can concurrent faults allocate too many, and what would a bound cost?"
SLOW = duration(SLOW_CLEAR_NS)
PEAK_HEADING = (
    " Transient pages (allocated, not yet mapped) at most, two threads a CPU, no bound"
    f" (all at once: clearing takes {SLOW}):"
)
PEAK_HEADERS = (
    *("case", "page", "CPUs", "threads - 1", "CPUs - 1"),
    *("classic: address", "in all", "wasted", "spf-v9: address", "in all", "wasted", "most memory"),
)
COST_HEADERS = (
    "machine",
    "CPUs",
    "bound",
    "of",
    "wait: records/s",
    "cost",
    "peak",
    "classic: records/s",
    "cost",
    "peak",
)
PRESSURE_HEADERS = (
    *("memory", "policy", "bound", "peak", "below high", "low", "min"),
    *("reclaimed", "stalls", "OOM kills", "served"),
)


def overallocation_text(answer: Overallocation) -> str:
    """Return the whole answer."""
    return page(
        [
            [QUESTION],
            sentences(_answers(answer)),
            [PEAK_HEADING],
            table(PEAK_HEADERS, list(_peak_rows(answer.peaks)), indent=" "),
            [" One address with a bound on the speculations of an address (wait / classic):"],
            _capped_table(answer.capped),
            [" ebizzy under spf-v9 with a bound; cost: part of the throughput without:"],
            table(COST_HEADERS, list(_cost_rows(answer.costs)), left=1, indent=" "),
            [f" One address, all at once (clearing takes {SLOW}), with little memory (a MiB of it page cache):"],
            table(PRESSURE_HEADERS, list(_pressure_rows(answer.pressure)), left=3, indent=" "),
            picture("pages at most in flight, spf-v9", _curves(answer.peaks), x="CPUs", log_y=True),
        ]
    )


# --- the answer ------------------------------------------------------------------------------------------------------


def _answers(answer: Overallocation) -> Iterator[str]:
    yield _one_address(answer.peaks)
    yield _worst(answer.peaks)
    yield _usual(answer.peaks)
    yield _bound(answer.capped)
    yield from _costs(answer.costs)
    yield _memory(answer.pressure)


def _one_address(peaks: Sequence[Peak]) -> str:
    parts = []
    for machine in dict.fromkeys(peak.machine for peak in peaks):
        rows = [peak for peak in peaks if (peak.case, peak.machine) == (SAME_ADDRESS, machine)]
        by_policy = [
            f"{_range([peak.peak_address for peak in rows if peak.policy == policy])} under {policy}"
            for policy in dict.fromkeys(peak.policy for peak in rows)
        ]
        parts.append(f"{' and '.join(by_policy)} with pages of {size(rows[0].page_bytes)}")
    cpus = _range([peak.cpus for peak in peaks])
    return (
        f"One address under all of {cpus} CPUs takes at most {'; '.join(parts)}: faults queue at the lines that each"
        " must write first, and a page is transient only while it is cleared and its PTE lock is taken."
    )


def _worst(peaks: Sequence[Peak]) -> str:
    """Say what the worst case is, that it is made, and what comes of it."""
    rows = [peak for peak in peaks if peak.case == AT_ONCE]
    usual = {peak.machine: peak.clear_ns for peak in peaks if peak.case == SAME_ADDRESS}
    told = all_of([f"{duration(clear_ns)} on {machine}" for machine, clear_ns in usual.items()])
    made = (
        f"The worst case is made on purpose: clearing a page takes {duration(rows[0].clear_ns)} ({told}), which"
        " outlasts that queue, as reclaim, preemption or a stolen vCPU may in the same place."
    )
    met = [peak for peak in rows if peak.peak_address == peak.cpus]
    if len(met) == len(rows):
        return (
            f"{made} Then they all meet: a page a CPU, all but one of them too many. CPUs - 1 is the bound then, under"
            " either policy (the classic path allocates before it takes the PTE lock as well); a thread that is not on"
            " a CPU holds no page here."
        )
    worst = max(rows, key=lambda peak: peak.peak_address / peak.cpus)
    return f"{made} Then {worst.peak_address} of {worst.cpus} CPUs hold a page at one moment."


def _usual(peaks: Sequence[Peak]) -> str:
    rows = [peak for peak in peaks if peak.case == EBIZZY]
    most = max(rows, key=lambda peak: peak.peak_mm)
    return (
        f"ebizzy, whose threads touch pages of their own, has at most {_times(max(p.peak_address for p in rows))} for"
        f" one address and {most.peak_mm} in all ({most.policy} on {most.cpus} CPUs of {most.machine}):"
        f" {size(most.peak_mm * most.page_bytes)}."
    )


def _bound(capped: Sequence[Peak]) -> str:
    waiting = [peak for peak in capped if peak.on_limit == WAIT]
    kept = all(peak.cap is not None and peak.peak_address <= peak.cap for peak in waiting)
    broken = [peak for peak in capped if peak.on_limit == CLASSIC and peak.cap and peak.peak_address > peak.cap]
    verb = "keeps" if kept else "does not keep"
    text = f"A bound {verb} the peak at the bound if those beyond it wait"
    if not broken:
        return f"{text}."
    most = max(broken, key=lambda peak: peak.peak_address)
    return (
        f"{text}. If they take the classic path it bounds nothing, for they allocate there: {most.peak_address} pages"
        f" with a bound of {most.cap} on {most.cpus} CPUs."
    )


def _costs(costs: Sequence[CapCost]) -> Iterator[str]:
    for machine in dict.fromkeys(cost.machine for cost in costs):
        rows = [cost for cost in costs if cost.machine == machine and cost.cost is not None and cost.scope == "mm"]
        told = [f"{row.cap}: {share(row.cost)}" for row in rows if row.on_limit == WAIT and row.cost is not None]
        where = f"{rows[0].cpus} CPUs of {machine}"
        yield f"What a bound of the mm that waits costs ebizzy on {where}, by bound: {', '.join(told)}."


def _memory(pressure: Sequence[Pressure]) -> str:
    killed = [row for row in pressure if row.oom_kills]
    if not killed:
        return "With little memory no run met the OOM killer."
    memory = max(row.memory_mib for row in killed)
    saved = [row for row in pressure if row.memory_mib == memory and not row.oom_kills]
    who = all_of([_who(row) for row in killed if row.memory_mib == memory])
    text = f"With {memory} MiB, which a page for each CPU does not fit in, the OOM killer comes under {who}"
    return f"{text}, and not with {all_of([_who(row) for row in saved])}." if saved else f"{text}."


def _who(row: Pressure) -> str:
    return row.policy if row.cap is None else f"a bound of {row.cap}"


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {count(high)}"


def _times(pages: int) -> str:
    return f"{pages} page{'' if pages == 1 else 's'}"


# --- the figures -----------------------------------------------------------------------------------------------------


def _peak_rows(peaks: Sequence[Peak]) -> Iterator[list[str]]:
    found = {(peak.case, peak.machine, peak.cpus, peak.policy): peak for peak in peaks}
    cases = dict.fromkeys((peak.case, peak.machine) for peak in sorted(peaks, key=lambda peak: peak.case))
    for case, machine in cases:
        for cpus in sorted({peak.cpus for peak in peaks}):
            pair = [found[case, machine, cpus, policy] for policy in ("classic", "spf-v9")]
            most = max(pair, key=lambda peak: peak.peak_mm)
            cells = [count(number) for peak in pair for number in (peak.peak_address, peak.peak_mm, peak.wasted)]
            limits = [count(most.threads - 1), count(cpus - 1)]
            yield [case, size(most.page_bytes), count(cpus), *limits, *cells, size(most.peak_mm * most.page_bytes)]


def _capped_table(capped: Sequence[Peak]) -> list[str]:
    sizes = sorted({peak.cpus for peak in capped})
    found = {(peak.cap, peak.cpus, peak.on_limit): peak.peak_address for peak in capped}
    rows = [
        [
            _cap_name(cap),
            *(
                f"{found[cap, cpus, WAIT]} / {found[cap, cpus, CLASSIC]}" if (cap, cpus, WAIT) in found else ""
                for cpus in sizes
            ),
        ]
        for cap in sorted({peak.cap for peak in capped if peak.cap is not None})
    ]
    return table(("bound", *(f"{cpus} CPUs" for cpus in sizes)), rows, left=0, indent=" ")


def _cap_name(cap: int | None) -> str:
    return "none" if cap is None else str(cap)


def _cost_rows(costs: Sequence[CapCost]) -> Iterator[list[str]]:
    found = {(cost.machine, cost.cap, cost.scope, cost.on_limit): cost for cost in costs}
    for machine, cap, scope in dict.fromkeys((cost.machine, cost.cap, cost.scope) for cost in costs):
        waits, falls = (found.get((machine, cap, scope, action)) for action in (WAIT, CLASSIC))
        first = waits or falls
        if first is not None:
            of = "" if cap is None else scope
            yield [machine, str(first.cpus), _cap_name(cap), of, *_cost_cells(waits), *_cost_cells(falls)]


def _cost_cells(cost: CapCost | None) -> list[str]:
    if cost is None:
        return ["", "", ""]
    return [rate(cost.per_s), "" if cost.cost is None else share(cost.cost), count(cost.peak_mm)]


def _pressure_rows(pressure: Sequence[Pressure]) -> Iterator[list[str]]:
    for row in pressure:
        crossed = [count(row.crossed.get(name, 0)) for name in ("high", "low", "min")]
        after = [count(number) for number in (row.reclaimed, row.stalls, row.oom_kills, row.served)]
        memory = f"{row.memory_mib} MiB, {row.pages} pages"
        yield [memory, row.policy, _cap_name(row.cap), count(row.peak_mm), *crossed, *after]


def _curves(peaks: Sequence[Peak]) -> dict[str, list[tuple[float, float]]]:
    """One address for each size of page, the worst case, which is the same for both, and ebizzy's in all."""
    curves: dict[str, list[tuple[float, float]]] = {}
    largest = max(peak.page_bytes for peak in peaks)
    for peak in sorted(peaks, key=lambda peak: (peak.case != AT_ONCE, -peak.page_bytes, peak.cpus)):
        if peak.policy == "spf-v9" and (peak.page_bytes == largest or peak.case == SAME_ADDRESS):
            pages = peak.peak_mm if peak.case == EBIZZY else peak.peak_address
            curves.setdefault(f"{peak.case}, pages of {size(peak.page_bytes)}", []).append((peak.cpus, pages))
    return curves
