"""What a recording says about its own run."""

import pytest

from kactors.recordings import CallCounts, Distribution
from kactors.recordings.percentiles import distribution, percentile

ADDRESS = 0x7F0000001000
NONE = Distribution(0, 0, 0, 0, 0)


def one(us):
    return Distribution(1, us * 1000, us * 1000, us * 1000, us * 1000)


def test_percentiles_are_nearest_rank():
    ordered = list(range(1, 201))
    assert [percentile(ordered, percent) for percent in (1, 50, 99, 100)] == [2, 100, 198, 200]
    assert [percentile([7], percent) for percent in (1, 50, 100)] == [7, 7, 7]
    assert distribution([5, 1, 3]) == Distribution(3, 3, 5, 5, 5)
    assert distribution([]) == NONE


def test_faults_and_completed_calls_are_counted(script):
    script.leave(5, "munmap").fault(10, ADDRESS).mmap(20, 30, ADDRESS, 8).mmap(40, 50, 0, 8).munmap(60, 70, ADDRESS, 8)
    script.enter(80, "brk", named={"brk": 0}).leave(90, "munmap").enter(100, "brk", named={"brk": 0})
    assert script.read().facts.calls == CallCounts(mmap=2, munmap=1, mprotect=0, madvise=0, brk=0)
    assert script.read().facts.faults == 1
    assert script.read().facts.span_ns == 95_000


def test_lock_waits_run_from_start_to_acquired_of_the_same_lock_and_mode(script):
    script.fault(1, ADDRESS)
    script.lock(10, "start_locking").lock(13, "acquire_returned").lock(15, "acquire_returned", write=False)
    script.lock(20, "start_locking", write=False).lock(27, "acquire_returned", write=False).lock(28, "released")
    script.lock(30, "start_locking").lock(31, "acquire_returned", mm="0x1").lock(35, "acquire_returned")
    facts = script.read().facts
    assert facts.write_wait == Distribution(2, 3_000, 5_000, 5_000, 5_000)
    assert facts.read_wait == one(7)


def queued(script, at, *, func="flush_tlb_func", csd="0x1", to=1, **who):
    return script.event(at, "csd:csd_queue_cpu", f"cpu={to} callsite=x+0x1 func={func} csd={csd}", **who)


def done(script, at, *, func="flush_tlb_func", csd="0x1", cpu=1):
    return script.event(at, "csd:csd_function_exit", f"func={func}, csd={csd}", cpu=cpu, tid=0, comm="swapper", pid=0)


def test_an_ipi_runs_from_the_queue_to_the_exit_on_its_target(script):
    queued(script.fault(1, ADDRESS), 10)
    done(script, 12, cpu=2)
    done(script, 13, csd="(nil)")
    done(script, 14, func="sched_ttwu_pending")
    done(script, 19)
    done(script, 20)
    facts = script.read().facts
    assert (facts.flush_ipi, facts.sync_ipi) == (one(9), NONE)


def test_an_ipi_without_exit_is_not_taken_for_the_next_one(script):
    done(queued(queued(script.fault(1, ADDRESS), 10), 500), 507)
    assert script.read().facts.flush_ipi == one(7)


def test_flush_and_sync_are_told_apart_and_other_senders_left_out_of_a_process(script):
    sync = {"func": "tlb_remove_table_smp_sync", "csd": "0x2"}
    queued(script.fault(1, ADDRESS), 10)
    queued(script, 11, csd="0x3", tid=77, comm="stranger", pid=77)
    queued(script, 12, tid=38, comm="khugepaged", pid=38, **sync)
    done(script, 15)
    done(script, 20, csd="0x3")
    done(script, 30, **sync)
    recording = script.read()
    assert (recording.facts.flush_ipi, recording.facts.sync_ipi) == (one(5), one(18))
    assert recording.machine_facts.flush_ipi == Distribution(2, 5_000, 9_000, 9_000, 9_000)
    assert recording.machine_facts.sync_ipi == one(18)


def test_remote_flushes_are_counted_also_if_no_ipi_follows(script):
    script.fault(1, ADDRESS).event(10, "tlb:tlb_flush", "pages:1 reason:remote IPI send (4)")
    script.event(11, "tlb:tlb_flush", "pages:1 reason:local MM shootdown (3)")
    assert script.read().facts.remote_flushes == 1


@pytest.mark.parametrize(
    ("status", "own", "collapses"), [("succeeded", True, 1), ("succeeded", False, 0), ("fail", True, 0)]
)
def test_collapses_are_those_that_succeeded_in_the_process_own_mm(script, status, own, collapses):
    mm = "0xffff888100000000" if own else "0xffff888100000001"
    script.lock(1, "start_locking", mm="0xffff888100000000").fault(2, ADDRESS)
    script.event(
        9,
        "huge_memory:mm_collapse_huge_page",
        f"mm={mm}, isolated=1, status={status}",
        tid=38,
        comm="khugepaged",
        pid=38,
    )
    recording = script.read()
    assert recording.facts.collapses == collapses
    assert recording.machine_facts.collapses == (status == "succeeded")


def test_garbled_fields_are_no_facts(script):
    script.fault(1, ADDRESS)
    for at, event in enumerate(["mmap_lock:mmap_lock_start_locking", "mmap_lock:mmap_lock_acquire_returned"], 10):
        script.event(at, event, "mm=?")
    for at, event in enumerate(["csd:csd_queue_cpu", "csd:csd_function_exit", "huge_memory:mm_collapse_huge_page"], 20):
        script.event(at, event, "?")
    facts = script.read().facts
    assert (facts.write_wait, facts.read_wait, facts.flush_ipi, facts.collapses) == (NONE, NONE, NONE, 0)
