"""will-it-scale: the steps of each test, its counts, and where its tasks run."""

from collections import Counter

import pytest

from kactors import Machine, Scenario, run
from kactors.engine.errors import UsageError
from kactors.kernel.accounting import Spent
from kactors.machines import load_machine
from kactors.workloads import load_workload
from kactors.workloads.will_it_scale.page_fault1 import PageFault1
from protocols.tracepoints import MmapSemHold, PageFaultUser, RangeMapped, RecordDone, SyscallDone, WorkersStarted
from tests.accounting import assert_settled
from tests.actors.scenes import Heard

PAGE = 4096
POLICIES = ["classic", "spf-v9", "per-vma"]


class Ran:
    """A test that ran so many rounds from the beginning and ended; ``steps``: what its workers did, in order."""

    def __init__(self, name, policy="classic", tasks=1, machine="small", cpus=None, **options):
        self.heard = Heard(SyscallDone, PageFaultUser, MmapSemHold, WorkersStarted, RecordDone, RangeMapped)
        options = {"rounds": 2, "t": tasks} | ({"phase": "zero"} if name == "page_fault1" else {}) | options
        scenario = Scenario(workload=name, options=options, machine=machine, policy=policy, cpus=cpus)
        self.machine = Machine(scenario, observers=[self.heard])
        self.result = self.machine.run()
        entries = [entry for _, _, entry in self.heard.all]
        started = next(place for place, entry in enumerate(entries) if type(entry) is WorkersStarted)
        self.after = entries[started + 1 :]

    @property
    def steps(self):
        words = {PageFaultUser: "fault", RecordDone: "iteration"}
        return [
            entry.name if type(entry) is SyscallDone else words[type(entry)]
            for entry in self.after
            if type(entry) is SyscallDone or type(entry) in words
        ]

    def count(self, kind):
        return sum(type(entry) is kind for entry in self.after)


def test_a_round_of_page_fault1_is_mmap_a_fault_and_an_iteration_a_page_munmap():
    run = Ran("page_fault1", memsize=3 * PAGE)
    assert run.steps == ["mmap", *["fault", "iteration"] * 3, "munmap"] * 2
    assert run.result.throughput.unit == "iterations"
    assert run.result.throughput.records == 2 * 3
    assert_settled(run.machine)


@pytest.mark.parametrize("policy", POLICIES)
def test_tasks_of_page_fault1_have_their_own_areas_and_write_sections(policy):
    run = Ran("page_fault1", policy, tasks=3, memsize=40 * PAGE, rounds=3)
    assert Counter(run.steps) == {"mmap": 9, "munmap": 9, "fault": 9 * 40, "iteration": 9 * 40}
    assert run.count(MmapSemHold) == 2 * 9, "one pair of write sections for each area's faults"
    assert_settled(run.machine)


def test_with_a_drawn_phase_only_the_rest_of_the_first_round_is_faulted():
    run = Ran("page_fault1", memsize=100 * PAGE, rounds=1, phase="drawn")
    touched = [fault.address // PAGE for fault in run.heard.of(PageFaultUser)]
    first = run.heard.of(RangeMapped)[0]
    rest = len(touched) - 100
    assert 0 < rest < 100, "seed 1 draws neither end"
    assert touched[:rest] == list(range(first.last - rest, first.last))
    assert run.steps[rest * 2 : rest * 2 + 2] == ["munmap", "mmap"], "the first area was mapped before"
    assert_settled(run.machine)


def test_phases_are_drawn_over_the_whole_round_ends_included():
    counts = set()
    for seed in range(30):
        heard = Heard(PageFaultUser)
        options = {"t": 1, "memsize": 2 * PAGE, "rounds": 1}
        run(Scenario(workload="page_fault1", options=options, machine="small", seed=seed), observers=[heard])
        counts.add(len(heard.of(PageFaultUser)) - 2)
    assert counts == {0, 1, 2}


@pytest.mark.parametrize("policy", POLICIES)
def test_tasks_at_drawn_phases_lose_no_page(policy):
    run = Ran("page_fault1", policy, tasks=3, memsize=700 * PAGE, rounds=1, phase="drawn")
    phases = [3 * 2 * 700 - run.count(PageFaultUser), 3 * 2 * 700 - run.result.throughput.records]
    assert phases[0] == phases[1] > 0
    assert_settled(run.machine)


def test_an_area_that_does_not_fit_begins_empty_and_the_result_says_so():
    options = {"t": 2, "memsize": 1 << 40}
    result = run(Scenario(workload="page_fault1", options=options, machine="small", until_ns=200_000))
    assert result.notes == ("tasks that began with an empty area for want of memory: 2",)
    assert result.throughput.records > 0


def test_a_round_of_malloc1_faults_once_for_the_header():
    run = Ran("malloc1", memsize=8 * PAGE)
    assert run.steps == ["mmap", "fault", "munmap", "iteration"] * 2
    area = run.heard.of(RangeMapped)[0]
    assert area.last - area.first == 9, "the header makes the area a page longer"
    assert all(fault.write for fault in run.heard.of(PageFaultUser)), "it is written first, then read"
    assert_settled(run.machine)


def test_a_round_of_mmap1_touches_nothing():
    run = Ran("mmap1", memsize=8 * PAGE)
    assert run.steps == ["mmap", "munmap", "iteration"] * 2
    assert_settled(run.machine)


def test_a_round_of_brk1_grows_the_heap_by_a_page_and_shrinks_it_back():
    run = Ran("brk1")
    assert run.steps == ["brk", "brk", "iteration", "iteration"] * 2
    (heap,) = run.machine.system.mm.tree
    assert heap.end - heap.start == 132 << 10
    grown = run.heard.of(RangeMapped)[1:]
    assert [(area.first, area.last) for area in grown] == [(heap.end // PAGE, heap.end // PAGE + 1)] * 2
    assert_settled(run.machine)


@pytest.mark.parametrize("policy", POLICIES)
def test_all_tasks_of_brk1_move_one_heap(policy):
    run = Ran("brk1", policy, tasks=3, rounds=4)
    assert run.result.throughput.records == 3 * 4 * 2
    assert Counter(run.steps)["brk"] == 3 * 4 * 2
    assert len(run.machine.system.mm.tree) == 1
    assert_settled(run.machine)


@pytest.mark.parametrize("name", ["malloc1", "mmap1"])
@pytest.mark.parametrize("policy", POLICIES)
def test_tasks_that_only_map_write_to_mmap_sem_twice_a_round(name, policy):
    run = Ran(name, policy, tasks=4, rounds=5)
    assert run.result.throughput.records == 20
    assert run.count(MmapSemHold) == 2 * 20
    assert_settled(run.machine)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", ["page_fault1", "malloc1", "mmap1", "brk1"])
def test_in_process_mode_each_task_does_the_same_in_a_process_of_its_own(name, policy):
    memory = {} if name == "brk1" else {"memsize": 30 * PAGE}
    one = Ran(name, policy, tasks=3, **memory)
    many = Ran(name, policy, tasks=3, mode="processes", **memory)
    assert_settled(many.machine)
    assert len(many.machine.system.mms) == 4
    assert many.machine.system.account_pages().mapped == 0, "a process that ends frees its memory"
    assert many.result.throughput.records == one.result.throughput.records
    extra = {"brk": 2 * 3} if name == "brk1" else {}
    assert Counter(many.steps) == Counter(one.steps) + Counter(extra) + Counter(fault=3 if extra else 0)
    assert many.result.ipi.all.count == 0, "no two tasks share an address space"


def test_in_process_mode_a_phase_is_drawn_for_each_task():
    run = Ran("page_fault1", tasks=3, mode="processes", memsize=100 * PAGE, rounds=1, phase="drawn")
    assert_settled(run.machine)
    layout = run.machine.system.layout
    faults = Counter(layout.process_of(fault.address) for fault in run.heard.of(PageFaultUser))
    assert sorted(faults) == [1, 2, 3]
    assert len(set(faults.values())) == 3
    assert all(100 <= count <= 200 for count in faults.values())


def test_the_area_is_128_mib_as_in_the_program():
    workload = load_workload("page_fault1", {})
    assert workload.memsize == 128 << 20


def test_a_number_of_rounds_is_an_end():
    assert [PageFault1.endless(options) for options in ({}, {"rounds": 1})] == [True, False]


@pytest.mark.parametrize(("options", "tasks"), [({}, 16), ({"t": 5}, 5)])
def test_t_is_the_number_of_tasks(options, tasks):
    assert load_workload("page_fault1", options).workers(16) == tasks


def homes(machine, **options):
    workload = load_workload("page_fault1", options)
    return [workload.home(number, machine) for number in range(1, machine.cpus + 3)]


def test_tasks_fill_the_cores_first_and_with_m_the_smt_threads_in_turn():
    machine = load_machine("x86-80", cpus=8)
    assert machine.cpus_per_core == 2
    assert homes(machine) == [0, 2, 4, 6, 1, 3, 5, 7, 0, 2]
    assert homes(machine, m=True) == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]


def test_a_machine_smaller_than_a_core_is_filled_in_turn():
    machine = load_machine("p8-80", cpus=3)
    assert homes(machine) == [0, 1, 2, 0, 1]


@pytest.mark.parametrize(("option", "value"), [("t", 0), ("memsize", 0), ("rounds", 0), ("mode", "fibres"), ("m", 7)])
def test_a_value_out_of_range_is_named(option, value):
    with pytest.raises(UsageError, match=f"page_fault1: {option} = {value!r}"):
        load_workload("page_fault1", {option: value})


@pytest.mark.parametrize("mode", ["threads", "processes"])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_byte_of_context_switch1_goes_to_the_child_and_back(policy, mode):
    run = Ran("context_switch1", policy, tasks=3, rounds=4, mode=mode)
    assert_settled(run.machine)
    assert run.result.throughput.records == 3 * 4 * 2
    assert run.result.threads == 3
    calls = Counter(step for step in run.steps if step != "iteration")
    assert calls == {"write": 3 * 4 * 2, "read": 3 * (4 * 2 + 1), "close": 3}, "the last read finds the end"
    assert len(run.machine.system.mms) == (1 if mode == "threads" else 7)
    homes = [user.cpu for user in run.machine.system.users[1:]]
    assert homes[:3] == homes[3:], "a child runs where its task does"


def test_each_way_is_a_context_switch():
    """Nobody else runs on the CPU: after 20 rounds more there have been 40 switches more."""
    spent = [Ran("context_switch1", rounds=rounds).machine.system for rounds in (5, 25)]
    switches = [system.cpus[0].spent[Spent.SWITCH] / system.machine.switch_ns for system in spent]
    assert switches[1] - switches[0] == pytest.approx(40, abs=0.5)


def test_processes_that_play_on_one_cpu_also_switch_address_spaces():
    def per_way(mode):
        run = Ran("context_switch1", rounds=101, mode=mode)
        rounds_end_ns = [at_ns for at_ns, _, entry in run.heard.all if type(entry) is RecordDone][::2]
        return (rounds_end_ns[-1] - rounds_end_ns[0]) / 200

    assert per_way("processes") - per_way("threads") > load_machine("small").tlb_flush_full_ns
