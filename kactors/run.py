"""The one function that runs: everything else (CLI, sweep, replay, search, tests) is a caller of it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Literal

import trio

from kactors.engine.choices import Choices, SeededChoices
from kactors.engine.engine import Limits
from kactors.engine.inline_runtime import run_inline
from kactors.engine.observer import Observer
from kactors.engine.trio_runtime import run_trio
from kactors.fault_policy import FaultPolicy
from kactors.kernel.accounting import Spent
from kactors.observers.counters import FaultCounters
from kactors.observers.properties import all_properties
from kactors.observers.transient import TransientObserver
from kactors.observers.waits import IpiWaitObserver, MmapSemObserver
from kactors.system import System, build
from kactors.workloads import Workload
from protocols.result import CpuTime, Memory, Result
from protocols.scenario import Scenario
from protocols.stop import AnyStop, TimeReached

Runtime = Literal["inline", "trio"]


class Machine:
    """One run in the making: the built system with the observers that tell its result.

    Args:
        scenario: what runs on what.
        choices: who decides what the model leaves open; by default streams of the scenario's seed.
        workload: replaces the scenario's workload.
        policy: replaces the scenario's policy.
        limits: replaces the scenario's limits.
        observers: more observers.
        properties: stop as a violation when an interleaving breaks a property (kactors.observers.properties).

    Attributes:
        counters, ipi, mmap_sem, transient: the observers whose sums the result holds.

    Raises:
        UsageError: the scenario names something that does not exist.
    """

    def __init__(
        self,
        scenario: Scenario,
        choices: Choices | None = None,
        *,
        workload: Workload | None = None,
        policy: FaultPolicy | None = None,
        limits: Limits | None = None,
        observers: Sequence[Observer] = (),
        properties: bool = True,
    ) -> None:
        self.scenario = scenario
        choices = choices if choices is not None else SeededChoices(scenario.seed)
        self.system: System = build(scenario, choices, limits=limits, workload=workload, policy=policy)
        bounds = scenario.bounds
        self.counters = FaultCounters()
        self.ipi = IpiWaitObserver(bounds.ipi_wait_max_ns)
        self.mmap_sem = MmapSemObserver()
        self.transient = TransientObserver(
            self.system.machine.page_shift, bounds.transient_pages_max, self.system.layout.process_of
        )
        for observer in (self.counters, self.ipi, self.mmap_sem, self.transient, *observers):
            self.system.engine.observe(observer)
        for observer in all_properties() if properties else ():
            self.system.engine.observe(observer)

    def run(self, runtime: Runtime = "inline") -> Result:
        """Run until it stops and return the result; not inside a Trio program (use ``run_async`` there).

        Raises:
            ActorCrash: an actor raised: an internal bug.
        """
        if runtime == "inline":
            run_inline(self.system.engine)
        else:
            trio.run(run_trio, self.system.engine)
        return self.result()

    def advance(self, until_ns: int) -> bool:
        """Let virtual time come to this instant, on the inline runtime; return whether the run can go on.

        Raises:
            ActorCrash: an actor raised: an internal bug.
        """
        engine = self.system.engine
        engine.horizon_ns = min(until_ns, engine.limit_ns)
        run_inline(engine)
        return engine.stop is None

    def end(self) -> Result:
        """Return the result of a run that was advanced, as if its time were up now; it cannot go on."""
        self.system.engine.halt(TimeReached(at=self.system.engine.now_ns))
        return self.result()

    async def run_async(self) -> Result:
        """Run on the Trio runtime, among the caller's own tasks; cancel to abandon.

        Raises:
            ActorCrash: an actor raised: an internal bug.
        """
        await run_trio(self.system.engine)
        return self.result()

    def result(self) -> Result:
        """Return what the observers have heard; once, after the run."""
        system, engine = self.system, self.system.engine
        system.finish()
        threads, cpus = system.workers, len(system.cpus)
        stop: AnyStop | None = engine.stop
        if stop is None:
            raise RuntimeError("the machine has not stopped: run it first")
        system.close()
        return Result(
            version=version("kactors"),
            scenario=self.scenario,
            policy=system.policy.name,
            workload=system.workload.name,
            machine=system.machine.name,
            cpus=cpus,
            threads=threads,
            stop=stop,
            virtual_ns=engine.now_ns,
            events=engine.events,
            fingerprint=engine.fingerprint(),
            throughput=self.counters.throughput(system.workload.unit, engine.now_ns),
            counters=self.counters.counters(),
            fault_paths=self.counters.paths(),
            ipi=self.ipi.summary(),
            mmap_sem=self.mmap_sem.summary(),
            transient=self.transient.summary(threads, cpus),
            cpu_time=_cpu_times(system),
            memory=Memory(
                total_pages=system.allocator.total_pages,
                free_pages=system.allocator.free_pages,
                watermarks_crossed=dict(sorted(self.counters.watermarks.items())),
                oom_kills=self.counters.oom_kills,
            ),
            vmstat=dict(sorted(self.counters.vmstat.items())),
            collapses=dict(sorted(self.counters.collapses.items())),
            notes=tuple(system.workload.notes()),
        )


def _cpu_times(system: System) -> tuple[CpuTime, ...]:
    return tuple(
        CpuTime(cpu=cpu.cpu_id, **{f"{kind.name.lower()}_ns": cpu.spent[kind] for kind in Spent}) for cpu in system.cpus
    )


def run(
    scenario: Scenario,
    choices: Choices | None = None,
    *,
    workload: Workload | None = None,
    policy: FaultPolicy | None = None,
    runtime: Runtime = "inline",
    observers: Sequence[Observer] = (),
    properties: bool = True,
) -> Result:
    """Run a scenario and return its result.

    Args:
        scenario: what runs on what.
        choices: who decides what the model leaves open; by default streams of the scenario's seed.
        workload: replaces the scenario's workload by a Python one (kactors.workloads.Program).
        policy: replaces the scenario's policy.
        runtime: "inline", or "trio"; both give the same trace.
        observers: more observers, to hear the run.
        properties: stop as a violation when an interleaving breaks a property.

    Raises:
        UsageError: the scenario names something that does not exist.
        ActorCrash: an actor raised: an internal bug.
    """
    machine = Machine(scenario, choices, workload=workload, policy=policy, observers=observers, properties=properties)
    return machine.run(runtime)
