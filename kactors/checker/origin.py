"""Where every search of a scenario begins: the machine after its set-up, and the messages that set it going."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kactors.checker.bench import Bench
from kactors.engine.errors import UsageError
from kactors.engine.observer import Observer
from kactors.fault_policy import FaultPolicy
from kactors.system import System, build
from kactors.thread import IDLE
from kactors.workloads import Workload, load_workload
from protocols.allocation import DRAIN_PAGES
from protocols.base import Message
from protocols.host import CollapseRange
from protocols.machine import Machine
from protocols.scenario import Scenario
from protocols.scheduling import StartThread
from protocols.tlb import FlushIpi
from protocols.tracepoints import TlbFlush

CPUS_MAX = 16
SET_UP_DELIVERIES_MAX = 20_000
UNTIMED = {name: 0 for name in Machine.model_fields if name.endswith("_ns")} | {"slice_ns": 1_000, "jitter_percent": 0}
MEMORY_MIB = 8
LAST_VPN = 1 << 36


def untimed(scenario: Scenario, needed: Mapping[str, int]) -> Scenario:
    """Return the scenario on a machine in which nothing takes time; ``needed`` is what the workload asks of it."""
    costs = {"memory_mib": MEMORY_MIB, "page_cache_mib": 0} | dict(needed) | scenario.costs | UNTIMED
    khugepaged = scenario.khugepaged.model_copy(update={"scan_sleep_millisecs": 0})
    return scenario.model_copy(update={"costs": costs, "until_ns": None, "events_max": None, "khugepaged": khugepaged})


@dataclass(frozen=True)
class Origin:
    """A machine that has been set up, with what is under way to its actors.

    Attributes:
        system: the machine; its actors are templates, which ``copy_of`` copies.
        bench: their engine.
        pending: (receiver, sender, tag, message), in the order in which they were said.
        observers: what has watched the set-up.
    """

    system: System
    bench: Bench
    pending: tuple[tuple[Any, Any, int, Message], ...]
    observers: tuple[Observer, ...]

    def copy_of(self, actor: Any) -> Any:
        """Return a copy of one actor as it is now. It shares with the template what cannot change."""
        system = self.system
        shared = [self.bench, system, system.policy, system.workload, system.machine, system.cpus[0].directory, IDLE]
        shared += [other for other in self.bench.actors if other is not actor]
        return copy.deepcopy(actor, {id(thing): thing for thing in shared})


def set_up(
    scenario: Scenario,
    observers: tuple[Observer, ...],
    *,
    workload: Workload | None = None,
    policy: FaultPolicy | None = None,
    bench: Bench | None = None,
) -> Origin:
    """Build a machine and run its main thread alone, in the order in which things are said, until it has set up.

    Raises:
        UsageError: the scenario cannot be searched: it is wrong, has more threads than CPUs, or several processes.
    """
    bench = bench or Bench()
    bench.heard = frozenset(kind for observer in observers for kind in observer.tracepoints())
    workload = workload or load_workload(scenario.workload, scenario.options)
    system = build(untimed(scenario, workload.costs), bench.given, workload=workload, policy=policy, engine=bench)
    if len(system.cpus) > CPUS_MAX:
        raise UsageError(f"{len(system.cpus)} CPUs: a search is for a small machine, of at most {CPUS_MAX}")
    if len(system.mms) > 1:
        raise UsageError(f"{len(system.mms)} processes: a search is for threads of one process")
    if system.workers > len(system.cpus):
        raise UsageError(
            f"{system.workers} threads on {len(system.cpus)} CPUs: a search has no time slices; "
            "use at most a thread a CPU (threads, cpus)"
        )
    pending = _run_alone(bench)
    if scenario.khugepaged.scan_sleep_millisecs:
        pending += _one_scan(system, bench)
    if system.workload.interchangeable:
        _level(system, bench)
    hear_all(observers, bench.told)
    return Origin(system, bench, tuple(pending), observers)


def _run_alone(bench: Bench) -> list[tuple[Any, Any, int, Message]]:
    """Deliver first in, first out, except what sets the machine going after the set-up; return that."""
    held: list[tuple[Any, Any, int, Message]] = []
    under_way = deque(bench.posts)
    made = 0
    bench.posts = []
    while under_way:
        receiver, sender, tag, message = under_way.popleft()
        if isinstance(message, CollapseRange) or (isinstance(message, StartThread) and message.thread > 0):
            held.append((receiver, sender, tag, message))
            continue
        receiver.receive((0, receiver, sender, tag, message))
        under_way.extend(bench.posts)
        bench.posts = []
        made += 1
        if made > SET_UP_DELIVERIES_MAX:
            raise UsageError(
                f"the set-up takes more than {SET_UP_DELIVERIES_MAX} deliveries: a search needs a small scenario"
            )
    return held


def _one_scan(system: System, bench: Bench) -> list[tuple[Any, Any, int, Message]]:
    """Tell khugepaged of every range that a scan would find now. When its timers ring means nothing here."""
    bench.posts = []
    for found in system.mm.pmds.collapsible_ranges():
        system.outside().collapse(system.khugepaged, found.address)
    return bench.posts


def _level(system: System, bench: Bench) -> None:
    """Make all CPUs alike: the one that set up has left the mm, and its page list is empty as the others' are."""
    host = system.outside()
    for cpu in system.cpus:
        flush = FlushIpi(start=0, end=0, full=True, generation=cpu.tlb.generation + 1)
        for message, sender in ((flush, host), (DRAIN_PAGES, system.allocator)):
            bench.posts = []
            cpu.receive((0, cpu, sender, 0, message))
            for receiver, said_by, tag, answer in bench.posts:
                if receiver is not host:
                    receiver.receive((0, receiver, said_by, tag, answer))
    bench.posts = []
    # What the CPU that set up had in its TLB is gone, for the observers too.
    for done in (False, True):
        bench.emit(0, host, TlbFlush(first=0, last=LAST_VPN, done=done))


def hear_all(observers: tuple[Observer, ...], told: list[tuple[str, Any]]) -> Any:
    """Let observers hear what was told, in order; return the first finding."""
    first = None
    for name, tracepoint in told:
        for observer in observers:
            hear = observer.tracepoints().get(type(tracepoint))
            finding = hear(0, name, tracepoint) if hear is not None else None
            first = first or finding
    return first
