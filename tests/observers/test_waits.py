"""How long IPI senders and users of mmap_sem waited, from a hand-made story."""

from kactors.observers.waits import IpiWaitObserver, MmapSemObserver
from protocols.stop import BoundExceeded
from protocols.tracepoints import IpiDone, IpiServed, MmapSemHold, MmapSemWait


def ipi_done(wait, kind="flush", last_acker=1):
    return IpiDone(request=1, kind=kind, sent_at=100, wait=wait, targets=3, last_acker=last_acker)


def tell(observer, *entries):
    return [observer.tracepoints()[type(entry)](at_ns, who, entry) for at_ns, who, entry in entries][-1]


def test_waits_are_told_by_kind():
    observer = IpiWaitObserver()
    tell(observer, *[(1, "cpu0", ipi_done(wait)) for wait in (5, 7)], (2, "khugepaged", ipi_done(9, "sync")))
    summary = observer.summary()
    assert [summary.all.count, summary.flush.count, summary.sync.count] == [3, 2, 1]
    assert summary.flush.max_ns == 7
    assert summary.sync.total_ns == 9


def test_the_worst_wait_tells_who_was_last_and_why():
    observer = IpiWaitObserver()
    served = IpiServed(
        sender=0, kind="flush", arrived_at=110, delayed=40, duration=900, reason="irqs off in pte_map_lock since 90 ns"
    )
    other = IpiServed(sender=2, kind="flush", arrived_at=110, delayed=1, duration=900, reason="of no concern")
    tell(observer, (150, "cpu1", served), (151, "cpu1", other), (160, "cpu0", ipi_done(60)), (170, "cpu0", ipi_done(9)))
    worst = observer.summary().worst
    assert (worst.wait_ns, worst.sender, worst.last_acker, worst.targets, worst.sent_at_ns) == (
        60,
        "cpu0",
        "cpu1",
        3,
        100,
    )
    assert worst.why == "irqs off in pte_map_lock since 90 ns, delayed 40 ns"


def test_khugepaged_is_a_sender_like_any_other():
    observer = IpiWaitObserver()
    served = IpiServed(sender=-1, kind="sync", arrived_at=110, delayed=0, duration=900, reason="at once")
    tell(observer, (150, "cpu1", served), (160, "khugepaged", ipi_done(60, "sync")))
    assert observer.summary().worst.why == "at once, delayed 0 ns"


def test_a_reason_that_nobody_told_is_unknown():
    observer = IpiWaitObserver()
    tell(observer, (160, "cpu0", ipi_done(60)))
    assert observer.summary().worst.why == "unknown"


def test_without_ipis_there_is_no_worst_one():
    assert IpiWaitObserver().summary().worst is None


def test_a_bound_is_a_finding_only_when_it_is_exceeded():
    observer = IpiWaitObserver(wait_max_ns=50)
    assert tell(observer, (1, "cpu0", ipi_done(50))) is None
    finding = tell(observer, (9, "cpu0", ipi_done(51)))
    assert isinstance(finding, BoundExceeded)
    assert (finding.bound, finding.limit, finding.value) == ("bounds.ipi_wait_max_ns", 50, 51)
    assert "cpu0 waited for cpu1" in finding.cause


def test_mmap_sem_waits_are_told_by_read_and_write():
    observer = MmapSemObserver()
    waits = [(False, 3, False), (False, 9, True), (True, 20, True), (True, 30, True), (True, 4, False)]
    tell(observer, *[(1, "cpu0", MmapSemWait(write=write, wait=wait, slept=slept)) for write, wait, slept in waits])
    tell(observer, (2, "mm", MmapSemHold(hold=11)))
    summary = observer.summary()
    assert (summary.read.count, summary.read_slept, summary.read.max_ns) == (2, 1, 9)
    assert (summary.write.count, summary.write_slept, summary.write.total_ns) == (3, 2, 54)
    assert summary.write_hold.total_ns == 11
