"""Each injection does what it says, and leaves a machine in which everything adds up."""

import pytest

from kactors import Scenario, run
from kactors.engine.errors import UsageError
from kactors.host import BALLOON_BATCH_PAGES
from kactors.live import LiveMachine, Pause, Quota
from protocols.allocation import AllocPages
from protocols.host import CollapseRange, StealCpu
from protocols.mmap_sem import DownRead
from protocols.page_table import NextScanRange
from protocols.service.commands import SetPolicy, Until
from protocols.tracepoints import CollapseDone, FaultDone, IpiServed, SyscallDone
from tests.accounting import assert_settled, assert_time_adds_up
from tests.actors.scenes import Delivered, Heard
from tests.live.scenes import (
    ALL,
    COLLAPSE,
    COLLAPSE_VS_FAULT,
    EBIZZY,
    MS,
    MUNMAP_VS_FAULT,
    PAGE,
    PMD,
    SAME_ADDRESS,
    US,
    area,
    inject,
    ran,
)

TIGHT = Scenario(machine="small", threads=5, costs={"memory_mib": 8}, until_ns=400 * US)


def started(scenario, events, *observers):
    machine = LiveMachine(scenario, observers=observers)
    assert machine.advance(events_max=events) is Pause.BUDGET
    return machine


def system(machine):
    return machine._machine.system


# --- faults and system calls -----------------------------------------------------------------------------------------


def test_a_fault_is_served_on_its_cpu():
    machine = started(MUNMAP_VS_FAULT, 30, heard := Heard(FaultDone))
    address = area(machine) + PMD - 5 * PAGE
    machine.apply(inject("fault", cpu=1, address=address))
    assert ran(machine).counters.faults == run(MUNMAP_VS_FAULT).counters.faults + 1
    assert [(who, done.path) for _, who, done in heard.all if done.address == address] == [("cpu1", "vma_lock")]
    assert_settled(machine._machine)


def test_a_fault_outside_every_area_is_a_segmentation_fault_of_that_thread_alone():
    machine = started(SAME_ADDRESS, 30, heard := Heard(FaultDone))
    machine.apply(inject("fault", cpu=3, address=PAGE, write=False))
    result = ran(machine)
    assert [done.path for done in heard.of(FaultDone) if done.address == PAGE] == ["sigsegv"]
    assert result.throughput.records == 4
    assert_settled(machine._machine)


def test_an_injected_thread_is_a_user_of_the_mm_as_after_clone():
    machine = started(SAME_ADDRESS, 12)
    machine.apply(inject("fault", cpu=2, address=area(machine)))
    machine.apply(inject("fault", cpu=2, address=area(machine)))
    machine.advance(events_max=8)
    assert [machine.state(f"cpu{cpu}")["mm_users"] for cpu in range(4)] == [3, 1, 3, 1]
    ran(machine)
    assert [machine.state(f"cpu{cpu}")["mm_users"] for cpu in range(4)] == [7] * 4


def test_a_munmap_removes_the_area_and_its_pages():
    machine = started(SAME_ADDRESS, 60, heard := Heard(SyscallDone))
    start = area(machine)
    machine.apply(inject("munmap", cpu=3, address=start, length=2 * PAGE))
    ran(machine)
    assert system(machine).mm.tree.find(start) is None
    assert [(who, done.name) for _, who, done in heard.all][-1] == ("cpu3", "munmap")
    assert system(machine).account_pages().mapped == 0
    assert_settled(machine._machine)


# --- collapses -------------------------------------------------------------------------------------------------------


def test_a_wish_is_served_where_khugepaged_does_not_scan():
    scenario = COLLAPSE.model_copy(update={"options": {"pmds": 2, "rounds": 1}})
    machine = LiveMachine(scenario, observers=[heard := Heard(CollapseDone)])
    machine.advance(events_max=ALL, until=Until(quantity="faults", value=40))
    first = -(-area(machine) // PMD) * PMD
    machine.apply(inject("collapse", address=first + PMD - 1))
    machine.apply(inject("collapse", address=first + PMD))
    assert machine.advance(events_max=ALL, until=Until(quantity="collapses", value=2)) is Pause.PREDICATE
    assert [done.address for done in heard.of(CollapseDone)] == [first, first + PMD]
    assert ran(machine).collapses == {"succeeded": 2}
    assert_settled(machine._machine)


def test_a_wish_for_nothing_is_refused_by_khugepageds_own_checks():
    machine = started(SAME_ADDRESS, 30)
    machine.apply(inject("collapse", address=0))
    assert ran(machine).collapses == {"vma_check_failed": 1}


@pytest.mark.parametrize("before_ns", [900 * US, 100 * US, 1 * US])
def test_the_timer_may_ring_during_a_wish(before_ns):
    """A wish delays the scan that is due meanwhile, and no scan is lost or doubled."""
    said = Delivered(NextScanRange, CollapseRange)
    machine = LiveMachine(COLLAPSE_VS_FAULT, observers=[said, heard := Heard(CollapseDone)])
    machine.advance(events_max=ALL, until_ns=MS - before_ns)
    machine.apply(inject("collapse", address=area(machine)))
    ran(machine)
    statuses = [done.status for done in heard.of(CollapseDone)]
    assert statuses[0] == "succeeded"
    scans = [at_ns for at_ns, _, message in said.all if type(message) is NextScanRange]
    done_ns = heard.all[0][0]
    assert scans[0] == max(done_ns, MS)
    assert_settled(machine._machine)


def test_a_wish_does_not_turn_khugepageds_clock_back():
    """It may have gone to sleep after a wake-up of readers that virtual time has not passed yet."""
    said = Delivered(DownRead)
    machine = LiveMachine(COLLAPSE_VS_FAULT, observers=[said])
    machine.advance(events_max=ALL, until_ns=500 * US)
    system(machine).khugepaged.clock_ns = 500 * US + 77
    machine.apply(inject("collapse", address=area(machine)))
    machine.advance(events_max=ALL, until_ns=501 * US)
    assert [at_ns for at_ns, _, _ in said.all][-1] == 500 * US + 77


def test_a_wish_that_comes_during_a_collapse_is_served_after_it():
    machine = LiveMachine(COLLAPSE_VS_FAULT, observers=[heard := Heard(CollapseDone)])
    machine.advance(events_max=ALL, until_ns=MS + 5 * US)
    assert machine.state("khugepaged")["naps"] is False
    machine.apply(inject("collapse", address=area(machine)))
    ran(machine)
    assert [done.status for done in heard.of(CollapseDone)] == ["succeeded", "pmd_null"]


# --- memory ----------------------------------------------------------------------------------------------------------


def test_pressure_crosses_a_watermark_and_gives_every_page_back():
    machine = started(SAME_ADDRESS, 140)
    allocator = system(machine).allocator
    pages = allocator.free_pages - allocator.watermarks.low_pages + 10
    machine.apply(inject("memory_pressure", pages=pages, duration_ns=MS))
    machine.advance(events_max=ALL, until_ns=900 * US)
    assert system(machine).host.held_pages == pages
    assert machine.stop is None
    result = ran(machine)
    assert result.memory.watermarks_crossed == {"high": 1, "low": 1}
    assert result.virtual_ns >= MS
    assert system(machine).host.held_pages == 0
    assert result.memory.free_pages == run(SAME_ADDRESS).memory.free_pages
    assert_settled(machine._machine)


def test_the_host_takes_what_there_is_and_the_process_pays_for_it():
    machine = started(TIGHT, 100)
    machine.apply(inject("memory_pressure", pages=10**9, duration_ns=250 * US))
    machine.advance(events_max=ALL, until_ns=150 * US)
    assert system(machine).allocator.free_pages <= system(machine).allocator.watermarks.min_pages
    assert system(machine).host.held_pages > 1_000
    assert ran(machine).memory.oom_kills == 1


def test_a_machine_that_ends_under_pressure_counts_the_hosts_pages():
    machine = started(EBIZZY, 100)
    machine.apply(inject("memory_pressure", pages=700, duration_ns=10 * MS))
    ran(machine)
    account = system(machine).account_pages()
    assert account.host == 700


def test_the_host_asks_no_more_once_it_was_refused():
    said = Delivered(AllocPages)
    machine = started(TIGHT, 100, said)
    machine.apply(inject("memory_pressure", pages=10**9, duration_ns=250 * US))
    machine.advance(events_max=ALL, until_ns=200 * US)
    assert sum(message.count == BALLOON_BATCH_PAGES for _, _, message in said.all) < 12


def test_two_lots_end_each_in_its_time_even_one_that_is_still_growing():
    machine = started(SAME_ADDRESS, 30)
    machine.apply(inject("memory_pressure", pages=2_000, duration_ns=3 * US))
    machine.apply(inject("memory_pressure", pages=500, duration_ns=500 * US))
    machine.advance(events_max=ALL, until_ns=400 * US)
    assert system(machine).host.held_pages == 500
    ran(machine)
    assert_settled(machine._machine)


def test_kswapd_answers_the_hosts_hunger():
    scenario = SAME_ADDRESS.model_copy(update={"costs": {"page_cache_mib": 8}})
    machine = started(scenario, 30)
    machine.apply(inject("memory_pressure", pages=10**9, duration_ns=MS))
    assert ran(machine).vmstat["pgsteal_kswapd"] > 0


# --- a stolen CPU ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", [MUNMAP_VS_FAULT, COLLAPSE_VS_FAULT], ids=lambda scenario: scenario.workload)
def test_senders_of_ipis_wait_for_a_cpu_that_is_not_running(scenario):
    """Wherever the theft falls; where a sender needs that CPU meanwhile, it waits."""
    waited = []
    for events in range(0, run(scenario).events, 10):
        machine = started(scenario, events)
        at_ns = machine.stats().now_ns
        machine.apply(inject("starved_cpu", cpu=1, duration_ns=300 * US))
        result = ran(machine)
        assert result.cpu_time[1].stolen_ns == min(300 * US, result.virtual_ns - at_ns)
        assert_settled(machine._machine)
        if result.ipi.worst is not None and result.ipi.worst.wait_ns > 250 * US:
            waited.append(result.ipi.worst)
    assert waited
    for worst in waited:
        assert worst.last_acker == "cpu1"
        assert "vCPU not running from" in worst.why


def test_a_stolen_cpu_computes_nothing_irqs_off_or_on():
    """Wherever the theft falls, what the CPU does afterwards takes as long as it would have taken."""
    plain = run(MUNMAP_VS_FAULT)
    for events in range(0, plain.events, 7):
        machine = LiveMachine(MUNMAP_VS_FAULT)
        machine.advance(events_max=events)
        at_ns = machine.stats().now_ns
        machine.apply(inject("starved_cpu", cpu=1, duration_ns=200 * US))
        machine.advance(events_max=ALL, until_ns=at_ns + 199 * US)
        stats = machine.stats()
        result = ran(machine)
        assert result.cpu_time[1].stolen_ns == min(200 * US, result.virtual_ns - at_ns)
        assert_settled(machine._machine)
        assert result.virtual_ns >= at_ns + 200 * US or stats.now_ns == result.virtual_ns
        machine.close()


def test_a_theft_inside_a_section_with_irqs_off_lengthens_it():
    scenario = MUNMAP_VS_FAULT.model_copy(update={"policy": "spf-v9", "options": {"tables": False, "spread_ns": 1}})
    stories = []
    for events in range(60, run(scenario).events):
        machine = LiveMachine(scenario, observers=[heard := Heard(IpiServed)])
        machine.advance(events_max=events)
        if not machine.state("cpu1")["interrupts"]["enabled"]:
            machine.apply(inject("starved_cpu", cpu=1, duration_ns=100 * US))
            ran(machine)
            assert_settled(machine._machine)
            stories.extend(served for served in heard.of(IpiServed) if served.delayed > 50 * US)
        machine.close()
    assert any("vCPU not running" in served.reason and "irqs off in" in served.reason for served in stories)


def test_an_idle_cpu_may_be_stolen_and_wakes_up_late():
    machine = started(SAME_ADDRESS, 12)
    machine.apply(inject("starved_cpu", cpu=3, duration_ns=50 * US))
    machine.apply(inject("starved_cpu", cpu=3, duration_ns=50 * US))
    result = ran(machine)
    assert result.cpu_time[3].stolen_ns == 100 * US
    assert result.virtual_ns > 100 * US
    assert_settled(machine._machine)


@pytest.mark.parametrize("duration_ns", [1, 80 * US, 10 * MS])
def test_time_adds_up_where_the_run_ends_inside_a_theft(duration_ns):
    machine = started(EBIZZY, 500)
    machine.advance(events_max=ALL, until_ns=250 * US)
    for cpu in (0, 1, 1):
        machine.apply(inject("starved_cpu", cpu=cpu, duration_ns=duration_ns))
    result = ran(machine)
    assert_time_adds_up(system(machine))
    assert result.cpu_time[0].stolen_ns == min(duration_ns, 50 * US)


def test_time_adds_up_wherever_the_run_ends_as_a_theft_begins():
    for events in range(20, run(SAME_ADDRESS).events):
        machine = LiveMachine(SAME_ADDRESS, limits=Quota(events_max=events + 1))
        machine.advance(events_max=events)
        if machine.stop is None:
            machine.apply(inject("starved_cpu", cpu=events % 4, duration_ns=MS))
        ran(machine)
        assert_time_adds_up(system(machine))


# --- errors ----------------------------------------------------------------------------------------------------------

BAD = {
    "cpu 2: no such CPU; there are 0 to 1": [
        inject("fault", cpu=2, address=0),
        inject("munmap", cpu=2, address=0, length=1),
        inject("starved_cpu", cpu=2, duration_ns=1),
    ],
    "not at a page's border": [inject("munmap", cpu=0, address=7, length=1)],
    "beyond user space": [inject("munmap", cpu=0, address=2**48 - PAGE, length=2 * PAGE)],
    "no such policy": [SetPolicy(policy="best")],
}


@pytest.mark.parametrize("why", BAD)
def test_what_cannot_be_done_changes_nothing(why):
    machine = LiveMachine(MUNMAP_VS_FAULT)
    machine.advance(events_max=40)
    for command in BAD[why]:
        with pytest.raises(UsageError, match=why):
            machine.apply(command)
    assert "host" not in machine.actor_names()
    assert ran(machine) == run(MUNMAP_VS_FAULT)


def test_a_machine_that_has_ended_takes_no_commands():
    machine = LiveMachine(SAME_ADDRESS)
    result = ran(machine)
    with pytest.raises(UsageError, match=r"has ended \(quiescent\)"):
        machine.apply(inject("starved_cpu", cpu=0, duration_ns=1))
    assert machine.result() is result


def test_a_killed_process_starts_no_thread():
    machine = started(TIGHT, 100)
    machine.apply(inject("memory_pressure", pages=10**9, duration_ns=250 * US))
    machine.advance(events_max=ALL, until=Until(quantity="oom_kills", value=1))
    machine.advance(events_max=ALL, until_ns=machine.stats().now_ns)
    with pytest.raises(UsageError, match="was killed by the OOM killer"):
        machine.apply(inject("fault", cpu=0, address=0))


def test_a_command_is_said_by_the_host_at_its_position():
    said = Delivered(StealCpu)
    machine = started(EBIZZY, 100, said)
    at = machine.position()
    assert machine.apply(inject("starved_cpu", cpu=0, duration_ns=5)).at == at
    assert machine.actor_names()[-2:] == ["host", "engine"]
    machine.advance(events_max=ALL, until_ns=at.now_ns)
    assert [(at_ns, receiver) for at_ns, receiver, _ in said.all] == [(at.now_ns, "cpu0")]
