"""will-it-scale: the steps of each test, its counts, and where its tasks run."""

from collections import Counter

import pytest

from kactors import Machine, Scenario
from kactors.engine.errors import UsageError
from kactors.machines import load_machine
from kactors.workloads import load_workload
from kactors.workloads.will_it_scale.page_fault1 import PageFault1
from protocols.tracepoints import MmapSemHold, PageFaultUser, RangeMapped, RecordDone, SyscallDone, WorkersStarted
from tests.accounting import assert_settled
from tests.actors.scenes import Heard

PAGE = 4096
POLICIES = ["classic", "spf-v9", "per-vma"]


class Ran:
    """A test that ran so many rounds and ended; ``steps``: what its workers did, in order."""

    def __init__(self, name, policy="classic", tasks=1, machine="small", cpus=None, **options):
        self.heard = Heard(SyscallDone, PageFaultUser, MmapSemHold, WorkersStarted, RecordDone, RangeMapped)
        options = {"rounds": 2, "t": tasks} | options
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


def test_a_round_of_malloc1_faults_once_for_the_header():
    run = Ran("malloc1", memsize=8 * PAGE)
    assert run.steps == ["mmap", "fault", "munmap", "iteration"] * 2
    area = run.heard.of(RangeMapped)[0]
    assert area.last - area.first == 9, "the header makes the area a page longer"
    assert_settled(run.machine)


def test_a_round_of_mmap1_touches_nothing():
    run = Ran("mmap1", memsize=8 * PAGE)
    assert run.steps == ["mmap", "munmap", "iteration"] * 2
    assert_settled(run.machine)


@pytest.mark.parametrize("name", ["malloc1", "mmap1"])
@pytest.mark.parametrize("policy", POLICIES)
def test_tasks_that_only_map_write_to_mmap_sem_twice_a_round(name, policy):
    run = Ran(name, policy, tasks=4, rounds=5)
    assert run.result.throughput.records == 20
    assert run.count(MmapSemHold) == 2 * 20
    assert_settled(run.machine)


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
