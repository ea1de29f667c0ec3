"""perf's counters, /proc/vmstat and the workload's own result, from a hand-made story."""

import pytest

from kactors.observers.counters import REASONS, FaultCounters
from protocols.tracepoints import (
    CollapseDone,
    FaultDone,
    OomKill,
    PageFaultUser,
    RecordDone,
    SpfAbort,
    VmEvent,
    Watermark,
    WorkersStarted,
)


def told(*tracepoints):
    counters = FaultCounters()
    for at_ns, tracepoint in enumerate(tracepoints):
        counters.tracepoints()[type(tracepoint)](at_ns, "cpu0", tracepoint)
    return counters


FAULT = PageFaultUser(address=0, write=True)


def done(path):
    return FaultDone(address=0, duration=1, path=path)


def abort(reason):
    return SpfAbort(address=0, reason=reason)


def test_the_residual_is_what_neither_success_nor_reason_explains():
    counters = told(FAULT, done("classic"), FAULT, done("spf"), FAULT, abort("spf_vma_changed"), done("classic"))
    counted = counters.counters()
    assert (counted.faults, counted.spf, counted.spf_vma_changed, counted.residual) == (3, 1, 1, 1)
    assert counters.paths() == {"classic": 2, "spf": 1}


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_has_a_counter_of_its_own(reason):
    counted = told(FAULT, abort(reason)).counters()
    assert getattr(counted, reason) == 1
    assert counted.residual == 0
    assert sum(getattr(counted, other) for other in REASONS) == 1


def test_a_fault_that_speculates_twice_makes_the_residual_negative():
    assert told(FAULT, abort("spf_vma_changed"), abort("spf_pte_lock")).counters().residual == -1


def test_the_counters_stand_in_the_mails_order():
    names = list(told().counters().model_dump())
    assert names == ["faults", "spf", *REASONS, "residual"]


def test_throughput_is_measured_from_the_start_of_the_workers():
    story = [FAULT, WorkersStarted(workers=2), FAULT, FAULT, RecordDone(thread=1)]
    throughput = told(*story).throughput("records", end_ns=1_000_000_001)
    assert (throughput.unit, throughput.records, throughput.measured_ns) == ("records", 1, 1_000_000_000)
    assert throughput.per_s == pytest.approx(1.0)
    assert throughput.faults_per_s == pytest.approx(2.0)


def test_a_run_that_ends_when_its_workers_start_has_no_rate():
    throughput = told(WorkersStarted(workers=1)).throughput("records", end_ns=0)
    assert (throughput.measured_ns, throughput.per_s, throughput.faults_per_s) == (0, 0.0, 0.0)


def test_vmstat_sums_up_by_name():
    events = [VmEvent(name="pgfree", count=3), VmEvent(name="pgfree", count=4), VmEvent(name="oom_kill", count=1)]
    assert told(*events).vmstat == {"pgfree": 7, "oom_kill": 1}


def test_watermarks_count_downwards_only():
    marks = [Watermark(name="low", below=below, free=1) for below in (True, False, True)]
    assert told(*marks).watermarks == {"low": 2}


def test_collapses_and_kills_are_counted():
    statuses = ["succeeded", "pmd_null", "succeeded"]
    counters = told(*[CollapseDone(address=0, status=status, duration=1) for status in statuses], OomKill(free=0))
    assert counters.collapses == {"succeeded": 2, "pmd_null": 1}
    assert counters.oom_kills == 1
