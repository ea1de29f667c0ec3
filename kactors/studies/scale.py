"""How a workload scales: its rate at each number of CPUs, a law fitted to it, and what saturates where."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from kactors.statistics import Interval
from kactors.statistics.scalability import Usl, fit_usl
from kactors.sweep.precision import Precision, measure_all
from protocols.measurement import Measurement
from protocols.scaling import Law, Scaling, Size
from protocols.scenario import Scenario

GENERIC = "generic"
"""The profile of any size: ``generic:N`` for N CPUs."""
SATURATED = 0.8
"""A queue whose server is busier than this is where the others wait."""
PAYS = math.log2(1.5)
"""Slope of rate over CPUs, both in logarithms: twice the CPUs bring at least half of another rate."""
HANDED = "mmap_sem"
WORD = {
    "mmap_sem (write)": "mmap_sem held for writing",
    "mmap_sem line": "mmap_sem's cache line",
    "mm_rb_lock (write)": "mm_rb_lock held for writing",
    "mm_rb_lock line": "mm_rb_lock's cache line",
    "mm_cpumask line": "mm_cpumask's cache line",
    "VMA line": "one VMA's cache line",
    "vm_lock line": "one VMA's lock",
    "pte_lock (write)": "one PTE lock",
    "pmd_lock (write)": "one pmd_lock",
    "memory channels": "memory bandwidth",
    "zone->lock": "zone->lock",
    "tlbie": "tlbie",
}
"""Resources that one CPU at a time can use, or one socket's CPUs, in the words of a report."""
HANDED_ON = "mmap_sem on its way between readers and writers"
CPUS, THEMSELVES = "CPUs", "the CPUs themselves"
RANGE = re.compile(r"([0-9]{1,5})(?:\.\.([0-9]{1,5}))?", re.ASCII)


def scenarios(scenario: Scenario, cpus: Sequence[int], policies: Sequence[str]) -> list[Scenario]:
    """Return what there is to measure: each policy at each size, with one seed for all.

    Args:
        scenario: the workload; of the machine ``generic`` each size has its own, another one is cut or repeated.
        cpus: the sizes.
        policies: by name.
    """
    found = []
    for policy in policies:
        for size in cpus:
            machine = {"machine": f"{GENERIC}:{size}"} if scenario.machine == GENERIC else {"cpus": size}
            found.append(scenario.model_copy(update={"policy": policy, **machine}))
    return found


def scale(
    todo: Sequence[Scenario],
    precision: Precision,
    *,
    workers: int | None = None,
    on_done: Callable[[int, Measurement], None] | None = None,
) -> list[Scaling]:
    """Measure scenarios and return how each policy scales, in the order of their first appearance.

    Args:
        todo: as ``scenarios`` returns them.
        precision: of each rate, and how many deliveries one may cost.
        workers: processes, by default one a CPU.
        on_done: called as each one ends.

    Raises:
        UsageError: a scenario names something that does not exist.
        ActorCrash: an actor raised: an internal bug.
    """
    # The largest take longest: begun last, they would leave the other processes idle.
    order = sorted(range(len(todo)), key=lambda place: -_cpus(todo[place]))
    done = measure_all([todo[place] for place in order], precision, workers=workers, on_done=on_done, locks=True)
    groups: dict[str, list[Measurement]] = {}
    for _, measured in sorted(zip(order, done, strict=True), key=lambda pair: pair[0]):
        groups.setdefault(measured.scenario.policy, []).append(measured)
    return [scaling(group) for group in groups.values()]


def scaling(measured: Sequence[Measurement]) -> Scaling:
    """Return how one policy scales, from its measurements at several sizes; at least one."""
    runs = sorted(measured, key=lambda run: run.result.cpus)
    cpus = [run.result.cpus for run in runs]
    law = fit_usl(cpus, [run.rate for run in runs], runs[0].rate.confidence)
    peak = max(runs, key=lambda run: run.rate.mean)
    return Scaling(
        scenario=runs[0].scenario,
        policy=runs[0].result.policy,
        unit=runs[0].unit,
        sizes=tuple(_size(run, law) for run in runs),
        law=None if law is None else _law(law),
        knee_cpus=knee(cpus, [run.rate for run in runs]),
        peak_cpus=peak.result.cpus,
        falls=peak is not runs[-1] and not peak.rate.overlaps(runs[-1].rate) and math.isfinite(peak.rate.high),
    )


def knee(cpus: Sequence[int], rates: Sequence[Interval]) -> int | None:
    """Return the largest size up to which more CPUs pay; None: they pay throughout.

    From one size to the next they pay if twice as many would bring at least one and a half times the rate. A step that
    might pay by the upper ends of the rates' intervals is given the benefit of the doubt.
    """
    for place in range(1, len(cpus)):
        before, after = rates[place - 1], rates[place]
        if min(before.mean, after.mean) <= 0:
            continue
        doubt = math.hypot(before.relative, after.relative)
        slope = (math.log(after.mean / before.mean) + doubt) / math.log(cpus[place] / cpus[place - 1])
        if slope < PAYS:
            return cpus[place - 1]
    return None


def saturated(utilisation: Mapping[str, Interval]) -> tuple[str, float]:
    """Return the resource that limits the rate, in words, and how busy it is.

    The busiest of those that one at a time can use, if it is busy enough. Else mmap_sem, if somebody always has it:
    then time goes into handing it on, to a sleeper who has to be woken first. Else the CPUs, whose time counts as used
    while they wait for a line. Else nothing is: everybody waits for wake-ups and acks; told is the busiest.
    """
    share = {name: use.mean for name, use in utilisation.items()}
    name = max((name for name in WORD if name in share), key=share.__getitem__, default=CPUS)
    if share.get(name, 0.0) >= SATURATED:
        return WORD[name], share[name]
    for other, words in ((HANDED, HANDED_ON), (CPUS, THEMSELVES)):
        if share.get(other, 0.0) >= SATURATED:
            return words, share[other]
    return f"nothing (busiest: {WORD.get(name, THEMSELVES)})", share.get(name, 0.0)


def parse_sizes(text: str) -> list[int]:
    """Return the sizes that a text like ``1..64`` (powers of two and the ends) or ``1,2,48..80`` names, sorted.

    Raises:
        ValueError: it names none.
    """
    found: set[int] = set()
    for part in text.split(","):
        named = RANGE.fullmatch(part.strip())
        first, last = (int(named[1]), int(named[2] or named[1])) if named is not None else (0, 0)
        if not 1 <= first <= last:
            raise ValueError(f"{part} is no range of CPUs")
        found.update(_powers(first, last))
    return sorted(found)


def _powers(first: int, last: int) -> Iterator[int]:
    yield from (first, last)
    size = 1
    while size < last:
        if size > first:
            yield size
        size *= 2


def _cpus(scenario: Scenario) -> int:
    return scenario.cpus or int(scenario.machine.partition(":")[2] or 0)


def _size(run: Measurement, law: Usl | None) -> Size:
    result, waits = run.result, run.result.ipi.all
    limit, use = saturated(run.utilisation)
    return Size(
        cpus=result.cpus,
        threads=result.threads,
        rate=run.rate,
        fitted=None if law is None else law.rate(result.cpus),
        aborts_per_s=run.aborts_per_s,
        ipi_wait=run.cpu_time["ipi_wait"],
        ipi_wait_p50_ns=waits.p50_ns if waits.count else None,
        utilisation=run.utilisation,
        saturated=limit,
        use=use,
        finding=result.stop.finding,
        met=run.met,
        why=run.why,
        events=run.events,
    )


def _law(law: Usl) -> Law:
    peak = law.peak_cpus
    return Law(
        lambda_per_s=law.lambda_,
        sigma=law.sigma,
        kappa=law.kappa,
        residual_max=max(map(abs, law.residuals)),
        fits=law.fits,
        peak_cpus=peak if math.isfinite(peak) else None,
    )
