"""Random programs on a few pages at the border of two PMD ranges, and the machines that run them."""

from dataclasses import dataclass

from hypothesis import strategies as st

from kactors import Machine, Scenario
from kactors.workloads import Program
from protocols.page_cache import Filesystem
from protocols.scenario import Bounds, Khugepaged
from protocols.vma import MappedFile
from tests.actors.scenes import LAZY_TLB

POLICIES = ("classic", "spf-v9", "per-vma")
OTHERS = {
    "spf-srcu": {"pte_lock": "trylock"},  # its own lock deadlocks now and then, as it should
    "spf-v11": {},
    "spf-rcu": {},
    "spf-2021": {"vma_atomics": 1},
    "per-vma-6.4": {},
}
"""Fault policies that are tried less often, with the options that they are tried with."""
BASE = 0x7E00_0000_0000
FILES = (0, 1)
"""One that is a hole, on tmpfs, and one on ext4 that was in memory before."""
PAUSES_NS = (0, 100, 1_000, 5_000, 30_000, 400_000)


@dataclass(frozen=True)
class Step:
    """One call on the pages first..last-1 (a touch: of the first one), and the user time after it."""

    call: str
    first: int
    last: int
    flag: bool
    pause_ns: int


def interesting_pages(per_pmd):
    """Both ends of two PMD ranges: areas, page tables and huge pages begin and end there."""
    return (0, 1, 2, per_pmd - 2, per_pmd - 1, per_pmd, per_pmd + 1, per_pmd + 2, 2 * per_pmd - 2, 2 * per_pmd - 1)


@st.composite
def ranges(draw, per_pmd):
    whole = st.sampled_from([(0, per_pmd), (per_pmd, 2 * per_pmd), (0, 2 * per_pmd)])
    pages = st.lists(st.sampled_from(interesting_pages(per_pmd)), min_size=2, max_size=2, unique=True)
    return draw(st.one_of(pages.map(sorted).map(tuple), pages.map(sorted).map(tuple), whole))


CALLS = (
    *["touch"] * 6,
    *[
        "munmap",
        "munmap",
        "mmap",
        "mmap_private",
        "mmap_shared",
        "mprotect",
        "mprotect",
        "dontneed",
        "dontneed",
        "hugepage",
        "compute",
        "compute",
    ],
)


@st.composite
def steps(draw, per_pmd):
    first, last = draw(ranges(per_pmd))
    pause_ns = draw(st.sampled_from(PAUSES_NS))
    return Step(draw(st.sampled_from(CALLS)), first, last, draw(st.booleans()), pause_ns)


def programs(per_pmd, threads):
    return st.lists(st.lists(steps(per_pmd), min_size=1, max_size=12), min_size=threads[0], max_size=threads[1])


@st.composite
def knobs(draw):
    """What decides how the threads meet: CPUs, idle ones, time slices, batches, lock rules, khugepaged, bounds."""
    costs = {
        "mmu_gather_pages": draw(st.sampled_from([1, 2, 3, 10_000])),
        "slice_ns": draw(st.sampled_from([1_000, 10_000, 3_000_000])),
        "rwsem_handoff_ns": draw(st.sampled_from([0, 1, 1_000, 4_000_000])),
        "rwsem_steal_percent": draw(st.sampled_from([0, 50, 100])),
        "rwsem_spins": draw(st.sampled_from([1, 1, 0])),
        "rwsem_reader_spin_ns": draw(st.sampled_from([0, 1, 10_000])),
        "rwsem_readers_steal": draw(st.sampled_from([0, 1])),
        "tick_ns": draw(st.sampled_from([0, 50_000])),
        "wake_placement": draw(st.sampled_from(["home", "idle"])),
        "migration_cost_ns": draw(st.sampled_from([0, 500_000])),
        "ipi_stop_ns": draw(st.sampled_from([0, 3_000])),
        "ipi_exit_ns": draw(st.sampled_from([0, 11_000])),
        "ipi_delivery_ns": draw(st.sampled_from([0, 1_500, 30_000])),
        "wake_ns": draw(st.sampled_from([0, 1_200, 30_000])),
        "switch_ns": draw(st.sampled_from([0, 1_500])),
        "irq_toggle_ns": draw(st.sampled_from([0, 3])),
        "cpus_per_core": draw(st.sampled_from([1, 2, 3])),
        "smt_slowdown_percent": draw(st.sampled_from([0, 60])),
    }
    khugepaged = Khugepaged(scan_sleep_millisecs=draw(st.sampled_from([0, 1, 1])), fault_huge=draw(st.booleans()))
    inflight_max = draw(st.sampled_from([None, 1, 2]))
    scope = draw(st.sampled_from(["machine", "mm", "cpu", "address"]))
    on_limit = draw(st.sampled_from(["wait", "classic"]))
    bounds = Bounds(spf_inflight_max=inflight_max, spf_inflight_scope=scope, on_limit=on_limit)
    return {
        "machine": LAZY_TLB[draw(st.sampled_from(list(LAZY_TLB)))],
        "seed": draw(st.integers(0, 2**32)),
        "cpus": draw(st.integers(1, 3)),
        "costs": costs,
        "khugepaged": khugepaged,
        "bounds": bounds,
    }


async def set_up(thread):
    """Two PMD ranges, marked for huge pages and with a history: their anon_vma and a page table exist. Two files."""
    for filesystem, number in zip(Filesystem, FILES, strict=True):
        assert await thread.open_file(filesystem, cached=filesystem is Filesystem.EXT4) == number
    length = 2 * thread.cpu.machine.pmd_size
    assert await thread.mmap(length, address=BASE) == BASE
    await thread.madvise_hugepage(BASE, length)
    await thread.touch(BASE + 5 * thread.page_size)


def body(program):
    async def work(thread):
        for step in program:
            await do(thread, step)

    return work


async def do(thread, step):
    """Do one step; return what a touch or a mmap returns."""
    page = thread.page_size
    start, length = BASE + step.first * page, (step.last - step.first) * page
    result = None
    match step.call:
        case "touch":
            result = await thread.touch(start, write=step.flag)
        case "munmap":
            await thread.munmap(start, length)
        case "mmap":
            result = await thread.mmap(length, address=start)
        case "mmap_private" | "mmap_shared":
            shared = step.call == "mmap_shared"
            file = MappedFile(file=FILES[step.flag], offset=step.first * page, shared=shared)
            result = await thread.mmap(length, address=start, file=file)
        case "mprotect":
            await thread.mprotect(start, length, writable=step.flag)
        case "dontneed":
            await thread.madvise_dontneed(start, length)
        case "hugepage":
            await thread.madvise_hugepage(start, length)
    await thread.compute(step.pause_ns)
    return result


def machine_with(bodies, policy, settings, **options):
    """Build a machine; 200,000 deliveries are far more than any of these programs needs."""
    scenario = Scenario(policy=policy, events_max=200_000, **settings)
    return Machine(scenario, workload=Program(bodies, set_up=set_up), **options)
