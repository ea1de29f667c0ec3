"""Whatever events follow each other, in whatever order: a recording that makes sense, or a RecordingError."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from kactors.recordings import RecordingError, read_recording

NUMBERS = st.sampled_from(
    ["0x0", "0x1000", "0x7f0000001000", "0x7f0000003008", "0xffffffff", "-12", "0xfffffffffffffff4", "?", "9" * 20]
)
FIELDS = ["addr", "start", "len", "len_in", "prot", "flags", "fd", "brk", "behavior"]
ENTER_ARGS = st.lists(NUMBERS, min_size=9, max_size=9).map(
    lambda numbers: ", ".join(f"{name}: {number}" for name, number in zip(FIELDS, numbers, strict=True))
)
CALLS = st.sampled_from(["mmap", "munmap", "mprotect", "madvise", "brk"])
EVENTS = st.one_of(
    st.builds(lambda a, b: ("exceptions:page_fault_user", f"address={a} ip=0x1 error_code={b}"), NUMBERS, NUMBERS),
    st.builds(lambda a: ("exceptions:page_fault_kernel", f"address={a} ip=f error_code=0x2"), NUMBERS),
    st.builds(lambda call, args: (f"syscalls:sys_enter_{call}", args), CALLS, ENTER_ARGS),
    st.builds(lambda call, result: (f"syscalls:sys_exit_{call}", result), CALLS, NUMBERS),
    st.builds(
        lambda what, write, mm: (f"mmap_lock:mmap_lock_{what}", f"mm={mm} memcg_id=1 write={write} success=true"),
        st.sampled_from(["start_locking", "acquire_returned", "released"]),
        st.sampled_from(["true", "false"]),
        st.sampled_from(["0xa", "0xb", "?"]),
    ),
    st.sampled_from(
        [
            ("kmem:mm_page_alloc", "page=0x1"),
            ("tlb:tlb_flush", "pages:1 reason:remote IPI send (4)"),
            ("tlb:tlb_flush", "pages:1 reason:flush on task switch (0)"),
            ("irq_vectors:call_function_single_entry", "vector=251"),
            ("irq_vectors:call_function_single_exit", "vector=251"),
            ("csd:csd_queue_cpu", "cpu=1 callsite=x func=flush_tlb_func csd=0x1"),
            ("csd:csd_function_exit", "func=flush_tlb_func, csd=0x1"),
            ("huge_memory:mm_collapse_huge_page", "mm=0xa, isolated=1, status=succeeded"),
        ]
    ),
)
HISTORIES = st.lists(st.tuples(EVENTS, st.integers(0, 300), st.integers(8, 11), st.integers(0, 2)), max_size=60)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("layout", ["ns", "default"])
@given(history=HISTORIES, tracing_ns=st.none() | st.integers(0, 5_000))
def test_any_events_are_a_recording_or_an_error(layout, history, tracing_ns, new_script):
    script = new_script(layout)
    for (event, args), at_us, tid, cpu in history:
        script.event(at_us, event, args, tid=tid, cpu=cpu, pid=tid // 10, comm="b" if tid < 10 else "a")
    # So many good lines that garbled fields do not matter, of a task that does.
    for at_us in range(300, 300 + 100 * len(history)):
        script.other(at_us, cpu=3)
    script.fault(400, 0x7F0000000000, tid=10, cpu=2, pid=1)
    try:
        recording = script.read(tracing_ns=tracing_ns)
    except RecordingError:
        return  # test_text_blocks looks at what errors say
    assert 0 <= recording.report.skipped <= len(history)
    assert read_recording(script.path, tracing_ns=tracing_ns) == recording
    assert recording.facts.faults <= recording.machine_facts.faults
    times = [[step.user_ns for step in thread.steps] for thread in recording.threads]
    assert all(time >= 0 for thread in times for time in thread)
    # No CPU computes for two threads at once.
    assert sum(map(sum, times)) <= recording.span_ns * len(recording.cpus)
    assert all(sum(thread) <= recording.span_ns for thread in times)
    assert all(area.start < area.end and not (area.start | area.end) % 4096 for area in recording.areas)
    assert all(low.end <= high.start for low, high in pairwise(recording.areas))
