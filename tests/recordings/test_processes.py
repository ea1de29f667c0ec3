"""Which threads are a process, and which process is taken."""

import pytest

from kactors.recordings import RecordingError

ADDRESS = 0x7F0000001000


def tids(recording):
    return [thread.tid for thread in recording.threads]


def two_processes(script):
    """Process 10: threads 10 and 11, two faults; process 20: threads 20 to 22, three faults."""
    for at, (pid, tid, comm) in enumerate([(10, 10, "a"), (10, 11, "b"), (20, 21, "c"), (20, 22, "d"), (20, 20, "c")]):
        mm = "0xffff888100000010" if pid == 10 else "0xffff888100000020"
        who = {"pid": pid, "tid": tid, "comm": comm}
        script.lock(at * 10 + 10, "start_locking", mm=mm, **who).fault(at * 10 + 15, ADDRESS, **who)
    return script


def test_the_process_with_most_faults_is_taken_and_the_others_are_told(script):
    recording = two_processes(script).read()
    assert (recording.pid, recording.comm, tids(recording)) == (20, "c", [20, 21, 22])
    assert [(each.pid, each.comm, each.faults) for each in recording.candidates] == [(20, "c", 3), (10, "a", 2)]


def test_a_pid_names_another(script):
    recording = two_processes(script).read(pid=10)
    assert (recording.pid, tids(recording)) == (10, [10, 11])
    assert (recording.facts.faults, recording.machine_facts.faults) == (2, 5)


def test_a_pid_that_is_not_there_is_an_error_that_names_those_that_are(script):
    with pytest.raises(RecordingError, match=r"no process 30 .*; there are 20 \(c, 3 faults\), 10 \(a, 2 faults\)$"):
        two_processes(script).read(pid=30)


def test_many_candidates_are_cut(ns_script):
    for pid in range(1, 21):
        ns_script.fault(pid, ADDRESS, pid=pid, tid=pid)
    with pytest.raises(RecordingError, match=r"and 12 more$"):
        ns_script.read(pid=99)


def test_a_task_without_faults_and_calls_is_no_candidate(ns_script, new_script):
    ns_script.other(5).fault(10, ADDRESS)
    with pytest.raises(RecordingError, match="no process 99 "):
        ns_script.read(pid=99)
    with pytest.raises(
        RecordingError, match="no page fault and no memory call in it; record exceptions:page_fault_user"
    ):
        new_script("ns").other(5).read()


def test_a_threads_id_names_its_process_only_where_there_are_no_pids(ns_script, default_script):
    assert two_processes(default_script).read(pid=22).pid == 20
    with pytest.raises(RecordingError, match="no process 22 "):
        two_processes(ns_script).read(pid=22)


def test_a_process_without_its_first_thread_has_the_name_of_its_busiest(ns_script):
    ns_script.fault(10, ADDRESS, tid=12, comm="b").fault(20, ADDRESS, tid=13, comm="c").fault(
        30, ADDRESS, tid=13, comm="c"
    )
    recording = ns_script.read()
    assert (recording.pid, recording.comm) == (10, "c")


def test_without_pids_a_thread_without_lock_events_goes_to_its_namesakes(default_script):
    two_processes(default_script).fault(100, ADDRESS, tid=31, comm="a").fault(110, ADDRESS, tid=32, comm="a")
    assert tids(default_script.read()) == [10, 11, 31, 32]


def test_without_pids_namesakes_without_lock_events_are_a_process(default_script):
    two_processes(default_script).fault(100, ADDRESS, tid=31, comm="x").fault(110, ADDRESS, tid=32, comm="x")
    assert tids(default_script.read(pid=31)) == [31, 32]
    assert tids(default_script.fault(120, ADDRESS, tid=33, comm="y").read(pid=33)) == [33]


def test_without_pids_the_most_used_lock_decides_and_of_equals_the_last(default_script):
    a, b = "0xffff88810000000a", "0xffff88810000000b"
    default_script.lock(1, "start_locking", mm=a, tid=1).fault(2, ADDRESS, tid=1)
    default_script.lock(3, "start_locking", mm=b, tid=2).fault(4, ADDRESS, tid=2)
    # Two threads that exec: first the address space that they leave, then their own.
    default_script.lock(5, "start_locking", mm=b, tid=3).lock(6, "start_locking", mm=a, tid=3).fault(7, ADDRESS, tid=3)
    for mm in (a, b, b):
        default_script.lock(8, "start_locking", mm=mm, tid=4)
    default_script.fault(9, ADDRESS, tid=4)
    assert tids(default_script.read(pid=1)) == [1, 3]
    assert tids(default_script.read(pid=2)) == [2, 4]


def test_khugepaged_is_not_in_the_process_whose_lock_it_takes(default_script):
    default_script.lock(1, "start_locking").fault(2, ADDRESS).lock(3, "start_locking", tid=38, comm="khugepaged")
    assert default_script.read().candidates[0].tids == {10}
