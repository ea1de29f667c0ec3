"""Small scenarios with much happening, commands for all of them, and ways to drive a machine."""

from itertools import cycle

from kactors import Scenario
from kactors.live import Pause
from protocols.scenario import Bounds, Khugepaged
from protocols.service.commands import (
    Inject,
    InjectCollapse,
    InjectFault,
    InjectMemoryPressure,
    InjectMunmap,
    InjectStarvedCpu,
    SetBound,
    SetPolicy,
)

US, MS = 1_000, 1_000_000
PAGE = 4096
PMD = 512 * PAGE
ALL = 10**9

EBIZZY = Scenario(machine="small", threads=5, options={"n": 2, "s": 8192}, until_ns=300 * US)
COLLAPSE_VS_FAULT = Scenario(
    workload="collapse-vs-fault",
    machine="small",
    policy="spf-v9",
    khugepaged=Khugepaged(scan_sleep_millisecs=1),
)
COLLAPSE = Scenario(workload="collapse", machine="small", cpus=4, options={"pmds": 1, "rounds": 2})
MUNMAP_VS_FAULT = Scenario(workload="munmap-vs-fault", machine="small", policy="per-vma", options={"tables": True})
SAME_ADDRESS = Scenario(workload="same-address", machine="small", cpus=4, seed=3)
DEADLOCK = Scenario(
    workload="munmap-vs-fault",
    machine="small",
    policy="broken-blocking-spin",
    costs={"mmu_gather_pages": 3},
    seed=4,
)
BOUND = SAME_ADDRESS.model_copy(
    update={"costs": {"clear_page_ns": 9_000}, "bounds": Bounds(transient_pages_max=2)},
)
COUNTED = EBIZZY.model_copy(update={"events_max": 777})
SCENARIOS = {
    "ebizzy": EBIZZY,
    "collapse": COLLAPSE,
    "collapse-vs-fault": COLLAPSE_VS_FAULT,
    "munmap-vs-fault": MUNMAP_VS_FAULT,
    "same-address": SAME_ADDRESS,
    "deadlock": DEADLOCK,
    "bound": BOUND,
    "counted": COUNTED,
}


def area(machine):
    """Return the lowest mapped address, or where the first area would be."""
    return next((vma.start for vma in machine._machine.system.mm.tree), 0x7EFF_FFC0_0000)


def inject(kind, **what):
    """Make the command that lets something happen."""
    kinds = {
        "fault": InjectFault,
        "munmap": InjectMunmap,
        "collapse": InjectCollapse,
        "memory_pressure": InjectMemoryPressure,
        "starved_cpu": InjectStarvedCpu,
    }
    return Inject(injection=kinds[kind](**what))


def every_command(address):
    """One of each kind, and more than one of those that meet themselves."""
    return [
        inject("fault", cpu=1, address=address + 3 * PAGE),
        inject("starved_cpu", cpu=0, duration_ns=30 * US),
        inject("memory_pressure", pages=3_000, duration_ns=40 * US),
        SetBound(spf_inflight_max=1),
        inject("collapse", address=address + 5),
        inject("starved_cpu", cpu=1, duration_ns=7 * US),
        inject("starved_cpu", cpu=1, duration_ns=7 * US),
        SetPolicy(policy="classic"),
        inject("fault", cpu=0, address=address, write=False),
        SetBound(spf_inflight_max=None),
        SetPolicy(policy="spf-v9"),
        inject("memory_pressure", pages=10**6, duration_ns=20 * US),
        inject("munmap", cpu=1, address=address, length=PAGE),
        SetBound(spf_inflight_max=2, spf_inflight_scope="address"),
    ]


def ran(machine):
    """Run to the end; return the result."""
    assert machine.advance(events_max=ALL) is Pause.ENDED
    return machine.result()


def in_slices(machine, sizes):
    """Advance to the end by sizes that repeat: (events, None) or (None, ns)."""
    for events, ns in cycle(sizes):
        goal_ns = None if ns is None else machine.stats().now_ns + ns
        if machine.advance(events_max=ALL if events is None else events, until_ns=goal_ns) is Pause.ENDED:
            return machine.result()
    return None
