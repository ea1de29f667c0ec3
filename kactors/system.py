"""The composition root: the only file that names concrete actors, policies, workloads and machines together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from kactors.allocator import Allocator
from kactors.cpu import Cpu
from kactors.engine.choices import Choices
from kactors.engine.engine import Engine, Limits
from kactors.execution import Directory
from kactors.fault_policy import FaultPolicy
from kactors.host import Host
from kactors.kernel.cache_line import CacheLine
from kactors.kernel.layout import Layout
from kactors.kernel.pte import ZERO_PFN, pte_pfn
from kactors.khugepaged import Khugepaged
from kactors.machines import load_machine
from kactors.mm import Mm
from kactors.page_cache import PageCache
from kactors.policies import load_policy
from kactors.ptl import EntryLockedPtl, Ptl
from kactors.sched_domain import SchedDomain
from kactors.syscalls import UserThread
from kactors.thread import Program, Thread
from kactors.workloads import Workload, load_workload
from protocols.machine import Machine
from protocols.scenario import Scenario
from protocols.tracepoints import TransientStated, WorkersStarted

START_SPREAD_NS = 2_000
"""Workers leave the start barrier within this time: assumed."""


@dataclass(frozen=True)
class PageAccount:
    """Where the zone's pages are when nothing is under way.

    Attributes:
        free: in the buddy lists.
        page_cache: clean page cache that reclaim can free.
        file_pages: of files in the page cache.
        per_cpu: in the CPUs' lists.
        tables: holding page tables.
        mapped: reachable through a page table, and no file's.
        host: taken by the host.
        mapped_twice: frames that two entries map, and no file's.
        total: pages of the zone.
    """

    free: int
    page_cache: int
    file_pages: int
    per_cpu: int
    tables: int
    mapped: int
    mapped_twice: tuple[int, ...]
    host: int
    total: int

    @property
    def conserved(self) -> bool:
        """Every page is in exactly one place."""
        cached = self.page_cache + self.file_pages
        places = self.free + cached + self.per_cpu + self.tables + self.mapped + self.host
        return places == self.total and not self.mapped_twice


@dataclass
class System:
    """One machine with one process on it, or with several, ready to run.

    Attributes:
        engine: its virtual time.
        machine: its profile.
        policy: serves its faults.
        workload: what its threads do.
        workers: how many of them the main thread starts.
        mms: the processes' address spaces; ``mm`` is that of the first, to which the main thread belongs.
        layout: where in memory each of them lies.
        users: all user threads, by number: the main thread, the workers, and those added later.
        mm_users: threads of the first process that have been started; the others have one each.
        host: who speaks for the outside; None as long as nothing was asked of it.
    """

    engine: Engine
    machine: Machine
    policy: FaultPolicy
    workload: Workload
    workers: int
    mms: tuple[Mm, ...]
    layout: Layout
    allocator: Allocator
    page_cache: PageCache
    khugepaged: Khugepaged
    cpus: tuple[Cpu, ...]
    users: list[UserThread] = field(default_factory=list)
    mm_users: int = 1
    host: Host | None = None

    @property
    def threads_planned(self) -> int:
        """Workers, and the children that these start."""
        return self.workers + self.workload.children(self.workers)

    @property
    def mm(self) -> Mm:
        """The first process's address space."""
        return self.mms[0]

    def ptls(self) -> list[Ptl]:
        """Return every page table made so far, freed ones too."""
        return [actor for actor in self.engine.actors if isinstance(actor, Ptl)]

    def account_pages(self) -> PageAccount:
        """Count the pages; meaningful at quiescence."""
        tables = [ptl for ptl in self.ptls() if not ptl.freed]
        cached = self.page_cache.frames()
        entries = [pte_pfn(pte) for ptl in tables for pte in ptl.mapped().values()]
        frames = [pfn for pfn in entries if pfn < ZERO_PFN and pfn not in cached]
        for first in (first for mm in self.mms for first in mm.pmds.huge_pages()):
            frames.extend(range(first, first + self.machine.pmd_pages))
        twice = tuple(sorted(pfn for pfn, times in Counter(frames).items() if times > 1))
        return PageAccount(
            free=self.allocator.free_pages,
            page_cache=self.allocator.page_cache_pages,
            file_pages=len(cached),
            per_cpu=sum(len(cpu.pages) for cpu in self.cpus),
            tables=len(tables),
            mapped=len(frames),
            mapped_twice=twice,
            host=self.host.held_pages if self.host else 0,
            total=self.allocator.total_pages,
        )

    def outside(self) -> Host:
        """Return the host: made at the first call, so that a run without commands has none."""
        if self.host is None:
            self.host = Host(self.engine, self.allocator)
        return self.host

    def set_policy(self, policy: FaultPolicy) -> None:
        """Serve the faults, system calls and collapses that begin from now on by another policy."""
        self.policy = policy
        self.free_vmas_as_it_needs()
        self.khugepaged.writer = policy
        for user in self.users:
            user.policy = policy
        self.state_transient_bound()

    def free_vmas_as_it_needs(self) -> None:
        """Let VMAs be freed by callbacks where the policy's look-ups need that."""
        if self.policy.vma_readers is not None:
            for mm in self.mms:
                mm.vmas.limbo.defer_to(self.policy.vma_readers)

    def state_transient_bound(self) -> None:
        """Tell observers what the policy promises for the threads that there are."""
        if self.engine.listens(TransientStated):
            pages = self.policy.transient_pages_max(len(self.cpus), len(self.users))
            stated = TransientStated(policy=self.policy.name, pages=-1 if pages is None else pages)
            self.engine.emit(self.engine.now_ns, self.mm, stated)

    def run_thread(self, cpu: Cpu, program: Callable[[UserThread], Coroutine[Any, Any, None]]) -> None:
        """Add a thread to the process, on a CPU, that runs ``program`` once."""
        user = self.add_user(len(self.users), cpu, lambda user: partial(program, user))
        self.mm_users += 1
        self.state_transient_bound()
        self.outside().start_thread(cpu, user.number, self.mm_users, self.cpus[0])

    def add_user(self, number: int, cpu: Cpu, program: Callable[[UserThread], Program]) -> UserThread:
        """Make a user thread known to its CPU; it runs once StartThread names it."""
        moves = cpu.directory.sched_domain is not None
        here = cpu.seen_by_thread() if moves else cpu
        user = UserThread(number, here, self.policy, self._start)
        self.users.append(user)
        process = self.process_of(number)
        thread = Thread(number, program(user), self.mms[process], user.exit if process else None)
        if moves:
            thread.here = here
            cpu.directory.threads[thread.tag] = thread
        cpu.add_thread(thread)
        return user

    def process_of(self, number: int) -> int:
        """Return a thread's process: that of the main thread, unless the workload says otherwise of a worker."""
        return self.workload.process(number) if 0 < number <= self.threads_planned else 0

    def home(self, number: int) -> Cpu:
        """Return a thread's CPU: the main thread has CPU 0, the workers those that the workload says."""
        return self.cpus[self.workload.home(number, self.machine) if number else 0]

    def _start(self, parent: UserThread, number: int) -> None:
        if self.process_of(number):
            parent.cpu.fork(number, self.home(number))
            return
        self.mm_users = len(self.users) - len(self.mms) + 1
        parent.cpu.start_thread(number, self.home(number), self.mm_users)

    def close(self) -> None:
        """Abandon every thread in the middle of whatever it does."""
        for client in (*self.cpus, self.khugepaged):
            client.close()

    def finish(self) -> None:
        """Account for the time up to the end."""
        for cpu in self.cpus:
            cpu.finish(self.engine.now_ns)


def build(
    scenario: Scenario,
    choices: Choices,
    *,
    limits: Limits | None = None,
    workload: Workload | None = None,
    policy: FaultPolicy | None = None,
    engine: Engine | None = None,
) -> System:
    """Make the actors of a scenario and post their first events.

    Args:
        scenario: what to build.
        choices: who decides what the model leaves open.
        limits: when to stop; by default the scenario's.
        workload: replaces the scenario's workload.
        policy: replaces the scenario's policy.
        engine: replaces the engine that would be made of ``choices`` and ``limits``.

    Raises:
        UsageError: the scenario names something that does not exist.
    """
    workload = workload or load_workload(scenario.workload, scenario.options)
    machine = load_machine(scenario.machine, cpus=scenario.cpus, costs={**workload.costs, **scenario.costs})
    stay = workload.pinned or (engine is not None and engine.untimed)
    tracing_ns = machine.tracing_ns if scenario.traced else 0
    wake_placement = "home" if stay else machine.wake_placement
    machine = machine.model_copy(update={"tracing_ns": tracing_ns, "wake_placement": wake_placement})
    policy = policy or load_policy(scenario.policy, scenario.policy_options)
    engine = engine or Engine(choices, limits or Limits(scenario.until_ns, scenario.events_max))
    workers = scenario.threads or workload.workers(machine.cpus)
    threads = workers + workload.children(workers)
    processes = {workload.process(number) for number in range(1, threads + 1)}
    layout = Layout(1 + max(processes, default=0))
    directory = Directory(machine)
    cpus = tuple(Cpu(engine, number, directory) for number in range(machine.cpus))
    directory.cpus = cpus
    allocator = Allocator(engine, machine, lambda: list(cpus), lambda tag: system.process_of(tag - 1))
    new_table = partial(Ptl if machine.pte_lock_scope == "table" else EntryLockedPtl, engine, machine)
    new_mm = partial(Mm, engine, machine, scenario.bounds, new_table, allocator)
    tlbie_line = CacheLine(machine)
    if machine.wake_placement == "idle":
        directory.sched_domain = SchedDomain(engine, machine, cpus)
    spaces = map(layout.space, range(layout.processes))
    mms = tuple(new_mm(space=space, tlbie_line=tlbie_line) for space in spaces)
    directory.mm = directory.admission = mms[0]
    directory.allocator = allocator
    directory.khugepaged_wakes_ns = scenario.khugepaged.scan_sleep_millisecs * 1_000_000
    khugepaged = Khugepaged(engine, directory, scenario.khugepaged, policy)
    page_cache = directory.page_cache = PageCache(engine, machine)
    system = System(engine, machine, policy, workload, workers, mms, layout, allocator, page_cache, khugepaged, cpus)
    system.free_vmas_as_it_needs()
    for cpu in cpus:
        cpu.bounded = scenario.bounds.spf_inflight_scope if scenario.bounds.spf_inflight_max is not None else None
        cpu.huge_faults = scenario.khugepaged.fault_huge
    if layout.processes > 1:
        for context in (*cpus, khugepaged):
            context.directory = replace(directory)
        khugepaged.scan(mms)
    _populate(system)
    if scenario.khugepaged.scan_sleep_millisecs:
        khugepaged.start()
    return system


def _populate(system: System) -> None:
    """Give every thread its CPU; start the main thread."""
    for number in range(system.threads_planned + 1):
        system.add_user(number, system.home(number), partial(_program, system))
    system.cpus[0].start_thread(0, system.cpus[0], 1)


def _program(system: System, thread: UserThread) -> Program:
    if thread.number:
        return partial(_work, system, thread)
    return partial(_main, system, thread)


async def _main(system: System, thread: UserThread) -> None:
    """The main thread: set up alone (no speculation, mm_users is 1), then start the workers and wait for them."""
    system.state_transient_bound()
    await system.workload.set_up(thread, system.workers)
    await thread.cpu.sync()
    thread.cpu.note(WorkersStarted(workers=system.workers))
    for number in range(1, system.workers + 1):
        thread.start(number)
    for address in system.workload.collapses():
        system.outside().collapse(system.khugepaged, address)


async def _work(system: System, thread: UserThread) -> None:
    """A worker. It leaves the start barrier a little after the others or before them, as threads do."""
    if not system.workload.at_once and thread.number <= system.workers:
        await thread.compute(thread.pick("start", START_SPREAD_NS))
    await system.workload.work(thread)
