"""User time: whose it is, where it begins and ends, and what tracing costs."""

import pytest

from kactors.recordings import Fault

ADDRESS = 0x7F0000001000


def user_times(script, tid=10, **how):
    return [step.user_ns for step in script.steps(tid, **how)]


def test_it_runs_from_the_end_of_a_call_to_the_next_step(script):
    script.munmap(10, 20, ADDRESS, 8).munmap(27, 30, ADDRESS, 8).fault(35, ADDRESS)
    assert user_times(script) == [0, 7_000, 5_000]


def test_it_begins_after_the_last_event_of_a_fault(script):
    script.fault(10, ADDRESS).lock(12, "start_locking").lock(13, "acquire_returned").alloc(15).lock(16, "released")
    script.fault(20, ADDRESS).alloc(22).fault(30, ADDRESS).fault(31, ADDRESS)
    assert user_times(script) == [0, 4_000, 8_000, 1_000]


def test_waiting_for_the_lock_is_no_user_time_however_long(script):
    script.fault(10, ADDRESS).lock(12, "start_locking", write=False).other(20).other(5_000)
    script.lock(9_000, "acquire_returned", write=False).alloc(9_500).lock(9_510, "released", write=False)
    script.fault(9_511, ADDRESS)
    assert user_times(script) == [0, 1_000]


def test_an_allocation_long_after_a_fault_is_not_of_the_fault(script):
    script.fault(10, ADDRESS).alloc(15).alloc(3_015).alloc(3_016).fault(3_020, ADDRESS)
    assert user_times(script) == [0, 3_005_000]


def test_a_wakeup_or_a_freed_page_is_not_of_the_fault(script):
    wakeup = "cpu=1 callsite=ttwu_queue_wakelist+0x11d func=sched_ttwu_pending csd=0x1"
    script.fault(10, ADDRESS).alloc(12).event(20, "csd:csd_queue_cpu", wakeup)
    script.event(21, "kmem:mm_page_free", "page=0x1 pfn=0x1 order=0").fault(30, ADDRESS)
    assert user_times(script) == [0, 18_000]


def test_a_flush_that_the_fault_sends_is_of_the_fault(script):
    script.fault(10, ADDRESS).event(20, "tlb:tlb_flush", "pages:1 reason:remote IPI send (4)")
    script.event(25, "csd:csd_queue_cpu", "cpu=1 callsite=on_each_cpu func=flush_tlb_func csd=0x1").fault(26, ADDRESS)
    assert user_times(script) == [0, 1_000]


def test_it_ends_with_the_first_event_of_another_task_on_the_cpu_and_goes_on_after_the_last(script):
    script.munmap(10, 20, ADDRESS, 8).other(23).other(90).fault(100, ADDRESS)
    assert user_times(script) == [0, 13_000]


def test_a_thread_that_comes_back_elsewhere_has_been_there_since_its_own_event(script):
    script.munmap(10, 20, ADDRESS, 8).other(23).other(90, cpu=1).fault(100, ADDRESS, cpu=1)
    assert user_times(script) == [0, 3_000]


def test_another_task_on_another_cpu_takes_nothing(script):
    script.munmap(10, 20, ADDRESS, 8).other(23, cpu=1).fault(100, ADDRESS)
    assert user_times(script) == [0, 80_000]


def test_a_thread_of_the_same_process_takes_the_cpu_too(script):
    script.munmap(10, 20, ADDRESS, 8).fault(25, ADDRESS, tid=11).fault(100, ADDRESS)
    assert user_times(script) == [0, 80_000]


def test_on_another_cpu_what_counts_is_the_time_on_the_old_one(script):
    script.munmap(10, 20, ADDRESS, 8).other(23).fault(100, ADDRESS, cpu=1)
    script.fault(110, ADDRESS, cpu=0)
    assert user_times(script) == [0, 3_000, 10_000]


def test_what_comes_to_the_old_cpu_later_takes_nothing(script):
    script.munmap(10, 20, ADDRESS, 8).fault(30, ADDRESS, cpu=1).other(35, cpu=0).fault(40, ADDRESS, cpu=1)
    assert user_times(script) == [0, 10_000, 10_000]


@pytest.mark.parametrize(
    ("event", "args"),
    [
        ("tlb:tlb_flush", "pages:0 reason:flush on task switch (0)"),
        ("sched:sched_switch", "prev_comm=app prev_pid=10 prev_prio=120 prev_state=S ==> next_comm=x next_pid=1"),
    ],
)
def test_it_ends_with_the_switch_to_another_task(script, event, args):
    script.munmap(10, 20, ADDRESS, 8).event(26, event, args).fault(100, ADDRESS).event(103, event, args)
    script.fault(200, ADDRESS)
    assert user_times(script) == [0, 6_000, 3_000]


def test_interrupts_are_left_out(script):
    script.munmap(10, 20, ADDRESS, 8)
    script.event(23, "irq_vectors:call_function_single_entry", "vector=251")
    script.event(25, "tlb:tlb_flush", "pages:-1 reason:flush on task switch (0)").alloc(26)
    script.event(30, "irq_vectors:call_function_single_exit", "vector=251").fault(40, ADDRESS)
    assert user_times(script) == [0, 13_000]


def test_an_interrupt_in_user_mode_does_not_make_a_fault_longer(script):
    script.fault(10, ADDRESS).alloc(12).event(22, "irq_vectors:reschedule_entry", "vector=1").alloc(23)
    script.event(24, "irq_vectors:reschedule_exit", "vector=1").fault(30, ADDRESS)
    assert user_times(script) == [0, 16_000]


def test_a_lost_end_of_an_interrupt_lasts_to_the_next_step(script):
    script.munmap(10, 20, ADDRESS, 8).event(23, "irq:softirq_entry", "vec=1").fault(30, ADDRESS).fault(40, ADDRESS)
    script.event(45, "irq:softirq_exit", "vec=1").fault(50, ADDRESS)
    # In doubt the interrupt was short: the step that ends it in any case is also its end.
    assert user_times(script) == [0, 10_000, 10_000, 10_000]


def test_the_cost_of_tracing_comes_off_each_piece_and_never_makes_it_negative(script):
    script.munmap(10, 20, ADDRESS, 8).munmap(27, 30, ADDRESS, 8).fault(31, ADDRESS)
    script.event(35, "irq:softirq_entry", "vec=1").event(36, "irq:softirq_exit", "vec=1").fault(40, ADDRESS)
    assert user_times(script, tracing_ns=1_500) == [0, 5_500, 0, 5_000]


def free_locks(script, distances_us, **who):
    at = 1_000
    for distance in distances_us:
        script.lock(at, "start_locking", **who).lock(at + distance, "acquire_returned", **who).lock(
            at + 500, "released", **who
        )
        at += 1_000
    return script.fault(at, ADDRESS)


def estimated(script):
    return script.read(tracing_ns=None).tracing_ns


def test_tracing_cost_is_the_tenth_percentile_of_free_locks(script):
    assert estimated(free_locks(script, [*range(20, 0, -1)])) == 2_000


def test_tracing_cost_ignores_waits_in_which_the_cpu_did_something_else(script):
    script.lock(10, "start_locking").other(11).lock(12, "acquire_returned")
    script.lock(20, "start_locking").lock(21, "acquire_returned", write=False)
    script.lock(30, "start_locking").lock(31, "acquire_returned", mm="0x1")
    script.lock(40, "start_locking").lock(41, "acquire_returned", tid=11)
    assert estimated(script.fault(50, ADDRESS)) == 0
    assert estimated(free_locks(script, [7])) == 7_000


def test_tracing_cost_is_zero_without_locks_and_can_be_given(script):
    script.munmap(10, 20, ADDRESS, 8).fault(30, ADDRESS)
    assert estimated(script) == 0
    assert script.steps(tracing_ns=400)[1] == Fault(9_600, ADDRESS, True, False)
    with pytest.raises(ValueError, match="tracing_ns must be 0 or more, not -1"):
        script.read(tracing_ns=-1)
