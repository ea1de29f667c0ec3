"""The mail's first question: how many pages can concurrent faults allocate too many, and what would a bound cost?

One address under all CPUs is the worst that a program can do; ebizzy is what the mail ran. Both run at several sizes,
without a bound and with one, and with so little memory that the transient pages do not fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

from kactors.machines import load_machine
from kactors.statistics import rest_of
from kactors.studies.effort import Effort
from kactors.studies.published import P8, X86
from kactors.sweep.estimates import gain
from protocols.measurement import Interval, Measurement
from protocols.result import Record, Result
from protocols.scenario import Bounds, OnLimit, Scenario

MACHINES: Final = (X86, P8)
POLICIES: Final = ("classic", "spf-v9")
SAME_ADDRESS, EBIZZY = "same-address", "ebizzy"
AT_ONCE: Final = "same-address, all at once"
SLOW_CLEAR_NS: Final = 5_000_000
"""No machine's: slower than the queue of a thousand look-ups, so that all CPUs hold a page before the first one maps
its own. It stands for what may keep a fault between its allocation and its PTE lock: reclaim, preemption, a stolen
vCPU."""
EBIZZY_NS: Final = 5_000_000
"""ebizzy's peaks are those of so much virtual time."""
WAIT, CLASSIC = OnLimit.WAIT, OnLimit.CLASSIC
ACTIONS: Final = (WAIT, CLASSIC)
PRESSED_CPUS: Final = 80
"""A page each is 5 MiB there."""


class Peak(Record):
    """The most pages that were allocated and not yet mapped, in one run.

    Attributes:
        case: what ran.
        machine, page_bytes, cpus, threads, policy: on what, under what.
        clear_ns: what clearing a page takes.
        cap: speculations that may be in flight; None: any number.
        on_limit: what one does that is beyond it.
        scope: what the cap counts.
        peak_address, peak_mm: pages for one address, and in all.
        wasted: pages thrown away in the whole run.
    """

    case: str
    machine: str
    page_bytes: int
    cpus: int
    threads: int
    policy: str
    clear_ns: int
    cap: int | None
    on_limit: str
    scope: str
    peak_address: int
    peak_mm: int
    wasted: int


class CapCost(Record):
    """What a bound does to ebizzy.

    Attributes:
        machine, cpus: where.
        cap, on_limit, scope: the bound; a cap of None is none.
        per_s: records a second.
        cost: the part of the throughput without a bound that is lost, 0 to 1.
        peak_mm: transient pages at most.
    """

    machine: str
    cpus: int
    cap: int | None
    on_limit: str
    scope: str
    per_s: Interval
    cost: Interval | None
    peak_mm: int


class Pressure(Record):
    """What one address under all CPUs does to a small memory.

    Attributes:
        policy, cap: under what.
        memory_mib, pages: the zone.
        peak_mm: transient pages at most.
        crossed: how often free pages fell below each watermark.
        reclaimed, stalls: pages that reclaim freed; faults that had to reclaim themselves.
        oom_kills: by the OOM killer.
        served: threads that got their page.
    """

    policy: str
    cap: int | None
    memory_mib: int
    pages: int
    peak_mm: int
    crossed: dict[str, int]
    reclaimed: int
    stalls: int
    oom_kills: int
    served: int


class Overallocation(Record):
    """The answer.

    Attributes:
        seed: of every run.
        peaks: without a bound.
        capped: one address with a bound.
        costs: what a bound costs ebizzy.
        pressure: one address with little memory.
    """

    seed: int
    peaks: tuple[Peak, ...]
    capped: tuple[Peak, ...]
    costs: tuple[CapCost, ...]
    pressure: tuple[Pressure, ...]


@dataclass(frozen=True)
class Sizes:
    """How large the machines are.

    Attributes:
        cpus: on which peaks are looked for.
        costed: machines (name, CPUs) on which ebizzy is measured under each bound.
        memory_mib: the small memories.
    """

    cpus: tuple[int, ...] = (16, 80, 256, 1000)
    costed: tuple[tuple[str, int], ...] = ((P8, 80), (X86, 16))
    memory_mib: tuple[int, ...] = (8, 4, 2)

    def runs(self) -> int:
        """Return how many runs the answer takes."""
        costed = sum(len(cost_scenarios(1, *machine)) for machine in self.costed)
        return costed + sum(map(len, (peak_runs(1, self), capped_runs(1, self), pressure_runs(1, self))))


@dataclass(frozen=True)
class Run:
    """One run, and what it is a case of."""

    case: str
    scenario: Scenario


def ask(effort: Effort, sizes: Sizes | None = None) -> Overallocation:
    """Run all that, and return what it came to."""
    sizes, seed = sizes or Sizes(), effort.seed
    peaks, capped, pressure = peak_runs(seed, sizes), capped_runs(seed, sizes), pressure_runs(seed, sizes)
    scenarios = [cost_scenarios(seed, *machine) for machine in sizes.costed]
    results = iter(effort.run([run.scenario for run in (*peaks, *capped, *pressure)]))
    measured = iter(effort.measure([scenario for each in scenarios for scenario in each]))
    return Overallocation(
        seed=seed,
        peaks=tuple(tell_peak(run, next(results)) for run in peaks),
        capped=tuple(tell_peak(run, next(results)) for run in capped),
        pressure=tuple(tell_pressure(run, next(results)) for run in pressure),
        costs=tuple(cost for each in scenarios for cost in tell_costs(list(islice(measured, len(each))))),
    )


def caps(cpus: int) -> tuple[int, ...]:
    """Return the bounds that are tried: 1, 2, 4, a quarter of the CPUs."""
    return tuple(dict.fromkeys((1, 2, 4, max(cpus // 4, 1))))


def peak_runs(seed: int, sizes: Sizes) -> list[Run]:
    """Return the runs without a bound, the largest first, so that two processes end at about the same time."""
    slow = {"clear_page_ns": SLOW_CLEAR_NS}
    cases: tuple[tuple[str, str, dict[str, int]], ...] = (
        (SAME_ADDRESS, SAME_ADDRESS, {}),
        (AT_ONCE, SAME_ADDRESS, slow),
        (EBIZZY, EBIZZY, {}),
    )
    return [
        Run(case, _scenario(workload, machine, cpus, policy, seed, costs=costs))
        for cpus in sorted(sizes.cpus, reverse=True)
        for case, workload, costs in reversed(cases)
        for machine in MACHINES
        for policy in POLICIES
    ]


def capped_runs(seed: int, sizes: Sizes) -> list[Run]:
    """Return the runs of one address with a bound, on the machine with large pages."""
    return [
        Run(SAME_ADDRESS, _scenario(SAME_ADDRESS, P8, cpus, "spf-v9", seed, bounds=bounds))
        for cpus in sorted(sizes.cpus, reverse=True)
        for bounds in _bounds(caps(cpus), "address")
    ]


def pressure_runs(seed: int, sizes: Sizes) -> list[Run]:
    """Return the runs with little memory, a MiB of which is page cache that reclaim can free."""
    tries = [("classic", None), ("spf-v9", None), *(("spf-v9", cap) for cap in reversed(caps(PRESSED_CPUS)))]
    return [
        Run(
            AT_ONCE,
            _scenario(
                SAME_ADDRESS,
                P8,
                PRESSED_CPUS,
                policy,
                seed,
                costs={"clear_page_ns": SLOW_CLEAR_NS, "memory_mib": memory, "page_cache_mib": 1},
                bounds=Bounds(spf_inflight_max=cap),
            ),
        )
        for memory in sizes.memory_mib
        for policy, cap in tries
    ]


def cost_scenarios(seed: int, machine: str, cpus: int) -> list[Scenario]:
    """Return ebizzy without a bound, then under each: of the mm, and the tightest of an address."""
    every = (Bounds(), *_bounds(caps(cpus), "mm"), *_bounds((1,), "address"))
    free = _scenario(EBIZZY, machine, cpus, "spf-v9", seed).model_copy(update={"until_ns": None})
    return [free.model_copy(update={"bounds": bounds}) for bounds in every]


def tell_peak(run: Run, result: Result) -> Peak:
    """Return what a run came to."""
    pages, bounds = result.transient, run.scenario.bounds
    machine = load_machine(result.machine, costs=run.scenario.costs)
    return Peak(
        case=run.case,
        machine=result.machine,
        page_bytes=machine.page_size,
        cpus=result.cpus,
        threads=result.threads,
        policy=result.policy,
        clear_ns=machine.clear_page_ns,
        cap=bounds.spf_inflight_max,
        on_limit=bounds.on_limit,
        scope=bounds.spf_inflight_scope,
        peak_address=pages.peak_address,
        peak_mm=pages.peak_mm,
        wasted=pages.wasted,
    )


def tell_pressure(run: Run, result: Result) -> Pressure:
    """Return what a run with little memory came to."""
    memory, vmstat = result.memory, result.vmstat
    return Pressure(
        policy=result.policy,
        cap=run.scenario.bounds.spf_inflight_max,
        memory_mib=int(run.scenario.costs["memory_mib"]),
        pages=memory.total_pages,
        peak_mm=result.transient.peak_mm,
        crossed=memory.watermarks_crossed,
        reclaimed=vmstat.get("pgsteal_direct", 0) + vmstat.get("pgsteal_kswapd", 0),
        stalls=vmstat.get("allocstall_normal", 0),
        oom_kills=memory.oom_kills,
        served=result.throughput.records,
    )


def tell_costs(measured: Sequence[Measurement]) -> list[CapCost]:
    """Return what each bound costs; the first measurement is the one without."""
    free = measured[0]
    return [
        CapCost(
            machine=each.result.machine,
            cpus=each.result.cpus,
            cap=each.scenario.bounds.spf_inflight_max,
            on_limit=each.scenario.bounds.on_limit,
            scope=each.scenario.bounds.spf_inflight_scope,
            per_s=each.rate,
            cost=None if each is free else rest_of(gain([each], [free])),
            peak_mm=each.result.transient.peak_mm,
        )
        for each in measured
    ]


def _bounds(limits: Sequence[int], scope: Literal["mm", "address"]) -> Iterator[Bounds]:
    for limit in limits:
        for action in ACTIONS:
            yield Bounds(spf_inflight_max=limit, spf_inflight_scope=scope, on_limit=action)


def _scenario(
    workload: str,
    machine: str,
    cpus: int,
    policy: str,
    seed: int,
    *,
    costs: Mapping[str, int] | None = None,
    bounds: Bounds | None = None,
) -> Scenario:
    """Two threads a CPU, as the mail ran ebizzy: so the bounds by threads and by CPUs differ."""
    return Scenario(
        workload=workload,
        options={"t": 2 * cpus},
        machine=machine,
        cpus=cpus,
        policy=policy,
        seed=seed,
        costs=dict(costs or {}),
        bounds=bounds or Bounds(),
        until_ns=EBIZZY_NS if workload == EBIZZY else None,
    )
