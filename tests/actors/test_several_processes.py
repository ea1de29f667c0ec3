"""Several processes on one machine: an address space each, CPUs that load one at a time, an OOM killer that picks."""

import pytest

from kactors import Machine, Scenario, run
from kactors.checker.subject import Subject
from kactors.engine.choices import FirstChoice
from kactors.engine.errors import UsageError
from kactors.kernel.mm_parts.shootdown import CTX_ID_SHIFT
from kactors.workloads import Program
from protocols.scenario import Khugepaged
from protocols.tlb import DropMm, FlushIpi, JoinMm, Tlbie
from protocols.tracepoints import CollapseDone, IpiSend, OomKill, PageFaultUser, SyscallDone
from tests.accounting import assert_settled
from tests.actors.scenes import PAGE, PMD, Delivered, Heard, Probe

POLICIES = ["classic", "spf-v9", "per-vma"]


TASKS = {"t": 3, "mode": "processes", "memsize": 64 * PAGE}


class Forked(Program):
    """Each worker is a process of its own; all live on CPU ``cpu``, or each on its own one."""

    at_once = True
    cpu = None

    def process(self, number):
        return number

    def home(self, number, machine):
        return super().home(number, machine) if self.cpu is None else self.cpu


class OnOneCpu(Forked):
    cpu = 0


def built(*bodies, kind=Forked, policy="classic", observers=(), cpus=2, machine="small", **options):
    costs = {"jitter_percent": 0, **options.pop("costs", {})}
    scenario = Scenario(machine=machine, cpus=cpus, policy=policy, costs=costs, events_max=400_000, **options)
    return Machine(scenario, FirstChoice(), workload=kind(bodies), observers=observers)


def played(*bodies, **options):
    machine = built(*bodies, **options)
    machine.run()
    return machine


def touching(pages, times=1):
    """Map so many pages, touch them, unmap; ``times`` over."""

    async def work(thread):
        for _ in range(times):
            area = await thread.mmap(pages * PAGE)
            for page in range(pages):
                assert await thread.touch(area + page * PAGE)
                await thread.compute(400_000)
            await thread.munmap(area, pages * PAGE)

    return work


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", [Forked, OnOneCpu])
def test_each_has_its_own_areas_and_faults_none_of_the_others(kind, policy):
    faults = Heard(PageFaultUser)
    machine = played(*[touching(4, times=3)] * 3, kind=kind, policy=policy, observers=[faults])
    assert_settled(machine)
    system = machine.system
    assert len(system.mms) == 4
    processes = [system.layout.process_of(fault.address) for fault in faults.of(PageFaultUser)]
    assert sorted(processes) == sorted([1, 2, 3] * 3 * 4)


def test_a_process_that_ends_leaves_nothing_behind():
    async def work(thread):
        area = await thread.mmap(700 * PAGE)
        for page in range(0, 700, 50):
            await thread.touch(area + page * PAGE)
        heap = await thread.brk(0)
        await thread.brk(heap + 3 * PAGE)
        await thread.touch(heap)

    machine = played(work, work)
    assert_settled(machine)
    account = machine.system.account_pages()
    assert (account.mapped, account.tables) == (0, 0)
    assert all(not mm.tree.overlapping(0, 1 << 47) for mm in machine.system.mms)


def test_nobody_is_interrupted_for_another_process():
    sends = Heard(IpiSend, SyscallDone)
    assert_settled(played(touching(4, times=5), touching(4, times=5), observers=[sends]))
    assert len(sends.of(SyscallDone)) == 2 * 2 * 5
    assert sends.of(IpiSend) == []


def test_threads_of_one_process_are():
    """The same program with threads, as a check of the test before."""
    sends = Heard(IpiSend)
    assert_settled(played(touching(4, times=5), touching(4, times=5), kind=Program, observers=[sends]))
    assert sends.of(IpiSend) != []


def test_a_cpu_leaves_one_mm_and_joins_the_other_and_pays_for_the_flush():
    told = Delivered(JoinMm, DropMm)
    machine = played(
        touching(8), touching(8), kind=OnOneCpu, observers=[told], costs={"slice_ns": 500_000, "tlb_flush_full_ns": 777}
    )
    assert_settled(machine)
    joins = [receiver for _, receiver, message in told.all if type(message) is JoinMm]
    drops = [receiver for _, receiver, message in told.all if type(message) is DropMm]
    assert drops == joins[:-1], "each drop is of what was joined last"
    assert joins.count("mm1") > 2
    assert abs(joins.count("mm1") - joins.count("mm2")) <= 1
    assert not machine.system.mm.cpumask.members()


@pytest.mark.parametrize("lazy_tlb", ["keep", "leave", "skip"])
def test_a_cpu_that_was_lazy_in_one_mm_and_loads_another_is_lazy_no_more(lazy_tlb, tmp_path):
    machine = played(touching(2, times=2), touching(2), kind=OnOneCpu, machine=lazy_machine(lazy_tlb, tmp_path))
    assert_settled(machine)
    for mm in machine.system.mms[:2]:
        assert not mm.cpumask.members()
        assert not mm.cpumask._lazy


LAZY = """inherits = "small"
lazy_tlb = {{ value = "{}", source = "a test" }}
"""


def lazy_machine(lazy_tlb, folder):
    file = folder / "lazy.toml"
    file.write_text(LAZY.format(lazy_tlb))
    return str(file)


def test_there_is_nothing_to_speculate_for_with_one_thread_each():
    machine = played(touching(3), touching(3), policy="spf-v9")
    assert machine.counters.spf == machine.counters.spf_aborts == 0
    assert machine.counters.faults == 6


@pytest.mark.parametrize("runtime", ["inline", "trio"])
def test_both_runtimes_and_every_time_the_same(runtime):
    def fingerprint(runtime):
        scenario = Scenario(workload="page_fault1", options=TASKS, machine="small", until_ns=2_000_000)
        return run(scenario, runtime=runtime).fingerprint

    assert fingerprint(runtime) == fingerprint("inline")


def test_a_search_is_for_one_process():
    with pytest.raises(UsageError, match="4 processes: a search is for threads of one process"):
        Subject(Scenario(workload="page_fault1", options=TASKS, machine="small", cpus=3))


def test_transient_pages_are_counted_by_process():
    machine = played(touching(3), touching(3), costs={"clear_page_ns": 300_000})
    transient = machine.transient.summary(2, 2)
    assert (transient.peak_mm, transient.peak_machine) == (1, 2)


def test_khugepaged_scans_every_process():
    done = Heard(CollapseDone)

    async def work(thread):
        area = await thread.mmap(2 * PMD)
        start = -(-area // PMD) * PMD
        await thread.madvise_hugepage(start, PMD)
        await thread.touch(start)
        await thread.compute(9_000_000)
        assert await thread.touch(start + PAGE)

    machine = played(work, work, observers=[done], khugepaged=Khugepaged(scan_sleep_millisecs=1))
    assert_settled(machine)
    collapsed = {machine.system.layout.process_of(entry.address) for entry in done.of(CollapseDone)}
    assert [entry.status for entry in done.of(CollapseDone)] == ["succeeded"] * 2
    assert collapsed == {1, 2}


SMALL_MIB = 16


def hungry(ends):
    async def work(thread):
        area = await thread.mmap(SMALL_MIB << 20)
        for page in range((SMALL_MIB << 20) // PAGE):
            await thread.touch(area + page * PAGE)
        ends.append(thread.number)

    return work


def test_the_oom_killer_takes_the_process_that_asks_and_its_memory_serves_the_others():
    ends, modest = [], []

    async def work(thread):
        await thread.compute(40_000_000)
        area = await thread.mmap(4 * PAGE)
        modest.append([await thread.touch(area + page * PAGE) for page in range(4)])

    kills = Heard(OomKill)
    machine = played(hungry(ends), work, observers=[kills], costs={"memory_mib": SMALL_MIB})
    assert_settled(machine)
    assert len(kills.of(OomKill)) == 1
    assert ends == [], "the hungry one is no more"
    assert modest == [[True] * 4]
    assert machine.system.account_pages().mapped == 0


def test_one_victim_after_the_other():
    ends = []
    kills = Heard(OomKill)
    machine = played(hungry(ends), hungry(ends), observers=[kills], costs={"memory_mib": SMALL_MIB})
    assert_settled(machine)
    assert len(kills.of(OomKill)) == 2
    assert ends == []


def test_a_process_that_shares_the_victims_cpu_lives_on():
    ends, modest = [], []

    async def work(thread):
        for _ in range(40):
            await thread.compute(1_000_000)
        area = await thread.mmap(PAGE)
        modest.append(await thread.touch(area))

    costs = {"memory_mib": SMALL_MIB, "slice_ns": 100_000}
    machine = played(hungry(ends), work, kind=OnOneCpu, costs=costs)
    assert_settled(machine)
    assert (ends, modest) == ([], [True])
    assert [machine.system.cpus[0].was_killed(process) for process in (1, 2)] == [True, False]


def test_the_tlb_holds_what_the_loaded_process_has_walked_and_nothing_else():
    seen = []

    async def work(thread):
        area = await thread.mmap(2 * PAGE)
        for page in range(2):
            await thread.touch(area + page * PAGE)
            await thread.compute(600_000)
            await thread.touch(area)
            seen.append((thread.number, {vpn - area // PAGE for vpn in thread.cpu.tlb._entries}))

    assert_settled(played(work, work, kind=OnOneCpu, costs={"slice_ns": 100_000}))
    assert len(seen) == 4
    assert all(pages <= {0, 1} for _, pages in seen), seen


@pytest.mark.parametrize("of", ["its own process", "another process"])
def test_an_invalidation_that_comes_late_is_not_for_the_process_that_is_loaded_now(of):
    """Both are meant for all addresses: a flush by IPI, and POWER's broadcast."""
    left = []

    async def work(thread):
        cpu, engine = thread.cpu, thread.cpu.engine
        mms = machine.system.mms
        mm = cpu.directory.mm if of == "its own process" else mms[2]
        probe = Probe(engine, 9)
        area = await thread.mmap(PAGE)
        generation = (mm.number << CTX_ID_SHIFT) + 7
        flush = FlushIpi(start=0, end=1 << 47, full=True, generation=generation)
        for sender, message in ((probe, flush), (mm, Tlbie(start=0, end=1 << 47))):
            await thread.touch(area)
            engine.post(cpu.clock_ns, cpu, sender, message)
            await thread.compute(50_000)
            left.append(len(cpu.tlb._entries))

    async def idle(thread):
        await thread.compute(1)

    machine = built(work, idle)
    machine.run()
    assert left == ([0, 0] if of == "its own process" else [1, 1])
