"""pft, multi-fault and spf-test: what each thread does, how often, and that it ends where it should."""

from collections import Counter

import pytest

from kactors import Machine, Scenario
from kactors.engine.errors import UsageError
from kactors.workloads import load_workload
from kactors.workloads.multi_fault import MultiFault
from kactors.workloads.pft import Pft
from protocols.tracepoints import MmapSemHold, PageFaultUser, SyscallDone
from tests.accounting import assert_settled
from tests.actors.scenes import Heard

PAGE = 4096
POLICIES = ["classic", "spf-v9", "per-vma"]


def ran(name, policy="classic", seed=0, **options):
    heard = Heard(SyscallDone, PageFaultUser, MmapSemHold)
    scenario = Scenario(workload=name, options=options, machine="small", policy=policy, seed=seed)
    machine = Machine(scenario, observers=[heard])
    result = machine.run()
    assert_settled(machine)
    return machine, result, heard


def calls(heard):
    return Counter(call.name for call in heard.of(SyscallDone))


# --- pft -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
def test_pft_touches_every_page_of_one_mapping_once(policy):
    machine, result, heard = ran("pft", policy, m=50 * PAGE, t=4)
    assert calls(heard) == {"mmap": 1}
    assert len(heard.of(MmapSemHold)) == 1, "the mapping is the only writer"
    assert result.throughput.unit == "faults"
    assert result.throughput.records == 50
    touched = Counter(fault.address for fault in heard.of(PageFaultUser))
    start = min(touched)
    assert touched == dict.fromkeys(range(start, start + 50 * PAGE, PAGE), 1)
    assert machine.system.account_pages().mapped == 50


def test_parts_of_pft_differ_by_a_page_at_most():
    _, _, heard = ran("pft", m=51 * PAGE, t=2)
    shares = Counter(who for _, who, entry in heard.all if type(entry) is PageFaultUser)
    assert shares == {"cpu0": 25, "cpu1": 26}


def test_pft_maps_a_fifth_of_the_memory_unless_m_says_otherwise():
    machine = Machine(Scenario(workload="pft", machine="small", until_ns=200_000))
    machine.run()
    vma = max(machine.system.mm.tree, key=lambda vma: vma.end - vma.start)
    assert vma.end - vma.start == -(-(64 << 20) // 5 // PAGE) * PAGE


def test_pft_has_a_thread_a_cpu_and_an_end():
    assert load_workload("pft", {}).workers(6) == 6
    assert not Pft.endless({})


# --- multi-fault -----------------------------------------------------------------------------------------------------


SMALL = {"mmap_length": 20 * PAGE, "fault_length": 5 * PAGE}


@pytest.mark.parametrize("policy", POLICIES)
def test_the_first_thread_of_multi_fault_drops_what_all_have_touched(policy):
    machine, result, heard = ran("multi-fault", policy, t=3, rounds=4, **SMALL)
    waits = 3 * 4 * 3
    assert calls(heard) == {"mmap": 1, "madvise": 3 * 4, "futex": waits}
    droppers = {who for _, who, entry in heard.all if type(entry) is SyscallDone and entry.name == "madvise"}
    assert droppers == {"cpu0"}
    assert len(heard.of(PageFaultUser)) == result.throughput.records == 3 * 4 * 5
    assert len(heard.of(MmapSemHold)) == 1, "only the mapping is a writer"
    assert machine.system.account_pages().mapped == 0


def test_nobody_touches_while_pages_are_dropped():
    _, _, heard = ran("multi-fault", t=3, rounds=4, **SMALL)
    rows = [type(entry) is PageFaultUser for _, _, entry in heard.all if not is_futex(entry)]
    phases = "".join("t" if touches else "d" for touches in rows if touches is not None)
    assert phases.lstrip("d") == ("t" * 15 + "d" * 3) * 4, "the set-up's mmap, then all touch and one drops, four times"


def is_futex(entry):
    return type(entry) is MmapSemHold or (type(entry) is SyscallDone and entry.name == "futex")


@pytest.mark.parametrize("policy", POLICIES)
def test_each_thread_of_the_older_multi_fault_drops_its_own(policy):
    machine, result, heard = ran("multi-fault", policy, t=2, rounds=4, drop="own", phase="zero", **SMALL)
    assert calls(heard) == {"mmap": 2, "madvise": 2 * 4}
    droppers = {who for _, who, entry in heard.all if type(entry) is SyscallDone and entry.name == "madvise"}
    assert droppers == {"cpu0", "cpu1"}
    assert len(heard.of(PageFaultUser)) == result.throughput.records == 2 * 4 * 5
    assert machine.system.account_pages().mapped == 0


def faults_until_end(seed):
    """Run two rounds of two threads; return how often each has faulted."""
    _, _, heard = ran("multi-fault", seed=seed, t=2, rounds=2, drop="own", **SMALL)
    faults = Counter(who for _, who, entry in heard.all if type(entry) is PageFaultUser)
    return faults["cpu0"], faults["cpu1"]


def test_threads_of_the_older_multi_fault_begin_anywhere_in_their_round():
    faults = [faults_until_end(seed) for seed in range(8)]
    begun_at = {10 - count for both in faults for count in both}
    assert begun_at <= set(range(6)), "the pages below its phase are there at once"
    assert len(begun_at) > 2
    assert any(one != other for one, other in faults)


def test_multi_fault_binds_its_threads_as_the_program_does():
    assert MultiFault.pinned
    assert not Pft.pinned


def test_multi_fault_touches_no_more_than_it_has():
    _, result, _ = ran("multi-fault", t=1, mmap_length=2 * PAGE, fault_length=5 * PAGE, rounds=1)
    assert result.throughput.records == 2


def test_multi_fault_goes_on_for_ever_unless_rounds_are_counted():
    assert [MultiFault.endless(options) for options in ({}, {"rounds": 2})] == [True, False]


# --- spf-test --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
def test_spf_test_maps_its_areas_one_after_the_other_and_touches_each(policy):
    machine, result, heard = ran("spf-test", policy, thread_cnt=5, vma_cnt=3, page_cnt=4)
    assert calls(heard) == {"mmap": 5 * 3}
    assert len(heard.of(PageFaultUser)) == 5 * 3 * 4
    assert (result.throughput.unit, result.throughput.records) == ("threads", 5)
    assert machine.system.account_pages().mapped == 5 * 3 * 4


def test_spf_test_tells_the_threads_own_time():
    _, result, _ = ran("spf-test", thread_cnt=1, vma_cnt=1, page_cnt=1)
    (note,) = result.notes
    _, longer, _ = ran("spf-test", thread_cnt=1, vma_cnt=1, page_cnt=9)
    averages = [int(text.split("average ")[1].split()[0]) for text in (note, longer.notes[0])]
    assert note.endswith("of the 1 that ended")
    assert 1_000 < averages[0] < averages[1] < longer.virtual_ns


def test_spf_test_has_the_programs_defaults():
    workload = load_workload("spf-test", {})
    assert workload.workers(4) == 100
    assert workload.notes() == []


@pytest.mark.parametrize(
    ("name", "option"),
    [("pft", "m"), ("pft", "t"), ("multi-fault", "t"), ("multi-fault", "rounds"), ("spf-test", "page_cnt")],
)
def test_an_option_out_of_range_is_named(name, option):
    with pytest.raises(UsageError, match=f"{name}: {option} = 0"):
        load_workload(name, {option: 0})
