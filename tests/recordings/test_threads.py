"""From events to steps: pairing, failing calls, the window's two ends, faults; in both layouts."""

import pytest

from kactors.recordings import Brk, Fault, Madvise, Mmap, Mprotect, Munmap, RecordingError

ADDRESS = 0x7F0000001000
SPAN = {"addr": ADDRESS, "len": 8}


def test_the_six_kinds_of_step(script):
    script.mmap(10, 20, ADDRESS, 8).fault(30, ADDRESS + 5)
    script.enter(40, "mprotect", named={"start": ADDRESS, "len": 8, "prot": 1}).leave(50, "mprotect")
    script.enter(60, "madvise", named={"start": ADDRESS, "len_in": 4096, "behavior": 4}).leave(70, "madvise")
    script.munmap(80, 90, ADDRESS, 8)
    script.enter(100, "brk", named={"brk": 0}).leave(110, "brk", 0x5000)
    assert script.steps() == (
        Mmap(0, ADDRESS, 8, 3, 0x22, -1, 0),
        Fault(10_000, ADDRESS + 5, write=True, instruction=False),
        Mprotect(10_000, ADDRESS, 8, 1),
        Madvise(10_000, ADDRESS, 4096, 4),
        Munmap(10_000, ADDRESS, 8),
        Brk(10_000, 0x5000),
    )


def test_madvise_also_names_its_length_len(script):
    script.enter(10, "madvise", named={"start": ADDRESS, "len": 4096, "behavior": 4}).leave(20, "madvise")
    assert script.steps() == (Madvise(0, ADDRESS, 4096, 4),)


@pytest.mark.parametrize(
    ("code", "write", "instruction"),
    [(0x4, False, False), (0x6, True, False), (0x7, True, False), (0x14, False, True), (0x15, False, True)],
)
def test_the_error_code_tells_write_and_instruction_fetch(script, code, write, instruction):
    assert script.fault(10, ADDRESS, code=code).steps() == (Fault(0, ADDRESS, write, instruction),)


@pytest.mark.parametrize(
    ("fd", "flags", "number", "is_file"),
    [
        (0xFFFFFFFF, 0x22, -1, False),
        (0xFFFFFFFFFFFFFFFF, 0x22, -1, False),
        (3, 0x2, 3, True),
        (0, 0x2, 0, True),
        (0, 0x22, 0, False),
    ],
)
def test_mmap_tells_a_file_by_its_descriptor(script, fd, flags, number, is_file):
    script.mmap(10, 20, ADDRESS, 4096, addr=0x7000, fd=fd, flags=flags)
    (step,) = script.steps()
    assert (step.fd, step.file, step.requested) == (number, is_file, 0x7000)


@pytest.mark.parametrize("errno", ["0xfffffffffffffff4", "-12", "18446744073709551604"])
def test_a_failed_call_is_dropped_and_counted_and_its_user_time_kept(script, errno):
    script.fault(10, ADDRESS).enter(20, "munmap", named=SPAN).leave(30, "munmap", errno).fault(45, ADDRESS)
    assert script.steps() == (Fault(0, ADDRESS, True, False), Fault(25_000, ADDRESS, True, False))
    assert script.read().failed_calls == 1


def test_brk_failed_if_the_heap_does_not_end_where_it_was_wanted(script):
    script.enter(10, "brk", named={"brk": 0x9000}).leave(20, "brk", 0x5000)
    script.enter(30, "brk", named={"brk": 0x6000}).leave(40, "brk", 0x6000)
    recording = script.read()
    assert recording.threads[0].steps == (Brk(10_000, 0x6000),)
    assert recording.failed_calls == 1


def test_an_exit_without_enter_is_where_user_time_begins(script):
    script.leave(10, "munmap").fault(25, ADDRESS)
    assert script.steps() == (Fault(15_000, ADDRESS, True, False),)
    assert script.read().failed_calls == 0


@pytest.mark.parametrize(
    ("call", "named", "steps"),
    [
        ("munmap", SPAN, (Munmap(5_000, ADDRESS, 8),)),
        ("mprotect", {"start": ADDRESS, "len": 8, "prot": 1}, (Mprotect(5_000, ADDRESS, 8, 1),)),
        ("madvise", {"start": ADDRESS, "len_in": 8, "behavior": 4}, (Madvise(5_000, ADDRESS, 8, 4),)),
        ("mmap", {"addr": 0, "len": 8, "prot": 3, "flags": 0x22, "fd": 0xFFFFFFFF}, ()),
        ("brk", {"brk": 0x5000}, ()),
    ],
)
def test_an_enter_without_exit_is_kept_if_it_tells_enough(script, call, named, steps):
    script.fault(10, ADDRESS).enter(15, call, named=named)
    assert script.steps()[1:] == steps
    assert script.read().failed_calls == 0


def test_a_lost_exit_ends_with_the_next_enter_or_another_exit(script):
    script.enter(10, "munmap", named=SPAN).munmap(20, 30, ADDRESS + 4096, 8)
    script.enter(40, "munmap", named=SPAN).leave(50, "mmap", ADDRESS).fault(55, ADDRESS)
    assert script.steps() == (
        Munmap(0, ADDRESS, 8),
        Munmap(0, ADDRESS + 4096, 8),
        Munmap(10_000, ADDRESS, 8),
        Fault(5_000, ADDRESS, True, False),
    )


def test_calls_are_paired_by_thread(script):
    a, b = {"tid": 10}, {"tid": 11, "cpu": 1}
    script.enter(10, "munmap", named=SPAN, **a).enter(11, "munmap", named={"addr": ADDRESS + 4096, "len": 8}, **b)
    script.leave(12, "munmap", "-12", **b).leave(13, "munmap", **a)
    recording = script.read()
    assert [(thread.tid, thread.steps) for thread in recording.threads] == [(10, (Munmap(0, ADDRESS, 8),))]
    assert recording.failed_calls == 1


def test_a_fault_in_a_call_comes_after_it_and_costs_no_user_time(script):
    script.fault(5, ADDRESS).enter(10, "madvise", named={"start": ADDRESS, "len_in": 8, "behavior": 23})
    script.fault(20, ADDRESS + 4096, kernel=True).fault(25, ADDRESS + 8192).leave(30, "madvise").fault(37, ADDRESS)
    assert script.steps()[1:] == (
        Madvise(5_000, ADDRESS, 8, 23),
        Fault(0, ADDRESS + 4096, True, False),
        Fault(0, ADDRESS + 8192, True, False),
        Fault(7_000, ADDRESS, True, False),
    )


def test_the_kernels_faults_on_user_addresses_count(script):
    script.fault(10, ADDRESS, code=2, kernel=True).fault(20, 0xFFFF888000000000, code=2, kernel=True)
    script.event(30, "exceptions:page_fault_kernel", "address=some_symbol ip=copy error_code=0x2")
    script.fault(40, 0xFFFFFFFFFF600000)
    assert script.steps() == (Fault(0, ADDRESS, True, False),)
    assert script.read().facts.faults == 1


def test_threads_have_their_last_name_and_the_time_they_were_first_seen(ns_script):
    ns_script.other(1_000).fault(1_010, ADDRESS, comm="perf-exec").fault(1_020, ADDRESS, comm="app")
    ns_script.fault(1_030, ADDRESS, comm="app", tid=11, cpu=1).alloc(1_040, tid=12, cpu=1)
    recording = ns_script.read()
    assert [(thread.tid, thread.comm, thread.start_ns) for thread in recording.threads] == [
        (10, "app", 10_000),
        (11, "app", 30_000),
    ]
    assert recording.span_ns == 40_000
    assert recording.cpus == (0, 1)


def test_events_out_of_order_are_sorted_and_those_of_one_instant_keep_their_order(script):
    script.fault(30, ADDRESS + 4096).munmap(40, 50, ADDRESS, 8).mmap(10, 20, ADDRESS, 8)
    script.fault(60, ADDRESS).fault(60, ADDRESS + 4096)
    names = [type(step).__name__ for step in script.steps()]
    assert names == ["Mmap", "Fault", "Munmap", "Fault", "Fault"]
    assert [step.address for step in script.steps()[-2:]] == [ADDRESS, ADDRESS + 4096]


BAD_EVENTS = [
    ("exceptions:page_fault_user", "no fields"),
    ("exceptions:page_fault_user", "address=0x7f0000000000 ip=0x1 error_code=07"),
    ("syscalls:sys_enter_munmap", "addr: 0x7f0000000000, len: "),
    ("syscalls:sys_enter_mmap", "addr: 0x7f0000000000, len: 0x1000"),
    ("syscalls:sys_exit_munmap", ""),
]


@pytest.mark.parametrize(("event", "args"), BAD_EVENTS)
def test_an_event_without_its_fields_is_an_unreadable_line(script, event, args):
    for at in range(10, 109):
        script.fault(at, ADDRESS)
    recording = script.event(120, event, args).read()
    assert (recording.report.skipped, recording.report.first_skipped_line) == (1, 100)
    assert len(recording.threads[0].steps) == 99
    with pytest.raises(RecordingError, match=rf"small\.perf\.txt, line 100: 2 of 101 lines .*{event}"):
        script.event(130, event, args).read()


def test_an_unreadable_result_leaves_a_munmap_that_may_have_been_and_no_mmap(script):
    for at in range(10, 220):
        script.fault(at, ADDRESS)
    script.enter(220, "munmap", named=SPAN).leave(230, "munmap", "?").mmap(240, 250, "?", 8)
    assert script.steps()[210:] == (Munmap(1_000, ADDRESS, 8),)


def test_more_events_than_the_bound_are_an_error_that_names_it(script, monkeypatch):
    monkeypatch.setattr("kactors.recordings.recording.EVENTS_MAX", 3)
    script.fault(1, ADDRESS).fault(2, ADDRESS).fault(3, ADDRESS)
    assert script.read().facts.faults == 3
    with pytest.raises(RecordingError, match="line 4: more than 3 events"):
        script.fault(4, ADDRESS).read()


def away(script):
    (thread,) = (thread for thread in script.read().threads if thread.tid == 10)
    return [(moment.away, moment.slept_ns) for moment in thread.moments]


def test_who_is_preempted_waits_for_nobody(script):
    """Its CPU had other work all the time."""
    script.fault(10, ADDRESS).other(20, tid=99).other(400, tid=98).fault(500, ADDRESS)
    assert away(script) == [(False, 0), (False, 0)]


def test_who_leaves_an_idle_cpu_behind_sleeps(script):
    """Somebody of its process runs when it comes back: that may be who woke it."""
    script.fault(10, ADDRESS).other(20, tid=0).fault(450, ADDRESS + 4096, tid=11, cpu=1).fault(500, ADDRESS)
    assert away(script) == [(False, 0), (True, 0)]


def test_a_cpu_on_which_nothing_happens_for_long_is_idle_too(script):
    script.fault(10, ADDRESS).other(20).fault(900, ADDRESS + 4096, tid=11, cpu=1).other(950).fault(1000, ADDRESS)
    assert away(script) == [(False, 0), (True, 0)]


def test_if_nobody_else_of_the_process_ran_it_was_a_timer(script):
    script.fault(5, ADDRESS + 4096, tid=11, cpu=1).fault(10, ADDRESS).other(20, tid=0).fault(500, ADDRESS)
    assert away(script) == [(False, 0), (False, 480_000)]
