"""The parts of a run's report, each a list of lines."""

from __future__ import annotations

from statistics import mean

from kactors.report.tables import table
from kactors.report.units import count, duration, moment, percent, size
from protocols.result import CpuTime, Distribution, IpiWaits, MmapSemWaits, Result, TransientPages, WorstIpi

ROWS_PER_CPU_MAX = 8
"""On a bigger machine the CPUs' times are summed up as mean, least and most."""

WAIT_HEADERS = ("count", "p50", "p90", "p99", "max", "total")


def throughput(result: Result) -> list[str]:
    """Return the workload's own result and how its faults were served."""
    rate, served = result.throughput, sum(result.fault_paths.values())
    paths = [f"{path} {count(faults)} ({percent(faults, served)})" for path, faults in result.fault_paths.items()]
    done = f"{count(rate.records)} in {duration(rate.measured_ns)}; {count(rate.faults_per_s)} faults/s"
    return [
        f" throughput     {count(rate.per_s)} {rate.unit}/s: {done} (one run, no interval)",
        f" faults served  {', '.join(paths) or 'none'}",
    ]


def ipi_waits(waits: IpiWaits) -> list[str]:
    """Return how long senders of IPIs waited, and the worst wait with its story."""
    rows = [[name, *_cells(part)] for name, part in (("flush", waits.flush), ("sync", waits.sync), ("all", waits.all))]
    lines = table(("IPI waits", *WAIT_HEADERS), rows, indent=" ")
    if waits.worst is not None:
        lines.append(f"   worst: {worst_ipi(waits.worst)}")
    return lines


def worst_ipi(worst: WorstIpi) -> str:
    """Return the story of the longest wait in one sentence."""
    targets = f"{worst.targets} CPU{'' if worst.targets == 1 else 's'}"
    request = f"{worst.kind} to {targets}, sent at {moment(worst.sent_at_ns)}"
    return f"{worst.sender} waited {duration(worst.wait_ns)} ({request}); {worst.last_acker} was last: {worst.why}"


def mmap_sem_waits(waits: MmapSemWaits) -> list[str]:
    """Return the waits for mmap_sem by readers and writers, and how long writers held it."""
    rows = [
        ["read", *_cells(waits.read), count(waits.read_slept)],
        ["write", *_cells(waits.write), count(waits.write_slept)],
        ["write hold", *_cells(waits.write_hold), ""],
    ]
    return table(("mmap_sem waits", *WAIT_HEADERS, "slept"), rows, indent=" ")


def transient_pages(pages: TransientPages) -> list[str]:
    """Return the peaks of pages allocated and not yet mapped, beside the bounds that the review mail thinks of."""
    bounds = [count(pages.threads_minus_1), count(pages.cpus_minus_1)]
    peaks = (("one address", pages.peak_address), ("one mm", pages.peak_mm), ("machine", pages.peak_machine))
    lines = table(
        ("transient pages", "peak", "threads - 1", "CPUs - 1"),
        [[name, count(peak), *bounds] for name, peak in peaks],
        indent=" ",
    )
    wasted = f"{count(pages.wasted)} wasted ({percent(pages.wasted, pages.allocated)})"
    lines.append(
        f"   {count(pages.allocated)} allocated, {wasted}: {duration(pages.wasted_zeroing_ns)} of zeroing,"
        f" {size(pages.wasted_bytes)}; highest at {moment(pages.peak_at_ns)}; {count(pages.now)} now"
    )
    return lines


def cpu_times(times: tuple[CpuTime, ...]) -> list[str]:
    """Return where the CPUs' time went, in percent: a row a CPU, or the spread over many CPUs."""
    stolen = any(time.stolen_ns for time in times)
    kinds = [name for name in CpuTime.model_fields if name != "cpu" and (stolen or name != "stolen_ns")]
    shares = [_shares(time, kinds) for time in times]
    if len(times) <= ROWS_PER_CPU_MAX:
        rows = [[f"cpu{time.cpu}", *(f"{share:.1f}" for share in row)] for time, row in zip(times, shares, strict=True)]
    else:
        columns = list(zip(*shares, strict=True))
        spread = (("mean", mean), ("least", min), ("most", max))
        rows = [[name, *(f"{of(column):.1f}" for column in columns)] for name, of in spread]
    headers = [name.removesuffix("_ns").replace("_", " ").replace("ipi", "IPI") for name in kinds]
    return table(("CPU time, %", *headers), rows, indent=" ")


def memory(result: Result) -> list[str]:
    """Return the state of the zone, khugepaged's work and /proc/vmstat's names."""
    zone = result.memory
    crossed = ", ".join(f"{name} {count(times)}" for name, times in zone.watermarks_crossed.items()) or "none"
    free = f"{count(zone.free_pages)} of {count(zone.total_pages)} pages free at the end"
    lines = [f" memory         {free}; watermarks crossed: {crossed}; OOM kills: {zone.oom_kills}"]
    for name, counts in (("collapses", result.collapses), ("vmstat", result.vmstat)):
        if counts:
            lines.append(f" {name:<14} " + ", ".join(f"{key} {count(number)}" for key, number in counts.items()))
    return lines


def _cells(part: Distribution) -> list[str]:
    if not part.count:
        return ["0", *("-" for _ in WAIT_HEADERS[1:])]
    times = (part.p50_ns, part.p90_ns, part.p99_ns, part.max_ns, part.total_ns)
    return [count(part.count), *map(duration, times)]


def _shares(time: CpuTime, kinds: list[str]) -> list[float]:
    parts = [getattr(time, kind) for kind in kinds]
    return [100 * part / (sum(parts) or 1) for part in parts]
